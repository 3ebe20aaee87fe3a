//! Renames that the server carries out outside of the lock. From the time when the last cached handle of a file was
//! given up until its new name is known, handle caching of it is not granted, and no open is admitted by the old name
//! nor, below a directory, to anything in it: CREATE looks the name up again.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::LeaseState;

use crate::paths::folded;
use crate::share::ShareKey;
use crate::{FileKey, NotFound, OpenRef, Shell, State, cost};

/// The renames that are being carried out. There are no more than requests that are being served.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// The files that are renamed, each with the number of renames.
    files: BTreeMap<FileKey, usize>,
    /// The names of these files, in lower case, each with the number of renames.
    places: BTreeMap<ShareKey, BTreeMap<Arc<str>, usize>>,
}

/// A rename that is being carried out: see [`State::begin_move`].
#[must_use = "the file cannot be opened by its old name until this is given back"]
#[derive(Debug)]
pub struct Moving {
    file: FileKey,
    place: (ShareKey, Arc<str>),
}

/// An obstacle to a rename (MS-FSA 2.1.5.15.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTheWay {
    /// A handle of the file is cached: that caching is to be broken first.
    CachedHandle,
    /// A named stream of the file is open, or something below the directory: STATUS_ACCESS_DENIED.
    Open,
    /// The open of the rename has ended: STATUS_FILE_CLOSED.
    Closed,
}

impl From<NotFound> for InTheWay {
    fn from(_: NotFound) -> Self {
        Self::Closed
    }
}

impl<S: Shell> State<S> {
    /// Begins to rename the file or directory of an open, whose name in its share, below its tree connect's `root`, is
    /// `path`, if nothing is in the way. The open's own caching stays. Opens of its streams and below it are in the way
    /// unless `others_follow`, as Apple's clients expect it.
    pub fn begin_move(
        &mut self,
        open: impl Into<OpenRef>,
        (share, root): (&str, FileKey),
        path: &str,
        others_follow: bool,
    ) -> Result<Moving, InTheWay> {
        let id = self.open_global(open.into())?;
        let own = self.opens.get(&id).ok_or(NotFound)?;
        let file = own.target.file().ok_or(NotFound)?;
        let is_directory = own.is_directory;
        if self.caches_handle(id)? {
            return Err(InTheWay::CachedHandle);
        }
        let others = || {
            self.has_open_streams(id) || is_directory && !self.opens_below(share, root, path, 1).is_empty()
        };
        if !others_follow && others() {
            return Err(InTheWay::Open);
        }
        let place = (ShareKey::new(share), folded(&path.into()));
        self.moves.begin(file, place.clone());
        Ok(Moving { file, place })
    }

    /// Ends what [`Self::begin_move`] began, once the new name is known or the rename has failed.
    pub fn end_move(&mut self, moving: &Moving) {
        self.moves.end(moving);
    }

    /// True if the server is renaming `path` of a share, or a directory above it.
    pub fn is_moving(&self, share: &str, path: &str) -> bool {
        self.moves.is_any() && self.moves.holds(&ShareKey::new(share), &path.into())
    }

    /// The caching of the file by an open's holder; `None` if the open is gone.
    pub fn caching_of_file(&self, open: impl Into<OpenRef>) -> Option<LeaseState> {
        let id = self.open_global(open.into()).ok()?;
        let open = self.opens.get(&id)?;
        Some(self.holder_of(id, open).map_or(LeaseState::NONE, |holder| self.held(holder)))
    }

    /// True if another holder than the open's own caches handles of its file.
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

    /// True if this file is being renamed, by any of its names.
    pub(crate) fn concerns(&self, file: FileKey) -> bool {
        self.files.contains_key(&file)
    }

    /// True if this path of a share is being renamed, or a directory above it.
    pub(crate) fn holds(&self, share: &ShareKey, path: &Arc<str>) -> bool {
        let Some(places) = self.places.get(share) else { return false };
        let path = folded(path);
        let ends = path.match_indices(['\\', ':']).map(|(end, _)| end).chain([path.len()]);
        let mut above = ends.filter_map(|end| path.get(..end)).inspect(|_| cost::step());
        above.any(|above| places.contains_key(above))
    }

    fn begin(&mut self, file: FileKey, place: (ShareKey, Arc<str>)) {
        let (share, path) = place;
        let of_file = self.files.entry(file).or_default();
        *of_file = of_file.saturating_add(1);
        let of_place = self.places.entry(share).or_default().entry(path).or_default();
        *of_place = of_place.saturating_add(1);
    }

    fn end(&mut self, moving: &Moving) {
        take_one(&mut self.files, &moving.file);
        let (share, path) = &moving.place;
        if let Some(places) = self.places.get_mut(share) {
            take_one(places, path);
            if places.is_empty() {
                self.places.remove(share);
            }
        }
    }
}

fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
