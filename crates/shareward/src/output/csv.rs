//! Comma-separated values (RFC 4180) that spreadsheets do not take for formulas.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::clean_line;

/// The columns of a table. Each has a header and a JSON pointer (RFC 6901) to its value in the entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Csv {
    /// The columns.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// The columns that follow them.
    pub(crate) more: &'static [(&'static str, &'static str)],
}

impl Csv {
    /// The table with a column for the make of the server, if there are makes.
    pub(crate) fn with_make(self, makes: bool) -> Self {
        Self { more: if makes { &[("make", "/make")] } else { self.more }, ..self }
    }

    /// The header row, preceded by the server if there are several.
    pub(crate) fn header(&self, several: bool) -> String {
        let server = several.then_some("server");
        record(server.into_iter().chain(self.columns.iter().chain(self.more).map(|(name, _)| *name)))
    }

    /// The row of an entry. An unknown value is an empty field; a list of texts is separated by spaces; any other
    /// list is JSON. `clean` replaces characters that a terminal could interpret.
    pub(crate) fn row(&self, server: Option<&str>, entry: &impl Serialize, clean: bool) -> String {
        let entry = serde_json::to_value(entry).unwrap_or_default();
        let values =
            self.columns.iter().chain(self.more).map(|(_, pointer)| entry.pointer(pointer).map(field));
        let server = server.map(|name| inert(name).into_owned());
        let fields = server.into_iter().chain(values.map(Option::unwrap_or_default));
        record(fields.map(|field| if clean { clean_line(&field) } else { field }))
    }
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => inert(text).into_owned(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            inert(&items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")).into_owned()
        }
        other => other.to_string(),
    }
}

/// Puts an apostrophe before a text that a spreadsheet would take for a formula, because clients choose the names of
/// files, users and computers. Some spreadsheets skip leading spaces.
pub(crate) fn inert(text: &str) -> Cow<'_, str> {
    const BEGINNINGS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    if text.trim_start_matches(' ').starts_with(BEGINNINGS) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn record(fields: impl Iterator<Item = impl AsRef<str>>) -> String {
    let quoted = fields.map(|field| quoted(field.as_ref()));
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TABLE: Csv =
        Csv { columns: &[("id", "/id"), ("name", "/name"), ("mask", "/access/mask")], more: &[] };

    #[test]
    fn every_kind_of_value() {
        for (entry, row) in [
            (json!({"id": 7, "name": "a", "access": {"mask": "0x1"}}), "7,a,0x1\r\n"),
            (json!({"id": null, "name": "a,b", "access": null}), ",\"a,b\",\r\n"),
            (json!({"id": true, "name": "say \"hi\"\n"}), "true,\"say \"\"hi\"\"\n\",\r\n"),
            (json!({"id": ["read", "write"], "name": [], "access": {"mask": [1]}}), "read write,,[1]\r\n"),
        ] {
            assert_eq!(TABLE.row(None, &entry, false), row);
        }
        assert_eq!(TABLE.row(Some("nas"), &json!({}), false), "nas,,,\r\n");
        assert_eq!(TABLE.row(None, &json!({"name": "a\u{1b}[2J"}), true), ",a\u{fffd}[2J,\r\n");
        for (name, field) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-x.txt", "'-x.txt"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            (" =1", "' =1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("=1,\"2\"", "\"'=1,\"\"2\"\"\""),
        ] {
            assert_eq!(
                TABLE.row(Some(name), &json!({"id": -1, "name": name}), false),
                format!("{field},-1,{field},\r\n")
            );
            let listed = TABLE.row(None, &json!({"name": [name]}), false);
            assert_eq!(listed, format!(",{field},\r\n"));
        }
        assert_eq!(TABLE.header(false), "id,name,mask\r\n");
        assert_eq!(TABLE.header(true), "server,id,name,mask\r\n");
    }

    proptest! {
        #[test]
        fn a_field_is_read_back_as_it_was(text in "[a-z,\"\r\n é]{0,12}") {
            let field = quoted(&text);
            let read = match field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(inner) => inner.replace("\"\"", "\""),
                None => field.clone(),
            };
            prop_assert_eq!(read, text);
            prop_assert!(field.starts_with('"') || !field.contains([',', '"', '\r', '\n']));
        }
    }
}
