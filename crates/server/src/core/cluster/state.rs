//! The membership as the rest of the server sees it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster::ids::{NodeName, Revision, ShareKey};
use cluster::protocol::{AdminOutcome, Command, Event};
use cluster::{Node, Owner};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use wire::ShareName;

use super::Serving;
use super::addresses::Addresses;
use super::screen::Screen;
use super::shares::Parsed;
use super::witness::Witness;
use crate::core::config::ClusterSettings;
use crate::core::server::Server;

/// The membership of the server. A server that is no member has an empty one.
#[derive(Default)]
pub(crate) struct Cluster {
    member: OnceLock<Member>,
    /// The shares of the cluster that this server serves.
    serving: RwLock<BTreeMap<ShareName, Serving>>,
}

/// The parts of a member.
pub(super) struct Member {
    pub(super) settings: ClusterSettings,
    /// The state machine. `None` until the cluster was found.
    pub(super) node: Mutex<Option<Node>>,
    /// The reason why the member takes no part. `None` if it does.
    pub(super) trouble: Mutex<Option<String>>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) etcd: etcd::Client,
    /// The client for acts of administrators, which are tasks of the server's runtime: renewals of the lease must not wait
    /// for a connection that belongs to it.
    pub(super) acts: etcd::Client,
    pub(super) addresses: Addresses,
    pub(super) witness: Witness,
    /// True if the definition of a share has changed before its settings took effect.
    pub(super) has_late_definition: AtomicBool,
    /// The definitions in etcd that are not used.
    pub(super) screen: Mutex<Screen>,
    /// The definitions of shares that were parsed.
    pub(super) parsed: Mutex<Parsed>,
    /// The revision at which this server has written users or groups, until the thread has looked at them again.
    pub(super) users_written: Mutex<Option<Revision>>,
    /// The runtime of the member's thread, and the server. Set when that has started.
    pub(super) shell: OnceLock<(Handle, Arc<Server>)>,
    tickets: Mutex<Tickets>,
}

#[derive(Default)]
struct Tickets {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<AdminOutcome>>,
}

/// A share of the cluster that another server owns, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// Clients reach the owner at these addresses.
    At(Vec<IpAddr>),
    /// No server owns it at present, or its owner is not known.
    Nowhere,
}

impl Cluster {
    /// The member. `None` on a server that is none.
    pub(super) fn member(&self) -> Option<&Member> {
        self.member.get()
    }

    pub(super) fn enter(
        &self,
        settings: ClusterSettings,
        (etcd, acts): (etcd::Client, etcd::Client),
        addresses: Addresses,
        events: mpsc::UnboundedSender<Event>,
    ) -> bool {
        let member = Member {
            settings,
            node: Mutex::new(None),
            trouble: Mutex::new(Some(String::from("the server has just started"))),
            events,
            etcd,
            acts,
            addresses,
            witness: Witness::default(),
            has_late_definition: AtomicBool::new(false),
            screen: Mutex::default(),
            parsed: Mutex::default(),
            users_written: Mutex::default(),
            shell: OnceLock::new(),
            tickets: Mutex::default(),
        };
        self.member.set(member).is_ok()
    }

    /// True if the server is a member of a cluster.
    pub(crate) fn is_member(&self) -> bool {
        self.member.get().is_some()
    }

    /// The shares of the cluster that this server serves.
    pub(crate) fn serving(&self) -> Vec<Serving> {
        self.serving.read().values().cloned().collect()
    }

    /// True if this server serves a share of the cluster with this name.
    pub(crate) fn is_serving(&self, name: &str) -> bool {
        self.member().is_some() && self.serving.read().contains_key(&ShareName::new(name))
    }

    /// The share of the cluster with this name, if this server serves it.
    pub(crate) fn serving_of(&self, name: &str) -> Option<Serving> {
        self.serving.read().get(&ShareName::new(name)).cloned()
    }

