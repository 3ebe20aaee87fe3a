//! `cargo xtask bench --history`: the cost of writing the history, and the time of searches in one of ten million entries.
//! It makes the journal directly, below the temporary directory, and takes some minutes and a gigabyte.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use journal::{
    Batch, Blocker, ClientCondition, Entry, Error, Finish, Kind, Kinds, Person, Place, Query, Reader,
    UserCondition, Within, Writer,
};

use crate::say;

/// The entries of the journal.
const ENTRIES: i64 = 10_000_000;
/// The entries of a transaction, as the server has under load.
const BATCH: i64 = 4_096;
/// The files, in directories of a hundred, in projects of ten thousand.
const FILES: i64 = 200_000;
/// The files of the archive, each of which was opened once, at the beginning.
const ARCHIVED: i64 = 20_000;
/// The time between two entries, in milliseconds: ten million of them are a month.
const PACE_MS: i64 = 259;
/// The time of the first entry.
const START_MS: i64 = 1_790_000_000_000;
/// The most that a search may take.
const SEARCH_MAX: Duration = Duration::from_millis(100);
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

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
    fill(directory.path())?;
    Ok(search(directory.path())?)
}

/// Writes the journal.
pub(crate) fn fill(directory: &Path) -> Result<(), Error> {
    let (mut writer, _) = Writer::open(directory, START_MS)?;
    let begin = Instant::now();
    let mut number = 0;
    while number < ENTRIES {
        let last = number.saturating_add(BATCH).min(ENTRIES);
        writer.write(START_MS + last * PACE_MS, |batch| {
            (number..last).try_for_each(|number| insert(batch, number))
        })?;
        writer.index()?;
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
    Ok(())
}

/// Searches the journal, and returns true if each search is fast.
pub(crate) fn search(directory: &Path) -> Result<bool, Error> {
    let mut is_fast = true;
    for (what, query) in searches() {
        let (begin, used) = (Instant::now(), processor_time());
        // A connection for each, as in the server.
        let answer = Reader::open(directory)?.answer(&query)?;
        let (took, used) = (begin.elapsed(), processor_time().saturating_sub(used));
        // On a busy machine, the rest of the time is that of others.
        is_fast &= used <= SEARCH_MAX;
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        say(&format!(
            "{what:<46} {:>5} entries {:>8.2} ms, {:>8.2} ms of the processor",
            answer.found.len(),
            ms(took),
            ms(used)
        ));
    }
    if !is_fast {
        say(&format!("a search took longer than {} ms", SEARCH_MAX.as_millis()));
    }
    Ok(is_fast)
}

/// The time that the main thread has spent on a processor (proc(5), `schedstat`).
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default())
}

/// Adds an entry. Most are short opens; of a hundred, five are opens that last from a minute to a week, four are deletions,
/// one is a rename, and now and then somebody is refused.
fn insert(batch: &mut Batch<'_>, number: i64) -> Result<(), Error> {
    let at = START_MS + number * PACE_MS;
    // A multiplicative order, so that neighbours in time are in different directories.
    let file = number.wrapping_mul(2_654_435_761).rem_euclid(FILES);
    let path = match number < ARCHIVED {
        true => format!("archive\\document {number}.odt"),
        false => format!("project {}\\part {}\\document {file}.odt", file / 10_000, file / 100),
    };
    let new_path = format!("{path}.old");
    let user = if number % 100_000 == 99_990 { "rare".to_owned() } else { format!("user{}", number % 53) };
    let client = format!("192.0.2.{}", number % 251);
    let draw = number.wrapping_mul(40_503).rem_euclid(1_000);
    let (kind, lasts) = match draw {
        0..40 => (Kind::Deleted, None),
        40..50 => (Kind::Renamed, None),
        50..53 => (Kind::Refused, None),
        53..93 => (Kind::Open, Some(MINUTE << (draw % 7))),
        93..102 => (Kind::Open, Some(HOUR << (draw % 8))),
        _ => (Kind::Open, Some(40)),
    };
    let finish =
        lasts.map(|lasts| Finish { at_ms: at + lasts, reason: "client_close", read: 4_096, written: 0 });
    let holder = Person { name: "user7", ..Person::default() };
    let blocker = Blocker { person: holder, client: "192.0.2.9", file: 7 };
    let id = batch.next_id(at);
    batch.insert(&Entry {
        place: Some(("data", &path)),
        to: (kind == Kind::Renamed).then_some(&*new_path),
        person: Some(Person { name: &user, ..Person::default() }),
        client: Some(&client),
        session: Some(1),
        file: Some(u32::try_from(number).unwrap_or(u32::MAX)),
        access: Some(0x0012_0089),
        finish,
        reason: (kind == Kind::Refused).then_some("sharing_violation"),
        blocker: (kind == Kind::Refused).then_some(blocker),
        ..Entry::new(id, kind)
    })
}

