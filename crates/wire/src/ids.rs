//! The identifiers of MS-SMB2 3.3.1 and MS-SRVS 3.1.1 as types of their own, so that no bare
//! integer crosses a function boundary.

use core::fmt;
use core::num::NonZeroU32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// `MessageId` of the SMB2 header (MS-SMB2 2.2.1): unique within one connection.
    MessageId(u64)
}
id! {
    /// `AsyncId` of the SMB2 header (MS-SMB2 2.2.1.1): unique within one connection.
    AsyncId(u64)
}
id! {
    /// `Session.SessionId` (MS-SMB2 3.3.1.8): unique within the server, never zero once issued.
    SessionId(u64)
}
id! {
    /// `TreeConnect.TreeId` (MS-SMB2 3.3.1.9): unique within one session.
    TreeId(u32)
}

/// `SMB2_FILEID` (MS-SMB2 2.2.14.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// `Open.DurableFileId`: survives a reconnect.
    pub persistent: u64,
    /// `Open.FileId`, the key of requests.
    pub volatile: u64,
}

impl FileId {
    /// The id that names "the file of the previous request" in a related compound (MS-SMB2 3.2.4.1.4).
    pub const RELATED: Self = Self { persistent: u64::MAX, volatile: u64::MAX };
}

macro_rules! global_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub NonZeroU32);

        impl $name {
            /// The least id there can be.
            pub const MIN: Self = Self(NonZeroU32::MIN);
            /// The greatest id there can be.
            pub const MAX: Self = Self(NonZeroU32::MAX);

            /// The id with this value; `None` for zero, which is never issued.
            pub const fn new(value: u32) -> Option<Self> {
                match NonZeroU32::new(value) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The value on the wire.
            pub const fn value(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

global_id! {
    /// `Session.SessionGlobalId` (MS-SMB2 3.3.1.8): the administrator's name of a session.
    SessionGlobalId
}
global_id! {
    /// `TreeConnect.TreeGlobalId` (MS-SMB2 3.3.1.9), `coni_id` of MS-SRVS 2.2.4.2.
    TreeGlobalId
}
global_id! {
    /// `Open.FileGlobalId` (MS-SMB2 3.3.1.10): `fi3_id` of MS-SRVS 2.2.4.7, the id `net file` shows.
    FileGlobalId
}

/// A 128-bit identifier in the byte order of the wire (MS-DTYP 2.3.4): client GUIDs, lease keys,
/// create GUIDs.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, d @ ..] = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:02x}{:02x}-",
            u32::from_le_bytes([a0, a1, a2, a3]),
            u16::from_le_bytes([b0, b1]),
            u16::from_le_bytes([c0, c1]),
            d[0],
            d[1],
        )?;
        d[2..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
