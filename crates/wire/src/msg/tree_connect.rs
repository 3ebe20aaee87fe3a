//! SMB2 TREE_CONNECT (MS-SMB2 2.2.9, 2.2.10).

use super::{end16, fixed, size, variable};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};
use crate::header::Header;
use crate::masks::AccessMask;
use crate::utf16::Utf16;
use crate::{bit_mask, wire_enum};

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.9).
    TreeConnectFlags(u16) {
        /// SMB2_TREE_CONNECT_FLAG_CLUSTER_RECONNECT.
        CLUSTER_RECONNECT = 1,
        /// SMB2_TREE_CONNECT_FLAG_REDIRECT_TO_OWNER.
        REDIRECT_TO_OWNER = 2,
        /// SMB2_TREE_CONNECT_FLAG_EXTENSION_PRESENT.
        EXTENSION_PRESENT = 4,
    }
}

wire_enum! {
    /// `ShareType` (MS-SMB2 2.2.10).
    ShareType(u8) {
        /// SMB2_SHARE_TYPE_DISK.
        DISK = 1,
        /// SMB2_SHARE_TYPE_PIPE.
        PIPE = 2,
        /// SMB2_SHARE_TYPE_PRINT.
        PRINT = 3,
    }
}

bit_mask! {
    /// `ShareFlags` (MS-SMB2 2.2.10). The caching policy is in the two bits 0x30; zero means manual caching.
    ShareFlags(u32) {
        /// SMB2_SHAREFLAG_DFS.
        DFS = 0x0000_0001,
        /// SMB2_SHAREFLAG_DFS_ROOT.
        DFS_ROOT = 0x0000_0002,
        /// SMB2_SHAREFLAG_AUTO_CACHING.
        AUTO_CACHING = 0x0000_0010,
        /// SMB2_SHAREFLAG_VDO_CACHING.
        VDO_CACHING = 0x0000_0020,
        /// SMB2_SHAREFLAG_NO_CACHING, and the mask of the caching policy.
        NO_CACHING = 0x0000_0030,
        /// SMB2_SHAREFLAG_RESTRICT_EXCLUSIVE_OPENS.
        RESTRICT_EXCLUSIVE_OPENS = 0x0000_0100,
        /// SMB2_SHAREFLAG_FORCE_SHARED_DELETE.
        FORCE_SHARED_DELETE = 0x0000_0200,
        /// SMB2_SHAREFLAG_ALLOW_NAMESPACE_CACHING.
        ALLOW_NAMESPACE_CACHING = 0x0000_0400,
        /// SMB2_SHAREFLAG_ACCESS_BASED_DIRECTORY_ENUM.
        ACCESS_BASED_DIRECTORY_ENUM = 0x0000_0800,
        /// SMB2_SHAREFLAG_FORCE_LEVELII_OPLOCK.
        FORCE_LEVELII_OPLOCK = 0x0000_1000,
        /// SMB2_SHAREFLAG_ENABLE_HASH_V1.
        ENABLE_HASH_V1 = 0x0000_2000,
        /// SMB2_SHAREFLAG_ENABLE_HASH_V2.
        ENABLE_HASH_V2 = 0x0000_4000,
        /// SMB2_SHAREFLAG_ENCRYPT_DATA.
        ENCRYPT_DATA = 0x0000_8000,
        /// SMB2_SHAREFLAG_IDENTITY_REMOTING.
        IDENTITY_REMOTING = 0x0004_0000,
        /// SMB2_SHAREFLAG_COMPRESS_DATA.
        COMPRESS_DATA = 0x0010_0000,
        /// SMB2_SHAREFLAG_ISOLATED_TRANSPORT.
        ISOLATED_TRANSPORT = 0x0020_0000,
    }
}

bit_mask! {
    /// `Capabilities` (MS-SMB2 2.2.10).
    ShareCapabilities(u32) {
        /// SMB2_SHARE_CAP_DFS.
        DFS = 0x0000_0008,
        /// SMB2_SHARE_CAP_CONTINUOUS_AVAILABILITY.
        CONTINUOUS_AVAILABILITY = 0x0000_0010,
        /// SMB2_SHARE_CAP_SCALEOUT.
        SCALEOUT = 0x0000_0020,
        /// SMB2_SHARE_CAP_CLUSTER.
        CLUSTER = 0x0000_0040,
        /// SMB2_SHARE_CAP_ASYMMETRIC.
        ASYMMETRIC = 0x0000_0080,
        /// SMB2_SHARE_CAP_REDIRECT_TO_OWNER.
        REDIRECT_TO_OWNER = 0x0000_0100,
    }
}

