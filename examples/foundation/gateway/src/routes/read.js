import { failure, json } from "../answer.js";

export async function tenants({ env }) {
  const { results } = await env.DB.prepare(
    `SELECT t.id, t.name, t.plan, t.region, (SELECT count(*) FROM users u WHERE u.tenant_id = t.id) AS users
     FROM tenants t ORDER BY t.id`,
  ).all();
  return json({ ok: true, tenants: results });
}

export async function tenant({ env, params }) {
  const row = await env.DB.prepare("SELECT id, name, plan, region FROM tenants WHERE id = ?").bind(Number(params[0])).first();
  return row ? json({ ok: true, tenant: row }) : failure(404, "no such tenant");
}

export async function users({ env, url }) {
  const only = url.searchParams.get("tenant");
  const query = only
    ? env.DB.prepare("SELECT id, tenant_id, email, role FROM users WHERE tenant_id = ? ORDER BY id").bind(Number(only))
    : env.DB.prepare("SELECT id, tenant_id, email, role FROM users ORDER BY id");
  return json({ ok: true, users: (await query.all()).results });
}

export async function audit({ env }) {
  const { results } = await env.DB.prepare("SELECT actor, action, subject, count(*) AS times FROM audit_log GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 500").all();
  return json({ ok: true, audit: results });
}

// Amounts go out as text: JavaScript rounds integers beyond 2^53.
export async function ledger({ env }) {
  const { results } = await env.DB.prepare(
    "SELECT tenant_id, count(*) AS entries, CAST(sum(amount) AS TEXT) AS total, CAST(max(amount) AS TEXT) AS largest FROM ledger GROUP BY tenant_id ORDER BY tenant_id",
  ).all();
  return json({ ok: true, ledger: results });
}

export async function documents({ env }) {
  const { results } = await env.DB.prepare("SELECT id, tenant_id, title, hex(body) AS body FROM documents ORDER BY id").all();
  return json({ ok: true, documents: results });
}
