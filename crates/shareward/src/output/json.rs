//! The envelope of `--json`: `{"schema": 1, NAME: …}`, with its fields in this order.

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