/// SMB2 TREE_CONNECT Request (MS-SMB2 2.2.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeConnectRequest<'a> {
    /// `Flags`; encoding sets or clears EXTENSION_PRESENT as `extension` demands.
    pub flags: TreeConnectFlags,
    /// `PathName`: `\\server\share`.
    pub path: Utf16<'a>,
    /// The request extension of 3.1.1, if present.
    pub extension: Option<TreeConnectExtension<'a>>,
}

/// `SMB2 TREE_CONNECT_REQUEST_EXTENSION` (MS-SMB2 2.2.9.1), its contexts as raw bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeConnectExtension<'a> {
    /// `TreeConnectContextCount`.
    pub context_count: u16,
    /// `TreeConnectContexts`: from the first one to the end of the message.
    pub contexts: &'a [u8],
}

impl<'a> TreeConnectRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        let flags = TreeConnectFlags(cursor.u16()?);
        let offset = cursor.u16()?;
        let length = cursor.u16()?;
        let (occupied, extension) = if flags.contains(TreeConnectFlags::EXTENSION_PRESENT) {
            (REQUEST_FIXED.saturating_add(EXTENSION_FIXED), Some(TreeConnectExtension::decode(message)?))
        } else {
            (REQUEST_FIXED, None)
        };
        let path = Utf16::new(variable(message, occupied, offset.into(), length.into())?)?;
        Ok(Self { flags, path, extension })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        let flags = self.flags.without(TreeConnectFlags::EXTENSION_PRESENT);
        out.put_u16(REQUEST_SIZE);
        out.put_u16(if self.extension.is_some() {
            flags.union(TreeConnectFlags::EXTENSION_PRESENT).0
        } else {
            flags.0
        });
        let path_offset_at = out.len();
        out.put_u16(0);
        out.put_u16(wire_u16(self.path.as_bytes().len()));
        let extension_at = out.len();
        if let Some(extension) = self.extension {
            out.put_u32(0);
            out.put_u16(extension.context_count);
            out.put_zeros(10);
        }
        let path_offset = end16(out, base);
        out.patch_u16(path_offset_at, path_offset);
        out.put_bytes(self.path.as_bytes());
        if let Some(extension) = self.extension {
            out.pad_to(base, 8);
            let offset = end16(out, base);
            out.patch_u32(extension_at, offset.into());
            out.put_bytes(extension.contexts);
        }
    }
}

impl<'a> TreeConnectExtension<'a> {
    fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let at = Header::SIZE.saturating_add(REQUEST_FIXED);
        let mut cursor = ReadCursor::new(message.get(at..).ok_or(DecodeError::Truncated)?);
        let offset = size(cursor.u32()?)?;
        let context_count = cursor.u16()?;
        cursor.skip(10)?;
        let contexts = if context_count == 0 {
            &[]
        } else {
            message.get(offset..).ok_or(DecodeError::OffsetOutOfRange)?
        };
        Ok(Self { context_count, contexts })
    }
}

/// SMB2 TREE_CONNECT Response (MS-SMB2 2.2.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeConnectResponse {
    /// `ShareType`.
    pub share_type: ShareType,
    /// `ShareFlags`.
    pub share_flags: ShareFlags,
    /// `Capabilities`.
    pub capabilities: ShareCapabilities,
    /// `MaximalAccess`.
    pub maximal_access: AccessMask,
}

impl TreeConnectResponse {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<16>(message, RESPONSE_SIZE)?;
        let share_type = ShareType(cursor.u8()?);
        cursor.skip(1)?;
        let share_flags = ShareFlags(cursor.u32()?);
        let capabilities = ShareCapabilities(cursor.u32()?);
        let maximal_access = AccessMask(cursor.u32()?);
        Ok(Self { share_type, share_flags, capabilities, maximal_access })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(RESPONSE_SIZE);
        out.put_u8(self.share_type.0);
        out.put_u8(0);
        out.put_u32(self.share_flags.0);
        out.put_u32(self.capabilities.0);
        out.put_u32(self.maximal_access.0);
    }
}

const REQUEST_SIZE: u16 = 9;
const REQUEST_FIXED: usize = 8;
const EXTENSION_FIXED: usize = 16;
const RESPONSE_SIZE: u16 = 16;
