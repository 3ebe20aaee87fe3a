//! Tree connects (MS-SMB2 3.3.1.9).

use std::sync::Arc;

use wire::{SessionGlobalId, SessionId, ShareName, TreeGlobalId, TreeId};

use crate::events::EventKind;
use crate::limits::{STRANGERS_PART, has_room};
use crate::parts::{Count, Padded};
use crate::share::{Origin, ShareKind};
use crate::user_counts::UserKey;
use crate::{CloseReason, FileKey, LimitReached, NotFound, Shell, Standing, State, Time};

pub(crate) struct Tree<S: Shell> {
    pub(crate) tree_id: TreeId,
    pub(crate) session: SessionGlobalId,
    pub(crate) origin: Arc<Origin>,
    /// The reason of the end, while the tree connect is being ended; with true if durable opens outlive it.
    pub(crate) ending: Option<(CloseReason, bool)>,
    pub(crate) created: Time,
    /// `TreeConnect.OpenCount`: derived. The table of opens has the opens themselves.
    pub(crate) open_count: Box<Padded<Count>>,
    /// True if requests and answers must be sealed.
    pub(crate) encrypted: bool,
    /// The user whose tree connects include this one, for the limit.
    pub(crate) user: UserKey,
    /// True if the session is anonymous or a guest's.
    pub(crate) of_stranger: bool,
    pub(crate) attached: S::Tree,
}

/// The registry's view of a tree connect.
pub struct TreeInfo<S: Shell> {
    /// `TreeConnect.TreeId`.
    pub tree_id: TreeId,
    /// `TreeConnect.TreeGlobalId`.
    pub global_id: TreeGlobalId,
    /// The share's name, as it is defined.
    pub share: Arc<str>,
    /// The share's kind.
    pub kind: ShareKind,
    /// `TreeConnect.OpenCount`.
    pub opens: usize,
    /// The server's part of the tree connect.
    pub attached: S::Tree,
}

/// The reason for refusing a tree connect (MS-SMB2 3.3.5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeConnectError {
    /// There is no such session.
    SessionGone,
    /// There is no share of this name.
    NoSuchShare,
    /// The share has its maximal number of users (`Share.MaxUses`): STATUS_REQUEST_NOT_ACCEPTED.
    ShareFull,
    /// A limit was reached.
    LimitReached(LimitReached),
}

impl<S: Shell> State<S> {
    /// Connects a session to a share (MS-SMB2 3.3.5.7), with `Share.EncryptData` in `encrypted`. `root` is the present
    /// directory of the share: equal paths below different directories are different files. `attach` makes the server's
    /// part of the tree connect.
    pub fn tree_connect(
        &mut self,
        session: SessionId,
        share: &str,
        encrypted: bool,
        root: FileKey,
        attach: impl FnOnce(TreeId, TreeGlobalId) -> S::Tree,
        now: Time,
    ) -> Result<TreeInfo<S>, TreeConnectError> {
        let session_global = self.session_global(session).map_err(|_| TreeConnectError::SessionGone)?;
        let key = ShareName::new(share);
        let target = self.shares.get_mut(&key).ok_or(TreeConnectError::NoSuchShare)?;
        let owner = self.sessions.get_mut(&session_global).ok_or(TreeConnectError::SessionGone)?;
        if owner.trees.len() >= self.limits.trees_per_session {
            return Err(TreeConnectError::LimitReached(LimitReached::TreesPerSession));
        }
        let standing = owner.identity.standing();
        let of_stranger = standing == Standing::Stranger;
        let connections = owner.channels.iter().filter_map(|it| self.connections.get(it));
        let most =
            if of_stranger { self.limits.trees_per_stranger } else { self.limits.trees_per_connection };
        if connections.map(|it| it.trees).any(|trees| trees >= most) {
            return Err(TreeConnectError::LimitReached(LimitReached::TreesPerConnection));
        }
        let user = owner.user.clone().unwrap_or_default();
        if !has_room(self.limits.trees, self.trees.len(), standing)
            || !of_stranger && !self.user_trees.has_room(&user, self.limits.trees, standing)
            || of_stranger && self.stranger_trees >= (self.limits.trees / STRANGERS_PART).max(1)
        {
            return Err(TreeConnectError::LimitReached(LimitReached::Trees));
        }
        if target.definition.max_uses.is_some_and(|max| target.uses.len() >= max as usize) {
            return Err(TreeConnectError::ShareFull);
        }
        let trees = &self.trees;
        let global_id = TreeGlobalId(self.tree_globals.issue(|id| trees.contains_key(&TreeGlobalId(id))));
        let tree_id = loop {
            owner.last_tree = owner.last_tree.wrapping_add(1);
            let id = TreeId(owner.last_tree);
            if id.0 != 0 && id.0 != u32::MAX && !owner.trees.contains_key(&id) {
                break id;
            }
        };
        let tree = Tree {
            tree_id,
            session: session_global,
            origin: Arc::new(Origin {
                share: key,
                share_id: target.id,
                // A name of its own: the opens of different clients count their references to it.
                share_name: Arc::from(&*target.definition.name),
                root,
            }),
            ending: None,
            created: now,
            open_count: Box::default(),
            encrypted,
            user: user.clone(),
            of_stranger,
            attached: attach(tree_id, global_id),
        };
        self.user_trees.add(&user);
        target.uses.insert(global_id);
        owner.trees.insert(tree_id, global_id);
        let share_kind = target.definition.kind;
        let info = tree.info(global_id, share_kind);
        let channels = owner.channels.clone();
        for channel in &channels {
            if let Some(connection) = self.connections.get_mut(channel) {
                connection.trees = connection.trees.saturating_add(1);
            }
        }
        if of_stranger {
            self.stranger_trees = self.stranger_trees.saturating_add(1);
        }
        let kind = EventKind::TreeUp {
            tree: global_id,
            session: session_global,
            share: tree.origin.share_name.clone(),
            owner: self.sessions.get(&session_global).map(|it| it.owner.clone()),
        };
        self.trees.insert(global_id, tree);
        self.events.push(now, kind);
        if of_stranger && share_kind == ShareKind::Disk {
            for channel in channels {
                self.raise_standing(channel, Standing::Guest);
            }
        }
        Ok(info)
    }

    /// The registry's view of a session's tree connect.
    pub fn tree(&self, session: SessionId, tree: TreeId) -> Option<TreeInfo<S>> {
        let id = self.tree_global(session, tree).ok()?;
        let found = self.trees.get(&id)?;
        let share = self.shares.get(&found.origin.share).filter(|share| share.id == found.origin.share_id)?;
        Some(found.info(id, share.definition.kind))
    }

    pub(crate) fn tree_global(&self, session: SessionId, tree: TreeId) -> Result<TreeGlobalId, NotFound> {
        let session = self.session_global(session)?;
        self.sessions.get(&session).and_then(|it| it.trees.get(&tree)).copied().ok_or(NotFound)
    }
}

impl<S: Shell> Tree<S> {
    fn info(&self, global_id: TreeGlobalId, kind: ShareKind) -> TreeInfo<S> {
        TreeInfo {
            tree_id: self.tree_id,
            global_id,
            share: self.origin.share_name.clone(),
            kind,
            opens: self.open_count.get(),
            attached: self.attached.clone(),
        }
    }
}
