//! The journal as its users see it: written, read, expired, damaged, checked.

use std::fs;
use std::path::Path;

use journal::{
    Act, Blocker, Bounds, Entry, EntryId, Error, Fault, Finish, Head, Kind, Kinds, Person, Place, Query,
    Reader, Visible, Within, Writer, verify,
};
use rusqlite::Connection;

const HOUR: i64 = 3_600_000;
/// Some time in 2026.
const START: i64 = 1_790_000_000_000;

struct Journal {
    directory: tempfile::TempDir,
    writer: Writer,
}

impl Journal {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _) = Writer::open(directory.path(), START).unwrap();
        Self { directory, writer }
    }

    /// Journals with runs of different sizes, down to one entry each.
    fn of_all_sizes() -> impl Iterator<Item = Self> {
        [None, Some((1, 1)), Some((2, 3))].into_iter().map(|sizes| {
            let mut journal = Self::new();
            if let Some((entries, unindexed)) = sizes {
                journal.writer.set_runs(entries, unindexed);
            }
            journal
        })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn index(&mut self) {
        while self.writer.index().unwrap() {}
    }

    /// Adds an open that lasted from one time to another; without an end it lasts.
    fn open(&mut self, user: &str, path: &str, from: i64, to: Option<i64>) -> EntryId {
        let mut id = EntryId::default();
        let finish = to.map(|at_ms| Finish { at_ms, reason: "client_close", read: 10, written: 20 });
        self.writer
            .write(from, |batch| {
                id = batch.next_id(from);
                batch.insert(&Entry {
                    place: Some(("data", path)),
                    person: Some(Person { name: user, ..Person::default() }),
                    client: Some("192.0.2.1"),
                    finish,
                    ..Entry::new(id, Kind::Open)
                })
            })
            .unwrap();
        self.index();
        id
    }

    fn change(&mut self, kind: Kind, path: &str, to: Option<&str>, at: i64) {
        self.writer
            .write(at, |batch| {
                let id = batch.next_id(at);
                batch.insert(&Entry {
                    place: Some(("data", path)),
                    to,
                    person: Some(Person { name: "alice", ..Person::default() }),
                    client: Some("192.0.2.1"),
                    ..Entry::new(id, kind)
                })
            })
            .unwrap();
        self.index();
    }

    fn act(&mut self, act: &str, at: i64) -> Head {
        let act = Act { at_ms: at, user: "root".into(), act: act.into(), ..Act::default() };
        self.writer
            .write(at, |batch| {
                batch.act(act);
                Ok(())
            })
            .unwrap()
            .head
            .unwrap()
    }

    /// Kind and path of what a query finds.
    fn find(&self, query: &Query) -> Vec<String> {
        let answer = Reader::open(self.path()).unwrap().answer(query).unwrap();
        answer
            .found
            .iter()
            .map(|it| {
                let user = it.user.clone().unwrap_or_default();
                format!("{:?} {} {user}", it.kind.unwrap_or(Kind::Gap), it.path.clone().unwrap_or_default())
            })
            .collect()
    }
}

fn at(path: &str) -> Query {
    let place = Place { share: "DATA".into(), path: path.into() };
    Query { within: Within::Places(vec![place]), ..Query::default() }
}

#[test]
fn a_file_is_found_by_path_in_any_case_with_its_directory_and_its_streams() {
    for mut journal in Journal::of_all_sizes() {
        journal.open("alice", "Plan\\a.txt", START, Some(START + 5));
        journal.open("bob", "plan\\A.TXT:notes", START + 10, Some(START + 15));
        journal.open("bob", "plan\\a.txt2", START + 20, Some(START + 25));
        journal.open("bob", "other", START + 30, Some(START + 35));
        assert_eq!(
            journal.find(&at("PLAN\\a.txt")),
            ["Open Plan\\a.txt alice", "Open plan\\A.TXT:notes bob"]
        );
        assert_eq!(journal.find(&at("plan")).len(), 3);
        assert_eq!(journal.find(&at("")).len(), 4);
        assert_eq!(journal.find(&at("pla")), [""; 0]);
        let answer = Reader::open(journal.path()).unwrap().answer(&Query { limit: 1, ..at("plan") }).unwrap();
        assert_eq!((answer.found.len(), answer.has_earlier), (1, true));
        let found = &answer.found[0];
        assert_eq!((found.at_ms, found.end_ms), (START + 20, Some(START + 25)));
        assert_eq!(
            (found.read, found.written, found.reason.as_deref()),
            (Some(10), Some(20), Some("client_close"))
        );
    }
}

