//! What a watcher may hear of: names that its user could list.
//!
//! Windows tells a watcher of a tree everything below it, unless its user lacks SeChangeNotifyPrivilege; then NTFS asks
//! for the right to traverse each directory on the way. Everybody has that privilege there by default, so names are
//! told that nobody showed the user. Here a name is told if the user may list the directory that it is in; on the way
//! there, rights are not looked at (MS-FSA 2.1.5.1.1), beyond what the kernel does. In a share with access-based
//! enumeration the name itself must be one that a listing shows. Of a directory that is gone, and there of a name that
//! is gone, nobody can tell any more: the client hears only that it is to look for itself (STATUS_NOTIFY_ENUM_DIR).

use std::collections::HashMap;
use std::sync::Arc;

use vfs::{Actor, RelativePath, Wanted};
use wire::AccessMask;
use wire::fscc::notify::NotifyAction;

use crate::core::security::Subject;
use crate::core::session::User;
use crate::core::tree::Tree;

/// Who watches which directory.
pub(crate) struct Viewer {
    pub(crate) user: Arc<User>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) directory: RelativePath,
}

/// What of some changes may be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// These; there may be none.
    Changes(Vec<(NotifyAction, String)>),
    /// That something has changed.
    Something,
}

impl Viewer {
    /// Whether all that a watch gathers may be told without a look at it.
    pub(crate) fn sees_all(&self, recursive: bool) -> bool {
        !recursive && !self.tree.share.settings.access_based_enum
    }

    /// Leaves out what the user may not list. Asks the file system.
    pub(crate) fn visible(&self, told: Vec<(NotifyAction, String)>) -> Visible {
        let Some(backend) = self.tree.backend() else { return Visible::Something };
        let subject = Subject::of(&self.user, &**backend);
        let hides = self.tree.share.settings.access_based_enum;
        let mut listable = HashMap::new();
        let mut seen = Vec::with_capacity(told.len());
        for (action, name) in told {
            let directory = name.rsplit_once('\\').map(|(directory, _)| directory);
            // The directory itself is open for listing.
            let is_listable = directory.map_or(Some(true), |directory| {
                *listable.entry(directory.to_owned()).or_insert_with(|| self.may_list(&subject, directory))
            });
            match is_listable {
                Some(true) => {}
                Some(false) => continue,
                None => return Visible::Something,
            }
            if hides {
                match self.shows(&subject, &name) {
                    Some(false) => continue,
                    Some(true) if !is_gone(action) => {}
                    _ => return Visible::Something,
                }
            }
            seen.push((action, name));
        }
        Visible::Changes(seen)
    }

    /// Whether the user may list a directory; none if it is not there any more.
    fn may_list(&self, subject: &Subject<'_>, directory: &str) -> Option<bool> {
        let path = self.below(directory)?;
        let wanted = Wanted { read: true, write: false };
        match subject.backend.open(subject.actor, &path, wanted) {
            Ok(opened) => {
                let right = AccessMask::READ_DATA;
                let permitted = subject.permitted(&path, &*opened.handle, &opened.stat, right);
                Some(permitted.contains(right))
            }
            Err(vfs::Error::NotFound | vfs::Error::PathNotFound | vfs::Error::NotADirectory) => None,
            Err(_) => Some(false),
        }
    }

    /// Whether a listing shows a name; none if there is nothing of that name.
    fn shows(&self, subject: &Subject<'_>, name: &str) -> Option<bool> {
        let file = name.split(':').next().unwrap_or_default();
        let path = self.below(file)?;
        let opened = subject.backend.open_link(&Actor::Process, &path, Wanted::NOTHING).ok()?;
        Some(subject.may_see(&*opened.handle))
    }

    fn below(&self, name: &str) -> Option<RelativePath> {
        let name = name.replace('\\', "/");
        let path =
            if self.directory.is_root() { name } else { format!("{}/{name}", self.directory.as_str()) };
        RelativePath::new(path).ok()
    }
}

fn is_gone(action: NotifyAction) -> bool {
    matches!(action, NotifyAction::REMOVED | NotifyAction::RENAMED_OLD_NAME)
}
