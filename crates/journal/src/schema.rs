//! The format of the file. `docs/history.md` describes the views, which later formats keep.

use std::fmt::Write as _;

/// The format of the file (`PRAGMA user_version`).
pub(crate) const FORMAT: i64 = 2;

/// The format that had no table but `entry` for sessions and opens.
pub(crate) const FORMAT_OF_ONE_TABLE: i64 = 1;
/// The file's owner (`PRAGMA application_id`): "ShwH".
pub(crate) const APPLICATION: i64 = 0x5368_7748;

/// The condition of the indices of long entries, as queries have to repeat it.
pub(crate) const IS_LONG: &str = "(kind <= 2 AND (finish IS NULL OR finish - id / 1000 >= 60000))";

/// The condition of the indices of rare entries, as queries have to repeat it.
pub(crate) const IS_RARE: &str = "kind >= 3";

/// The longest entries of the classes of long ones, in milliseconds: 4 minutes to half a year, each four times the one
/// before. Class 0 is of entries without an end, and the one behind the last has no bound. A query for one time reads only
/// the part of a class that can reach that time.
pub(crate) const CLASSES_MS: [i64; 9] = [
    240_000,
    960_000,
    3_840_000,
    15_360_000,
    61_440_000,
    245_760_000,
    983_040_000,
    3_932_160_000,
    15_728_640_000,
];

/// The class of a long entry, on the columns with this prefix.
pub(crate) fn class_of(prefix: &str) -> String {
    let mut text = format!("(CASE WHEN {prefix}finish IS NULL THEN 0");
    for (class, most) in (1..).zip(CLASSES_MS) {
        let _ = write!(text, " WHEN {prefix}finish - {prefix}id / 1000 < {most} THEN {class}");
    }
    let _ = write!(text, " ELSE {} END)", CLASSES_MS.len().saturating_add(1));
    text
}

/// The names of the indices and what they are on. They are no part of the format: those of an older version are replaced
/// when a journal is opened for writing.
pub(crate) fn indices() -> Vec<(&'static str, String)> {
    let of = |column: &str| format!("entry ({column}) WHERE {column} IS NOT NULL");
    let rare_of = |column: &str| format!("entry ({column}) WHERE {column} IS NOT NULL AND {IS_RARE}");
    vec![
        ("entry_place", of("place")),
        ("entry_place_rare", rare_of("place")),
        ("entry_to_place", of("to_place")),
        ("entry_person", of("person")),
        ("entry_person_rare", rare_of("person")),
        ("entry_by_person", of("by_person")),
        ("entry_client", of("client")),
        ("entry_client_rare", rare_of("client")),
        ("entry_by_client", of("by_client")),
        ("entry_rare", format!("entry (kind) WHERE {IS_RARE}")),
        ("entry_long", format!("entry (place, finish) WHERE {IS_LONG}")),
        ("entry_class", format!("entry ({}) WHERE {IS_LONG}", class_of(""))),
        ("act_at", "act (at)".to_owned()),
    ]
}

/// The tables that the format has had from the beginning. `entry` has everything but what [`SCHEMA_OF_OPENS`] has.
pub(crate) const SCHEMA: &str = "
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
";

/// The tables of what is written with nearly every request, and therefore without an index of SQLite, which costs more
/// than the row. They came with format 2: a journal of format 1 gets them, and keeps its entries where they are.
///
/// - `lasting` has the sessions and opens that have no end yet. There are as many as the server allows, so it is read as
///   a whole.
/// - `brief` has the opens that ended within [`LONG_MS`](crate::limits::LONG_MS), and the deletions that are no
///   replacements. A `run` is a part of them, in the order of their numbers, that has an index of its own in `posting`; what
///   is behind the last run is read as a whole.
pub(crate) const SCHEMA_OF_OPENS: &str = "
CREATE TABLE lasting (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, place INTEGER, person INTEGER, client INTEGER,
    session INTEGER, file INTEGER, access INTEGER) STRICT;
CREATE TABLE brief (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, place INTEGER, person INTEGER, client INTEGER,
    session INTEGER, file INTEGER, access INTEGER, finish INTEGER, reason INTEGER, read INTEGER, written INTEGER) STRICT;
