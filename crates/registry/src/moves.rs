//! Renames, which the server carries out outside of the lock.
//!
//! A rename begins when the last handle that another client cached has been given up, and ends when the registry has
//! the new name. Meanwhile no handle of the file may be cached, and a CREATE by the old or the new name, or below it if
//! it is a directory's, must look its name up again. So must a CREATE that comes later with a name that was looked up
//! before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::names::SEPARATORS;
use wire::{FileGlobalId, FoldedName, LeaseState, ShareName};

use crate::events::{EventKind, EventOpen};
use crate::{Effects, FileKey, NotFound, OpenRef, Shell, State, Time, cost};

/// The renames that are being carried out, and the last ones that were. There are no more of the former than requests
/// that the server is working on.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// The files that are being renamed, each with the number of its renames.
    files: BTreeMap<FileKey, usize>,
    /// The old and the new names.
    places: BTreeMap<ShareName, BTreeMap<FoldedName, usize>>,
    /// The number of renames, and of removals and replacements, that have been carried out.
    count: Arc<AtomicU64>,
    /// The last renames, removals and replacements that were carried out.
    carried_out: VecDeque<CarriedOut>,
}

/// The number of renames, removals and replacements that the server had carried out when it began to look a name up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MoveCount(u64);

impl MoveCount {
    /// The count for an object without a name that can change, such as a pipe.
    pub const NEVER_MOVED: Self = Self(u64::MAX);
}

/// The count of renames, which is read without the lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct MoveCounter(Arc<AtomicU64>);

impl MoveCounter {
    pub(crate) fn now(&self) -> MoveCount {
        MoveCount(self.0.load(Ordering::Acquire))
    }
}

/// A rename that was carried out, or a removal or replacement, which has no new name.
#[derive(Debug)]
struct CarriedOut {
    share: ShareName,
    /// The old name.
    from: FoldedName,
    to: Option<Arc<str>>,
}

/// The names of a rename in a share.
#[derive(Clone, Copy, Debug)]
pub struct MoveNames<'a> {
    /// The share's name.
    pub share: &'a str,
    /// The path that is renamed.
    pub from: &'a str,
    /// The new path.
    pub to: &'a str,
    /// The count of renames, read before the names were looked up.
    pub looked_up: MoveCount,
}

/// A rename that is being carried out: see [`State::begin_move`].
#[must_use = "the file cannot be opened by its old name until this is passed to end_move"]
#[derive(Debug)]
pub struct Moving {
    file: FileKey,
    share: ShareName,
    places: [FoldedName; 2],
    /// The open of the rename, with the old path.
    open: EventOpen,
    /// The new path, once the file has it, and the time of that.
    moved_to: Option<(Arc<str>, Time)>,
}

impl Moving {
    /// Records that the file now has the path `to`.
    pub fn moved_to(&mut self, to: &str, now: Time) {
        self.moved_to = Some((to.into(), now));
    }
}

/// An obstacle to a rename (MS-FSA 2.1.5.15.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTheWay {
    /// Another client caches a handle of the file. That caching must be broken first.
    CachedHandle,
    /// A named stream of the file or an object below the directory is open: STATUS_ACCESS_DENIED.
    Open,
    /// One of the names is held, or something below it: STATUS_SHARING_VIOLATION.
    Held,
    /// The open of the rename has ended: STATUS_FILE_CLOSED.
    Closed,
    /// Another rename concerns one of the names, or did since they were looked up. When it is over
    /// ([`State::meets_move`]), the server looks the names up again.
    OtherMove,
}

impl From<NotFound> for InTheWay {
    fn from(_: NotFound) -> Self {
        Self::Closed
    }
}

impl<S: Shell> State<S> {
    /// Begins to rename the file of an open, below the `root` of its tree connect, if there is no obstacle. The caching
    /// of this open stays. Opens of streams and below the directory are obstacles unless `others_follow`, which Apple's
    /// clients require.
    pub fn begin_move(
        &mut self,
        open: impl Into<OpenRef>,
        names: MoveNames<'_>,
        root: FileKey,
        others_follow: bool,
    ) -> Result<Moving, InTheWay> {
        let id = self.open_global(open.into())?;
        let is_directory = self.opens.get(&id).ok_or(NotFound)?.is_directory;
        if self.caches_handle(id)? {
            return Err(InTheWay::CachedHandle);
        }
        let others = || {
            let below = || !self.opens_below(names.share, root, names.from, 1).is_empty();
            self.has_open_streams(id) || is_directory && below()
        };
        if !others_follow && others() {
            return Err(InTheWay::Open);
        }
        self.enter_move(id, names)
    }

    /// Begins to rename the named stream of an open, as [`Self::begin_move`] does. Other opens of the file are no
    /// obstacles.
    pub fn begin_stream_move(
        &mut self,
        open: impl Into<OpenRef>,
        names: MoveNames<'_>,
    ) -> Result<Moving, InTheWay> {
        let id = self.open_global(open.into())?;
        if self.caches_handle(id)? {
            return Err(InTheWay::CachedHandle);
        }
        self.enter_move(id, names)
    }

