//! The JSON of the API, also from servers that send fewer or more fields.

use control::{Error, FileQuery, OpenFile, Page, Session, SessionQuery, Share, ShareKind, Timestamp};

#[test]
fn unknowns_are_null_and_times_are_text() {
    let session = Session {
        id: Some(u32::MAX),
        computer: "::1".into(),
        connected_at: Some(Timestamp(0)),
        ..Session::default()
    };
    let json = serde_json::to_value(Page::new(vec![session.clone()], Some(u64::from(u32::MAX)))).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["next"], 4_294_967_295_u64);
    assert_eq!(json["items"][0]["id"], 4_294_967_295_u64);
    assert_eq!(json["items"][0]["connected_at"], "1970-01-01T00:00:00.000Z");
    assert!(json["items"][0].as_object().unwrap().contains_key("cipher"));
    assert!(json["items"][0]["cipher"].is_null());
    assert_eq!(serde_json::from_value::<Page<Session>>(json).unwrap().items, [session]);
}

#[test]
fn unknown_fields_are_ignored_and_missing_ones_have_defaults() {
    let text = r#"{"id": 7, "path": "a\\b", "user": "u", "permissions": 1, "locks": 0, "colour": "red"}"#;
    let file: OpenFile = serde_json::from_str(text).unwrap();
    let expected = OpenFile {
        id: 7,
        path: r"a\b".into(),
        user: "u".into(),
        permissions: Some(1),
        locks: Some(0),
        ..OpenFile::default()
    };
    assert_eq!(file, expected);
    let share: Share =
        serde_json::from_str(r#"{"name": "s", "kind": "hologram", "comment": "", "uses": 0}"#).unwrap();
    assert_eq!(share.kind, ShareKind::Unknown);
}

#[test]
fn unknown_filters_are_refused() {
    assert!(serde_json::from_str::<FileQuery>(r#"{"pth": "x"}"#).is_err());
    assert_eq!(serde_json::from_str::<SessionQuery>("{}").unwrap(), SessionQuery::default());
}

#[test]
fn an_error_without_a_hint_has_none() {
    let error = Error::new(2314, "Gone.");
    assert_eq!(serde_json::to_string(&error).unwrap(), r#"{"code":2314,"message":"Gone."}"#);
    assert_eq!(error.http_status(), 404);
    assert_eq!(serde_json::from_str::<Error>(r#"{"code":5,"message":"No."}"#).unwrap().http_status(), 403);
}
