-- What lies can bite on: an autoincrement, a trigger, an index, integers beyond
-- 2^53, NULLs and blobs. The application shows accounts; of archive it shows
-- nothing.
CREATE TABLE accounts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  plan TEXT NOT NULL,
  balance INTEGER NOT NULL
);

CREATE TABLE archive (
  id INTEGER PRIMARY KEY,
  label TEXT NOT NULL,
  amount INTEGER NOT NULL,
  note TEXT,
  body BLOB NOT NULL
);
CREATE INDEX archive_by_label ON archive (label);

CREATE TABLE events (id INTEGER PRIMARY KEY, what TEXT NOT NULL);

CREATE TRIGGER accounts_logged AFTER INSERT ON accounts
BEGIN
  INSERT INTO events (what) VALUES ('account ' || new.name);
END;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 24)
INSERT INTO accounts (name, plan, balance)
SELECT 'account ' || i, CASE i % 3 WHEN 0 THEN 'free' ELSE 'pro' END, 9007199254740993 + i * 1000003 FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
INSERT INTO archive (id, label, amount, note, body)
SELECT i, 'item ' || i, 9007199254740993 + 2 * i, CASE WHEN i % 4 THEN 'note ' || i END, CAST('body ' || i AS BLOB) || x'00ff80' FROM n;
