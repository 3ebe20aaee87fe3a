//! Calls of etcd, in the terms of the protocol.

use cluster::ids::{LeaseId, Revision};
use cluster::keys::Key;
use cluster::protocol::{Change, Compare, Entry, Event, Outcome, Transaction, Write};
use etcd::{Client, Condition, KeyValue, Operation};

/// Reads all keys of the cluster. The event is the answer to the request.
pub(super) async fn read(client: &Client, prefix: &str, request: cluster::ids::RequestId) -> Event {
    match client.range(prefix.as_bytes()).await {
        Ok(range) => Event::Snapshot {
            request,
            revision: revision(range.revision),
            store: range.cluster_id,
            entries: range.entries.into_iter().map(entry).collect(),
        },
        Err(error) => {
            tracing::debug!(%error, "cannot read the keys of the cluster");
            Event::RequestFailed { request }
        }
    }
}

/// Carries out a transaction.
///
/// # Errors
/// The error of a call without an answer, or one that etcd has refused.
pub(super) async fn transact(
    client: &Client,
    prefix: &str,
    transaction: &Transaction,
) -> Result<Outcome, etcd::Error> {
    let compares: Vec<_> = transaction.compares.iter().map(|it| compare(prefix, it)).collect();
    let writes: Vec<_> = transaction.writes.iter().map(|it| write(prefix, it)).collect();
    let answer = client.transact(&compares, &writes).await?;
    let revision = revision(answer.revision);
    Ok(if answer.succeeded { Outcome::Done { revision } } else { Outcome::Failed { revision } })
}

/// The batch of a watch, in the terms of the protocol.
pub(super) fn batch(watch: u64, batch: etcd::Batch) -> Event {
    let changes = batch.changes.into_iter().map(|change| match change {
        etcd::Change::Deleted(key) => Change::Deleted { path: path(key) },
        etcd::Change::Written(written) => Change::Written(entry(written)),
    });
    Event::WatchBatch { watch, revision: revision(batch.revision), changes: changes.collect() }
}

/// A key with its value, in the terms of the protocol.
pub(super) fn entry(it: KeyValue) -> Entry {
    Entry {
        path: path(it.key),
        value: it.value,
        created: revision(it.create_revision),
        modified: revision(it.mod_revision),
        lease: (it.lease != 0).then_some(LeaseId(it.lease)),
    }
}

/// The text of a key. One that is not UTF-8 is none of the cluster's, and no text of it is either.
fn path(key: Vec<u8>) -> String {
    String::from_utf8(key).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// etcd's revisions are positive.
fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn compare(prefix: &str, compare: &Compare) -> etcd::Compare {
    let (key, condition) = match compare {
        Compare::Absent(key) => (key, Condition::Absent),
        Compare::Created(key, revision) => (key, Condition::Created(number(*revision))),
        Compare::Modified(key, revision) => (key, Condition::Modified(number(*revision))),
        Compare::Present(key) => (key, Condition::Present),
    };
    etcd::Compare { key: bytes(prefix, key), condition }
}

fn write(prefix: &str, write: &Write) -> Operation {
    match write {
        Write::Delete(key) => Operation::Delete { key: bytes(prefix, key) },
        Write::Put { key, value, lease } => Operation::Put {
            key: bytes(prefix, key),
            value: value.clone(),
            lease: lease.map(|LeaseId(lease)| lease),
        },
    }
}

fn bytes(prefix: &str, key: &Key) -> Vec<u8> {
    key.to_path(prefix).into_bytes()
}
