//! Our own client: all operations of SMB, on its own files, whose bytes it remembers, and on files that all clients
//! use.

use std::sync::Arc;
use std::time::Duration;

use auth::Credentials;
use client::smb::{
    ClientConnection, ClientTree, ConnectOptions, CreateParameters, Error, File, InFlight, Signing,
};
use parking_lot::Mutex;
use wire::create_context::{CreateContextsRequest, DurableRequestV2, LeaseContext, LeaseFlags};
use wire::fscc::FileInfoClass;
use wire::msg::{
    AdditionalInformation, CompletionFilter, CreateDisposition, CreateOptions, InfoType, LockElement,
    LockFlags, WatchFlags,
};
use wire::{AccessMask, Dialect, Guid, LeaseState, NtStatus, OplockLevel, ShareAccess, utf16le};

use super::breaks::acknowledge;
use crate::allowed::Operation as O;
use crate::ledger::{Ledger, SLOT};
use crate::world::{LINE, World, lock};
use testkit::Random;

/// Works until the round is over.
pub(crate) fn work(world: &Arc<World>, number: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let round = world.round();
        let who = format!("ours {number}");
        let directory = format!("r{round}-o{number}");
        let random = Random::new(world.seed, (round as u64) << 16 | number as u64);
        let ledger = world.ledger(&directory);
        let mut client = Client { world, who, directory, random, ledger, made: 0, notes: Vec::new() };
        while !world.is_over() {
            client.session().await;
        }
    });
}

struct Client<'a> {
    world: &'a Arc<World>,
    who: String,
    directory: String,
    random: Random,
    ledger: Arc<Mutex<Ledger>>,
    /// The number of files that it created. Each has its own name, so that late requests of an old connection affect
    /// no other file.
    made: u64,
    /// The last actions, for a finding.
    notes: Vec<String>,
}

/// A session with its opens.
struct Session {
    connection: ClientConnection,
    tree: ClientTree,
    own: Vec<(String, File)>,
    common: Vec<File>,
    watches: Vec<InFlight>,
}

/// The connection or the session is gone.
struct Lost;

