//! Runs of brief entries: their expiry, and kills at any time.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use journal::{Act, Bounds, Entry, Finish, Kind, Person, Place, Query, Reader, Within, Writer, verify};
use rusqlite::Connection;

const HOUR: i64 = 3_600_000;
/// Some time in 2026.
const START: i64 = 1_790_000_000_000;

fn at(path: &str) -> Query {
    let place = Place { share: "data".into(), path: path.into() };
    Query { within: Within::Places(vec![place]), ..Query::default() }
}

/// Adds brief opens of these files, one each second, with one file in a directory of its own for each hundred.
fn add_brief(writer: &mut Writer, numbers: std::ops::Range<i64>) {
    writer
        .write(START + numbers.end, |batch| {
            numbers.clone().try_for_each(|number| {
                let at = START + number * 1_000;
                let id = batch.next_id(at);
                let path =
                    if number % 100 == 0 { format!("often\\{number}") } else { format!("file{number}") };
                batch.insert(&Entry {
                    place: Some(("data", &path)),
                    person: Some(Person { name: "alice", ..Person::default() }),
                    finish: Some(Finish { at_ms: at + 5, reason: "client_close", read: 0, written: 0 }),
                    ..Entry::new(id, Kind::Open)
                })
            })
        })
        .unwrap();
    while writer.index().unwrap() {}
}

#[test]
fn runs_expire_by_age_and_by_size_with_their_index_and_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(directory.path(), START).unwrap();
    let find = |path: &str| Reader::open(directory.path()).unwrap().answer(&at(path)).unwrap().found.len();
    writer.set_runs(500, 700);
    for part in 0..8 {
        add_brief(&mut writer, part * 1_000..(part + 1) * 1_000);
    }
    let connection = Connection::open(directory.path().join(journal::FILE)).unwrap();
    let ask = |question: &str| connection.query_row(question, [], |row| row.get::<_, i64>(0)).unwrap();
    let (runs, postings) = (ask("SELECT count(*) FROM run"), ask("SELECT count(*) FROM posting"));
    assert_eq!((runs, ask("SELECT count(*) FROM place")), (15, 8_000));
    // By age: what is left begins in the middle of a run.
    let bounds = Bounds { keep_ms: HOUR, size: u64::MAX };
    let now = START + 1_750 * 1_000 + HOUR;
    let mut names = 0;
    for _ in 0..5 {
        names += writer.expire(bounds, now).unwrap().names;
    }
    assert_eq!(ask("SELECT min(began_ms) FROM history_opens"), START + 1_750 * 1_000);
    assert_eq!((ask("SELECT count(*) FROM history_opens"), ask("SELECT count(*) FROM run")), (6_250, 12));
    assert!(ask("SELECT count(*) FROM posting") < postings);
    assert_eq!(names, 1_500, "those of runs that are gone");
    assert_eq!((find("often"), find("file1749"), find("file1751")), (62, 0, 1));
    // By size: a part goes, then all, as long as the names have room.
    let size = writer.size().unwrap();
    let mut rounds = 0;
    while writer.expire(Bounds { keep_ms: HOUR, size: size * 3 / 4 }, now).unwrap().is_more {
        rounds += 1;
        assert!(rounds < 20, "expiring does not come to an end");
    }
    assert!(writer.size().unwrap() <= size * 3 / 4);
    for _ in 0..9 {
        let _ = writer.expire(Bounds { keep_ms: -HOUR, size }, now + 10 * HOUR).unwrap();
    }
    for table in ["brief", "run", "posting", "place"] {
        assert_eq!(ask(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    // It goes on from there.
    add_brief(&mut writer, 20_000..21_000);
    assert_eq!(ask("SELECT count(*) FROM run"), 1);
    assert_eq!(find("file20001"), 1);
}

/// The variable with the directory of the journal that [`writes_until_it_is_killed`] writes.
const KILLED: &str = "SHAREWARD_TEST_KILLED";

#[test]
#[ignore = "the test of kills runs it as a process of its own"]
#[expect(clippy::print_stdout, reason = "the test that kills it reads what was written")]
fn writes_until_it_is_killed() {
    let Ok(directory) = std::env::var(KILLED) else { return };
    let (mut writer, opened) = Writer::open(Path::new(&directory), START).unwrap();
    assert_eq!(opened.moved_aside, None);
    writer.set_runs(200, 300);
    let mut number = Connection::open(Path::new(&directory).join(journal::FILE))
        .unwrap()
        .query_row("SELECT coalesce(max(began_ms) + 1000, ?1) FROM history_opens", [START], |row| row.get(0))
        .map(|next: i64| ((next - START) / 1_000 + 99) / 100 * 100)
        .unwrap();
    loop {
        writer
            .write(START, |batch| {
                let act = Act { at_ms: START, act: format!("batch {number}"), ..Act::default() };
                batch.act(act);
                let id = batch.next_id(START + number * 1_000 + 1);
                batch.insert(&Entry { place: Some(("data", "lasting")), ..Entry::new(id, Kind::Open) })
            })
            .unwrap();
        add_brief(&mut writer, number..number + 100);
        let bounds = Bounds { keep_ms: 5_000 * 1_000, size: u64::MAX };
        let _ = writer.expire(bounds, START + number * 1_000).unwrap();
        number += 100;
        println!("\nwritten {number}");
    }
}

#[test]
fn a_journal_opens_again_after_kills_at_any_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut runs = BTreeSet::new();
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(KILLED, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The kill meets different moments: the lines come after all has been written, and some time passes then.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut written = 0_i64;
        for _ in 0..3 + round {
            let line =
                lines.by_ref().find(|it| it.as_ref().unwrap().starts_with("written ")).unwrap().unwrap();
            written = line.trim_start_matches("written ").parse().unwrap();
        }
        let begin = std::time::Instant::now();
        while begin.elapsed().as_micros() < 700 * round {}
        child.kill().unwrap();
        child.wait().unwrap();

        let (mut writer, opened) = Writer::open(directory.path(), START).unwrap();
        assert_eq!(opened.moved_aside, None);
        assert!(opened.unfinished >= 2, "{}", opened.unfinished);
        let mut reader = Reader::open(directory.path()).unwrap();
        let mut find = |path: &str| reader.answer(&at(path)).unwrap().found.len();
        let last = written - 1;
        assert_eq!(find(&format!("file{last}")), 1, "what was written is found");
        assert!(find("lasting") >= 2);
        assert_eq!(verify(directory.path(), None).unwrap().fault, None);
        let connection = Connection::open(directory.path().join(journal::FILE)).unwrap();
        let ask = |question: &str| connection.query_row(question, [], |row| row.get::<_, i64>(0)).unwrap();
        runs.insert(ask("SELECT count(*) FROM run"));
        // The index leads to the same entries as the table, whether a run was finished or not.
        let often = ask("SELECT count(*) FROM history_opens WHERE path LIKE 'often%'");
        assert_eq!(i64::try_from(find("often")).unwrap(), often);
        assert_eq!(ask("SELECT count(*) FROM posting WHERE run NOT IN (SELECT last FROM run)"), 0);
        writer.set_runs(200, 300);
        while writer.index().unwrap() {}
        assert_eq!(i64::try_from(find("often")).unwrap(), often);
    }
    assert!(runs.len() > 1, "{runs:?}");
}
