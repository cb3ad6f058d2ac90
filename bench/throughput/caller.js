// The first Worker that a client meets; its answer needs the other three.
export default {
  async fetch(request, env) {
    const answers = await Promise.all([env.ONE, env.TWO, env.THREE].map((s) => s.fetch(request.url).then((r) => r.text())));
    return new Response(["four", ...answers].join(" "));
  },
};
