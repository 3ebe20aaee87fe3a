//! Pages of lists, written entry by entry, so that the entries of a page are never in memory together.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use control::{SCHEMA, limits};
use serde::Serialize;

use super::answer::Refused;
use crate::admin::Error;
use crate::admin::view::Looked;

/// A page as JSON: [`control::Page`].
#[derive(Debug)]
pub(super) struct Written(Vec<u8>);

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, control::MEDIA_TYPE)], self.0).into_response()
    }
}

/// Makes a list on a thread where a long one does not delay other requests.
pub(super) async fn listed(
    make: impl FnOnce() -> Result<Written, Error> + Send + 'static,
) -> Result<Written, Refused> {
    Ok(crate::core::blocking::run(make).await.map_err(|_| Error::Internal)??)
}

/// Writes a page of the entries that are shown, with the position where the next page begins, if there may be one. A
/// page ends early if it gets too long, or if too many entries that are not shown were examined.
pub(super) fn page<E: Serialize>(
    entries: impl Iterator<Item = Looked<E>>,
    limit: Option<u32>,
) -> Result<Written, Error> {
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT).clamp(1, limits::PAGE_MAX);
    let mut json = Vec::with_capacity(usize::try_from(limit).unwrap_or_default().saturating_mul(ENTRY_BYTES));
    json.extend_from_slice(format!(r#"{{"schema":{SCHEMA},"items":["#).as_bytes());
    let (mut count, mut last, mut next) = (0, None, None);
    for (looked_at, Looked { id, shown }) in entries.enumerate() {
        if count >= limit || json.len() >= PAGE_BYTES || looked_at >= PAGE_LOOKED_AT {
            next = last;
            break;
        }
        last = Some(id);
        let Some(entry) = shown else { continue };
        if count > 0 {
            json.push(b',');
        }
        serde_json::to_writer(&mut json, &entry).map_err(|_| Error::Internal)?;
        count += 1;
    }
    let next = next.map_or_else(|| String::from("null"), |id: u64| id.to_string());
    json.extend_from_slice(format!(r#"],"next":{next}}}"#).as_bytes());
    Ok(Written(json))
}

/// The usual maximal size of an entry, in bytes.
const ENTRY_BYTES: usize = 768;

/// The size that ends a page, in bytes: [`limits::ANSWER_BODY_MAX`] has room for one entry more.
const PAGE_BYTES: usize = 48 * 1024 * 1024;

/// The number of entries that are examined for one page, which takes a moment. A client with a selective filter
/// requests the next page.
const PAGE_LOOKED_AT: usize = 200_000;

#[cfg(test)]
mod tests {
    use control::Page;

    use super::*;

    fn read<E: serde::de::DeserializeOwned + Serialize>(
        written: Result<Written, Error>,
    ) -> (Vec<E>, Option<u64>) {
        let Written(json) = written.unwrap();
        let page: Page<E> = serde_json::from_slice(&json).unwrap();
        assert_eq!(serde_json::to_vec(&page).unwrap(), json, "the JSON must equal that of the type");
        (page.items, page.next)
    }

    fn numbers(all: impl Iterator<Item = u64>, limit: u32) -> (Vec<u64>, Option<u64>) {
        read(page(all.map(|id| Looked { id, shown: Some(id) }), Some(limit)))
    }

    #[test]
    fn consecutive_pages_have_no_gap() {
        assert_eq!(numbers(1..=5, 3), (vec![1, 2, 3], Some(3)));
        assert_eq!(numbers(4..=5, 3), (vec![4, 5], None));
        assert_eq!(numbers(1..=3, 3).1, None);
        assert_eq!(numbers(1..=2, 0), (vec![1], Some(1)));
        assert_eq!(numbers(std::iter::empty(), 3), (vec![], None));
    }

    #[test]
    fn long_pages_and_searches_end_early_and_continue() {
        let long = page((1..=5).map(|id| Looked { id, shown: Some("x".repeat(PAGE_BYTES / 2)) }), None);
        let (entries, next) = read::<String>(long);
        assert_eq!((entries.len(), next), (2, Some(2)));
        let rare = page((1..).map(|id| Looked { id, shown: (id == 7).then_some(id) }), None);
        assert_eq!(read(rare), (vec![7], Some(PAGE_LOOKED_AT as u64)));
        assert_eq!(
            read::<u64>(page((1..=9).map(|id| Looked { id, shown: None::<u64> }), None)),
            (vec![], None)
        );
    }
}
