//! The files that the kernel knows, by the numbers it knows them by.
//!
//! SMB has paths, the kernel has inode numbers: a number stands for a file, and so for the path of any of its names. It
//! follows them through renames, and is kept as long as the kernel counts look-ups on it.
//!
//! - The number is the one that the server has for the file, if that can be one: it is not zero, not in use here for
//!   something else, and of the volume that the share's root is on. Otherwise it is made up and lasts as long as the
//!   look-ups.
//! - Two names are one file's only if everything says so: number, volume and creation time are the same, and the server
//!   counts more than one link. Servers whose numbers are not unique exist, and a file must never be taken for another.
//!   On a server without numbers, two names of one file are two files here.
//! - Two spellings of a name that differ in case only are two files here, for all that the kernel knows: only then can
//!   one be renamed to the other.
//! - A directory has one name. A server that follows links by itself shows one directory in several places, and the
//!   kernel knows no such thing.

use std::collections::HashMap;

use fuser::{FileType, INodeNo};

use crate::attributes::Facts;
use crate::identity::{Identity, Same};
use crate::names::join;

/// The table. No look-up waits for anything.
#[derive(Debug)]
pub(crate) struct Inodes {
    nodes: HashMap<u64, Node>,
    numbers: HashMap<Name, u64>,
    /// Files by the server's numbers of them and their volumes.
    files: HashMap<(u64, u64), u64>,
    /// The volume whose numbers are used as they are.
    volume: Option<u64>,
    next: u64,
}

/// The number of a directory, and a name in it as the server has it.
pub(crate) type Name = (u64, String);

#[derive(Debug)]
struct Node {
    /// The names it has still, that which was looked up last at the end.
    names: Vec<Name>,
    lookups: u64,
    kind: FileType,
    identity: Identity,
}

impl Inodes {
    /// A table with the root only. Numbers of the server's on its volume become inode numbers.
    pub(crate) fn new(root: Identity) -> Self {
        Self {
            nodes: HashMap::new(),
            numbers: HashMap::new(),
            files: HashMap::new(),
            volume: root.numbers().map(|(_, volume)| volume),
            next: MADE_UP,
        }
    }

    /// The number of a name, one look-up more. `facts` is what the server says that is there.
    pub(crate) fn look_up(&mut self, parent: INodeNo, name: &str, facts: &Facts) -> INodeNo {
        let key = (parent.0, name.to_owned());
        let known = self.numbers.get(&key).copied();
        let number = match known.filter(|number| self.may_be(*number, facts)) {
            Some(number) => number,
            None => {
                self.unlink(parent, name);
                self.other_name_of(&key, facts).unwrap_or_else(|| self.add(facts))
            }
        };
        self.numbers.insert(key.clone(), number);
        if let Some(node) = self.nodes.get_mut(&number) {
            node.names.retain(|other| *other != key);
            node.names.push(key);
            node.lookups = node.lookups.saturating_add(1);
            if facts.identity.numbers().is_some() {
                node.identity = facts.identity;
            }
        }
        self.remember(number);
        INodeNo(number)
    }

    /// Whether a number that a name has can still be that of what is there.
    fn may_be(&self, number: u64, facts: &Facts) -> bool {
        let node = self.nodes.get(&number);
        node.is_some_and(|node| node.kind == facts.kind() && !node.identity.is_other_number(facts.identity))
    }

    /// The number of a file that is known by another name.
    fn other_name_of(&self, (parent, name): &Name, facts: &Facts) -> Option<u64> {
        let number = *self.files.get(&facts.identity.numbers()?)?;
        let node = self.nodes.get(&number)?;
        // For the kernel, renaming one of a file's names to another of them does nothing.
        let respelled =
            node.names.iter().any(|it| it.0 == *parent && it.1.to_lowercase() == name.to_lowercase());
        let named_twice = facts.links.is_some_and(|links| links > 1) && !respelled;
        let same = node.kind == facts.kind() && node.identity.compare(facts.identity) == Same::Yes;
        (named_twice && same).then_some(number)
    }

    fn add(&mut self, facts: &Facts) -> u64 {
        let number = match self.usable(facts.identity) {
            Some(number) if !self.nodes.contains_key(&number) => number,
            _ => self.make_up(),
        };
        let node = Node { names: Vec::new(), lookups: 0, kind: facts.kind(), identity: facts.identity };
        self.nodes.insert(number, node);
        number
    }

