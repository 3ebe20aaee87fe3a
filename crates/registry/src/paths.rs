//! Opens by their path: what is open below a directory, and what a rename moves.

use std::ops::Bound;
use std::sync::Arc;

use wire::FileGlobalId;

use crate::links::Link;
use crate::share::ShareKey;
use crate::{FileKey, NotFound, OpenRef, Shell, State, cost};

/// Where an open is in the index: its share, the directory that the share had for it, its path in lower case, itself.
pub(crate) type PathPlace = (u32, FileKey, Arc<str>, FileGlobalId);

/// Opens that a rename has moved, as many as one hold of the lock takes.
pub struct Renamed<S: Shell> {
    /// What the server attached to them.
    pub opens: Vec<S::Open>,
    /// Where there are more: [`State::rename_on`].
    pub rest: Option<RenameRest>,
}

/// A rename of which not every open knows yet.
#[derive(Clone, Debug)]
pub struct RenameRest {
    share: u32,
    root: FileKey,
    old: Arc<str>,
    new: Arc<str>,
    what: Moves,
    after: Option<(Arc<str>, FileGlobalId)>,
}

/// Which opens a rename moves.
#[derive(Clone, Copy, Debug)]
enum Moves {
    /// Those of this file by that name.
    Itself(FileKey),
    /// Those of this file's streams by that name.
    Streams(FileKey),
    /// Those of what is below.
    Below,
}

/// A path in the form that it is looked up in.
pub(crate) fn folded(path: &Arc<str>) -> Arc<str> {
    if path.chars().all(|c| c.is_ascii() && !c.is_ascii_uppercase()) {
        path.clone()
    } else {
        path.to_lowercase().into()
    }
}

impl<S: Shell> State<S> {
    /// Records that a file was renamed: every open of it by that name in that share shows the new path.
    pub fn rename(&mut self, open: impl Into<OpenRef>, new_path: &str) -> Result<Renamed<S>, NotFound> {
        let id = self.open_global(open.into())?;
        let renamed = self.opens.get(&id).ok_or(NotFound)?;
        let file = renamed.target.file().ok_or(NotFound)?;
        let (key, old) = (renamed.share.clone(), renamed.path.clone());
        let place = (renamed.share_id, renamed.root);
        Ok(self.rename_link(file, &key, place, old, new_path))
    }

    /// As [`Self::rename`], for a rename below the share's directory `root` whose own open has ended meanwhile.
    pub fn rename_by_path(
        &mut self,
        file: FileKey,
        share: &str,
        root: FileKey,
        old: &str,
        new: &str,
    ) -> Renamed<S> {
        let (key, old) = (ShareKey::new(share), Arc::from(old));
        match self.shares.get(&key).map(|it| it.id) {
            Some(share) => self.rename_link(file, &key, (share, root), old, new),
            // The share is gone; the delete that its open asked for may wait for another share's opens.
            None => {
                let opens = self.rename_delete(file, &key, &old, &Arc::from(new)).into_iter().collect();
                Renamed { opens, rest: None }
            }
        }
    }

    fn rename_link(
        &mut self,
        file: FileKey,
        key: &ShareKey,
        (share, root): (u32, FileKey),
        old: Arc<str>,
        new: &str,
    ) -> Renamed<S> {
        let new = Arc::from(new);
        let what = Moves::Itself(file);
        // Before the opens move: it is not to be left by them. A stream of another name leaves its file where it is.
        let by_delete = if file.is_named_stream() { None } else { self.rename_delete(file, key, &old, &new) };
        let mut moved = self.rename_on(RenameRest { share, root, old, new, what, after: None });
        moved.opens.extend(by_delete);
        moved
    }

    /// Records that a file was renamed whose streams are open: they are known by its new name.
    pub fn rename_streams(
        &mut self,
        file: FileKey,
        share: &str,
        root: FileKey,
        old: &str,
        new: &str,
    ) -> Renamed<S> {
        let Some(share) = self.shares.get(&ShareKey::new(share)).map(|it| it.id) else {
            return Renamed { opens: Vec::new(), rest: None };
        };
        let (old, new) = (old.into(), new.into());
        self.rename_on(RenameRest { share, root, old, new, what: Moves::Streams(file.base()), after: None })
    }

    /// Records that a directory below the share's directory `root` was renamed: what is open below it shows its new path.
    pub fn rename_below(&mut self, share: &str, root: FileKey, old: &str, new: &str) -> Renamed<S> {
        let Some(share) = self.shares.get(&ShareKey::new(share)).map(|it| it.id) else {
            return Renamed { opens: Vec::new(), rest: None };
        };
        self.rename_on(RenameRest {
            share,
            root,
            old: old.into(),
            new: new.into(),
            what: Moves::Below,
            after: None,
        })
    }

