//! The static files of the console, which are a part of the program.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::fronts::http::Refused;

/// A file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    contents: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal: $media_type:expr,)*) => {
        &[$(Asset {
            name: $name,
            media_type: $media_type,
            contents: include_bytes!(concat!("../../../console/", $name)),
        },)*]
    };
}

/// The files, with their media types.
const ASSETS: &[Asset] = assets! {
    "api.js": SCRIPT,
    "app.js": SCRIPT,
    "charts.js": SCRIPT,
    "cluster.js": SCRIPT,
    "console.css": CSS,
    "dom.js": SCRIPT,
    "files.js": SCRIPT,
    "history.js": SCRIPT,
    "icon.svg": SVG,
    "list.js": SCRIPT,
    "live.js": SCRIPT,
    "maintenance.js": SCRIPT,
    "overview.js": SCRIPT,
    "parts.js": SCRIPT,
    "refusals.js": SCRIPT,
    "rights.js": SCRIPT,
    "sessions.js": SCRIPT,
    "settings.js": SCRIPT,
    "shares.js": SCRIPT,
    "statistics.js": SCRIPT,
    "table.js": SCRIPT,
    "users.js": SCRIPT,
};

const INDEX: Asset =
    Asset { name: "index.html", media_type: HTML, contents: include_bytes!("../../../console/index.html") };

/// The tags by which browsers notice that a file has not changed.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(tag).collect());

/// `GET /`: the page.
pub(super) async fn index() -> Response {
    ([(CONTENT_TYPE, INDEX.media_type)], INDEX.contents).into_response()
}

/// `GET /assets/{name}`. A browser keeps the file, and asks each time if it has changed.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap, address: Uri) -> Response {
    let found = ASSETS.iter().zip(TAGS.iter()).find(|(asset, _)| asset.name == name);
    let Some((asset, tag)) = found else { return Refused::no_route(address).await.into_response() };
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let validity = [
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (ETAG, HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("\"\""))),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, validity).into_response();
    }
    (validity, [(CONTENT_TYPE, asset.media_type)], asset.contents).into_response()
}

fn tag(asset: &Asset) -> String {
    let hash = digest::digest(&digest::SHA256, asset.contents);
    let digits: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that the page or a script names must be in the table, and nothing may come from elsewhere.
    #[test]
    fn files_refer_to_each_other_only() {
        for asset in ASSETS.iter().chain([&INDEX]) {
            // The name of SVG is not an address that is read.
            let text = std::str::from_utf8(asset.contents).unwrap().replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{}", asset.name);
            for named in text.split("\"/assets/").skip(1).chain(text.split("from \"./").skip(1)) {
                let named = named.split('"').next().unwrap();
                assert!(ASSETS.iter().any(|it| it.name == named), "{} names {named}", asset.name);
            }
            assert!(
                !text.contains("innerHTML"),
                "{}: text from clients must never be read as HTML",
                asset.name
            );
            assert!(
                !text.contains("style=\""),
                "{}: the policy of the pages refuses styles of elements",
                asset.name
            );
        }
    }

    #[tokio::test]
    async fn unchanged_file_is_not_sent_again() {
        let address = || Uri::from_static("/assets/console.css");
        let first = asset(Path("console.css".into()), HeaderMap::new(), address()).await;
        assert_eq!((first.status(), first.headers()[CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, CSS));
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(
            asset(Path("console.css".into()), headers, address()).await.status(),
            StatusCode::NOT_MODIFIED
        );
        let missing = asset(Path("../Cargo.toml".into()), HeaderMap::new(), address()).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }
}
