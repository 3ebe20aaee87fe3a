//! Sets that nearly always have one element, such as the opens of a file: that one is kept in place, and not in the node
//! of a tree with room for eleven.

use std::collections::BTreeSet;

/// A sorted set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FewSet<T> {
    /// At most one element.
    One(Option<T>),
    /// Two elements or more.
    Many(BTreeSet<T>),
}

impl<T> Default for FewSet<T> {
    fn default() -> Self {
        Self::One(None)
    }
}

impl<T: Copy + Ord> FewSet<T> {
    /// Adds an element. Returns false if it is there already.
    pub(crate) fn insert(&mut self, new: T) -> bool {
        match self {
            Self::One(None) => {
                *self = Self::One(Some(new));
                true
            }
            Self::One(Some(one)) if *one == new => false,
            Self::One(Some(one)) => {
                *self = Self::Many(BTreeSet::from([*one, new]));
                true
            }
            Self::Many(all) => all.insert(new),
        }
    }

    /// Removes an element. Returns false if it is not there.
    pub(crate) fn remove(&mut self, old: &T) -> bool {
        match self {
            Self::One(one) => one.take_if(|it| it == old).is_some(),
            Self::Many(all) => {
                let was_there = all.remove(old);
                if all.len() < 2 {
                    *self = Self::One(all.first().copied());
                }
                was_there
            }
        }
    }

    pub(crate) fn contains(&self, wanted: &T) -> bool {
        match self {
            Self::One(one) => one.as_ref() == Some(wanted),
            Self::Many(all) => all.contains(wanted),
        }
    }

    pub(crate) fn first(&self) -> Option<&T> {
        match self {
            Self::One(one) => one.as_ref(),
            Self::Many(all) => all.first(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(one) => usize::from(one.is_some()),
            Self::Many(all) => all.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::One(None))
    }

    /// The elements in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(one) => (one.as_ref(), None),
            Self::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl<T: Copy + Ord> Extend<T> for FewSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, new: I) {
        for element in new {
            self.insert(element);
        }
    }
}

impl<T: Copy + Ord> FromIterator<T> for FewSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut set = Self::default();
        set.extend(all);
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_change_is_that_of_a_tree(changes in prop::collection::vec((any::<bool>(), 0..4_u8), 0..40)) {
            let (mut few, mut tree) = (FewSet::default(), BTreeSet::new());
            for (adds, element) in changes {
                let changed = match adds {
                    true => (few.insert(element), tree.insert(element)),
                    false => (few.remove(&element), tree.remove(&element)),
                };
                prop_assert_eq!(changed.0, changed.1);
                prop_assert!(few.iter().eq(&tree));
                prop_assert_eq!((few.len(), few.is_empty()), (tree.len(), tree.is_empty()));
                prop_assert_eq!(few.first(), tree.first());
                prop_assert!((0..4).all(|it| few.contains(&it) == tree.contains(&it)));
                prop_assert_eq!(&few, &tree.iter().copied().collect());
            }
        }
    }
}
