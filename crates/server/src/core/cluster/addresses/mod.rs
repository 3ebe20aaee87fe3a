//! Addresses that move with a share (`docs/cluster.md`): the owner of a share holds them while it serves the share, or has
//! the operator's command assign them.
//!
//! Whatever a share has, all addresses of this server are one set, which each request names as a whole, together with the
//! end of the write permission. So a request that is lost is made good by the next one, and each renewal of the lease
//! extends the time of the addresses.

mod frames;
mod keeper;
mod link;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::View;
use cluster::clock::Moment;
use cluster::ids::{Attempt, ShareKey};
use cluster::protocol::Event;
use cluster::records::{FAULTS_MAX, FaultRecord, FaultsRecord};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::attempt::Surroundings;
use super::{Serving, now};
pub use keeper::{KEEPER_WORD, run_keeper};
pub(crate) use link::StartedKeeper;
use link::{KeeperLink, Shared};

/// The addresses of the shares that this server serves.
#[derive(Default)]
pub(super) struct Addresses {
    /// The networks in which addresses may be.
    networks: Vec<IpNet>,
    /// The process that holds them. `None` if there is no such network, or a command is to assign them.
    keeper: Option<KeeperLink>,
    /// The command that assigns addresses. Empty if there is none.
    command: Vec<String>,
    shares: Mutex<BTreeMap<ShareKey, Holding>>,
    shared: Arc<Shared>,
    /// Commands run one after the other.
    turn: tokio::sync::Mutex<()>,
}

/// The addresses of a share that is served.
struct Holding {
    attempt: Attempt,
    addresses: BTreeSet<IpAddr>,
    /// The failure of the command.
    fault: Option<String>,
}