    /// Goes on with a rename.
    pub fn rename_on(&mut self, rename: RenameRest) -> Renamed<S> {
        let limit = self.limits.work_per_hold;
        let looked_at: Vec<PathPlace> = self.places(&rename).take(limit).cloned().collect();
        let mut opens = Vec::new();
        for (_, _, _, id) in &looked_at {
            cost::step();
            let Some(open) = self.opens.get_mut(id) else { continue };
            let path = match rename.what {
                Moves::Itself(file) => {
                    let is_meant = open.target.file() == Some(file) && open.path == rename.old;
                    is_meant.then(|| rename.new.clone())
                }
                Moves::Streams(file) => {
                    let is_meant =
                        open.target.file().is_some_and(|it| it.is_named_stream() && it.base() == file);
                    // Names are compared without regard to case, and may differ in length by that.
                    let stream =
                        open.path.rsplit_once('\\').map_or(&*open.path, |(_, name)| name).split_once(':');
                    stream.filter(|_| is_meant).map(|(_, stream)| format!("{}:{stream}", rename.new).into())
                }
                Moves::Below => {
                    let depth = rename.old.split('\\').count().saturating_add(1);
                    open.path.splitn(depth, '\\').last().map(|rest| format!("{}\\{rest}", rename.new).into())
                }
            };
            let Some(path) = path else { continue };
            let old_link = Link::of(open);
            let (share, old) = (open.share.clone(), std::mem::replace(&mut open.path, path.clone()));
            self.paths.remove(&open.place(*id));
            open.folded = folded(&path);
            self.paths.insert(open.place(*id));
            opens.push(open.attached.clone());
            if let Some(file) = open.target.file() {
                self.links.enter(file, Link::of(open));
                let is_last = self.links.leave(file, &old_link);
                // Of what is below, the first open takes the link's pending delete along.
                if matches!(rename.what, Moves::Below) {
                    opens.extend(self.rename_delete(file, &share, &old, &path));
                }
                // Those that asked for a stream's delete may have ended.
                if file.is_named_stream() && !matches!(rename.what, Moves::Itself(_)) {
                    opens.extend(self.asked_to_delete(file));
                }
                if is_last {
                    self.leave_link(file, &old_link);
                }
            }
        }
        let is_all = looked_at.len() < limit;
        let after = looked_at.into_iter().last().map(|(_, _, path, id)| (path, id)).filter(|_| !is_all);
        Renamed { opens, rest: after.map(|after| RenameRest { after: Some(after), ..rename }) }
    }

    /// Some of the opens of what lies below a directory of a share, whose own is `root`: what stands in the way of its
    /// rename.
    pub fn opens_below(
        &self,
        share: &str,
        root: FileKey,
        directory: &str,
        limit: usize,
    ) -> Vec<FileGlobalId> {
        let Some(share) = self.shares.get(&ShareKey::new(share)).map(|it| it.id) else {
            return Vec::new();
        };
        let rename = RenameRest {
            share,
            root,
            old: directory.into(),
            new: "".into(),
            what: Moves::Below,
            after: None,
        };
        self.places(&rename).take(limit).map(|(_, _, _, id)| *id).collect()
    }

    /// The places of what a rename may move.
    fn places(&self, rename: &RenameRest) -> impl Iterator<Item = &PathPlace> {
        let (share, root) = (rename.share, rename.root);
        let old = folded(&rename.old);
        let (prefix, is_exact): (Arc<str>, bool) = match rename.what {
            Moves::Itself(_) => (old, true),
            Moves::Streams(_) => (format!("{old}:").into(), false),
            Moves::Below if old.is_empty() => (old, false),
            Moves::Below => (format!("{old}\\").into(), false),
        };
        let first = match &rename.after {
            Some((path, id)) => Bound::Excluded((share, root, path.clone(), *id)),
            None => Bound::Included((share, root, prefix.clone(), FileGlobalId::MIN)),
        };
        self.paths
            .range((first, Bound::Unbounded))
            .take_while(move |(of, from, path, _)| {
                (*of, *from) == (share, root)
                    && if is_exact { *path == prefix } else { path.starts_with(&*prefix) }
            })
            // The share's root is not below itself.
            .filter(move |(_, _, path, _)| is_exact || !path.is_empty())
    }
}
