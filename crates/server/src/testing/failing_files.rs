//! Tests with clients and failing files: success is never reported without its effect, and nothing leaks.

use std::sync::Arc;
use std::time::Duration;

use auth::Credentials;
use auth::users::UserDb;
use client::smb::{
    ClientConnection, ClientTree, ConnectOptions, CreateParameters, Error, File, Part, close_part,
};
use tokio::time::{sleep, timeout};
use vfs::faulty::{Faults, FaultyBackend, Rates};
use vfs::{Actor, Backend, EntryWanted, Handle, MemBackend, RangeLock, RelativePath, Wanted};
use wire::fscc::FileInfoClass;
use wire::ioctl::FsctlCode;
use wire::msg::{
    AdditionalInformation, CloseFlags, CreateDisposition, CreateOptions, InfoType, LockElement, LockFlags,
    WriteFlags, WriteRequest, WriteResponse,
};
use wire::{AccessMask, Command, FileAttributes, FileTime, NtStatus, OplockLevel, utf16le};

use super::{Counts, TestServer};
use crate::core::config::{Settings, ShareSettings};

const PASSWORD: &str = "Wonder-Land 1";

/// Longer than a break without an acknowledgment: after this time, a request hangs.
const STUCK: Duration = Duration::from_secs(120);

pub(super) struct World {
    server: TestServer,
    files: Arc<MemBackend>,
    pub(super) faults: Arc<Faults>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, |_| ())
    }

    /// A world whose share is configured by `change`.
    pub(super) fn with(seed: u64, change: impl FnOnce(&mut ShareSettings)) -> Self {
        let files = Arc::new(MemBackend::new());
        let faults = Arc::new(Faults::new(seed));
        let backend: Arc<dyn Backend> = Arc::new(FaultyBackend::new(files.clone(), Arc::clone(&faults)));
        let mut settings = Settings::conventional(false, |_| None);
        settings.control_socket = None;
        settings.state_directory = "/nonexistent/shareward".into();
        let mut share = ShareSettings::new("data".into(), "/nonexistent/data".into());
        change(&mut share);
        settings.shares.push(share);
        let mut accounts = UserDb::default();
        accounts.add("alice", 60_001, PASSWORD, FileTime::from_unix(1_700_000_000, 0)).unwrap();
        let server = TestServer::start(settings, accounts, seed, move |_| Ok(Arc::clone(&backend)));
        Self { server, files, faults }
    }

    pub(super) async fn client(&self) -> (ClientConnection, ClientTree) {
        let (from, to) = tokio::io::split(self.server.connect());
        let connection = ClientConnection::over(from, to, ConnectOptions::new().unwrap());
        connection.negotiate().await.unwrap();
        let session = connection.logon(Credentials::password("alice", "", PASSWORD)).await.unwrap();
        let tree = session.tree_connect(r"\\localhost\data").await.unwrap();
        (connection, tree)
    }

    /// The file in the backend, bypassing the failures.
    pub(super) fn real(&self, name: &str) -> Option<Arc<dyn Handle>> {
        let (name, stream) = name.split_once(':').map_or((name, None), |(name, stream)| (name, Some(stream)));
        let path = RelativePath::new(name.replace('\\', "/")).unwrap();
        let path = stream.map_or(path.clone(), |stream| path.with_stream(stream).unwrap());
        self.files.open(&Actor::Process, &path, Wanted::BOTH).ok().map(|opened| opened.handle)
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let handle = self.real(name).expect("the file is there");
        let mut content = vec![0; usize::try_from(handle.stat().unwrap().size).unwrap()];
        let read = handle.read_at(&mut content, 0).unwrap();
        assert_eq!(read, content.len());
        content
    }

    /// The paths of the opens in the registry.
    pub(super) fn open_paths(&self) -> Vec<String> {
        let filter = registry::Filter::default();
        let opens = self.server.server.registry.lock("paths").file_snapshots(&filter, None, 100);
        let mut paths: Vec<String> = opens.entries.iter().map(|open| open.path.to_string()).collect();
        paths.sort();
        paths
    }

    fn names(&self, name: &str) -> Vec<String> {
        let mut cursor = self.real(name).expect("the directory is there").read_directory().unwrap();
        let mut names = Vec::new();
        while let Some(entry) = cursor.next(&mut |_| EntryWanted::Name).unwrap() {
            names.push(entry.name);
        }
        names.sort();
        names
    }

    /// The number of successful flushes.
    fn flushes(&self) -> u64 {
        self.faults.calls().get("flush").map_or(0, |(made, wrong)| made - wrong)
    }

    /// Checks that nothing is left after the clients have gone, whatever has failed.
    pub(super) async fn comes_to_rest(&self) {
        self.faults.set_rates(Rates::NONE);
        for _ in 0..100 {
            if self.server.counts() == Counts::default() && self.server.busy() == (0, 0) {
                break;
            }
            sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(self.server.counts(), Counts::default());
        assert_eq!(self.server.busy(), (0, 0));
        assert_eq!(self.faults.handles(), 0, "leaked handles");
        self.server.check().unwrap();
    }
}

