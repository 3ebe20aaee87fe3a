//! LOCK: MS-SMB2 3.3.5.14.

use std::time::Duration;

use registry::{Effects, LockElement, LockError, LockOutcome, Outcome as WaitOutcome, RequestKey};
use wire::msg::{GlobalCapabilities, LockFlags, LockRequest, LockResponse};
use wire::{Dialect, NtStatus};

use super::malformed;
use crate::core::effects::SmbShell;
use crate::core::files::host_locks::{FileLocks, HostFile};
use crate::core::files::replay::LockSequence;
use crate::core::limits;
use crate::core::open::{Open, OpenFile};
use crate::core::server::Server;
use crate::core::waiting::{Ticket, Wake};
use crate::smb::connection::{AnswerBuilder, Outcome, Pending, Request};

/// Handles LOCK.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let lock = LockRequest::decode(request.message).map_err(malformed)?;
    let open = request.open(lock.file_id)?;
    let Some(file) = open.file() else { return Err(NtStatus::INVALID_DEVICE_REQUEST) };
    // MS-FSA 2.1.5.7: only data can be locked.
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let first = lock.locks.iter().next().ok_or(NtStatus::INVALID_PARAMETER)?;
    let is_unlock = first.flags.contains(LockFlags::UNLOCK);
    // MS-SMB2 3.3.5.2.9: an expired session may give back what it has.
    if !is_unlock && request.session.as_ref().is_some_and(|session| session.has_expired()) {
        return Err(NtStatus::NETWORK_SESSION_EXPIRED);
    }
    let is_numbered = has_sequences(request, &open);
    let sequence =
        if is_numbered { begin(request, &open, file, lock.lock_sequence).await? } else { LockSequence::New };
    if sequence == LockSequence::Repeated {
        let base = answer.base();
        LockResponse.encode(answer.body(), base);
        return Ok(NtStatus::SUCCESS);
    }
    if is_unlock {
        let unlocked = unlock(request, &open, &lock);
        let recording = (unlocked.is_ok() && is_numbered).then(|| Recording::begin(file, lock.lock_sequence));
        // Elements before a wrong one stay unlocked.
        log(request, &open, &lock).await?;
        drop(recording);
        unlocked?;
    } else {
        if let Err(status) = take(request, answer, &open, &lock).await {
            // The log must not keep the number that the refused request has replaced: the sixteenth request after that one
            // has it again, and would pass for its repetition when the server was started anew.
            if sequence == LockSequence::Emptied {
                log(request, &open, &lock).await?;
            }
            return Err(status);
        }
        let recording = is_numbered.then(|| Recording::begin(file, lock.lock_sequence));
        if let Err(status) = log(request, &open, &lock).await {
            take_back(request, &open, &lock);
            file.state().lock_sequences.forget(lock.lock_sequence);
            return Err(status);
        }
        drop(recording);
    }
    let base = answer.base();
    LockResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// Compares a request with the earlier ones. One that is repeated waits until the first is in the log that keeps the open:
/// until then it may be taken back, and a server that takes over would not know it.
async fn begin(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    number: u32,
) -> Result<LockSequence, NtStatus> {
    loop {
        let sequence = file.state().lock_sequences.begin(number);
        match sequence {
            LockSequence::UnderWay => tokio::time::sleep(REPEAT_POLL).await,
            LockSequence::Repeated => {
                request.connection.server.commit_open(open).await?;
                return Ok(sequence);
            }
            LockSequence::Emptied | LockSequence::New => return Ok(sequence),
        }
    }
}

/// A numbered request that was executed, on its way to the log until this is dropped.
struct Recording<'a> {
    file: &'a OpenFile,
    number: u32,
}

impl<'a> Recording<'a> {
    fn begin(file: &'a OpenFile, number: u32) -> Self {
        file.state().lock_sequences.done(number);
        Self { file, number }
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        self.file.state().lock_sequences.recorded(self.number);
    }
}

