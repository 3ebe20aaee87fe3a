//! The faults, chosen by a seed and carried out side by side.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use testkit::Random;

use crate::world::{CLIENTS, MEMBERS, NODES, SHARES, World};

/// A fault with its begin and end, from the beginning of its round.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    fault: Fault,
    begin: Duration,
    length: Duration,
}

/// A fault, or an administrator's command. Nodes, members and shares are indices.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The disk is full.
    DiskFull,
    /// The disk takes a fifth of a second for whatever is written.
    DiskSlow,
    /// The disk stands still.
    DiskStuck,
    /// A node gives its shares away, and gets them back.
    Drain { node: usize },
    /// A member of etcd does not reach the others.
    EtcdApart { member: usize },
    /// Two members of etcd are killed, and start again.
    EtcdMajority { stays: usize },
    /// A member of etcd stands still.
    EtcdPause { member: usize },
    /// A node is killed, and starts again.
    Kill { node: usize },
    /// A share moves.
    Move { share: usize, node: usize },
    /// The clients do not reach a node.
    NodeClients { node: usize },
    /// A node does not reach one member of etcd, or none.
    NodeEtcd { node: usize, member: Option<usize> },
    /// Everything that a node sends to etcd is lost, or everything that it receives from there.
    NodeEtcdOneWay { node: usize, sends: bool },
    /// A node is stopped and started by its service manager.
    Restart { node: usize },
    /// A node stands still.
    Stop { node: usize },
}

/// The number of kinds of [`Fault`].
const KINDS: usize = 14;

/// The faults of a round: each kind alone, in an order of the seed, then some together.
pub(crate) fn plan(seed: u64, round: u64) -> Vec<Planned> {
    let mut random = Random::new(seed, round + 1);
    let count = if round < KINDS as u64 { 1 } else { 1 + random.below(3) };
    let mut kinds: Vec<usize> = (0..KINDS).collect();
    if round < KINDS as u64 {
        shuffle(&mut kinds, &mut Random::new(seed, 0));
        kinds.rotate_left(usize::try_from(round).unwrap_or(0));
    } else {
        shuffle(&mut kinds, &mut random);
    }
    kinds.truncate(count);
    let mut planned = Vec::new();
    for kind in kinds {
        let node = random.below(NODES.len());
        let member = random.below(MEMBERS.len());
        let fault = match kind {
            0 => Fault::DiskFull,
            1 => Fault::DiskStuck,
            2 => Fault::Drain { node },
            3 => Fault::EtcdApart { member },
            4 => Fault::EtcdMajority { stays: member },
            5 => Fault::EtcdPause { member },
            6 => Fault::Kill { node },
            7 => Fault::Move { share: random.below(SHARES.len()), node },
            8 => Fault::NodeClients { node },
            9 => Fault::NodeEtcd { node, member: random.once_in(4).then_some(member) },
            10 => Fault::NodeEtcdOneWay { node, sends: random.once_in(2) },
            11 => Fault::Restart { node },
            12 => Fault::Stop { node },
            _ => Fault::DiskSlow,
        };
        let millis = |random: &mut Random, from: u64, to: usize| {
            Duration::from_millis(from + u64::try_from(random.below(to)).unwrap_or(0))
        };
        let begin = millis(&mut random, 200, 1500);
        planned.push(Planned { fault, begin, length: millis(&mut random, 300, 5700) });
    }
    planned
}

fn shuffle(all: &mut [usize], random: &mut Random) {
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last + 1));
    }
}

/// Carries out faults to the end of the last one.
pub(crate) fn carry_out(world: &Arc<World>, planned: &[Planned]) {
    thread::scope(|threads| {
        for it in planned {
            threads.spawn(move || {
                thread::sleep(it.begin);
                it.fault.begin(world);
                it.fault.last(world, it.length);
                it.fault.end(world);
            });
        }
    });
}

