// The gateway of the foundation platform: routes over one database, one over a
// KV namespace, and one over a service binding. Answers to GET depend on the data alone, so that a
// drill can compare them byte by byte.
import { health } from "./routes/health.js";
import { exportUsers } from "./routes/export.js";
import { audit, documents, ledger, tenant, tenants, users } from "./routes/read.js";
import { settings, tenantSettings } from "./routes/settings.js";
import { createTenant } from "./routes/write.js";
import { failure, json } from "./answer.js";

const routes = [
  ["GET", /^\/health$/, health],
  ["GET", /^\/api\/tenants$/, tenants],
  ["POST", /^\/api\/tenants$/, createTenant],
  ["GET", /^\/api\/tenants\/(\d+)$/, tenant],
  ["GET", /^\/api\/users$/, users],
  ["GET", /^\/api\/audit$/, audit],
  ["GET", /^\/api\/ledger$/, ledger],
  ["GET", /^\/api\/documents$/, documents],
  ["GET", /^\/api\/settings$/, settings],
  ["GET", /^\/api\/settings\/(\d+)$/, tenantSettings],
  ["GET", /^\/api\/directory$/, directory],
  ["GET", /^\/export\/users$/, exportUsers],
];

async function directory({ env }) {
  const answer = await env.DIRECTORY.fetch("https://directory/regions");
  if (!answer.ok) return failure(502, `directory answered ${answer.status}`);
  const { regions } = await answer.json();
  return json({ ok: true, regions });
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    for (const [method, pattern, handler] of routes) {
      const match = pattern.exec(url.pathname);
      if (match && method === request.method) {
        try {
          return await handler({ request, env, url, params: match.slice(1) });
        } catch (error) {
          return failure(500, String(error.message ?? error));
        }
      }
    }
    return failure(404, "not found");
  },
};
