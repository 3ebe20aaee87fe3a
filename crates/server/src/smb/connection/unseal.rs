//! Decryption of frames (MS-SMB2 3.3.5.2.1.1).

use auth::IdentityKind;
use registry::Standing;
use wire::header::TransformHeader;

use super::SmbConnection;
use super::dispatch::{ClearFrame, Violation};
use super::frame::Frame;

/// Decrypts a frame in place.
pub(crate) fn unseal(connection: &SmbConnection, mut frame: Frame) -> Result<ClearFrame, Violation> {
    let (transform, payload) =
        frame.split_first_chunk_mut::<{ TransformHeader::SIZE }>().ok_or(Violation::BadSeal)?;
    let header = TransformHeader::decode(transform).map_err(Violation::Malformed)?;
    if header.flags != TransformHeader::ENCRYPTED || payload.is_empty() {
        return Err(Violation::BadSeal);
    }
    let session = connection.channel_for_keys(header.session_id).ok_or(Violation::BadSeal)?.session;
    // MS-SMB2 3.3.5.2.9, `Connection.ConstrainedConnection`: the key of an anonymous session is publicly
    // known, so it is not accepted before a user has logged on here.
    let is_users = session.user().is_none_or(|user| user.kind == IdentityKind::User);
    if !is_users && connection.standing() < Standing::User {
        return Err(Violation::BadSeal);
    }
    if usize::try_from(header.original_message_size) != Ok(payload.len()) {
        return Err(Violation::BadSeal);
    }
    session.unseal(transform, payload).map_err(|_| Violation::BadSeal)?;
    frame.advance(TransformHeader::SIZE);
    Ok((frame, session))
}
