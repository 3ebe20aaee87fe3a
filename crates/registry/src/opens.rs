//! The table of opens, and its indexes that follow from the open alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use wire::{FileGlobalId, TreeGlobalId};

use crate::Shell;
use crate::ids::volatile_part;
use crate::open::{IdMap, Open};
use crate::parts::{Merged, Parted, Parts};

/// The opens by `Open.FileGlobalId`.
pub(crate) struct Opens<S: Shell>(pub(crate) Parts<OpensPart<S>>);

/// The opens whose ids are of one part.
pub(crate) struct OpensPart<S: Shell> {
    /// Boxed, because the nodes of a B-tree are half empty if the ids only rise.
    pub(crate) opens: BTreeMap<FileGlobalId, Box<Open<S>>>,
    /// The opens by `Open.FileId`, the id in requests. Orphans are not among them. An id belongs to the part of its open,
    /// except for those that another start of the server has issued.
    pub(crate) volatile_ids: IdMap,
    /// The opens of each tree connect.
    pub(crate) of_trees: BTreeSet<(TreeGlobalId, FileGlobalId)>,
}

impl<S: Shell> Default for OpensPart<S> {
    fn default() -> Self {
        Self { opens: BTreeMap::new(), volatile_ids: IdMap::default(), of_trees: BTreeSet::new() }
    }
}

impl<S: Shell> Opens<S> {
    pub(crate) fn get(&self, id: &FileGlobalId) -> Option<&Open<S>> {
        self.0.of(id.part()).opens.get(id).map(|open| &**open)
    }

    pub(crate) fn get_mut(&mut self, id: &FileGlobalId) -> Option<&mut Open<S>> {
        self.0.of_mut(id.part()).opens.get_mut(id).map(|open| &mut **open)
    }

    pub(crate) fn contains_key(&self, id: &FileGlobalId) -> bool {
        self.0.of(id.part()).opens.contains_key(id)
    }

    pub(crate) fn insert(&mut self, id: FileGlobalId, open: Box<Open<S>>) {
        self.0.of_mut(id.part()).opens.insert(id, open);
    }

    pub(crate) fn remove(&mut self, id: &FileGlobalId) -> Option<Box<Open<S>>> {
        self.0.of_mut(id.part()).opens.remove(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|part| part.opens.len()).fold(0, usize::saturating_add)
    }

    /// The opens after the one that was last seen, by id.
    pub(crate) fn after(&self, last: Option<FileGlobalId>) -> impl Iterator<Item = (FileGlobalId, &Open<S>)> {
        let first = last.map_or(Bound::Unbounded, Bound::Excluded);
        Merged::new(
            self.0.iter().map(move |part| {
                part.opens.range((first, Bound::Unbounded)).map(|(id, open)| (*id, &**open))
            }),
        )
    }

    /// All opens, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FileGlobalId, &Open<S>)> {
        self.after(None)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Open<S>> {
        self.0.iter().flat_map(|part| part.opens.values()).map(|open| &**open)
    }

    /// The open with this `Open.FileId`.
    pub(crate) fn by_volatile_id(&self, id: u64) -> Option<FileGlobalId> {
        self.0.of(volatile_part(id)).volatile_ids.get(&id).copied()
    }

    pub(crate) fn name(&mut self, volatile: u64, id: FileGlobalId) {
        self.0.of_mut(volatile_part(volatile)).volatile_ids.insert(volatile, id);
    }

    pub(crate) fn unname(&mut self, volatile: u64) {
        self.0.of_mut(volatile_part(volatile)).volatile_ids.remove(&volatile);
    }

    /// The number of opens with an `Open.FileId`.
    pub(crate) fn named(&self) -> usize {
        self.0.iter().map(|part| part.volatile_ids.len()).fold(0, usize::saturating_add)
    }

    pub(crate) fn enter_tree(&mut self, tree: TreeGlobalId, id: FileGlobalId) {
        self.0.of_mut(id.part()).of_trees.insert((tree, id));
    }

    pub(crate) fn leave_tree(&mut self, tree: TreeGlobalId, id: FileGlobalId) {
        self.0.of_mut(id.part()).of_trees.remove(&(tree, id));
    }

    /// The opens of a tree connect after the one that was last seen, by id.
    pub(crate) fn of_tree(
        &self,
        tree: TreeGlobalId,
        last: Option<FileGlobalId>,
    ) -> impl Iterator<Item = FileGlobalId> + use<'_, S> {
        let first =
            last.map_or(Bound::Included((tree, FileGlobalId::MIN)), |last| Bound::Excluded((tree, last)));
        let range = (first, Bound::Included((tree, FileGlobalId::MAX)));
        let parts = self.0.iter().map(move |part| part.of_trees.range(range).map(|(_, id)| (*id, ())));
        Merged::new(parts).map(|(id, ())| id)
    }

    /// True if exactly these opens belong to tree connects. Used by tests.
    pub(crate) fn of_trees_are(&self, mut expected: BTreeSet<(TreeGlobalId, FileGlobalId)>) -> bool {
        self.0.iter().flat_map(|part| &part.of_trees).all(|it| expected.remove(it)) && expected.is_empty()
    }
}

impl<S: Shell> Default for Opens<S> {
    fn default() -> Self {
        Self(Parts::default())
    }
}
