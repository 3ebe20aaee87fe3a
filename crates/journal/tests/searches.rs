//! Searches in a journal that is larger than what is looked up name by name, compared with a search of all its entries.

use journal::{
    Batch, Blocker, ClientCondition, Entry, EntryId, Error, Finish, Kind, Kinds, Person, Place, Query,
    Reader, UserCondition, Visible, Within, Writer,
};

/// The entries, more than an estimate counts.
const ENTRIES: i64 = 30_000;
/// The files below the larger directory, more than are looked up at once.
const FILES: i64 = 2_500;
const START: i64 = 1_790_000_000_000;
const PACE: i64 = 1_000;
const MINUTE: i64 = 60_000;

/// An entry as the search of all entries sees it.
#[derive(Clone, Debug)]
struct Known {
    id: EntryId,
    kind: Kind,
    at: i64,
    end: Option<i64>,
    path: String,
    to: Option<String>,
    user: String,
    client: String,
    holder: Option<(&'static str, &'static str)>,
}

fn known(number: i64) -> Known {
    let draw = number.wrapping_mul(40_503).rem_euclid(1_000);
    let at = START + number * PACE;
    let (kind, lasts) = match draw {
        0..60 => (Kind::Deleted, None),
        60..80 => (Kind::Renamed, None),
        80..100 => (Kind::Refused, None),
        100..200 => (Kind::Open, Some(MINUTE << (draw % 9))),
        200 => (Kind::Open, None),
        _ => (Kind::Open, Some(40)),
    };
    let file = number.wrapping_mul(7_919).rem_euclid(FILES);
    // The old files were used at the beginning only.
    let path = match number {
        0..1_000 => format!("old\\file{number}"),
        _ if file < 5 => format!("few\\file{file}"),
        _ => format!("many\\part{}\\file{file}", file % 7),
    };
    Known {
        id: EntryId::at(at),
        kind,
        at,
        end: lasts.map(|lasts| at + lasts),
        to: (kind == Kind::Renamed).then(|| format!("{path}.new")),
        path,
        user: if number % 5_000 == 4_999 { "rare".into() } else { format!("user{}", number % 7) },
        client: format!("192.0.2.{}", number % 11),
        holder: (kind == Kind::Refused).then_some(("user3", "192.0.2.200")),
    }
}

fn insert(batch: &mut Batch<'_>, it: &Known) -> Result<(), Error> {
    let id = batch.next_id(it.at);
    assert_eq!(id, it.id);
    let finish = it.end.map(|at_ms| Finish { at_ms, reason: "client_close", read: 0, written: 0 });
    let blocker = it.holder.map(|(name, client)| Blocker {
        person: Person { name, ..Person::default() },
        client,
        file: 7,
    });
    batch.insert(&Entry {
        place: Some(("data", &it.path)),
        to: it.to.as_deref(),
        person: Some(Person { name: &it.user, ..Person::default() }),
        client: Some(&it.client),
        finish,
        blocker,
        ..Entry::new(id, it.kind)
    })
}

/// The conditions of a query in a form that can be printed.
#[derive(Clone, Copy, Debug)]
struct Conditions {
    below: Option<&'static str>,
    kinds: &'static [Kind],
    at: Option<i64>,
    since: Option<i64>,
    until: Option<i64>,
    user: Option<&'static str>,
    client: Option<&'static str>,
    own: Option<&'static str>,
    limit: usize,
}

impl Conditions {
    fn query(self) -> Query {
        let place = |path: &str| Within::Places(vec![Place { share: "data".into(), path: path.into() }]);
        let user = self.user.map(|user| -> UserCondition { Box::new(move |_, name| name == user) });
        let client = self.client.map(|wanted| -> ClientCondition { Box::new(move |name| name == wanted) });
        Query {
            within: self.below.map_or(Within::Everything, place),
            kinds: Kinds { entries: self.kinds.to_vec(), acts: false },
            at_ms: self.at,
            since_ms: self.since,
            until_ms: self.until,
            user,
            client,
            visible: Visible {
                everything: self.own.is_none(),
                shares: Vec::new(),
                own: self.own.map(|own| (own.to_owned(), None)),
            },
            limit: self.limit,
        }
    }

    fn has(self, it: &Known) -> bool {
        let is_below = |path: &str| {
            let Some(below) = self.below.filter(|it| !it.is_empty()) else { return true };
            path.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with(['\\', ':']))
        };
        let lasts = |time: i64| it.end.is_none_or(|end| end >= time);
        let is_open = it.kind == Kind::Open;
        let is_user = |user: &str| it.user == user || it.holder.is_some_and(|(name, _)| name == user);
        let is_client = |client: &str| it.client == client || it.holder.is_some_and(|(_, it)| it == client);
        self.kinds.contains(&it.kind)
            && (is_below(&it.path) || it.to.as_deref().is_some_and(is_below))
            && self.at.is_none_or(|at| is_open && it.at <= at && lasts(at))
            && self.since.is_none_or(|since| it.at >= since || is_open && lasts(since))
            && self.until.is_none_or(|until| it.at <= until)
            && self.user.is_none_or(is_user)
            && self.client.is_none_or(is_client)
            && self.own.is_none_or(|own| it.user == own)
    }
}

