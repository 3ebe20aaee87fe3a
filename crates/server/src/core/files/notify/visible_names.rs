//! The names that a watch may report: those that its user may list.
//!
//! Windows reports every change below a watched tree, unless the user lacks SeChangeNotifyPrivilege; then NTFS checks
//! the right to traverse each directory on the way. By default all users have that privilege, so Windows reports names
//! that the user could not list. This server reports a name if the user may list its directory; rights to the
//! directories on the way are not checked (MS-FSA 2.1.5.1.1), except by the kernel. In a share with access-based
//! enumeration, the name itself must be one that a listing shows. If a directory is gone, or a name in such a share,
//! this can no longer be checked: the client receives STATUS_NOTIFY_ENUM_DIR and has to list the directory itself.

use std::collections::HashMap;
use std::sync::Arc;

use vfs::{Actor, RelativePath, Wanted};
use wire::AccessMask;
use wire::fscc::notify::NotifyAction;

use crate::core::security::Subject;
use crate::core::session::User;
use crate::core::tree::Tree;

/// The user of a watch, and the watched directory.
pub(crate) struct Viewer {
    pub(crate) user: Arc<User>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) directory: RelativePath,
}

/// The part of some changes that may be reported.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// These changes, possibly none.
    Changes(Vec<(NotifyAction, String)>),
    /// Only the fact that something has changed.
    Something,
}

impl Viewer {
    /// True if all changes that a watch collects may be reported without a check.
    pub(crate) fn sees_all(&self, recursive: bool) -> bool {
        !recursive && !self.tree.share.settings.access_based_enum
    }

    /// Leaves out names that the user may not list. This calls the file system.
    pub(crate) fn visible(&self, told: Vec<(NotifyAction, String)>) -> Visible {
        let Some(backend) = self.tree.backend() else { return Visible::Something };
        let subject = Subject::of(&self.user, &**backend);
        let hides = self.tree.share.settings.access_based_enum;
        let mut listable = HashMap::new();
        let mut seen = Vec::with_capacity(told.len());
        for (action, name) in told {
            let directory = name.rsplit_once('\\').map(|(directory, _)| directory);
            // The watched directory itself is open for listing.
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

    /// True if the user may list a directory; `None` if it no longer exists.
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

    /// True if a listing shows a name; `None` if it does not exist.
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
