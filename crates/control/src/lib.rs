//! The data types of the control API, shared by server and client.
//!
//! Version 1 is HTTP/1.1 with JSON bodies, served on a Unix socket ([`socket_paths`]); nothing in it depends on that
//! transport. [`route`] is the table of its routes. Lists are [`Page`]s; every refusal is an [`Error`] with the HTTP
//! status [`Error::http_status`].
//!
//! Unknown values are `null`: the client also converts MS-SRVS answers, which contain less, to [`Session`] and
//! [`OpenFile`].
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod address;
mod bound;
mod cluster;
mod error;
mod event;
mod file;
pub mod glob;
mod group;
mod history;
pub mod limits;
mod logon_hours;
mod maintenance;
mod notice;
mod page;
mod refusal;
pub mod route;
mod server;
mod session;
mod settings;
mod share;
pub mod smb;
pub mod socket_paths;
mod timestamp;
mod user;
mod who;
mod word;

pub use bound::{Bound, NotABound};
pub use cluster::{
    Cluster, ClusterChange, ClusterNode, ClusterSetting, ClusterShare, Invitation, LeaveCluster, NewMove,
    NodeDrain, RefusedKey,
};
pub use error::{Error, number};
pub use event::{Event, EventQuery};
pub use file::{Access, AccessBits, CloseFile, FileQuery, LockRange, OpenFile, permission};
pub use group::{Group, GroupChange, GroupMember, NewGroup};
pub use history::{History, HistoryEntry, HistoryName, HistoryQuery, HistoryState};
pub use logon_hours::LogonHours;
pub use maintenance::{
    AnnounceClose, AnnouncedClose, Drain, DrainPhase, DrainScope, EndDrain, Hold, HoldState, NewDrain,
    NewHold, Recheck, Rechecked, RecheckedConnection,
};
pub use notice::{Notice, NoticeEvent, NoticeState};
pub use page::{Ended, Outcome, Page};
pub use refusal::{Refusal, RefusalKind, RefusalQuery};
pub use server::ServerInfo;
pub use session::{CloseSessions, Session, SessionQuery, SessionShare};
pub use settings::{
    Clock, ConsoleState, CurrentCounts, PasswordRules, PasswordRulesChange, RequestStatistics, Sandbox,
    Service, ServiceAction, ServiceState, Settings, SettingsChange, Statistics, StatisticsQuery, TimeClass,
};
pub use share::{Connection, ConnectionQuery, Grant, GrantRight, NewShare, Share, ShareChange, ShareKind};
pub use timestamp::Timestamp;
pub use user::{Logon, NewUser, PasswordChange, User, UserChange};
pub use who::{Who, WhoQuery};
pub use word::Word;

/// The version of the JSON in every page and in every `--json` output. It changes only when a field is removed or
/// changes its meaning; readers must ignore fields that they do not know.
pub const SCHEMA: u32 = 1;

/// The media type of every body.
pub const MEDIA_TYPE: &str = "application/json";
