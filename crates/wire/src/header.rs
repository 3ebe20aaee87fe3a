//! The beginning of messages: the SMB2 header (MS-SMB2 2.2.1), the transform headers of encrypted (2.2.41) and
//! compressed (2.2.42) messages, and the messages of a compound.

use core::ops::Range;

use crate::cursor::{DecodeError, ReadCursor};
use crate::ids::{AsyncId, MessageId, SessionId, TreeId};
use crate::limits::COMPOUND_MAX;
use crate::status::NtStatus;
use crate::{bit_mask, wire_enum};

/// The kind of a message, by its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// `FF 'S' 'M' 'B'`: only its NEGOTIATE is known here (see [`crate::smb1`]).
    Smb1,
    /// `FE 'S' 'M' 'B'`: an [`Header`] follows.
    Smb2,
    /// `FD 'S' 'M' 'B'`: a [`TransformHeader`] follows.
    Encrypted,
    /// `FC 'S' 'M' 'B'`: a [`CompressionHeader`] follows.
    Compressed,
}

impl PacketKind {
    /// The kind of the message.
    #[inline]
    pub fn of(message: &[u8]) -> Result<Self, DecodeError> {
        match message.first_chunk::<4>() {
            Some([0xff, b'S', b'M', b'B']) => Ok(Self::Smb1),
            Some(&Header::PROTOCOL_ID) => Ok(Self::Smb2),
            Some(&TransformHeader::PROTOCOL_ID) => Ok(Self::Encrypted),
            Some(&CompressionHeader::PROTOCOL_ID) => Ok(Self::Compressed),
            Some(_) => Err(DecodeError::ProtocolId),
            None => Err(DecodeError::Truncated),
        }
    }
}

wire_enum! {
    /// `Command` (MS-SMB2 2.2.1.1).
    Command(u16) {
        /// SMB2 NEGOTIATE.
        NEGOTIATE = 0x0000,
        /// SMB2 SESSION_SETUP.
        SESSION_SETUP = 0x0001,
        /// SMB2 LOGOFF.
        LOGOFF = 0x0002,
        /// SMB2 TREE_CONNECT.
        TREE_CONNECT = 0x0003,
        /// SMB2 TREE_DISCONNECT.
        TREE_DISCONNECT = 0x0004,
        /// SMB2 CREATE.
        CREATE = 0x0005,
        /// SMB2 CLOSE.
        CLOSE = 0x0006,
        /// SMB2 FLUSH.
        FLUSH = 0x0007,
        /// SMB2 READ.
        READ = 0x0008,
        /// SMB2 WRITE.
        WRITE = 0x0009,
        /// SMB2 LOCK.
        LOCK = 0x000a,
        /// SMB2 IOCTL.
        IOCTL = 0x000b,
        /// SMB2 CANCEL.
        CANCEL = 0x000c,
        /// SMB2 ECHO.
        ECHO = 0x000d,
        /// SMB2 QUERY_DIRECTORY.
        QUERY_DIRECTORY = 0x000e,
        /// SMB2 CHANGE_NOTIFY.
        CHANGE_NOTIFY = 0x000f,
        /// SMB2 QUERY_INFO.
        QUERY_INFO = 0x0010,
        /// SMB2 SET_INFO.
        SET_INFO = 0x0011,
        /// SMB2 OPLOCK_BREAK, for oplocks and leases.
        OPLOCK_BREAK = 0x0012,
        /// SMB2 SERVER_TO_CLIENT_NOTIFICATION.
        SERVER_TO_CLIENT_NOTIFICATION = 0x0013,
    }
}

bit_mask! {
    /// `Flags` of the SMB2 header (MS-SMB2 2.2.1.1).
    HeaderFlags(u32) {
        /// SMB2_FLAGS_SERVER_TO_REDIR: a response.
        SERVER_TO_REDIR = 0x0000_0001,
        /// SMB2_FLAGS_ASYNC_COMMAND: the header holds an `AsyncId`.
        ASYNC_COMMAND = 0x0000_0002,
        /// SMB2_FLAGS_RELATED_OPERATIONS.
        RELATED_OPERATIONS = 0x0000_0004,
        /// SMB2_FLAGS_SIGNED.
        SIGNED = 0x0000_0008,
        /// SMB2_FLAGS_PRIORITY_MASK.
        PRIORITY_MASK = 0x0000_0070,
        /// SMB2_FLAGS_DFS_OPERATIONS.
        DFS_OPERATIONS = 0x1000_0000,
        /// SMB2_FLAGS_REPLAY_OPERATION.
        REPLAY_OPERATION = 0x2000_0000,
    }
}