#[test]
fn opens_at_a_time_are_those_that_had_begun_and_not_ended() {
    for mut journal in Journal::of_all_sizes() {
        journal.open("long", "f", START, Some(START + 5 * HOUR));
        journal.open("lasting", "f", START + 1, None);
        journal.open("over", "f", START + 2, Some(START + HOUR));
        journal.open("short", "f", START + 3 * HOUR - 10, Some(START + 3 * HOUR + 10));
        journal.open("later", "f", START + 4 * HOUR, Some(START + 5 * HOUR));
        let time = Some(START + 3 * HOUR);
        let expected = ["Open f long", "Open f lasting", "Open f short"];
        assert_eq!(journal.find(&Query { at_ms: time, ..at("f") }), expected);
        assert_eq!(journal.find(&Query { at_ms: time, ..Query::default() }), expected);
        // Since a time are all that had not ended then.
        let since = Query { since_ms: Some(START + 3 * HOUR), ..at("f") };
        assert_eq!(journal.find(&since), ["Open f long", "Open f lasting", "Open f short", "Open f later"]);
        let until = Query { until_ms: Some(START + 1), ..at("f") };
        assert_eq!(journal.find(&until), ["Open f long", "Open f lasting"]);
    }
}

#[test]
fn a_renamed_file_is_found_by_its_other_names() {
    for mut journal in Journal::of_all_sizes() {
        journal.open("earlier", "draft.txt", START, Some(START + 1));
        journal.change(Kind::Deleted, "draft.txt", None, START + 2);
        journal.open("author", "draft.txt", START + 10, Some(START + 11));
        journal.change(Kind::Renamed, "draft.txt", Some("Plan\\final.txt"), START + 20);
        journal.open("reader", "plan\\final.txt", START + 30, Some(START + 31));
        journal.open("stranger", "draft.txt", START + 35, Some(START + 36));
        journal.change(Kind::Renamed, "Plan", Some("Archive"), START + 40);
        journal.change(Kind::Deleted, "archive\\final.txt", None, START + 50);

        let mut reader = Reader::open(journal.path()).unwrap();
        let answer = reader.answer(&at("Archive\\final.txt")).unwrap();
        let names: Vec<_> = answer.names.iter().map(|it| (&*it.path, it.until_ms, it.is_later)).collect();
        assert_eq!(
            names,
            [("draft.txt", Some(START + 20), false), ("Plan\\final.txt", Some(START + 40), false)]
        );
        let users: Vec<_> = answer
            .found
            .iter()
            .filter(|it| it.kind == Some(Kind::Open))
            .map(|it| it.user.clone().unwrap())
            .collect();
        assert_eq!(users, ["author", "reader"], "neither the file before it nor the one after it");

        // Its deletion is found by its first name, too.
        let deleted = Query { kinds: Kinds { entries: vec![Kind::Deleted], acts: false }, ..at("draft.txt") };
        assert_eq!(journal.find(&deleted), ["Deleted draft.txt alice", "Deleted archive\\final.txt alice"]);
    }
}

#[test]
fn users_see_their_own_entries_and_those_of_their_shares() {
    for mut journal in Journal::of_all_sizes() {
        journal.open("alice", "a", START, Some(START));
        journal.open("bob", "a", START + 1, Some(START + 1));
        let seen = |shares: &[&str], own: Option<&str>| Visible {
            everything: false,
            shares: shares.iter().map(|it| (*it).to_owned()).collect(),
            own: own.map(|it| (it.to_owned(), None)),
        };
        for query in [|| at("a"), || at(""), Query::default] {
            let find = |visible| journal.find(&Query { visible, ..query() });
            assert_eq!(find(seen(&[], Some("ALICE"))), ["Open a alice"]);
            assert_eq!(find(seen(&["data"], Some("carol"))).len(), 2);
            assert_eq!(find(seen(&["other"], None)).len(), 0);
        }
        // A guest of the same name is somebody else.
        journal
            .writer
            .write(START, |batch| {
                let guest = Person { kind: journal::PersonKind::Guest, name: "alice", ..Person::default() };
                let id = batch.next_id(START);
                batch.insert(&Entry {
                    place: Some(("data", "a")),
                    person: Some(guest),
                    ..Entry::new(id, Kind::Deleted)
                })
            })
            .unwrap();
        assert_eq!(journal.find(&Query { visible: seen(&[], Some("alice")), ..at("a") }), ["Open a alice"]);
    }
}

