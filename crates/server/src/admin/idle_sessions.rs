//! Ends sessions that are idle for too long (`sv102_disc`, MS-SRVS 2.2.4.43): those without open files and
//! without activity of the user. ECHO requests and TCP keepalives do not count as activity.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use control::{Notice, NoticeEvent};
use registry::Time;
use wire::{ShareName, eq_ignore_case};

use super::walk::CHUNK;
use crate::core::config::{Settings, ShareSettings};
use crate::core::server::Server;

/// The limits of idle times.
struct Policy {
    server_ms: Option<u64>,
    shares_ms: HashMap<ShareName, u64>,
    shortest_ms: u64,
}

impl Policy {
    /// The policy of the settings; `None` if sessions are never disconnected.
    fn of(settings: &Settings) -> Option<Self> {
        let server_ms = settings.autodisconnect.map(milliseconds);
        let of_share =
            |share: &ShareSettings| Some((ShareName::new(&share.name), milliseconds(share.autodisconnect?)));
        let shares_ms: HashMap<ShareName, u64> = settings.shares.iter().filter_map(of_share).collect();
        let shortest_ms = shares_ms.values().copied().chain(server_ms).min()?;
        Some(Self { server_ms, shares_ms, shortest_ms })
    }

    /// The idle time for a session that is connected to these shares; `None` for unlimited. It is the longest
    /// of the shares' times, each of which defaults to the server's, because a session that may stay for one
    /// share stays. IPC$ is not considered.
    fn limit_ms(&self, shares: &[Arc<str>]) -> Option<u64> {
        let disks = shares.iter().filter(|share| !eq_ignore_case(share, ShareSettings::IPC));
        let mut longest = None;
        for share in disks {
            let limit = self.shares_ms.get(&ShareName::new(share)).copied().or(self.server_ms)?;
            longest = longest.max(Some(limit));
        }
        longest.or(self.server_ms)
    }
}

/// Ends the sessions that have been idle for too long at `now`.
fn disconnect_idle(server: &Server, now: Time) {
    let Some(policy) = Policy::of(&server.settings()) else { return };
    let mut after = None;
    loop {
        let (last, effects) = server.registry.lock("close_idle_sessions").close_idle_sessions(
            policy.shortest_ms,
            |shares| policy.limit_ms(shares),
            after,
            CHUNK,
            now,
        );
        for session in &effects.sessions_ended {
            tracing::info!(session = session.global_id.value(), "ended a session that was idle for too long");
            let user = session.attached.user().map(|it| it.name.clone());
            server.notify_of(Notice { user, ..Notice::of(NoticeEvent::IdleSessionEnded) });
        }
        server.apply(effects);
        after = last;
        if after.is_none() {
            return;
        }
    }
}

/// Ends idle sessions regularly, forever.
pub(crate) async fn watch(server: Arc<Server>) {
    loop {
        tokio::time::sleep(LOOK).await;
        disconnect_idle(&server, server.now());
    }
}

/// Zero minutes mean a few seconds, as in Windows: otherwise no client could open a file.
fn milliseconds(minutes: u32) -> u64 {
    if minutes == 0 { ZERO_MS } else { u64::from(minutes) * 60_000 }
}

/// The time for zero minutes.
const ZERO_MS: u64 = 5_000;

/// The interval of the checks: short compared with a minute.
const LOOK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(server: Option<u32>, shares: &[(&str, Option<u32>)]) -> Option<Policy> {
        let mut settings = Settings::conventional(false, |_| None);
        settings.autodisconnect = server;
        settings.shares = shares
            .iter()
            .map(|(name, minutes)| ShareSettings {
                autodisconnect: *minutes,
                ..ShareSettings::new(String::from(*name), std::path::PathBuf::from("/"))
            })
            .collect();
        Policy::of(&settings)
    }

    #[test]
    fn the_idle_limit_of_a_session_is_the_longest_of_its_shares() {
        let limit = |policy: &Policy, shares: &[&str]| {
            let shares: Vec<Arc<str>> = shares.iter().map(|it| Arc::from(*it)).collect();
            policy.limit_ms(&shares).map(|ms| ms / 1000)
        };
        assert!(policy(None, &[("a", None)]).is_none());
        let kiosk = policy(None, &[("kiosk", Some(2)), ("data", None)]).unwrap();
        assert_eq!(kiosk.shortest_ms, 120_000);
        assert_eq!(limit(&kiosk, &["KIOSK", "IPC$"]), Some(120));
        assert_eq!(limit(&kiosk, &["kiosk", "data"]), None);
        assert_eq!(limit(&kiosk, &[]), None);
        let all = policy(Some(15), &[("kiosk", Some(0)), ("long", Some(60))]).unwrap();
        for (shares, seconds) in [
            (&["kiosk"][..], 5),
            (&["kiosk", "data"], 900),
            (&["kiosk", "long", "data"], 3600),
            (&["IPC$"], 900),
            (&[], 900),
        ] {
            assert_eq!(limit(&all, shares), Some(seconds), "{shares:?}");
        }
    }
}
