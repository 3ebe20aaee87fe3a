//! A directory moves between Samba and our server, in both directions: files written through one server are the same
//! through the other. Both run at the same time on the same files, with no configuration beyond `docs/samba.md`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use auth::UserDb;
use client::smb::{ClientTree, CreateParameters, File};
use tempfile::TempDir;
use testkit::peer::{smbcacls, smbclient};
use testkit::{RunAs, Samba, Setup, Shareward, Subject, User, need, run};
use wire::fscc::FileInfoClass;
use wire::fscc::ea::{EaEntry, decode_eas, encode_eas};
use wire::fscc::stream_info::decode_streams;
use wire::msg::{AdditionalInformation, CreateDisposition, InfoType};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, FileAttributes, FileTime, NtStatus};

use crate::scripted::connected;

/// Both servers with one tree.
pub(crate) struct Pair {
    ours: Subject,
    sambas: Subject,
    tree: TempDir,
}

impl Pair {
    /// Starts both with a new directory in `place`; `None` if this machine cannot.
    fn start(place: &Path) -> Option<Self> {
        Self::start_as(place, |_| ())
    }

    /// Starts both as [`Self::start`] does, with the changes of `change` to the configurations.
    pub(crate) fn start_as(place: &Path, change: impl FnOnce(&mut Setup)) -> Option<Self> {
        if !need(&["root", "smbd", "smbclient", "smbcacls", "pdbedit", "net", "unshare"]) {
            return None;
        }
        let tree = tempfile::Builder::new().prefix("moves.").tempdir_in(place).expect("a directory");
        fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let mut setup =
            Setup { run_as: RunAs::Root, tree: Some(tree.path().to_path_buf()), ..Setup::default() };
        change(&mut setup);
        let sambas = Samba::start(&setup);
        let mut ours = Shareward::start(&setup);
        take_over_sids(&sambas, &ours);
        ours.restart();
        Some(Self { ours: Subject::Shareward(ours), sambas: Subject::Samba(sambas), tree })
    }

    /// The directory behind the share called `name`.
    pub(crate) fn share_dir(&self, name: &str) -> std::path::PathBuf {
        self.tree.path().join(name)
    }

