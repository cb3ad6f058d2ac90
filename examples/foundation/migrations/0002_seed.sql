-- The same rows every time: 100 tenants, 1,500 users, 1,200 ledger entries,
-- 104 documents, and audit rows of which the trigger writes a part.
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
INSERT INTO tenants (id, name, plan, region)
SELECT i, 'Tenant ' || printf('%03d', i),
       CASE i % 5 WHEN 0 THEN 'enterprise' WHEN 1 THEN 'pro' WHEN 2 THEN 'pro' ELSE 'free' END,
       CASE i % 3 WHEN 0 THEN 'ap' WHEN 1 THEN 'eu' ELSE 'na' END
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
INSERT INTO users (id, tenant_id, email, role)
SELECT i, 1 + (i * 7) % 100, 'user' || i || '@tenant' || (1 + (i * 7) % 100) || '.example',
       CASE WHEN i <= 100 THEN 'owner' WHEN i % 11 = 0 THEN 'admin' ELSE 'member' END
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
INSERT INTO ledger (id, tenant_id, amount, rate)
SELECT i, 1 + (i * 13) % 100, 9007199254740993 + i * 1000003, 1.0 / (i + 2)
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 104)
INSERT INTO documents (id, tenant_id, title, body)
SELECT i, 1 + (i * 3) % 100, 'Contract ' || i, CAST(printf('%c%04x', i % 90 + 33, i * 257) AS BLOB) || x'00ff'
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
INSERT INTO audit_log (actor, action, subject)
SELECT 'user' || (i % 40), CASE i % 2 WHEN 0 THEN 'sign in' ELSE 'export' END, 'tenant ' || (1 + i % 100)
FROM n;