    fn make_up(&mut self) -> u64 {
        loop {
            let number = self.next;
            self.next = self.next.checked_add(1).unwrap_or(MADE_UP);
            if !self.nodes.contains_key(&number) {
                return number;
            }
        }
    }

    /// The server's number of a file, where it can be an inode number.
    fn usable(&self, identity: Identity) -> Option<u64> {
        let (number, volume) = identity.numbers()?;
        let taken = [INodeNo::ROOT, UNKNOWN].contains(&INodeNo(number));
        (Some(volume) == self.volume && !taken).then_some(number)
    }

    /// Files are found again by the server's number. Directories are not: they have one name.
    fn remember(&mut self, number: u64) {
        let Some(node) = self.nodes.get(&number) else { return };
        let Some(numbers) = node.identity.numbers().filter(|_| node.kind != FileType::Directory) else {
            return;
        };
        let taken = self.files.get(&numbers).and_then(|other| self.nodes.get(other));
        // Whatever has the number and no name any more is gone, or about to be.
        if taken.is_none_or(|other| other.names.is_empty() || other.identity != node.identity) {
            self.files.insert(numbers, number);
        }
    }

    /// So many look-ups fewer: whether the number is forgotten with them.
    pub(crate) fn forget(&mut self, number: INodeNo, lookups: u64) -> bool {
        let Some(node) = self.nodes.get_mut(&number.0) else { return false };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups > 0 {
            return false;
        }
        if let Some(node) = self.nodes.remove(&number.0) {
            for name in node.names {
                // Another spelling may have left the name to another number.
                if self.numbers.get(&name) == Some(&number.0) {
                    self.numbers.remove(&name);
                }
            }
            if let Some(numbers) = node.identity.numbers()
                && self.files.get(&numbers) == Some(&number.0)
            {
                self.files.remove(&numbers);
            }
        }
        true
    }

    /// The number that a name has, if the kernel knows it.
    pub(crate) fn number(&self, parent: INodeNo, name: &str) -> Option<INodeNo> {
        self.numbers.get(&(parent.0, name.to_owned())).map(|number| INodeNo(*number))
    }

    /// The number to be shown in a listing, where nothing is looked up by that.
    pub(crate) fn listed(&self, parent: INodeNo, name: &str, identity: Identity) -> INodeNo {
        let known = self.number(parent, name);
        known.or_else(|| self.usable(identity).map(INodeNo)).unwrap_or(UNKNOWN)
    }

    /// The path of a number; none where the kernel has forgotten it, or it has no name any more.
    pub(crate) fn path(&self, number: INodeNo) -> Option<String> {
        if number == INodeNo::ROOT {
            return Some(String::new());
        }
        self.path_of(self.nodes.get(&number.0)?.names.last()?)
    }

    fn path_of(&self, (parent, name): &Name) -> Option<String> {
        Some(join(&self.path(INodeNo(*parent))?, name))
    }

    /// The names of a number with their paths, that which was looked up last first.
    pub(crate) fn names(&self, number: INodeNo) -> Vec<(Name, String)> {
        if number == INodeNo::ROOT {
            return vec![((number.0, String::new()), String::new())];
        }
        let names = self.nodes.get(&number.0).map(|node| node.names.as_slice()).unwrap_or_default();
        names.iter().rev().filter_map(|name| Some((name.clone(), self.path_of(name)?))).collect()
    }

    /// The path of a name in a directory.
    pub(crate) fn path_in(&self, parent: INodeNo, name: &str) -> Option<String> {
        Some(join(&self.path(parent)?, name))
    }

    /// Whether what was found by a name of the number's is what the number stands for, for all that is known.
    pub(crate) fn is_of(&self, number: INodeNo, found: Identity) -> bool {
        self.nodes.get(&number.0).is_none_or(|node| !node.identity.is_other_number(found))
    }

    /// A name is not this number's any more. The last one stays: nothing else says what was there.
    pub(crate) fn lose(&mut self, number: INodeNo, name: &Name) {
        let node = self.nodes.get_mut(&number.0).filter(|node| node.names.len() > 1);
        let Some(node) = node else { return };
        node.names.retain(|other| other != name);
        if self.numbers.get(name) == Some(&number.0) {
            self.numbers.remove(name);
        }
    }

    /// The name is gone; its number may stay in use.
    pub(crate) fn unlink(&mut self, parent: INodeNo, name: &str) {
        let key = (parent.0, name.to_owned());
        if let Some(number) = self.numbers.remove(&key)
            && let Some(node) = self.nodes.get_mut(&number)
        {
            node.names.retain(|other| *other != key);
        }
    }

