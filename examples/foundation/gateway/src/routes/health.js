import { json } from "../answer.js";

// Healthy only if the database was really read and what it holds makes sense:
// there are tenants, and no user belongs to a tenant that is not there.
export async function health({ env }) {
  try {
    const row = await env.DB.prepare(
      `SELECT (SELECT count(*) FROM tenants) AS tenants,
              (SELECT count(*) FROM users) AS users,
              (SELECT count(*) FROM users u LEFT JOIN tenants t ON t.id = u.tenant_id WHERE t.id IS NULL) AS orphans`,
    ).first();
    const healthy = row.tenants > 0 && row.users > 0 && row.orphans === 0;
    return json({ status: healthy ? "healthy" : "unhealthy", platform: env.PLATFORM, database: "read" }, healthy ? 200 : 503);
  } catch (error) {
    return json({ status: "unhealthy", platform: env.PLATFORM, database: String(error.message ?? error) }, 503);
  }
}
