//! The named limits of a client.

use std::time::Duration;

/// How long one request may take, from connecting to the last byte. Ending a session with many opens
/// takes the server's disk a while; nothing takes half a minute.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// Entries asked for with one request of a list.
pub const PAGE_ENTRIES: u32 = control::limits::PAGE_MAX;

/// Entries of a list at most, so that a server that never ends its pages ends here.
pub const LIST_ENTRIES_MAX: usize = 4_000_000;
