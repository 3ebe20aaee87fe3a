//! Iterates over the registry's tables without holding its lock for long.

use registry::Part;

/// Entries that are read while the lock is held: few enough that requests do not wait long, many enough that
/// a whole table is read quickly.
pub(super) const CHUNK: usize = 512;

/// All entries after `after`, in the order of their positions. `fetch` reads a part of them under the lock.
/// Entries that are added or removed meanwhile may be missing; all others appear exactly once.
pub(super) fn walk<T, I>(
    after: Option<I>,
    mut fetch: impl FnMut(Option<I>, usize) -> Part<T, I>,
) -> impl Iterator<Item = T> {
    let mut next = Some(after);
    std::iter::from_fn(move || {
        let part = fetch(next.take()?, CHUNK);
        next = part.last.map(Some);
        Some(part.entries)
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_matching_entry_is_returned_once() {
        for count in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            for (after, every) in [(None, 1), (Some(0), 2), (Some(CHUNK), 1), (None, 2 * CHUNK)] {
                let fetch = |last: Option<usize>, length| {
                    let first = last.map_or(0, |last| last + 1);
                    let end = count.min(first + length);
                    let entries = (first..end).filter(|it| it % every == 0).collect();
                    Part { entries, last: (end < count).then(|| end - 1) }
                };
                let walked: Vec<usize> = walk(after, fetch).collect();
                let first = after.map_or(0, |after| after + 1);
                let meant: Vec<usize> = (first..count).filter(|it| it % every == 0).collect();
                assert_eq!(walked, meant, "{count} {after:?} {every}");
            }
        }
    }
}