/// A client that performs a series of operations in its own directory.
struct Client<'a> {
    world: &'a World,
    tree: ClientTree,
    directory: String,
    random: u64,
    open: Vec<(String, File)>,
}

impl<'a> Client<'a> {
    fn below(&mut self, count: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % count.max(1)
    }

    fn name(&mut self) -> String {
        let number = self.below(6);
        format!(r"{}\f{number}", self.directory)
    }

    fn data(&mut self) -> Vec<u8> {
        let length = 1 + self.below(3000);
        let byte = u8::try_from(self.below(256)).unwrap();
        (0..length).map(|at| byte ^ u8::try_from(at % 251).unwrap()).collect()
    }

    /// True if the name still belongs to the open's file; not after a rename or a deletion.
    fn stands_for(&self, name: &str, file: &File) -> bool {
        self.world.real(name).is_some_and(|real| {
            let id = file.created.contexts.disk_id.map(|id| id.file_id);
            id == Some(real.stat().unwrap().inode)
        })
    }

    async fn operation(&mut self) -> Result<(), Error> {
        match self.below(24) {
            0..4 => self.create().await,
            4 => self.close().await,
            5 => self.rename().await,
            6 => self.list().await,
            7 => self.make_directory().await,
            8 => self.stream().await,
            _ => {
                if self.open.is_empty() {
                    return Ok(());
                }
                let chosen = self.below(self.open.len());
                let (name, file) = self.open[chosen].clone();
                if !self.stands_for(&name, &file) {
                    self.open.remove(chosen);
                    return file.close().await;
                }
                self.on_open(&name, &file).await
            }
        }
    }

