//! Sealed frames (MS-SMB2 3.3.5.2.1.1).

use bytes::{Buf, BytesMut};
use wire::header::TransformHeader;

use super::Connection;
use super::dispatch::{ClearFrame, Violation};

/// Opens a sealed frame in place.
pub(crate) fn unseal(connection: &Connection, mut frame: BytesMut) -> Result<ClearFrame, Violation> {
    let (transform, payload) =
        frame.split_first_chunk_mut::<{ TransformHeader::SIZE }>().ok_or(Violation::BadSeal)?;
    let header = TransformHeader::decode(transform).map_err(Violation::Malformed)?;
    if header.flags != TransformHeader::ENCRYPTED || payload.is_empty() {
        return Err(Violation::BadSeal);
    }
    let session = connection.channel_for_keys(header.session_id).ok_or(Violation::BadSeal)?.session;
    if usize::try_from(header.original_message_size) != Ok(payload.len()) {
        return Err(Violation::BadSeal);
    }
    session.unseal(transform, payload).map_err(|_| Violation::BadSeal)?;
    frame.advance(TransformHeader::SIZE);
    Ok((frame.freeze(), session))
}
