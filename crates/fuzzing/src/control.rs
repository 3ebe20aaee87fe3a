//! The control API: the filters of requests, the JSON of requests and answers, times and addresses.

use control::{
    CloseSessions, Connection, ConnectionQuery, Error, FileQuery, OpenFile, Page, Refusal, RefusalQuery,
    ServerInfo, Session, SessionQuery, Share, Timestamp, address, route,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte selects the kind of the rest: filters, JSON or text.
pub fn control(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 16 {
        0 => filters::<SessionQuery>(&text, route::sessions),
        1 => filters::<FileQuery>(&text, route::files),
        2 => filters::<ConnectionQuery>(&text, route::connections),
        3 => filters::<RefusalQuery>(&text, route::refusals),
        4 => json::<CloseSessions>(rest),
        5 => json::<Page<Session>>(rest),
        6 => json::<Page<OpenFile>>(rest),
        7 => json::<Page<Share>>(rest),
        8 => json::<Page<Connection>>(rest),
        9 => json::<Page<Refusal>>(rest),
        10 => json::<ServerInfo>(rest),
        11 => {
            json::<Error>(rest);
            if let Ok(error) = serde_json::from_slice::<Error>(rest) {
                assert!((400..=599).contains(&error.http_status()));
            }
        }
        12 | 13 => time(&text),
        _ => computer(&text),
    }
}

/// The URL that is made from a query parses to the same query.
fn filters<T: DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str, address: impl Fn(&T) -> String) {
    let Some(filters) = query::<T>(&format!("/v1/any?{text}")) else { return };
    let again = address(&filters);
    assert!(again.is_ascii());
    assert_eq!(query::<T>(&again).as_ref(), Some(&filters), "{again}");
}

/// The filters in an address, read as axum's `Query` reads them.
fn query<T: DeserializeOwned>(address: &str) -> Option<T> {
    let filters = address.split_once('?').map_or("", |(_, filters)| filters);
    serde_urlencoded::from_str(filters).ok()
}

fn json<T: DeserializeOwned + Serialize>(text: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(text) else { return };
    let written = serde_json::to_vec(&value).unwrap();
    let again: T = serde_json::from_slice(&written).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
}

fn time(text: &str) {
    let Some(time) = Timestamp::parse(text) else { return };
    let shown = time.to_string();
    let again = Timestamp::parse(&shown).unwrap();
    assert_eq!(again.to_string(), shown, "{text:?}");
}

fn computer(text: &str) {
    assert!(address::same_computer(text, text));
    let shown = address::display(text);
    assert!(shown.starts_with(r"\\"));
    if let Some(parsed) = address::parse(text) {
        assert_eq!(address::parse(&shown), Some(parsed), "{text:?}");
        assert!(address::same_computer(text, &parsed.to_string()));
    }
}
