//! The witness: clients of other nodes register here, and are told when the node or the share that they use has gone or moved
//! (MS-SWN 3.1). The view of the keys in etcd is the source, so that any node is a witness of all others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::ids::{NodeName, Revision, ShareKey};
use cluster::{Owner, View};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Cluster;

/// The registrations of clients.
#[derive(Default)]
pub(super) struct Witness {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    registrations: BTreeMap<WitnessKey, Registration>,
    revision: Revision,
    /// The addresses of the members, as the registered clients know them.
    addresses: BTreeSet<IpAddr>,
}

/// `WitnessRegistration.RegistrationKey`.
pub(crate) type WitnessKey = [u8; 16];

/// `WitnessRegistration` (MS-SWN 3.1.1.1).
struct Registration {
    user: String,
    /// `ShareName`.
    share: Option<ShareKey>,
    /// `IPAddress`.
    address: IpAddr,
    /// The share that the address moves with. `None` for an address of a node.
    moves_with: Option<ShareKey>,
    wants_addresses: bool,
    /// `KeepAliveTime`. `None` in version 1.
    keep_alive: Option<Duration>,
    /// The last owner of the share that the client knows.
    owner: Option<NodeName>,
    is_available: bool,
    pending: VecDeque<WitnessNotice>,
    changed: Arc<Notify>,
}

/// A notification for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WitnessNotice {
    /// The address has become available or unavailable.
    Resource { address: IpAddr, is_available: bool },
    /// The share is at a node with these addresses.
    ShareMove(Vec<IpAddr>),
    /// Addresses of the cluster have come or gone; true for those that have come.
    /// All registrations have the same list: with thousands of nodes, it is long.
    Addresses(Arc<[(IpAddr, bool)]>),
}

/// The end of a wait for a notification.
pub(crate) enum WitnessWait {
    Notice(WitnessNotice),
    /// The time that the client has set is over.
    Timeout,
    /// There is no such registration of this user.
    NotFound,
}

/// A refused registration.
pub(crate) enum NotRegistered {
    /// The share or the address is none of the cluster's.
    State,
    /// There are too many registrations.
    Full,
}

/// The parameters of a registration.
pub(crate) struct NewRegistration<'a> {
    pub(crate) user: &'a str,
    pub(crate) share: Option<&'a str>,
    pub(crate) address: IpAddr,
    pub(crate) wants_addresses: bool,
    pub(crate) keep_alive: Option<Duration>,
}

/// An address of the cluster at which clients find a server.
pub(crate) struct WitnessInterface {
    pub(crate) node: String,
    pub(crate) address: IpAddr,
    /// True if it is one of another node, where a client of this node can register.
    pub(crate) is_witness: bool,
}

impl Cluster {
    /// True if clients can register.
    pub(crate) fn has_witness(&self) -> bool {
        self.member().is_some_and(|it| !it.settings.witness.is_empty())
    }

    /// The addresses of all members.
    pub(crate) fn witness_interfaces(&self) -> Vec<WitnessInterface> {
        let Some(member) = self.member() else { return Vec::new() };
        let node = member.node.lock();
        let Some(view) = node.as_ref().map(cluster::Node::view) else { return Vec::new() };
        let mut interfaces = Vec::new();
        for (name, other) in view.members() {
            let is_witness = name != member.node_name();
            let addresses = other.record.addresses.iter().filter_map(|it| it.parse().ok());
            let of = |address| WitnessInterface { node: name.to_string(), address, is_witness };
            interfaces.extend(addresses.map(of));
        }
        interfaces.truncate(INTERFACES_MAX);
        interfaces
    }

    /// Registers a client.
    pub(crate) fn register_witness(&self, new: &NewRegistration<'_>) -> Result<WitnessKey, NotRegistered> {
        let member = self.member().ok_or(NotRegistered::State)?;
        let node = member.node.lock();
        let view = node.as_ref().map(cluster::Node::view).ok_or(NotRegistered::State)?;
        let share = new.share.map(ShareKey::new).transpose().map_err(|_| NotRegistered::State)?;
        if share.as_ref().is_some_and(|share| !view.shares().contains_key(share)) {
            return Err(NotRegistered::State);
        }
        let address = new.address.to_canonical();
        let moves_with = view.shares().iter().find(|(_, it)| it.addresses.contains(&address));
        let moves_with = moves_with.map(|(share, _)| share.clone());
        let addresses = addresses(view);
        if moves_with.is_none() && !addresses.contains(&address) {
            return Err(NotRegistered::State);
        }
        let mut key = WitnessKey::default();
        crate::core::random::fill(&mut key).map_err(|_| NotRegistered::Full)?;
        let owner = share.as_ref().and_then(|share| owner(view, share)).cloned();
        let is_available = is_available(view, &addresses, address, moves_with.as_ref());
        let registration = Registration {
            user: new.user.to_owned(),
            share,
            address,
            moves_with,
            wants_addresses: new.wants_addresses,
            keep_alive: new.keep_alive,
            owner,
            is_available,
            pending: VecDeque::new(),
            changed: Arc::default(),
        };
        let mut table = member.witness.table.lock();
        let of_user = table.registrations.values().filter(|it| it.user == new.user).count();
        if table.registrations.len() >= REGISTRATIONS_MAX || of_user >= REGISTRATIONS_OF_USER_MAX {
            return Err(NotRegistered::Full);
        }
        if table.registrations.is_empty() {
            (table.revision, table.addresses) = (view.revision(), addresses);
        }
        table.registrations.insert(key, registration);
        Ok(key)
    }

