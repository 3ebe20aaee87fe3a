//! The calls of the client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::Response;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::error::{Error, SettingsError};
use crate::limits::{
    ANSWER_BYTES_MAX, ERROR_CHARS_MAX, OPERATIONS_MAX, PAGE_BYTES_WANTED, PAGE_GROWTH, PAGE_KEYS,
    PAGE_KEYS_MAX, RANGE_KEYS_MAX, REQUESTS_MAX,
};
use crate::messages::{
    self, AuthenticateAnswer, AuthenticateRequest, CompareMessage, Failure, GrantRequest, KeyValue,
    LeaseAnswer, LeaseRequest, RangeAnswer, RangeRequest, RequestOp, Streamed, TxnRequest, TxnResponse,
};
use crate::settings::Settings;
use crate::transport::{Connection, Transport};

/// A client, which can be used by many tasks at a time.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    transport: Transport,
    /// The token of the last login.
    token: Mutex<Option<String>>,
    places: Semaphore,
}

/// The keys below a prefix at one revision.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// The revision.
    pub revision: i64,
    /// The id of etcd's own cluster, which differs after a restoration from a backup.
    pub cluster_id: u64,
    /// The keys with their values, in order.
    pub entries: Vec<KeyValue>,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: Vec<u8>,
    /// The condition.
    pub condition: Condition,
}

/// The condition for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key does not exist.
    Absent,
    /// The key exists since the revision at which it was created.
    Created(i64),
    /// The key was last written at the revision.
    Modified(i64),
    /// The key exists.
    Present,
}

/// A write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Deletes a key.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
    /// Writes a key.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
        /// The lease with which the key ends.
        lease: Option<i64>,
    },
}

/// The answer to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnAnswer {
    /// True if all conditions were met, and the writes done.
    pub succeeded: bool,
    /// The revision of the writes, or the one at which the conditions were checked.
    pub revision: i64,
}

/// A lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The lease.
    pub lease: i64,
    /// The time to live.
    pub ttl: Duration,
}