/// Between two looks at a request that is on its way to the log. Only a client that has lost its connection, or its
/// patience, repeats one that is.
const REPEAT_POLL: Duration = Duration::from_millis(5);

/// Records the locks of a request, and the sequence number, in the log that keeps the open.
async fn log(request: &Request<'_>, open: &Open, lock: &LockRequest<'_>) -> Result<(), NtStatus> {
    if open.tree().log().is_none() || !open.is_durable() {
        return Ok(());
    }
    let server = &request.connection.server;
    for part in elements(lock).chunks(registry::limits::LOCKS_PER_CALL) {
        // By the id that stays when the client comes back meanwhile.
        server.registry.lock("log_locks").log_locks(open.global_id(), part);
    }
    server.commit_open(open).await
}

/// Releases the locks of a request that could not be recorded.
fn take_back(request: &Request<'_>, open: &Open, lock: &LockRequest<'_>) {
    let server = &request.connection.server;
    let on_host = on_host(server, open);
    let mut turn = on_host.as_ref().map(HostFile::turn);
    let mut all = Effects::none();
    for part in elements(lock).chunks(registry::limits::LOCKS_PER_CALL) {
        let mut registry = server.registry.lock("unlock");
        all.merge(registry.take_back_locks(open.global_id(), part, server.now()));
        registry.log_locks(open.global_id(), part);
        drop(registry);
        if let Some(turn) = turn.as_deref_mut() {
            turn.give_back(open, part);
        }
    }
    drop(turn);
    server.apply(all);
}

/// The ranges of a request.
fn elements(lock: &LockRequest<'_>) -> Vec<LockElement> {
    let of = |flags: LockFlags| flags.contains(LockFlags::EXCLUSIVE_LOCK);
    let all = lock.locks.iter();
    all.map(|it| LockElement { offset: it.offset, length: it.length, exclusive: of(it.flags) }).collect()
}

/// True if `LockSequenceIndex` and `LockSequenceNumber` are valid (3.3.5.14).
fn has_sequences(request: &Request<'_>, open: &Open) -> bool {
    request.connection.negotiated.get().is_some_and(|it| {
        it.dialect >= Dialect::SMB210
            && (open.is_durable()
                || it.dialect >= Dialect::SMB300
                    && it.capabilities.contains(GlobalCapabilities::MULTI_CHANNEL))
    })
}

/// 3.3.5.14.1: all elements must be unlocks of locks that are held.
fn unlock(request: &Request<'_>, open: &Open, lock: &LockRequest<'_>) -> Result<(), NtStatus> {
    let server = &request.connection.server;
    // Elements are processed in order: those before an invalid one stay unlocked.
    let unlocks = lock.locks.iter().take_while(|element| element.flags == LockFlags::UNLOCK);
    let elements: Vec<LockElement> =
        unlocks.map(|it| LockElement { offset: it.offset, length: it.length, exclusive: false }).collect();
    let on_host = on_host(server, open);
    for part in elements.chunks(registry::limits::LOCKS_PER_CALL) {
        let mut turn = on_host.as_ref().map(HostFile::turn);
        let (released, result, effects) =
            server.registry.lock("unlock").unlock_each(open.file_id(), part, server.now());
        if let Some(turn) = &mut turn {
            turn.give_back(open, &released);
        }
        drop(turn);
        server.apply(effects);
        result.map_err(status)?;
    }
    if elements.len() == lock.locks.len() { Ok(()) } else { Err(NtStatus::INVALID_PARAMETER) }
}

/// 3.3.5.14.2: all or none are granted, and only a single lock may wait.
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
    let key = server.waiters.new_key(request.connection.id);
    let ticket = Ticket::take(server, key);
    match lock_once(server, open, &elements, may_wait, key) {
        Ok(LockOutcome::Granted) => {
            ticket.give_back();
            Ok(())
        }
        Err(status) => {
            ticket.give_back();
            Err(status)
        }
        Ok(outcome) => match request.wait(answer) {
            Ok(pending) => {
                let is_outside = outcome == LockOutcome::WaitingOutside;
                Waiting { server, open, elements: &elements, ticket }.granted(&pending, is_outside).await
            }
            Err(status) => match ticket.cancel().await {
                Some(Wake::Granted) => Ok(()),
                _ => Err(status),
            },
        },
    }
}

