// Prints what wrangler makes of each configuration below a folder, for each of
// its environments: lines "field: value" of what names a resource, an address or
// a Worker. Arguments: the folder where wrangler is installed, the folder with
// the configurations, and their paths in it.
const path = require("node:path");
const { createRequire } = require("node:module");
const wrangler = createRequire(path.join(process.argv[2], "package.json"))("wrangler");

const naming = ["database_id", "database_name", "preview_database_id", "id", "preview_id", "bucket_name", "preview_bucket_name", "queue",
  "dead_letter_queue", "service", "script_name", "index_name", "instance_name", "namespace", "pipeline", "certificate_id", "service_id", "dataset"];
const fields = ["d1_databases", "kv_namespaces", "r2_buckets", "queues", "services", "durable_objects", "workflows", "tail_consumers",
  "streaming_tail_consumers", "vectorize", "hyperdrive", "dispatch_namespaces", "mtls_certificates", "pipelines", "vpc_services", "ai_search",
  "ai_search_namespaces", "analytics_engine_datasets"];

function lines(config) {
  const out = new Set();
  const add = (field, value) => { if (typeof value === "string" && value !== "") out.add(`${field}: ${value}`); };
  add("name", config.name);
  add("account_id", config.account_id);
  for (const r of config.routes ?? (config.route ? [config.route] : [])) add("routes", typeof r === "string" ? r : r.pattern);
  const walk = (field, value, keys) => {
    if (typeof value === "string" && keys === undefined) add(field, value);
    if (value === null || typeof value !== "object") return;
    for (const [key, v] of Object.entries(value)) {
      if (keys?.includes(key)) add(field, v);
      walk(field, v, keys);
    }
  };
  for (const field of ["vars", "define"]) walk(field, config[field]);
  for (const field of fields) walk(field, config[field], field === "workflows" ? [...naming, "name"] : naming);
  walk("unsafe", config.unsafe?.bindings, [...naming, "namespace_id"]);
  return [...out].sort();
}

const all = {};
for (const file of process.argv.slice(4)) {
  const read = (env) => wrangler.unstable_readConfig({ config: path.join(process.argv[3], file), env }, { hideWarnings: true });
  try {
    const top = read();
    all[file] = { "": lines(top) };
    for (const env of top.definedEnvironments) all[file][env] = lines(read(env));
  } catch {
    all[file] = null; // wrangler refuses it
  }
}
console.log(JSON.stringify(all));
