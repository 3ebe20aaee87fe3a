//! The POSIX extensions of SMB 3.1.1 ("SMB3 UNIX extensions"), as the Samba team specifies them: POSIX-SMB2 extends
//! MS-SMB2, POSIX-FSCC extends MS-FSCC.

use crate::cursor::{DecodeError, Put, ReadCursor};
use crate::fscc::Fit;
use crate::layout::{FixedLayout, fixed_layout};
use crate::masks::FileAttributes;
use crate::security::Sid;
use crate::time::FileTime;

/// The version of the extensions that there is: a GUID in the negotiate context, and the name of the create context.
pub const POSIX_VERSION: [u8; 16] = *b"\x93\xad\x25\x50\x9c\xb4\x11\xe7\xb4\x23\x83\xde\x96\x8b\xcd\x7c";

/// True if the negotiate context's data contain [`POSIX_VERSION`] (POSIX-SMB2 2.2.3.1.8: a list of versions).
pub fn offers_posix(versions: &[u8]) -> bool {
    versions.as_chunks().0.contains(&POSIX_VERSION)
}

/// The kind of a file in a mode on the wire (POSIX-FSCC 2.1.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PosixKind {
    /// A regular file.
    #[default]
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, a FIFO, a socket, or a kind that is not known.
    Other(u32),
}

/// A mode on the wire (POSIX-FSCC 2.1.1): the lowest twelve bits are those of POSIX, and the kind follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosixMode(pub u32);

impl PosixMode {
    /// A mode of these permissions: the lowest twelve bits count.
    pub const fn new(kind: PosixKind, permissions: u32) -> Self {
        let kind = match kind {
            PosixKind::File => 0,
            PosixKind::Directory => 1,
            PosixKind::Symlink => 2,
            PosixKind::Other(kind) => kind,
        };
        Self((kind << KIND_SHIFT) | (permissions & PERMISSIONS))
    }

    /// The permissions with the set-id bits and the sticky bit.
    pub const fn permissions(self) -> u32 {
        self.0 & PERMISSIONS
    }

    /// The kind.
    pub const fn kind(self) -> PosixKind {
        match self.0 >> KIND_SHIFT {
            0 => PosixKind::File,
            1 => PosixKind::Directory,
            2 => PosixKind::Symlink,
            kind => PosixKind::Other(kind),
        }
    }
}

const KIND_SHIFT: u32 = 12;
const PERMISSIONS: u32 = 0o7777;

/// The POSIX attributes of a file: the answer to the create context (POSIX-SMB2 2.2.14.2.16), and the end of
/// FilePosixInformation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosixAttributes {
    /// NumberOfLinks.
    pub links: u32,
    /// ReparseTag; 0 for none.
    pub reparse_tag: u32,
    /// PosixMode.
    pub mode: PosixMode,
    /// OwnerSid.
    pub owner: Sid,
    /// GroupSid.
    pub group: Sid,
}

impl PosixAttributes {
    /// The size on the wire in bytes.
    pub fn size(&self) -> usize {
        self.owner.size().saturating_add(self.group.size()).saturating_add(12)
    }

    /// Reads the attributes; the cursor moves behind them.
    pub fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            links: cursor.u32()?,
            reparse_tag: cursor.u32()?,
            mode: PosixMode(cursor.u32()?),
            owner: Sid::read(cursor)?,
            group: Sid::read(cursor)?,
        })
    }

    /// Appends the attributes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.links);
        out.put_u32(self.reparse_tag);
        out.put_u32(self.mode.0);
        self.owner.encode(out);
        self.group.encode(out);
    }
}

/// FilePosixInformation of one file (POSIX-FSCC 2.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosixInfo {
    /// CreationTime.
    pub created: FileTime,
    /// LastAccessTime.
    pub accessed: FileTime,
    /// LastWriteTime.
    pub modified: FileTime,
    /// ChangeTime.
    pub changed: FileTime,
    /// EndOfFile.
    pub size: u64,
    /// AllocationSize.
    pub allocation_size: u64,
    /// FileAttributes.
    pub attributes: FileAttributes,
    /// Inode.
    pub file_id: u64,
    /// DeviceId.
    pub device: u32,
    /// The attributes that POSIX adds.
    pub posix: PosixAttributes,
}

impl PosixInfo {
    /// The most bytes that one takes.
    pub const SIZE_MAX: usize = Self::PLAIN_SIZE + 12 + 2 * Sid::SIZE_MAX;

    /// Bytes before the POSIX attributes.
    pub(crate) const PLAIN_SIZE: usize = 68;

    /// The size on the wire in bytes.
    pub fn size(&self) -> usize {
        Self::PLAIN_SIZE.saturating_add(self.posix.size())
    }