/// Requests locks once.
fn lock_once(
    server: &Server,
    open: &Open,
    elements: &[LockElement],
    may_wait: bool,
    key: RequestKey,
) -> Result<LockOutcome, NtStatus> {
    let on_host = on_host(server, open);
    let mut turn = on_host.as_ref().map(HostFile::turn);
    let (result, effects) = lock_in_turn(server, open, turn.as_deref_mut(), elements, may_wait, key);
    drop(turn);
    server.apply(effects);
    result
}

/// Requests the locks from the operating system, if they are shared with local programs, and then from the
/// registry.
fn lock_in_turn(
    server: &Server,
    open: &Open,
    turn: Option<&mut FileLocks>,
    elements: &[LockElement],
    may_wait: bool,
    key: RequestKey,
) -> (Result<LockOutcome, NtStatus>, Effects<SmbShell>) {
    let (id, now) = (open.file_id(), server.now());
    let Some(turn) = turn else {
        let (result, effects) = server.registry.lock("lock").lock(id, elements, may_wait, key, now);
        return (result.map_err(status), effects);
    };
    let is_free = match turn.take(open, elements) {
        Ok(is_free) => is_free,
        Err(status) => return (Err(status), Effects::none()),
    };
    let (result, effects) =
        server.registry.lock("lock").lock_outside(id, elements, may_wait, key, is_free, now);
    if is_free && result != Ok(LockOutcome::Granted) {
        turn.give_back(open, elements);
    }
    (result.map_err(status), effects)
}

/// The open's file, if its locks are shared with local programs.
fn on_host<'a>(server: &'a Server, open: &Open) -> Option<HostFile<'a>> {
    server.files.host_locks.file(open.file()?)
}

/// A waiting request for one lock.
struct Waiting<'a> {
    server: &'a Server,
    open: &'a Open,
    elements: &'a [LockElement],
    ticket: Ticket<'a>,
}

