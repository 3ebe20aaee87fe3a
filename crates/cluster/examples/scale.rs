//! The cost of one node in a cluster of many: the real state machine, with the keys of etcd and the other nodes as records.
//!
//! Arguments: the number of nodes, of shares, and of the shares of the node that dies; by default 1,000, 100,000 and 10,000.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cluster::Node;
use cluster::clock::Moment;
use cluster::ids::{Incarnation, LeaseId, NodeName, Revision, ShareKey};
use cluster::keys::{Key, prefix};
use cluster::protocol::{Action, Change, Compare, Entry, Event, Outcome, Transaction, Write};
use cluster::records::{self, NodeRecord, OwnerRecord, SCHEMA, SchemaRecord, ShareRecord};
use cluster::settings::{Balance, Settings, Timing};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual| arguments.get(index).and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (nodes, shares, of_dead) = (number(0, 1_000), number(1, 100_000), number(2, 10_000));
    let mut world = World::new(nodes, shares, of_dead);
    println!("{nodes} nodes, {shares} shares; one node owns {of_dead} of them and dies");
    let before = memory();
    world.join();
    println!("memory of the view: {:.0} MB", (memory() - before) / 1e6);
    world.lose_a_node(of_dead);
    world.change_members(20);
    world.worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (milliseconds, what) in world.worst.iter().take(5) {
        println!("slow step: {milliseconds:.1} ms for {what}");
    }
}

struct World {
    node: Node,
    prefix: String,
    now: Moment,
    revision: u64,
    entries: Vec<Entry>,
    nodes: usize,
    inbox: VecDeque<Event>,
    worst: Vec<(f64, &'static str)>,
    cpu: Duration,
    watch: u64,
    /// The shares that the node has acquired, and the transactions that came too late.
    acquired: usize,
    late: usize,
    owned: std::collections::BTreeSet<ShareKey>,
}

impl World {
    fn new(nodes: usize, shares: usize, of_dead: usize) -> Self {
        let prefix = prefix("scale").unwrap_or_default();
        let settings = Settings {
            node: name(0),
            prefix: prefix.clone(),
            cluster: String::from("id"),
            addresses: vec![String::from("192.0.2.1")],
            weight: 1,
            boot: 1,
            timing: Timing::default(),
            balance: Balance::default(),
        };
        let node = Node::new(settings, Moment(0)).unwrap_or_else(|error| panic!("{error}"));
        let mut world = Self {
            node,
            prefix,
            now: Moment(0),
            revision: 1,
            entries: Vec::new(),
            nodes,
            inbox: VecDeque::new(),
            worst: Vec::new(),
            cpu: Duration::ZERO,
            watch: 0,
            acquired: 0,
            late: 0,
            owned: std::collections::BTreeSet::new(),
        };
        world.put(Key::Schema, &SchemaRecord { version: SCHEMA, cluster: String::from("id") }, None);
        (1..nodes).for_each(|it| world.put(Key::Node(name(it)), &record(it), Some(lease(it))));
        let definition = serde_json::json!({"token": "0".repeat(32), "share": {
            "name": "Some share", "path": "/srv/cluster/some/share", "continuous": true,
            "remark": "A share like others", "grants": [{"user": "CORP\\someone", "right": "full"}]}});
        for it in 0..shares {
            let share = ShareRecord {
                weight: 1,
                nodes: Vec::new(),
                addresses: Vec::new(),
                definition: definition.clone(),
            };
            world.put(Key::Share(key(it)), &share, None);
            // The first ones belong to the node that dies, the others to all but this node.
            let owner = if it < of_dead { 1 } else { 2 + it % (nodes - 2) };
            world.put(Key::Owner(key(it)), &owned_by(owner), Some(lease(owner)));
        }
        world
    }

    fn put(&mut self, key: Key, record: &impl serde::Serialize, lease: Option<LeaseId>) {
        self.revision += 1;
        let entry = self.entry(&key, records::write(record), lease);
        self.entries.push(entry);
    }

    fn entry(&self, key: &Key, value: Vec<u8>, lease: Option<LeaseId>) -> Entry {
        let revision = Revision(self.revision);
        Entry { path: key.to_path(&self.prefix), value, created: revision, modified: revision, lease }
    }

    /// Gives the node an event, and carries out its actions.
    fn step(&mut self, what: &'static str, event: Event) {
        let began = Instant::now();
        let actions = self.node.step(self.now, event);
        let took = began.elapsed();
        self.cpu += took;
        self.worst.push((took.as_secs_f64() * 1e3, what));
        for action in actions {
            match action {
                Action::Read { request } => {
                    let entries = std::mem::take(&mut self.entries);
                    let revision = Revision(self.revision);
                    self.inbox.push_back(Event::Snapshot { request, revision, store: 1, entries });
                }
                Action::Watch { watch, .. } => self.watch = watch,
                Action::Grant { request, ttl } => {
                    self.inbox.push_back(Event::LeaseGranted { request, lease: lease(0), ttl });
                }
                Action::KeepAlive { request, .. } => {
                    let ttl = Duration::from_secs(3);
                    self.inbox.push_back(Event::KeepAliveAnswered { request, ttl });
                }
                Action::Transact { request, transaction } => {
                    let outcome = self.transact(&transaction);
                    self.inbox.push_back(Event::TransactionAnswered { request, outcome });
                }
                Action::OpenStorage { share, attempt, .. } => {
                    self.inbox.push_back(Event::StorageOpened { share, attempt });
                }
                Action::StopServing { share, attempt, .. } => {
                    self.inbox.push_back(Event::Stopped { share, attempt });
                }
                _ => {}
            }
        }
    }

