//! Knowledge about files beyond their opens: locked ranges, watches, times, repeated requests, quotas.

pub(crate) mod locked;
pub(crate) mod notify;
pub(crate) mod quota;
pub(crate) mod replay;
pub(crate) mod times;
