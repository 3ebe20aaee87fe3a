//! OPLOCK_BREAK acknowledgments: MS-SMB2 3.3.5.22.

use registry::{AcknowledgeLeaseError, AcknowledgeOplockError, LeaseId};
use wire::NtStatus;
use wire::msg::{LeaseBreak, OplockBreak, OplockBreakRequest};

use super::malformed;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles OPLOCK_BREAK.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let server = &request.connection.server;
    let session = request.session()?.id();
    let base = answer.base();
    match OplockBreakRequest::decode(request.message).map_err(malformed)? {
        OplockBreakRequest::Oplock(acknowledgment) => {
            let (result, effects) = server.registry.lock("acknowledge_oplock").acknowledge_oplock(
                session,
                acknowledgment.file_id,
                acknowledgment.oplock_level,
                server.now(),
            );
            server.apply(effects);
            let level = result.map_err(|error| match error {
                AcknowledgeOplockError::NoSuchOpen => NtStatus::FILE_CLOSED,
                AcknowledgeOplockError::LevelOfLease => NtStatus::INVALID_PARAMETER,
                // The status of Windows; the specification has STATUS_INVALID_DEVICE_STATE.
                AcknowledgeOplockError::BadLevel | AcknowledgeOplockError::NotBreaking => {
                    NtStatus::INVALID_OPLOCK_PROTOCOL
                }
            })?;
            if let Ok(open) = request.open(acknowledgment.file_id) {
                server.commit_open(&open).await?;
            }
            OplockBreak { oplock_level: level, file_id: acknowledgment.file_id }.encode(answer.body(), base);
        }
        OplockBreakRequest::Lease(acknowledgment) => {
            let negotiated = request.connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
            let client = negotiated.client_guid;
            let result = server.registry.lock("acknowledge_lease").acknowledge_lease(
                client,
                acknowledgment.lease_key,
                acknowledgment.lease_state,
                server.now(),
            );
            let (state, effects) = result.map_err(|error| match error {
                AcknowledgeLeaseError::NoSuchLease => NtStatus::OBJECT_NAME_NOT_FOUND,
                AcknowledgeLeaseError::NotBreaking => NtStatus::UNSUCCESSFUL,
                AcknowledgeLeaseError::BadState => NtStatus::REQUEST_NOT_ACCEPTED,
            })?;
            server.apply(effects);
            server.commit_lease(LeaseId { client, key: acknowledgment.lease_key }).await?;
            LeaseBreak { lease_key: acknowledgment.lease_key, lease_state: state, ..LeaseBreak::default() }
                .encode(answer.body(), base);
        }
    }
    Ok(NtStatus::SUCCESS)
}
