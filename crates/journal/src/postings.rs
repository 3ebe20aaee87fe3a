//! The index of a run of brief entries: for each value of a column, the numbers of the entries that have it.
//!
//! An index of SQLite costs more than the row it is for. This one is made of a whole run at once: the pairs of value and
//! number are sorted, and stored as differences, in chunks that are found by the last value in them.

use rusqlite::{Connection, params};

/// The columns of brief entries that have an index. The numbers are those in the file (`posting.part`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Place = 1,
    Person = 2,
    Client = 3,
    /// Only of entries that are no opens.
    Kind = 4,
}

/// A chunk of an index.
#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    /// The last value.
    last: i64,
    list: Vec<u8>,
}

/// Stores the index of a column of a run. The pairs of value and number are sorted.
pub(crate) fn store(
    connection: &Connection,
    (first, last): (i64, i64),
    column: Column,
    pairs: &[(i64, i64)],
) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO posting (run, part, last, number, list) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (number, chunk) in (0_i64..).zip(chunks(first, pairs)) {
        insert.execute(params![last, column as i64, chunk.last, number, chunk.list])?;
    }
    Ok(())
}

/// The entries of a run that have one of these values, in ascending order. The values are in ascending order.
pub(crate) fn find(
    connection: &Connection,
    (first, last): (i64, i64),
    column: Column,
    values: &[i64],
) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT last, list FROM posting WHERE run = ?1 AND part = ?2 AND last >= ?3 ORDER BY last, number",
    )?;
    let mut ids = Vec::new();
    let mut wanted = values.iter().copied().peekable();
    while let Some(next) = wanted.peek().copied() {
        let mut rows = statement.query(params![last, column as i64, next])?;
        loop {
            let Some(row) = rows.next()? else {
                ids.sort_unstable();
                return Ok(ids);
            };
            let end: i64 = row.get(0)?;
            for (value, id) in pairs(first, row.get_ref(1)?.as_blob()?) {
                while wanted.next_if(|it| *it < value).is_some() {}
                if wanted.peek() == Some(&value) {
                    ids.push(id);
                }
            }
            while wanted.next_if(|it| *it < end).is_some() {}
            // The list of the last value may go on in the next chunk; others are looked up.
            if wanted.peek() != Some(&end) {
                break;
            }
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Calls a function with each value of a column of a run that is in a range, as long as it returns true; a value may come
/// several times.
pub(crate) fn each_value(
    connection: &Connection,
    (first, last): (i64, i64),
    column: Column,
    (least, most): (i64, i64),
    mut act: impl FnMut(i64) -> bool,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT list FROM posting WHERE run = ?1 AND part = ?2 AND last >= ?3 ORDER BY last, number",
    )?;
    let mut rows = statement.query(params![last, column as i64, least])?;
    while let Some(row) = rows.next()? {
        for (value, _) in pairs(first, row.get_ref(0)?.as_blob()?) {
            if value > most || (value >= least && !act(value)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The chunks of sorted pairs of value and number. No value is negative, and no number is before the first of the run.
fn chunks(first: i64, pairs: &[(i64, i64)]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut list = Vec::with_capacity(CHUNK_BYTES);
    let (mut value, mut id) = (0, first);
    for pair in pairs {
        if list.len() > CHUNK_BYTES - PAIR_BYTES {
            chunks.push(Chunk { last: value, list: std::mem::take(&mut list) });
            (value, id) = (0, first);
        }
        let from = if pair.0 == value { id } else { first };
        add_number(&mut list, pair.0.abs_diff(value));
        add_number(&mut list, pair.1.abs_diff(from));
        (value, id) = *pair;
    }
    if !list.is_empty() {
        chunks.push(Chunk { last: value, list });
    }
    chunks
}

/// The pairs of value and number in a chunk; those up to a damaged one.
fn pairs(first: i64, list: &[u8]) -> impl Iterator<Item = (i64, i64)> {
    let (mut value, mut id) = (0_i64, first);
    let mut rest = list;
    std::iter::from_fn(move || {
        let step = take_number(&mut rest)?;
        if step > 0 {
            (value, id) = (value.checked_add_unsigned(step)?, first);
        }
        id = id.checked_add_unsigned(take_number(&mut rest)?)?;
        Some((value, id))
    })
}

/// Adds a number: seven bits in a byte, the lowest first; all bytes but the last have their highest bit set.
fn add_number(list: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        list.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    list.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

fn take_number(list: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = list.split_first()?;
        *list = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The bytes of a chunk: SQLite keeps four of them in a page, without a page of its own for the end of each.
const CHUNK_BYTES: usize = 960;

/// The most bytes of a pair.
const PAIR_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn many() -> Vec<(i64, i64)> {
        let mut pairs: Vec<(i64, i64)> = (0..5_000_i64)
            .map(|number| (number.wrapping_mul(7_919).rem_euclid(40).pow(3), 1_000 + number * 300))
            .chain([(i64::MAX, i64::MAX), (i64::MAX - 1, 1_000)])
            .collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn chunks_have_all_pairs_and_their_last_value() {
        let chunks = chunks(1_000, &many());
        assert!(chunks.len() > 10);
        let mut all = Vec::new();
        for chunk in &chunks {
            assert!(chunk.list.len() <= CHUNK_BYTES);
            all.extend(pairs(1_000, &chunk.list));
            assert_eq!(all.last().map(|it| it.0), Some(chunk.last));
        }
        assert_eq!(all, many());
    }

    #[test]
    fn damaged_chunks_have_the_pairs_up_to_the_damage() {
        for list in [&[][..], &[0x80], &[1], &[0xff; 30], &[1, 1, 0x80, 0x80]] {
            assert!(pairs(1_000, list).all(|it| it == (1, 1_001)), "{list:?}");
        }
        assert_eq!(pairs(i64::MAX, &[1, 1]).next(), None);
    }

    #[test]
    fn entries_are_found_by_values() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::schema::SCHEMA_OF_OPENS).unwrap();
        let (all, run) = (many(), (1_000, i64::MAX));
        store(&connection, run, Column::Person, &all).unwrap();
        for values in
            [&[][..], &[0], &[1, 2, 3], &[8, 9, 27], &[-5, 59_319, i64::MAX], &[59_320], &[i64::MAX]]
        {
            let mut expected: Vec<i64> =
                all.iter().filter(|it| values.contains(&it.0)).map(|it| it.1).collect();
            expected.sort_unstable();
            assert_eq!(find(&connection, run, Column::Person, values).unwrap(), expected, "{values:?}");
            assert_eq!(find(&connection, run, Column::Place, values).unwrap(), []);
        }
        let every: Vec<i64> = (0..60_000).collect();
        assert_eq!(find(&connection, run, Column::Person, &every).unwrap().len(), 5_000);
        let mut seen = std::collections::BTreeSet::new();
        let mut see = |it| seen.insert(it) || it < 27;
        each_value(&connection, run, Column::Person, (2, 64), &mut see).unwrap();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [8, 27], "it stops when it is told to");
    }
}