impl Fault {
    fn begin(self, world: &World) {
        let network = &world.network;
        match self {
            Self::DiskFull => world.disk.fill(),
            Self::DiskSlow => {}
            Self::DiskStuck => world.disk.freeze(),
            Self::Drain { node } => {
                world.drained.lock().insert(node);
                world.command(node, &["cluster", "drain", NODES[node]]);
            }
            Self::EtcdApart { member } => {
                others(member).for_each(|other| network.cut(MEMBERS[member], other))
            }
            Self::EtcdMajority { stays } => {
                let mut etcd = world.etcd.lock();
                (0..MEMBERS.len()).filter(|it| *it != stays).for_each(|it| etcd.kill(it));
            }
            Self::EtcdPause { member } => world.etcd.lock().pause(member),
            Self::Kill { node } => world.kill(node),
            Self::Move { share, node } => {
                world.command(node, &["cluster", "move", SHARES[share], NODES[node]]);
            }
            Self::NodeClients { node } => network.cut(NODES[node], CLIENTS),
            Self::NodeEtcd { node, member } => {
                reached(member).for_each(|it| network.cut(NODES[node], it));
            }
            Self::NodeEtcdOneWay { node, sends: true } => {
                MEMBERS.iter().for_each(|it| network.cut_one_way(NODES[node], it));
            }
            Self::NodeEtcdOneWay { node, sends: false } => {
                MEMBERS.iter().for_each(|it| network.cut_one_way(it, NODES[node]));
            }
            Self::Restart { node } => world.restart(node),
            Self::Stop { node } => world.signal(node, "STOP"),
        }
    }

    /// Waits until the fault is over, and repeats what it consists of.
    fn last(self, world: &World, length: Duration) {
        let Self::DiskSlow = self else { return thread::sleep(length) };
        let begun = Instant::now();
        while begun.elapsed() < length {
            world.disk.freeze();
            thread::sleep(SLOW);
            world.disk.thaw();
            thread::sleep(BETWEEN);
        }
    }

    fn end(self, world: &World) {
        let network = &world.network;
        match self {
            Self::DiskFull => world.disk.empty(),
            Self::DiskStuck => world.disk.thaw(),
            Self::Drain { node } => world.undrain(node),
            Self::EtcdApart { member } => others(member).for_each(|it| network.mend(MEMBERS[member], it)),
            Self::EtcdMajority { stays } => {
                let mut etcd = world.etcd.lock();
                (0..MEMBERS.len()).filter(|it| *it != stays).for_each(|it| etcd.start_member(it));
            }
            Self::EtcdPause { member } => world.etcd.lock().resume(member),
            Self::Kill { node } => world.start_again(node),
            Self::NodeClients { node } => network.mend(NODES[node], CLIENTS),
            Self::NodeEtcd { node, .. } | Self::NodeEtcdOneWay { node, .. } => {
                MEMBERS.iter().for_each(|it| network.mend(NODES[node], it));
            }
            Self::Stop { node } => world.signal(node, "CONT"),
            Self::DiskSlow | Self::Move { .. } | Self::Restart { .. } => {}
        }
    }
}

fn others(member: usize) -> impl Iterator<Item = &'static str> {
    MEMBERS.into_iter().enumerate().filter(move |(it, _)| *it != member).map(|(_, name)| name)
}

fn reached(member: Option<usize>) -> impl Iterator<Item = &'static str> {
    MEMBERS
        .into_iter()
        .enumerate()
        .filter(move |(it, _)| member.is_none_or(|one| one == *it))
        .map(|(_, name)| name)
}

/// The time that a slow disk takes.
const SLOW: Duration = Duration::from_millis(200);

/// The time in which a slow disk does something.
const BETWEEN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_repeats_its_faults_and_has_each_kind() {
        let names = |seed| {
            let rounds = (0..KINDS as u64).map(|round| {
                let all = plan(seed, round);
                assert_eq!(all.len(), 1);
                format!("{:?}", all[0].fault).split(' ').next().unwrap_or_default().to_owned()
            });
            rounds.collect::<Vec<_>>()
        };
        assert_eq!(names(3), names(3));
        assert_ne!(names(3), names(4));
        let kinds: std::collections::BTreeSet<_> = names(3).into_iter().collect();
        assert_eq!(kinds.len(), KINDS);
        assert!((1..=3).contains(&plan(3, 100).len()));
    }
}
