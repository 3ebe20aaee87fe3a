//! The format of the file. `docs/history.md` describes the views, which later formats keep.

/// The format of the file (`PRAGMA user_version`).
pub(crate) const FORMAT: i64 = 1;
/// The file's owner (`PRAGMA application_id`): "ShwH".
pub(crate) const APPLICATION: i64 = 0x5368_7748;

/// The condition of the index of long entries, as queries have to repeat it.
pub(crate) const IS_LONG: &str = "(kind <= 2 AND (finish IS NULL OR finish - id / 1000 >= 60000))";

/// The condition of the index of rare entries, as queries have to repeat it.
pub(crate) const IS_RARE: &str = "kind >= 3";

/// The tables, indices and views of the format.
pub(crate) fn schema() -> String {
    format!(
        "
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
CREATE INDEX entry_place ON entry (place, kind) WHERE place IS NOT NULL;
CREATE INDEX entry_to_place ON entry (to_place) WHERE to_place IS NOT NULL;
CREATE INDEX entry_long ON entry (place) WHERE {IS_LONG};
CREATE INDEX entry_rare ON entry (kind) WHERE {IS_RARE};
CREATE TABLE act (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, user TEXT NOT NULL, origin TEXT NOT NULL,
    act TEXT NOT NULL, object TEXT NOT NULL, outcome TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE INDEX act_at ON act (at);

CREATE VIEW history_sessions AS SELECT e.id, e.id / 1000 AS began_ms, e.finish AS ended_ms, r.text AS reason,
    u.name AS user, u.domain AS domain, c.text AS client, e.session AS session_id
    FROM entry e LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client
    LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 1;
CREATE VIEW history_opens AS SELECT e.id, e.id / 1000 AS began_ms, e.finish AS ended_ms, r.text AS reason,
    s.name AS share, p.path AS path, u.name AS user, c.text AS client, e.session AS session_id, e.file AS file_id,
    e.access AS access, e.read AS bytes_read, e.written AS bytes_written
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client
    LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 2;
CREATE VIEW history_deletions AS SELECT e.id, e.id / 1000 AS at_ms, s.name AS share, p.path AS path, u.name AS user,
    c.text AS client, e.file AS file_id
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client WHERE e.kind = 3;
CREATE VIEW history_renames AS SELECT e.id, e.id / 1000 AS at_ms, s.name AS share, p.path AS old_path,
    q.path AS new_path, u.name AS user, c.text AS client, e.file AS file_id
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN place q ON q.id = e.to_place
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client WHERE e.kind = 4;
CREATE VIEW history_refusals AS SELECT e.id, e.id / 1000 AS at_ms, r.text AS reason, s.name AS share, p.path AS path,
    u.name AS user, c.text AS client, e.access AS access, v.name AS holder_user, d.text AS holder_client,
    e.by_file AS holder_file_id
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client LEFT JOIN text r ON r.id = e.reason
    LEFT JOIN person v ON v.id = e.by_person LEFT JOIN text d ON d.id = e.by_client WHERE e.kind = 5;
CREATE VIEW history_logon_refusals AS SELECT e.id, e.id / 1000 AS at_ms, u.name AS user, u.domain AS domain,
    c.text AS client, r.text AS reason
    FROM entry e LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client
    LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 6;
CREATE VIEW history_gaps AS SELECT e.id, e.id / 1000 AS began_ms, e.finish AS ended_ms, e.count AS missing,
    r.text AS reason FROM entry e LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 7;
CREATE VIEW history_acts AS SELECT number, at AS at_ms, user, origin, act, object, outcome, lower(hex(hash)) AS hash
    FROM act;
"
    )
}