    /// Ends a registration of a user. Returns false if there is none.
    pub(crate) fn unregister_witness(&self, key: &WitnessKey, user: &str) -> bool {
        let Some(member) = self.member() else { return false };
        let mut table = member.witness.table.lock();
        if table.registrations.get(key).is_none_or(|it| it.user != user) {
            return false;
        }
        if let Some(ended) = table.registrations.remove(key) {
            ended.changed.notify_waiters();
        }
        true
    }

    /// Waits for a notification of a registration (MS-SWN 3.1.4.4).
    pub(crate) async fn wait_for_witness(&self, key: &WitnessKey, user: &str) -> WitnessWait {
        let Some(member) = self.member() else { return WitnessWait::NotFound };
        let mut deadline = None;
        loop {
            let (changed, keep_alive) = {
                let table = member.witness.table.lock();
                match table.registrations.get(key).filter(|it| it.user == user) {
                    Some(it) => (Arc::clone(&it.changed), it.keep_alive),
                    None => return WitnessWait::NotFound,
                }
            };
            let notified = changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let mut table = member.witness.table.lock();
                let Some(it) = table.registrations.get_mut(key) else { return WitnessWait::NotFound };
                if let Some(notice) = it.pending.pop_front() {
                    return WitnessWait::Notice(notice);
                }
            }
            let Some(keep_alive) = keep_alive else {
                notified.await;
                continue;
            };
            let until = *deadline.get_or_insert_with(|| Instant::now() + keep_alive);
            if tokio::time::timeout_at(until, notified).await.is_err() {
                return WitnessWait::Timeout;
            }
        }
    }
}

impl Witness {
    /// Compares the view with what the registered clients know.
    pub(super) fn follow(&self, view: &View) {
        let mut table = self.table.lock();
        if table.registrations.is_empty() || table.revision == view.revision() {
            return;
        }
        table.revision = view.revision();
        let now = addresses(view);
        let before = std::mem::replace(&mut table.addresses, now.clone());
        let mut changes: Vec<_> = before.difference(&now).map(|it| (*it, false)).collect();
        changes.extend(now.difference(&before).map(|it| (*it, true)));
        let changes: Arc<[_]> = changes.into();
        for it in table.registrations.values_mut() {
            let is_available = is_available(view, &now, it.address, it.moves_with.as_ref());
            if is_available != it.is_available {
                it.is_available = is_available;
                it.push(WitnessNotice::Resource { address: it.address, is_available });
            }
            let owner = it.share.as_ref().and_then(|share| owner(view, share));
            if let Some(owner) = owner.filter(|owner| it.owner.as_ref() != Some(*owner)) {
                let addresses = view.members().get(owner).map(|it| it.record.addresses.iter());
                let addresses = addresses.into_iter().flatten().filter_map(|it| it.parse().ok()).collect();
                it.owner = Some(owner.clone());
                it.push(WitnessNotice::ShareMove(addresses));
            }
            if it.wants_addresses && !changes.is_empty() {
                it.push(WitnessNotice::Addresses(Arc::clone(&changes)));
            }
        }
    }
}

impl Registration {
    fn push(&mut self, notice: WitnessNotice) {
        if self.pending.len() >= PENDING_MAX {
            // The client does not ask. The latest state is the one that it needs.
            self.pending.pop_front();
        }
        self.pending.push_back(notice);
        self.changed.notify_waiters();
    }
}

/// The addresses of all members.
fn addresses(view: &View) -> BTreeSet<IpAddr> {
    let all = view.members().values().flat_map(|it| it.record.addresses.iter());
    all.filter_map(|it| it.parse().ok()).collect()
}

/// The owner of a share, if it is a member.
fn owner<'a>(view: &'a View, share: &ShareKey) -> Option<&'a NodeName> {
    match view.owner(share)? {
        Owner::Known { record, .. } => view.members().contains_key(&record.node).then_some(&record.node),
        Owner::Unreadable => None,
    }
}

/// True if a server is reached under an address: that of a member, or one that moves with a share that has an owner.
fn is_available(
    view: &View,
    members: &BTreeSet<IpAddr>,
    address: IpAddr,
    moves_with: Option<&ShareKey>,
) -> bool {
    match moves_with {
        Some(share) => owner(view, share).is_some(),
        None => members.contains(&address),
    }
}

