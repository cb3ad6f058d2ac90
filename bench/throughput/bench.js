// The Worker that both sides serve. What it answers follows from the path, so
// that the generator can check every answer.
const value = (i) => `value of key ${i} `.padEnd(100, ".");
const text = (body) => new Response(body);

async function seed(env, from) {
  if (from === 0) {
    await env.DB.prepare("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL)").run();
    await env.DB.prepare("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, entry TEXT NOT NULL)").run();
  }
  const insert = env.DB.prepare("INSERT OR REPLACE INTO users VALUES (?, ?, ?)");
  const ids = Array.from({ length: 100 }, (_, i) => from + i);
  await env.DB.batch(ids.map((i) => insert.bind(i, `user ${i}`, `${i}@example.com`)));
  await Promise.all(ids.map((i) => env.KV.put(`key-${i}`, value(i))));
  return text("seeded");
}

export default {
  async fetch(request, env) {
    const [, route, n] = new URL(request.url).pathname.split("/");
    switch (route) {
      case "trivial":
        return new Response("ok");
      case "kv":
        return text(await env.KV.get(`key-${n}`));
      case "kvput":
        // Another value each time: SQLite writes, and syncs, nothing when a
        // row is replaced by an equal one.
        await env.KV.put(`written-${n}`, value(Math.random()));
        return text("put");
      case "d1": {
        const row = await env.DB.prepare("SELECT id, name, email FROM users WHERE id = ?").bind(Number(n)).first();
        return text(row && `${row.id} ${row.name} ${row.email}`);
      }
      case "d1insert": {
        const { meta } = await env.DB.prepare("INSERT INTO log (entry) VALUES (?)").bind(value(n)).run();
        return text(`inserted ${meta.changes}`);
      }
      case "seed":
        return seed(env, Number(n));
    }
    return new Response("no such route", { status: 404 });
  },
};