    /// The writer and the reader, in both directions, each with a distinct name.
    pub(crate) fn ways(&self) -> [(&Subject, &Subject, &'static str); 2] {
        [(&self.sambas, &self.ours, "from-samba"), (&self.ours, &self.sambas, "from-us")]
    }
}

/// The steps for an administrator in `docs/from-samba.md`.
fn take_over_sids(sambas: &Samba, ours: &Shareward) {
    let mut list = sambas.tool("pdbedit");
    list.args(["-L", "-v"]);
    let listed = run(list, b"", LIMIT).success().stdout;
    let mut script = Command::new("awk");
    script.arg(r#"/^Unix username:/ { name = $3 } /^User SID:/ { print name, $3 }"#);
    let sids = run(script, listed.as_bytes(), LIMIT).success().stdout;
    assert_eq!(sids.lines().count(), sambas.setup().users.len(), "{sids}");
    fs::write(ours.state_dir().join("user-sids"), sids).expect("write user-sids");
}

fn temporary() -> std::path::PathBuf {
    std::env::temp_dir()
}

/// All properties of a file that a client can query, except the change time, which Samba reports as the time of the
/// last write in the answer to a CREATE.
/// CREATE's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Portrait {
    attributes: FileAttributes,
    created: FileTime,
    written: FileTime,
    size: u64,
    streams: BTreeMap<String, Vec<u8>>,
    eas: BTreeMap<String, Vec<u8>>,
}

const NOTHING: AdditionalInformation = AdditionalInformation::NONE;

fn descriptors_parts() -> AdditionalInformation {
    AdditionalInformation::OWNER | AdditionalInformation::GROUP | AdditionalInformation::DACL
}

impl Portrait {
    async fn of(tree: &ClientTree, name: &str) -> Self {
        let access = AccessMask::FILE_GENERIC_READ;
        let file = tree.create(&CreateParameters { access, ..CreateParameters::open(name) }).await;
        let file = file.unwrap_or_else(|error| panic!("open {name}: {error}"));
        let mut portrait = Self {
            attributes: file.created.attributes,
            created: file.created.creation_time,
            written: file.created.last_write_time,
            size: file.created.end_of_file,
            ..Self::default()
        };
        let info = file.query_info(InfoType::FILE, FileInfoClass::STREAM.0, NOTHING, 64 * 1024).await;
        for stream in decode_streams(&info.expect("the streams")) {
            let stream = stream.expect("a stream");
            let stream_name = stream.name.to_text();
            let path = format!("{name}{stream_name}");
            let data =
                read_all(&tree.create(&CreateParameters::open(&path)).await.expect("open a stream")).await;
            assert_eq!(stream.size, data.len() as u64, "the size of {path}");
            portrait.streams.insert(stream_name, data);
        }
        portrait.eas = eas(&file).await;
        file.close().await.expect("close");
        portrait
    }
}

async fn descriptor(file: &File) -> SecurityDescriptor {
    let bytes = file.query_info(InfoType::SECURITY, 0, descriptors_parts(), 64 * 1024).await;
    SecurityDescriptor::decode(&bytes.expect("the descriptor")).expect("a descriptor")
}

/// A stored descriptor, which both servers show alike.
async fn same_descriptor(writer: &ClientTree, reader: &ClientTree, name: &str) -> SecurityDescriptor {
    let mut found = Vec::new();
    for tree in [writer, reader] {
        let file = tree.create(&CreateParameters::open(name)).await.expect("open");
        found.push(descriptor(&file).await);
        file.close().await.expect("close");
    }
    assert_eq!(found[0], found[1], "{name}");
    found.remove(0)
}

async fn eas(file: &File) -> BTreeMap<String, Vec<u8>> {
    let class = FileInfoClass::FULL_EA.0;
    match file.query_info(InfoType::FILE, class, NOTHING, 64 * 1024).await {
        Ok(bytes) => decode_eas(&bytes)
            .map(|ea| ea.expect("an EA"))
            // Samba reports names in capitals, as Windows stores them.
            .map(|ea| (String::from_utf8_lossy(ea.name).to_uppercase(), ea.value.to_vec()))
            .collect(),
        Err(error) if error.is(NtStatus::NO_EAS_ON_FILE) => BTreeMap::new(),
        Err(error) => panic!("the EAs: {error}"),
    }
}

pub(crate) async fn read_all(file: &File) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match file.read(all.len() as u64, 64 * 1024).await {
            Ok(data) => all.extend_from_slice(&data),
            Err(error) if error.is(NtStatus::END_OF_FILE) => break,
            Err(error) => panic!("read: {error}"),
        }
    }
    file.close().await.expect("close");
    all
}

/// Creates or overwrites a file or a stream.
pub(crate) async fn put(tree: &ClientTree, name: &str, data: &[u8]) {
    let file = tree.create(&CreateParameters::read_write(name)).await;
    let file = file.unwrap_or_else(|error| panic!("create {name}: {error}"));
    for (index, piece) in data.chunks(32 * 1024).enumerate() {
        let offset = (index * 32 * 1024) as u64;
        let written = file.write(offset, piece.to_vec()).await;
        written.unwrap_or_else(|error| panic!("write {name}: {error}"));
    }
    file.close().await.expect("close");
}

/// Everything, so that a test may set anything.
async fn open_to_change(tree: &ClientTree, name: &str) -> File {
    let access = AccessMask::FILE_GENERIC_READ
        | AccessMask::FILE_GENERIC_WRITE
        | AccessMask::WRITE_DAC
        | AccessMask::WRITE_OWNER;
    tree.create(&CreateParameters { access, ..CreateParameters::open(name) }).await.expect("open")
}

async fn set_basic(file: &File, created: FileTime, attributes: FileAttributes) {
    let mut info = [0; 40];
    info[..8].copy_from_slice(&created.0.to_le_bytes());
    info[32..36].copy_from_slice(&attributes.0.to_le_bytes());
    file.set_info(InfoType::FILE, FileInfoClass::BASIC.0, NOTHING, &info).await.expect("set");
}

pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Compares the properties of a file through both servers, and returns the reader's.
async fn alike(writer: &ClientTree, reader: &ClientTree, name: &str) -> Portrait {
    let expected = Portrait::of(writer, name).await;
    let found = Portrait::of(reader, name).await;
    assert_eq!(found, expected, "{name}");
    found
}

#[tokio::test]
async fn named_streams() {
    // The limit is the file system's: on ext4, attributes share one block.
    for (place, big) in [(temporary(), 2_500), ("/dev/shm".into(), 65_000)] {
        if !takes_attributes(&place, big) {
            continue;
        }
        let Some(pair) = Pair::start(&place) else { return };
        for (writer, reader, name) in pair.ways() {
            let ((_, writer), (_, reader)) =
                (connected(writer, "alice").await, connected(reader, "alice").await);
            put(&writer, name, b"data").await;
            put(&writer, &format!("{name}:Zone.Identifier"), b"[ZoneTransfer]\r\nZoneId=3\r\n").await;
            put(&writer, &format!("{name}:empty"), b"").await;
            put(&writer, &format!("{name}:big"), &noise(big)).await;
            put(&writer, &format!("{name}:Größe"), "Umlaute: äöü".as_bytes()).await;
            let portrait = alike(&writer, &reader, name).await;
            assert_eq!(portrait.streams.len(), 5, "{:?}", portrait.streams.keys());

            // The name in another case is the same stream, and the first server sees the changes of the second.
            put(&reader, &format!("{name}:ZONE.identifier"), b"[zonetransfer]\r\nzoneID=4\r\n").await;
            put(&reader, &format!("{name}:BIG"), &noise(big).repeat(1)[..big - 7]).await;
            let doomed = reader.create(&CreateParameters::read_write(&format!("{name}:EMPTY"))).await;
            let doomed = doomed.expect("open");
            doomed.set_delete_on_close(true).await.expect("delete");
            doomed.close().await.expect("close");
            let portrait = alike(&reader, &writer, name).await;
            assert_eq!(portrait.streams.len(), 4, "{:?}", portrait.streams.keys());
            assert_eq!(portrait.streams[":Zone.Identifier:$DATA"], b"[zonetransfer]\r\nzoneID=4\r\n");
        }
    }
}

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// True if files in `place` can have an attribute of this size.
fn takes_attributes(place: &Path, bytes: usize) -> bool {
    let Ok(file) = tempfile::NamedTempFile::new_in(place) else { return false };
    let value = "x".repeat(bytes);
    let mut set = Command::new("setfattr");
    // An argument of a program can have 128 KiB.
    set.args(["-n", "user.probe", "-v", &value]).arg(file.path());
    set.output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn attributes_and_creation_time() {
    let Some(pair) = Pair::start(&temporary()) else { return };
    let flags =
        [FileAttributes::HIDDEN, FileAttributes::SYSTEM, FileAttributes::ARCHIVE, FileAttributes::READONLY];
    for (writer, reader, prefix) in pair.ways() {
        let ((_, writer), (_, reader)) = (connected(writer, "alice").await, connected(reader, "alice").await);
        for bits in 0..16_u32 {
            let name = format!("{prefix}-{bits}");
            put(&writer, &name, b"x").await;
            let chosen = flags.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
            let wanted = chosen.fold(FileAttributes::NONE, |all, (_, flag)| all | *flag);
            let wanted = if wanted.is_none() { FileAttributes::NORMAL } else { wanted };
            let file = open_to_change(&writer, &name).await;
            let created = FileTime(130_000_000_000_000_000 + u64::from(bits) * 10_000_000);
            set_basic(&file, created, wanted).await;
            file.close().await.expect("close");
            let portrait = alike(&writer, &reader, &name).await;
            assert_eq!(portrait.attributes, wanted);
            assert_eq!(portrait.created, created);
            // And back, if the file may be changed.
            let file = open_attributes(&reader, &name).await;
            set_basic(&file, FileTime(created.0 + 70), FileAttributes::HIDDEN).await;
            file.close().await.expect("close");
            let portrait = alike(&reader, &writer, &name).await;
            assert_eq!(portrait.attributes, FileAttributes::HIDDEN);
        }
        // Properties that were never set are the same, too: a new file, a new directory.
        let name = format!("{prefix}-directory");
        let directory = CreateParameters {
            disposition: CreateDisposition::CREATE,
            access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
            ..CreateParameters::directory(&name)
        };
        writer.create(&directory).await.expect("create").close().await.expect("close");
        alike(&writer, &reader, &name).await;
    }
}

async fn open_attributes(tree: &ClientTree, name: &str) -> File {
    let access = AccessMask::READ_ATTRIBUTES | AccessMask::WRITE_ATTRIBUTES;
    tree.create(&CreateParameters { access, ..CreateParameters::open(name) }).await.expect("open")
}

#[tokio::test]
async fn extended_attributes() {
    let Some(pair) = Pair::start(&temporary()) else { return };
    for (writer, reader, name) in pair.ways() {
        let ((_, writer), (_, reader)) = (connected(writer, "alice").await, connected(reader, "alice").await);
        put(&writer, name, b"x").await;
        set_eas(&writer, name, &[("First", b"one"), ("SECOND", &noise(300)), ("third", b"\0\x01\0")]).await;
        assert_eq!(alike(&writer, &reader, name).await.eas.len(), 3);
        // The name in another case is the same attribute; an empty value removes it.
        set_eas(&reader, name, &[("FIRST", b"changed"), ("Second", b"")]).await;
        let eas = alike(&reader, &writer, name).await.eas;
        assert_eq!(eas.len(), 2);
        assert_eq!(eas["FIRST"], b"changed");
    }
}

async fn set_eas(tree: &ClientTree, name: &str, eas: &[(&str, &[u8])]) {
    let file = open_to_change(tree, name).await;
    let mut buffer = Vec::new();
    let entries = eas.iter().map(|(name, value)| EaEntry { flags: 0, name: name.as_bytes(), value });
    let _ = encode_eas(entries, &mut buffer, 64 * 1024);
    file.set_info(InfoType::FILE, FileInfoClass::FULL_EA.0, NOTHING, &buffer).await.expect("set EAs");
    file.close().await.expect("close");
}

#[tokio::test]
async fn security_descriptors() {
    let Some(pair) = Pair::start(&temporary()) else { return };
    for (writer, reader, name) in pair.ways() {
        let ((_, writer), (_, reader)) = (connected(writer, "alice").await, connected(reader, "alice").await);
        let directory = CreateParameters {
            disposition: CreateDisposition::CREATE,
            access: AccessMask::FILE_ALL,
            ..CreateParameters::directory(name)
        };
        let directory = writer.create(&directory).await.expect("create");
        // Without a stored descriptor, each server derives one from the permission bits in its own way.
        let before = descriptor(&directory).await;
        let owner = before.owner.expect("an owner");
        let onward = AceFlags::OBJECT_INHERIT | AceFlags::CONTAINER_INHERIT;
        let aces = vec![
            Ace::deny(Sid::GUESTS, AccessMask::WRITE_DATA, AceFlags::NONE),
            Ace::allow(owner, AccessMask::FILE_ALL, onward),
            Ace::allow(Sid::AUTHENTICATED_USERS, AccessMask::FILE_GENERIC_READ, AceFlags::OBJECT_INHERIT),
            Ace::allow(Sid::WORLD, AccessMask::FILE_GENERIC_READ, AceFlags::CONTAINER_INHERIT),
        ];
        let wanted = SecurityDescriptor::new(owner, before.group.expect("a group"), Acl { aces });
        let mut bytes = Vec::new();
        wanted.encode(&mut bytes).expect("small");
        let set = directory.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, &bytes).await;
        set.expect("set the DACL");
        directory.close().await.expect("close");
        assert_eq!(same_descriptor(&writer, &reader, name).await.dacl, wanted.dacl);

        // A file that either server creates in it inherits the same entries, and the other server sees them.
        let (by_writer, by_reader) = (format!(r"{name}\by-writer"), format!(r"{name}\by-reader"));
        put(&writer, &by_writer, b"1").await;
        put(&reader, &by_reader, b"2").await;
        let first = same_descriptor(&writer, &reader, &by_writer).await;
        let second = same_descriptor(&reader, &writer, &by_reader).await;
        assert_eq!(first.dacl.expect("a DACL").aces.len(), 2);
        assert_eq!(second.dacl.expect("a DACL").aces.len(), 2);

        // A descriptor decides behind the other server, too.
        let file = open_to_change(&writer, &by_writer).await;
        let aces = vec![
            Ace::deny(Sid::WORLD, AccessMask::WRITE_DATA, AceFlags::NONE),
            Ace::allow(Sid::WORLD, AccessMask::FILE_ALL, AceFlags::NONE),
        ];
        let mut bytes = Vec::new();
        SecurityDescriptor::new(owner, before.group.expect("a group"), Acl { aces })
            .encode(&mut bytes)
            .expect("small");
        file.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, &bytes).await.expect("set");
        file.close().await.expect("close");
        same_descriptor(&writer, &reader, &by_writer).await;
        for tree in [&writer, &reader] {
            let refused = tree.create(&CreateParameters::read_write(&by_writer)).await;
            assert!(refused.is_err_and(|error| error.is(NtStatus::ACCESS_DENIED)));
        }
    }
}

