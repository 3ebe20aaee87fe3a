//! The index of opens by their paths: opens below a directory, and opens that a rename moves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use wire::{FileGlobalId, FoldedName, ShareName};

use crate::ids::mix;
use crate::links::Link;
use crate::open::Open;
use crate::parts::{Merged, PartNumber, Parts};
use crate::snapshot::PartWork;
use crate::{FileKey, FileSnapshot, NotFound, OpenRef, Part, Shell, State, cost};

/// The opens in the order of the tree connects' shares and directories, then of their folded paths.
///
/// Paths are compared as bytes, so the paths that begin with `dir\` are adjacent: `dir!` and `dir name` come before all
/// of them, `dir]` after all of them, and the directory's own opens before any of these. The same is true for `dir:`, the
/// streams, which come before the paths below the directory.
///
/// A path, its streams and its spellings are in one part, so that a file is found in it; what is below a directory is in
/// all parts.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Paths(pub(crate) Parts<PathsPart>);

/// The opens whose paths are of one part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PathsPart(BTreeMap<(u32, FileKey), BTreeSet<PathEntry>>);

/// An open with its folded path.
type PathEntry = (FoldedName, FileGlobalId);

impl PathsPart {
    pub(crate) fn enter<S: Shell>(&mut self, id: FileGlobalId, open: &Open<S>) {
        self.0.entry(open.origin.place()).or_default().insert((open.folded.clone(), id));
    }

    pub(crate) fn leave<S: Shell>(&mut self, id: FileGlobalId, open: &Open<S>) {
        let place = open.origin.place();
        let Some(opens) = self.0.get_mut(&place) else { return };
        opens.remove(&(open.folded.clone(), id));
        if opens.is_empty() {
            self.0.remove(&place);
        }
    }

    fn of_share(&self, id: u32) -> impl Iterator<Item = (&(u32, FileKey), &BTreeSet<PathEntry>)> {
        self.0.range((id, FileKey::MIN)..=(id, FileKey::MAX))
    }
}

impl Paths {
    pub(crate) fn enter<S: Shell>(&mut self, id: FileGlobalId, open: &Open<S>) {
        self.0.of_mut(part_of_path(&open.folded)).enter(id, open);
    }

    pub(crate) fn leave<S: Shell>(&mut self, id: FileGlobalId, open: &Open<S>) {
        self.0.of_mut(part_of_path(&open.folded)).leave(id, open);
    }

    /// The number of opens in a share.
    pub(crate) fn count_of_share(&self, id: u32) -> usize {
        let places = self.0.iter().flat_map(|part| part.of_share(id));
        places.map(|(_, opens)| opens.len()).fold(0, usize::saturating_add)
    }

    /// The directories of a share below which something is open.
    fn places(&self, share: u32) -> BTreeSet<(u32, FileKey)> {
        let places = self.0.iter().flat_map(|part| part.of_share(share));
        places.map(|(place, _)| *place).collect()
    }

    /// The opens by exactly this folded path, after the one that was last seen.
    fn at<'a>(
        &'a self,
        place: (u32, FileKey),
        path: &FoldedName,
        after: Option<&PathEntry>,
    ) -> impl Iterator<Item = &'a PathEntry> + use<'a> {
        let path = path.clone();
        let part = std::iter::once(self.0.of(part_of_path(&path)));
        range(part, place, path.clone(), after).take_while(move |(it, _)| *it == path)
    }

    /// The opens whose folded path has this prefix, after the one that was last seen.
    fn beginning<'a>(
        &'a self,
        place: (u32, FileKey),
        prefix: &FoldedName,
        after: Option<&PathEntry>,
    ) -> impl Iterator<Item = &'a PathEntry> + use<'a> {
        let prefix = prefix.clone();
        // The streams of a file are in its part.
        let only = prefix.as_str().contains(':').then(|| self.0.of(part_of_path(&prefix)));
        let all = only.is_none().then(|| self.0.iter());
        range(only.into_iter().chain(all.into_iter().flatten()), place, prefix.clone(), after)
            .take_while(move |(it, _)| it.as_str().starts_with(prefix.as_str()))
    }
}

