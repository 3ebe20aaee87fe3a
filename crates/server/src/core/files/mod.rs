//! Information about files beyond their opens: locked ranges, locks for local programs, listings, watches, times,
//! repeated requests, quotas.

pub(crate) mod host_locks;
pub(crate) mod listing;
pub(crate) mod lock_conflicts;
pub(crate) mod notify;
pub(crate) mod quota;
pub(crate) mod recycle;
pub(crate) mod replay;
pub(crate) mod times;

/// The path as clients and administrators see it: `\` between components, and the stream after a colon.
pub(crate) fn display_path(path: &vfs::RelativePath) -> String {
    path.to_string().replace('/', "\\")
}