#[tokio::test]
async fn acls_set_with_smbcacls() {
    let Some(pair) = Pair::start(&temporary()) else { return };
    for (writer, reader, name) in pair.ways() {
        let (_, tree) = connected(writer, "alice").await;
        put(&tree, name, b"x").await;
        let alice = writer.user("alice");
        let set =
            "ACL:S-1-1-0:ALLOWED/0x0/READ,ACL:S-1-5-11:ALLOWED/0x0/CHANGE,ACL:S-1-22-1-64101:DENIED/0x0/WD";
        smbcacls(writer, alice, "data", name, &["--numeric", "-a", set]).success();
        // A domain, so that it asks for none: it takes for granted that there is one, and a server on its own has none.
        let sddl = ["--sddl", "--numeric", "--domain-sid=S-1-5-21-1-2-3"];
        let shown = |subject| smbcacls(subject, alice, "data", name, &sddl).success().stdout;
        assert_eq!(shown(reader), shown(writer));
        assert!(shown(reader).contains(";;;WD)"), "{}", shown(reader));
    }
}

#[tokio::test]
async fn names_in_every_script() {
    let Some(pair) = Pair::start(&temporary()) else { return };
    let names =
        ["Höher.txt", "日本語のファイル", "🦀.rs", "e\u{301}cole", "Ångström", "ΣΊΣΥΦΟΣ", "колонка", "a  b"];
    for (writer, reader, prefix) in pair.ways() {
        let (_, tree) = connected(writer, "alice").await;
        for name in names {
            put(&tree, &format!("{prefix} {name}"), name.as_bytes()).await;
        }
        let (_, tree) = connected(reader, "alice").await;
        let root = tree.create(&CreateParameters::directory("")).await.expect("the root");
        let listed = root.list(FileInfoClass::ID_BOTH_DIRECTORY, "*").all(1000).await.expect("list");
        for name in names {
            let name = format!("{prefix} {name}");
            assert!(listed.iter().any(|entry| entry.name == name), "{name} is listed");
            // The name is found in another case, too.
            let other = name.to_uppercase();
            assert!(tree.create(&CreateParameters::open(&other)).await.is_ok(), "{other}");
        }
    }
}

