//! Shares whose directories come and go: disks that are mounted and unmounted, directories that are deleted, made again,
//! or not there yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use client::smb::{ClientTree, ConnectOptions, CreateParameters, Error, File};
use testkit::{Output, Setup, Shareward, Subject, need, run};
use wire::create_context::CreateContextsRequest;
use wire::fscc::file_info::InternalInfo;
use wire::fscc::fs_info::FsFullSizeInfo;
use wire::fscc::{FileInfoClass, FsInfoClass};
use wire::layout::FixedLayout;
use wire::msg::{AdditionalInformation, CreateDisposition, InfoType};
use wire::{AccessMask, NtStatus};

use crate::reload::reconfigure;
use crate::scripted::{DATA, logged_on, rename, tree};

/// The time limit for a command about file systems.
const LIMIT: Duration = Duration::from_secs(30);

/// The time until opens of a lost connection are closed.
const RECOVERY_MAX: Duration = Duration::from_secs(40);

/// The log messages for a share whose directory is missing, and for its return.
const AWAY: &str = "a share's directory is not available";
const BACK: &str = "the share's directory is available again";

/// A file system in memory, mounted on a directory until this is gone.
struct Disk(PathBuf);

impl Disk {
    fn mount(on: &Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "mode=777,size=3m", "tmpfs"]).arg(on);
        run(mount, b"", LIMIT).success();
        Self(on.to_owned())
    }

    /// Unmounts it, which requires that nothing is open there.
    fn unmount(&self) -> Output {
        let mut unmount = Command::new("umount");
        unmount.arg(&self.0);
        run(unmount, b"", LIMIT)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        unmount.arg("-l").arg(&self.0);
        let _ = unmount.stderr(std::process::Stdio::null()).status();
    }
}

fn server(subject: &Subject) -> &Shareward {
    match subject {
        Subject::Shareward(server) => server,
        Subject::Samba(_) => panic!("the server is ours"),
    }
}

async fn file_of(tree: &ClientTree, name: &str) -> File {
    let file = tree.create(&CreateParameters::read_write(name)).await.expect("create");
    file.write(0, b"text".to_vec()).await.expect("write");
    file
}

/// A new directory, which can be renamed.
async fn make_in(tree: &ClientTree, name: &str) -> File {
    let making = CreateParameters {
        access: AccessMask::FILE_GENERIC_READ | AccessMask::DELETE,
        disposition: CreateDisposition::CREATE,
        ..CreateParameters::directory(name)
    };
    tree.create(&making).await.expect("make")
}

