//! Locks. In Linux they belong to a process and can be split and merged; in SMB they belong to an open and
//! are unlocked as they were locked (MS-SMB2 3.3.5.14).
//!
//! The held locks are a list of pieces, each as it was locked at the server. A call becomes a [`Plan`]:
//! pieces to unlock and ranges to lock. While a piece is being split, another client may get a lock in
//! between; the call then fails.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use client::smb::{Error, File};
use fuser::{Errno, FileHandle, INodeNo, LockOwner};
use parking_lot::Mutex;
use tokio::sync::Notify;
use wire::NtStatus;
use wire::msg::{LockElement, LockFlags};

use crate::files::{Files, OpenFile};
use crate::limits;
use crate::remote::Live;
use crate::volume::Volume;

/// A range of bytes, including its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// The parameters of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) owner: LockOwner,
    pub(crate) handle: FileHandle,
    pub(crate) pid: u32,
    pub(crate) range: Range,
}

/// A held lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    owner: LockOwner,
    handle: FileHandle,
    pub(crate) pid: u32,
    pub(crate) range: Range,
    pub(crate) exclusive: bool,
}

/// The locks held through a mount.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    files: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<Vec<Piece>>>>>,
    /// Notified when a lock was released.
    changed: Notify,
}

/// The steps of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    unlock: Vec<Piece>,
    lock: Vec<Piece>,
}

impl Locks {
    pub(crate) fn of(&self, number: INodeNo) -> Arc<tokio::sync::Mutex<Vec<Piece>>> {
        let mut files = self.files.lock();
        Arc::clone(files.entry(number.0).or_default())
    }

    /// The locks of a file; `None` if it never had any.
    fn known(&self, number: INodeNo) -> Option<Arc<tokio::sync::Mutex<Vec<Piece>>>> {
        let files = self.files.lock();
        files.get(&number.0).cloned()
    }

    /// The parts of a range that an open has not locked exclusively.
    pub(crate) fn gaps(
        &self,
        held: &[Piece],
        files: &Files,
        open: &Arc<OpenFile>,
        range: Range,
    ) -> Vec<Range> {
        let is_own = |piece: &&Piece| {
            piece.exclusive && files.get(piece.handle).is_ok_and(|other| Arc::ptr_eq(&other, open))
        };
        without(range, held.iter().filter(is_own).map(|piece| piece.range))
    }

    /// Removes the locks of an open that is closed; the server has released them.
    pub(crate) async fn forget_handle(&self, number: INodeNo, handle: FileHandle) {
        let Some(held) = self.known(number) else { return };
        let mut held = held.lock().await;
        held.retain(|piece| piece.handle != handle);
        if held.is_empty() {
            self.files.lock().remove(&number.0);
        }
        drop(held);
        self.changed.notify_waiters();
    }
}

impl Volume {
    /// F_SETLK and F_SETLKW with a lock. If another lock conflicts, waits until the thread `waits` has a
    /// signal to handle; without a thread, returns EAGAIN.
    pub(crate) async fn lock(
        &self,
        number: INodeNo,
        request: Request,
        exclusive: bool,
        waits: Option<u32>,
    ) -> Result<(), Errno> {
        let mut pause = limits::SIGNAL_PAUSE;
        loop {
            let changed = self.locks.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let held = self.locks.of(number);
            let mut held = held.lock().await;
            let mut alone = None;
            if conflict(&held, &request, exclusive).is_none() {
                let plan = plan(&held, &request, Some(exclusive));
                match self.carry_out(&mut held, &plan).await {
                    Ok(()) => {
                        drop(held);
                        self.locks.changed.notify_waiters();
                        self.forget_guarded(number, request.handle).await;
                        return Ok(());
                    }
                    Err(errno) if errno.code() != Errno::EAGAIN.code() || waits.is_none() => {
                        return Err(errno);
                    }
                    Err(_) => {}
                }
                alone = match (plan.unlock.as_slice(), plan.lock.as_slice()) {
                    ([], [only]) => Some(*only),
                    _ => None,
                };
            } else if waits.is_none() {
                return Err(Errno::EAGAIN);
            }
            drop(held);
            if let Some(piece) = alone {
                match self.wait_at_server(&piece, changed.as_mut(), waits).await? {
                    Waited::Granted => {
                        self.locks.of(number).lock().await.push(piece);
                        self.forget_guarded(number, request.handle).await;
                        return Ok(());
                    }
                    Waited::Changed => {}
                }
            } else {
                tokio::select! {
                    () = changed.as_mut() => {}
                    () = tokio::time::sleep(pause) => pause = pause.saturating_mul(2).min(limits::LOCK_PAUSE_MAX),
                    () = signal(waits) => return Err(Errno::EINTR),
                }
            }
        }
    }

