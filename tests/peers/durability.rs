//! Durability of data, and failing or slow system calls; strace observes the server's calls.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, File, Part};
use testkit::{Setup, Shareward, Subject, need};
use wire::Put;
use wire::fscc::file_info::{BasicInfo, EndOfFileInfo, FileInfoClass, ModeInfo};
use wire::header::Header;
use wire::ioctl::{FsctlCode, ZeroData};
use wire::layout::FixedLayout;
use wire::msg::{
    AdditionalInformation, CreateDisposition, CreateOptions, FlushRequest, InfoType, WriteFlags, WriteRequest,
};
use wire::security::{Ace, AceFlags, AceType, Acl, SdControl, SecurityDescriptor, Sid};
use wire::{AccessMask, Command as SmbCommand, FileAttributes, FileTime, NtStatus, OplockLevel};

use crate::scripted::tree;

/// The flushes of a server from here on.
struct Watched {
    strace: Child,
    /// Kept open while strace may write to it.
    _said: BufReader<ChildStderr>,
    calls: PathBuf,
}

impl Watched {
    /// Watches a server; `options` are strace's.
    fn begin(subject: &Subject, options: &[&str]) -> Self {
        let Subject::Shareward(server) = subject else { panic!("not our server") };
        let calls = server.scratch().join("calls");
        let mut strace = Command::new("strace")
            .args(["-f", "-y", "-e", "trace=fsync,fdatasync,syncfs,pwrite64,ftruncate,fallocate"])
            .args(options)
            .args(["-p", &server.pid().to_string(), "-o"])
            .arg(&calls)
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace");
        let mut said = BufReader::new(strace.stderr.take().expect("its standard error"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert!(line.contains("attached"), "{line}");
        Self { strace, _said: said, calls }
    }

    /// The names that were flushed, in order.
    fn end(self) -> Vec<String> {
        let calls = self.calls();
        let flushed = calls
            .lines()
            .filter(|line| ["fsync(", "fdatasync(", "syncfs("].iter().any(|it| line.contains(it)));
        let path = |line: &str| {
            let path = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            path.map(|(path, _)| path.rsplit_once('/').map_or(path, |(_, name)| name).to_owned())
        };
        flushed.filter_map(path).collect()
    }

    /// All observed calls, one per line.
    fn calls(mut self) -> String {
        let pid = self.strace.id().to_string();
        Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill");
        self.strace.wait().expect("strace ends");
        fs::read_to_string(&self.calls).expect("what strace wrote")
    }
}

/// A server with the usual configuration; `None` if a requirement is missing.
fn subject() -> Option<Subject> {
    need(&["root", "strace"]).then(|| Subject::Shareward(Shareward::start(&Setup::default())))
}

fn through(name: &str) -> CreateParameters<'_> {
    let parameters = CreateParameters::read_write(name);
    CreateParameters { options: parameters.options | CreateOptions::WRITE_THROUGH, ..parameters }
}

async fn set(file: &File, class: FileInfoClass, info: &impl FixedLayout) {
    let mut data = Vec::new();
    info.encode(&mut data);
    file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, &data).await.expect("set");
}

/// Renames a file, or gives it one more name.
async fn name(file: &File, class: FileInfoClass, name: &str) {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut data = vec![0; 16];
    data.extend_from_slice(&u32::try_from(name.len()).expect("a length").to_le_bytes());
    data.extend_from_slice(&name);
    file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, &data).await.expect("set a name");
}

async fn write(file: &File) {
    file.write(0, b"data".to_vec()).await.expect("write");
}

/// The names that the server flushes for an operation.
async fn flushes(subject: &Subject, deed: impl AsyncFnOnce()) -> Vec<String> {
    let watched = Watched::begin(subject, &[]);
    deed().await;
    watched.end()
}

