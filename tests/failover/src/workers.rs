//! The work of the clients: they write records into a ring, and increment a number under a lock.

use client::smb::{Error, File, Part, write_part};
use futures_util::future::join_all;
use wire::msg::{LockElement, LockFlags, LockRequest, Locks, WriteResponse};
use wire::{Command, NtStatus};

use crate::client::{Answer, Open};
use crate::history::{Entry, Record, SLOT, SLOTS};
use crate::limits::{AGAIN, PACE};

/// The records that are under way at once.
const BATCH: u64 = 4;

/// The batches between two readings of the whole ring.
const READ_EACH: u64 = 40;

/// A client that writes into a ring of its own.
pub(crate) struct Ring {
    pub(crate) open: Open,
    sending: u64,
}

impl Ring {
    pub(crate) fn new(open: Open) -> Self {
        Self { open, sending: 0 }
    }

    /// Writes until it is over. Returns the open with all that it saw, and the number of records.
    pub(crate) async fn run(mut self) -> (Open, u64) {
        let mut number = 0;
        while !self.open.world.is_over() {
            self.write((number..number + BATCH).collect()).await;
            number += BATCH;
            self.flush().await;
            self.open.has_done();
            if number % (BATCH * READ_EACH) == 0 {
                self.read().await;
            }
            tokio::time::sleep(PACE).await;
        }
        self.read().await;
        self.open.close().await;
        (self.open, number)
    }

    async fn write(&mut self, mut numbers: Vec<u64>) {
        let mut is_replay = false;
        while !numbers.is_empty() {
            let file = self.open.file().await;
            let mut writes = Vec::new();
            for number in &numbers {
                self.sending += 1;
                let record = Record { number: *number, sending: self.sending };
                self.open.history.push(Entry::Sent(record));
                writes.push(write(&file, record, self.open.number, is_replay));
            }
            let mut has_come_back = false;
            for (record, answer) in join_all(writes).await {
                if let Answer::Done(()) = self.open.judge("WRITE", answer) {
                    self.open.history.push(Entry::Written(record));
                    numbers.retain(|it| *it != record.number);
                } else {
                    has_come_back = true;
                }
            }
            if has_come_back {
                is_replay = true;
                tokio::time::sleep(AGAIN).await;
                self.read_unanswered().await;
            }
        }
    }

