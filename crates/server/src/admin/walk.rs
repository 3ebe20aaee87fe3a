//! Walking through the registry's tables without holding its lock for long.

use std::collections::VecDeque;

/// Entries taken under one hold of the lock: few enough that no request waits long for it, many
/// enough that a table is walked through quickly.
const CHUNK: usize = 512;

/// All entries after `after`, in order of their ids. `fetch` takes a number of them under the lock.
/// Entries that come and go meanwhile may be in it or not; no other is left out or told twice.
pub(super) fn walk<T, I: Copy>(
    after: Option<I>,
    id: impl Fn(&T) -> I,
    mut fetch: impl FnMut(Option<I>, usize) -> Vec<T>,
) -> impl Iterator<Item = T> {
    let mut chunk = VecDeque::new();
    let mut last = after;
    let mut at_end = false;
    std::iter::from_fn(move || {
        if chunk.is_empty() && !at_end {
            chunk = VecDeque::from(fetch(last, CHUNK));
            at_end = chunk.len() < CHUNK;
        }
        let next = chunk.pop_front()?;
        last = Some(id(&next));
        Some(next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_after_is_there_once() {
        for count in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            for after in [None, Some(0), Some(CHUNK)] {
                let table: Vec<usize> = (0..count).collect();
                let fetch = |last: Option<usize>, limit| {
                    table
                        .iter()
                        .copied()
                        .filter(|it| last.is_none_or(|last| *it > last))
                        .take(limit)
                        .collect()
                };
                let walked: Vec<usize> = walk(after, |it| *it, fetch).collect();
                let first = after.map_or(0, |after| after + 1);
                assert_eq!(walked, (first..count).collect::<Vec<_>>(), "{count} {after:?}");
            }
        }
    }
}