    fn enter_move(&mut self, id: FileGlobalId, names: MoveNames<'_>) -> Result<Moving, InTheWay> {
        let open = self.opens.get(&id).ok_or(NotFound)?;
        let file = open.target.file().ok_or(NotFound)?;
        let open = EventOpen { path: names.from.into(), ..open.event(id) };
        let share = ShareName::new(names.share);
        let places = [names.from, names.to].map(FoldedName::new);
        if places.iter().any(|path| self.is_held_in_place(&share, path)) {
            return Err(InTheWay::Held);
        }
        if places
            .iter()
            .any(|path| self.moves.meets(&share, path) || self.moves.has_moved(&share, path, names.looked_up))
        {
            return Err(InTheWay::OtherMove);
        }
        let moving = Moving { file, share, places, open, moved_to: None };
        self.moves.begin(&moving);
        Ok(moving)
    }

    /// Breaks the handle caching of all clients that cache handles of the files of these opens, so that all have the
    /// same time to acknowledge. No request waits for these breaks yet.
    pub fn break_handles_of_all(&mut self, opens: &[FileGlobalId], now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        for id in opens {
            cost::step();
            let Some(file) = self.opens.get(id).and_then(|open| open.target.file()) else { continue };
            for holder in self.holders(file) {
                let held = self.held(holder);
                if held.contains(LeaseState::HANDLE) {
                    let keep = held.without(LeaseState::HANDLE);
                    // The request that waits for the holder calls this again.
                    let _ = self.break_holder(holder, keep, now, &mut effects);
                }
            }
        }
        effects
    }

    /// Ends a rename that [`Self::begin_move`] began, after it was carried out ([`Moving::moved_to`]) or has failed.
    pub fn end_move(&mut self, moving: &Moving) {
        self.moves.end(moving);
        if let Some((to, at)) = &moving.moved_to {
            let open = EventOpen { path: to.clone(), ..moving.open.clone() };
            self.events.push(*at, EventKind::Renamed { open, from: moving.open.path.clone() });
        }
    }

    /// The count of renames, removals and replacements that have been carried out:
    /// [`Registry::moves`](crate::Registry::moves).
    pub fn moves(&self) -> MoveCount {
        self.moves.counter().now()
    }

    /// True if the server is renaming `path` of a share, or a directory above it.
    pub fn is_moving(&self, share: &str, path: &str) -> bool {
        self.moves.is_any() && self.moves.holds(&ShareName::new(share), &FoldedName::new(path))
    }

    /// True if the server is renaming `path` of a share, a directory above it, or an object below it, or renames
    /// another file to such a name.
    pub fn meets_move(&self, share: &str, path: &str) -> bool {
        self.moves.is_any() && self.moves.meets(&ShareName::new(share), &FoldedName::new(path))
    }

    /// The present path of the file that had `path` in a share when it was looked up, as far as the renames since then
    /// are remembered.
    pub fn moved_path(&self, share: &str, path: &str, looked_up: MoveCount) -> Arc<str> {
        self.moves.moved_path(&ShareName::new(share), path.into(), looked_up)
    }

    /// The caching that the holder of this open has of the file; `None` if the open has ended.
    pub fn caching_of_file(&self, open: impl Into<OpenRef>) -> Option<LeaseState> {
        let id = self.open_global(open.into()).ok()?;
        let open = self.opens.get(&id)?;
        Some(self.holder_of(id, open).map_or(LeaseState::NONE, |holder| self.held(holder)))
    }

    /// True if a holder other than this open's own caches handles of the file.
    pub fn caches_handle(&self, open: impl Into<OpenRef>) -> Result<bool, NotFound> {
        let id = self.open_global(open.into())?;
        let own = self.opens.get(&id).ok_or(NotFound)?;
        let file = own.target.file().ok_or(NotFound)?;
        let own = self.holder_of(id, own);
        let others = self.holders(file).into_iter().filter(|holder| own != Some(*holder));
        Ok(others.into_iter().any(|holder| self.held(holder).contains(LeaseState::HANDLE)))
    }
}

impl Moves {
    pub(crate) fn is_any(&self) -> bool {
        !self.places.is_empty()
    }

    /// True if a rename, removal or replacement was carried out since.
    pub(crate) fn are_any_since(&self, looked_up: MoveCount) -> bool {
        self.counter().now() > looked_up
    }

    /// True if this file is being renamed, by any of its names.
    pub(crate) fn concerns(&self, file: FileKey) -> bool {
        self.files.contains_key(&file)
    }

    pub(crate) fn counter(&self) -> MoveCounter {
        MoveCounter(Arc::clone(&self.count))
    }