    /// Whether the number has a name still.
    pub(crate) fn is_linked(&self, number: INodeNo) -> bool {
        number == INodeNo::ROOT || self.nodes.get(&number.0).is_some_and(|node| !node.names.is_empty())
    }

    /// The name has moved. What had the new one has lost it.
    pub(crate) fn rename(&mut self, parent: INodeNo, name: &str, to: INodeNo, to_name: &str) {
        let number = self.number(parent, name);
        self.unlink(parent, name);
        self.unlink(to, to_name);
        if let Some(number) = number {
            self.give(number, to, to_name);
        }
    }

    /// A name is written in another case. What had the new spelling is the same file: it has that name, too.
    pub(crate) fn respell(&mut self, parent: INodeNo, name: &str, to_name: &str) {
        let Some(number) = self.number(parent, name) else { return };
        self.unlink(parent, name);
        self.give(number, parent, to_name);
    }

    fn give(&mut self, number: INodeNo, parent: INodeNo, name: &str) {
        if let Some(node) = self.nodes.get_mut(&number.0) {
            let key = (parent.0, name.to_owned());
            node.names.retain(|other| *other != key);
            node.names.push(key.clone());
            self.numbers.insert(key, number.0);
        }
    }

    /// How many numbers the kernel knows.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// An inode number that is not known (FUSE_UNKNOWN_INO).
pub(crate) const UNKNOWN: INodeNo = INodeNo(0xffff_ffff);

/// Where numbers start that are made up: few of a server's are this large.
const MADE_UP: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use wire::{FileAttributes, FileTime};

    use super::*;

    const ROOT: INodeNo = INodeNo::ROOT;

    fn table() -> Inodes {
        Inodes::new(Identity::listed(2, Some(VOLUME), FileTime(1)))
    }

    /// A file of this number, of so many names.
    fn file(number: u64, links: u32) -> Facts {
        let identity = Identity::listed(number, Some(VOLUME), FileTime(number));
        Facts { links: Some(links), identity, ..Facts::default() }
    }

    fn directory(number: u64) -> Facts {
        Facts { attributes: FileAttributes::DIRECTORY, ..file(number, 1) }
    }

    const VOLUME: u64 = 77;

    #[test]
    fn paths_follow_renames_of_their_directories() {
        let mut inodes = table();
        let directory = inodes.look_up(ROOT, "d", &directory(10));
        let number = inodes.look_up(directory, "f", &file(11, 1));
        assert_eq!(inodes.path(number).as_deref(), Some("d\\f"));
        inodes.rename(ROOT, "d", ROOT, "e");
        assert_eq!(inodes.path(number).as_deref(), Some("e\\f"));
        inodes.rename(directory, "f", ROOT, "g");
        assert_eq!(inodes.path(number).as_deref(), Some("g"));
        assert_eq!(inodes.look_up(ROOT, "g", &file(11, 1)), number);
    }

    #[test]
    fn a_number_lives_as_long_as_its_look_ups() {
        let mut inodes = table();
        let unknown = Facts::default();
        let first = inodes.look_up(ROOT, "f", &unknown);
        assert_eq!(inodes.look_up(ROOT, "f", &unknown), first);
        inodes.forget(first, 1);
        assert_eq!(inodes.number(ROOT, "f"), Some(first));
        inodes.forget(first, 1);
        assert_eq!(inodes.number(ROOT, "f"), None);
        assert_eq!((inodes.len(), inodes.files.len()), (0, 0));
        assert_ne!(inodes.look_up(ROOT, "f", &unknown), first);
    }

    #[test]
    fn two_spellings_of_a_name_stay_one_files() {
        for facts in [Facts::default(), file(11, 1), file(11, 2)] {
            let mut inodes = table();
            let (lower, upper) = (inodes.look_up(ROOT, "file", &facts), inodes.look_up(ROOT, "FILE", &facts));
            assert_ne!(lower, upper);
            inodes.respell(ROOT, "file", "FILE");
            for number in [lower, upper] {
                assert!(inodes.is_linked(number));
                assert_eq!(inodes.path(number).as_deref(), Some("FILE"));
            }
            assert_eq!((inodes.number(ROOT, "file"), inodes.number(ROOT, "FILE")), (None, Some(lower)));
            assert!(inodes.forget(upper, 1));
            assert_eq!(inodes.number(ROOT, "FILE"), Some(lower));
        }
    }