#[test]
fn a_refusal_names_the_open_that_stood_in_the_way() {
    let mut journal = Journal::new();
    journal
        .writer
        .write(START, |batch| {
            let blocker =
                Blocker { person: Person { name: "bob", ..Person::default() }, client: "192.0.2.9", file: 7 };
            let id = batch.next_id(START);
            batch.insert(&Entry {
                place: Some(("data", "a")),
                person: Some(Person { name: "alice", ..Person::default() }),
                reason: Some("sharing_violation"),
                blocker: Some(blocker),
                ..Entry::new(id, Kind::Refused)
            })
        })
        .unwrap();
    let is_bob: journal::UserCondition = Box::new(|_, name| name == "bob");
    let answer =
        Reader::open(journal.path()).unwrap().answer(&Query { user: Some(is_bob), ..at("a") }).unwrap();
    let found = &answer.found[0];
    assert_eq!(found.blocker_user.as_deref(), Some("bob"));
    assert_eq!((found.blocker_client.as_deref(), found.blocker_file), (Some("192.0.2.9"), Some(7)));
    assert_eq!(found.reason.as_deref(), Some("sharing_violation"));
}

#[test]
fn entries_that_were_not_finished_end_when_the_journal_is_opened_again() {
    let mut journal = Journal::new();
    journal.open("alice", "a", START, None);
    journal.open("bob", "b", START + 7, Some(START + 8));
    let Journal { directory, writer } = journal;
    drop(writer);
    let (_writer, opened) = Writer::open(directory.path(), START + HOUR).unwrap();
    assert_eq!(opened.unfinished, 1);
    let answer = Reader::open(directory.path()).unwrap().answer(&at("a")).unwrap();
    assert_eq!(answer.found[0].reason.as_deref(), Some("server_lost"));
    assert_eq!(answer.found[0].end_ms, Some(START + 7), "the time at which something was last written");
}

#[test]
fn a_failed_batch_leaves_nothing_behind() {
    let mut journal = Journal::new();
    let failed = journal.writer.write(START, |batch| {
        let id = batch.next_id(START);
        batch.insert(&Entry { place: Some(("data", "new")), ..Entry::new(id, Kind::Deleted) })?;
        Err(Error::TooLong)
    });
    assert!(failed.is_err());
    assert_eq!(journal.find(&at("")), [""; 0]);
    journal.change(Kind::Deleted, "new", None, START);
    assert_eq!(journal.find(&at("new")), ["Deleted new alice"]);
}

#[test]
fn old_entries_and_unused_names_are_deleted() {
    let mut journal = Journal::new();
    journal.open("alice", "old", START, Some(START + 1));
    journal.open("alice", "lasting", START, None);
    journal.open("alice", "new", START + 2 * HOUR, Some(START + 2 * HOUR));
    journal.act("first", START);
    let head = journal.act("second", START + 2 * HOUR);
    let bounds = Bounds { keep_ms: HOUR, size: u64::MAX };
    let expired = journal.writer.expire(bounds, START + 2 * HOUR + 1).unwrap();
    assert_eq!((expired.entries, expired.names, expired.is_more), (2, 1, false));
    assert_eq!(journal.find(&at("")), ["Open lasting alice", "Open new alice"]);
    // The chain is whole, and begins later.
    let verified = verify(journal.path(), None).unwrap();
    assert_eq!((verified.acts, verified.first, verified.fault), (1, 2, None));
    assert_eq!(verified.head, head);
    // The name can be used again.
    journal.open("alice", "old", START + 3 * HOUR, Some(START + 3 * HOUR));
    assert_eq!(journal.find(&at("old")).len(), 1);
}

