//! Appends to a file that others write to as well (O_APPEND of open(2)).
//!
//! The kernel passes the end of the file as it last knew it. No single SMB request makes every server append:
//!
//! - A write through an open that has FILE_APPEND_DATA and not FILE_WRITE_DATA goes to the end in MS-FSA
//!   2.1.5.4. Windows refuses it if it would overwrite data (MS-SMB2 3.3.5.13), and Samba writes at the given
//!   offset.
//! - The offset -1, FILE_WRITE_TO_END_OF_FILE for a local file in Windows, is not an offset in MS-SMB2
//!   2.2.21: Windows and this server refuse it, Samba accepts it from clients with POSIX extensions only.
//! - The size can be queried, but may have changed when the answer arrives.
//!
//! All servers have locks that are binding for every writer (MS-FSA 2.1.5.4). So an append locks the bytes
//! that it is going to write, exclusively, and then queries the size again. If the end still is the start of
//! the locked range, no other client can write there first, and a later query of the size includes the new
//! data. Otherwise the range is unlocked and the next one is tried. Two appends compete for the same first
//! byte, so one waits for the other. A client may extend the file beyond the range meanwhile: its data is not
//! overwritten, but the append is not at the end of the file. A client that writes into the range without a
//! lock is refused, as with any lock. Processes on the server itself are not restricted by the lock.
//!
//! If a server has no locks, the size is queried immediately before the write, which leaves a race.
//!
//! Ranges that the process has locked already are not locked again.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use client::smb::File;
use fuser::{Errno, FileHandle, OpenFlags};
use wire::NtStatus;
use wire::msg::{LockElement, LockFlags};

use crate::files::OpenFile;
use crate::limits;
use crate::locks::{Range, refused};
use crate::open_lifetime::Tenure;
use crate::remote::Live;
use crate::volume::{Volume, wire_size};

/// True if writes with these flags go to the end of the file.
pub(crate) fn appends(flags: OpenFlags) -> bool {
    flags.0 & O_APPEND != 0
}

/// A finished append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    /// The number of bytes.
    pub(crate) length: u32,
    /// True if the kernel has the data in its page cache, at the offset of the end that it last knew. It
    /// keeps these pages locked until the request is answered.
    pub(crate) cached: bool,
}

/// The outcome of one attempt to append.
enum Tried {
    Written,
    /// The end is at this offset, not at the expected one.
    Moved(u64),
    /// The bytes behind the end are locked.
    Locked {
        /// True if a process of this machine holds the lock. The append then uses that lock's open if it can
        /// write; if none can, waiting helps only if the lock is just being released.
        here: bool,
    },
}

impl Volume {
    /// Appends all of the data; `end` is the end of the file as far as the kernel knows.
    pub(crate) async fn append(
        &self,
        handle: FileHandle,
        mut end: u64,
        data: &Bytes,
    ) -> Result<Appended, Errno> {
        let open = self.files.get(handle)?;
        let length = u32::try_from(data.len()).map_err(|_| Errno::EINVAL)?;
        if length == 0 {
            return Ok(Appended { length, cached: false });
        }
        let (started, mut here_since) = (Instant::now(), None);
        let (mut pause, longest) = limits::APPEND_PAUSES;
        loop {
            let tried = self.append_through_any(&open, end, data).await?;
            if let Tried::Written = tried {
                break;
            }
            if !matches!(tried, Tried::Locked { here: true }) {
                here_since = None;
            } else if here_since.get_or_insert_with(Instant::now).elapsed() > limits::APPEND_WAIT_HERE_MAX {
                return Err(Errno::EACCES);
            }
            if started.elapsed() > limits::APPEND_WAIT_MAX {
                return Err(Errno::EACCES);
            }
            if let Tried::Moved(to) = tried {
                end = to;
            } else {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(longest);
            }
        }
        if open.direct {
            self.invalidate(open.number).await;
        }
        Ok(Appended { length, cached: !open.direct })
    }

    /// Tries the given open, and then other opens of the file that hold locks: the locks belong to the same
    /// process.
    async fn append_through_any(&self, open: &Arc<OpenFile>, end: u64, data: &Bytes) -> Result<Tried, Errno> {
        let mut tried = self.append_through(open, end, data).await?;
        for other in self.others(open, |other| other.writes) {
            let Tried::Locked { .. } = tried else { break };
            tried = self.append_through(&other, end, data).await?;
        }
        Ok(tried)
    }

    async fn append_through(&self, open: &Arc<OpenFile>, end: u64, data: &Bytes) -> Result<Tried, Errno> {
        let last = end.checked_add(wire_size(data.len())).filter(|end| i64::try_from(*end).is_ok());
        let range = Range { start: end, end: last.ok_or(Errno::EFBIG)?.saturating_sub(1) };
        let (live, file) = self.through(open).await?;
        // The locks of the process must not change before the append is done.
        let held = self.locks.of(open.number);
        let held = held.lock().await;
        let mut guards = match open.tenure {
            Tenure::Alone => Vec::new(),
            _ => self.locks.gaps(&held, &self.files, open, range),
        };
        if !guards.is_empty() {
            match file.lock(&elements(&guards, LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY)).await
            {
                Ok(()) => {}
                Err(error) if refused(&error) => {
                    let here =
                        held.iter().any(|piece| guards.iter().any(|guard| piece.range.overlaps(*guard)));
                    return Ok(Tried::Locked { here });
                }
                Err(error) if error.status().is_some_and(|status| WITHOUT_LOCKS.contains(&status)) => {
                    guards.clear();
                }
                Err(error) => return Err(self.failed(&live, &error)),
            }
        }
        let outcome = self.append_locked(open, &live, &file, end, data).await;
        let unlocked = match guards.is_empty() {
            true => Ok(()),
            false => file.lock(&elements(&guards, LockFlags::UNLOCK)).await,
        };
        drop(held);
        if let Err(error) = unlocked {
            // The lock must not remain: if the range cannot be unlocked, the file is closed. The data is
            // written in any case.
            self.failed(&live, &error);
            self.give_up(open, &live).await;
        }
        outcome
    }

    async fn append_locked(
        &self,
        open: &OpenFile,
        live: &Live,
        file: &File,
        end: u64,
        data: &Bytes,
    ) -> Result<Tried, Errno> {
        let size = self.size_of(live, file).await?;
        if size != end {
            return Ok(Tried::Moved(size));
        }
        match self.write_through(open, end, data).await {
            Ok(()) => Ok(Tried::Written),
            Err(failed) => Err(failed.errno),
        }
    }
}

fn elements(ranges: &[Range], flags: LockFlags) -> Vec<LockElement> {
    ranges.iter().map(|range| LockElement { offset: range.start, length: range.length(), flags }).collect()
}

/// The statuses of servers without byte-range locks for LOCK.
const WITHOUT_LOCKS: &[NtStatus] =
    &[NtStatus::NOT_SUPPORTED, NtStatus::NOT_IMPLEMENTED, NtStatus::INVALID_DEVICE_REQUEST];

const O_APPEND: i32 = 0o2000;
