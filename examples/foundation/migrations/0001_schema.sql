-- Five tables with what real ones have: foreign keys, checks, an index, a
-- trigger, an autoincrement, integers beyond 2^53 and blobs.
CREATE TABLE tenants (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  plan TEXT NOT NULL CHECK (plan IN ('free', 'pro', 'enterprise')),
  region TEXT NOT NULL DEFAULT 'eu'
);

CREATE TABLE users (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  email TEXT NOT NULL UNIQUE,
  role TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member'))
);
CREATE INDEX users_by_tenant ON users (tenant_id);

CREATE TABLE ledger (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL REFERENCES tenants (id),
  amount INTEGER NOT NULL, -- beyond 2^53
  rate REAL NOT NULL
);
CREATE INDEX ledger_by_tenant ON ledger (tenant_id, amount);

CREATE TABLE documents (
  id INTEGER PRIMARY KEY,
  tenant_id INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  title TEXT NOT NULL,
  body BLOB NOT NULL
);

CREATE TABLE audit_log (
  id INTEGER PRIMARY KEY,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL
);

CREATE TRIGGER tenants_audited AFTER INSERT ON tenants
BEGIN
  INSERT INTO audit_log (actor, action, subject) VALUES ('gateway', 'create tenant', CASE WHEN new.plan = 'free' THEN 'free tenant' ELSE 'paying tenant' END);
END;