impl Addresses {
    pub(super) fn new(
        settings: &crate::core::config::ClusterSettings,
        keeper: Option<StartedKeeper>,
        events: mpsc::UnboundedSender<Event>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(events));
        let keeper = keeper.map(|it| it.attach(&shared)).transpose()?;
        Ok(Self {
            networks: settings.share_addresses.clone(),
            keeper,
            command: settings.address_command.clone(),
            shared,
            ..Self::default()
        })
    }

    /// Begins to hold the addresses of a share that is served.
    pub(super) fn hold(&self, around: &Surroundings, serving: &Serving) {
        if serving.addresses.is_empty() {
            return;
        }
        let addresses: BTreeSet<IpAddr> = serving.addresses.iter().copied().collect();
        let holding = Holding { attempt: serving.attempt, addresses: addresses.clone(), fault: None };
        {
            let mut shares = self.shares.lock();
            if shares.get(&serving.key).is_some_and(|it| it.attempt == serving.attempt) {
                // A later definition has come before.
                return;
            }
            shares.insert(serving.key.clone(), holding);
        }
        self.send();
        self.begin_assigning(around, &serving.key, serving.attempt, addresses);
    }

    /// Follows the definitions of the shares that are served, which `serving` returns.
    pub(super) fn follow(&self, around: &Surroundings, view: &View, serving: impl FnOnce() -> Vec<Serving>) {
        let (mut changed, mut removed) = (Vec::new(), Vec::new());
        let mut shares = self.shares.lock();
        // Under the lock: a share whose addresses were given up is not served any more, and does not get them again here.
        for served in serving() {
            let Some(definition) = view.shares().get(&served.key) else { continue };
            let addresses: BTreeSet<IpAddr> = definition.addresses.iter().copied().collect();
            match shares.get_mut(&served.key) {
                Some(holding) if holding.addresses == addresses => {}
                Some(holding) => {
                    let added = addresses.difference(&holding.addresses).copied().collect();
                    let gone: BTreeSet<IpAddr> = holding.addresses.difference(&addresses).copied().collect();
                    if !gone.is_empty() {
                        removed.push((served.key.clone(), gone));
                    }
                    holding.addresses = addresses;
                    changed.push((served.key.clone(), holding.attempt, added));
                }
                None if addresses.is_empty() => {}
                None => {
                    let holding =
                        Holding { attempt: served.attempt, addresses: addresses.clone(), fault: None };
                    shares.insert(served.key.clone(), holding);
                    changed.push((served.key.clone(), served.attempt, addresses));
                }
            }
        }
        drop(shares);
        if changed.is_empty() {
            return;
        }
        self.send();
        for (share, gone) in removed {
            self.begin_releasing(around, &share, gone);
        }
        for (share, attempt, added) in changed {
            self.begin_assigning(around, &share, attempt, added);
        }
    }

    /// Extends the time of all addresses to the end of the write permission.
    pub(super) fn extend(&self, until: Moment) {
        if self.keeper.is_some() && self.shared.extend(until) && !self.shares.lock().is_empty() {
            self.send();
        }
    }

    /// The addresses of a share that no other share of this server has.
    pub(super) fn of_share_alone(&self, share: &ShareKey, attempt: Attempt) -> BTreeSet<IpAddr> {
        let shares = self.shares.lock();
        let Some(holding) = shares.get(share).filter(|it| it.attempt == attempt) else {
            return BTreeSet::new();
        };
        let is_others =
            |address: &IpAddr| shares.iter().any(|(key, it)| key != share && it.addresses.contains(address));
        holding.addresses.iter().copied().filter(|it| !is_others(it)).collect()
    }

    /// Gives up the addresses of a share. When this returns, this server does not hold them any more.
    pub(super) async fn release(&self, around: &Surroundings, share: &ShareKey, attempt: Attempt) {
        let given_up = self.of_share_alone(share, attempt);
        {
            let mut shares = self.shares.lock();
            if shares.get(share).is_none_or(|it| it.attempt != attempt) {
                return;
            }
            shares.remove(share);
        }
        if let (Some(keeper), Some(id)) = (&self.keeper, self.send()) {
            keeper.wait(&self.shared, id, &given_up).await;
        }
        if !self.command.is_empty() && !given_up.is_empty() {
            let released = tokio::time::timeout(RELEASE_MAX, self.release_unused(around, share, given_up));
            if let Ok(Err(reason)) | Err(reason) = released.await.map_err(|_| String::from("it takes long")) {
                tracing::warn!(share = %share, reason, "address_command has not released the addresses of a share; the next owner takes them");
            }
        }
    }

    /// Has the command release addresses that a share has no more, while this server goes on to serve it.
    fn begin_releasing(&self, around: &Surroundings, share: &ShareKey, gone: BTreeSet<IpAddr>) {
        let gone: BTreeSet<IpAddr> = gone.into_iter().filter(|it| self.objection(*it).is_none()).collect();
        if self.command.is_empty() || gone.is_empty() {
            return;
        }
        let (around, share) = (around.clone(), share.clone());
        let runtime = around.runtime.clone();
        let releasing = async move {
            let Some(member) = around.server.cluster.member() else { return };
            if let Err(reason) = member.addresses.release_unused(&around, &share, gone).await {
                tracing::warn!(share = %share, reason, "address_command has not released addresses that a share has no more");
            }
        };
        drop(runtime.spawn(releasing));
    }

    /// Has the command release those of these addresses that no share of this server has when its turn has come.
    async fn release_unused(
        &self,
        around: &Surroundings,
        share: &ShareKey,
        addresses: BTreeSet<IpAddr>,
    ) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let unused = self.unused(addresses);
        if unused.is_empty() { Ok(()) } else { self.assign(around, share, "release", &unused).await }
    }

    /// The addresses of this list that no share of this server has.
    fn unused(&self, addresses: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let shares = self.shares.lock();
        let is_used = |address: &IpAddr| shares.values().any(|it| it.addresses.contains(address));
        addresses.into_iter().filter(|it| !is_used(it)).collect()
    }

    /// The faults of all shares, for administrators.
    pub(super) fn faults(&self) -> FaultsRecord {
        let of_keeper = self.shared.faults();
        let mut faults = Vec::new();
        for (share, holding) in &*self.shares.lock() {
            let mut all: Vec<String> = holding.fault.iter().cloned().collect();
            for address in &holding.addresses {
                all.extend(self.objection(*address).map(|it| format!("{address}: {it}")));
                all.extend(of_keeper.get(address).map(|it| format!("{address}: {it}")));
            }
            all.dedup();
            if !all.is_empty() && faults.len() < FAULTS_MAX {
                let reason = all.join("; ").chars().take(REASON_CHARS_MAX).collect();
                faults.push(FaultRecord { share: share.to_string(), reason });
            }
        }
        FaultsRecord { faults }
    }

    /// The reason why this server never holds an address.
    fn objection(&self, address: IpAddr) -> Option<&'static str> {
        let fits = self.networks.iter().any(|it| it.contains(&address));
        match (fits, &self.keeper, self.command.is_empty()) {
            (false, ..) => Some("it is not in share_addresses of [cluster] of this server"),
            (true, None, true) => Some("share_addresses takes effect after a restart of the server"),
            (true, Some(_), _) if self.shared.has_ended() => {
                Some("the process that holds addresses has ended; it needs a restart of the server")
            }
            _ => None,
        }
    }

    /// Has the process hold the present addresses. Returns the number of the request.
    fn send(&self) -> Option<u64> {
        let keeper = self.keeper.as_ref()?;
        // Under the lock, so that a request never has an earlier state than the one before it.
        let shares = self.shares.lock();
        let all = shares.values().flat_map(|it| it.addresses.iter().copied());
        let all: BTreeSet<IpAddr> = all.filter(|it| self.objection(*it).is_none()).collect();
        Some(keeper.send(&self.shared, all))
    }

    /// Has the command assign addresses to this server, again and again until it succeeds or they are given up.
    fn begin_assigning(
        &self,
        around: &Surroundings,
        share: &ShareKey,
        attempt: Attempt,
        added: BTreeSet<IpAddr>,
    ) {
        let added: BTreeSet<IpAddr> = added.into_iter().filter(|it| self.objection(*it).is_none()).collect();
        if self.command.is_empty() || added.is_empty() {
            return;
        }
        let (around, share) = (around.clone(), share.clone());
        let runtime = around.runtime.clone();
        let assigning = async move {
            let server = Arc::clone(&around.server);
            let Some(member) = server.cluster.member() else { return };
            loop {
                let turn = member.addresses.turn.lock().await;
                let added = member.addresses.still_had(&share, attempt, &added);
                if added.is_empty() {
                    return;
                }
                let outcome = member.addresses.assign(&around, &share, "take", &added).await;
                drop(turn);
                let is_done = outcome.is_ok();
                if let Some(holding) = member.addresses.shares.lock().get_mut(&share)
                    && holding.attempt == attempt
                {
                    holding.fault = outcome.err().map(|reason| format!("address_command: {reason}"));
                }
                let _ = around.events.send(Event::Tick);
                if is_done {
                    return;
                }
                tokio::time::sleep(ASSIGN_AGAIN).await;
            }
        };
        drop(runtime.spawn(assigning));
    }

    /// The addresses of this list that the share still has.
    fn still_had(&self, share: &ShareKey, attempt: Attempt, added: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let shares = self.shares.lock();
        let holding = shares.get(share).filter(|it| it.attempt == attempt);
        holding.map_or_else(BTreeSet::new, |it| added.intersection(&it.addresses).copied().collect())
    }

    /// Runs the command with the addresses as JSON on its standard input. It is the turn of the caller.
    async fn assign(
        &self,
        around: &Surroundings,
        share: &ShareKey,
        act: &str,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), String> {
        let server = &around.server;
        let node = server.cluster.member().map(|it| it.node_name().to_string());
        let text = serde_json::json!({
            "act": act, "share": share.as_str(), "node": node, "addresses": addresses,
        });
        let helper = server.notices.helper().ok_or("the process that runs commands does not run")?;
        helper.run_text(&self.command, "address", text.to_string()).await
    }
}