#[test]
fn a_journal_that_is_too_large_loses_its_oldest_entries() {
    let mut journal = Journal::new();
    for number in 0..40_i64 {
        journal
            .writer
            .write(START, |batch| {
                (0..500).try_for_each(|n| {
                    let id = batch.next_id(START + number);
                    let path = format!("directory\\file{number}-{n}");
                    batch.insert(&Entry { place: Some(("data", &path)), ..Entry::new(id, Kind::Deleted) })
                })
            })
            .unwrap();
    }
    let before = journal.writer.size().unwrap();
    let bounds = Bounds { keep_ms: HOUR, size: before / 2 };
    let mut rounds = 0;
    while journal.writer.expire(bounds, START + 50).unwrap().is_more {
        rounds += 1;
        assert!(rounds < 20, "expiring does not come to an end");
    }
    assert!(journal.writer.size().unwrap() <= bounds.size);
    assert_eq!(journal.find(&at("directory\\file0-0")).len(), 0);
    assert_eq!(journal.find(&at("directory\\file39-499")).len(), 1);
}

#[test]
fn a_damaged_journal_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    for (number, contents) in
        ["garbage".repeat(1000).into_bytes(), b"SQLite format 3\0garbage".to_vec()].iter().enumerate()
    {
        fs::write(directory.path().join(journal::FILE), contents).unwrap();
        let (_, opened) = Writer::open(directory.path(), START + i64::try_from(number).unwrap()).unwrap();
        let (aside, _) = opened.moved_aside.expect("moved aside");
        assert_eq!(&fs::read(aside).unwrap(), contents);
    }
    // Another program's database is none of ours.
    fs::remove_file(directory.path().join(journal::FILE)).unwrap();
    let other = Connection::open(directory.path().join(journal::FILE)).unwrap();
    other.execute_batch("CREATE TABLE other (a)").unwrap();
    drop(other);
    assert!(Writer::open(directory.path(), START + 9).unwrap().1.moved_aside.is_some());
    for time in 10..15 {
        fs::write(directory.path().join(journal::FILE), "garbage".repeat(1000)).unwrap();
        let _ = Writer::open(directory.path(), START + time).unwrap();
    }
    let kept = fs::read_dir(directory.path()).unwrap().filter(|it| {
        let name = it.as_ref().unwrap().file_name().into_string().unwrap();
        name.contains("damaged") && !name.ends_with("-wal") && !name.ends_with("-shm")
    });
    assert_eq!(kept.count(), journal::limits::DAMAGED_KEPT);
}

#[test]
fn a_journal_of_a_newer_format_is_left_alone() {
    let Journal { directory, writer } = Journal::new();
    drop(writer);
    let path = directory.path().join(journal::FILE);
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(Writer::open(directory.path(), START), Err(Error::Newer { version: 99, .. })));
    assert!(matches!(Reader::open(directory.path()), Err(Error::Newer { .. })));
    assert!(path.exists());
}

#[test]
fn a_changed_or_missing_act_is_found() {
    let fault_after = |change: &str| {
        let mut journal = Journal::new();
        for (number, act) in ["add share", "close file", "end session"].iter().enumerate() {
            journal.act(act, START + i64::try_from(number).unwrap());
        }
        assert_eq!(verify(journal.path(), None).unwrap().fault, None);
        Connection::open(journal.path().join(journal::FILE)).unwrap().execute_batch(change).unwrap();
        verify(journal.path(), None).unwrap().fault
    };
    assert_eq!(fault_after("UPDATE act SET user = 'nobody' WHERE number = 2"), Some(Fault::Changed(2)));
    assert_eq!(fault_after("UPDATE act SET at = at + 1 WHERE number = 1"), Some(Fault::Changed(1)));
    assert_eq!(fault_after("DELETE FROM act WHERE number = 1"), Some(Fault::Missing(1)));
    assert_eq!(fault_after("DELETE FROM act WHERE number = 2"), Some(Fault::Missing(2)));
    assert_eq!(fault_after("DELETE FROM act WHERE number = 3"), Some(Fault::Missing(3)));
    assert_eq!(fault_after("DELETE FROM act"), Some(Fault::Missing(1)));
}

#[test]
fn a_chain_that_was_made_anew_does_not_have_the_head_that_was_noted() {
    let mut journal = Journal::new();
    journal.act("close file", START);
    let noted = journal.act("end session", START + 1);
    assert_eq!(verify(journal.path(), Some(&noted)).unwrap().fault, None);
    journal.act("later", START + 2);
    assert_eq!(verify(journal.path(), Some(&noted)).unwrap().fault, None);
    let mut forged = Journal::new();
    forged.act("close file", START);
    forged.act("nothing", START + 1);
    assert_eq!(verify(forged.path(), Some(&noted)).unwrap().fault, Some(Fault::Unexpected(2)));
    assert_eq!(verify(forged.path(), None).unwrap().fault, None);
}

