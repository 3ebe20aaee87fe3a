//! Shares (MS-SMB2 3.3.1.6, MS-SRVS 3.1.1.7).

use std::collections::BTreeSet;
use std::sync::Arc;

use wire::{ShareName, TreeGlobalId};

use crate::events::EventKind;
use crate::remaining_work::Work;
use crate::{CloseReason, Effects, FileKey, LimitReached, NotFound, Rest, ShareSnapshot, Shell, State, Time};

/// The definition of a share by an administrator (MS-SRVS 2.2.4.26 SHARE_INFO_502).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareDefinition {
    /// `shi502_netname`: compared without regard to case.
    pub name: Arc<str>,
    /// `shi502_type`.
    pub kind: ShareKind,
    /// `shi502_path`.
    pub path: Arc<str>,
    /// `shi502_remark`.
    pub remark: Arc<str>,
    /// `shi502_max_uses`; `None` if there is no limit.
    pub max_uses: Option<u32>,
    /// `shi1005_flags` (MS-SRVS 2.2.4.29), which the registry stores and does not use.
    pub flags: u32,
    /// STYPE_SPECIAL: the share is not listed for ordinary users.
    pub hidden: bool,
    /// STYPE_TEMPORARY: the share does not outlive the server.
    pub temporary: bool,
}

/// STYPE_* without its flags (MS-SRVS 2.2.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShareKind {
    /// STYPE_DISKTREE.
    Disk,
    /// STYPE_PRINTQ.
    Print,
    /// STYPE_IPC.
    Pipe,
}

/// The reason for not adding a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareExists {
    /// There is a share of this name: NERR_DuplicateShare.
    Duplicate,
    /// A limit was reached.
    LimitReached(LimitReached),
}

/// The beginning of paths: the share and directory of a tree connect. Opens keep it when the tree connect has ended.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) share: ShareName,
    /// The number of the share, which distinguishes a share that was removed from one that was added later with the
    /// same name.
    pub(crate) share_id: u32,
    /// The name of the share, as it is defined.
    pub(crate) share_name: Arc<str>,
    /// The directory of the share at the time of the tree connect: equal paths below different directories are
    /// different files.
    pub(crate) root: FileKey,
}

impl Origin {
    /// The part of the origin that is in the index of paths.
    pub(crate) const fn place(&self) -> (u32, FileKey) {
        (self.share_id, self.root)
    }
}

pub(crate) struct Share {
    /// The number of the share, which rises from share to share; lists are resumed by it.
    pub(crate) id: u32,
    pub(crate) definition: ShareDefinition,
    /// `Share.CurrentUses` is its length.
    pub(crate) uses: BTreeSet<TreeGlobalId>,
}

impl Share {
    pub(crate) fn snapshot(&self) -> ShareSnapshot {
        ShareSnapshot { id: self.id, definition: self.definition.clone(), uses: self.uses.len() }
    }
}

impl<S: Shell> State<S> {
    /// Adds a share (MS-SMB2 3.3.4.13).
    pub fn add_share(&mut self, definition: ShareDefinition, now: Time) -> Result<(), ShareExists> {
        let key = ShareName::new(&definition.name);
        if self.shares.contains_key(&key) {
            return Err(ShareExists::Duplicate);
        }
        if self.shares.len() >= self.limits.shares {
            return Err(ShareExists::LimitReached(LimitReached::Shares));
        }
        self.events.push(now, EventKind::ShareAdded { share: definition.name.clone() });
        self.last_share = self.last_share.wrapping_add(1).max(1);
        self.shares.insert(key, Share { id: self.last_share, definition, uses: BTreeSet::new() });
        Ok(())
    }

    /// Replaces a share's definition (MS-SMB2 3.3.4.15). Its tree connects stay.
    pub fn replace_share(&mut self, definition: ShareDefinition, now: Time) -> Result<(), NotFound> {
        let share = self.shares.get_mut(&ShareName::new(&definition.name)).ok_or(NotFound)?;
        share.definition = definition;
        self.events.push(now, EventKind::ShareChanged { share: share.definition.name.clone() });
        Ok(())
    }

    /// Removes a share and ends its tree connects with their opens (MS-SMB2 3.3.4.14).
    pub fn remove_share(&mut self, name: &str, now: Time) -> Result<Effects<S>, NotFound> {
        let key = ShareName::new(name);
        let share = self.shares.remove(&key).ok_or(NotFound)?;
        let mut effects = Effects::none();
        self.events.push(now, EventKind::ShareRemoved { share: share.definition.name.clone() });
        let id = share.id;
        self.removed_shares.insert(id, share);
        self.end_share_part(id, now, &mut effects);
        Ok(effects)
    }

    /// Ends the tree connects of a removed share, and the orphans in it.
    pub(crate) fn end_share_part(&mut self, id: u32, now: Time, effects: &mut Effects<S>) {
        while let Some(share) = self.removed_shares.get(&id) {
            let Some(tree) = share.uses.first().copied() else { break };
            if !self.has_time(effects) {
                return effects.rest.push(Rest(Work::Share(id)));
            }
            self.begin_to_end_tree(tree, CloseReason::ShareRemoved, false);
            if !self.end_tree_part(tree, now, effects) {
                return effects.rest.push(Rest(Work::Share(id)));
            }
        }
        while let Some(open) = self.orphans.first_of_share(id) {
            if !self.has_time(effects) {
                return effects.rest.push(Rest(Work::Share(id)));
            }
            self.end_open(open, CloseReason::ShareRemoved, now, effects);
        }
        self.removed_shares.remove(&id);
    }

    /// The number of opens in the share with this number, known from the index of paths.
    pub fn opens_of_share(&self, id: u32) -> usize {
        self.paths.count_of_share(id)
    }

    /// A share's definition.
    pub fn share(&self, name: &str) -> Option<&ShareDefinition> {
        self.shares.get(&ShareName::new(name)).map(|it| &it.definition)
    }

    /// The definitions of all shares, by name.
    pub fn shares(&self) -> impl Iterator<Item = &ShareDefinition> {
        self.shares.values().map(|it| &it.definition)
    }
}
