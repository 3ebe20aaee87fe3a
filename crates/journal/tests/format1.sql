-- A journal of format 1, as the version that had it made it.
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
PRAGMA application_id = 1399355208;
PRAGMA user_version = 1;
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE text (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE person (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, domain TEXT NOT NULL, name TEXT NOT NULL,
    sid TEXT NOT NULL, name_key TEXT NOT NULL, UNIQUE (name_key, kind, domain, name, sid)) STRICT;
CREATE TABLE share (id INTEGER PRIMARY KEY, share_key TEXT NOT NULL UNIQUE, name TEXT NOT NULL) STRICT;
CREATE TABLE place (id INTEGER PRIMARY KEY, share INTEGER NOT NULL, path_key TEXT NOT NULL, path TEXT NOT NULL,
    UNIQUE (share, path_key)) STRICT;
CREATE TABLE entry (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, place INTEGER, to_place INTEGER, person INTEGER,
    client INTEGER, session INTEGER, file INTEGER, access INTEGER, finish INTEGER, reason INTEGER, read INTEGER,
    written INTEGER, by_person INTEGER, by_client INTEGER, by_file INTEGER, count INTEGER) STRICT;
CREATE TABLE act (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, user TEXT NOT NULL, origin TEXT NOT NULL,
    act TEXT NOT NULL, object TEXT NOT NULL, outcome TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
COMMIT;
CREATE INDEX entry_place ON entry (place) WHERE place IS NOT NULL;
CREATE INDEX entry_to_place ON entry (to_place) WHERE to_place IS NOT NULL;
CREATE INDEX entry_person ON entry (person) WHERE person IS NOT NULL;
CREATE INDEX entry_by_person ON entry (by_person) WHERE by_person IS NOT NULL;
CREATE INDEX entry_client ON entry (client) WHERE client IS NOT NULL;
CREATE INDEX entry_by_client ON entry (by_client) WHERE by_client IS NOT NULL;
CREATE INDEX entry_place_rare ON entry (place) WHERE place IS NOT NULL AND kind >= 3;
CREATE INDEX entry_person_rare ON entry (person) WHERE person IS NOT NULL AND kind >= 3;
CREATE INDEX entry_client_rare ON entry (client) WHERE client IS NOT NULL AND kind >= 3;
CREATE INDEX entry_rare ON entry (kind) WHERE kind >= 3;
CREATE INDEX entry_long ON entry (place, finish)
    WHERE (kind <= 2 AND (finish IS NULL OR finish - id / 1000 >= 60000));
CREATE INDEX entry_class ON entry ((CASE WHEN finish IS NULL THEN 0 WHEN finish - id / 1000 < 240000 THEN 1 WHEN finish - id / 1000 < 960000 THEN 2 WHEN finish - id / 1000 < 3840000 THEN 3
    WHEN finish - id / 1000 < 15360000 THEN 4 WHEN finish - id / 1000 < 61440000 THEN 5 WHEN finish - id / 1000 < 245760000 THEN 6
    WHEN finish - id / 1000 < 983040000 THEN 7 WHEN finish - id / 1000 < 3932160000 THEN 8 WHEN finish - id / 1000 < 15728640000 THEN 9 ELSE 10 END))
    WHERE (kind <= 2 AND (finish IS NULL OR finish - id / 1000 >= 60000));
CREATE INDEX act_at ON act (at);
CREATE VIEW history_opens AS SELECT e.id, e.id / 1000 AS began_ms, e.finish AS ended_ms, r.text AS reason,
    s.name AS share, p.path AS path, u.name AS user, c.text AS client, e.session AS session_id, e.file AS file_id,
    e.access AS access, e.read AS bytes_read, e.written AS bytes_written
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client
    LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 2;
INSERT INTO meta VALUES ('written_ms', 1790000000500);
INSERT INTO text VALUES (1, '192.0.2.1'), (2, 'client_close');
INSERT INTO person VALUES (1, 0, '', 'alice', '', 'alice'), (2, 0, '', 'bob', '', 'bob');
INSERT INTO share VALUES (1, 'data', 'data');
INSERT INTO place VALUES (1, 1, 'draft.txt', 'draft.txt'), (2, 1, 'plan\final.txt', 'Plan\final.txt');
INSERT INTO entry (id, kind, place, to_place, person, client, session, file, access, finish, reason, read, written) VALUES
    (1790000000000000, 1, NULL, NULL, 1, 1, 7, NULL, NULL, NULL, NULL, NULL, NULL),
    (1790000000100000, 2, 1, NULL, 1, 1, 7, 8, 1179785, 1790000000200, 2, 10, 20),
    (1790000000300000, 4, 1, 2, 1, 1, NULL, 9, NULL, NULL, NULL, NULL, NULL),
    (1790000000400000, 2, 2, NULL, 2, 1, 8, 10, 1179785, NULL, NULL, NULL, NULL);