#[tokio::test]
async fn sparse_files() {
    let Some(pair) = Pair::start(&temporary()) else { return };
    for (writer, reader, name) in pair.ways() {
        let ((_, write), (_, read)) = (connected(writer, "alice").await, connected(reader, "alice").await);
        let file = write.create(&CreateParameters::read_write(name)).await.expect("create");
        file.ioctl(wire::ioctl::FsctlCode::SET_SPARSE, &[1], 0).await.expect("make it sparse");
        file.write(8 << 20, noise(10_000)).await.expect("write");
        file.close().await.expect("close");
        let found = alike_without_data(&write, &read, name).await;
        assert!(found.attributes.contains(FileAttributes::SPARSE_FILE));
        assert_eq!(found.end_of_file, (8 << 20) + 10_000);
        let blocks = fs::metadata(reader.share_dir("data").join(name)).expect("the file").blocks();
        assert!(blocks < 1024, "{blocks} blocks");
        // FILE_ALLOCATED_RANGE_BUFFER: from 0, all of it.
        let file = read.create(&CreateParameters::open(name)).await.expect("open");
        let asked = [0_u64.to_le_bytes(), (1_u64 << 40).to_le_bytes()].concat();
        let ranges =
            file.ioctl(wire::ioctl::FsctlCode::QUERY_ALLOCATED_RANGES, &asked, 1024).await.expect("ask");
        assert_eq!(ranges.len(), 16, "one range");
        assert_eq!(ranges[..8], (8_u64 << 20).to_le_bytes());
    }
}