    /// F_UNLCK.
    pub(crate) async fn unlock(&self, number: INodeNo, request: Request) -> Result<(), Errno> {
        let Some(held) = self.locks.known(number) else { return Ok(()) };
        let mut held = held.lock().await;
        let plan = plan(&held, &request, None);
        if plan == Plan::default() {
            return Ok(());
        }
        let outcome = self.carry_out(&mut held, &plan).await;
        drop(held);
        self.locks.changed.notify_waiters();
        match outcome {
            // A part that should have stayed locked is now locked by another client.
            Err(errno) if errno.code() == Errno::EAGAIN.code() => Err(Errno::ENOLCK),
            outcome => outcome,
        }
    }

    /// Unlocks all locks of an owner in a file, as every close of one of its opens does (fcntl(2)).
    pub(crate) async fn unlock_all(
        &self,
        number: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
    ) -> Result<(), Errno> {
        let request = Request { owner, handle, pid: 0, range: Range { start: 0, end: u64::MAX } };
        self.unlock(number, request).await
    }

    /// F_GETLK: a conflicting lock, or `None`. Of another client's lock, only its existence is known.
    pub(crate) async fn in_the_way(
        &self,
        number: INodeNo,
        request: Request,
        exclusive: bool,
    ) -> Result<Option<Piece>, Errno> {
        let held = self.locks.of(number);
        let held = held.lock().await;
        if let Some(piece) = conflict(&held, &request, exclusive) {
            return Ok(Some(piece));
        }
        let own = held.iter().filter(|piece| piece.owner == request.owner).map(|piece| piece.range);
        let open = self.files.get(request.handle)?;
        let (live, file) = self.through(&open).await?;
        for range in without(request.range, own) {
            let piece = Piece { pid: 0, range, ..request.piece(true) };
            if !self.is_free(&live, &file, &Piece { exclusive, ..piece }).await? {
                let shared =
                    !exclusive || self.is_free(&live, &file, &Piece { exclusive: false, ..piece }).await?;
                return Ok(Some(Piece { exclusive: !shared || !exclusive, ..piece }));
            }
        }
        Ok(None)
    }

    /// Tests whether a lock would be granted, by taking and releasing it.
    async fn is_free(&self, live: &Live, file: &File, piece: &Piece) -> Result<bool, Errno> {
        if self.is_alone(piece.handle) {
            return Ok(true);
        }
        match file.lock(&[element(piece, true)]).await {
            Ok(()) => match file.lock(&[unlocking(piece)]).await {
                Ok(()) => Ok(true),
                Err(error) => {
                    let errno = self.failed(live, &error);
                    // The test's lock must not remain.
                    if let Ok(open) = self.files.get(piece.handle) {
                        self.give_up(&open, live).await;
                    }
                    Err(errno)
                }
            },
            Err(error) if refused(&error) => Ok(false),
            Err(error) => Err(self.failed(live, &error)),
        }
    }

    /// Carries out a plan, or restores the previous locks. EAGAIN if another client's lock conflicts.
    async fn carry_out(&self, held: &mut Vec<Piece>, plan: &Plan) -> Result<(), Errno> {
        let mut unlocked: Vec<Piece> = Vec::new();
        for piece in &plan.unlock {
            if let Err(errno) = self.give_back(held, piece).await {
                self.lock_again(held, &unlocked).await;
                return Err(errno);
            }
            unlocked.push(*piece);
        }
        let mut done: Vec<Piece> = Vec::new();
        for piece in &plan.lock {
            let errno = match self.at_server(piece, element(piece, true)).await {
                Ok(()) => {
                    held.push(*piece);
                    self.mark(held, piece.handle);
                    done.push(*piece);
                    continue;
                }
                Err(Outcome::Refused) => Errno::EAGAIN,
                Err(Outcome::Lost) => Errno::EIO,
                Err(Outcome::Failed(errno)) => errno,
            };
            let mut errno = errno;
            for piece in done {
                if let Err(worse) = self.give_back(held, &piece).await {
                    errno = worse;
                }
            }
            self.lock_again(held, &unlocked).await;
            return Err(errno);
        }
        Ok(())
    }

