//! Bounds on what etcd answers: a wrong or hostile server must not use up the memory of its clients.

use std::time::Duration;

/// An answer. A page of [`PAGE_KEYS`] keys with values of 64 KiB in Base64 fits.
pub(crate) const ANSWER_BYTES_MAX: usize = 48 * 1024 * 1024;

/// A message of a watch. etcd sends large ones in fragments of its greatest request, 1.5 MiB unless it is set otherwise.
pub(crate) const WATCH_MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The keys of the first page of a range.
pub(crate) const PAGE_KEYS: u64 = 500;

/// The keys of a later page, if those so far were short.
pub(crate) const PAGE_KEYS_MAX: u64 = 30_000;

/// The length of a page beyond the first: etcd and its client need some hundred milliseconds for it.
pub(crate) const PAGE_BYTES_WANTED: usize = 8 * 1024 * 1024;

/// A page has so many times the keys of the one before it at most.
pub(crate) const PAGE_GROWTH: u64 = 4;

/// The keys of a range as a whole: three for each of 200,000 shares.
pub(crate) const RANGE_KEYS_MAX: usize = 700_000;

/// A longer value is cut to this length: the users of keys refuse values of more than 64 KiB.
pub const VALUE_BYTES_KEPT: usize = 64 * 1024 + 1;

/// The operations of one transaction; etcd itself refuses more by default.
pub(crate) const OPERATIONS_MAX: usize = 128;

/// The endpoints: clusters of etcd have 3 or 5 members.
pub(crate) const ENDPOINTS_MAX: usize = 16;

/// The idle connections that are kept to an endpoint.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 8;

/// The requests at a time, so that a burst of transactions does not open a connection each.
pub(crate) const REQUESTS_MAX: usize = 32;

/// An idle connection is closed before etcd or a proxy in between is likely to have done so.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(30);

/// The text of an error that etcd sends.
pub(crate) const ERROR_CHARS_MAX: usize = 300;