    /// True if this path of a share is being renamed, or a directory above it.
    pub(crate) fn holds(&self, share: &ShareName, path: &FoldedName) -> bool {
        let Some(places) = self.places.get(share) else { return false };
        let mut above = path.path_and_ancestors().inspect(|_| cost::step());
        above.any(|above| places.contains_key(above))
    }

    /// True if this path of a share, a directory above it or an object below it is being renamed.
    fn meets(&self, share: &ShareName, path: &FoldedName) -> bool {
        let Some(places) = self.places.get(share) else { return false };
        let has_below = |separator| {
            cost::step();
            let below = path.followed_by(separator);
            let next = places.range::<FoldedName, _>(&below..).next();
            next.is_some_and(|(place, _)| place.as_str().starts_with(below.as_str()))
        };
        self.holds(share, path) || has_below('\\') || has_below(':')
    }

    /// True if this path of a share, or a directory above it, was renamed, removed or replaced since it was looked up,
    /// or if that is no longer known.
    pub(crate) fn has_moved(&self, share: &ShareName, path: &FoldedName, looked_up: MoveCount) -> bool {
        match self.since(looked_up) {
            None => true,
            Some(mut since) => since.any(|it| it.share == *share && it.concerns(path)),
        }
    }

    fn moved_path(&self, share: &ShareName, path: Arc<str>, looked_up: MoveCount) -> Arc<str> {
        let since = self.since(looked_up).into_iter().flatten().filter(|it| it.share == *share);
        since.fold(path, |path, it| match (&it.to, it.rest_of(&path)) {
            (Some(to), Some(rest)) => format!("{to}{rest}").into(),
            _ => path,
        })
    }

    /// The renames, removals and replacements since then; `None` if some of them are no longer remembered.
    fn since(&self, looked_up: MoveCount) -> Option<impl Iterator<Item = &CarriedOut>> {
        let new = self.counter().now().0.saturating_sub(looked_up.0);
        let known = self.carried_out.len();
        let new = usize::try_from(new).ok().filter(|new| *new <= known)?;
        Some(self.carried_out.range(known.saturating_sub(new)..).inspect(|_| cost::step()))
    }

    fn begin(&mut self, moving: &Moving) {
        let of_file = self.files.entry(moving.file).or_default();
        *of_file = of_file.saturating_add(1);
        let places = self.places.entry(moving.share.clone()).or_default();
        for place in &moving.places {
            let of_place = places.entry(place.clone()).or_default();
            *of_place = of_place.saturating_add(1);
        }
    }

    fn end(&mut self, moving: &Moving) {
        take_one(&mut self.files, &moving.file);
        if let Some(places) = self.places.get_mut(&moving.share) {
            moving.places.iter().for_each(|place| take_one(places, place));
            if places.is_empty() {
                self.places.remove(&moving.share);
            }
        }
        if let Some((to, _)) = &moving.moved_to {
            let [from, _] = moving.places.clone();
            self.note(CarriedOut { share: moving.share.clone(), from, to: Some(to.clone()) });
        }
    }

    /// Records that `path` of a share was removed or replaced.
    pub(crate) fn removed(&mut self, share: ShareName, path: FoldedName) {
        self.note(CarriedOut { share, from: path, to: None });
    }

    fn note(&mut self, carried_out: CarriedOut) {
        if self.carried_out.len() >= CARRIED_OUT {
            self.carried_out.pop_front();
        }
        self.carried_out.push_back(carried_out);
        // A CREATE that reads the new count finds the new name.
        self.count.fetch_add(1, Ordering::Release);
    }
}

impl CarriedOut {
    /// True if the path may now name another file or none, because it begins with the old name or the new one.
    fn concerns(&self, path: &FoldedName) -> bool {
        let new = self.to.as_ref().map(FoldedName::of);
        [Some(&self.from), new.as_ref()].into_iter().flatten().any(|it| behind(path, it).is_some())
    }

    /// The rest of a path after the old name, with its separator; `None` if the rename does not concern the path.
    fn rest_of<'a>(&self, path: &'a Arc<str>) -> Option<&'a str> {
        behind(&FoldedName::of(path), &self.from)?;
        // A folded name may have another length, so this counts components.
        let components = self.from.as_str().matches(SEPARATORS).count();
        let end = path.match_indices(SEPARATORS).nth(components).map_or(path.len(), |(end, _)| end);
        path.get(end..)
    }
}

/// The part of a path behind the name of a file. The empty name is that of a share's root, which is never renamed: only the
/// root itself and its streams are behind it.
fn behind<'a>(path: &'a FoldedName, name: &FoldedName) -> Option<&'a str> {
    path.rest_below(name).filter(|rest| rest.is_empty() || rest.starts_with(SEPARATORS))
}

fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The number of renames that are remembered for requests that have looked a name up and are not admitted yet. Fewer
/// are carried out in that time; a request that takes longer looks its name up again.
const CARRIED_OUT: usize = 256;
