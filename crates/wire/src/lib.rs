//! Bytes to types and back for SMB2/3, FSCC and NTSTATUS: pure, no state, no I/O, no clock.
#![forbid(unsafe_code)]

pub mod ids;
pub mod masks;
pub mod time;

pub use ids::{AsyncId, FileGlobalId, FileId, Guid, MessageId, SessionGlobalId, SessionId, TreeGlobalId, TreeId};
pub use masks::{AccessMask, Dialect, FileAttributes, LeaseState, OplockLevel, ShareAccess};
pub use time::FileTime;
