//! Bytes to types and back for SMB2/3, FSCC and NTSTATUS: pure, no state, no I/O, no clock.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

pub mod apple;
pub mod create_context;
pub mod cursor;
pub mod frame;
pub mod fscc;
pub mod header;
pub mod ids;
pub mod ioctl;
pub mod layout;
pub mod limits;
pub mod masks;
pub mod msg;
pub mod names;
pub mod posix;
pub mod private_use;
pub mod security;
pub mod smb1;
pub mod status;
pub mod time;
pub mod utf16;
pub mod win32;

pub use cursor::{DecodeError, Put, ReadCursor};
pub use header::{Command, Header, HeaderFlags, PacketKind, TransformHeader, TreeOrAsync};
pub use ids::{
    AsyncId, FileGlobalId, FileId, Guid, MessageId, SessionGlobalId, SessionId, TreeGlobalId, TreeId,
};
pub use masks::{AccessMask, Dialect, FileAttributes, LeaseState, OplockLevel, ShareAccess};
pub use names::{Account, AccountName, FoldedName, ShareName, eq_ignore_case};
pub use status::NtStatus;
pub use time::FileTime;
pub use utf16::{Utf16, encode_utf16le, utf16le};
pub use win32::Win32Error;
