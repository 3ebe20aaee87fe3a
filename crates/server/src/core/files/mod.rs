//! Knowledge about files beyond their opens: locked ranges, locks on the machine, listings, watches, times, repeated
//! requests, quotas.

pub(crate) mod host_locks;
pub(crate) mod listing;
pub(crate) mod lock_conflicts;
pub(crate) mod notify;
pub(crate) mod quota;
pub(crate) mod replay;
pub(crate) mod times;

/// A path as clients and administrators write it: `\` between components, the stream behind a colon.
pub(crate) fn display_path(path: &vfs::RelativePath) -> String {
    path.to_string().replace('/', "\\")
}