impl Client<'_> {
    /// Logs on and does things until the session, or the round, is over.
    async fn session(&mut self) {
        let mut session = match self.log_on().await {
            Ok(session) => session,
            Err(error) => {
                self.world.judge(&self.who, O::Connect, &error);
                tokio::time::sleep(Duration::from_millis(50)).await;
                return;
            }
        };
        let breaks = tokio::spawn(acknowledge(session.connection.clone(), session.tree.clone()));
        let length = 20 + self.random.below(400);
        let mut lost = false;
        for _ in 0..length {
            if self.world.is_over() {
                break;
            }
            if let Err(Lost) = self.operation(&mut session).await {
                lost = true;
                break;
            }
            tokio::time::sleep(Duration::from_micros(self.random.next() % 4000)).await;
        }
        // Some log off, some disconnect, some are cut off.
        let way = self.random.below(3);
        if !lost && way == 0 {
            for (_, file) in session.own.drain(..) {
                let closed = file.close().await;
                self.told(O::UseOwn, closed.map(drop)).await.ok();
            }
            let ended = session.tree.session().logoff().await;
            self.told(O::Connect, ended).await.ok();
        }
        session.connection.disconnect();
        breaks.abort();
    }

    async fn log_on(&mut self) -> Result<Session, Error> {
        let random = &mut self.random;
        let dialects = [Dialect::SMB202, Dialect::SMB210, Dialect::SMB300, Dialect::SMB302, Dialect::SMB311];
        let dialect = *random.one_of(&dialects);
        let options = ConnectOptions {
            signing: if random.once_in(3) { Signing::Required } else { Signing::IfRequired },
            seal_if_possible: random.once_in(4),
            ..ConnectOptions::new()?.dialect(dialect)
        };
        let connection = ClientConnection::connect(self.world.way(random), None, options).await?;
        let user = self.world.user(if random.once_in(2) { "alice" } else { "bob" });
        let session = connection.logon(Credentials::password(&user.name, "", &user.password)).await?;
        let tree = session.tree_connect(r"\\127.0.0.1\data").await?;
        for directory in [self.directory.as_str(), COMMON] {
            let parameters = CreateParameters {
                disposition: CreateDisposition::OPEN_IF,
                ..CreateParameters::directory(directory)
            };
            tree.create(&parameters).await?.close().await?;
        }
        Ok(Session { connection, tree, own: Vec::new(), common: Vec::new(), watches: Vec::new() })
    }

    /// Judges an answer; an error that the session does not survive ends it.
    async fn told<T>(&mut self, operation: O, answer: Result<T, Error>) -> Result<Option<T>, Lost> {
        let error = match answer {
            Ok(value) => {
                self.world.count(operation, "SUCCESS");
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        let before = self.world.found();
        self.world.judge(&self.who, operation, &error);
        if self.world.found() > before {
            eprintln!("      {}", self.notes.join("; "));
        }
        match error {
            Error::Status(NtStatus::USER_SESSION_DELETED | NtStatus::NETWORK_NAME_DELETED, _) => Err(Lost),
            Error::Status(..) => Ok(None),
            _ => Err(Lost),
        }
    }

    fn note(&mut self, what: String) {
        if self.notes.len() == NOTES {
            self.notes.remove(0);
        }
        self.notes.push(what);
    }

    async fn operation(&mut self, session: &mut Session) -> Result<(), Lost> {
        match self.random.below(40) {
            0..3 => self.make(session).await,
            3..12 => self.write(session).await,
            12..15 => self.flush(session).await,
            15..20 => self.read(session).await,
            20 => self.rename(session).await,
            21 => self.remove(session).await,
            22 => self.close(session).await,
            23 => self.list(session).await,
            24..31 => self.common(session).await,
            31 => self.notify(session).await,
            32..35 => self.append(session).await,
            35 | 36 => self.small(session).await,
            37 => self.passing(session).await,
            38 => self.sealed(session).await,
            _ => {
                let echo = session.connection.echo().await;
                self.told(O::Connect, echo).await.map(drop)
            }
        }
    }

    async fn make(&mut self, session: &mut Session) -> Result<(), Lost> {
        if session.own.len() >= OWN_MAX {
            return self.close(session).await;
        }
        let known = lock(&self.ledger).names_to_use();
        let again = !known.is_empty() && self.random.once_in(3);
        let name = if again {
            self.random.one_of(&known).clone()
        } else {
            self.made += 1;
            format!("f{}", self.made)
        };
        if session.own.iter().any(|(open, _)| *open == name) {
            return Ok(());
        }
        self.note(format!("make {name}"));
        let path = format!(r"{}\{name}", self.directory);
        let (oplock, contexts) = self.caching(session, 0);
        let parameters = CreateParameters {
            disposition: if again { CreateDisposition::OPEN } else { CreateDisposition::CREATE },
            oplock,
            contexts,
            ..CreateParameters::read_write(&path)
        };
        let answer = session.tree.create(&parameters).await;
        if let Some(file) = self.told(O::CreateOwn, answer).await? {
            if !again {
                lock(&self.ledger).made(&name, self.random.next());
            }
            session.own.push((name, file));
        }
        Ok(())
    }

    /// The caching that the client requests for a file; `which` distinguishes the leases of files.
    fn caching(&mut self, session: &Session, which: usize) -> (OplockLevel, CreateContextsRequest<'static>) {
        let dialect = session.connection.negotiated().map_or(Dialect::SMB202, |it| it.dialect);
        let mut contexts = CreateContextsRequest::default();
        let mut oplock = *self.random.one_of(&[
            OplockLevel::NONE,
            OplockLevel::LEVEL_II,
            OplockLevel::EXCLUSIVE,
            OplockLevel::BATCH,
        ]);
        if dialect >= Dialect::SMB210 && which > 0 && self.random.once_in(2) {
            let state = *self.random.one_of(&[1_u32, 3, 5, 7]);
            let key = Guid([u8::try_from(which).unwrap_or(0xff); 16]);
            contexts.lease =
                Some(LeaseContext { key, state: LeaseState(state), flags: LeaseFlags::NONE, v2: None });
            oplock = OplockLevel::LEASE;
        }
        if self.random.once_in(4) {
            if dialect >= Dialect::SMB300 {
                let mut guid = [0; 16];
                self.random.fill(&mut guid);
                contexts.durable_request_v2 =
                    Some(DurableRequestV2 { timeout_ms: 2000, flags: 0, create_guid: Guid(guid) });
            } else {
                contexts.durable_request = true;
            }
        }
        (oplock, contexts)
    }

    fn own(&mut self, session: &Session) -> Option<(String, File)> {
        (!session.own.is_empty()).then(|| self.random.one_of(&session.own).clone())
    }

    /// An own open that the server does not know any more.
    fn forget_closed(session: &mut Session, file: &File, answer: &Result<impl Sized, Error>) {
        if answer.as_ref().is_err_and(|error| error.is(NtStatus::FILE_CLOSED)) {
            session.own.retain(|(_, it)| it.id() != file.id());
            session.common.retain(|it| it.id() != file.id());
        }
    }

    async fn write(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some((name, file)) = self.own(session) else { return self.make(session).await };
        let (first, count) = (self.random.below(SLOTS), 1 + self.random.below(8));
        self.note(format!("write {name} {first}+{count}"));
        let bytes = lock(&self.ledger).try_write(&name, first, count);
        if bytes.is_empty() {
            return Ok(());
        }
        let answer = file.write((first * SLOT) as u64, bytes).await;
        Self::forget_closed(session, &file, &answer);
        if answer.as_ref().is_err_and(|error| error.status().is_none()) {
            // The write may still arrive, after writes of a later connection.
            lock(&self.ledger).leave_alone(&name);
        }
        let written = self.told(O::UseOwn, answer).await?;
        if let Some(written) = written {
            let written = usize::try_from(written).unwrap_or(0) / SLOT;
            if written != count {
                self.world.finding(&self.who, format_args!("{written} of {count} slots were written"));
            }
            lock(&self.ledger).acknowledged(&name, first, written);
        }
        Ok(())
    }

    async fn flush(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some((name, file)) = self.own(session) else { return Ok(()) };
        self.note(format!("flush {name}"));
        let answer = file.flush().await;
        Self::forget_closed(session, &file, &answer);
        if self.told(O::UseOwn, answer).await?.is_some() {
            lock(&self.ledger).flushed(&name);
        }
        Ok(())
    }

    async fn read(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some((name, file)) = self.own(session) else { return Ok(()) };
        let (first, count) = (self.random.below(SLOTS), 1 + self.random.below(8));
        self.note(format!("read {name} {first}+{count}"));
        let answer = file.read((first * SLOT) as u64, u32::try_from(count * SLOT).unwrap_or(0)).await;
        Self::forget_closed(session, &file, &answer);
        let Some(bytes) = self.told(O::UseOwn, answer).await? else { return Ok(()) };
        for (index, block) in (first..).zip(bytes.chunks_exact(SLOT)) {
            let checked = lock(&self.ledger).check_read(&name, index, block);
            if let Err(what) = checked {
                self.world.finding(&self.who, format_args!("read: {what} ({})", self.notes.join("; ")));
            }
        }
        Ok(())
    }

    async fn rename(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some((name, file)) = self.own(session) else { return Ok(()) };
        self.made += 1;
        let to = format!("f{}", self.made);
        self.note(format!("rename {name} {to}"));
        let path = utf16le(&format!(r"{}\{to}", self.directory));
        let length = u32::try_from(path.len()).unwrap_or(0).to_le_bytes();
        let buffer = [&[0; 16][..], &length, &path].concat();
        let class = FileInfoClass::RENAME.0;
        let answer = file.set_info(InfoType::FILE, class, AdditionalInformation::NONE, &buffer).await;
        Self::forget_closed(session, &file, &answer);
        if answer.as_ref().is_err_and(|error| error.status().is_none()) {
            lock(&self.ledger).removed(&name);
        }
        if self.told(O::NameOwn, answer).await?.is_some() {
            lock(&self.ledger).renamed(&name, &to);
            for (open, _) in session.own.iter_mut().filter(|(open, _)| *open == name) {
                open.clone_from(&to);
            }
        }
        Ok(())
    }

    async fn remove(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some((name, file)) = self.own(session) else { return Ok(()) };
        self.note(format!("remove {name}"));
        lock(&self.ledger).uncertain(&name);
        let answer = file.set_delete_on_close(true).await;
        Self::forget_closed(session, &file, &answer);
        if self.told(O::NameOwn, answer).await?.is_none() {
            return Ok(());
        }
        session.own.retain(|(open, _)| *open != name);
        let answer = file.close().await;
        let is_gone = answer.is_ok();
        self.told(O::UseOwn, answer).await?;
        if is_gone {
            lock(&self.ledger).removed(&name);
        }
        Ok(())
    }

    async fn close(&mut self, session: &mut Session) -> Result<(), Lost> {
        if session.own.is_empty() {
            return Ok(());
        }
        let (name, file) = session.own.remove(self.random.below(session.own.len()));
        self.note(format!("close {name}"));
        let answer = file.close().await;
        self.told(O::UseOwn, answer).await.map(drop)
    }

    async fn list(&mut self, session: &mut Session) -> Result<(), Lost> {
        let certain = lock(&self.ledger).certain_names();
        let answer = session.tree.create(&CreateParameters::directory(&self.directory)).await;
        let Some(directory) = self.told(O::CreateOwn, answer).await? else { return Ok(()) };
        let listed = directory.list(FileInfoClass::ID_BOTH_DIRECTORY, "*").all(100_000).await;
        if let Some(entries) = self.told(O::UseOwn, listed).await? {
            let missing = |name: &&String| entries.iter().all(|entry| entry.name != **name);
            let missing: Vec<_> = certain.iter().filter(missing).collect();
            if !missing.is_empty() {
                self.world.finding(&self.who, format_args!("a listing has no {missing:?}"));
            }
        }
        let closed = directory.close().await;
        self.told(O::UseOwn, closed).await.map(drop)
    }

    /// Works with a file that all clients use.
    async fn common(&mut self, session: &mut Session) -> Result<(), Lost> {
        if session.common.len() < COMMON_MAX && self.random.once_in(2) {
            let which = 1 + self.random.below(3);
            let path = format!(r"{COMMON}\c{which}");
            let (oplock, contexts) = self.caching(session, which);
            let all = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE;
            let dispositions = [
                CreateDisposition::OPEN_IF,
                CreateDisposition::OPEN,
                CreateDisposition::CREATE,
                CreateDisposition::OVERWRITE_IF,
            ];
            let parameters = CreateParameters {
                share: if self.random.once_in(4) { ShareAccess::READ } else { all },
                disposition: *self.random.one_of(&dispositions),
                oplock,
                contexts,
                ..CreateParameters::read_write(&path)
            };
            let answer = session.tree.create(&parameters).await;
            if let Some(file) = self.told(O::CreateCommon, answer).await? {
                session.common.push(file);
            }
            return Ok(());
        }
        if session.common.is_empty() {
            return Ok(());
        }
        let chosen = self.random.below(session.common.len());
        let file = session.common[chosen].clone();
        let offset = self.random.next() % 50_000;
        match self.random.below(7) {
            0 => {
                let answer = file.read(offset, 10_000).await;
                Self::forget_closed(session, &file, &answer);
                self.told(O::UseCommon, answer).await.map(drop)
            }
            1 => {
                let answer = file.write(offset, vec![0x55; 5000]).await;
                Self::forget_closed(session, &file, &answer);
                self.told(O::UseCommon, answer).await.map(drop)
            }
            2 | 3 => {
                let kind = *self.random.one_of(&[LockFlags::SHARED_LOCK, LockFlags::EXCLUSIVE_LOCK]);
                let element = LockElement { offset, length: 1000, flags: kind | LockFlags::FAIL_IMMEDIATELY };
                let answer = file.lock(&[element]).await;
                Self::forget_closed(session, &file, &answer);
                if self.told(O::Lock, answer).await?.is_some() {
                    let answer = file.lock(&[LockElement { flags: LockFlags::UNLOCK, ..element }]).await;
                    self.told(O::Lock, answer).await?;
                }
                Ok(())
            }
            4 => {
                // One that may wait, and is given up.
                let element = LockElement { offset: 0, length: 60_000, flags: LockFlags::EXCLUSIVE_LOCK };
                let Ok(request) = file.submit_lock(&[element]).await else { return Err(Lost) };
                tokio::time::sleep(Duration::from_millis(5)).await;
                let cancelled = session.connection.cancel(&request).await;
                let answer = request.response().await.and_then(client::smb::Response::success);
                if answer.as_ref().is_err_and(|error| error.is(NtStatus::CANCELLED)) && cancelled.is_ok() {
                    return Ok(());
                }
                Self::forget_closed(session, &file, &answer);
                if self.told(O::Lock, answer).await?.is_some() {
                    let answer = file.lock(&[LockElement { flags: LockFlags::UNLOCK, ..element }]).await;
                    self.told(O::Lock, answer).await?;
                }
                Ok(())
            }
            5 if self.random.once_in(4) => {
                let answer = file.set_delete_on_close(true).await;
                Self::forget_closed(session, &file, &answer);
                self.told(O::NameCommon, answer).await.map(drop)
            }
            _ => {
                session.common.remove(chosen);
                let answer = file.close().await;
                self.told(O::UseCommon, answer).await.map(drop)
            }
        }
    }

    /// Starts or stops watching the directory that all clients change.
    async fn notify(&mut self, session: &mut Session) -> Result<(), Lost> {
        if session.watches.len() >= WATCHES_MAX {
            let request = session.watches.remove(0);
            if session.connection.cancel(&request).await.is_err() {
                return Err(Lost);
            }
            let answer = request.response().await.and_then(client::smb::Response::success);
            return self.told(O::Notify, answer).await.map(drop);
        }
        let answer = session.tree.create(&CreateParameters::directory(COMMON)).await;
        let Some(directory) = self.told(O::CreateCommon, answer).await? else { return Ok(()) };
        match directory.submit_notify(CompletionFilter::FILE_NAME, WatchFlags::NONE, 4096).await {
            Ok(request) => session.watches.push(request),
            Err(_) => return Err(Lost),
        }
        Ok(())
    }

    /// Appends a line to the file that all clients append to, at its current end.
    async fn append(&mut self, session: &mut Session) -> Result<(), Lost> {
        let name = format!(r"{COMMON}\log");
        let parameters = CreateParameters {
            access: AccessMask::APPEND_DATA | AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE,
            options: CreateOptions::NON_DIRECTORY_FILE,
            ..CreateParameters::read_write(&name)
        };
        let answer = session.tree.create(&parameters).await;
        let Some(file) = self.told(O::CreateCommon, answer).await? else { return Ok(()) };
        let mut line = [b'\n'; LINE];
        let text = format!("{} {:016x} ", self.directory, self.random.next());
        line[..text.len()].copy_from_slice(text.as_bytes());
        let answer = file.write(TO_THE_END, line.to_vec()).await;
        if self.told(O::UseCommon, answer).await?.is_some() {
            lock(&self.world.appended).push(line);
        }
        let closed = file.close().await;
        self.told(O::UseCommon, closed).await.map(drop)
    }

    /// A file on the disk that is soon full, and away with it.
    async fn small(&mut self, session: &mut Session) -> Result<(), Lost> {
        if self.world.small.is_none() {
            return Ok(());
        }
        let answer = session.tree.session().tree_connect(r"\\127.0.0.1\small").await;
        let Some(tree) = self.told(O::Small, answer).await? else { return Ok(()) };
        let name = format!("{}-{}", self.directory, self.random.below(3));
        let answer = tree.create(&CreateParameters::read_write(&name)).await;
        if let Some(file) = self.told(O::Small, answer).await? {
            let most = session.connection.negotiated().map_or(0, |it| it.max_write_size);
            let size = 1 + self.random.below(usize::try_from(most.min(700_000)).unwrap_or(0));
            let answer = file.write(0, vec![0x33; size]).await;
            let written = self.told(O::Small, answer).await?;
            if let Some(count) = written.filter(|count| *count > 0) {
                let answer = file.read(u64::from(count) - 1, 1).await;
                let last = self.told(O::Small, answer).await?;
                if last.is_some_and(|last| last[..] != [0x33]) {
                    self.world.finding(&self.who, "the last byte that was written is not there");
                }
            }
            if self.random.once_in(2) {
                let answer = file.set_delete_on_close(true).await;
                self.told(O::Small, answer).await?;
            }
            let answer = file.close().await;
            self.told(O::Small, answer).await?;
        }
        let answer = tree.disconnect().await;
        self.told(O::Small, answer).await.map(drop)
    }

    /// Something on the share that administrators take away.
    async fn passing(&mut self, session: &mut Session) -> Result<(), Lost> {
        let answer = session.tree.session().tree_connect(r"\\127.0.0.1\passing").await;
        let tree = match answer {
            // The session is as good as before.
            Err(error) if error.status().is_some_and(|it| it != NtStatus::USER_SESSION_DELETED) => {
                self.world.judge(&self.who, O::Passing, &error);
                return Ok(());
            }
            answer => self.told(O::Passing, answer).await?,
        };
        let Some(tree) = tree else { return Ok(()) };
        let done = async {
            let file = tree.create(&CreateParameters::read_write(&self.directory)).await?;
            file.write(0, vec![1; 100]).await?;
            file.close().await?;
            tree.disconnect().await
        };
        match done.await {
            Err(error) if error.is(NtStatus::NETWORK_NAME_DELETED) => {
                self.world.judge(&self.who, O::Passing, &error);
                Ok(())
            }
            answer => self.told(O::Passing, answer).await.map(drop),
        }
    }

    /// Something on the share that is sealed, which old dialects cannot use.
    async fn sealed(&mut self, session: &mut Session) -> Result<(), Lost> {
        if session.connection.negotiated().map_or(true, |it| it.dialect < Dialect::SMB300) {
            return Ok(());
        }
        let answer = session.tree.session().tree_connect(r"\\127.0.0.1\sealed").await;
        let Some(tree) = self.told(O::Connect, answer).await? else { return Ok(()) };
        let answer = tree.create(&CreateParameters::read_write(&self.directory)).await;
        if let Some(file) = self.told(O::CreateOwn, answer).await? {
            let answer = file.write(0, vec![7; 3000]).await;
            self.told(O::UseOwn, answer).await?;
            let answer = file.read(0, 3000).await;
            if self.told(O::UseOwn, answer).await?.is_some_and(|bytes| bytes[..] != [7; 3000]) {
                self.world.finding(&self.who, "what was read is not what was written");
            }
            let answer = file.close().await;
            self.told(O::UseOwn, answer).await?;
        }
        let answer = tree.disconnect().await;
        self.told(O::Connect, answer).await.map(drop)
    }
}

/// The directory of the files that all clients use.
pub(crate) const COMMON: &str = "common";

/// Slots of a file: a quarter of a megabyte.
/// FILE_WRITE_TO_END_OF_FILE (MS-FSA 2.1.5.4), for opens that may only append.
const TO_THE_END: u64 = u64::MAX;
const SLOTS: usize = 64;

const OWN_MAX: usize = 5;
const COMMON_MAX: usize = 4;
const WATCHES_MAX: usize = 3;
const NOTES: usize = 12;