#[test]
fn views_have_the_documented_columns() {
    let mut journal = Journal::new();
    journal.open("alice", "a", START, Some(START + 1));
    journal.change(Kind::Renamed, "a", Some("b"), START + 2);
    journal.act("close file", START + 3);
    let connection = Connection::open(journal.path().join(journal::FILE)).unwrap();
    let ask = |question: &str| connection.query_row(question, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(
        ask("SELECT share || path || user || client || reason || bytes_read FROM history_opens"),
        "dataaalice192.0.2.1client_close10"
    );
    assert_eq!(ask("SELECT old_path || new_path || at_ms FROM history_renames"), format!("ab{}", START + 2));
    assert_eq!(ask("SELECT user || act || length(hash) FROM history_acts"), "rootclose file64");
    journal.change(Kind::Deleted, "c", None, START + 4);
    assert_eq!(ask("SELECT share || path || user || client FROM history_deletions"), "datacalice192.0.2.1");
    // The latest are read without the others.
    let mut plan = connection
        .prepare("EXPLAIN QUERY PLAN SELECT * FROM history_opens WHERE id < 9 ORDER BY id DESC LIMIT 5")
        .unwrap();
    let steps = plan.query_map([], |row| row.get::<_, String>(3)).unwrap();
    assert!(steps.map(Result::unwrap).all(|step| !step.contains("TEMP B-TREE")));
    for view in ["sessions", "refusals", "logon_refusals", "gaps"] {
        assert_eq!(ask(&format!("SELECT '' || count(*) FROM history_{view}")), "0");
    }
}

#[test]
fn a_file_that_another_one_replaced_is_found_by_its_own_name_only() {
    for mut journal in Journal::of_all_sizes() {
        journal.open("early", "plan.tmp", START - 5, Some(START - 4));
        journal.open("earlier", "plan.odt", START - 3, Some(START - 2));
        journal.change(Kind::Deleted, "plan.odt", Some("plan.tmp"), START);
        journal.change(Kind::Renamed, "plan.tmp", Some("plan.odt"), START + 1);
        let deleted = Kinds { entries: vec![Kind::Deleted], acts: false };
        assert_eq!(journal.find(&Query { kinds: deleted, ..at("plan.odt") }), ["Deleted plan.odt alice"]);
        let found = Reader::open(journal.path()).unwrap().answer(&at("plan.odt")).unwrap().found;
        let deleted = found.iter().find(|it| it.kind == Some(Kind::Deleted)).unwrap();
        assert_eq!(deleted.to.as_deref(), Some("plan.tmp"));
        // The file of before is not the one that has the name now.
        journal.change(Kind::Renamed, "plan.odt", Some("kept.odt"), START + 2);
        let found = Reader::open(journal.path()).unwrap().answer(&at("kept.odt")).unwrap().found;
        let users: Vec<_> =
            found.iter().filter(|it| it.kind == Some(Kind::Open)).map(|it| it.user.clone()).collect();
        assert_eq!(users, [Some("early".to_owned())]);
    }
}

#[test]
fn a_journal_that_turns_out_to_be_damaged_is_replaced() {
    let mut journal = Journal::new();
    journal.open("alice", "a", START, Some(START + 1));
    let Journal { directory, writer } = journal;
    drop(writer);
    let path = directory.path().join(journal::FILE);
    let garbage = "garbage".repeat(1_000);
    fs::write(&path, &garbage).unwrap();
    fs::write(directory.path().join("history.sqlite-wal"), "log").unwrap();
    let damage = Error::Damaged { path, reason: "a page is malformed".into() };
    let (writer, opened) = Writer::replace_damaged(directory.path(), START + 7, &damage).unwrap();
    let (aside, reason) = opened.moved_aside.expect("moved aside");
    assert_eq!(fs::read_to_string(&aside).unwrap(), garbage);
    assert!(aside.to_string_lossy().ends_with(&format!("history.sqlite.damaged-{}", START + 7)), "{aside:?}");
    assert!(reason.contains("a page is malformed"), "{reason}");
    let log = format!("{}-wal", aside.display());
    assert_eq!(fs::read_to_string(log).unwrap(), "log", "what belongs to it is kept with it");
    let mut journal = Journal { directory, writer };
    journal.open("bob", "b", START + 10, Some(START + 11));
    assert_eq!(journal.find(&at("")), ["Open b bob"]);
}

#[test]
fn indices_and_views_of_an_older_version_are_made_anew() {
    let mut journal = Journal::new();
    journal.open("alice", "a", START, Some(START + 1));
    let Journal { directory, writer } = journal;
    drop(writer);
    let file = directory.path().join(journal::FILE);
    let connection = Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "DROP INDEX entry_person; DROP INDEX entry_place; CREATE INDEX entry_place ON entry (place, kind); \
             DROP VIEW history_deletions; CREATE VIEW history_deletions AS SELECT id FROM entry WHERE kind = 3; \
             CREATE INDEX mine ON entry (count);",
        )
        .unwrap();
    let definitions = || {
        let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<Vec<(String, Option<String>)>>>().unwrap()
    };
    let before = definitions();
    let (writer, opened) = Writer::open(directory.path(), START + 5).unwrap();
    assert_eq!(opened.moved_aside, None);
    let after = definitions();
    assert_ne!(before, after);
    let own = |all: &[(String, Option<String>)]| -> Vec<_> {
        all.iter().filter(|(name, _)| name != "mine").cloned().collect()
    };
    let fresh = Journal::new();
    let other = Connection::open(fresh.path().join(journal::FILE)).unwrap();
    let mut statement = other.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let fresh: Vec<(String, Option<String>)> = rows.collect::<rusqlite::Result<_>>().unwrap();
    assert_eq!(own(&after), fresh);
    assert!(after.iter().any(|(name, _)| name == "mine"), "those of others stay");
    assert_eq!(Journal { directory, writer }.find(&at("")), ["Open a alice"]);
}

