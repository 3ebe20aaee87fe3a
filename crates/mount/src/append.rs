//! Writing at the end of a file that others write to as well (O_APPEND of open(2)).
//!
//! The kernel says where it takes the end to be, which is where it was a while ago. No request of SMB's asks every
//! server to find it:
//!
//! - A write through an open that has FILE_APPEND_DATA and not FILE_WRITE_DATA goes to the end by MS-FSA 2.1.5.4. Windows
//!   refuses it where it would overwrite (MS-SMB2 3.3.5.13), and Samba writes where it is told to.
//! - The offset -1, which is FILE_WRITE_TO_END_OF_FILE for a local file of Windows', is no offset in MS-SMB2 2.2.21:
//!   Windows and this server refuse it, Samba takes it from clients with POSIX extensions only.
//! - The size can be asked for, and has changed when the answer is there.
//!
//! What all of them have is locks that hold for whoever writes, lock or no lock (MS-FSA 2.1.5.4). So an append locks the
//! bytes that it is going to write, exclusively, and then asks for the size again. If the end still is where the locked
//! range starts, nobody can write there before this client has, and whoever asks for the size afterwards finds it grown.
//! If not, the range is unlocked and the next one tried. Two appends want the same first byte, so one waits for the
//! other. Others may extend the file beyond the range meanwhile: nothing of theirs is overwritten, but the append is not
//! the last thing in the file. Whoever writes into the range meanwhile without a lock is refused, as by any lock. Nor
//! does a lock keep processes on the server itself away.
//!
//! A server that has no locks is asked for the size right before, which is all that can be done there.
//!
//! What a process has locked here is left out of what is locked for it: the server has it locked already.

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

/// Whether writes of an open file with these flags go to its end.
pub(crate) fn appends(flags: OpenFlags) -> bool {
    flags.0 & O_APPEND != 0
}

/// A finished append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    /// Bytes of it.
    pub(crate) length: u32,
    /// Whether the kernel has it in pages, and those where it took the end to be. It holds them until it is answered.
    pub(crate) cached: bool,
}

/// The outcome of one attempt to append.
enum Tried {
    Written,
    /// The end is here, not where it was taken to be.
    Moved(u64),
    /// Somebody has locked the bytes behind the end.
    Locked {
        /// Whether it is a process of this machine. An append goes through its open if that can write, unless it is
        /// just being unlocked; otherwise waiting is in vain.
        here: bool,
    },
}

impl Volume {
    /// Writes all of it at the end of the file, wherever that is; `end` is where the kernel takes it to be.
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

    /// A process reaches what it has locked through any of its opens.
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
        // What a process has locked must not change before the append is done.
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
            // The lock must not stay: what is not unlocked is closed. What was written is written.
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

/// What servers without locks of ranges answer to LOCK.
const WITHOUT_LOCKS: &[NtStatus] =
    &[NtStatus::NOT_SUPPORTED, NtStatus::NOT_IMPLEMENTED, NtStatus::INVALID_DEVICE_REQUEST];

const O_APPEND: i32 = 0o2000;
