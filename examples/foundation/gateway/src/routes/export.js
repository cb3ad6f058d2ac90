import { json } from "../answer.js";

// Every user with every column, a page at a time, for whoever compares what this
// application reads with what it read before. The cursor is the last id given.
const page = 1000;

export async function exportUsers({ env, url }) {
  const { results } = await env.DB.prepare("SELECT id, tenant_id, email, role FROM users WHERE id > ? ORDER BY id LIMIT ?")
    .bind(Number(url.searchParams.get("cursor") ?? 0), page)
    .all();
  return json({ records: results, next: results.length === page ? String(results.at(-1).id) : null });
}
