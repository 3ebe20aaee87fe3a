//! The messages of etcd's API as JSON: byte strings are Base64, 64-bit numbers are decimal texts, and fields that are
//! zero or empty are missing.

use std::fmt;
use std::marker::PhantomData;
use std::num::ParseIntError;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::VALUE_BYTES_KEPT;

/// A key with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KeyValue {
    /// The key.
    #[serde(deserialize_with = "bytes")]
    pub key: Vec<u8>,
    /// The value. One that is longer than [`VALUE_BYTES_KEPT`] is cut.
    #[serde(deserialize_with = "bytes_cut")]
    pub value: Vec<u8>,
    /// The revision at which the key was created.
    #[serde(deserialize_with = "number")]
    pub create_revision: i64,
    /// The revision at which it was last written.
    #[serde(deserialize_with = "number")]
    pub mod_revision: i64,
    /// The lease with which it ends; 0 for none.
    #[serde(deserialize_with = "number")]
    pub lease: i64,
}

/// The head of all answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    #[serde(deserialize_with = "unsigned")]
    pub(crate) cluster_id: u64,
    #[serde(deserialize_with = "number")]
    pub(crate) revision: i64,
}

/// An error, either alone or in a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Failure {
    /// The text, in answers of etcd 3.4 and before.
    pub(crate) error: Option<String>,
    pub(crate) message: Option<String>,
    /// The name that streams have for the code.
    pub(crate) grpc_code: Option<i64>,
    pub(crate) code: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RangeRequest {
    pub(crate) key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range_end: Option<Bytes>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) limit: u64,
    #[serde(skip_serializing_if = "is_zero_signed")]
    pub(crate) revision: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RangeAnswer {
    pub(crate) header: Header,
    pub(crate) kvs: Vec<KeyValue>,
    pub(crate) more: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct TxnRequest {
    pub(crate) compare: Vec<CompareMessage>,
    pub(crate) success: Vec<RequestOp>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CompareMessage {
    pub(crate) result: &'static str,
    pub(crate) target: &'static str,
    pub(crate) key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) create_revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mod_revision: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestOp {
    RequestPut { key: Bytes, value: Bytes, lease: String },
    RequestDeleteRange { key: Bytes },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TxnResponse {
    pub(crate) header: Header,
    pub(crate) succeeded: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct GrantRequest {
    pub(crate) ttl: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct LeaseRequest {
    pub(crate) id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LeaseAnswer {
    pub(crate) header: Header,
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(crate) id: i64,
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(crate) ttl: i64,
    pub(crate) error: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct AuthenticateRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuthenticateAnswer {
    pub(crate) token: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct WatchRequest {
    pub(crate) create_request: WatchCreate,
}

#[derive(Debug, Serialize)]
pub(crate) struct WatchCreate {
    pub(crate) key: Bytes,
    pub(crate) range_end: Bytes,
    pub(crate) start_revision: String,
    pub(crate) progress_notify: bool,
    pub(crate) fragment: bool,
}

/// A message of a stream: a result or an error.
#[derive(Debug, Deserialize)]
pub(crate) struct Streamed<T> {
    pub(crate) result: Option<T>,
    pub(crate) error: Option<Failure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WatchAnswer {
    pub(crate) header: Header,
    pub(crate) created: bool,
    pub(crate) canceled: bool,
    pub(crate) fragment: bool,
    #[serde(deserialize_with = "number")]
    pub(crate) compact_revision: i64,
    pub(crate) events: Vec<EventMessage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventMessage {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) kv: KeyValue,
}

/// A byte string, which is Base64 in JSON.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    from.deserialize_str(Base64)
}

fn bytes_cut<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let mut value = bytes(from)?;
    if value.len() > VALUE_BYTES_KEPT {
        value.truncate(VALUE_BYTES_KEPT);
        value.shrink_to_fit();
    }
    Ok(value)
}

/// Decodes a text in place: a node that joins reads some 200,000 keys.
struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in Base64")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        STANDARD.decode(text).map_err(E::custom)
    }
}

/// A 64-bit number: a text, or a number in answers of other gateways.
struct Number<T>(PhantomData<T>);

impl<T: FromStr<Err = ParseIntError> + TryFrom<i64> + TryFrom<u64>> Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of 64 bits, or the text of one")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::custom("a number out of range"))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::custom("a number out of range"))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    from.deserialize_any(Number(PhantomData))
}

fn unsigned<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_any(Number(PhantomData))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_zero_signed(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_gateway_are_read() {
        let answer: RangeAnswer = serde_json::from_str(
            r#"{"header":{"cluster_id":"14841639068965178418","member_id":"1","revision":"7","raft_term":"2"},
                "kvs":[{"key":"YQ==","create_revision":"5","mod_revision":7,"version":"2","value":"Yg=="}],"count":"1"}"#,
        )
        .unwrap();
        assert_eq!((answer.header.cluster_id, answer.header.revision), (14_841_639_068_965_178_418, 7));
        let expected = KeyValue {
            key: b"a".to_vec(),
            value: b"b".to_vec(),
            create_revision: 5,
            mod_revision: 7,
            lease: 0,
        };
        assert_eq!(answer.kvs, [expected]);
    }

    #[test]
    fn hostile_answers_are_errors() {
        for text in [
            r#"{"header":{"revision":"x"}}"#,
            r#"{"header":{"revision":"9223372036854775808"}}"#,
            r#"{"kvs":[{"key":"?"}]}"#,
            r#"{"kvs":[{"key":3}]}"#,
            "3",
            "",
        ] {
            assert!(serde_json::from_str::<RangeAnswer>(text).is_err(), "{text}");
        }
        let long = format!(r#"{{"value":"{}"}}"#, STANDARD.encode(vec![b'x'; 3 * VALUE_BYTES_KEPT]));
        assert_eq!(serde_json::from_str::<KeyValue>(&long).unwrap().value.len(), VALUE_BYTES_KEPT);
    }
}