    /// Unlocks a piece. It stays in the table as long as the server may have it locked.
    async fn give_back(&self, held: &mut Vec<Piece>, piece: &Piece) -> Result<(), Errno> {
        match self.at_server(piece, unlocking(piece)).await {
            // Already released, with the connection or by an administrator.
            Ok(()) | Err(Outcome::Lost | Outcome::Refused) => {
                held.retain(|other| other != piece);
                self.mark(held, piece.handle);
                Ok(())
            }
            Err(Outcome::Failed(errno)) => Err(errno),
        }
    }

    /// Locks pieces again that were unlocked for a plan that failed. Pieces that another client has locked
    /// meanwhile are lost; the caller returns an error in any case.
    async fn lock_again(&self, held: &mut Vec<Piece>, pieces: &[Piece]) {
        for piece in pieces {
            if self.at_server(piece, element(piece, true)).await.is_ok() {
                held.push(*piece);
            }
            self.mark(held, piece.handle);
        }
    }

    /// Updates the flag that an open has locks.
    fn mark(&self, held: &[Piece], handle: FileHandle) {
        if let Ok(open) = self.files.get(handle) {
            open.locked.store(held.iter().any(|piece| piece.handle == handle), Ordering::Relaxed);
        }
    }

    async fn at_server(&self, piece: &Piece, element: LockElement) -> Result<(), Outcome> {
        let (live, file) = self.lockable(piece.handle).await?;
        if self.is_alone(piece.handle) {
            // No other machine has the file open, as long as the server has not closed it.
            let open = element.flags == LockFlags::UNLOCK || self.links_of(&live, &file).await.is_ok();
            return if open { Ok(()) } else { Err(Outcome::Failed(Errno::EIO)) };
        }
        file.lock(&[element]).await.map_err(|error| {
            if refused(&error) || error.is(NtStatus::RANGE_NOT_LOCKED) {
                return Outcome::Refused;
            }
            Outcome::Failed(self.failed(&live, &error))
        })
    }

    async fn lockable(&self, handle: FileHandle) -> Result<(Live, File), Outcome> {
        let open: Arc<OpenFile> = self.files.get(handle).map_err(|_| Outcome::Lost)?;
        self.through(&open).await.map_err(|_| Outcome::Lost)
    }

    /// Lets the server wait for a lock until it is granted, a lock of this machine changes, or a signal
    /// arrives.
    async fn wait_at_server(
        &self,
        piece: &Piece,
        mut changed: std::pin::Pin<&mut tokio::sync::futures::Notified<'_>>,
        waits: Option<u32>,
    ) -> Result<Waited, Errno> {
        let Ok((live, file)) = self.lockable(piece.handle).await else { return Err(Errno::EIO) };
        let sent = file.submit_lock(&[element(piece, false)]).await;
        let sent = sent.map_err(|error| self.failed(&live, &error))?;
        let message_id = sent.message_id;
        let answer = sent.response_within(limits::LOCK_WAIT_MAX);
        tokio::pin!(answer);
        let interrupted = tokio::select! {
            answer = &mut answer => return match answer.and_then(client::smb::Response::success) {
                Ok(_) => {
                    if let Ok(open) = self.files.get(piece.handle) {
                        open.locked.store(true, Ordering::Relaxed);
                    }
                    Ok(Waited::Granted)
                }
                Err(error) if refused(&error) => Ok(Waited::Changed),
                Err(error) => Err(self.failed(&live, &error)),
            },
            () = changed.as_mut() => false,
            () = signal(waits) => true,
        };
        let connection = live.tree.connection();
        let cancelled = connection.cancel_message(message_id, live.tree.scope()).await;
        cancelled.map_err(|error| self.failed(&live, &error))?;
        let Ok(granted) = tokio::time::timeout(limits::REQUEST_TIME_MAX, answer).await else {
            // The state of the lock is unknown; ending the connection releases it.
            connection.disconnect();
            return Err(Errno::EIO);
        };
        // The lock may have been granted before the server received the cancellation; some servers answer
        // that it was cancelled and have granted it nevertheless.
        let status = granted.map(|answer| answer.status());
        if status.is_ok_and(|status| status.is_success() || status == NtStatus::CANCELLED)
            && let Err(error) = file.lock(&[unlocking(piece)]).await
            && !error.is(NtStatus::RANGE_NOT_LOCKED)
        {
            let errno = self.failed(&live, &error);
            if let Ok(open) = self.files.get(piece.handle) {
                self.give_up(&open, &live).await;
            }
            return Err(errno);
        }
        if interrupted { Err(Errno::EINTR) } else { Ok(Waited::Changed) }
    }