/// The eight bytes of the header that mean one thing in a synchronous message and another in an
/// asynchronous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TreeOrAsync {
    /// MS-SMB2 2.2.1.2: the reserved field (a process id in practice) and the tree connect.
    Tree {
        /// `Reserved`; clients put a process id here, servers give it back.
        process_id: u32,
        /// `TreeId`.
        tree_id: TreeId,
    },
    /// MS-SMB2 2.2.1.1.
    Async(AsyncId),
}

impl Default for TreeOrAsync {
    fn default() -> Self {
        Self::Tree { process_id: 0, tree_id: TreeId(0) }
    }
}

/// The SMB2 header (MS-SMB2 2.2.1), synchronous or asynchronous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `CreditCharge`.
    pub credit_charge: u16,
    /// `Status`; in a request the same bytes are [`Header::channel_sequence`].
    pub status: NtStatus,
    /// `Command`.
    pub command: Command,
    /// `CreditRequest` or `CreditResponse`.
    pub credits: u16,
    /// `Flags`; encoding sets or clears ASYNC_COMMAND as `tree` demands.
    pub flags: HeaderFlags,
    /// `NextCommand`: the offset of the compound's next message from the start of this one.
    pub next_command: u32,
    /// `MessageId`.
    pub message_id: MessageId,
    /// `TreeId` or `AsyncId`.
    pub tree: TreeOrAsync,
    /// `SessionId`.
    pub session_id: SessionId,
    /// `Signature`.
    pub signature: [u8; 16],
}

impl Header {
    /// The length of the header.
    pub const SIZE: usize = 64;

    /// The `ProtocolId` of the SMB2 header.
    pub const PROTOCOL_ID: [u8; 4] = [0xfe, b'S', b'M', b'B'];

    /// The offset of `CreditResponse` in the header.
    pub const CREDITS_OFFSET: usize = 14;

    /// The offset of `Flags` in the header.
    pub const FLAGS_OFFSET: usize = 16;

    /// The offset of `NextCommand` in the header.
    pub const NEXT_COMMAND_OFFSET: usize = 20;

    /// The position of `Signature` in the header.
    pub const SIGNATURE: Range<usize> = 48..64;

