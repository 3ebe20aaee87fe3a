//! Deliberate faults. Tests switch them on to show that the simulator finds such faults; a server never does.

/// The faults of a node, all of them off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// The write permission counts from the answer of a renewal, not from its sending.
    pub counts_from_answer: bool,
    /// The node takes a share for its own if the owner has its name, whatever the incarnation and the lease.
    pub ignores_incarnation: bool,
    /// The node serves again after a handover without an answer, without making the handover impossible first.
    pub resumes_without_reclaim: bool,
    /// The node gives up its lease before its shares have stopped.
    pub revokes_before_stop: bool,
}
