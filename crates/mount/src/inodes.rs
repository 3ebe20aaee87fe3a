//! The names that the kernel knows, by the numbers it knows them by.
//!
//! SMB has paths, the kernel has numbers: a number stands for a name in a directory, and so for a path. It moves with
//! a rename, and is kept as long as the kernel counts look-ups on it. Two names of one file are two numbers.

use std::collections::HashMap;

use fuser::INodeNo;

use crate::names::join;

/// The table. No look-up waits for anything.
#[derive(Debug)]
pub(crate) struct Inodes {
    nodes: HashMap<u64, Node>,
    numbers: HashMap<(u64, String), u64>,
    next: u64,
}

#[derive(Debug)]
struct Node {
    parent: u64,
    /// As the server has it.
    name: String,
    lookups: u64,
    /// Whether the name is this node's still.
    linked: bool,
}

impl Inodes {
    /// A table with the root only.
    pub(crate) fn new() -> Self {
        Self { nodes: HashMap::new(), numbers: HashMap::new(), next: INodeNo::ROOT.0.saturating_add(1) }
    }

    /// The number of a name, one look-up more.
    pub(crate) fn look_up(&mut self, parent: INodeNo, name: &str) -> INodeNo {
        let key = (parent.0, name.to_owned());
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None => {
                let number = self.next;
                self.next = self.next.saturating_add(1);
                let node = Node { parent: parent.0, name: name.to_owned(), lookups: 0, linked: true };
                self.nodes.insert(number, node);
                self.numbers.insert(key, number);
                number
            }
        };
        if let Some(node) = self.nodes.get_mut(&number) {
            node.lookups = node.lookups.saturating_add(1);
        }
        INodeNo(number)
    }

    /// So many look-ups fewer: whether the number is forgotten with them.
    pub(crate) fn forget(&mut self, number: INodeNo, lookups: u64) -> bool {
        let Some(node) = self.nodes.get_mut(&number.0) else { return false };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups > 0 {
            return false;
        }
        if let Some(node) = self.nodes.remove(&number.0) {
            let key = (node.parent, node.name);
            // Another spelling may have left the name to another number.
            if node.linked && self.numbers.get(&key) == Some(&number.0) {
                self.numbers.remove(&key);
            }
        }
        true
    }

    /// The number that a name has, if the kernel knows it.
    pub(crate) fn number(&self, parent: INodeNo, name: &str) -> Option<INodeNo> {
        self.numbers.get(&(parent.0, name.to_owned())).map(|number| INodeNo(*number))
    }

    /// The path of a number; none where the kernel has forgotten it.
    pub(crate) fn path(&self, number: INodeNo) -> Option<String> {
        if number == INodeNo::ROOT {
            return Some(String::new());
        }
        let node = self.nodes.get(&number.0)?;
        Some(join(&self.path(INodeNo(node.parent))?, &node.name))
    }

    /// The path of a name in a directory.
    pub(crate) fn path_in(&self, parent: INodeNo, name: &str) -> Option<String> {
        Some(join(&self.path(parent)?, name))
    }

    /// The name is gone; its number may stay in use.
    pub(crate) fn unlink(&mut self, parent: INodeNo, name: &str) {
        if let Some(number) = self.numbers.remove(&(parent.0, name.to_owned()))
            && let Some(node) = self.nodes.get_mut(&number)
        {
            node.linked = false;
        }
    }

    /// Whether the number's name is its own still.
    pub(crate) fn is_linked(&self, number: INodeNo) -> bool {
        number == INodeNo::ROOT || self.nodes.get(&number.0).is_some_and(|node| node.linked)
    }

    /// The name has moved. What had the new one is unlinked.
    pub(crate) fn rename(&mut self, parent: INodeNo, name: &str, to: INodeNo, to_name: &str) {
        let Some(number) = self.numbers.remove(&(parent.0, name.to_owned())) else {
            self.unlink(to, to_name);
            return;
        };
        self.unlink(to, to_name);
        if let Some(node) = self.nodes.get_mut(&number) {
            node.parent = to.0;
            node.name = to_name.to_owned();
            self.numbers.insert((to.0, to_name.to_owned()), number);
        }
    }

    /// A name is written in another case. What had the new spelling is the same file: it has that name, too.
    pub(crate) fn respell(&mut self, parent: INodeNo, name: &str, to_name: &str) {
        let Some(number) = self.numbers.remove(&(parent.0, name.to_owned())) else { return };
        if let Some(node) = self.nodes.get_mut(&number) {
            node.name = to_name.to_owned();
            self.numbers.insert((parent.0, to_name.to_owned()), number);
        }
    }

    /// How many numbers the kernel knows.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: INodeNo = INodeNo::ROOT;

    #[test]
    fn paths_follow_renames_of_their_directories() {
        let mut inodes = Inodes::new();
        let directory = inodes.look_up(ROOT, "d");
        let file = inodes.look_up(directory, "f");
        assert_eq!(inodes.path(file).as_deref(), Some("d\\f"));
        inodes.rename(ROOT, "d", ROOT, "e");
        assert_eq!(inodes.path(file).as_deref(), Some("e\\f"));
        inodes.rename(directory, "f", ROOT, "g");
        assert_eq!(inodes.path(file).as_deref(), Some("g"));
        assert_eq!(inodes.look_up(ROOT, "g"), file);
    }

    #[test]
    fn a_number_lives_as_long_as_its_look_ups() {
        let mut inodes = Inodes::new();
        let first = inodes.look_up(ROOT, "f");
        assert_eq!(inodes.look_up(ROOT, "f"), first);
        inodes.forget(first, 1);
        assert_eq!(inodes.number(ROOT, "f"), Some(first));
        inodes.forget(first, 1);
        assert_eq!(inodes.number(ROOT, "f"), None);
        assert_eq!(inodes.len(), 0);
        assert_ne!(inodes.look_up(ROOT, "f"), first);
    }

    #[test]
    fn two_spellings_of_a_name_stay_one_files() {
        let mut inodes = Inodes::new();
        let (lower, upper) = (inodes.look_up(ROOT, "file"), inodes.look_up(ROOT, "FILE"));
        inodes.respell(ROOT, "file", "FILE");
        for number in [lower, upper] {
            assert!(inodes.is_linked(number));
            assert_eq!(inodes.path(number).as_deref(), Some("FILE"));
        }
        assert_eq!((inodes.number(ROOT, "file"), inodes.number(ROOT, "FILE")), (None, Some(lower)));
        assert!(inodes.forget(upper, 1));
        assert_eq!(inodes.number(ROOT, "FILE"), Some(lower));
    }

    #[test]
    fn a_name_taken_by_another_leaves_its_number_without_one() {
        let mut inodes = Inodes::new();
        let old = inodes.look_up(ROOT, "target");
        let new = inodes.look_up(ROOT, "source");
        inodes.rename(ROOT, "source", ROOT, "target");
        assert!(!inodes.is_linked(old) && inodes.is_linked(new));
        assert_eq!(inodes.number(ROOT, "target"), Some(new));
        inodes.forget(old, 1);
        assert_eq!(inodes.number(ROOT, "target"), Some(new));
        inodes.unlink(ROOT, "target");
        let again = inodes.look_up(ROOT, "target");
        assert_ne!(again, new);
    }
}