/// The time left of a permission.
fn left(until: Moment) -> Duration {
    until.since(now())
}

/// A service of a cloud answers in a second or two. The share waits for it.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// A command that has failed is run again after this time.
const ASSIGN_AGAIN: Duration = Duration::from_secs(10);

/// The length of a reason in etcd.
const REASON_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use auth::UserDb;
    use cluster::protocol::{Change, Entry};
    use cluster::records::{self, ShareRecord};
    use vfs::Gate;

    use super::*;
    use crate::core::config::{Settings, ShareSettings};
    use crate::core::server::Server;

    /// A definition changes while the share goes to another node. The stop ends the serving first, then gives the addresses
    /// up: one of them must be seen.
    #[tokio::test]
    async fn addresses_that_were_given_up_are_not_held_again() {
        let server = Server::new(Settings::conventional(false, |_| None), UserDb::default()).unwrap();
        let (events, _inbox) = mpsc::unbounded_channel();
        let around = Surroundings { server, runtime: tokio::runtime::Handle::current(), events };
        let address: IpAddr = "192.0.2.9".parse().unwrap();
        let key = ShareKey::new("s").unwrap();
        let record = ShareRecord {
            weight: 1,
            nodes: Vec::new(),
            addresses: vec![address],
            definition: serde_json::Value::Null,
        };
        let mut view = View::default();
        let entry = Entry {
            path: String::from("/shareward/c/shares/s"),
            value: records::write(&record),
            created: cluster::ids::Revision(1),
            modified: cluster::ids::Revision(1),
            lease: None,
        };
        view.take("/shareward/c/", &Change::Written(entry));
        let serving = Serving {
            settings: ShareSettings::new(String::from("s"), "/".into()),
            gate: Gate::new(|| true),
            key: key.clone(),
            attempt: Attempt(1),
            modified: cluster::ids::Revision(1),
            addresses: Vec::new(),
        };
        let addresses = Addresses::default();
        addresses.follow(&around, &view, || {
            let is_given_up_meanwhile = addresses.shares.try_lock().is_some();
            assert!(!is_given_up_meanwhile, "the addresses could be given up between the look and the entry");
            vec![serving]
        });
        assert_eq!(addresses.of_share_alone(&key, Attempt(1)), BTreeSet::from([address]));
        addresses.release(&around, &key, Attempt(1)).await;
        addresses.follow(&around, &view, Vec::new);
        assert_eq!(addresses.of_share_alone(&key, Attempt(1)), BTreeSet::new());
    }

    #[test]
    fn the_command_takes_and_releases_what_shares_have_when_its_turn_has_come() {
        let of =
            |last: &[u8]| -> BTreeSet<IpAddr> { last.iter().map(|it| [192, 0, 2, *it].into()).collect() };
        let addresses = Addresses::default();
        let share = |name: &str| ShareKey::new(name).unwrap();
        let hold = |name: &str, has: &[u8]| {
            let holding = Holding { attempt: Attempt(1), addresses: of(has), fault: None };
            addresses.shares.lock().insert(share(name), holding);
        };
        // 1 has gone from the definition, 2 has moved to another share of this server.
        hold("s", &[3]);
        hold("t", &[2]);
        assert_eq!(addresses.unused(of(&[1, 2])), of(&[1]));
        // One of two addresses is no more to be taken.
        assert_eq!(addresses.still_had(&share("s"), Attempt(1), &of(&[1, 3])), of(&[3]));
        assert_eq!(addresses.still_had(&share("s"), Attempt(2), &of(&[1, 3])), of(&[]));
    }
}