    pub(super) fn begin_serving(&self, share: Serving) {
        let (key, modified) = (share.key.clone(), share.modified);
        self.serving.write().insert(ShareName::new(&share.settings.name), share);
        // The definition may have changed since it was read, when nobody knew that the share was served.
        let Some(member) = self.member() else { return };
        let node = member.node.lock();
        let defined = node.as_ref().and_then(|it| it.view().shares().get(&key));
        if defined.is_some_and(|it| it.modified != modified) {
            member.has_late_definition.store(true, Ordering::Relaxed);
        }
    }

    /// Replaces the settings of a share that this server serves. Returns false if it does not any more.
    pub(super) fn change_serving(&self, share: Serving) -> bool {
        let mut serving = self.serving.write();
        let known = serving.get_mut(&ShareName::new(&share.settings.name));
        let is_known = known.is_some_and(|known| {
            // A share that was given up and came back has another gate.
            let is_same = known.attempt == share.attempt;
            if is_same {
                *known = share;
            }
            is_same
        });
        drop(serving);
        is_known
    }

    pub(super) fn end_serving(&self, name: &str) {
        self.serving.write().remove(&ShareName::new(name));
    }

    /// The place of a share of the cluster that this server does not serve. `None` if the cluster has no such share.
    pub(crate) fn elsewhere(&self, name: &str) -> Option<Elsewhere> {
        let member = self.member()?;
        let key = ShareKey::new(name).ok()?;
        let node = member.node.lock();
        let view = node.as_ref()?.view();
        view.shares().get(&key)?;
        let Some(Owner::Known { record, .. }) = view.owner(&key) else { return Some(Elsewhere::Nowhere) };
        let owner = view.members().get(&record.node);
        let addresses: Vec<IpAddr> = owner
            .map(|it| it.record.addresses.iter().filter_map(|it| it.parse().ok()).collect())
            .unwrap_or_default();
        let is_own = record.node == member.settings.node;
        Some(if is_own || addresses.is_empty() { Elsewhere::Nowhere } else { Elsewhere::At(addresses) })
    }

    /// Gives all shares away and ends the membership, for a limited time. Returns false if that was not enough.
    pub(crate) async fn leave(&self) -> bool {
        if self.member().is_none_or(|it| it.node.lock().as_ref().is_none_or(|it| it.incarnation().is_none()))
        {
            return true;
        }
        let has_left = tokio::time::timeout(LEAVE_MAX, self.order(Command::Leave)).await.is_ok();
        if !has_left {
            tracing::warn!("the server has not given all its shares of the cluster to others in time");
        }
        has_left
    }

    /// Has the state machine carry out a command. `None` if it is not running.
    pub(crate) async fn order(&self, command: Command) -> Option<AdminOutcome> {
        let member = self.member()?;
        let (answer, answered) = oneshot::channel();
        let ticket = {
            let mut tickets = member.tickets.lock();
            if tickets.waiting.len() >= TICKETS_MAX {
                return None;
            }
            tickets.last = tickets.last.wrapping_add(1);
            let ticket = tickets.last;
            tickets.waiting.insert(ticket, answer);
            ticket
        };
        member.events.send(Event::Admin { ticket, command }).ok()?;
        answered.await.ok()
    }
}

impl Member {
    pub(super) fn answer(&self, ticket: u64, outcome: AdminOutcome) {
        if let Some(answer) = self.tickets.lock().waiting.remove(&ticket) {
            // The caller may have given up.
            let _ = answer.send(outcome);
        }
    }

    /// True if the cluster has a share of this name, as far as the member knows.
    pub(super) fn is_defined(&self, share: &ShareKey) -> bool {
        self.node.lock().as_ref().is_some_and(|it| it.view().shares().contains_key(share))
    }

    pub(super) fn node_name(&self) -> &NodeName {
        &self.settings.node
    }
}

/// The time for giving shares away at a stop. Then the lease ends by itself.
const LEAVE_MAX: Duration = Duration::from_secs(15);

/// The commands of administrators at a time.
const TICKETS_MAX: usize = 64;