    fn transact(&mut self, transaction: &Transaction) -> Outcome {
        let taken = transaction
            .compares
            .iter()
            .any(|it| matches!(it, Compare::Absent(Key::Owner(share)) if self.owned.contains(share)));
        if taken {
            self.late += 1;
            return Outcome::Failed { revision: Revision(self.revision) };
        }
        self.revision += 1;
        let mut changes = Vec::new();
        for write in &transaction.writes {
            if let Write::Put { key, value, lease } = write {
                if let Key::Owner(share) = key {
                    self.owned.insert(share.clone());
                    self.acquired += 1;
                }
                changes.push(Change::Written(self.entry(key, value.clone(), *lease)));
            }
        }
        self.push_batch(changes);
        Outcome::Done { revision: Revision(self.revision) }
    }

    fn push_batch(&mut self, changes: Vec<Change>) {
        let revision = Revision(self.revision);
        self.inbox.push_back(Event::WatchBatch { watch: self.watch, revision, changes });
    }

    /// Carries out what is to be done, for a time.
    fn run(&mut self, what: &'static str, time: Duration) {
        let end = self.now.after(time);
        loop {
            while let Some(event) = self.inbox.pop_front() {
                self.step(what, event);
            }
            let next = self.node.next_wake().max(self.now.after(Duration::from_millis(1)));
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            self.step(what, Event::Tick);
        }
    }

    fn join(&mut self) {
        let began = Instant::now();
        self.step("the start", Event::Tick);
        self.run("the first reading of all keys", Duration::from_secs(1));
        println!(
            "a node joins: {:.0} ms for reading {} keys, of which it keeps its view",
            began.elapsed().as_secs_f64() * 1e3,
            self.node.view().shares().len() * 2 + self.node.view().members().len()
        );
    }

    /// The keys of a node end in one transaction of etcd, as the end of a lease makes it; the other nodes acquire their
    /// part of its shares.
    fn lose_a_node(&mut self, of_dead: usize) {
        (self.cpu, self.acquired) = (Duration::ZERO, 0);
        self.revision += 1;
        let mut changes = vec![Change::Deleted { path: Key::Node(name(1)).to_path(&self.prefix) }];
        changes.extend(
            (0..of_dead).map(|it| Change::Deleted { path: Key::Owner(key(it)).to_path(&self.prefix) }),
        );
        self.push_batch(changes);
        self.run("the end of a node", Duration::from_millis(50));
        // Of the rest, the others acquire what falls to them, a part in each interval.
        for it in 0..of_dead {
            if self.owned.contains(&key(it)) {
                continue;
            }
            self.revision += 1;
            self.owned.insert(key(it));
            let owner = 2 + it % (self.nodes - 2);
            let entry =
                self.entry(&Key::Owner(key(it)), records::write(&owned_by(owner)), Some(lease(owner)));
            self.push_batch(vec![Change::Written(entry)]);
            self.run("an owner of a share", Duration::from_micros(50));
        }
        self.run("the end of a node", Duration::from_secs(1));
        println!(
            "a node with {of_dead} shares dies: this node acquires {}, {} requests came too late, {:.0} ms of processor \
             time for all of it",
            self.acquired,
            self.late,
            self.cpu.as_secs_f64() * 1e3
        );
    }

    /// Members come and go while shares have no owner: all places are computed anew.
    fn change_members(&mut self, changes: usize) {
        self.cpu = Duration::ZERO;
        for it in 0..changes {
            self.revision += 1;
            let entry =
                self.entry(&Key::Node(name(self.nodes + it)), records::write(&record(it)), Some(lease(9)));
            self.push_batch(vec![Change::Written(entry)]);
            self.run("another member", Duration::from_millis(20));
        }
        println!("a member joins: {:.2} ms of processor time", self.cpu.as_secs_f64() * 1e3 / changes as f64);
        self.cpu = Duration::ZERO;
        self.run("ten seconds without a change", Duration::from_secs(10));
        println!(
            "ten seconds without a change: {:.1} ms of processor time; {} members, {} shares served",
            self.cpu.as_secs_f64() * 1e3,
            self.node.view().members().len(),
            self.node.serving().count()
        );
    }
}

fn name(number: usize) -> NodeName {
    NodeName::new(&format!("node-{number}")).unwrap_or_else(|_| panic!("a name"))
}

fn key(number: usize) -> ShareKey {
    ShareKey::new(&format!("share-{number}")).unwrap_or_else(|_| panic!("a name"))
}

fn lease(number: usize) -> LeaseId {
    LeaseId(i64::try_from(number).unwrap_or(0) + 1)
}

fn record(number: usize) -> NodeRecord {
    let addresses = vec![format!("10.0.{}.{}", number / 250, number % 250)];
    NodeRecord { incarnation: Incarnation { boot: number as u64 + 2, count: 1 }, addresses, weight: 1 }
}

fn owned_by(number: usize) -> OwnerRecord {
    let incarnation = Incarnation { boot: number as u64 + 2, count: 1 };
    OwnerRecord { node: name(number), incarnation, offset: 0 }
}

/// The resident bytes of this process.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split_whitespace().nth(1).and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0
}
