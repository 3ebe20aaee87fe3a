//! The messages, one file per command (MS-SMB2 2.2.3 to 2.2.44).
//!
//! `decode` takes the whole message from its header on, because offsets are relative to the header; it copies only
//! fixed fields. `encode` appends the body to a buffer that has this message's header at `base`, so that a compound
//! can be built in one buffer. It computes offsets and counts, which are not fields of the structures.

mod any;
pub mod change_notify;
pub mod close;
pub mod create;
pub mod error;
pub mod flush;
pub mod info;
pub mod ioctl;
pub mod lock;
pub mod negotiate;
pub mod negotiate_context;
pub mod notification;
pub mod oplock_break;
pub mod output;
pub mod query_directory;
pub mod read;
pub mod session_setup;
pub mod share_redirect;
pub mod simple;
pub mod tree_connect;
pub mod write;

#[cfg(test)]
mod tests;

pub use any::{Body, Request, Response, decode_any};
pub use change_notify::{ChangeNotifyRequest, CompletionFilter, WatchFlags};
pub use close::{CloseFlags, CloseRequest, CloseResponse};
pub use create::{
    CreateAction, CreateContext, CreateContexts, CreateDisposition, CreateOptions, CreateRequest,
    CreateResponse, CreateResponseFlags, ImpersonationLevel,
};
pub use error::{ErrorContext, ErrorContexts, ErrorId, ErrorResponse, SymlinkErrorResponse, SymlinkFlags};
pub use flush::FlushRequest;
pub use info::{AdditionalInformation, InfoType, QueryInfoFlags, QueryInfoRequest, SetInfoRequest};
pub use ioctl::{IoctlFlags, IoctlRequest, IoctlResponse};
pub use lock::{LockElement, LockFlags, LockRequest, Locks};
pub use negotiate::{GlobalCapabilities, NegotiateRequest, NegotiateResponse, SecurityMode};
pub use negotiate_context::{
    CipherId, CompressionAlgorithmId, CompressionFlags, HashAlgorithmId, NegotiateContext,
    NegotiateContextType, NegotiateContexts, RdmaTransformId, SigningAlgorithmId, TransportFlags, U16List,
};
pub use notification::{NotificationType, ServerToClientNotification};
pub use oplock_break::{
    LeaseBreak, LeaseBreakFlags, LeaseBreakNotification, OplockBreak, OplockBreakRequest, OplockBreakResponse,
};
pub use output::OutputResponse;
pub use query_directory::{QueryDirectoryFlags, QueryDirectoryRequest};
pub use read::{Channel, ReadFlags, ReadRequest, ReadResponse};
pub use session_setup::{SessionFlags, SessionSetupFlags, SessionSetupRequest, SessionSetupResponse};
pub use share_redirect::ShareRedirect;
pub use simple::{
    CancelRequest, EchoRequest, EchoResponse, FlushResponse, LockResponse, LogoffRequest, LogoffResponse,
    SetInfoResponse, TreeDisconnectRequest, TreeDisconnectResponse,
};
pub use tree_connect::{
    ShareCapabilities, ShareFlags, ShareType, TreeConnectExtension, TreeConnectFlags, TreeConnectRequest,
    TreeConnectResponse,
};
pub use write::{WriteFlags, WriteRequest, WriteResponse};

use crate::cursor::{DecodeError, ReadCursor, wire_u16, wire_u32};
use crate::header::Header;

/// A cursor over the `N` fixed bytes of the body, after its `StructureSize`, which must be `size`.
///
/// If the specification counts one byte of the variable part in `StructureSize`, `N` does not: Windows and Samba omit
/// that byte in some messages.
#[inline]
fn fixed<const N: usize>(message: &[u8], size: u16) -> Result<ReadCursor<'_>, DecodeError> {
    let body = message.get(Header::SIZE..).ok_or(DecodeError::Truncated)?;
    let mut cursor = ReadCursor::new(body);
    if cursor.u16()? != size {
        return Err(DecodeError::StructureSize);
    }
    let body = body.first_chunk::<N>().ok_or(DecodeError::Truncated)?;
    let mut cursor = ReadCursor::new(body);
    cursor.skip(2)?;
    Ok(cursor)
}

/// `length` bytes of `message` at `offset`, which must be after the `fixed` bytes of the body. With length 0 the
/// offset is ignored, as on Windows.
#[inline]
fn variable(message: &[u8], fixed: usize, offset: u32, length: u32) -> Result<&[u8], DecodeError> {
    if length == 0 {
        return Ok(&[]);
    }
    let offset = size(offset)?;
    if offset < Header::SIZE.saturating_add(fixed) {
        return Err(DecodeError::OffsetOutOfRange);
    }
    let end = offset.checked_add(size(length)?).ok_or(DecodeError::OffsetOutOfRange)?;
    message.get(offset..end).ok_or(DecodeError::OffsetOutOfRange)
}

/// A wire length or count as a `usize`.
#[inline]
fn size(value: u32) -> Result<usize, DecodeError> {
    usize::try_from(value).map_err(|_| DecodeError::OffsetOutOfRange)
}

/// The offset of the end of `out` from `base`, in 16 bits.
#[inline]
fn end16(out: &[u8], base: usize) -> u16 {
    wire_u16(out.len().saturating_sub(base))
}

/// The offset of the end of `out` from `base`, in 32 bits.
#[inline]
fn end32(out: &[u8], base: usize) -> u32 {
    wire_u32(out.len().saturating_sub(base))
}

/// The offset that the variable part has right behind `fixed` bytes of body.
#[inline]
const fn behind(fixed: u16) -> u16 {
    // The header is 64 bytes and no fixed part reaches 100.
    64_u16.saturating_add(fixed)
}

/// Appends the variable part. If it is empty, appends the one byte that `StructureSize` counts, as Windows and Samba
/// do.
#[inline]
fn put_variable(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(if bytes.is_empty() { &[0] } else { bytes });
}
