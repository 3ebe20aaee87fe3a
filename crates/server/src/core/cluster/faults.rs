//! The faults of shares that administrators see in `shareward cluster status`: a key of this node in etcd.

use std::time::{Duration, Instant};

use cluster::ids::LeaseId;
use cluster::keys::Key;
use cluster::protocol::{Outcome, Transaction, Write};
use cluster::records::{self, FaultsRecord};
use tokio::task::JoinHandle;

use super::state::Member;
use super::store;
use crate::core::bulkhead;

/// The key as it was last written.
#[derive(Default)]
pub(super) struct PublishedFaults {
    last: Option<(LeaseId, FaultsRecord)>,
    /// True when it is done.
    writing: Option<JoinHandle<bool>>,
    has_failed: bool,
    looked: Option<Instant>,
}

impl PublishedFaults {
    /// Writes the key if the faults have changed. It ends with the lease of the node.
    pub(super) fn publish(&mut self, member: &Member, prefix: &str) {
        if let Some(writing) = self.writing.take_if(|it| it.is_finished())
            && !futures_util::FutureExt::now_or_never(writing).is_some_and(|it| it.unwrap_or(false))
        {
            self.has_failed = true;
        }
        // The thread has up to some thousand events a second, and the faults are a walk through all shares.
        if self.looked.is_some_and(|it| it.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let Some(lease) = member.node.lock().as_ref().and_then(cluster::Node::lease) else { return };
        let faults = member.addresses.faults();
        let was_empty = self.last.as_ref().is_none_or(|(of, it)| *of != lease || it.faults.is_empty());
        let is_known = self.last.as_ref().is_some_and(|(of, it)| *of == lease && *it == faults);
        let is_there = is_known || faults.faults.is_empty() && was_empty;
        if self.writing.is_some() || is_there && !self.has_failed {
            return;
        }
        self.has_failed = false;
        for fault in &faults.faults {
            tracing::error!(share = fault.share, reason = fault.reason, "a share of the cluster has a fault");
        }
        let key = Key::Faults(member.node_name().clone());
        let write = match faults.faults.is_empty() {
            true => Write::Delete(key),
            false => Write::Put { key, value: records::write(&faults), lease: Some(lease) },
        };
        self.last = Some((lease, faults));
        let (client, prefix) = (member.etcd.clone(), prefix.to_owned());
        self.writing = Some(bulkhead::spawn(async move {
            let transaction = Transaction { compares: Vec::new(), writes: vec![write] };
            matches!(store::transact(&client, &prefix, &transaction).await, Ok(Outcome::Done { .. }))
        }));
    }
}

/// The thread wakes once a second at least.
const LOOK: Duration = Duration::from_millis(400);
