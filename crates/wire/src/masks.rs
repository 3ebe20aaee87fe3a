//! Bit masks and small enumerations that the protocol and the registry share.

/// Declares a bit mask over a wire integer; unknown bits survive and `Debug` names the known ones.
#[macro_export]
macro_rules! bit_mask {
    ($(#[$doc:meta])* $name:ident($inner:ty) { $($(#[$bit_doc:meta])* $bit:ident = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        #[allow(non_upper_case_globals, reason = "names are the specification's")]
        impl $name {
            $($(#[$bit_doc])* pub const $bit: Self = Self($value);)*

            /// No bit at all.
            pub const NONE: Self = Self(0);

            /// True if every bit of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// True if any bit of `other` is set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// True if no bit is set.
            pub const fn is_none(self) -> bool {
                self.0 == 0
            }

            /// The bits of both masks.
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits of this mask that are not in `other`.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl ::core::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self { Self(self.0 | other.0) }
        }
        impl ::core::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) { self.0 |= other.0; }
        }
        impl ::core::ops::BitAnd for $name {
            type Output = Self;
            fn bitand(self, other: Self) -> Self { Self(self.0 & other.0) }
        }
        impl ::core::ops::Not for $name {
            type Output = Self;
            fn not(self) -> Self { Self(!self.0) }
        }
        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x}"), self.0)?;
                $(if Self::$bit.0 != 0 && self.contains(Self::$bit) { write!(f, " {}", stringify!($bit))?; })*
                write!(f, ")")
            }
        }
    };
}

/// Declares a wire enumeration as a struct over its integer, so that unknown values survive
/// parsing and are refused by policy; `Debug` names the known ones.
#[macro_export]
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident($inner:ty) { $($(#[$value_doc:meta])* $variant:ident = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            $($(#[$value_doc])* pub const $variant: Self = Self($value);)*

            /// The name of a known value.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($variant)),)*
                    _ => None,
                }
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({:#x})"), self.0),
                }
            }
        }
    };
}

bit_mask! {
    /// An `ACCESS_MASK` (MS-SMB2 2.2.13.1; MS-DTYP 2.4.3).
    AccessMask(u32) {
        /// FILE_READ_DATA, FILE_LIST_DIRECTORY.
        READ_DATA = 0x0000_0001,
        /// FILE_WRITE_DATA, FILE_ADD_FILE.
        WRITE_DATA = 0x0000_0002,
        /// FILE_APPEND_DATA, FILE_ADD_SUBDIRECTORY.
        APPEND_DATA = 0x0000_0004,
        /// FILE_READ_EA.
        READ_EA = 0x0000_0008,
        /// FILE_WRITE_EA.
        WRITE_EA = 0x0000_0010,
        /// FILE_EXECUTE, FILE_TRAVERSE.
        EXECUTE = 0x0000_0020,
        /// FILE_DELETE_CHILD.
        DELETE_CHILD = 0x0000_0040,
        /// FILE_READ_ATTRIBUTES.
        READ_ATTRIBUTES = 0x0000_0080,
        /// FILE_WRITE_ATTRIBUTES.
        WRITE_ATTRIBUTES = 0x0000_0100,
        /// DELETE.
        DELETE = 0x0001_0000,
        /// READ_CONTROL.
        READ_CONTROL = 0x0002_0000,
        /// WRITE_DAC.
        WRITE_DAC = 0x0004_0000,
        /// WRITE_OWNER.
        WRITE_OWNER = 0x0008_0000,
        /// SYNCHRONIZE.
        SYNCHRONIZE = 0x0010_0000,
        /// ACCESS_SYSTEM_SECURITY.
        ACCESS_SYSTEM_SECURITY = 0x0100_0000,
        /// MAXIMUM_ALLOWED.
        MAXIMUM_ALLOWED = 0x0200_0000,
        /// GENERIC_ALL.
        GENERIC_ALL = 0x1000_0000,
        /// GENERIC_EXECUTE.
        GENERIC_EXECUTE = 0x2000_0000,
        /// GENERIC_WRITE.
        GENERIC_WRITE = 0x4000_0000,
        /// GENERIC_READ.
        GENERIC_READ = 0x8000_0000,
        /// FILE_ALL_ACCESS, the meaning of GENERIC_ALL for a file.
        FILE_ALL = 0x001f_01ff,
        /// FILE_GENERIC_READ.
        FILE_GENERIC_READ = 0x0012_0089,
        /// FILE_GENERIC_WRITE.
        FILE_GENERIC_WRITE = 0x0012_0116,
        /// FILE_GENERIC_EXECUTE.
        FILE_GENERIC_EXECUTE = 0x0012_00a0,
    }
}