    /// Reads the header a message starts with; the command is not judged.
    #[inline]
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let bytes = message.first_chunk::<{ Self::SIZE }>().ok_or(DecodeError::Truncated)?;
        let mut cursor = ReadCursor::new(bytes);
        if cursor.array()? != Self::PROTOCOL_ID {
            return Err(DecodeError::ProtocolId);
        }
        if cursor.u16()? != STRUCTURE_SIZE {
            return Err(DecodeError::StructureSize);
        }
        let credit_charge = cursor.u16()?;
        let status = NtStatus(cursor.u32()?);
        let command = Command(cursor.u16()?);
        let credits = cursor.u16()?;
        let flags = HeaderFlags(cursor.u32()?);
        let next_command = cursor.u32()?;
        let message_id = MessageId(cursor.u64()?);
        let tree = if flags.contains(HeaderFlags::ASYNC_COMMAND) {
            TreeOrAsync::Async(AsyncId(cursor.u64()?))
        } else {
            TreeOrAsync::Tree { process_id: cursor.u32()?, tree_id: TreeId(cursor.u32()?) }
        };
        let session_id = SessionId(cursor.u64()?);
        let signature = cursor.array()?;
        Ok(Self {
            credit_charge,
            status,
            command,
            credits,
            flags,
            next_command,
            message_id,
            tree,
            session_id,
            signature,
        })
    }

    /// The header as bytes.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let (flags, tree) = match self.tree {
            TreeOrAsync::Tree { process_id, tree_id } => (
                self.flags.without(HeaderFlags::ASYNC_COMMAND),
                u64::from(process_id) | u64::from(tree_id.0) << 32,
            ),
            TreeOrAsync::Async(id) => (self.flags | HeaderFlags::ASYNC_COMMAND, id.0),
        };
        let mut bytes = [0; Self::SIZE];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, Self::PROTOCOL_ID);
        put(&mut rest, STRUCTURE_SIZE.to_le_bytes());
        put(&mut rest, self.credit_charge.to_le_bytes());
        put(&mut rest, self.status.0.to_le_bytes());
        put(&mut rest, self.command.0.to_le_bytes());
        put(&mut rest, self.credits.to_le_bytes());
        put(&mut rest, flags.0.to_le_bytes());
        put(&mut rest, self.next_command.to_le_bytes());
        put(&mut rest, self.message_id.0.to_le_bytes());
        put(&mut rest, tree.to_le_bytes());
        put(&mut rest, self.session_id.0.to_le_bytes());
        put(&mut rest, self.signature);
        bytes
    }

    /// Appends the header.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    /// `ChannelSequence` of a request of the SMB 3.x dialects: the low half of `status`.
    #[inline]
    pub const fn channel_sequence(&self) -> u16 {
        let [low, high, ..] = self.status.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// The tree connect of a synchronous message.
    #[inline]
    pub const fn tree_id(&self) -> Option<TreeId> {
        match self.tree {
            TreeOrAsync::Tree { tree_id, .. } => Some(tree_id),
            TreeOrAsync::Async(_) => None,
        }
    }

    /// The id of an asynchronous message.
    #[inline]
    pub const fn async_id(&self) -> Option<AsyncId> {
        match self.tree {
            TreeOrAsync::Tree { .. } => None,
            TreeOrAsync::Async(id) => Some(id),
        }
    }

    /// True for a response or a notification of a server.
    #[inline]
    pub const fn is_response(&self) -> bool {
        self.flags.contains(HeaderFlags::SERVER_TO_REDIR)
    }

    /// True if this request is related to the previous one of its compound.
    #[inline]
    pub const fn is_related(&self) -> bool {
        self.flags.contains(HeaderFlags::RELATED_OPERATIONS)
    }

    /// True if the message claims to be signed.
    #[inline]
    pub const fn is_signed(&self) -> bool {
        self.flags.contains(HeaderFlags::SIGNED)
    }

    /// The header of the answer to this request, not signed yet (MS-SMB2 3.3.4.1).
    #[inline]
    pub const fn response(&self, status: NtStatus, credits: u16) -> Self {
        let kept = HeaderFlags::RELATED_OPERATIONS
            .union(HeaderFlags::PRIORITY_MASK)
            .union(HeaderFlags::ASYNC_COMMAND)
            .union(HeaderFlags::REPLAY_OPERATION)
            .union(HeaderFlags::DFS_OPERATIONS);
        let flags = HeaderFlags(self.flags.0 & kept.0).union(HeaderFlags::SERVER_TO_REDIR);
        Self { status, credits, flags, next_command: 0, signature: [0; 16], ..*self }
    }
}

const STRUCTURE_SIZE: u16 = 64;

/// The messages of a compound, one after the other, each with its header (MS-SMB2 3.3.5.2.7).
///
/// Each message reaches to the start of the next one, padding included; the last one to the end. After
/// an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Compound<'a> {
    /// The messages in `frame`, which starts with an SMB2 header.
    #[inline]
    pub const fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame, count: 0 }
    }

    fn step(&mut self) -> Result<(Header, &'a [u8]), DecodeError> {
        if self.count >= COMPOUND_MAX {
            return Err(DecodeError::TooMany);
        }
        self.count = self.count.saturating_add(1);
        let header = Header::decode(self.rest)?;
        let next = usize::try_from(header.next_command).map_err(|_| DecodeError::OffsetOutOfRange)?;
        if next == 0 {
            return Ok((header, core::mem::take(&mut self.rest)));
        }
        if !next.is_multiple_of(8) {
            return Err(DecodeError::Misaligned);
        }
        if next < Header::SIZE {
            return Err(DecodeError::OffsetOutOfRange);
        }
        let (message, rest) = self.rest.split_at_checked(next).ok_or(DecodeError::OffsetOutOfRange)?;
        if rest.is_empty() {
            return Err(DecodeError::OffsetOutOfRange);
        }
        self.rest = rest;
        Ok((header, message))
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<(Header, &'a [u8]), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.rest = &[];
        }
        Some(step)
    }
}