/// As [`alike`] for a file that is too large to read.
async fn alike_without_data(writer: &ClientTree, reader: &ClientTree, name: &str) -> client::smb::Created {
    let open = |tree: &ClientTree| {
        let tree = tree.clone();
        let name = name.to_owned();
        async move {
            let file = tree.create(&CreateParameters::open(&name)).await.expect("open");
            file.close().await.expect("close");
            file.created
        }
    };
    let (expected, found) = (open(writer).await, open(reader).await);
    assert_eq!(found.attributes, expected.attributes);
    assert_eq!(found.creation_time, expected.creation_time);
    assert_eq!(found.last_write_time, expected.last_write_time);
    assert_eq!(found.end_of_file, expected.end_of_file);
    found
}

/// Accounts go from Samba to us with `pdbedit -L -w`, and back with `pdbedit -i`: passwords and being disabled.
#[test]
fn users() {
    let Some(pair) = Pair::start(&temporary()) else { return };
    let (Subject::Samba(sambas), Subject::Shareward(ours)) = (&pair.sambas, &pair.ours) else { return };
    let pdbedit = |arguments: &[&str], input: &str| {
        let mut command = sambas.tool("pdbedit");
        command.args(arguments);
        run(command, input.as_bytes(), LIMIT).success()
    };
    let changed = User { password: "Chang3d in Samba".into(), ..pair.ours.user("bob").clone() };
    pdbedit(&["-a", "-t", "-u", "bob"], &format!("{0}\n{0}\n", changed.password));
    pdbedit(&["-r", "-u", "admin", "-c", "[D]"], "");
    // `pdbedit -e smbpasswd:FILE` leaves out whom Samba gave an odd number.
    let listed = pdbedit(&["-L", "-w"], "").stdout;
    fs::write(ours.users_file(), listed).expect("write the users");
    ours.signal("HUP");
    let lists = |subject: &Subject, user: &User| smbclient(subject, user, "data", &[], "ls");
    let taken_over = Instant::now();
    while lists(&pair.ours, &changed).status != Some(0) {
        assert!(taken_over.elapsed() < LIMIT, "the new password never counted");
    }
    lists(&pair.ours, pair.ours.user("alice")).success();
    lists(&pair.ours, pair.ours.user("bob")).failure().says("NT_STATUS_LOGON_FAILURE");
    lists(&pair.ours, pair.ours.user("admin")).failure().says("NT_STATUS_ACCOUNT_DISABLED");

    ours.user(&["passwd", "alice"], "Chang3d by us\n").success();
    let (mut users, _) = UserDb::load(&ours.users_file()).expect("the users file");
    users.set_enabled("bob", false).expect("bob is there");
    users.save(&ours.users_file()).expect("save");
    pdbedit(&["-i", &format!("smbpasswd:{}", ours.users_file().display())], "");
    let alice = User { password: "Chang3d by us".into(), ..pair.ours.user("alice").clone() };
    lists(&pair.sambas, &alice).success();
    lists(&pair.sambas, &changed).failure().says("NT_STATUS_ACCOUNT_DISABLED");
}