impl Waiting<'_> {
    /// Waits until the lock is granted. The end of a local program's lock is not reported, so such a lock is
    /// tried again from time to time.
    async fn granted(mut self, pending: &Pending<'_>, mut is_outside: bool) -> Result<(), NtStatus> {
        let mut delay = limits::HOST_LOCK_FIRST_RETRY;
        loop {
            let is_woken = tokio::select! {
                // A lock that became free before CANCEL arrived is tried first.
                biased;
                woken = self.ticket.woken() => match woken {
                    Some(Wake::Granted) => return Ok(()),
                    Some(Wake::Retry) => true,
                    // 3.3.4.17, 3.3.5.6, 3.3.5.8: the status for a request whose open ends.
                    Some(Wake::Ended(WaitOutcome::HandleClosed | WaitOutcome::SessionEnded)) | None => {
                        return Err(NtStatus::RANGE_NOT_LOCKED);
                    }
                    Some(Wake::Ended(WaitOutcome::Cancelled)) => return Err(NtStatus::CANCELLED),
                },
                () = pending.cancelled() => return self.cancelled().await,
                () = tokio::time::sleep(delay), if is_outside => false,
            };
            if is_woken {
                delay = limits::HOST_LOCK_FIRST_RETRY;
                self.ticket.take_again();
            } else {
                delay = delay.saturating_mul(2).min(limits::HOST_LOCK_LAST_RETRY);
            }
            match self.retry() {
                Ok(Retried::Granted) => {
                    self.ticket.give_back();
                    return Ok(());
                }
                Ok(Retried::Waits) => is_outside = false,
                Ok(Retried::WaitsOutside) => is_outside = true,
                Ok(Retried::Over) => {
                    self.ticket.give_back();
                    return Err(NtStatus::RANGE_NOT_LOCKED);
                }
                // Dropping the ticket cancels the request; only a retry can grant it.
                Err(status) => return Err(status),
            }
        }
    }

    /// The result after a CANCEL: a lock that was granted, or a closed handle, takes precedence.
    async fn cancelled(self) -> Result<(), NtStatus> {
        match self.ticket.cancel().await {
            Some(Wake::Granted) => Ok(()),
            Some(Wake::Ended(WaitOutcome::HandleClosed | WaitOutcome::SessionEnded)) | None => {
                Err(NtStatus::RANGE_NOT_LOCKED)
            }
            // A request that was to be tried again is not tried.
            Some(Wake::Ended(WaitOutcome::Cancelled) | Wake::Retry) => Err(NtStatus::CANCELLED),
        }
    }

    fn retry(&self) -> Result<Retried, NtStatus> {
        let Self { server, open, elements, ticket } = self;
        let key = ticket.key();
        let Some(on_host) = on_host(server, open) else {
            return Ok(Retried::Over);
        };
        let mut turn = on_host.turn();
        if !turn.take(open, elements)? {
            let is_waiting = server.registry.lock("lock").refused_outside(key);
            return Ok(if is_waiting { Retried::WaitsOutside } else { Retried::Over });
        }
        let (outcome, effects) = server.registry.lock("lock").retry_lock(key, server.now());
        if outcome != Some(LockOutcome::Granted) {
            turn.give_back(open, elements);
        }
        drop(turn);
        server.apply(effects);
        Ok(match outcome {
            Some(LockOutcome::Granted) => Retried::Granted,
            Some(LockOutcome::Waiting | LockOutcome::WaitingOutside) => Retried::Waits,
            None => Retried::Over,
        })
    }
}

/// The result of another attempt.
enum Retried {
    /// The lock is held.
    Granted,
    /// The lock of an open conflicts; its end wakes the request.
    Waits,
    /// The lock of a local program conflicts.
    WaitsOutside,
    /// The request has ended with its open.
    Over,
}

/// Processes the elements in order (3.3.5.14.2), and unlocks those before a refused one. The registry's lock
/// is released between parts.
fn take_in_parts(request: &Request<'_>, open: &Open, elements: &[LockElement]) -> Result<(), NtStatus> {
    let server = &request.connection.server;
    let on_host = on_host(server, open);
    let mut turn = on_host.as_ref().map(HostFile::turn);
    let mut all = Effects::none();
    let mut taken: Vec<&[LockElement]> = Vec::new();
    let mut outcome = Ok(());
    for part in elements.chunks(registry::limits::LOCKS_PER_CALL) {
        let key = server.waiters.new_key(request.connection.id);
        let (result, effects) = lock_in_turn(server, open, turn.as_deref_mut(), part, false, key);
        all.merge(effects);
        if let Err(status) = result {
            for part in taken {
                let effects =
                    server.registry.lock("unlock").take_back_locks(open.file_id(), part, server.now());
                all.merge(effects);
                if let Some(turn) = turn.as_deref_mut() {
                    turn.give_back(open, part);
                }
            }
            outcome = Err(status);
            break;
        }
        taken.push(part);
    }
    drop(turn);
    server.apply(all);
    outcome
}

fn status(error: LockError) -> NtStatus {
    match error {
        LockError::NoSuchOpen => NtStatus::FILE_CLOSED,
        LockError::InvalidParameter => NtStatus::INVALID_PARAMETER,
        LockError::InvalidRange => NtStatus::INVALID_LOCK_RANGE,
        LockError::NotGranted { .. } | LockError::HeldOutside => NtStatus::LOCK_NOT_GRANTED,
        LockError::RangeNotLocked => NtStatus::RANGE_NOT_LOCKED,
        LockError::LimitReached(limit) => crate::core::status::of_limit(limit),
    }
}