    /// Reads the information; the cursor moves behind it.
    pub fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        let mut info = Self {
            created: FileTime::read(cursor)?,
            accessed: FileTime::read(cursor)?,
            modified: FileTime::read(cursor)?,
            changed: FileTime::read(cursor)?,
            size: cursor.u64()?,
            allocation_size: cursor.u64()?,
            attributes: FileAttributes(cursor.u32()?),
            file_id: cursor.u64()?,
            device: cursor.u32()?,
            posix: PosixAttributes::default(),
        };
        cursor.skip(4)?;
        info.posix = PosixAttributes::read(cursor)?;
        Ok(info)
    }

    /// Appends the information.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for time in [self.created, self.accessed, self.modified, self.changed] {
            out.put_time(time);
        }
        out.put_u64(self.size);
        out.put_u64(self.allocation_size);
        out.put_u32(self.attributes.0);
        out.put_u64(self.file_id);
        out.put_u32(self.device);
        out.put_u32(0);
        self.posix.encode(out);
    }

    /// Appends the information, if `max` bytes can hold it.
    pub fn encode_within(&self, out: &mut Vec<u8>, max: usize) -> Fit {
        if max < self.size() {
            return Fit::TooSmall;
        }
        self.encode(out);
        Fit::Whole
    }
}

fixed_layout! {
    /// FileFsPosixInformation (POSIX-FSCC 2.5.1). Fields that a server does not know are all ones.
    FsPosixInfo {
        /// OptimalTransferSize in bytes.
        optimal_transfer_size: u32;
        /// BlockSize in bytes.
        block_size: u32;
        /// TotalBlocks.
        total_blocks: u64;
        /// BlocksAvailable, to anybody.
        free_blocks: u64;
        /// UserBlocksAvailable, to an ordinary user.
        available_blocks: u64;
        /// TotalFileNodes.
        total_file_nodes: u64;
        /// FreeFileNodes.
        free_file_nodes: u64;
        /// FileSystemIdentifier.
        file_system_id: u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attributes() -> PosixAttributes {
        PosixAttributes {
            links: 2,
            reparse_tag: 0xa000_000c,
            mode: PosixMode::new(PosixKind::Symlink, 0o4750),
            owner: Sid::unix_user(1000),
            group: Sid::of_domain([1, 2, 3], 513),
        }
    }

    #[test]
    fn file_information_has_the_layout_of_the_specification() {
        let info = PosixInfo {
            created: FileTime(1),
            changed: FileTime(4),
            size: 5,
            allocation_size: 6,
            attributes: FileAttributes::ARCHIVE,
            file_id: 0x0102_0304_0506_0708,
            device: 9,
            posix: attributes(),
            ..PosixInfo::default()
        };
        let mut out = Vec::new();
        assert_eq!(info.encode_within(&mut out, info.size() - 1), Fit::TooSmall);
        assert_eq!(info.encode_within(&mut out, info.size()), Fit::Whole);
        assert_eq!(out.len(), 80 + 16 + 28);
        assert_eq!(out.get(52..60), Some(&info.file_id.to_le_bytes()[..]));
        assert_eq!(out.get(68..80), Some(&[2, 0, 0, 0, 12, 0, 0, 0xa0, 0xe8, 0x29, 0, 0][..]));
        // S-1-22-1-1000.
        assert_eq!(out.get(80..96), Some(&[1, 2, 0, 0, 0, 0, 0, 22, 1, 0, 0, 0, 0xe8, 3, 0, 0][..]));
        assert_eq!(PosixInfo::read(&mut ReadCursor::new(&out)), Ok(info));
        assert!((0..out.len()).all(|end| PosixInfo::read(&mut ReadCursor::new(&out[..end])).is_err()));
        assert!(out.len() <= PosixInfo::SIZE_MAX);
        assert_eq!(FsPosixInfo::SIZE, 56);
    }

    #[test]
    fn modes_carry_the_kind_behind_the_permissions() {
        for (kind, bits) in [
            (PosixKind::File, 0),
            (PosixKind::Directory, 0o1_0000),
            (PosixKind::Symlink, 0o2_0000),
            (PosixKind::Other(6), 0o6_0000),
        ] {
            let mode = PosixMode::new(kind, 0o1777 | 0o10_0000);
            assert_eq!((mode.0, mode.kind(), mode.permissions()), (bits | 0o1777, kind, 0o1777));
        }
    }

    #[test]
    fn the_version_is_found_in_a_list_of_versions() {
        assert!(offers_posix(&POSIX_VERSION) && offers_posix(&[[0; 16], POSIX_VERSION].concat()));
        for other in [&POSIX_VERSION[..15], &[], &[[1; 8].as_slice(), &POSIX_VERSION].concat()] {
            assert!(!offers_posix(other));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(info) = PosixInfo::read(&mut ReadCursor::new(&data)) {
                let mut out = Vec::new();
                info.encode(&mut out);
                prop_assert_eq!(PosixInfo::read(&mut ReadCursor::new(&out)), Ok(info));
            }
        }
    }
}