impl Client {
    /// A client, which connects at its first call.
    ///
    /// # Errors
    /// [`SettingsError`] if the endpoints or the files for TLS cannot be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let tls = settings.tls()?;
        let transport = Transport::new(settings.clone(), tls);
        let places = Semaphore::new(REQUESTS_MAX);
        Ok(Self { inner: Arc::new(Inner { settings, transport, token: Mutex::new(None), places }) })
    }

    /// Reads all keys that begin with `prefix`, linearizable and at one revision.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn range(&self, prefix: &[u8]) -> Result<Range, Error> {
        let end = prefix_end(prefix);
        let mut all = Range::default();
        let (mut key, mut limit, mut revision) = (prefix.to_vec(), PAGE_KEYS, 0);
        loop {
            let range_end = Some(messages::Bytes(end.clone()));
            let request = RangeRequest { key: messages::Bytes(key.clone()), range_end, limit, revision };
            let asked = Instant::now();
            let (page, length): (RangeAnswer, usize) = match self.measured("/v3/kv/range", &request).await {
                // The next keys are longer than those so far: etcd has made the whole answer, and shall not do so often.
                Err(Error::TooLong) if limit > 1 => {
                    limit = (limit / 2).min(PAGE_KEYS);
                    continue;
                }
                // A busy etcd may manage a smaller page in time.
                Err(Error::Lost(_)) if limit > PAGE_KEYS => {
                    limit = PAGE_KEYS;
                    continue;
                }
                page => page?,
            };
            limit = next_limit(limit, length, page.kvs.len(), asked.elapsed(), self.inner.settings.timeout);
            if revision == 0 {
                (revision, all.revision) = (page.header.revision, page.header.revision);
                all.cluster_id = page.header.cluster_id;
            } else if page.header.cluster_id != all.cluster_id {
                return Err(Error::Malformed("the pages are of two clusters"));
            }
            let last = page.kvs.last().map(|it| it.key.clone());
            let is_in_order = page.kvs.windows(2).all(|pair| matches!(pair, [a, b] if a.key < b.key))
                && page.kvs.first().is_none_or(|first| first.key >= key);
            if !is_in_order || last.as_ref().is_some_and(|last| !last.starts_with(prefix)) {
                return Err(Error::Malformed("the keys of a range are not those that were asked for"));
            }
            all.entries.extend(page.kvs);
            if all.entries.len() > RANGE_KEYS_MAX {
                return Err(Error::TooLong);
            }
            match last {
                Some(mut last) if page.more => {
                    last.push(0);
                    key = last;
                }
                _ => return Ok(all),
            }
        }
    }

    /// Reads one key. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, Error> {
        let request =
            RangeRequest { key: messages::Bytes(key.to_vec()), range_end: None, limit: 1, revision: 0 };
        let answer: RangeAnswer = self.call("/v3/kv/range", &request).await?;
        let found = answer.kvs.into_iter().next();
        match found {
            Some(other) if other.key != key => Err(Error::Malformed("another key was answered")),
            found => Ok(found),
        }
    }

    /// Carries out a transaction: all writes if all conditions are met, else nothing.
    ///
    /// # Errors
    /// [`Error`]. Unless [`Error::is_undone`], the transaction may have been carried out, or may be later.
    pub async fn transact(&self, compares: &[Compare], writes: &[Operation]) -> Result<TxnAnswer, Error> {
        if compares.len().max(writes.len()) > OPERATIONS_MAX {
            return Err(Error::Refused { code: 3, message: String::from("too many operations") });
        }
        let request = TxnRequest {
            compare: compares.iter().map(compare_message).collect(),
            success: writes.iter().map(operation_message).collect(),
        };
        let answer: TxnResponse = self.call("/v3/kv/txn", &request).await?;
        Ok(TxnAnswer { succeeded: answer.succeeded, revision: answer.header.revision })
    }

    /// Requests a lease.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn grant(&self, ttl: Duration) -> Result<Granted, Error> {
        let request = GrantRequest { ttl: ttl.as_secs().to_string() };
        let answer: LeaseAnswer = self.call("/v3/lease/grant", &request).await?;
        if !answer.error.is_empty() || answer.id == 0 {
            return Err(Error::Malformed("a lease without an id"));
        }
        Ok(Granted { lease: answer.id, ttl: seconds(answer.ttl) })
    }

    /// Renews a lease, and returns its time to live: zero if it does not exist.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn keep_alive(&self, lease: i64) -> Result<Duration, Error> {
        let request = LeaseRequest { id: lease.to_string() };
        let answer: Streamed<LeaseAnswer> = match self.call("/v3/lease/keepalive", &request).await {
            Err(error) if error.is_not_found() => return Ok(Duration::ZERO),
            answer => answer?,
        };
        match answer {
            Streamed { result: Some(result), error: None } if result.id == lease => Ok(seconds(result.ttl)),
            Streamed { error: Some(failure), .. } => match refusal(failure, 0) {
                error if error.is_not_found() => Ok(Duration::ZERO),
                error => Err(error),
            },
            _ => Err(Error::Malformed("the renewal of another lease")),
        }
    }

    /// Ends a lease, and the keys that it has.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke(&self, lease: i64) -> Result<(), Error> {
        let request = LeaseRequest { id: lease.to_string() };
        self.call::<serde_json::Value>("/v3/lease/revoke", &request).await.map(drop)
    }

    /// The number of times that the client has changed to another endpoint.
    pub fn endpoint_changes(&self) -> usize {
        self.inner.transport.turn()
    }

    /// Makes a call, and reads the answer.
    async fn call<T: DeserializeOwned>(&self, path: &str, request: &impl Serialize) -> Result<T, Error> {
        Ok(self.measured(path, request).await?.0)
    }

    /// Makes a call, and reads the answer and its length.
    async fn measured<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<(T, usize), Error> {
        let body = body(request)?;
        let work = async {
            let _place = self.inner.places.acquire().await;
            match self.exchange(path, &body).await {
                Err(error) if error.is_expired_token() && self.inner.settings.login.is_some() => {
                    *self.inner.token.lock() = None;
                    self.exchange(path, &body).await
                }
                answer => answer,
            }
        };
        let turn = self.inner.transport.turn();
        let Ok(answer) = tokio::time::timeout(self.inner.settings.timeout, work).await else {
            self.inner.transport.give_up(turn);
            return Err(Error::Lost(String::from("no answer in time")));
        };
        let answer = answer?;
        let value = serde_json::from_slice(&answer).map_err(|_| Error::Malformed("no JSON of this call"))?;
        Ok((value, answer.len()))
    }

    /// Sends a request with the token, and returns the body of the answer.
    async fn exchange(&self, path: &str, body: &Bytes) -> Result<Bytes, Error> {
        let token = self.token().await?;
        let (connection, answer) = self.inner.transport.send(path, token.as_deref(), body.clone()).await?;
        self.read(connection, answer).await
    }

    async fn read(&self, connection: Connection, answer: Response<Incoming>) -> Result<Bytes, Error> {
        let status = answer.status();
        let turn = connection.turn();
        let collected = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(Error::TooLong),
            Err(error) => {
                self.inner.transport.give_up(turn);
                return Err(Error::Lost(error.to_string()));
            }
        };
        self.inner.transport.keep(connection);
        if status.is_success() {
            return Ok(bytes);
        }
        let failure = serde_json::from_slice::<Failure>(&bytes).unwrap_or_default();
        let error = refusal(failure, i64::from(status.as_u16()));
        if status.is_server_error() {
            // A member without a leader answers, but another may have one.
            self.inner.transport.give_up(turn);
        }
        Err(error)
    }

    /// The token for calls. Logs on if there is none.
    async fn token(&self) -> Result<Option<String>, Error> {
        let Some(login) = &self.inner.settings.login else { return Ok(None) };
        if let Some(token) = self.inner.token.lock().clone() {
            return Ok(Some(token));
        }
        let unreadable = |error| Error::Password { path: login.password_file.clone(), error };
        let read = tokio::fs::read_to_string(&login.password_file).await.map(Zeroizing::new);
        let read = read.map_err(unreadable)?;
        let password = read.trim_end_matches(['\r', '\n']);
        let request = body(&AuthenticateRequest { name: &login.user, password })?;
        let (connection, answer) = self.inner.transport.send("/v3/auth/authenticate", None, request).await?;
        let bytes = self.read(connection, answer).await?;
        let answer: AuthenticateAnswer =
            serde_json::from_slice(&bytes).map_err(|_| Error::Malformed("no JSON of a login"))?;
        if answer.token.is_empty() {
            return Err(Error::Malformed("a login without a token"));
        }
        *self.inner.token.lock() = Some(answer.token.clone());
        Ok(Some(answer.token))
    }

    /// Starts a call whose answer is a stream.
    pub(crate) async fn stream(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<(Connection, Incoming), Error> {
        let body = body(request)?;
        let work = async {
            let token = self.token().await?;
            let (connection, answer) =
                self.inner.transport.send(path, token.as_deref(), body.clone()).await?;
            if answer.status().is_success() {
                return Ok((connection, answer.into_body()));
            }
            let error = match self.read(connection, answer).await {
                Ok(_) => Error::Malformed("a status without an error"),
                Err(error) => error,
            };
            if error.is_expired_token() {
                // The next attempt logs on.
                *self.inner.token.lock() = None;
            }
            Err(error)
        };
        match tokio::time::timeout(self.inner.settings.timeout, work).await {
            Ok(answer) => answer,
            Err(_) => {
                self.inner.transport.give_up(self.inner.transport.turn());
                Err(Error::Lost(String::from("no answer in time")))
            }
        }
    }

    /// Forgets the token of the login.
    pub(crate) fn forget_token(&self) {
        *self.inner.token.lock() = None;
    }
}