    async fn create(&mut self) -> Result<(), Error> {
        let name = self.name();
        let disposition = CreateDisposition(u32::try_from(self.below(6)).unwrap());
        let parameters = CreateParameters {
            disposition,
            access: AccessMask::FILE_ALL,
            oplock: OplockLevel([0, 1, 8, 9][self.below(4)]),
            attributes: FileAttributes::HIDDEN,
            contexts: wire::create_context::CreateContextsRequest {
                query_on_disk_id: true,
                durable_request: self.below(2) == 0,
                ..Default::default()
            },
            ..CreateParameters::read_write(&name)
        };
        let file = self.tree.create(&parameters).await?;
        assert!(self.stands_for(&name, &file), "{name} was opened and is not there");
        let empties =
            [CreateDisposition::SUPERSEDE, CreateDisposition::OVERWRITE, CreateDisposition::OVERWRITE_IF];
        if empties.contains(&disposition) {
            assert_eq!(self.world.content(&name), b"", "{name} was emptied");
        }
        self.open.push((name, file));
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Error> {
        if self.open.is_empty() {
            return Ok(());
        }
        let chosen = self.below(self.open.len());
        let (name, file) = self.open.remove(chosen);
        if self.below(2) == 0 {
            return file.close().await;
        }
        let told = file.close_and_query().await?;
        if let Some(real) = self.world.real(&name).filter(|_| self.stands_for(&name, &file)) {
            // MS-SMB2 3.3.5.10: the attributes are zero if they cannot be determined.
            let size = real.stat().unwrap().size;
            assert!(
                told.flags == CloseFlags::NONE || told.end_of_file == size,
                "{} {size}",
                told.end_of_file
            );
        }
        Ok(())
    }

    async fn rename(&mut self) -> Result<(), Error> {
        if self.open.is_empty() {
            return Ok(());
        }
        let (chosen, to, link) = (self.below(self.open.len()), self.name(), self.below(3) == 0);
        let (name, file) = self.open[chosen].clone();
        let target = utf16le(&to);
        let length = u32::try_from(target.len()).unwrap().to_le_bytes();
        let buffer = [&[1, 0, 0, 0, 0, 0, 0, 0], &[0; 8][..], &length, &target].concat();
        let class = if link { FileInfoClass::LINK } else { FileInfoClass::RENAME };
        if !self.stands_for(&name, &file) {
            return Ok(());
        }
        file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, &buffer).await?;
        assert!(self.stands_for(&to, &file), "{name} was to become {to}");
        if !link && name != to {
            assert!(!self.stands_for(&name, &file), "{name} became {to} and is still there");
            self.open[chosen].0 = to;
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<(), Error> {
        let directory = self.tree.create(&CreateParameters::directory(&self.directory)).await?;
        let listed = async {
            let mut names = Vec::new();
            let mut listing = directory.list(FileInfoClass::ID_BOTH_DIRECTORY, "*").bytes(512);
            while let Some(entries) = listing.next().await? {
                names.extend(entries.into_iter().map(|entry| entry.name));
            }
            Ok::<_, Error>(names)
        };
        let listed = listed.await;
        let closed = directory.close().await;
        let mut names = listed?;
        names.sort();
        assert_eq!(names, self.world.names(&self.directory), "a listing with nothing wrong misses something");
        closed
    }

    async fn make_directory(&mut self) -> Result<(), Error> {
        let number = self.below(3);
        let name = format!(r"{}\d{number}", self.directory);
        let parameters = CreateParameters {
            disposition: CreateDisposition::OPEN_IF,
            options: CreateOptions::DIRECTORY_FILE | CreateOptions::DELETE_ON_CLOSE,
            access: AccessMask::FILE_ALL,
            ..CreateParameters::open(&name)
        };
        let directory = self.tree.create(&parameters).await?;
        assert!(self.world.real(&name).is_some(), "{name} was made and is not there");
        directory.close().await
    }

    async fn stream(&mut self) -> Result<(), Error> {
        let (name, data) = (self.name(), self.data());
        if self.world.real(&name).is_none() {
            return Ok(());
        }
        let name = format!("{name}:s");
        let file = self.tree.create(&CreateParameters::read_write(&name)).await?;
        let written = file.write(0, data.clone()).await;
        if let Ok(count) = &written {
            let count = usize::try_from(*count).unwrap();
            assert_eq!(self.world.content(&name)[..count], data[..count], "{name}");
        }
        file.close().await.and(written.map(drop))
    }

    async fn on_open(&mut self, name: &str, file: &File) -> Result<(), Error> {
        let data = self.data();
        let offset = self.below(5000);
        let at = u64::try_from(offset).unwrap();
        match self.below(16) {
            12 => return self.copy(name, file).await,
            13 => {
                // Grants everyone all access, because an empty list would exclude this client as well.
                let descriptor = [
                    &[
                        1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2, 0, 28, 0, 1, 0, 0,
                        0,
                    ][..],
                    &[0, 0, 20, 0, 0xff, 1, 0x1f, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
                ]
                .concat();
                let before =
                    self.world.faults.calls().get("set_security_record").copied().unwrap_or_default();
                file.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, &descriptor).await?;
                let after = self.world.faults.calls().get("set_security_record").copied().unwrap_or_default();
                assert!(after.0 - after.1 > before.0 - before.1, "a descriptor that was not stored");
                assert!(self.world.real(name).unwrap().security_record().unwrap().is_some());
            }
            14 => {
                let class = FileInfoClass::STANDARD.0;
                let told = file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, 100).await?;
                let size = u64::try_from(self.world.content(name).len()).unwrap();
                assert_eq!(told[8..16], size.to_le_bytes(), "{name}");
            }
            15 => file.set_delete_on_close(self.below(2) == 0).await?,
            0..3 => {
                let count = usize::try_from(file.write(at, data.clone()).await?).unwrap();
                assert!(count > 0, "a write of nothing is reported as a success");
                assert_eq!(self.world.content(name)[offset..offset + count], data[..count], "{name}");
            }
            3 => {
                let before = self.world.flushes();
                let count = usize::try_from(write_through(file, at, &data).await?).unwrap();
                assert_eq!(self.world.content(name)[offset..offset + count], data[..count], "{name}");
                assert!(self.world.flushes() > before, "written through without a flush");
            }
            4 => {
                let before = self.world.flushes();
                file.flush().await?;
                assert!(self.world.flushes() > before, "flushed without a flush");
            }
            5 | 6 => {
                let read = file.read(at, 2000).await?;
                let content = self.world.content(name);
                assert_eq!(&content[offset..content.len().min(offset + 2000)], &read[..], "{name}");
            }
            7 => {
                set(file, FileInfoClass::END_OF_FILE, &at.to_le_bytes()).await?;
                assert_eq!(self.world.content(name).len(), offset);
            }
            8 => {
                let created = FileTime::from_unix(1_600_000_000 + i64::try_from(offset).unwrap(), 0);
                let buffer = [&created.0.to_le_bytes()[..], &[0; 24], &[0x22, 0, 0, 0, 0, 0, 0, 0]].concat();
                set(file, FileInfoClass::BASIC, &buffer).await?;
                let stat = self.world.real(name).unwrap().stat().unwrap();
                assert_eq!(stat.created, created);
                assert!(stat.attributes.contains(FileAttributes(0x22)), "{:?}", stat.attributes);
            }
            9 => {
                let mut buffer = Vec::new();
                let entry = wire::fscc::ea::EaEntry { flags: 0, name: b"EA", value: &data[..1] };
                let _ = wire::fscc::ea::encode_eas([entry], &mut buffer, 100);
                set(file, FileInfoClass::FULL_EA, &buffer).await?;
                let stored = self.world.real(name).unwrap().xattr("EA").unwrap();
                assert_eq!(stored.as_deref(), Some(&data[..1]));
            }
            10 => {
                let end = at + 1000;
                let buffer = [at.to_le_bytes(), end.to_le_bytes()].concat();
                file.ioctl(FsctlCode::SET_ZERO_DATA, &buffer, 0).await?;
                let content = self.world.content(name);
                let zeroed = &content[offset.min(content.len())..content.len().min(offset + 1000)];
                assert!(zeroed.iter().all(|byte| *byte == 0), "{name}");
            }
            _ => {
                let element = LockElement {
                    offset: at,
                    length: 10,
                    flags: LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY,
                };
                file.lock(&[element]).await?;
                let real = self.world.real(name).unwrap();
                let is_seen = real.is_range_locked(at..at + 10, RangeLock::Shared);
                assert!(is_seen.unwrap(), "{name}: a lock is granted that the machine does not have");
                file.lock(&[LockElement { flags: LockFlags::UNLOCK, ..element }]).await?;
            }
        }
        Ok(())
    }
}

impl Client<'_> {
    /// FSCTL_SRV_COPYCHUNK within one file.
    async fn copy(&mut self, name: &str, file: &File) -> Result<(), Error> {
        let key = file.ioctl(FsctlCode::SRV_REQUEST_RESUME_KEY, &[], 32).await?;
        let before = self.world.content(name);
        let length = before.len().min(1000) / 2;
        if length == 0 {
            return Ok(());
        }
        let (length32, at) = (u32::try_from(length).unwrap().to_le_bytes(), u64::try_from(length).unwrap());
        let chunk = [&[0; 8], &at.to_le_bytes()[..], &length32, &[0; 4]].concat();
        let input = [&key[..24], &[1, 0, 0, 0, 0, 0, 0, 0], &chunk].concat();
        let told = file.ioctl(FsctlCode::SRV_COPYCHUNK, &input, 12).await?;
        assert_eq!(told[8..12], length32, "less was copied and reported as a success");
        assert_eq!(self.world.content(name)[length..2 * length], before[..length], "{name}");
        Ok(())
    }
}