bit_mask! {
    /// `ShareAccess` of CREATE (MS-SMB2 2.2.13).
    ShareAccess(u32) {
        /// FILE_SHARE_READ.
        READ = 1,
        /// FILE_SHARE_WRITE.
        WRITE = 2,
        /// FILE_SHARE_DELETE.
        DELETE = 4,
    }
}

bit_mask! {
    /// `LeaseState` (MS-SMB2 2.2.13.2.8).
    LeaseState(u32) {
        /// SMB2_LEASE_READ_CACHING.
        READ = 1,
        /// SMB2_LEASE_HANDLE_CACHING.
        HANDLE = 2,
        /// SMB2_LEASE_WRITE_CACHING.
        WRITE = 4,
    }
}

wire_enum! {
    /// `OplockLevel` (MS-SMB2 2.2.13, 2.2.14).
    OplockLevel(u8) {
        /// SMB2_OPLOCK_LEVEL_NONE.
        NONE = 0x00,
        /// SMB2_OPLOCK_LEVEL_II.
        LEVEL_II = 0x01,
        /// SMB2_OPLOCK_LEVEL_EXCLUSIVE.
        EXCLUSIVE = 0x08,
        /// SMB2_OPLOCK_LEVEL_BATCH.
        BATCH = 0x09,
        /// SMB2_OPLOCK_LEVEL_LEASE.
        LEASE = 0xff,
    }
}

wire_enum! {
    /// `DialectRevision` (MS-SMB2 2.2.4).
    Dialect(u16) {
        /// SMB 2.0.2.
        SMB202 = 0x0202,
        /// SMB 2.1.
        SMB210 = 0x0210,
        /// The wildcard in the answer to an SMB1 multi-protocol negotiate.
        WILDCARD = 0x02ff,
        /// SMB 3.0.
        SMB300 = 0x0300,
        /// SMB 3.0.2.
        SMB302 = 0x0302,
        /// SMB 3.1.1.
        SMB311 = 0x0311,
    }
}

bit_mask! {
    /// `FileAttributes` (MS-FSCC 2.6).
    FileAttributes(u32) {
        /// FILE_ATTRIBUTE_READONLY.
        READONLY = 0x0000_0001,
        /// FILE_ATTRIBUTE_HIDDEN.
        HIDDEN = 0x0000_0002,
        /// FILE_ATTRIBUTE_SYSTEM.
        SYSTEM = 0x0000_0004,
        /// FILE_ATTRIBUTE_DIRECTORY.
        DIRECTORY = 0x0000_0010,
        /// FILE_ATTRIBUTE_ARCHIVE.
        ARCHIVE = 0x0000_0020,
        /// FILE_ATTRIBUTE_NORMAL: alone, "no other attribute".
        NORMAL = 0x0000_0080,
        /// FILE_ATTRIBUTE_TEMPORARY.
        TEMPORARY = 0x0000_0100,
        /// FILE_ATTRIBUTE_SPARSE_FILE.
        SPARSE_FILE = 0x0000_0200,
        /// FILE_ATTRIBUTE_REPARSE_POINT.
        REPARSE_POINT = 0x0000_0400,
        /// FILE_ATTRIBUTE_COMPRESSED.
        COMPRESSED = 0x0000_0800,
        /// FILE_ATTRIBUTE_OFFLINE.
        OFFLINE = 0x0000_1000,
        /// FILE_ATTRIBUTE_NOT_CONTENT_INDEXED.
        NOT_CONTENT_INDEXED = 0x0000_2000,
        /// FILE_ATTRIBUTE_ENCRYPTED.
        ENCRYPTED = 0x0000_4000,
        /// FILE_ATTRIBUTE_INTEGRITY_STREAM.
        INTEGRITY_STREAM = 0x0000_8000,
    }
}
