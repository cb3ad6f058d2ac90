// What `firedrill doctor --live` deploys for a while: it shows what its database holds.
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname !== "/health" && pathname !== "/items") return new Response("not found", { status: 404 });
    try {
      const { results } = await env.DB.prepare("SELECT id, text, amount FROM items ORDER BY id").all();
      if (pathname === "/items") return Response.json({ ok: true, items: results });
      const healthy = results.length > 0;
      return Response.json({ status: healthy ? "healthy" : "unhealthy" }, { status: healthy ? 200 : 503 });
    } catch (error) {
      return Response.json({ ok: false, status: "unhealthy", error: String(error.message ?? error) }, { status: 503 });
    }
  },
};