/// The number of keys to ask for with the next page. etcd counts all the keys that are left for each page, so that few
/// large pages cost it much less than many small ones; but a page must be here before the call has taken too long.
fn next_limit(limit: u64, length: usize, keys: usize, took: Duration, timeout: Duration) -> u64 {
    if took > timeout / 3 {
        // A short page is slow because etcd is: fewer keys would not come sooner, and each page takes that long.
        let least = if length > PAGE_BYTES_WANTED / 8 { 1 } else { limit.min(PAGE_KEYS) };
        return (limit / 2).max(least);
    }
    // By the mean length of the keys so far; the next ones may be longer, for which there is room in the bound.
    let each = length.checked_div(keys).unwrap_or(length).max(1);
    let fitting = u64::try_from(PAGE_BYTES_WANTED / each).unwrap_or(u64::MAX);
    limit.saturating_mul(PAGE_GROWTH).min(fitting).clamp(1, PAGE_KEYS_MAX)
}

/// The first key that does not begin with `prefix` and is greater.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last.saturating_add(1));
            return end;
        }
    }
    // All keys.
    vec![0]
}

/// The error of an answer, with the code of gRPC or, without one, that of the status.
pub(crate) fn refusal(failure: Failure, status: i64) -> Error {
    let code = failure.grpc_code.or(failure.code).unwrap_or(match status {
        401 => 16,
        404 => 5,
        _ => 2,
    });
    let text = failure.message.or(failure.error).unwrap_or_else(|| format!("status {status}"));
    let message: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_CHARS_MAX).collect();
    // etcd 3.4 reports an expired token of a login as UNAUTHENTICATED or, from some calls, as UNKNOWN.
    let code = if message.contains("invalid auth token") { 16 } else { code };
    Error::Refused { code, message }
}

