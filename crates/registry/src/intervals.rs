//! Ranges of bytes with their opens. A range that overlaps a given one is found in a number of steps that grows as the
//! logarithm of the number of ranges.
//!
//! A balanced tree (AVL) in the order of the beginnings of the ranges. Every node has the furthest end of the ranges
//! below it, with its open, and the furthest end of all other opens, so that a range of another open is found as
//! quickly as one of any open.

use std::cmp::Ordering;

use wire::FileGlobalId;

use crate::cost;

/// A range and its open. An open may have equal ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owned {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) open: FileGlobalId,
}

/// A multiset of ranges.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    root: Tree,
}

type Tree = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    range: Owned,
    /// The number of equal ranges.
    count: u32,
    height: u8,
    reach: Reach,
    left: Tree,
    right: Tree,
}

/// The furthest end of ranges with its open, and the furthest end of the other opens.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    first: Option<(FileGlobalId, u128)>,
    second: Option<(FileGlobalId, u128)>,
}

impl Owned {
    pub(crate) fn end(&self) -> u128 {
        u128::from(self.offset).saturating_add(u128::from(self.length))
    }

    /// True if two ranges overlap. A range of no bytes lies between two bytes; it overlaps a range that contains both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        u128::from(self.offset) < other.end() && u128::from(other.offset) < self.end()
    }
}

impl Intervals {
    pub(crate) fn insert(&mut self, range: Owned) {
        self.root = Some(insert(self.root.take(), range));
    }

    /// Removes one of the equal ranges. Returns false if there is none.
    pub(crate) fn remove(&mut self, range: &Owned) -> bool {
        let (root, removed) = remove(self.root.take(), range);
        self.root = root;
        removed
    }

    /// The beginning of the first range.
    pub(crate) fn first_offset(&self) -> Option<u64> {
        let mut first = self.root.as_deref()?;
        while let Some(earlier) = first.left.as_deref() {
            cost::step();
            first = earlier;
        }
        Some(first.range.offset)
    }

    /// The open of a range that overlaps this one, other than the open `except`.
    pub(crate) fn overlapping(&self, range: &Owned, except: Option<FileGlobalId>) -> Option<FileGlobalId> {
        let lo = u128::from(range.offset);
        let reaches = |tree: &Tree| tree.as_ref().is_some_and(|it| it.reach.end(except) > Some(lo));
        let mut next = self.root.as_deref();
        while let Some(node) = next {
            cost::step();
            if node.reach.end(except) <= Some(lo) {
                return None;
            }
            // If a range on the left reaches far enough and none there overlaps, that range begins behind the wanted
            // one, and so do all ranges on the right.
            if reaches(&node.left) {
                next = node.left.as_deref();
                continue;
            }
            if except != Some(node.range.open) && node.range.overlaps(range) {
                return Some(node.range.open);
            }
            next = node.right.as_deref();
        }
        None
    }
}

impl Reach {
    fn of(range: &Owned) -> Self {
        Self { first: Some((range.open, range.end())), second: None }
    }

    fn end(&self, except: Option<FileGlobalId>) -> Option<u128> {
        let found = match self.first {
            Some((open, _)) if except == Some(open) => self.second,
            first => first,
        };
        found.map(|(_, end)| end)
    }

    fn and(mut self, other: &Self) -> Self {
        self.add(other.first);
        self.add(other.second);
        self
    }

    fn add(&mut self, one: Option<(FileGlobalId, u128)>) {
        let Some((open, end)) = one else { return };
        match self.first {
            Some((first, furthest)) if first == open => {
                self.first = Some((open, end.max(furthest)));
            }
            Some((_, furthest)) if end <= furthest => {
                if self.second.is_none_or(|(_, second)| end > second) {
                    self.second = one;
                }
            }
            // If the second end belongs to the same open, it is replaced: the previous first end is further.
            before => {
                self.second = before;
                self.first = one;
            }
        }
    }
}

impl Node {
    fn new(range: Owned) -> Box<Self> {
        let reach = Reach::of(&range);
        Box::new(Self { range, count: 1, height: 1, reach, left: None, right: None })
    }

    fn refresh(&mut self) {
        self.height = height(&self.left).max(height(&self.right)).saturating_add(1);
        let mut reach = Reach::of(&self.range);
        for below in [&self.left, &self.right].into_iter().flatten() {
            reach = reach.and(&below.reach);
        }
        self.reach = reach;
    }

    /// The height of the left side minus that of the right side.
    fn lean(&self) -> i16 {
        i16::from(height(&self.left)).saturating_sub(i16::from(height(&self.right)))
    }
}

fn height(tree: &Tree) -> u8 {
    tree.as_ref().map_or(0, |node| node.height)
}

fn insert(tree: Tree, range: Owned) -> Box<Node> {
    cost::step();
    let Some(mut node) = tree else { return Node::new(range) };
    match range.cmp(&node.range) {
        Ordering::Equal => {
            node.count = node.count.saturating_add(1);
            return node;
        }
        Ordering::Less => node.left = Some(insert(node.left.take(), range)),
        Ordering::Greater => node.right = Some(insert(node.right.take(), range)),
    }
    balance(node)
}

