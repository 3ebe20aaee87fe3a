//! The operations of administrators: one function for each, used by all fronts.
//!
//! An operation checks the caller's right, reads or changes the registry, applies the effects of the change,
//! and records the operation in the audit log. The pipes and the control API only translate. [`view`] offers
//! the operations with the plain data of the control API.

mod account_sids;
mod audit;
mod close;
mod closing;
mod cluster;
mod cluster_shares;
mod connections;
mod drains;
mod error;
mod events;
mod file_security;
mod files;
mod groups;
mod history;
mod holds;
pub(crate) mod idle_sessions;
mod logons;
pub(crate) mod maintenance;
mod metrics;
pub(crate) mod notices;
mod recheck;
mod rights;
mod selection;
mod server;
mod sessions;
mod settings;
mod share_changes;
mod shares;
mod users;
pub(crate) mod view;
mod walk;
mod who;

pub(crate) use account_sids::{names_of_sids, sids_of_names};
pub(crate) use close::{close_file, close_file_at_once};
pub(crate) use closing::{Announcement, announce_close, cancel_announced_close};
pub(crate) use cluster::{
    cluster, cluster_changes, drain_node, invite_node, leave_cluster, move_share, set_of_cluster,
};
pub(crate) use cluster_shares::{
    add_share_of_cluster, change_share_of_cluster, delete_share_of_cluster, has_share_of_cluster,
    is_name_of_cluster, is_of_cluster, share_elsewhere, share_of_cluster, shares_elsewhere,
    shares_of_cluster,
};
pub(crate) use connections::{connections, connections_within, share_of};
pub(crate) use drains::{DrainOrder, DrainState, begin_drain, drain_state, drains, end_drain};
pub(crate) use error::{Error, Explained};
pub(crate) use events::{EventReader, events};
pub(crate) use file_security::{file_security, set_file_security};
pub(crate) use files::{file, files, server_path};
pub(crate) use groups::{Group, GroupEdit, add_group, change_group, delete_group, group_members, groups};
pub(crate) use history::{Past, history};
pub(crate) use holds::{HoldGuard, NotHeld, holds, take_hold};
pub(crate) use logons::logons;
pub(crate) use metrics::{Metrics, MetricsReader, cluster_figures, metrics};
pub(crate) use recheck::recheck;
pub(crate) use rights::{Own, Right, Scope, check, may, may_somewhere, scope, shares_with};
pub(crate) use selection::Selection;
pub(crate) use server::{
    Counts, HistoryFigures, Measurements, counts, history_figures, measurements, refusals, statistics,
};
pub(crate) use sessions::{end_session, end_sessions, protection, session, sessions};
pub(crate) use settings::{
    ServerSettings, ServiceAction, ServiceState, SettingsEdit, change_settings, clock, control_service,
    service, settings,
};
pub(crate) use share_changes::{
    NewShare, ShareEdit, add_share, announce_deletion, announced_deletion, change_share, delete_share,
};
pub(crate) use shares::{share, shares, sticky_shares};
pub(crate) use users::{
    NewPassword, NotSet, UserEdit, add_user, change_password, change_user, delete_user, guessed,
    has_unix_account, is_administrator, prove, set_password, user, users,
};
pub(crate) use who::{Having, SharePath, Wanted, wanted, wanted_in_past, who};

// Plain data of the registry, for the fronts, which do not use the registry itself.
pub(crate) use registry::{
    FileSnapshot, SessionSnapshot, ShareDefinition, ShareKind, ShareSnapshot, StatisticsSnapshot, Time,
    TreeSnapshot,
};

pub(crate) use crate::core::admin_slots::{AdminSlot, Aside, Seat};
pub(crate) use crate::core::caller::{Caller, owns_server};

/// A count in 32 bits, as the interfaces for administrators need it.
pub(crate) fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The numbers of sessions and opens that an operation has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) sessions: usize,
    pub(crate) files: usize,
    /// The outcome of closing a single open.
    pub(crate) outcome: Option<control::Outcome>,
}
