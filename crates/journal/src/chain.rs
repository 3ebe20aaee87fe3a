//! The chain of the acts of administration: each has the hash of its own contents and of the hash before it, so that a
//! change, an insertion or a removal is found.

use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Error;
use crate::files;
use crate::record::Act;

/// The end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of the last act, from one; zero for an empty chain.
    pub number: i64,
    /// The hash of that act.
    pub hash: Vec<u8>,
}

impl Head {
    /// The hash in hexadecimal digits.
    pub fn hex(&self) -> String {
        self.hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// A chain that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number of acts.
    pub acts: u64,
    /// The number of the first act that is still kept.
    pub first: i64,
    /// The end of the chain.
    pub head: Head,
    /// The first fault; `None` if there is none.
    pub fault: Option<Fault>,
}

/// A fault of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The act of this number, or its hash, was changed.
    Changed(i64),
    /// The act of this number is missing.
    Missing(i64),
    /// The act of this number is not the one that the caller expects, or there is none.
    Unexpected(i64),
}

/// Adds acts, and returns the new head if there were any.
pub(crate) fn append(connection: &Connection, acts: &[Act]) -> rusqlite::Result<Option<Head>> {
    if acts.is_empty() {
        return Ok(None);
    }
    let mut head = head(connection)?;
    for act in acts {
        let number = head.number.saturating_add(1);
        let hash = hash_of(&head.hash, number, act);
        connection
            .prepare_cached(
                "INSERT INTO act (number, at, user, origin, act, object, outcome, hash) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                number,
                act.at_ms,
                act.user,
                act.from,
                act.act,
                act.object,
                act.outcome,
                hash
            ])?;
        head = Head { number, hash };
    }
    remember(connection, "head", &head)?;
    Ok(Some(head))
}

/// Deletes at most `most` acts from before this time. The chain then begins with the last of them.
pub(crate) fn expire(connection: &Connection, before_ms: i64, most: usize) -> rusqlite::Result<usize> {
    // The oldest acts in the order of the chain: the clock may have been set back between two.
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let last: Option<Head> = connection
        .query_row(
            "SELECT number, hash FROM (SELECT number, hash, at FROM act ORDER BY number LIMIT ?1) \
             WHERE at < ?2 ORDER BY number DESC LIMIT 1",
            params![most, before_ms],
            |row| Ok(Head { number: row.get(0)?, hash: row.get(1)? }),
        )
        .optional()?;
    let Some(last) = last else { return Ok(0) };
    remember(connection, "base", &last)?;
    connection.execute("DELETE FROM act WHERE number <= ?1", [last.number])
}

/// Checks the chain of the journal in a directory. `expected` is a head that was noted before: the act of its number
/// must have its hash.
pub fn verify(directory: &Path, expected: Option<&Head>) -> Result<Verified, Error> {
    let (connection, path) = files::open_to_read(directory)?;
    walk(&connection, expected).map_err(|error| Error::of(&path, &error))
}

fn walk(connection: &Connection, expected: Option<&Head>) -> rusqlite::Result<Verified> {
    // One state of the journal: an act that is added meanwhile is no fault.
    connection.execute_batch("BEGIN")?;
    let base = recorded(connection, "base")?.unwrap_or_default();
    let end = recorded(connection, "head")?.unwrap_or_default();
    let mut verified = Verified { first: base.number.saturating_add(1), head: base, ..Verified::default() };
    let mut statement = connection
        .prepare("SELECT number, at, user, origin, act, object, outcome, hash FROM act ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut expected_seen = expected.is_none_or(|it| *it == verified.head);
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let due = verified.head.number.saturating_add(1);
        let act = Act {
            at_ms: row.get(1)?,
            user: row.get(2)?,
            from: row.get(3)?,
            act: row.get(4)?,
            object: row.get(5)?,
            outcome: row.get(6)?,
        };
        let hash: Vec<u8> = row.get(7)?;
        if number != due {
            verified.fault = Some(if number > due { Fault::Missing(due) } else { Fault::Changed(number) });
            return Ok(verified);
        }
        if hash != hash_of(&verified.head.hash, number, &act) {
            verified.fault = Some(Fault::Changed(number));
            return Ok(verified);
        }
        verified.acts = verified.acts.saturating_add(1);
        verified.head = Head { number, hash };
        expected_seen |= expected.is_some_and(|it| *it == verified.head);
    }
    if verified.head.number < end.number {
        verified.fault = Some(Fault::Missing(verified.head.number.saturating_add(1)));
    } else if verified.head != end {
        verified.fault = Some(Fault::Changed(verified.head.number));
    } else if let Some(expected) = expected.filter(|_| !expected_seen)
        && expected.number >= verified.first
    {
        verified.fault = Some(Fault::Unexpected(expected.number));
    }
    Ok(verified)
}

fn head(connection: &Connection) -> rusqlite::Result<Head> {
    // A head without its act is kept, so that a missing end stays visible.
    Ok(recorded(connection, "head")?.unwrap_or_default())
}

fn recorded(connection: &Connection, name: &str) -> rusqlite::Result<Option<Head>> {
    let value = |name: String| -> rusqlite::Result<Option<rusqlite::types::Value>> {
        connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
    };
    let number = value(format!("{name}_number"))?;
    let hash = value(format!("{name}_hash"))?;
    Ok(match (number, hash) {
        (Some(rusqlite::types::Value::Integer(number)), Some(rusqlite::types::Value::Blob(hash))) => {
            Some(Head { number, hash })
        }
        _ => None,
    })
}

fn remember(connection: &Connection, name: &str, head: &Head) -> rusqlite::Result<()> {
    let mut set = connection.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
    )?;
    set.execute(params![format!("{name}_number"), head.number])?;
    set.execute(params![format!("{name}_hash"), head.hash])?;
    Ok(())
}

/// SHA-256 of the hash before, the number and the fields, each with its length before it.
fn hash_of(before: &[u8], number: i64, act: &Act) -> Vec<u8> {
    let mut hash = Context::new(&SHA256);
    let fields = [&act.user, &act.from, &act.act, &act.object, &act.outcome];
    let mut add = |bytes: &[u8]| {
        hash.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(bytes);
    };
    add(before);
    add(&number.to_be_bytes());
    add(&act.at_ms.to_be_bytes());
    fields.iter().for_each(|field| add(field.as_bytes()));
    hash.finish().as_ref().to_vec()
}
