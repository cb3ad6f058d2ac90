import { failure, json } from "../answer.js";

const plans = ["free", "pro", "enterprise"];

export async function createTenant({ request, env }) {
  let body;
  try {
    body = await request.json();
  } catch {
    return failure(400, "the body is not JSON");
  }
  if (typeof body?.name !== "string" || body.name === "" || !plans.includes(body.plan)) {
    return failure(400, `name must be text and plan one of ${plans.join(", ")}`);
  }
  const row = await env.DB.prepare("INSERT INTO tenants (name, plan, region) VALUES (?, ?, ?) RETURNING id")
    .bind(body.name, body.plan, body.region ?? "eu")
    .first();
  return json({ ok: true, id: row.id }, 201);
}