    async fn flush(&mut self) {
        loop {
            let file = self.open.file().await;
            match self.open.judge("FLUSH", file.flush().await) {
                Answer::Done(()) => return self.open.history.push(Entry::Flushed),
                Answer::Refused(_) | Answer::Lost => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Reads the ring once, while WRITEs have no answer.
    async fn read_unanswered(&mut self) {
        let file = self.open.file().await;
        let answer = self.read_slots(&file).await;
        self.open.judge("READ", answer);
    }

    async fn read(&mut self) {
        loop {
            let file = self.open.file().await;
            let answer = self.read_slots(&file).await;
            match self.open.judge("READ", answer) {
                Answer::Done(()) => return,
                Answer::Refused(_) | Answer::Lost => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn read_slots(&mut self, file: &File) -> Result<(), Error> {
        let length = u32::try_from(SLOTS * SLOT).unwrap_or(u32::MAX);
        let bytes = match file.read(0, length).await {
            Err(error) if error.is(NtStatus::END_OF_FILE) => Vec::new(),
            other => other?.to_vec(),
        };
        let slots = entries(&bytes, self.open.number);
        self.open.history.extend(slots.unwrap_or_else(|error| {
            self.open.world.finding(format!("{}: {error}", self.open.who));
            Vec::new()
        }));
        Ok(())
    }
}

/// The slots in the bytes of a ring.
pub(crate) fn entries(bytes: &[u8], client: u64) -> Result<Vec<Entry>, String> {
    let mut bytes = bytes.to_vec();
    bytes.resize(usize::try_from(SLOTS * SLOT).unwrap_or(0), 0);
    let slots = bytes.chunks_exact(usize::try_from(SLOT).unwrap_or(1)).zip(0..SLOTS);
    let slots = slots.map(|(bytes, slot)| {
        let record = Record::from_bytes(bytes, client)
            .map_err(|bytes| format!("slot {slot} is no record of this client: {bytes}"))?;
        Ok(Entry::Read { slot, record })
    });
    slots.collect()
}

async fn write(file: &File, record: Record, client: u64, is_replay: bool) -> (Record, Result<(), Error>) {
    let bytes = record.to_bytes(client);
    let length = bytes.len();
    let part = write_part(file.id(), record.slot() * SLOT, bytes.into());
    let scope = file.tree().scope().clone();
    let scope = if is_replay { scope.replay() } else { scope };
    let write = async {
        let answer = file.tree().connection().request(&scope, part).await?.success()?;
        let count = WriteResponse::decode(&answer.message)?.count;
        if usize::try_from(count) == Ok(length) {
            Ok(())
        } else {
            Err(Error::Unable("it was written in part"))
        }
    };
    (record, write.await)
}

/// A client that increments a number under a lock, as another one does.
pub(crate) struct Counter {
    pub(crate) open: Open,
    /// The number of the last LOCK.
    sequence: u32,
}

impl Counter {
    pub(crate) fn new(open: Open) -> Self {
        Self { open, sequence: 0 }
    }

    /// Increments until it is over. Returns the open with all that it saw, and the number of increments.
    pub(crate) async fn run(mut self) -> (Open, u64) {
        let mut done = 0;
        while !self.open.world.is_over() {
            if !self.lock(EXCLUSIVE).await {
                tokio::time::sleep(PACE).await;
                // The holder goes on, or this client would.
                self.open.has_done();
                continue;
            }
            self.open.history.push(Entry::Locked { at: self.open.world.now() });
            let value = self.value().await;
            self.set(value + 1).await;
            self.open.history.push(Entry::Unlocking { at: self.open.world.now() });
            if !self.lock(LockFlags::UNLOCK).await {
                self.open.world.finding(format!("{} has lost its lock", self.open.who));
            }
            done += 1;
            self.open.has_done();
            tokio::time::sleep(PACE).await;
        }
        self.open.close().await;
        (self.open, done)
    }

    /// Repeats a LOCK until it is answered. Returns false if another client has the range, or it is not locked.
    async fn lock(&mut self, flags: LockFlags) -> bool {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = 0x10 | self.sequence & 0xf;
        loop {
            let file = self.open.file().await;
            match self.open.judge("LOCK", lock(&file, flags, sequence).await) {
                Answer::Done(()) => return true,
                Answer::Refused(NtStatus::LOCK_NOT_GRANTED | NtStatus::RANGE_NOT_LOCKED) => return false,
                // A LOCK that could not be recorded is a new one when it is sent again.
                Answer::Refused(_) if flags == EXCLUSIVE => return false,
                Answer::Refused(_) | Answer::Lost => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn value(&mut self) -> u64 {
        loop {
            let file = self.open.file().await;
            let read = match file.read(0, 8).await {
                Err(error) if error.is(NtStatus::END_OF_FILE) => Ok(0),
                other => other.map(|it| it[..].try_into().map_or(0, u64::from_le_bytes)),
            };
            match self.open.judge("READ", read) {
                Answer::Done(value) => return value,
                Answer::Refused(_) | Answer::Lost => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn set(&mut self, value: u64) {
        let mut is_replay = false;
        loop {
            let file = self.open.file().await;
            let part = write_part(file.id(), 0, value.to_le_bytes().to_vec().into());
            let scope = file.tree().scope().clone();
            let scope = if is_replay { scope.replay() } else { scope };
            let answer = match file.tree().connection().request(&scope, part).await {
                Ok(answer) => answer.success().map(drop),
                Err(error) => Err(error),
            };
            match self.open.judge("WRITE", answer) {
                Answer::Done(()) => return,
                Answer::Refused(_) | Answer::Lost => tokio::time::sleep(AGAIN).await,
            }
            is_replay = true;
        }
    }
}

const EXCLUSIVE: LockFlags = LockFlags(LockFlags::EXCLUSIVE_LOCK.0 | LockFlags::FAIL_IMMEDIATELY.0);

/// A LOCK of the number with a sequence number (MS-SMB2 2.2.26).
async fn lock(file: &File, flags: LockFlags, sequence: u32) -> Result<(), Error> {
    let element = LockElement { offset: 0, length: 8, flags };
    let mut buffer = Vec::new();
    let locks = Locks::build(&[element], &mut buffer);
    let body = LockRequest { lock_sequence: sequence, file_id: file.id(), locks };
    let part = Part::new(Command::LOCK, |out, base| body.encode(out, base));
    file.tree().request(part).await.map(drop)
}