fn body(request: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(request).map(Bytes::from).map_err(|_| Error::Malformed("the request has no JSON"))
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

fn compare_message(compare: &Compare) -> CompareMessage {
    let (result, target) = match compare.condition {
        Condition::Absent | Condition::Created(_) => ("EQUAL", "CREATE"),
        Condition::Modified(_) => ("EQUAL", "MOD"),
        Condition::Present => ("GREATER", "CREATE"),
    };
    CompareMessage {
        result,
        target,
        key: messages::Bytes(compare.key.clone()),
        create_revision: match compare.condition {
            Condition::Absent | Condition::Present => Some(String::from("0")),
            Condition::Created(revision) => Some(revision.to_string()),
            Condition::Modified(_) => None,
        },
        mod_revision: match compare.condition {
            Condition::Modified(revision) => Some(revision.to_string()),
            _ => None,
        },
    }
}

fn operation_message(operation: &Operation) -> RequestOp {
    match operation {
        Operation::Delete { key } => RequestOp::RequestDeleteRange { key: messages::Bytes(key.clone()) },
        Operation::Put { key, value, lease } => RequestOp::RequestPut {
            key: messages::Bytes(key.clone()),
            value: messages::Bytes(value.clone()),
            lease: lease.unwrap_or(0).to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key() {
        assert_eq!(prefix_end(b"/a/"), b"/a0");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        assert_eq!(prefix_end(b"\xff\xff"), [0]);
    }

    #[test]
    fn pages_grow_while_they_are_short_and_quick() {
        let (quick, second) = (Duration::from_millis(50), Duration::from_secs(1));
        assert_eq!(next_limit(500, 500 * 300, 500, quick, second), 2_000);
        assert_eq!(next_limit(20_000, 20_000 * 200, 20_000, quick, second), PAGE_KEYS_MAX);
        // 64 KiB in Base64 each.
        assert_eq!(next_limit(500, 500 * 88_000, 500, quick, second), 95);
        assert_eq!(next_limit(20_000, 20_000 * 300, 20_000, Duration::from_millis(400), second), 10_000);
        assert_eq!(next_limit(95, 95 * 88_000, 95, Duration::from_millis(400), second), 47);
        // An etcd that is slow with each call.
        assert_eq!(next_limit(500, 500 * 300, 500, Duration::from_millis(400), second), 500);
        assert_eq!(next_limit(1, usize::MAX, 1, quick, second), 1);
        assert_eq!(next_limit(1, 40, 0, quick, second), 4);
    }
}
