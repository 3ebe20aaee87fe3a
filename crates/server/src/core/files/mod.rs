//! What the server knows about files beyond their opens: watches, locks on the machine, times, repeated requests, quotas.

pub(crate) mod host_locks;
pub(crate) mod notify;
pub(crate) mod quota;
pub(crate) mod replay;
pub(crate) mod times;
