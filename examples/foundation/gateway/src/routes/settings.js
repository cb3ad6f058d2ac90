import { failure, json } from "../answer.js";

// What KV holds about all tenants, as counts and one digest of every key with
// its metadata and expiration, and of the flags themselves: whatever is
// deleted, added or overwritten there shows.
export async function settings({ env }) {
  const keys = await list(env.SETTINGS, "tenant/");
  const flags = await texts(env.SETTINGS, keys.map((key) => key.name).filter((name) => name.endsWith("/flags")));
  const lines = keys.map(({ name, metadata, expiration }) => JSON.stringify([name, metadata ?? null, expiration ?? null, flags.get(name) ?? null]));
  return json({
    ok: true,
    tenants: new Set(keys.map((key) => key.name.split("/")[1])).size,
    keys: keys.length,
    described: keys.filter((key) => key.metadata).length,
    expiring: keys.filter((key) => key.expiration).length,
    digest: hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(lines.join("\n")))),
  });
}

// Everything about one tenant, values included; a logo is bytes.
export async function tenantSettings({ env, params }) {
  const keys = await list(env.SETTINGS, `tenant/${params[0]}/`);
  if (keys.length === 0) return failure(404, "no such tenant");
  const found = {};
  for (const { name, metadata, expiration } of keys) {
    const short = name.split("/")[2];
    const value = short === "logo" ? hex(await env.SETTINGS.get(name, "arrayBuffer")) : await env.SETTINGS.get(name);
    found[short] = { value, metadata: metadata ?? null, expiration: expiration ?? null };
  }
  return json({ ok: true, settings: found });
}

async function list(namespace, prefix) {
  const keys = [];
  let page;
  do {
    page = await namespace.list({ prefix, cursor: page?.cursor });
    keys.push(...page.keys);
  } while (!page.list_complete);
  return keys;
}

// A bulk read takes a hundred keys.
async function texts(namespace, names) {
  const all = new Map();
  for (let i = 0; i < names.length; i += 100) {
    for (const [name, value] of await namespace.get(names.slice(i, i + 100))) all.set(name, value);
  }
  return all;
}

function hex(buffer) {
  return buffer === null ? null : Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
