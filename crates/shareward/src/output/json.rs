//! The envelope of `--json`: `{"schema": 1, NAME: …}`, with its fields in this order.

use std::io::{BufWriter, Write};

use serde::ser::{Serialize, SerializeMap as _, Serializer};

struct Envelope<'a, T> {
    name: &'static str,
    content: &'a T,
}

impl<T: Serialize> Serialize for Envelope<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("schema", &control::SCHEMA)?;
        map.serialize_entry(self.name, self.content)?;
        map.end()
    }
}

/// The document of `content`, under `name`, with a final newline.
pub(crate) fn document(name: &'static str, content: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&Envelope { name, content })? + "\n")
}

/// Writes the document to `out`, for a long one.
pub(crate) fn write_document(
    name: &'static str,
    content: &impl Serialize,
    out: &mut dyn Write,
) -> Result<(), serde_json::Error> {
    let mut out = BufWriter::with_capacity(DOCUMENT_BUFFER, out);
    serde_json::to_writer_pretty(&mut out, &Envelope { name, content })?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(serde_json::Error::io)
}

/// A long list is many megabytes in many small writes.
const DOCUMENT_BUFFER: usize = 64 * 1024;

/// The document on one line, for a stream of documents.
pub(crate) fn line(name: &'static str, content: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(&Envelope { name, content })? + "\n")
}

/// An entry, with its server if several are asked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Of<T> {
    /// The server's name on the command line; `None` if only one is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// The entry itself.
    #[serde(flatten)]
    pub(crate) entry: T,
}
