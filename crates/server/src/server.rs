//! The Server service: the registry, the settings and the tasks around them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use auth::users::UserDb;
use registry::{Registry, State, Time};
use tokio::sync::Notify;
use wire::{FileTime, Guid};

use crate::config::Settings;
use crate::shell::{SmbShell, Waiters};
use crate::tree::Share;

/// A server, running or about to.
pub struct Server {
    pub(crate) registry: Registry<SmbShell>,
    pub(crate) waiters: Waiters,
    /// Wakes the task that watches the registry's timeouts.
    pub(crate) timeouts_changed: Notify,
    pub(crate) guid: Guid,
    settings: RwLock<Arc<Settings>>,
    accounts: RwLock<Arc<UserDb>>,
    shares: RwLock<HashMap<String, Arc<Share>>>,
    clock: Clock,
    request_keys: AtomicU64,
}

/// A clock that starts at the system's time and never goes back.
#[derive(Debug)]
struct Clock {
    origin: Instant,
    origin_unix: Duration,
}

impl Clock {
    fn new() -> Self {
        let origin_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_unix }
    }

    fn since_epoch(&self) -> Duration {
        self.origin_unix + self.origin.elapsed()
    }
}

impl Server {
    /// The time for the registry.
    pub(crate) fn now(&self) -> Time {
        Time(u64::try_from(self.clock.since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    /// The time for the wire.
    pub(crate) fn file_time(&self) -> FileTime {
        let now = self.clock.since_epoch();
        FileTime::from_unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos())
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The accounts in force.
    pub(crate) fn accounts(&self) -> Arc<UserDb> {
        Arc::clone(&self.accounts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The share with this name, in any case.
    pub(crate) fn share(&self, name: &str) -> Option<Arc<Share>> {
        let shares = self.shares.read().unwrap_or_else(PoisonError::into_inner);
        shares.get(&name.to_lowercase()).map(Arc::clone)
    }

    /// A number no other request of this server has.
    pub(crate) fn next_request(&self) -> u64 {
        self.request_keys.fetch_add(1, Ordering::Relaxed)
    }
}
