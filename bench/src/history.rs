//! `cargo xtask bench --history`: the cost of writing the history, and the time of searches in one of ten million entries.
//! It makes the journal directly, below the temporary directory, and takes some minutes and two gigabytes.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use journal::{Entry, Finish, Kind, Kinds, Person, Place, Query, Reader, Within, Writer};

use crate::say;

/// The entries of the journal.
const ENTRIES: i64 = 10_000_000;
/// The entries of a transaction, as the server has under load.
const BATCH: i64 = 4_096;
/// The files, in directories of a hundred.
const FILES: i64 = 200_000;
/// The time between two entries, in milliseconds: ten million of them are a month.
const PACE_MS: i64 = 259;
/// The time of the first entry.
const START_MS: i64 = 1_790_000_000_000;
/// The most that a search may take.
const SEARCH_MAX: Duration = Duration::from_millis(100);

/// Makes the journal and measures. Fails if a search takes too long.
pub(crate) fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("the history cannot be measured: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<bool, Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = Writer::open(directory.path(), START_MS)?;
    let begin = Instant::now();
    let mut number = 0;
    while number < ENTRIES {
        let last = number.saturating_add(BATCH).min(ENTRIES);
        writer.write(START_MS + last * PACE_MS, |batch| {
            (number..last).try_for_each(|number| {
                let at = START_MS + number * PACE_MS;
                // A multiplicative order, so that neighbours in time are in different directories.
                let file = number.wrapping_mul(2_654_435_761).rem_euclid(FILES);
                let path = format!("project {}\\part {}\\document {file}.odt", file / 10_000, file / 100);
                let user = format!("user{}", number % 50);
                let client = format!("192.0.2.{}", number % 250);
                // Most opens are short; one in a thousand lasts for hours, and one in five hundred ends with a delete.
                let lasts = if number % 1_000 == 0 { 10_000_000 } else { 40 };
                let finish = Finish { at_ms: at + lasts, reason: "client_close", read: 4_096, written: 0 };
                let kind = if number % 500 == 1 { Kind::Deleted } else { Kind::Open };
                let id = batch.next_id(at);
                batch.insert(&Entry {
                    place: Some(("data", &path)),
                    person: Some(Person { name: &user, ..Person::default() }),
                    client: Some(&client),
                    session: Some(1),
                    file: Some(u32::try_from(number).unwrap_or(u32::MAX)),
                    access: Some(0x0012_0089),
                    finish: (kind == Kind::Open).then_some(finish),
                    ..Entry::new(id, kind)
                })
            })
        })?;
        number = last;
    }
    let micros = begin.elapsed().as_micros();
    let each = u128::try_from(ENTRIES).map_or(0, |entries| micros * 100 / entries);
    say(&format!(
        "written: {ENTRIES} entries in {} s, {}.{:02} us each; {} MiB",
        micros / 1_000_000,
        each / 100,
        each % 100,
        writer.size()? >> 20
    ));
    drop(writer);

    let end = START_MS + ENTRIES * PACE_MS;
    let middle = START_MS + ENTRIES / 2 * PACE_MS;
    let hour = 3_600_000;
    let place = |path: &str| Within::Places(vec![Place { share: "data".into(), path: path.into() }]);
    let file = "project 7\\part 712\\document 71234.odt";
    let deleted = Kinds { entries: vec![Kind::Deleted], acts: false };
    let is_user: journal::UserCondition = Box::new(|_, name| name == "user7");
    let mut is_fast = true;
    for (what, query) in [
        ("a file", Query { within: place(file), ..Query::default() }),
        ("a file at a time", Query { within: place(file), at_ms: Some(middle), ..Query::default() }),
        (
            "a file in an hour",
            Query {
                within: place(file),
                since_ms: Some(middle),
                until_ms: Some(middle + hour),
                ..Query::default()
            },
        ),
        ("who deleted a file", Query { within: place(file), kinds: deleted.clone(), ..Query::default() }),
        ("a directory of 100 files", Query { within: place("project 7\\part 712"), ..Query::default() }),
        (
            "a directory of 100 files at a time",
            Query { within: place("project 7\\part 712"), at_ms: Some(middle), ..Query::default() },
        ),
        (
            "a directory of 10,000 files in an hour",
            Query {
                within: place("project 7"),
                since_ms: Some(middle),
                until_ms: Some(middle + hour),
                ..Query::default()
            },
        ),
        (
            "deletions below a directory of 10,000 files",
            Query { within: place("project 7"), kinds: deleted, ..Query::default() },
        ),
        ("the share at a time", Query { within: place(""), at_ms: Some(middle), ..Query::default() }),
        ("the last hour of the server", Query { since_ms: Some(end - hour), ..Query::default() }),
        (
            "a user since yesterday",
            Query { since_ms: Some(end - 24 * hour), user: Some(is_user), ..Query::default() },
        ),
    ] {
        let begin = Instant::now();
        // A connection for each, as in the server.
        let answer = Reader::open(directory.path())?.answer(&query)?;
        let took = begin.elapsed();
        is_fast &= took <= SEARCH_MAX;
        say(&format!("{what:<46} {:>5} entries {:>8.2} ms", answer.found.len(), took.as_secs_f64() * 1000.0));
    }
    if !is_fast {
        say(&format!("a search took longer than {} ms", SEARCH_MAX.as_millis()));
    }
    Ok(is_fast)
}
