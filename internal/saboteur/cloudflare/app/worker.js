// The application of selftest: it shows of its database, its namespace and its
// configuration what its routes need, and nothing else. Tables and keys that no
// route shows are there for lies that only a comparison can catch.
const RELEASE = "current";

const json = (body, status = 200) => Response.json(body, { status, headers: { "cache-control": "no-store" } });

const routes = {
  // Healthy only if both stores were really read.
  async "/health"({ DB, SETTINGS }) {
    const { accounts } = await DB.prepare("SELECT count(*) AS accounts FROM accounts").first();
    const { keys } = await SETTINGS.list({ prefix: "shown/" });
    const healthy = accounts > 0 && keys.length > 0;
    return json({ status: healthy ? "healthy" : "unhealthy" }, healthy ? 200 : 503);
  },

  // Balances go out as text: JavaScript rounds integers beyond 2^53.
  async "/accounts"({ DB }) {
    const { results } = await DB.prepare("SELECT id, name, plan, CAST(balance AS TEXT) AS balance FROM accounts ORDER BY id").all();
    return json({ ok: true, accounts: results });
  },

  async "/settings"({ SETTINGS }) {
    const { keys } = await SETTINGS.list({ prefix: "shown/" });
    const values = keys.length ? await SETTINGS.get(keys.map((key) => key.name)) : new Map();
    return json({ ok: true, settings: keys.map((key) => [key.name, values.get(key.name), key.metadata ?? null]) });
  },

  // Of the secret only what it makes of a text is shown.
  async "/config"({ PLATFORM, SECRET }) {
    const data = new TextEncoder().encode("selftest:" + (SECRET ?? ""));
    const seal = Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", data)), (b) => b.toString(16).padStart(2, "0")).join("");
    return json({ ok: true, release: RELEASE, platform: PLATFORM, seal });
  },
};

export default {
  async fetch(request, env) {
    const route = routes[new URL(request.url).pathname];
    if (!route) return json({ error: "not found" }, 404);
    try {
      return await route(env);
    } catch (error) {
      return json({ error: String(error.message ?? error) }, 500);
    }
  },
};