async fn set(file: &File, class: FileInfoClass, buffer: &[u8]) -> Result<(), Error> {
    file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, buffer).await
}

async fn write_through(file: &File, offset: u64, data: &[u8]) -> Result<u32, Error> {
    let body = WriteRequest {
        offset,
        file_id: file.id(),
        flags: WriteFlags::WRITE_THROUGH,
        data,
        ..WriteRequest::default()
    };
    let part = Part::new(Command::WRITE, |out, base| body.encode(out, base));
    let answer = file.tree().request(part).await?;
    Ok(WriteResponse::decode(&answer.message)?.count)
}

/// True for an error with a specific status: internal errors must not be reported.
fn is_told(error: &Error) -> bool {
    match error {
        Error::Status(status, _) => *status != NtStatus::INTERNAL_ERROR,
        _ => false,
    }
}

async fn run(seed: u64, rates: Rates, clients: usize) {
    let world = World::new(seed);
    let mut connected = Vec::new();
    for number in 0..clients {
        let (connection, tree) = world.client().await;
        let directory = format!("client{number}");
        let made = CreateParameters {
            disposition: CreateDisposition::OPEN_IF,
            ..CreateParameters::directory(&directory)
        };
        tree.create(&made).await.unwrap().close().await.unwrap();
        connected.push((number, connection, tree, directory));
    }
    world.faults.set_rates(rates);
    let scripts = connected.into_iter().map(|(number, connection, tree, directory)| {
        let world = &world;
        async move {
            let random = seed.wrapping_mul(31).wrapping_add(u64::try_from(number).unwrap());
            let mut client = Client { world, tree, directory, random, open: Vec::new() };
            let mut good = 0;
            for _ in 0..OPERATIONS {
                match timeout(STUCK, client.operation()).await {
                    Ok(Ok(())) => good += 1,
                    Ok(Err(error)) => assert!(is_told(&error), "seed {seed}: {error}"),
                    Err(_) => panic!("seed {seed}: a request is stuck"),
                }
                world.server.check().unwrap();
            }
            assert!(good > OPERATIONS / 10, "hardly anything succeeds: {good}");
            // Half of the clients disconnect without closing their files.
            if number % 2 == 0 {
                for (_, file) in &client.open {
                    let _ = client.tree.request(close_part(file.id(), CloseFlags::NONE)).await;
                }
            }
            connection.disconnect();
        }
    });
    futures_util::future::join_all(scripts).await;
    world.comes_to_rest().await;
}

