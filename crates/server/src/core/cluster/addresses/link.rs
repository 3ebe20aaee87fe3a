//! The server's end of the process that holds addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use cluster::clock::Moment;
use cluster::protocol::Event;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::keeper::{Answer, Bounds, KEEPER_WORD, Request};
use super::left;
use crate::core::config::Settings;

/// A process that was started before the server's threads.
pub(crate) struct StartedKeeper {
    input: ChildStdin,
    output: ChildStdout,
    child: Child,
}

impl StartedKeeper {
    /// Starts the process if the settings have addresses for it. It must be called before the sandbox is entered.
    pub(crate) fn start(settings: &Settings) -> io::Result<Option<Self>> {
        let Some(cluster) = &settings.cluster else { return Ok(None) };
        if cluster.share_addresses.is_empty() || !cluster.address_command.is_empty() {
            return Ok(None);
        }
        let mut command = Command::new(std::env::current_exe()?);
        // An interrupt at the terminal is for the server.
        command.arg(KEEPER_WORD).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let networks = cluster.share_addresses.iter().map(ToString::to_string).collect();
        let bounds = Bounds { networks, interface: cluster.interface.clone() };
        let mut line = serde_json::to_vec(&bounds)?;
        line.push(b'\n');
        input.write_all(&line)?;
        Ok(Some(Self { input, output, child }))
    }

    /// Begins to send requests and to read answers, on threads of their own.
    pub(super) fn attach(self, shared: &Arc<Shared>) -> io::Result<KeeperLink> {
        let Self { mut input, output, child } = self;
        let (requests, received) = sync_channel::<Vec<u8>>(REQUESTS_MAX);
        // A process that stands still must not hold up the thread that renews the lease.
        std::thread::Builder::new().name(String::from("addresses")).spawn(move || {
            while let Ok(line) = received.recv() {
                if input.write_all(&line).is_err() {
                    return;
                }
            }
        })?;
        let shared = Arc::clone(shared);
        std::thread::Builder::new().name(String::from("addresses")).spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                let Ok(answer) = serde_json::from_str::<Answer>(&line) else { continue };
                shared.answered(answer);
            }
            shared.ended();
        })?;
        Ok(KeeperLink { requests, last: AtomicU64::new(0), _child: child })
    }
}

/// The link to the process, which ends when this is dropped.
pub(super) struct KeeperLink {
    requests: SyncSender<Vec<u8>>,
    last: AtomicU64,
    _child: Child,
}

impl KeeperLink {
    /// Sends a request for these addresses. Returns its number.
    pub(super) fn send(&self, shared: &Shared, hold: BTreeSet<IpAddr>) -> u64 {
        let id = self.last.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        let until = shared.state.lock().until;
        let request = Request { id, hold: hold.into_iter().collect(), until: until.0 };
        let Ok(mut line) = serde_json::to_vec(&request) else { return id };
        line.push(b'\n');
        if self.requests.try_send(line).is_err() {
            tracing::warn!("the process that holds addresses takes no requests");
        }
        id
    }

    /// Waits until a request is answered and these addresses, which it gives up, are removed, or until they have ended by
    /// themselves.
    pub(super) async fn wait(&self, shared: &Shared, id: u64, given_up: &BTreeSet<IpAddr>) {
        shared.wait(id, given_up).await;
    }
}

/// The state that the answers change.
pub(super) struct Shared {
    state: Mutex<State>,
    last_answer: watch::Sender<u64>,
    /// Wakes the thread of the member. `None` on a server that is none.
    events: Option<mpsc::UnboundedSender<Event>>,
}

struct State {
    until: Moment,
    faults: BTreeMap<IpAddr, String>,
    has_ended: bool,
}

impl Default for Shared {
    fn default() -> Self {
        let state = State { until: Moment::default(), faults: BTreeMap::new(), has_ended: false };
        Self { state: Mutex::new(state), last_answer: watch::Sender::new(0), events: None }
    }
}

impl Shared {
    pub(super) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self { events: Some(events), ..Self::default() }
    }

    /// Notes the end of the permission. Returns true if it is a later one.
    pub(super) fn extend(&self, until: Moment) -> bool {
        let mut state = self.state.lock();
        let is_later = until > state.until;
        state.until = state.until.max(until);
        is_later
    }

    /// Waits as [`KeeperLink::wait`] does.
    async fn wait(&self, id: u64, given_up: &BTreeSet<IpAddr>) {
        // No address is held beyond this, because no request after this has them.
        let until = self.state.lock().until;
        let mut answered = self.last_answer.subscribe();
        loop {
            if *answered.borrow_and_update() >= id && !self.has_faults(given_up) {
                return;
            }
            let rest = left(until);
            if rest.is_zero() {
                return;
            }
            // The clock of the runtime stands still while the machine is suspended.
            let wait = rest.min(LOOK);
            let _ = tokio::time::timeout(wait, answered.changed()).await;
        }
    }

    /// True if the last answer has faults of some of these addresses.
    fn has_faults(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        let state = self.state.lock();
        addresses.iter().any(|it| state.faults.contains_key(it))
    }

    /// The addresses that are not held, with the reasons.
    pub(super) fn faults(&self) -> BTreeMap<IpAddr, String> {
        self.state.lock().faults.clone()
    }

    fn answered(&self, answer: Answer) {
        let changed = {
            let mut state = self.state.lock();
            let changed = state.faults != answer.faults;
            for (address, reason) in &answer.faults {
                if state.faults.get(address) != Some(reason) {
                    tracing::error!(%address, reason, "an address of a share has a fault");
                }
            }
            state.faults = answer.faults;
            changed
        };
        self.last_answer.send_replace(answer.id);
        if changed && let Some(events) = &self.events {
            let _ = events.send(Event::Tick);
        }
    }

    /// The process has ended: the kernel removes the addresses.
    fn ended(&self) {
        self.state.lock().has_ended = true;
        tracing::error!(
            "the process that holds the addresses of shares has ended; addresses are held again after a restart of the server"
        );
    }

    /// True if the process has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().has_ended
    }
}

/// Requests come with renewals, twice a second, and with changes. A process that leaves so many stands still.
const REQUESTS_MAX: usize = 256;

const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::core::cluster::now;

    #[tokio::test]
    async fn an_address_that_was_not_removed_is_waited_for() {
        let (shared, kept) = (Shared::default(), "192.0.2.9".parse().unwrap());
        shared.extend(now().after(Duration::from_secs(3600)));
        let answer = |id, faults: &[IpAddr]| {
            let faults = faults.iter().map(|it| (*it, String::from("no memory"))).collect();
            shared.answered(Answer { id, faults });
        };
        let given_up = BTreeSet::from([kept]);
        let mut waiting = std::pin::pin!(shared.wait(2, &given_up));
        answer(1, &[]);
        assert!(waiting.as_mut().now_or_never().is_none());
        answer(2, &[kept]);
        assert!(waiting.as_mut().now_or_never().is_none(), "the address is still here");
        // A later request has it removed.
        answer(3, &["192.0.2.10".parse().unwrap()]);
        assert!(waiting.as_mut().now_or_never().is_some());
        // At the end of its time it is gone.
        let shared = Shared::default();
        shared.answered(Answer { id: 2, faults: [(kept, String::from("no memory"))].into() });
        assert!(shared.wait(2, &given_up).now_or_never().is_some());
    }
}
