//! The files that the kernel knows, by inode number.
//!
//! SMB uses paths, the kernel uses inode numbers: a number stands for a file, and so for the path of any of
//! its names. It follows them through renames, and is kept as long as the kernel has look-ups of it.
//!
//! - The number is the server's number of the file if it is usable: not zero, not in use for another file,
//!   and from the volume of the share's root. Otherwise it is generated and lasts as long as the look-ups.
//! - Two names are one file only if number, volume and creation time are equal, and the server reports more
//!   than one link. Some servers have numbers that are not unique, and a file must never be taken for another.
//!   On a server without numbers, two names of one file are two files here.
//! - Two spellings of a name that differ only in case are two files for the kernel: otherwise it would not
//!   rename one to the other.
//! - A directory has one name. A server that follows links itself shows one directory in several places,
//!   which the kernel does not support.

use std::collections::HashMap;

use fuser::{FileType, INodeNo};

use crate::attributes::Facts;
use crate::identity::{Identity, Same};
use crate::names::join;

/// The table of inode numbers. Its operations do not wait.
#[derive(Debug)]
pub(crate) struct Inodes {
    nodes: HashMap<u64, Node>,
    numbers: HashMap<Name, u64>,
    /// The files by the server's number and volume.
    files: HashMap<(u64, u64), u64>,
    /// The volume whose numbers are used directly.
    volume: Option<u64>,
    next: u64,
}

/// The number of a directory, and a name in it in the server's spelling.
pub(crate) type Name = (u64, String);

#[derive(Debug)]
struct Node {
    /// The current names, the one looked up last at the end.
    names: Vec<Name>,
    lookups: u64,
    kind: FileType,
    identity: Identity,
}

impl Inodes {
    /// Creates a table that contains the root. The server's numbers on its volume become inode numbers.
    pub(crate) fn new(root: Identity) -> Self {
        Self {
            nodes: HashMap::new(),
            numbers: HashMap::new(),
            files: HashMap::new(),
            volume: root.numbers().map(|(_, volume)| volume),
            next: MADE_UP,
        }
    }

    /// Counts a look-up of a name and returns its number. `facts` is the server's metadata of the file.
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

    /// True if the number of a name may still belong to the file found there.
    fn may_be(&self, number: u64, facts: &Facts) -> bool {
        let node = self.nodes.get(&number);
        node.is_some_and(|node| node.kind == facts.kind() && !node.identity.is_other_number(facts.identity))
    }

