//! The links that files are opened by (MS-FSA 2.1.1.6), counted, so that an open link is found by a lookup.
//!
//! A link is identified by the share and the path that it was opened by. Names of the same file in other shares may be
//! the same link, and count as the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::{FoldedName, ShareName};

use crate::open::Open;
use crate::parts::{Parted, Parts};
use crate::{FileKey, Shell, cost};

/// A name of a file, kept in lower case: on a disk that ignores case, clients open one name in several spellings.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    share: ShareName,
    /// Without the stream.
    path: FoldedName,
}

impl Link {
    pub(crate) fn new(share: ShareName, path: &Arc<str>) -> Self {
        Self { share, path: FoldedName::of(&without_stream(path)) }
    }

    pub(crate) fn of<S: Shell>(open: &Open<S>) -> Self {
        if open.path.contains(':') {
            return Self::new(open.origin.share.clone(), &open.path);
        }
        Self { share: open.origin.share.clone(), path: open.folded.clone() }
    }

    /// The share, and the path.
    pub(crate) fn place(&self) -> (&ShareName, &FoldedName) {
        (&self.share, &self.path)
    }

    pub(crate) fn is_of_share(&self, other: &Self) -> bool {
        self.share == other.share
    }
}

/// A path without the name of a stream.
pub(crate) fn without_stream(path: &Arc<str>) -> Arc<str> {
    match path.split_once(':') {
        Some((path, _)) => path.into(),
        None => path.clone(),
    }
}

/// The number of opens of each file by each link, including the opens of its streams.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Links(pub(crate) Parts<LinksPart>);

/// The links of the files of one part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LinksPart(BTreeMap<(FileKey, Link), usize>);

impl LinksPart {
    pub(crate) fn enter(&mut self, file: FileKey, link: Link) {
        let count = self.0.entry((file.base(), link)).or_default();
        *count = count.saturating_add(1);
    }

    /// Removes one open. Returns true if the file has no more opens by this link.
    pub(crate) fn leave(&mut self, file: FileKey, link: &Link) -> bool {
        let place = (file.base(), link.clone());
        let Some(count) = self.0.get_mut(&place) else { return true };
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        if is_last {
            self.0.remove(&place);
        }
        is_last
    }

    fn of(&self, file: FileKey) -> impl DoubleEndedIterator<Item = &Link> {
        let base = file.base();
        let end = FileKey { stream: 1, ..base };
        self.0.range((base, Link::default())..(end, Link::default())).map(|((_, link), _)| link)
    }
}

impl Links {
    pub(crate) fn enter(&mut self, file: FileKey, link: Link) {
        self.0.of_mut(file.part()).enter(file, link);
    }

    /// Removes one open. Returns true if the file has no more opens by this link.
    pub(crate) fn leave(&mut self, file: FileKey, link: &Link) -> bool {
        self.0.of_mut(file.part()).leave(file, link)
    }

    /// True if the file is open by exactly this link.
    pub(crate) fn contains(&self, file: FileKey, link: &Link) -> bool {
        cost::step();
        self.0.of(file.part()).0.contains_key(&(file.base(), link.clone()))
    }

    /// True if the file is open by a link of another share than this link's.
    pub(crate) fn has_other_share(&self, file: FileKey, link: &Link) -> bool {
        cost::step();
        // The links are in the order of their shares, so one of another share is the first or the last.
        let mut all = self.0.of(file.part()).of(file);
        let ends = [all.next(), all.next_back()];
        ends.into_iter().flatten().any(|other| !other.is_of_share(link))
    }
}