fn remove(tree: Tree, range: &Owned) -> (Tree, bool) {
    cost::step();
    let Some(mut node) = tree else { return (None, false) };
    let removed = match range.cmp(&node.range) {
        Ordering::Equal if node.count > 1 => {
            node.count = node.count.saturating_sub(1);
            return (Some(node), true);
        }
        Ordering::Equal => return (join(node.left.take(), node.right.take()), true),
        Ordering::Less => {
            let (left, removed) = remove(node.left.take(), range);
            node.left = left;
            removed
        }
        Ordering::Greater => {
            let (right, removed) = remove(node.right.take(), range);
            node.right = right;
            removed
        }
    };
    (Some(if removed { balance(node) } else { node }), removed)
}

/// Joins two trees whose heights differ by at most one.
fn join(left: Tree, right: Tree) -> Tree {
    let Some(right) = right else { return left };
    let (rest, mut first) = take_first(right);
    first.left = left;
    first.right = rest;
    Some(balance(first))
}

fn take_first(mut node: Box<Node>) -> (Tree, Box<Node>) {
    cost::step();
    match node.left.take() {
        None => (node.right.take(), node),
        Some(left) => {
            let (left, first) = take_first(left);
            node.left = left;
            (Some(balance(node)), first)
        }
    }
}

/// Balances a node whose sides are balanced and differ in height by at most two.
fn balance(mut node: Box<Node>) -> Box<Node> {
    node.refresh();
    match node.lean() {
        2.. => {
            node.left = node.left.take().map(|it| if it.lean() < 0 { turn_left(it) } else { it });
            turn_right(node)
        }
        ..=-2 => {
            node.right = node.right.take().map(|it| if it.lean() > 0 { turn_right(it) } else { it });
            turn_left(node)
        }
        _ => node,
    }
}

fn turn_right(mut node: Box<Node>) -> Box<Node> {
    let Some(mut top) = node.left.take() else { return node };
    node.left = top.right.take();
    node.refresh();
    top.right = Some(node);
    top.refresh();
    top
}

fn turn_left(mut node: Box<Node>) -> Box<Node> {
    let Some(mut top) = node.right.take() else { return node };
    node.right = top.left.take();
    node.refresh();
    top.left = Some(node);
    top.refresh();
    top
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(offset: u64, length: u64, open: u32) -> Owned {
        Owned { offset, length, open: FileGlobalId::new(open).unwrap() }
    }

    fn check(tree: &Tree) -> (u8, usize) {
        let Some(node) = tree else { return (0, 0) };
        let ((left, nodes_left), (right, nodes_right)) = (check(&node.left), check(&node.right));
        assert!(left.abs_diff(right) <= 1);
        assert_eq!(node.height, left.max(right) + 1);
        (node.height, nodes_left + nodes_right + 1)
    }

    proptest! {
        #[test]
        fn overlaps_are_found_as_in_a_list(
            steps in prop::collection::vec((0..40_u64, 0..12_u64, 1..5_u32, any::<bool>()), 1..120)
        ) {
            let (mut tree, mut list) = (Intervals::default(), Vec::new());
            for (offset, length, open, adds) in steps {
                let one = range(offset, length, open);
                let at = list.iter().position(|it| *it == one);
                if adds || at.is_none() && !list.is_empty() && length > 6 {
                    tree.insert(one);
                    list.push(one);
                } else {
                    prop_assert_eq!(tree.remove(&one), at.is_some());
                    if let Some(at) = at {
                        list.remove(at);
                    }
                }
                check(&tree.root);
                for except in [None, FileGlobalId::new(open), FileGlobalId::new(1)] {
                    let fits = |it: &&Owned| it.overlaps(&one) && except != Some(it.open);
                    let found = tree.overlapping(&one, except);
                    prop_assert_eq!(found.is_some(), list.iter().any(|it| fits(&it)));
                    if let Some(found) = found {
                        prop_assert!(list.iter().any(|it| fits(&it) && it.open == found));
                    }
                }
            }
        }
    }

    #[test]
    fn steps_are_the_logarithm_of_the_number() {
        let mut tree = Intervals::default();
        for number in 0..32_768 {
            let steps = cost::of(|| tree.insert(range(number * 2, 1, 1))).1;
            assert!(steps <= 25, "{steps} steps to insert number {number}");
        }
        for wanted in [range(0, 1, 2), range(40_001, 0, 2), range(65_534, 9, 2), range(65_536, 9, 2)] {
            assert!(cost::of(|| tree.overlapping(&wanted, None)).1 <= 25);
            let other = cost::of(|| tree.overlapping(&wanted, FileGlobalId::new(1)));
            assert_eq!(other, (None, 1), "the root has no other open");
        }
        for number in (0..32_768).rev() {
            assert!(cost::of(|| tree.remove(&range(number * 2, 1, 1))).1 <= 40);
        }
        assert!(tree.root.is_none());
    }
}