    /// The number of a file that is known by another name.
    fn other_name_of(&self, (parent, name): &Name, facts: &Facts) -> Option<u64> {
        let number = *self.files.get(&facts.identity.numbers()?)?;
        let node = self.nodes.get(&number)?;
        // Spellings of one name need different numbers: the kernel ignores a rename between two names of one
        // file.
        let respelled = node.names.iter().any(|it| it.0 == *parent && wire::eq_ignore_case(&it.1, name));
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

    /// The server's number of a file, if it can be an inode number.
    fn usable(&self, identity: Identity) -> Option<u64> {
        let (number, volume) = identity.numbers()?;
        let taken = [INodeNo::ROOT, UNKNOWN].contains(&INodeNo(number));
        (Some(volume) == self.volume && !taken).then_some(number)
    }

    /// Records a file by the server's numbers. Directories are not recorded, because they have one name.
    fn remember(&mut self, number: u64) {
        let Some(node) = self.nodes.get(&number) else { return };
        let Some(numbers) = node.identity.numbers().filter(|_| node.kind != FileType::Directory) else {
            return;
        };
        let taken = self.files.get(&numbers).and_then(|other| self.nodes.get(other));
        // A file with the same numbers that has no name left is deleted, or about to be.
        if taken.is_none_or(|other| other.names.is_empty() || other.identity != node.identity) {
            self.files.insert(numbers, number);
        }
    }

    /// Subtracts look-ups from a number; true if that removes it.
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

    /// The number of a name, if the kernel knows it.
    pub(crate) fn number(&self, parent: INodeNo, name: &str) -> Option<INodeNo> {
        self.numbers.get(&(parent.0, name.to_owned())).map(|number| INodeNo(*number))
    }

    /// The number to show in a listing, which does not count as a look-up.
    pub(crate) fn listed(&self, parent: INodeNo, name: &str, identity: Identity) -> INodeNo {
        let known = self.number(parent, name);
        known.or_else(|| self.usable(identity).map(INodeNo)).unwrap_or(UNKNOWN)
    }

    /// The path of a number; `None` if the kernel has forgotten it, or it has no name left.
    pub(crate) fn path(&self, number: INodeNo) -> Option<String> {
        if number == INodeNo::ROOT {
            return Some(String::new());
        }
        self.path_of(self.nodes.get(&number.0)?.names.last()?)
    }

    fn path_of(&self, (parent, name): &Name) -> Option<String> {
        Some(join(&self.path(INodeNo(*parent))?, name))
    }

    /// The names of a number with their paths, the one looked up last first.
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

    /// True if a file found by one of the number's names may be the number's file.
    pub(crate) fn is_of(&self, number: INodeNo, found: Identity) -> bool {
        self.nodes.get(&number.0).is_none_or(|node| !node.identity.is_other_number(found))
    }

    /// Removes a name from a number that has others; the last name stays, because it is the only record of
    /// the path.
    pub(crate) fn lose(&mut self, number: INodeNo, name: &Name) {
        let node = self.nodes.get_mut(&number.0).filter(|node| node.names.len() > 1);
        let Some(node) = node else { return };
        node.names.retain(|other| other != name);
        if self.numbers.get(name) == Some(&number.0) {
            self.numbers.remove(name);
        }
    }

    /// Removes a name; its number may stay in use.
    pub(crate) fn unlink(&mut self, parent: INodeNo, name: &str) {
        let key = (parent.0, name.to_owned());
        if let Some(number) = self.numbers.remove(&key)
            && let Some(node) = self.nodes.get_mut(&number)
        {
            node.names.retain(|other| *other != key);
        }
    }

    /// True if the number has a name.
    pub(crate) fn is_linked(&self, number: INodeNo) -> bool {
        number == INodeNo::ROOT || self.nodes.get(&number.0).is_some_and(|node| !node.names.is_empty())
    }

    /// Moves a name. A number that had the new name loses it.
    pub(crate) fn rename(&mut self, parent: INodeNo, name: &str, to: INodeNo, to_name: &str) {
        let number = self.number(parent, name);
        self.unlink(parent, name);
        self.unlink(to, to_name);
        if let Some(number) = number {
            self.give(number, to, to_name);
        }
    }

    /// Changes the case of a name. If the new spelling had a number of its own, that is the same file and
    /// keeps the name, too.
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

    /// The number of entries.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// The inode number for unknown numbers (FUSE_UNKNOWN_INO).
pub(crate) const UNKNOWN: INodeNo = INodeNo(0xffff_ffff);

/// The first generated number; servers' numbers are seldom this large.
const MADE_UP: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use wire::{FileAttributes, FileTime};

    use super::*;

    const ROOT: INodeNo = INodeNo::ROOT;

    fn table() -> Inodes {
        Inodes::new(Identity::listed(2, Some(VOLUME), FileTime(1)))
    }

    /// A file with this number and this many names.
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
    fn a_number_is_removed_with_its_last_look_up() {
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
    fn two_spellings_of_a_name_follow_a_change_of_case() {
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
    fn a_replaced_file_loses_its_name() {
        let mut inodes = table();
        let old = inodes.look_up(ROOT, "target", &file(10, 1));
        let new = inodes.look_up(ROOT, "source", &file(11, 1));
        inodes.rename(ROOT, "source", ROOT, "target");
        assert!(!inodes.is_linked(old) && inodes.is_linked(new));
        assert_eq!(inodes.number(ROOT, "target"), Some(new));
        inodes.forget(old, 1);
        assert_eq!(inodes.number(ROOT, "target"), Some(new));
        inodes.unlink(ROOT, "target");
        // The server may have reused the number for another file, while the kernel still has it for this one.
        let again = Facts { identity: Identity::listed(11, Some(VOLUME), FileTime(9)), ..file(11, 1) };
        assert_ne!(inodes.look_up(ROOT, "target", &again), new);
    }

    #[test]
    fn a_usable_number_of_the_server_is_the_inode_number() {
        let mut inodes = table();
        assert_eq!(inodes.look_up(ROOT, "f", &file(4711, 1)), INodeNo(4711));
        assert_eq!(inodes.listed(ROOT, "g", file(4712, 1).identity), INodeNo(4712));
        // These are not usable, or belong to another volume.
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
    fn hard_links_share_a_number_until_the_last_is_removed() {
        let mut inodes = table();
        let number = inodes.look_up(ROOT, "a", &file(11, 2));
        assert_eq!(inodes.look_up(ROOT, "b", &file(11, 2)), number);
        assert_eq!(inodes.path(number).as_deref(), Some("b"));
        inodes.unlink(ROOT, "b");
        assert_eq!(inodes.path(number).as_deref(), Some("a"));
        assert_eq!(inodes.look_up(ROOT, "b", &file(11, 2)), number);
        // Another file takes over one of the names.
        inodes.look_up(ROOT, "c", &file(12, 1));
        inodes.rename(ROOT, "c", ROOT, "b");
        assert_eq!(inodes.path(number).as_deref(), Some("a"));
        inodes.unlink(ROOT, "a");
        assert!(!inodes.is_linked(number));
        assert!(!inodes.forget(number, 2) && inodes.forget(number, 1));
        assert_eq!(inodes.number(ROOT, "b"), Some(INodeNo(12)));
    }

    #[test]
    fn files_that_may_differ_have_different_numbers() {
        let two = file(11, 2);
        let otherwise = [
            // A server whose numbers are not unique; one that shows the target of its own link.
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
    fn a_name_of_another_file_gets_another_number() {
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