/// Writes a journal of format 1 in which an open and a session have no end.
fn journal_of_format_1() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let connection = Connection::open(directory.path().join(journal::FILE)).unwrap();
    connection.execute_batch(include_str!("format1.sql")).unwrap();
    // The acts have the same form in both formats.
    let mut other = Journal::new();
    other.act("add share", START);
    other.act("close file", START + 1);
    connection
        .execute_batch(&format!(
            "ATTACH '{}' AS other; INSERT INTO act SELECT * FROM other.act; \
             INSERT INTO meta SELECT * FROM other.meta WHERE name <> 'written_ms'; DETACH other;",
            other.path().join(journal::FILE).display()
        ))
        .unwrap();
    directory
}

#[test]
fn a_journal_of_the_first_format_is_read_and_then_continued() {
    let directory = journal_of_format_1();
    let find = |query: &Query| {
        let answer = Reader::open(directory.path()).unwrap().answer(query).unwrap();
        let reasons = answer.found.iter().map(|it| (it.at_ms - START, it.reason.clone().unwrap_or_default()));
        reasons.collect::<Vec<_>>()
    };
    let entry = |at: i64, reason: &str| (at, reason.to_owned());
    let past = |end: &str| vec![entry(100, "client_close"), entry(300, ""), entry(400, end)];
    assert_eq!(find(&at("plan\\FINAL.txt")), past(""));
    assert_eq!(verify(directory.path(), None).unwrap().acts, 2);

    let (writer, opened) = Writer::open(directory.path(), START + HOUR).unwrap();
    assert_eq!((opened.moved_aside, opened.unfinished), (None, 2));
    assert_eq!(find(&at("plan\\FINAL.txt")), past("server_lost"));
    let verified = verify(directory.path(), None).unwrap();
    assert_eq!((verified.acts, verified.fault), (2, None));
    let mut journal = Journal { directory, writer };
    journal.open("carol", "plan\\final.txt", START + HOUR, Some(START + HOUR + 1));
    assert_eq!(journal.find(&at("draft.txt")).len(), 4);
    let connection = Connection::open(journal.path().join(journal::FILE)).unwrap();
    let ask = |question: &str| connection.query_row(question, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(ask("PRAGMA user_version"), 2);
    assert_eq!(ask("SELECT count(*) FROM history_opens"), 3);
    assert_eq!(ask("SELECT count(*) FROM history_sessions"), 1);
    // The next start finds the new format and changes nothing.
    let Journal { directory, writer } = journal;
    drop(writer);
    let (_, opened) = Writer::open(directory.path(), START + 2 * HOUR).unwrap();
    assert_eq!((opened.moved_aside, opened.unfinished), (None, 0));
}