#[tokio::test]
async fn a_flush_reaches_the_disk_with_streams_and_names() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    let directory = CreateParameters {
        access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
        disposition: CreateDisposition::CREATE,
        ..CreateParameters::directory("d")
    };
    let directory = data.create(&directory).await.expect("create a directory");
    let file = data.create(&CreateParameters::read_write(r"d\f")).await.expect("create");
    let stream = data.create(&CreateParameters::read_write(r"d\f:s")).await.expect("create a stream");
    stream.write(0, b"stream".to_vec()).await.expect("write");
    let all = ["f", "d", "data"];
    assert_eq!(flushes(&subject, async || stream.flush().await.expect("flush")).await, all);
    // A directory that was flushed is not flushed again, once its time shows that it has not changed.
    let started = Instant::now();
    while flushes(&subject, async || file.flush().await.expect("flush")).await != ["f"] {
        assert!(started.elapsed() < SOON, "directories that do not change are flushed again and again");
    }
    // A removal shows in the directory.
    let gone = data.create(&CreateParameters::read_write(r"d\gone")).await.expect("create");
    gone.set_delete_on_close(true).await.expect("delete");
    gone.close().await.expect("close");
    assert_eq!(flushes(&subject, async || directory.flush().await.expect("flush")).await, ["d"]);
    // The flush of Apple's clients for F_FULLFSYNC.
    let full = Part::new(SmbCommand::FLUSH, |out, base| {
        FlushRequest { file_id: file.id() }.encode(out, base);
        out.patch_u32(base + Header::SIZE + 2, 0xffff);
    });
    let flushed = flushes(&subject, async || drop(data.request(full).await.expect("flush"))).await;
    assert!(flushed.first().is_some_and(|first| first == "f"), "{flushed:?}");
    let moved = CreateParameters::read_write("other");
    data.create(&moved).await.expect("create").close().await.expect("close");
    assert_eq!(flushes(&subject, async || file.flush().await.expect("flush")).await, ["f", "d", "data"]);
}

/// Enough for clocks to go on, even on a busy machine.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn changes_through_a_write_through_open_are_on_the_disk() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    let name_first = |flushed: &[String], name: &str| flushed.first().is_some_and(|first| first == name);
    let flushed = flushes(&subject, async || drop(data.create(&through("f")).await.expect("create"))).await;
    assert!(name_first(&flushed, "f") && flushed.iter().any(|it| it == "data"), "{flushed:?}");
    let file = data.create(&through("f")).await.expect("open");
    let source = data.create(&CreateParameters::read_write("source")).await.expect("create");
    source.write(0, b"source".to_vec()).await.expect("write");
    let key = source.ioctl(FsctlCode::SRV_REQUEST_RESUME_KEY, &[], 32).await.expect("a key");
    let mut wish = key[..24].to_vec();
    wish.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    wish.extend_from_slice(&[0; 16]);
    wish.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0]);
    let mut zero = Vec::new();
    ZeroData { file_offset: 0, beyond_final_zero: 2 }.encode(&mut zero);
    let flushed = flushes(&subject, async || write(&file).await).await;
    assert!(name_first(&flushed, "f"), "WRITE: {flushed:?}");
    let end = EndOfFileInfo { end_of_file: 100 };
    let flushed = flushes(&subject, async || set(&file, FileInfoClass::END_OF_FILE, &end).await).await;
    assert!(name_first(&flushed, "f"), "SET_INFO: {flushed:?}");
    let copy = async || drop(file.ioctl(FsctlCode::SRV_COPYCHUNK, &wish, 12).await.expect("copy"));
    let flushed = flushes(&subject, copy).await;
    assert!(name_first(&flushed, "f"), "copy: {flushed:?}");
    let zero = async || drop(file.ioctl(FsctlCode::SET_ZERO_DATA, &zero, 0).await.expect("zero"));
    let flushed = flushes(&subject, zero).await;
    assert!(name_first(&flushed, "f"), "zero: {flushed:?}");
    let emptied = CreateParameters { disposition: CreateDisposition::OVERWRITE, ..through("f") };
    let flushed = flushes(&subject, async || drop(data.create(&emptied).await.expect("overwrite"))).await;
    assert!(name_first(&flushed, "f"), "CREATE: {flushed:?}");

    // Names that are given up.
    let below =
        CreateParameters { disposition: CreateDisposition::CREATE, ..CreateParameters::directory("d") };
    data.create(&below).await.expect("create a directory");
    let moving = data.create(&through(r"d\m")).await.expect("create");
    let flushed = flushes(&subject, async || name(&moving, FileInfoClass::RENAME, "m").await).await;
    assert!(name_first(&flushed, "m") && flushed.iter().any(|it| it == "d"), "rename: {flushed:?}");
    let flushed = flushes(&subject, async || name(&moving, FileInfoClass::LINK, r"d\l").await).await;
    assert!(name_first(&flushed, "m") && flushed.iter().any(|it| it == "d"), "link: {flushed:?}");
    let plain = data.create(&CreateParameters::read_write("p")).await.expect("create");
    for number in 0..20 {
        let directory = format!("d{number}");
        let made = CreateParameters {
            disposition: CreateDisposition::CREATE,
            ..CreateParameters::directory(&directory)
        };
        data.create(&made).await.expect("create a directory");
        name(&plain, FileInfoClass::LINK, &format!(r"{directory}\l")).await;
    }
    let flushed = flushes(&subject, async || plain.flush().await.expect("flush")).await;
    let missing: Vec<_> = (4..20).filter(|number| !flushed.contains(&format!("d{number}"))).collect();
    assert!(missing.is_empty(), "directories with links to the file are not flushed: {missing:?}");

    moving.set_delete_on_close(true).await.expect("delete");
    let flushed = flushes(&subject, async || moving.close().await.expect("close")).await;
    assert_eq!(flushed, ["data"], "CLOSE of what is deleted");

    // The mode can be set, and taken back.
    let plain = data.create(&CreateParameters::read_write("f")).await.expect("open");
    let flushed = flushes(&subject, async || write(&plain).await).await;
    assert!(flushed.is_empty(), "an ordinary WRITE: {flushed:?}");
    set(&plain, FileInfoClass::MODE, &ModeInfo { mode: CreateOptions::WRITE_THROUGH.0 }).await;
    let flushed = flushes(&subject, async || write(&plain).await).await;
    assert!(name_first(&flushed, "f"), "FileModeInformation: {flushed:?}");
    set(&plain, FileInfoClass::MODE, &ModeInfo { mode: 0 }).await;
    let flushed = flushes(&subject, async || write(&plain).await).await;
    assert!(flushed.is_empty(), "FileModeInformation: {flushed:?}");
}