async fn has(tree: &ClientTree, name: &str) -> bool {
    match tree.create(&CreateParameters::open(name)).await {
        Ok(file) => file.close().await.map(|()| true).expect("close"),
        Err(error) if error.is(NtStatus::OBJECT_NAME_NOT_FOUND) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn connects(subject: &Subject, share: &str) -> Result<ClientTree, Error> {
    let session = logged_on(subject, "alice", ConnectOptions::new().expect("options")).await;
    session.tree_connect(&format!(r"\\127.0.0.1\{share}")).await
}

async fn is_refused(subject: &Subject) {
    let refused = connects(subject, "data").await.map(drop).expect_err("there is no such directory");
    assert!(refused.is(NtStatus::BAD_NETWORK_NAME), "{refused}");
}

/// A directory that clients of a server that is an ordinary user's may use.
fn make(directory: &Path) {
    fs::create_dir(directory).expect("make");
    fs::set_permissions(directory, Permissions::from_mode(0o777)).expect("chmod");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_mounted_later_is_visible_to_new_connections() {
    if !need(&["root", "mount", "umount"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let directory = subject.share_dir("data");
    let before = tree(&subject, "alice", "data").await;
    let below = file_of(&before, "below").await;
    make_in(&before, "d").await.close().await.expect("close");
    file_of(&before, r"d\held").await;
    let disk = Disk::mount(&directory);

    let since = tree(&subject, "bob", "data").await;
    file_of(&since, "on the disk").await.close().await.expect("close");
    assert!(directory.join("on the disk").exists(), "it is written to the disk, and not underneath");
    assert!(!has(&since, "below").await);
    // An existing connection keeps the previous directory.
    below.write(4, b", and more".to_vec()).await.expect("write");
    assert!(has(&before, "below").await && !has(&before, "on the disk").await);
    // An open below a directory of one file system is not below the same directory of the other.
    let moved = make_in(&since, "d").await;
    rename(&moved, "e").await.expect("nothing of this disk is open below");
    let files = tokio::task::block_in_place(|| server(&subject).net(&["file", "--csv"])).success().stdout;
    assert!(files.contains(r"d\held") && !files.contains(r"e\held"), "{files}");
    moved.close().await.expect("close");

    since.disconnect().await.expect("disconnect");
    disk.unmount().success();
    assert_eq!(fs::read(directory.join("below")).expect("read"), b"text, and more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_without_connections_keeps_nothing_open() {
    if !need(&["root", "mount", "umount"]) {
        return;
    }
    let mut ours = Shareward::start(&Setup::default());
    let directory = ours.share_dir("data");
    let disk = Disk::mount(&directory);
    tokio::task::block_in_place(|| ours.restart());
    let subject = Subject::Shareward(ours);
    tokio::task::block_in_place(|| server(&subject).net(&["share"])).success();

    let session = logged_on(&subject, "alice", ConnectOptions::new().expect("options")).await;
    let data = session.tree_connect(DATA).await.expect("tree connect");
    let file = file_of(&data, "f").await;
    let refused = disk.unmount();
    assert!(refused.status != Some(0), "a file is open");
    file.close().await.expect("close");
    data.disconnect().await.expect("disconnect");
    disk.unmount().success();

    // A client that is gone holds nothing either, once that is known.
    let disk = Disk::mount(&directory);
    let data = session.tree_connect(DATA).await.expect("tree connect");
    file_of(&data, "g").await;
    session.connection().disconnect();
    let begun = Instant::now();
    while disk.unmount().status != Some(0) {
        assert!(begun.elapsed() < RECOVERY_MAX, "something is held");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_deleted_and_created_again_is_shared_again() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let directory = subject.share_dir("data");
    let before = tree(&subject, "alice", "data").await;
    fs::remove_dir_all(&directory).expect("delete");
    is_refused(&subject).await;
    is_refused(&subject).await;
    let net = |words: &[&str]| tokio::task::block_in_place(|| server(&subject).net(words)).success().stdout;
    let (listed, shown) = (net(&["share"]), net(&["share", "data"]));
    assert!(listed.contains("data is unavailable: no such directory"), "{listed}");
    assert!(shown.contains("Unavailable") && shown.contains("no such directory"), "{shown}");
    let json = net(&["share", "--json"]);
    assert_eq!(json.matches("\"away\"").count(), 1, "{json}");
    drop(connects(&subject, "other").await.expect("the others are served"));

    make(&directory);
    fs::write(directory.join("new"), "text").expect("write");
    assert!(!net(&["share"]).contains("is unavailable"));
    let since = tree(&subject, "bob", "data").await;
    assert!(has(&since, "new").await && !has(&before, "new").await);
    let log = server(&subject).log();
    assert_eq!((log.matches(AWAY).count(), log.matches(BACK).count()), (1, 1), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_directory_at_the_start_affects_only_its_share() {
    let mut ours = Shareward::start(&Setup::default());
    let directory = ours.share_dir("data");
    fs::remove_dir(&directory).expect("delete");
    tokio::task::block_in_place(|| ours.restart());
    let subject = Subject::Shareward(ours);
    file_of(&connects(&subject, "other").await.expect("the others are served"), "f").await;
    is_refused(&subject).await;
    let listed = tokio::task::block_in_place(|| server(&subject).net(&["share"])).success().stdout;
    assert!(listed.contains("data is unavailable: no such directory"), "{listed}");
    make(&directory);
    file_of(&connects(&subject, "data").await.expect("it is there"), "f").await;
    let log = server(&subject).log();
    assert_eq!((log.matches(AWAY).count(), log.matches(BACK).count()), (1, 1), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_directory_at_a_reload_affects_only_its_share() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let later = server(&subject).scratch().join("later");
    let (path, new) = (subject.share_dir("other"), format!("path = {later:?}\n"));
    tokio::task::block_in_place(|| reconfigure(server(&subject), &format!("path = {path:?}\n"), &new));
    let refused = connects(&subject, "other").await.map(drop).expect_err("it is not there yet");
    assert!(refused.is(NtStatus::BAD_NETWORK_NAME), "{refused}");
    file_of(&connects(&subject, "data").await.expect("the others are served"), "f").await;
    let log = server(&subject).log();
    assert_eq!(log.matches(AWAY).count(), 1, "{log}");
    make(&later);
    file_of(&connects(&subject, "other").await.expect("it is there"), "f").await;
    assert!(later.join("f").exists());

    // A new share requires an existing directory.
    let missing = format!("new={}", later.join("missing").display());
    let refused = tokio::task::block_in_place(|| server(&subject).net(&["share", &missing]));
    assert!(refused.status != Some(0), "{refused}");
}

/// Information of a class about the file system of a file.
async fn file_system<T: FixedLayout>(file: &File, class: FsInfoClass) -> T {
    let data = file.query_info(InfoType::FILESYSTEM, class.0, AdditionalInformation::NONE, 4096).await;
    T::decode(&data.expect("query")).expect("what was asked for")
}

/// The serial number of the volume that a file is in (MS-FSCC 2.5.9).
async fn serial(file: &File) -> [u8; 4] {
    let data =
        file.query_info(InfoType::FILESYSTEM, FsInfoClass::VOLUME.0, AdditionalInformation::NONE, 4096);
    *data.await.expect("query")[8..].first_chunk().expect("a serial number")
}

/// The ids of a directory's entries by name. The listing and the files themselves report the same ids.
async fn ids(tree: &ClientTree, directory: &str) -> BTreeMap<String, u64> {
    let listed = tree.create(&CreateParameters::directory(directory)).await.expect("open");
    let entries = listed.list(FileInfoClass::ID_BOTH_DIRECTORY, "*").all(1000).await.expect("list");
    let mut ids = BTreeMap::new();
    for entry in entries {
        if entry.name != "." && entry.name != ".." {
            let name = format!("{directory}\\{}", entry.name);
            let name = name.trim_start_matches('\\');
            let contexts =
                CreateContextsRequest { query_on_disk_id: true, ..CreateContextsRequest::default() };
            let file = CreateParameters { contexts, ..CreateParameters::open(name) };
            let file = tree.create(&file).await.expect("open");
            let class = FileInfoClass::INTERNAL.0;
            let told =
                file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, 64).await.expect("query");
            let told = InternalInfo::decode(&told).expect("an id").index_number;
            let created = file.created.contexts.disk_id.expect("an id");
            assert_eq!((told, created.file_id), (entry.fields.file_id, told), "{name}");
            assert_eq!(created.volume_id.to_le_bytes()[..4], serial(&file).await, "{name}");
            file.close().await.expect("close");
            ids.insert(name.to_owned(), told);
        }
    }
    listed.close().await.expect("close");
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_inside_a_share_is_a_separate_file_system() {
    if !need(&["root", "mount", "umount"]) {
        return;
    }
    let mut ours = Shareward::start(&Setup::default());
    let places = ["one", "two"].map(|name| ours.share_dir("data").join(name));
    places.iter().for_each(|place| make(place));
    let disks = places.map(|place| Disk::mount(&place));
    let outer = Disk::mount(&ours.share_dir("other"));
    for place in disks.iter().chain([&outer]).map(|disk| &disk.0) {
        for name in ["a", "b", "c"] {
            fs::write(place.join(name), "text").expect("write");
        }
    }
    let mut before = BTreeMap::new();
    for _ in 0..2 {
        let subject = Subject::Shareward(ours);
        let data = tree(&subject, "alice", "data").await;
        let other = tree(&subject, "alice", "other").await;
        let mut all = ids(&data, "").await;
        for directory in ["one", "two"] {
            all.extend(ids(&data, directory).await);
        }
        assert_eq!(all.len(), 8);
        let distinct: BTreeSet<u64> = all.values().copied().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
        // A share whose own root has small numbers.
        all.extend(ids(&other, "").await);
        assert!(all.values().all(|id| *id >= 17), "macOS hides such files: {all:?}");
        if !before.is_empty() {
            assert_eq!(all, before, "they are the same after a restart");
        }
        before = all;

        let (root, inside) = (open(&data, "").await, open(&data, "one").await);
        let file = open(&data, r"two\a").await;
        let own: FsFullSizeInfo = file_system(&root, FsInfoClass::FULL_SIZE).await;
        for opened in [&inside, &file] {
            let size: FsFullSizeInfo = file_system(opened, FsInfoClass::FULL_SIZE).await;
            assert_eq!(size.total_units * u64::from(size.sectors_per_unit * size.bytes_per_sector), 3 << 20);
            assert_ne!(size.total_units, own.total_units);
        }
        let serials = [serial(&root).await, serial(&inside).await, serial(&file).await];
        assert_eq!(BTreeSet::from(serials).len(), 3, "{serials:?}");
        let Subject::Shareward(server) = subject else { return };
        ours = server;
        tokio::task::block_in_place(|| ours.restart());
    }
}

async fn open(tree: &ClientTree, name: &str) -> File {
    tree.create(&CreateParameters::open(name)).await.expect("open")
}
