//! The former and later names of a file: renames of the file itself and of directories above it.

use rusqlite::{Connection, OptionalExtension, params};
use wire::FoldedName;

use crate::limits::NAMES_FOLLOWED;
use crate::record::{EntryId, Kind};
use crate::runs;
use crate::schema::IS_RARE;

/// Another name that a file had before, or got later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerName {
    /// The share.
    pub share: String,
    /// The path in the share.
    pub path: String,
    /// The time from which on the file had the name, in milliseconds since the Unix epoch; `None` if that is not known.
    pub since_ms: Option<i64>,
    /// The time until which the file had the name; `None` if no end is known.
    pub until_ms: Option<i64>,
    /// True if the file got the name after that of the query.
    pub is_later: bool,
}

/// A name, and the entries that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) share: i64,
    /// The folded path.
    pub(crate) key: String,
    /// The path as it is shown.
    pub(crate) path: String,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) direction: Direction,
}

/// The direction in which a name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Asked,
    Former,
    Later,
}

/// A rename of a file or of a directory above it.
struct Move {
    id: i64,
    key: String,
    path: String,
}

/// The spans of a path: its own for all times, and those of its other names.
pub(crate) fn follow(
    connection: &Connection,
    share: i64,
    path: &str,
    is_of_one_table: bool,
) -> rusqlite::Result<Vec<Span>> {
    let key = FoldedName::new(path).as_str().to_owned();
    let own =
        Span { share, key, path: path.to_owned(), first: 0, last: i64::MAX, direction: Direction::Asked };
    let mut spans = vec![own];
    let mut next = 0;
    while let Some(span) = spans.get(next).cloned() {
        next = next.saturating_add(1);
        if span.direction != Direction::Later {
            for it in moves(connection, &span, true)? {
                let first =
                    boundary(connection, (share, &it.key), it.id, true, is_of_one_table)?.unwrap_or(0);
                enter(
                    &mut spans,
                    Span {
                        first,
                        last: it.id,
                        direction: Direction::Former,
                        share,
                        key: it.key,
                        path: it.path,
                    },
                );
            }
        }
        if span.direction != Direction::Former {
            for it in moves(connection, &span, false)? {
                let last = boundary(connection, (share, &it.key), it.id, false, is_of_one_table)?
                    .unwrap_or(i64::MAX);
                enter(
                    &mut spans,
                    Span {
                        first: it.id,
                        last,
                        direction: Direction::Later,
                        share,
                        key: it.key,
                        path: it.path,
                    },
                );
            }
        }
    }
    Ok(spans)
}

fn enter(spans: &mut Vec<Span>, span: Span) {
    let is_known = |it: &Span| it.key == span.key && it.first <= span.first && it.last >= span.last;
    if spans.len() <= NAMES_FOLLOWED && !spans.iter().any(is_known) {
        spans.push(span);
    }
}

/// The renames to a name (`into`) or away from it, in its time, the latest first.
fn moves(connection: &Connection, span: &Span, into: bool) -> rusqlite::Result<Vec<Move>> {
    let (near, far) = if into { ("to_place", "place") } else { ("place", "to_place") };
    let index = if into { "entry_to_place" } else { "entry_place_rare" };
    let is_rare = format!("e.{IS_RARE}");
    let question = format!(
        "SELECT e.id, far.path_key, far.path FROM entry e INDEXED BY {index} JOIN place far ON far.id = e.{far} \
         WHERE e.{near} = (SELECT id FROM place WHERE share = ?1 AND path_key = ?2) AND e.kind = ?3 \
         AND {is_rare} AND e.id BETWEEN ?4 AND ?5 ORDER BY e.id DESC LIMIT ?6"
    );
    let mut statement = connection.prepare_cached(&question)?;
    let mut found = Vec::new();
    for (end, _) in span.key.match_indices('\\').chain([(span.key.len(), "")]) {
        let (Some(above), Some(rest)) = (span.key.get(..end), span.key.get(end..)) else { continue };
        // The folded name may have another length, so the components are counted.
        let depth = above.matches('\\').count();
        let shown = span.path.match_indices('\\').nth(depth).map_or(span.path.len(), |(end, _)| end);
        let shown_rest = span.path.get(shown..).unwrap_or_default();
        let most = i64::try_from(NAMES_FOLLOWED).unwrap_or(i64::MAX);
        let rows = statement.query_map(
            params![span.share, above, Kind::Renamed as i64, span.first, span.last, most],
            |row| {
                let (key, path): (String, String) = (row.get(1)?, row.get(2)?);
                Ok(Move { id: row.get(0)?, key: key + rest, path: path + shown_rest })
            },
        )?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_by_key(|it| std::cmp::Reverse(it.id));
    found.truncate(NAMES_FOLLOWED);
    Ok(found)
}

/// The last time before `id`, or the first after it, at which a file of this name was deleted or renamed.
fn boundary(
    connection: &Connection,
    (share, key): (i64, &str),
    id: i64,
    before: bool,
    is_of_one_table: bool,
) -> rusqlite::Result<Option<i64>> {
    let place = connection
        .prepare_cached("SELECT id FROM place WHERE share = ?1 AND path_key = ?2")?
        .query_row(params![share, key], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(place) = place else { return Ok(None) };
    let (relation, order) = if before { ("<", "DESC") } else { (">", "ASC") };
    let question = format!(
        "SELECT e.id FROM entry e INDEXED BY entry_place_rare WHERE e.place = ?1 \
         AND e.{IS_RARE} AND e.kind IN (3, 4) AND e.id {relation} ?2 ORDER BY e.id {order} LIMIT 1"
    );
    let found: Option<i64> =
        connection.prepare_cached(&question)?.query_row([place, id], |row| row.get(0)).optional()?;
    let deletion = if is_of_one_table { None } else { runs::next_deletion(connection, place, id, before)? };
    let both = found.into_iter().chain(deletion);
    Ok(if before { both.max() } else { both.min() })
}

impl Span {
    /// The span as a caller sees it.
    pub(crate) fn shown(&self, share: &str) -> FormerName {
        let time = |id: i64| (id > 0 && id < i64::MAX).then(|| EntryId(id).time_ms());
        FormerName {
            share: share.to_owned(),
            path: self.path.clone(),
            since_ms: time(self.first),
            until_ms: time(self.last),
            is_later: self.direction == Direction::Later,
        }
    }
}