const OPERATIONS: usize = 150;

#[tokio::test(start_paused = true)]
async fn without_faults_all_operations_succeed() {
    run(1, Rates::NONE, 2).await;
}

#[tokio::test(start_paused = true)]
async fn failed_calls_are_reported_and_leak_nothing() {
    for seed in 0..SEEDS {
        run(seed, Rates { fails: 60, ..Rates::NONE }, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn torn_calls_are_not_reported_as_success_without_effect() {
    for seed in 0..SEEDS {
        run(seed, Rates { fails: 20, tears: 60, shortens: 200, ..Rates::NONE }, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn slow_calls_do_not_block_requests_forever() {
    let slowness = Duration::from_millis(2);
    run(5, Rates { fails: 30, tears: 30, shortens: 30, slows: 100, slowness }, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_create_beyond_the_limit_of_waiting_requests_leaks_nothing() {
    let world = World::new(3);
    let (holder, tree) = world.client().await;
    let wanted = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("held") };
    let held = tree.create(&wanted).await.unwrap();
    let (connection, tree) = world.client().await;
    let mut waiting = Vec::new();
    for _ in 0..crate::core::limits::MAX_PENDING {
        let request = connection.submit(tree.scope(), wanted.part().unwrap()).await.unwrap();
        assert!(request.pending().await.is_some(), "the oplock's holder says nothing");
        waiting.push(request);
    }
    let one_more = tree.create(&wanted).await.unwrap_err();
    assert!(one_more.is(NtStatus::INSUFFICIENT_RESOURCES), "{one_more}");
    assert_eq!(world.server.busy().1, crate::core::limits::MAX_PENDING);
    drop(waiting);
    held.close().await.unwrap();
    connection.disconnect();
    holder.disconnect();
    world.comes_to_rest().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_releases_open_files() {
    let world = World::new(4);
    let (_connection, tree) = world.client().await;
    let file = tree.create(&CreateParameters::read_write("left open")).await.unwrap();
    file.write(0, b"written".to_vec()).await.unwrap();
    world.server.shut_down().await;
    world.server.check().unwrap();
    assert_eq!(world.server.counts().opens, 0);
    assert_eq!(world.faults.handles(), 0, "files are open that no open is of");
}

const SEEDS: u64 = 12;
