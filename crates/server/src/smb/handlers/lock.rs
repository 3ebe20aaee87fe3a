//! LOCK: MS-SMB2 3.3.5.14.

use registry::{LockElement, LockError, LockOutcome, Outcome as WaitOutcome, RequestKey};
use wire::msg::{GlobalCapabilities, LockFlags, LockRequest, LockResponse};
use wire::{Dialect, NtStatus};

use super::malformed;
use crate::core::open::Open;
use crate::core::waiting::{Ticket, Wake};
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles LOCK.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let lock = LockRequest::decode(request.message).map_err(malformed)?;
    let open = request.open(lock.file_id)?;
    let Some(file) = open.file() else { return Err(NtStatus::INVALID_DEVICE_REQUEST) };
    // MS-FSA 2.1.5.7: only data can be locked.
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let is_numbered = has_sequences(request, &open);
    if is_numbered && file.state().lock_sequences.is_repeated(lock.lock_sequence) {
        let base = answer.base();
        LockResponse.encode(answer.body(), base);
        return Ok(NtStatus::SUCCESS);
    }
    let first = lock.locks.iter().next().ok_or(NtStatus::INVALID_PARAMETER)?;
    if first.flags.contains(LockFlags::UNLOCK) {
        unlock(request, &open, &lock)?;
    } else {
        take(request, answer, &open, &lock).await?;
    }
    if is_numbered {
        file.state().lock_sequences.done(lock.lock_sequence);
    }
    let base = answer.base();
    LockResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// Whether `LockSequenceIndex` and `LockSequenceNumber` count (3.3.5.14).
fn has_sequences(request: &Request<'_>, open: &Open) -> bool {
    request.connection.negotiated.get().is_some_and(|it| {
        it.dialect >= Dialect::SMB210
            && (open.is_durable()
                || it.dialect >= Dialect::SMB300
                    && it.capabilities.contains(GlobalCapabilities::MULTI_CHANNEL))
    })
}

/// 3.3.5.14.1: all of them are unlocks, and each is of a lock that is held.
fn unlock(request: &Request<'_>, open: &Open, lock: &LockRequest<'_>) -> Result<(), NtStatus> {
    let server = &request.connection.server;
    // One after the other: what came before a bad one stays unlocked.
    let unlocks = lock.locks.iter().take_while(|element| element.flags == LockFlags::UNLOCK);
    let elements: Vec<LockElement> =
        unlocks.map(|it| LockElement { offset: it.offset, length: it.length, exclusive: false }).collect();
    for part in elements.chunks(registry::limits::LOCKS_PER_CALL) {
        let (result, effects) = server.registry.lock("unlock").unlock(open.file_id(), part, server.now());
        server.apply(effects);
        result.map_err(status)?;
    }
    if elements.len() == lock.locks.len() { Ok(()) } else { Err(NtStatus::INVALID_PARAMETER) }
}

/// 3.3.5.14.2: all or none, and only a single one may wait.
async fn take(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    lock: &LockRequest<'_>,
) -> Result<(), NtStatus> {
    let mut elements = Vec::with_capacity(lock.locks.len());
    let mut may_wait = false;
    for element in lock.locks.iter() {
        let exclusive = match element.flags.without(LockFlags::FAIL_IMMEDIATELY) {
            LockFlags::SHARED_LOCK => false,
            LockFlags::EXCLUSIVE_LOCK => true,
            _ => return Err(NtStatus::INVALID_PARAMETER),
        };
        may_wait = !element.flags.contains(LockFlags::FAIL_IMMEDIATELY);
        if may_wait && lock.locks.len() > 1 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        elements.push(LockElement { offset: element.offset, length: element.length, exclusive });
    }
    if elements.len() > registry::limits::LOCKS_PER_CALL {
        return take_in_parts(request, open, &elements);
    }
    let server = &request.connection.server;
    let key = RequestKey { connection: request.connection.id, id: server.next_request() };
    let mut ticket = Ticket::take(server, key);
    let (result, effects) =
        server.registry.lock("lock").lock(open.file_id(), &elements, may_wait, key, server.now());
    server.apply(effects);
    match result {
        Ok(LockOutcome::Granted) => {
            ticket.give_back();
            Ok(())
        }
        Err(error) => {
            ticket.give_back();
            Err(status(error))
        }
        Ok(LockOutcome::Waiting) => {
            let (woken, cancelled) = match request.wait(answer) {
                Ok(pending) => tokio::select! {
                    woken = ticket.woken() => (woken, NtStatus::CANCELLED),
                    () = pending.cancelled() => (ticket.cancel().await, NtStatus::CANCELLED),
                },
                Err(status) => (ticket.cancel().await, status),
            };
            match woken {
                // A lock that is held is answered as such, whenever CANCEL came.
                Some(Wake::Granted | Wake::Retry) => Ok(()),
                // 3.3.4.17, 3.3.5.6, 3.3.5.8: who waits on a handle that goes away hears this.
                Some(Wake::Ended(WaitOutcome::HandleClosed | WaitOutcome::SessionEnded)) | None => {
                    Err(NtStatus::RANGE_NOT_LOCKED)
                }
                Some(Wake::Ended(WaitOutcome::Cancelled)) => Err(cancelled),
            }
        }
    }
}

/// 3.3.5.14.2 processes one element after the other, and what was locked before one that is refused is unlocked:
/// the registry's lock is given back in between.
fn take_in_parts(request: &Request<'_>, open: &Open, elements: &[LockElement]) -> Result<(), NtStatus> {
    let server = &request.connection.server;
    let mut taken: Vec<&[LockElement]> = Vec::new();
    for part in elements.chunks(registry::limits::LOCKS_PER_CALL) {
        let key = RequestKey { connection: request.connection.id, id: server.next_request() };
        let (result, effects) =
            server.registry.lock("lock").lock(open.file_id(), part, false, key, server.now());
        server.apply(effects);
        if let Err(error) = result {
            for part in taken {
                let effects =
                    server.registry.lock("unlock").take_back_locks(open.file_id(), part, server.now());
                server.apply(effects);
            }
            return Err(status(error));
        }
        taken.push(part);
    }
    Ok(())
}

fn status(error: LockError) -> NtStatus {
    match error {
        LockError::NoSuchOpen => NtStatus::FILE_CLOSED,
        LockError::InvalidParameter => NtStatus::INVALID_PARAMETER,
        LockError::InvalidRange => NtStatus::INVALID_LOCK_RANGE,
        LockError::NotGranted { .. } => NtStatus::LOCK_NOT_GRANTED,
        LockError::RangeNotLocked => NtStatus::RANGE_NOT_LOCKED,
        LockError::LimitReached(limit) => crate::core::status::of_limit(limit),
    }
}