/// Adds all entries. A tenth of the opens is added without an end, which follows after the next entries have an index.
fn fill(writer: &mut Writer, all: &[Known]) {
    let mut ending: Vec<&Known> = Vec::new();
    for part in all.chunks(1_000) {
        let ends_later = |it: &Known| it.kind == Kind::Open && it.end.is_some() && it.at / PACE % 10 == 3;
        writer
            .write(START, |batch| {
                for it in std::mem::take(&mut ending) {
                    let finish =
                        Finish { at_ms: it.end.unwrap(), reason: "client_close", read: 0, written: 0 };
                    assert!(batch.finish(it.id, &finish)?);
                }
                for it in part {
                    if ends_later(it) {
                        insert(batch, &Known { end: None, ..it.clone() })?;
                        ending.push(it);
                    } else {
                        insert(batch, it)?;
                    }
                }
                Ok(())
            })
            .unwrap();
        while writer.index().unwrap() {}
    }
    let finish = |it: &Known| Finish { at_ms: it.end.unwrap(), reason: "client_close", read: 0, written: 0 };
    writer
        .write(START, |batch| {
            ending.iter().try_for_each(|it| batch.finish(it.id, &finish(it)).map(|is| assert!(is)))
        })
        .unwrap();
}

#[test]
fn answers_are_those_of_a_search_of_all_entries() {
    answers_are_as_expected(None, 13, 0);
}

#[test]
fn answers_from_many_runs_are_those_of_a_search_of_all_entries() {
    answers_are_as_expected(Some((900, 1_400)), 17, 20);
    answers_are_as_expected(Some((100, 150)), 61, 200);
}

/// Compares a part of the answers. There are at least `runs` runs.
fn answers_are_as_expected(sizes: Option<(usize, usize)>, each: usize, runs: i64) {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(directory.path(), START).unwrap();
    if let Some((entries, unindexed)) = sizes {
        writer.set_runs(entries, unindexed);
    }
    let all: Vec<Known> = (0..ENTRIES).map(known).collect();
    fill(&mut writer, &all);
    let connection = rusqlite::Connection::open(directory.path().join(journal::FILE)).unwrap();
    let made: i64 = connection.query_row("SELECT count(*) FROM run", [], |row| row.get(0)).unwrap();
    assert!(made >= runs, "{made} runs");
    assert!(runs > 0 || made == 0);
    let mut reader = Reader::open(directory.path()).unwrap();
    let middle = START + ENTRIES / 2 * PACE;
    const ALL: &[Kind] = &[Kind::Open, Kind::Deleted, Kind::Renamed, Kind::Refused];
    let mut asked = 0;
    for below in
        [None, Some(""), Some("many"), Some("many\\part3"), Some("few"), Some("few\\file1"), Some("old")]
    {
        for kinds in [ALL, &[Kind::Open], &[Kind::Deleted], &[Kind::Renamed, Kind::Refused]] {
            for (at, since, until) in [
                (None, None, None),
                (Some(middle), None, None),
                (None, Some(middle), None),
                (None, Some(middle), Some(middle + 10 * MINUTE)),
                (None, None, Some(middle)),
            ] {
                for (user, client, own) in [
                    (None, None, None),
                    (Some("user3"), None, None),
                    (Some("rare"), None, None),
                    (Some("nobody"), None, None),
                    (None, Some("192.0.2.4"), None),
                    (None, Some("192.0.2.200"), None),
                    (Some("user3"), Some("192.0.2.4"), None),
                    (None, None, Some("user5")),
                    (None, None, Some("rare")),
                ] {
                    for limit in [3, 300, 10_000] {
                        asked += 1;
                        // A part of the combinations, in which each condition meets each other one.
                        if asked % each != 0 {
                            continue;
                        }
                        let conditions =
                            Conditions { below, kinds, at, since, until, user, client, own, limit };
                        let mut expected: Vec<EntryId> =
                            all.iter().filter(|it| conditions.has(it)).map(|it| it.id).collect();
                        let has_earlier = expected.len() > limit;
                        expected.drain(..expected.len().saturating_sub(limit));
                        let answer = reader.answer(&conditions.query()).unwrap();
                        let found: Vec<EntryId> = answer.found.iter().map(|it| it.id).collect();
                        assert!(found == expected, "{conditions:?}: {} {}", found.len(), expected.len());
                        assert_eq!(answer.has_earlier, has_earlier, "{conditions:?}");
                    }
                }
            }
        }
    }
    assert_eq!(asked, 7 * 4 * 5 * 9 * 3);
}