/// Guarantees for other opens do not make an ordinary WRITE slower.
#[tokio::test]
async fn an_ordinary_write_is_one_system_call() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    let file = data.create(&CreateParameters::read_write("written")).await.expect("create");
    write(&file).await;
    write(&file).await;
    let watched = Watched::begin(&subject, &["-e", "trace=all"]);
    for _ in 0..20 {
        write(&file).await;
    }
    let calls = watched.calls();
    let calls: Vec<_> = calls.lines().filter(|line| line.contains("/written>")).collect();
    assert_eq!(calls.iter().filter(|line| line.contains("pwrite64(")).count(), 20, "{calls:#?}");
    // The time of the second write is looked at once it shows.
    assert!(calls.len() <= 21, "{calls:#?}");
}

/// A write that changed the file is a change even if its flush failed: others must drop their cached data.
#[tokio::test]
async fn a_write_whose_flush_fails_breaks_the_caching_of_others() {
    let Some(subject) = subject() else { return };
    let (alices, bobs) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    let writer = alices.create(&CreateParameters::read_write("f")).await.expect("create");
    writer.write(0, b"before".to_vec()).await.expect("write");
    let caching = CreateParameters { oplock: OplockLevel::LEVEL_II, ..CreateParameters::open("f") };
    let mut said = bobs.connection().breaks();
    let reader = bobs.create(&caching).await.expect("open");
    assert_eq!(reader.created.oplock, OplockLevel::LEVEL_II);
    let watched = Watched::begin(&subject, &["-e", "inject=fsync:error=EIO"]);
    let failed = write_through(&alices, &writer, b"after!").await;
    assert_eq!(watched.end(), ["f"]);
    assert_eq!(failed, Some(NtStatus::UNEXPECTED_IO_ERROR));
    let told = tokio::time::timeout(SOON, said.next()).await;
    told.expect("who caches the file is told").expect("a break");
    assert_eq!(reader.read(0, 10).await.expect("read")[..], *b"after!");
}