/// The entries of these parts from a path on, after the one that was last seen.
fn range<'a, P: Iterator<Item = &'a PathsPart>>(
    parts: P,
    place: (u32, FileKey),
    first: FoldedName,
    after: Option<&PathEntry>,
) -> impl Iterator<Item = &'a PathEntry> + use<'a, P> {
    let first = (first, FileGlobalId::MIN);
    let first = match after {
        Some(after) if *after >= first => Bound::Excluded(after.clone()),
        _ => Bound::Included(first),
    };
    let opens = parts.filter_map(|part| part.0.get(&place));
    let ranges = opens.map(|opens| opens.range((first.clone(), Bound::Unbounded)).map(|entry| (entry, ())));
    Merged::new(ranges.collect::<Vec<_>>().into_iter()).map(|(entry, ())| entry)
}

/// The part of the opens by this folded path and by its streams.
pub(crate) fn part_of_path(path: &FoldedName) -> PartNumber {
    let path = path.as_str();
    let path = path.split_once(':').map_or(path, |(path, _)| path);
    let (words, rest) = path.as_bytes().as_chunks::<8>();
    let mut hash = words.iter().fold(0, |hash, word| mix(hash ^ u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    hash = mix(hash ^ u64::from_le_bytes(last));
    PartNumber::of(hash >> 32)
}

/// The opens that a rename has moved under one hold of the lock.
pub struct Renamed<S: Shell> {
    /// The server's parts of these opens.
    pub opens: Vec<S::Open>,
    /// The rest of the rename, for [`State::rename_on`]; `None` if all opens have moved.
    pub rest: Option<RenameRest>,
}

/// A rename that has not moved all opens yet.
#[derive(Clone, Debug)]
pub struct RenameRest {
    place: (u32, FileKey),
    old: Arc<str>,
    new: Arc<str>,
    what: RenameScope,
    after: Option<PathEntry>,
}

/// The opens that a rename moves.
#[derive(Clone, Copy, Debug)]
enum RenameScope {
    /// The opens of this file by the old name.
    Itself(FileKey),
    /// The opens of this file's streams by the old name.
    Streams(FileKey),
    /// The opens below the directory.
    Below,
}

/// A position in a list of opens by their paths, from which [`State::files_below`] continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPosition {
    place: (u32, FileKey),
    entry: PathEntry,
}

impl<S: Shell> State<S> {
    /// Records the rename of a file: every open of it by the old name in the share gets the new path.
    pub fn rename(&mut self, open: impl Into<OpenRef>, new_path: &str) -> Result<Renamed<S>, NotFound> {
        let id = self.open_global(open.into())?;
        let renamed = self.opens.get(&id).ok_or(NotFound)?;
        let file = renamed.target.file().ok_or(NotFound)?;
        let (origin, old) = (renamed.origin.clone(), renamed.path.clone());
        Ok(self.rename_link(file, &origin.share, origin.place(), old, new_path))
    }

    /// Records a rename as [`Self::rename`] does, for an open that has ended meanwhile: below the share's directory
    /// `root`.
    pub fn rename_by_path(
        &mut self,
        file: FileKey,
        share: &str,
        root: FileKey,
        old: &str,
        new: &str,
    ) -> Renamed<S> {
        let (key, old) = (ShareName::new(share), Arc::from(old));
        match self.shares.get(&key).map(|it| it.id) {
            Some(share) => self.rename_link(file, &key, (share, root), old, new),
            // The share is gone, but the delete that its open requested may wait for another share's opens.
            None => {
                let opens = self.rename_delete(file, &key, &old, &Arc::from(new)).into_iter().collect();
                Renamed { opens, rest: None }
            }
        }
    }

    fn rename_link(
        &mut self,
        file: FileKey,
        key: &ShareName,
        place: (u32, FileKey),
        old: Arc<str>,
        new: &str,
    ) -> Renamed<S> {
        let new = Arc::from(new);
        let what = RenameScope::Itself(file);
        // This comes before the opens move, so that the link is not recorded as left. A rename of a stream does not
        // move its file.
        let by_delete = if file.is_named_stream() { None } else { self.rename_delete(file, key, &old, &new) };
        let mut moved = self.rename_on(RenameRest { place, old, new, what, after: None });
        moved.opens.extend(by_delete);
        moved
    }

    /// Records the rename of a file for the opens of its streams, whose paths contain its name.
    pub fn rename_streams(
        &mut self,
        file: FileKey,
        share: &str,
        root: FileKey,
        old: &str,
        new: &str,
    ) -> Renamed<S> {
        self.rename_in(share, root, old, new, RenameScope::Streams(file.base()))
    }

    /// Records the rename of a directory below the share's directory `root`: opens below it get their new paths.
    pub fn rename_below(&mut self, share: &str, root: FileKey, old: &str, new: &str) -> Renamed<S> {
        self.rename_in(share, root, old, new, RenameScope::Below)
    }

    fn rename_in(
        &mut self,
        share: &str,
        root: FileKey,
        old: &str,
        new: &str,
        what: RenameScope,
    ) -> Renamed<S> {
        let Some(share) = self.shares.get(&ShareName::new(share)).map(|it| it.id) else {
            return Renamed { opens: Vec::new(), rest: None };
        };
        let (old, new) = (old.into(), new.into());
        self.rename_on(RenameRest { place: (share, root), old, new, what, after: None })
    }

    /// Continues a rename.
    pub fn rename_on(&mut self, rename: RenameRest) -> Renamed<S> {
        let limit = self.limits.work_per_hold;
        let looked_at: Vec<PathEntry> = self.places(&rename).take(limit).cloned().collect();
        let mut opens = Vec::new();
        for (_, id) in &looked_at {
            cost::step();
            let Some(open) = self.opens.get_mut(id) else { continue };
            let path = match rename.what {
                RenameScope::Itself(file) => {
                    let is_meant = open.target.file() == Some(file) && open.path == rename.old;
                    is_meant.then(|| rename.new.clone())
                }
                RenameScope::Streams(file) => {
                    let is_meant =
                        open.target.file().is_some_and(|it| it.is_named_stream() && it.base() == file);
                    // Names are compared without regard to case, so the old name may differ in length from the name in
                    // the path.
                    let stream =
                        open.path.rsplit_once('\\').map_or(&*open.path, |(_, name)| name).split_once(':');
                    stream.filter(|_| is_meant).map(|(_, stream)| format!("{}:{stream}", rename.new).into())
                }
                RenameScope::Below => {
                    let depth = rename.old.split('\\').count().saturating_add(1);
                    open.path.splitn(depth, '\\').last().map(|rest| format!("{}\\{rest}", rename.new).into())
                }
            };
            let Some(path) = path else { continue };
            let old_link = Link::of(open);
            self.paths.leave(*id, open);
            let old = std::mem::replace(&mut open.path, path.clone());
            open.folded = FoldedName::of(&path);
            self.paths.enter(*id, open);
            let (origin, log) = (open.origin.clone(), open.logged());
            opens.push(open.attached.clone());
            if let Some(log) = log {
                self.logs.touch(log, *id);
            }
            if let Some(file) = open.target.file() {
                self.links.enter(file, Link::of(open));
                let is_last = self.links.leave(file, &old_link);
                // Below a directory, the first open that moves takes the pending delete of its link along.
                if matches!(rename.what, RenameScope::Below) {
                    opens.extend(self.rename_delete(file, &origin.share, &old, &path));
                }
                // The open that requested the delete of the stream may have ended.
                if file.is_named_stream() && !matches!(rename.what, RenameScope::Itself(_)) {
                    opens.extend(self.asked_to_delete(file));
                }
                if is_last {
                    self.leave_link(file, &old_link);
                }
            }
        }
        let is_all = looked_at.len() < limit;
        let after = looked_at.into_iter().last().filter(|_| !is_all);
        Renamed { opens, rest: after.map(|after| RenameRest { after: Some(after), ..rename }) }
    }

    /// At most `limit` of the opens below a directory of a share whose own directory is `root`. They are obstacles to
    /// its rename.
    pub fn opens_below(
        &self,
        share: &str,
        root: FileKey,
        directory: &str,
        limit: usize,
    ) -> Vec<FileGlobalId> {
        let Some(share) = self.shares.get(&ShareName::new(share)).map(|it| it.id) else {
            return Vec::new();
        };
        self.below((share, root), &FoldedName::new(directory), None).take(limit).map(|(_, id)| *id).collect()
    }

    /// The opens of a file or directory, by its path in the share of this name, of its streams, and of all objects below
    /// it: those among the next `length` after the last one seen, in the order of their paths. An open that is renamed
    /// meanwhile may be listed twice, or not at all.
    pub fn files_below(
        &self,
        share: &str,
        path: &str,
        after: Option<PathPosition>,
        length: usize,
    ) -> Part<FileSnapshot, PathPosition> {
        let (share, path) = (ShareName::new(share), FoldedName::new(path));
        let mut positions = self.positions_below(&share, &path, after);
        let mut entries = Vec::new();
        let mut last = None;
        let mut work = PartWork::new(length);
        while work.is_left()
            && let Some((place, (path, id))) = positions.next()
        {
            cost::step();
            last = Some(PathPosition { place, entry: (path.clone(), *id) });
            let Some(open) = self.opens.get(id) else { continue };
            work.take(open.shown_locks());
            entries.push(self.snapshot_of(*id, open));
        }
        Part { entries, last: last.filter(|_| positions.next().is_some()) }
    }

    /// An open of the path or below it, if there is any.
    pub(crate) fn first_open_below(&self, share: &ShareName, path: &FoldedName) -> Option<FileGlobalId> {
        self.positions_below(share, path, None).map(|(_, (_, id))| *id).next()
    }

    fn positions_below<'a>(
        &'a self,
        share: &ShareName,
        path: &FoldedName,
        after: Option<PathPosition>,
    ) -> impl Iterator<Item = ((u32, FileKey), &'a PathEntry)> + use<'a, S> {
        // A share that was removed may have opens that have not been ended yet.
        let removed = self.removed_shares.values().filter(|it| ShareName::new(&it.definition.name) == *share);
        let mut shares: Vec<u32> = removed.chain(self.shares.get(share)).map(|it| it.id).collect();
        shares.sort_unstable();
        let path = path.clone();
        let first = after.as_ref().map(|it| it.place);
        let places = shares.into_iter().flat_map(|share| self.paths.places(share)).inspect(|_| cost::step());
        places.filter(move |place| first.is_none_or(|first| first <= *place)).flat_map(move |place| {
            let after = after.as_ref().filter(|it| it.place == place).map(|it| &it.entry);
            let itself = self.paths.at(place, &path, after);
            // All of them are below the root, its streams as well.
            let streams = (!path.as_str().is_empty()).then(|| path.followed_by(':'));
            let streams = streams.map(|prefix| self.paths.beginning(place, &prefix, after));
            let all = itself.chain(streams.into_iter().flatten()).chain(self.below(place, &path, after));
            all.map(move |entry| (place, entry))
        })
    }

    /// The opens below a directory.
    fn below<'a>(
        &'a self,
        place: (u32, FileKey),
        directory: &FoldedName,
        after: Option<&PathEntry>,
    ) -> impl Iterator<Item = &'a PathEntry> + use<'a, S> {
        let is_root = directory.as_str().is_empty();
        let prefix = if is_root { directory.clone() } else { directory.followed_by('\\') };
        // The root of the share is not below itself.
        self.paths.beginning(place, &prefix, after).filter(|(path, _)| !path.as_str().is_empty())
    }

    /// The opens that a rename may move.
    fn places(&self, rename: &RenameRest) -> Box<dyn Iterator<Item = &PathEntry> + '_> {
        let (place, after, old) = (rename.place, rename.after.as_ref(), FoldedName::of(&rename.old));
        match rename.what {
            RenameScope::Itself(_) => Box::new(self.paths.at(place, &old, after)),
            RenameScope::Streams(_) => Box::new(self.paths.beginning(place, &old.followed_by(':'), after)),
            RenameScope::Below => Box::new(self.below(place, &old, after)),
        }
    }
}
