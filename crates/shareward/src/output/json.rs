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

/// The document of `content`, under `name`; ends its last line.
pub(crate) fn document(name: &'static str, content: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&Envelope { name, content })? + "\n")
}

/// Writes the same out, for a document that may be long.
pub(crate) fn write_document(
    name: &'static str,
    content: &impl Serialize,
    out: &mut dyn Write,
) -> Result<(), serde_json::Error> {
    let mut out = BufWriter::with_capacity(DOCUMENT_BUFFER, out);
    serde_json::to_writer_pretty(&mut out, &Envelope { name, content })?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(serde_json::Error::io)
}

/// A long list is many megabytes, and its entries many small writes.
const DOCUMENT_BUFFER: usize = 64 * 1024;

/// The same on one line, for a stream of documents.
pub(crate) fn line(name: &'static str, content: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(&Envelope { name, content })? + "\n")
}

/// An entry, and whose it is where several servers are asked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Of<T> {
    /// How the command line names the server; none where only one is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// The entry itself.
    #[serde(flatten)]
    pub(crate) entry: T,
}