    #[test]
    fn a_name_taken_by_another_leaves_its_number_without_one() {
        let mut inodes = table();
        let old = inodes.look_up(ROOT, "target", &file(10, 1));
        let new = inodes.look_up(ROOT, "source", &file(11, 1));
        inodes.rename(ROOT, "source", ROOT, "target");
        assert!(!inodes.is_linked(old) && inodes.is_linked(new));
        assert_eq!(inodes.number(ROOT, "target"), Some(new));
        inodes.forget(old, 1);
        assert_eq!(inodes.number(ROOT, "target"), Some(new));
        inodes.unlink(ROOT, "target");
        // The server may have the number for another file by now, and the kernel still has it for this one.
        let again = Facts { identity: Identity::listed(11, Some(VOLUME), FileTime(9)), ..file(11, 1) };
        assert_ne!(inodes.look_up(ROOT, "target", &again), new);
    }

    #[test]
    fn the_servers_number_is_the_inode_number() {
        let mut inodes = table();
        assert_eq!(inodes.look_up(ROOT, "f", &file(4711, 1)), INodeNo(4711));
        assert_eq!(inodes.listed(ROOT, "g", file(4712, 1).identity), INodeNo(4712));
        // These are not, or are another volume's.
        let elsewhere =
            Facts { identity: Identity::listed(4713, Some(VOLUME + 1), FileTime(1)), ..file(1, 1) };
        for (name, facts) in
            [("a", file(1, 1)), ("b", file(UNKNOWN.0, 1)), ("c", file(0, 1)), ("d", elsewhere)]
        {
            assert_eq!(inodes.listed(ROOT, name, facts.identity), UNKNOWN);
            let made_up = inodes.look_up(ROOT, name, &facts);
            assert!(made_up.0 >= MADE_UP);
            assert_eq!(inodes.listed(ROOT, name, facts.identity), made_up);
        }
    }

    #[test]
    fn hard_links_are_one_number_that_lives_as_long_as_any_of_them() {
        let mut inodes = table();
        let number = inodes.look_up(ROOT, "a", &file(11, 2));
        assert_eq!(inodes.look_up(ROOT, "b", &file(11, 2)), number);
        assert_eq!(inodes.path(number).as_deref(), Some("b"));
        inodes.unlink(ROOT, "b");
        assert_eq!(inodes.path(number).as_deref(), Some("a"));
        assert_eq!(inodes.look_up(ROOT, "b", &file(11, 2)), number);
        // Another file takes one of the names.
        inodes.look_up(ROOT, "c", &file(12, 1));
        inodes.rename(ROOT, "c", ROOT, "b");
        assert_eq!(inodes.path(number).as_deref(), Some("a"));
        inodes.unlink(ROOT, "a");
        assert!(!inodes.is_linked(number));
        assert!(!inodes.forget(number, 2) && inodes.forget(number, 1));
        assert_eq!(inodes.number(ROOT, "b"), Some(INodeNo(12)));
    }

    #[test]
    fn files_that_are_not_surely_one_are_two() {
        let two = file(11, 2);
        let otherwise = [
            // A server whose numbers are not unique; one that shows what a link of its own leads to.
            file(11, 1),
            Facts { identity: Identity::listed(11, Some(VOLUME), FileTime(12)), ..two },
            Facts { identity: Identity::listed(11, Some(VOLUME + 1), FileTime(11)), ..two },
            Facts { links: None, ..two },
            Facts { attributes: FileAttributes::REPARSE_POINT, symlink: true, ..two },
        ];
        for facts in otherwise {
            let mut inodes = table();
            let number = inodes.look_up(ROOT, "a", &two);
            assert_ne!(inodes.look_up(ROOT, "b", &facts), number, "{facts:?}");
        }
        let mut inodes = table();
        let number = inodes.look_up(ROOT, "d", &directory(10));
        assert_ne!(inodes.look_up(ROOT, "e", &directory(10)), number);
    }

    #[test]
    fn a_name_that_stands_for_another_file_has_another_number() {
        let mut inodes = table();
        let number = inodes.look_up(ROOT, "a", &file(11, 2));
        inodes.look_up(ROOT, "b", &file(11, 2));
        assert!(inodes.is_of(number, file(11, 1).identity) && !inodes.is_of(number, file(12, 1).identity));
        assert_eq!(inodes.look_up(ROOT, "b", &file(12, 1)), INodeNo(12));
        assert_eq!(inodes.path(number).as_deref(), Some("a"));
        let (name, _) = inodes.names(number).remove(0);
        inodes.lose(number, &name);
        assert!(inodes.is_linked(number));
    }
}