/// `SMB2 TRANSFORM_HEADER` (MS-SMB2 2.2.41), which precedes an encrypted message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransformHeader {
    /// `Signature`: the tag of the cipher.
    pub signature: [u8; 16],
    /// `Nonce`: the first 11 (CCM) or 12 (GCM) bytes count.
    pub nonce: [u8; 16],
    /// `OriginalMessageSize`.
    pub original_message_size: u32,
    /// `Flags` (3.1.1) or `EncryptionAlgorithm` (3.0, 3.0.2): 1 in both cases.
    pub flags: u16,
    /// `SessionId`.
    pub session_id: SessionId,
}

impl TransformHeader {
    /// The length of the header.
    pub const SIZE: usize = 52;

    /// The `ProtocolId` of the transform header.
    pub const PROTOCOL_ID: [u8; 4] = [0xfd, b'S', b'M', b'B'];

    /// The only value of `flags`: encrypted.
    pub const ENCRYPTED: u16 = 1;

    /// The position of `Signature` in the header.
    pub const SIGNATURE: Range<usize> = 4..20;

    /// The associated data of the cipher: the header from `Nonce` on (MS-SMB2 3.1.4.3).
    pub const AUTHENTICATED: Range<usize> = 20..52;

    /// Reads the header an encrypted message starts with.
    #[inline]
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let bytes = message.first_chunk::<{ Self::SIZE }>().ok_or(DecodeError::Truncated)?;
        let mut cursor = ReadCursor::new(bytes);
        if cursor.array()? != Self::PROTOCOL_ID {
            return Err(DecodeError::ProtocolId);
        }
        let signature = cursor.array()?;
        let nonce = cursor.array()?;
        let original_message_size = cursor.u32()?;
        cursor.skip(2)?;
        let flags = cursor.u16()?;
        let session_id = SessionId(cursor.u64()?);
        Ok(Self { signature, nonce, original_message_size, flags, session_id })
    }

    /// The header as bytes.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, Self::PROTOCOL_ID);
        put(&mut rest, self.signature);
        put(&mut rest, self.nonce);
        put(&mut rest, self.original_message_size.to_le_bytes());
        put(&mut rest, [0; 2]);
        put(&mut rest, self.flags.to_le_bytes());
        put(&mut rest, self.session_id.0.to_le_bytes());
        bytes
    }

    /// Appends the header.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}

/// `SMB2 COMPRESSION_TRANSFORM_HEADER` (MS-SMB2 2.2.42), which precedes a compressed message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionHeader {
    /// `OriginalCompressedSegmentSize`.
    pub original_size: u32,
    /// `CompressionAlgorithm`.
    pub algorithm: u16,
    /// `Flags`: 1 if payloads are chained.
    pub flags: u16,
    /// `Offset` (unchained) or `Length` (of the first chained payload).
    pub offset: u32,
}

impl CompressionHeader {
    /// The length of the header.
    pub const SIZE: usize = 16;

    /// The `ProtocolId` of the compression transform header.
    pub const PROTOCOL_ID: [u8; 4] = [0xfc, b'S', b'M', b'B'];

    /// Reads the header a compressed message starts with.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(message);
        if cursor.array()? != Self::PROTOCOL_ID {
            return Err(DecodeError::ProtocolId);
        }
        Ok(Self {
            original_size: cursor.u32()?,
            algorithm: cursor.u16()?,
            flags: cursor.u16()?,
            offset: cursor.u32()?,
        })
    }
}

#[inline]
fn put<const N: usize>(rest: &mut &mut [u8], value: [u8; N]) {
    if let Some((place, behind)) = core::mem::take(rest).split_first_chunk_mut::<N>() {
        *place = value;
        *rest = behind;
    }
}

#[cfg(test)]
mod tests;