/// A registration takes some hundred bytes. A client has one for each share that it uses.
const REGISTRATIONS_MAX: usize = 16_384;

/// A terminal server with many shares; the others still find room.
const REGISTRATIONS_OF_USER_MAX: usize = 1_024;

/// A client that waits gets each notification at once.
const PENDING_MAX: usize = 32;

/// 500 KiB in the answer. Clients need one that is not their own.
const INTERFACES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use cluster::ids::{Incarnation, LeaseId};
    use cluster::protocol::{Change, Entry};
    use cluster::records::{self, NodeRecord, OwnerRecord, ShareRecord};

    use super::*;

    const PREFIX: &str = "/shareward/c/";

    fn at(view: View, path: &str, value: Option<Vec<u8>>) -> View {
        // A view of its own revision, as a batch of a watch makes it.
        let mut view = view;
        let path = format!("{PREFIX}{path}");
        let change = match value {
            Some(value) => Change::Written(Entry {
                path,
                value,
                created: Revision(1),
                modified: Revision(1),
                lease: Some(LeaseId(1)),
            }),
            None => Change::Deleted { path },
        };
        view.take(PREFIX, &change);
        view
    }

    fn node(address: &str) -> Option<Vec<u8>> {
        let incarnation = Incarnation { boot: 1, count: 1 };
        Some(records::write(&NodeRecord { incarnation, addresses: vec![address.to_owned()], weight: 1 }))
    }

    fn owned_by(name: &str) -> Option<Vec<u8>> {
        let incarnation = Incarnation { boot: 1, count: 1 };
        let node = NodeName::new(name).unwrap();
        Some(records::write(&OwnerRecord { node, incarnation, offset: 0 }))
    }

    #[test]
    fn registered_clients_hear_of_their_share_and_their_address() {
        let share = ShareRecord {
            weight: 1,
            nodes: Vec::new(),
            addresses: vec!["192.0.2.9".parse().unwrap()],
            definition: serde_json::Value::Null,
        };
        let view = at(View::default(), "nodes/a", node("192.0.2.1"));
        let view = at(view, "nodes/b", node("192.0.2.2"));
        let view = at(view, "shares/s", Some(records::write(&share)));
        let view = at(view, "owners/s", owned_by("a"));
        let witness = Witness::default();
        let registration = |address: &str, moves_with: Option<&str>, wants_addresses| Registration {
            user: String::from("u"),
            share: Some(ShareKey::new("s").unwrap()),
            address: address.parse().unwrap(),
            moves_with: moves_with.map(|it| ShareKey::new(it).unwrap()),
            wants_addresses,
            keep_alive: None,
            owner: Some(NodeName::new("a").unwrap()),
            is_available: true,
            pending: VecDeque::new(),
            changed: Arc::default(),
        };
        {
            let mut table = witness.table.lock();
            table.addresses = addresses(&view);
            table.registrations.insert([1; 16], registration("192.0.2.1", None, true));
            table.registrations.insert([2; 16], registration("192.0.2.9", Some("s"), false));
        }
        let taken = |key| {
            let mut table = witness.table.lock();
            std::mem::take(&mut table.registrations.get_mut(&key).unwrap().pending)
                .into_iter()
                .collect::<Vec<_>>()
        };
        // The node dies, and another one acquires the share.
        let view = at(at(view, "nodes/a", None), "owners/s", None);
        witness.follow(&view);
        let (of_node, of_share) = ("192.0.2.1".parse().unwrap(), "192.0.2.9".parse().unwrap());
        let gone = |address| WitnessNotice::Resource { address, is_available: false };
        assert_eq!(taken([1; 16]), [gone(of_node), WitnessNotice::Addresses([(of_node, false)].into())]);
        assert_eq!(taken([2; 16]), [gone(of_share)]);
        let view = at(view, "owners/s", owned_by("b"));
        witness.follow(&view);
        let moved = WitnessNotice::ShareMove(vec!["192.0.2.2".parse().unwrap()]);
        assert_eq!(taken([1; 16]), std::slice::from_ref(&moved));
        let back = WitnessNotice::Resource { address: of_share, is_available: true };
        assert_eq!(taken([2; 16]), [back, moved]);
        witness.follow(&view);
        assert_eq!(taken([2; 16]), []);
        // One list of addresses in memory, however many wait for it.
        witness.table.lock().registrations.insert([3; 16], registration("192.0.2.2", None, true));
        witness.follow(&at(view, "nodes/c", node("192.0.2.3")));
        let [WitnessNotice::Addresses(first)] = &taken([1; 16])[..] else { panic!() };
        let of_third = taken([3; 16]);
        let Some(WitnessNotice::Addresses(third)) = of_third.last() else { panic!() };
        assert!(Arc::ptr_eq(first, third));
    }
}