/// The searches, with their names.
fn searches() -> Vec<(String, Query)> {
    let end = START_MS + ENTRIES * PACE_MS;
    let middle = START_MS + ENTRIES / 2 * PACE_MS;
    let deleted = || Kinds { entries: vec![Kind::Deleted], acts: false };
    let is_user =
        |user: &'static str| -> Option<UserCondition> { Some(Box::new(move |_, name| name == user)) };
    let is_client = || -> Option<ClientCondition> { Some(Box::new(|client| client == "192.0.2.77")) };
    let mut searches = Vec::new();
    let mut add = |what: &str, query: Query| searches.push((what.to_owned(), query));
    for (what, path) in [
        ("a file", "project 7\\part 712\\document 71234.odt"),
        ("100 files", "project 7\\part 712"),
        ("10,000 files", "project 7"),
        ("20,000 old files", "archive"),
        ("the share", ""),
    ] {
        let within = || Within::Places(vec![Place { share: "data".into(), path: path.into() }]);
        add(what, Query { within: within(), ..Query::default() });
        add(
            &format!("{what} at a time"),
            Query { within: within(), at_ms: Some(middle), ..Query::default() },
        );
        let (since_ms, until_ms) = (Some(middle), Some(middle + HOUR));
        add(
            &format!("{what} in an hour"),
            Query { within: within(), since_ms, until_ms, ..Query::default() },
        );
        let until_ms = Some(middle + 24 * HOUR);
        add(&format!("{what} in a day"), Query { within: within(), since_ms, until_ms, ..Query::default() });
        add(
            &format!("{what} until a time"),
            Query { within: within(), until_ms: Some(middle), ..Query::default() },
        );
        add(
            &format!("deletions of {what}"),
            Query { within: within(), kinds: deleted(), ..Query::default() },
        );
        // Of many files over all time, those of one user are as many as the entries that have to be read for them.
        let is_large = what.contains(",000");
        let (since_ms, until_ms) = if is_large { (since_ms, until_ms) } else { (None, None) };
        let time = if is_large { " in a day" } else { "" };
        for user in ["user7", "rare", "nobody"] {
            add(
                &format!("{what} by {user}{time}"),
                Query { within: within(), since_ms, until_ms, user: is_user(user), ..Query::default() },
            );
        }
        add(
            &format!("deletions of {what} by a user{time}"),
            Query {
                within: within(),
                since_ms,
                until_ms,
                kinds: deleted(),
                user: is_user("user7"),
                ..Query::default()
            },
        );
        add(
            &format!("{what} by a client{time}"),
            Query { within: within(), since_ms, until_ms, client: is_client(), ..Query::default() },
        );
    }
    add("the last hour of the server", Query { since_ms: Some(end - HOUR), ..Query::default() });
    add("deletions", Query { kinds: deleted(), ..Query::default() });
    for user in ["user7", "rare"] {
        add(user, Query { user: is_user(user), ..Query::default() });
        add(
            &format!("{user} since yesterday"),
            Query { since_ms: Some(end - 24 * HOUR), user: is_user(user), ..Query::default() },
        );
        add(
            &format!("{user} at a time"),
            Query { at_ms: Some(middle), user: is_user(user), ..Query::default() },
        );
        add(
            &format!("deletions by {user}"),
            Query { kinds: deleted(), user: is_user(user), ..Query::default() },
        );
    }
    add("a client", Query { client: is_client(), ..Query::default() });
    add("deletions by a client", Query { kinds: deleted(), client: is_client(), ..Query::default() });
    let refused = Kinds { entries: vec![Kind::Refused], acts: false };
    add(
        "refusals by an open of a user",
        Query { kinds: refused, user: is_user("user7"), ..Query::default() },
    );
    searches
}