    /// Makes the kernel drop a file's pages and attributes.
    pub(crate) async fn invalidate(&self, number: INodeNo) {
        if let Some(notifier) = self.notifier.get().cloned() {
            // The kernel may first write pages, which this volume serves. It returns an error for a file that
            // it does not know, and so has no pages of.
            tokio::task::spawn_blocking(move || notifier.inval_inode(number, 0, 0).ok()).await.ok();
        }
    }
}

enum Waited {
    Granted,
    Changed,
}

enum Outcome {
    /// Another lock conflicts, or there was no lock to release.
    Refused,
    /// The open is gone, together with its locks.
    Lost,
    Failed(Errno),
}

impl Request {
    fn piece(&self, exclusive: bool) -> Piece {
        let Self { owner, handle, pid, range } = *self;
        Piece { owner, handle, pid, range, exclusive }
    }
}

impl Range {
    /// The length in bytes.
    pub(crate) fn length(self) -> u64 {
        self.end.saturating_sub(self.start).saturating_add(1)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// A conflicting lock of another owner on this machine.
fn conflict(held: &[Piece], request: &Request, exclusive: bool) -> Option<Piece> {
    let others = held.iter().filter(|piece| piece.owner != request.owner);
    others.copied().find(|piece| piece.range.overlaps(request.range) && (exclusive || piece.exclusive))
}

/// The plan of a call that sets a lock, or with `None` removes locks.
fn plan(held: &[Piece], request: &Request, exclusive: Option<bool>) -> Plan {
    let own = held.iter().filter(|piece| piece.owner == request.owner && piece.range.overlaps(request.range));
    let (kept, cut): (Vec<Piece>, Vec<Piece>) = own.partition(|piece| Some(piece.exclusive) == exclusive);
    let remnants = cut.iter().flat_map(|piece| {
        without(piece.range, [request.range].into_iter()).into_iter().map(|range| Piece { range, ..*piece })
    });
    let mut lock: Vec<Piece> = Vec::new();
    if let Some(exclusive) = exclusive {
        let gaps = without(request.range, kept.iter().map(|piece| piece.range));
        lock.extend(gaps.into_iter().map(|range| Piece { range, ..request.piece(exclusive) }));
    }
    lock.extend(remnants);
    Plan { unlock: cut, lock }
}

/// The rest of a range without other ranges.
fn without(range: Range, others: impl Iterator<Item = Range>) -> Vec<Range> {
    let mut left = vec![range];
    for other in others {
        left = left
            .into_iter()
            .flat_map(|part| {
                if !part.overlaps(other) {
                    return [Some(part), None];
                }
                let before = other.start.checked_sub(1).filter(|end| part.start <= *end);
                let after = other.end.checked_add(1).filter(|start| *start <= part.end);
                [
                    before.map(|end| Range { start: part.start, end }),
                    after.map(|start| Range { start, end: part.end }),
                ]
            })
            .flatten()
            .collect();
    }
    left
}

fn element(piece: &Piece, at_once: bool) -> LockElement {
    let kind = if piece.exclusive { LockFlags::EXCLUSIVE_LOCK } else { LockFlags::SHARED_LOCK };
    let flags = if at_once { kind | LockFlags::FAIL_IMMEDIATELY } else { kind };
    LockElement { flags, ..unlocking(piece) }
}

fn unlocking(piece: &Piece) -> LockElement {
    let range = piece.range;
    LockElement { offset: range.start, length: range.length(), flags: LockFlags::UNLOCK }
}

/// True if another lock prevented the request.
pub(crate) fn refused(error: &Error) -> bool {
    error.is(NtStatus::LOCK_NOT_GRANTED) || error.is(NtStatus::FILE_LOCK_CONFLICT)
}

/// Waits until a thread has a signal to handle. FUSE does not report that here, so the thread's status is
/// polled.
async fn signal(thread: Option<u32>) {
    let status = format!("/proc/{}/status", thread.unwrap_or_default());
    loop {
        tokio::time::sleep(limits::SIGNAL_PAUSE).await;
        if fs::read_to_string(&status).is_ok_and(|status| signalled(&status)) {
            return;
        }
    }
}

/// True if a status of proc(5) contains a pending signal that is neither blocked nor ignored.
fn signalled(status: &str) -> bool {
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
    };
    (mask("SigPnd") | mask("ShdPnd")) & !mask("SigBlk") & !mask("SigIgn") != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> Range {
        Range { start, end }
    }

    fn request(owner: u64, range: Range) -> Request {
        Request { owner: LockOwner(owner), handle: FileHandle(owner), pid: 1, range }
    }

    fn apply(held: &mut Vec<Piece>, plan: &Plan) {
        for piece in &plan.unlock {
            let index = held.iter().position(|other| other == piece).unwrap();
            held.remove(index);
        }
        held.extend(&plan.lock);
    }

    #[test]
    fn held_ranges_are_not_locked_again() {
        let mut held = Vec::new();
        let first = plan(&held, &request(1, range(10, 19)), Some(true));
        assert_eq!(first.lock.len(), 1);
        apply(&mut held, &first);
        let more = plan(&held, &request(1, range(0, 29)), Some(true));
        assert!(more.unlock.is_empty());
        assert_eq!(
            more.lock.iter().map(|piece| piece.range).collect::<Vec<_>>(),
            [range(0, 9), range(20, 29)]
        );
        assert_eq!(plan(&held, &request(1, range(12, 13)), Some(true)), Plan::default());
    }

    #[test]
    fn locks_of_other_owners_conflict_unless_both_are_shared() {
        let held = [request(1, range(0, 9)).piece(false), request(1, range(10, 19)).piece(true)];
        assert!(conflict(&held, &request(2, range(0, 9)), false).is_none());
        assert!(conflict(&held, &request(2, range(0, 9)), true).is_some());
        assert!(conflict(&held, &request(2, range(9, 10)), false).is_some());
        assert!(conflict(&held, &request(1, range(0, 19)), true).is_none());
        assert!(conflict(&held, &request(2, range(20, u64::MAX)), true).is_none());
    }

    #[test]
    fn only_signals_neither_blocked_nor_ignored_count() {
        let status = |pending: &str, blocked: &str, ignored: &str| {
            format!("Name:\tx\nSigPnd:\t{pending}\nShdPnd:\t0\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\n")
        };
        assert!(signalled(&status("0000000000000002", "0", "0")));
        assert!(!signalled(&status("2", "2", "0")) && !signalled(&status("2", "0", "2")));
        assert!(!signalled("") && !signalled(&status("0", "0", "0")));
    }

    proptest! {
        #[test]
        fn plans_lock_the_same_bytes_as_a_simple_model(
            calls in prop::collection::vec((0u64..2, 0u64..24, 0u64..12, prop::option::of(any::<bool>())), 1..40)
        ) {
            let mut held: Vec<Piece> = Vec::new();
            let mut bytes = [[None; 40]; 2];
            for (owner, start, length, kind) in calls {
                let request = request(owner, range(start, start + length));
                let other = &bytes[1 - owner as usize];
                let blocked = (start..=start + length).any(|at| {
                    other[at as usize].is_some_and(|theirs: bool| theirs || kind == Some(true))
                });
                prop_assert_eq!(
                    kind.is_some_and(|exclusive| conflict(&held, &request, exclusive).is_some()),
                    kind.is_some() && blocked
                );
                if kind.is_some() && blocked {
                    continue;
                }
                let plan = plan(&held, &request, kind);
                apply(&mut held, &plan);
                for at in start..=start + length {
                    bytes[owner as usize][at as usize] = kind;
                }
                for (owner, bytes) in bytes.iter().enumerate() {
                    for (at, kind) in bytes.iter().enumerate() {
                        let here = held.iter().filter(|piece| {
                            piece.owner.0 == owner as u64
                                && piece.range.overlaps(range(at as u64, at as u64))
                        });
                        let here: Vec<bool> = here.map(|piece| piece.exclusive).collect();
                        prop_assert_eq!(here, kind.iter().copied().collect::<Vec<bool>>());
                    }
                }
            }
        }
    }
}