CREATE TABLE run (last INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT;
CREATE TABLE posting (run INTEGER NOT NULL, part INTEGER NOT NULL, last INTEGER NOT NULL, number INTEGER NOT NULL,
    list BLOB NOT NULL, PRIMARY KEY (run, part, last, number)) WITHOUT ROWID, STRICT;
";

/// `brief` with the columns that conditions on `entry e` name.
pub(crate) const BRIEF: &str = "(SELECT *, NULL AS to_place, NULL AS by_person, NULL AS by_client, NULL AS by_file, \
    NULL AS count FROM brief) e";

/// `lasting` with the columns that conditions on `entry e` name.
pub(crate) const LASTING: &str = "(SELECT *, NULL AS finish, NULL AS reason, NULL AS read, NULL AS written, \
    NULL AS to_place, NULL AS by_person, NULL AS by_client, NULL AS by_file, NULL AS count FROM lasting) e";

/// The views and what they are on. As with indices, those of an older version are replaced.
pub(crate) const VIEWS: &[(&str, &str)] = &[
    // Without joins, a question by `id` or in its order reads only a part of each table.
    (
        "history_sessions",
        "SELECT id, id / 1000 AS began_ms, finish AS ended_ms,
    (SELECT text FROM text WHERE id = e.reason) AS reason,
    (SELECT name FROM person WHERE id = e.person) AS user, (SELECT domain FROM person WHERE id = e.person) AS domain,
    (SELECT text FROM text WHERE id = e.client) AS client, session AS session_id FROM entry e WHERE kind = 1
    UNION ALL SELECT id, id / 1000 AS began_ms, CAST(NULL AS INTEGER) AS ended_ms,
    CAST(NULL AS TEXT) AS reason,
    (SELECT name FROM person WHERE id = e.person) AS user, (SELECT domain FROM person WHERE id = e.person) AS domain,
    (SELECT text FROM text WHERE id = e.client) AS client, session AS session_id FROM lasting e WHERE kind = 1",
    ),
    (
        "history_opens",
        "SELECT id, id / 1000 AS began_ms, finish AS ended_ms,
    (SELECT text FROM text WHERE id = e.reason) AS reason,
    (SELECT s.name FROM place p JOIN share s ON s.id = p.share WHERE p.id = e.place) AS share,
    (SELECT path FROM place WHERE id = e.place) AS path, (SELECT name FROM person WHERE id = e.person) AS user,
    (SELECT text FROM text WHERE id = e.client) AS client, session AS session_id, file AS file_id, access,
    read AS bytes_read, written AS bytes_written FROM brief e WHERE kind = 2
    UNION ALL SELECT id, id / 1000 AS began_ms, finish AS ended_ms,
    (SELECT text FROM text WHERE id = e.reason) AS reason,
    (SELECT s.name FROM place p JOIN share s ON s.id = p.share WHERE p.id = e.place) AS share,
    (SELECT path FROM place WHERE id = e.place) AS path, (SELECT name FROM person WHERE id = e.person) AS user,
    (SELECT text FROM text WHERE id = e.client) AS client, session AS session_id, file AS file_id, access,
    read AS bytes_read, written AS bytes_written FROM entry e WHERE kind = 2
    UNION ALL SELECT id, id / 1000 AS began_ms, CAST(NULL AS INTEGER) AS ended_ms,
    CAST(NULL AS TEXT) AS reason,
    (SELECT s.name FROM place p JOIN share s ON s.id = p.share WHERE p.id = e.place) AS share,
    (SELECT path FROM place WHERE id = e.place) AS path, (SELECT name FROM person WHERE id = e.person) AS user,
    (SELECT text FROM text WHERE id = e.client) AS client, session AS session_id, file AS file_id, access,
    CAST(NULL AS INTEGER) AS bytes_read, CAST(NULL AS INTEGER) AS bytes_written FROM lasting e WHERE kind = 2",
    ),
    (
        "history_deletions",
        "SELECT id, id / 1000 AS at_ms,
    (SELECT s.name FROM place p JOIN share s ON s.id = p.share WHERE p.id = e.place) AS share,
    (SELECT path FROM place WHERE id = e.place) AS path, (SELECT name FROM person WHERE id = e.person) AS user,
    (SELECT text FROM text WHERE id = e.client) AS client, file AS file_id,
    (SELECT text FROM text WHERE id = e.reason) AS reason, CAST(NULL AS TEXT) AS replaced_by
    FROM brief e WHERE kind = 3
    UNION ALL SELECT id, id / 1000 AS at_ms,
    (SELECT s.name FROM place p JOIN share s ON s.id = p.share WHERE p.id = e.place) AS share,
    (SELECT path FROM place WHERE id = e.place) AS path, (SELECT name FROM person WHERE id = e.person) AS user,
    (SELECT text FROM text WHERE id = e.client) AS client, file AS file_id,
    (SELECT text FROM text WHERE id = e.reason) AS reason, (SELECT path FROM place WHERE id = e.to_place) AS replaced_by
    FROM entry e WHERE kind = 3",
    ),
    (
        "history_renames",
        "SELECT e.id, e.id / 1000 AS at_ms, s.name AS share, p.path AS old_path,
    q.path AS new_path, u.name AS user, c.text AS client, e.file AS file_id
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN place q ON q.id = e.to_place
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client WHERE e.kind = 4",
    ),
    (
        "history_refusals",
        "SELECT e.id, e.id / 1000 AS at_ms, r.text AS reason, s.name AS share, p.path AS path,
    u.name AS user, c.text AS client, e.access AS access, v.name AS holder_user, d.text AS holder_client,
    e.by_file AS holder_file_id
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client LEFT JOIN text r ON r.id = e.reason
    LEFT JOIN person v ON v.id = e.by_person LEFT JOIN text d ON d.id = e.by_client WHERE e.kind = 5",
    ),
    (
        "history_logon_refusals",
        "SELECT e.id, e.id / 1000 AS at_ms, u.name AS user, u.domain AS domain,
    c.text AS client, r.text AS reason
    FROM entry e LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client
    LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 6",
    ),
    (
        "history_gaps",
        "SELECT e.id, e.id / 1000 AS began_ms, e.finish AS ended_ms, e.count AS missing,
    r.text AS reason FROM entry e LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 7",
    ),
    (
        "history_acts",
        "SELECT number, at AS at_ms, user, origin, act, object, outcome, lower(hex(hash)) AS hash
    FROM act",
    ),
    (
        "history_drains",
        "SELECT e.id, e.id / 1000 AS at_ms, r.text AS step, s.name AS share, c.text AS client, u.name AS user,
    e.count AS closed
    FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share
    LEFT JOIN person u ON u.id = e.person LEFT JOIN text c ON c.id = e.client
    LEFT JOIN text r ON r.id = e.reason WHERE e.kind = 8",
    ),
];
