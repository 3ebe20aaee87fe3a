//! The write permission as the data path reads it: two atomic values, without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Moment;

/// The end of the write permission of one incarnation of a node. It is zero for ever after the incarnation's end.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeGate(Arc<AtomicU64>);

impl NodeGate {
    pub(crate) fn permit_until(&self, deadline: Moment) {
        self.0.store(deadline.0, Ordering::SeqCst);
    }

    pub(crate) fn close(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// A gate for one share.
    pub(crate) fn share(&self) -> WriteGate {
        WriteGate { node: self.clone(), open: Arc::new(AtomicBool::new(true)) }
    }
}

/// The permission to write to one share, for one attempt of one incarnation to serve it.
///
/// The data path asks before each change of the share's files. A gate that has closed never opens again: the next
/// attempt has a gate of its own.
#[derive(Clone, Debug)]
pub struct WriteGate {
    node: NodeGate,
    open: Arc<AtomicBool>,
}

impl WriteGate {
    /// True if the node may write to the share at `now`.
    pub fn permits(&self, now: Moment) -> bool {
        self.open.load(Ordering::SeqCst) && now.0 < self.node.0.load(Ordering::SeqCst)
    }

    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
    }
}

/// Gates are equal if they are one gate.
impl PartialEq for WriteGate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.open, &other.open)
    }
}

impl Eq for WriteGate {}