/// Stored attributes that are temporarily unreadable are not taken for missing and overwritten.
#[tokio::test]
async fn unreadable_attributes_are_not_overwritten() {
    let Some(subject) = subject() else { return };
    let data = tree(&subject, "alice", "data").await;
    let hidden = CreateParameters { attributes: FileAttributes::HIDDEN, ..CreateParameters::read_write("f") };
    let file = data.create(&hidden).await.expect("create");
    let mut info = Vec::new();
    BasicInfo { created: FileTime(131_000_000_000_000_000), ..BasicInfo::default() }.encode(&mut info);
    let failing = ["-e", "trace=fsync,fgetxattr,getxattr", "-e", "inject=fgetxattr,getxattr:error=EIO"];
    let watched = Watched::begin(&subject, &failing);
    let class = FileInfoClass::BASIC.0;
    let set = file.set_info(InfoType::FILE, class, AdditionalInformation::NONE, &info).await;
    watched.end();
    assert!(set.is_err_and(|error| error.is(NtStatus::UNEXPECTED_IO_ERROR)));
    let again = data.create(&CreateParameters::open("f")).await.expect("open");
    assert!(again.created.attributes.contains(FileAttributes::HIDDEN));
    assert_eq!(again.created.creation_time, file.created.creation_time);
}

/// WRITE with SMB2_WRITEFLAG_WRITE_THROUGH: its refusal.
async fn write_through(tree: &ClientTree, file: &File, data: &[u8]) -> Option<NtStatus> {
    let body = WriteRequest {
        flags: WriteFlags::WRITE_THROUGH,
        file_id: file.id(),
        data,
        ..WriteRequest::default()
    };
    let part = Part::new(SmbCommand::WRITE, |out, base| body.encode(out, base));
    tree.request(part).await.err().and_then(|error| error.status())
}

/// Parts of a descriptor that two clients set at once are both there afterwards.
#[tokio::test]
async fn concurrent_changes_of_a_descriptors_parts_are_both_kept() {
    let Some(subject) = subject() else { return };
    let (alices, admins) = (tree(&subject, "alice", "data").await, tree(&subject, "admin", "data").await);
    let asking = |access| CreateParameters { access, ..CreateParameters::read_write("f") };
    let owner = alices.create(&asking(AccessMask::FILE_ALL)).await.expect("create");
    let auditing = AccessMask::ACCESS_SYSTEM_SECURITY | AccessMask::READ_CONTROL;
    let auditor = admins.create(&asking(auditing)).await.expect("open");
    let list = |ace: Ace| Some(Acl { aces: vec![ace] });
    let (dacl, sacl) = (AdditionalInformation::DACL, AdditionalInformation::SACL);
    // Between looking at the descriptor and storing it there is time for the other.
    let slow = ["-e", "trace=fsetxattr,setxattr", "-e", "inject=fsetxattr,setxattr:delay_enter=20000"];
    let watched = Watched::begin(&subject, &slow);
    for round in 1..10 {
        let user = Sid::unix_user(round);
        let audit =
            Ace { kind: AceType::SYSTEM_AUDIT, ..Ace::allow(user, AccessMask::DELETE, AceFlags(0x40)) };
        let descriptor = |control, dacl, sacl| {
            let control = SdControl::SELF_RELATIVE | control;
            let mut encoded = Vec::new();
            let descriptor = SecurityDescriptor { control, owner: None, group: None, sacl, dacl };
            descriptor.encode(&mut encoded).expect("a descriptor");
            encoded
        };
        let allow = Ace::allow(user, AccessMask::FILE_ALL, AceFlags::NONE);
        let allowing = descriptor(SdControl::DACL_PRESENT, list(allow.clone()), None);
        let audited = descriptor(SdControl::SACL_PRESENT, None, list(audit.clone()));
        let (one, other) = tokio::join!(
            owner.set_info(InfoType::SECURITY, 0, dacl, &allowing),
            auditor.set_info(InfoType::SECURITY, 0, sacl, &audited),
        );
        one.and(other).expect("set");
        let stored = auditor.query_info(InfoType::SECURITY, 0, dacl | sacl, 4096).await.expect("query");
        let stored = SecurityDescriptor::decode(&stored).expect("a descriptor");
        assert_eq!(stored.sacl, list(audit), "round {round}");
        assert_eq!(stored.dacl, list(allow), "round {round}");
    }
    watched.end();
}
