//! macOS clients: open files continue under their new names when they are renamed, and Time Machine sees a disk of a
//! limited size.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, File};
use testkit::{RunAs, Samba, Setup, Shareward, Subject, need, skip};
use wire::create_context::{AaplParts, AaplRequest, AaplServerCaps, CreateContextsRequest};
use wire::fscc::FsInfoClass;
use wire::fscc::fs_info::FsFullSizeInfo;
use wire::layout::FixedLayout;
use wire::msg::{AdditionalInformation, CreateDisposition, InfoType};
use wire::{AccessMask, NtStatus};

use crate::scripted::{rename, tree};

/// A client that negotiated as a Mac.
async fn mac(subject: &Subject, user: &str) -> ClientTree {
    let tree = tree(subject, user, "data").await;
    let aapl = AaplRequest::ServerQuery {
        parts: AaplParts::SERVER_CAPS | AaplParts::VOLUME_CAPS,
        client_caps: AaplServerCaps::READ_DIR_ATTR | AaplServerCaps::OSX_COPYFILE | AaplServerCaps::NFS_ACE,
    };
    let contexts = CreateContextsRequest { aapl: Some(aapl), ..CreateContextsRequest::default() };
    let root =
        tree.create(&CreateParameters { contexts, ..CreateParameters::directory("") }).await.expect("open");
    root.close().await.expect("close");
    tree
}

/// A directory that can be renamed; it is created if it does not exist.
async fn folder(tree: &ClientTree, name: &str) -> File {
    let opening = CreateParameters {
        access: AccessMask::FILE_GENERIC_READ | AccessMask::DELETE,
        disposition: CreateDisposition::OPEN_IF,
        ..CreateParameters::directory(name)
    };
    tree.create(&opening).await.expect("open")
}

async fn file(tree: &ClientTree, name: &str) -> File {
    let file = tree.create(&CreateParameters::read_write(name)).await.expect("create");
    file.write(0, b"text".to_vec()).await.expect("write");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_renames_a_folder_with_files_open_below() {
    let subject = Subject::start(&Setup::default());
    let Subject::Shareward(server) = &subject else { return skip("its shares have no vfs_fruit") };
    let data = server.share_dir("data");
    let (alice, bob) = (mac(&subject, "alice").await, tree(&subject, "bob", "data").await);
    let top = folder(&alice, "top").await;
    folder(&alice, r"top\inner").await.close().await.expect("close");
    let own = file(&alice, r"top\inner\own").await;
    let stream = file(&alice, r"top\inner\own:stream").await;
    let others = file(&bob, r"top\others").await;

    // Other clients may not.
    let bobs = folder(&bob, "top").await;
    let refused = rename(&bobs, "taken").await.expect_err("files are open below");
    assert!(refused.is(NtStatus::ACCESS_DENIED), "{refused}");
    bobs.close().await.expect("close");
    rename(&top, "moved").await.expect("rename");
    assert!(!data.join("top").exists());
    own.write(4, b", and more".to_vec()).await.expect("write");
    assert_eq!(fs::read(data.join("moved/inner/own")).expect("read"), b"text, and more");
    stream.write(0, b"TEXT".to_vec()).await.expect("write");
    let files = tokio::task::block_in_place(|| server.net(&["file", "--csv"])).success().stdout;
    for path in [r"moved\inner\own", r"moved\inner\own:stream", r"moved\others"] {
        assert!(files.contains(path), "{path}: {files}");
    }
    assert!(!files.contains(r"\top\") && !files.contains(r",top\"), "{files}");
    // A file that is deleted on close is found under its new name.
    others.set_delete_on_close(true).await.expect("set");
    others.close().await.expect("close");
    assert!(!data.join("moved/others").exists());
    // Renamed below again, and back.
    top.close().await.expect("close");
    let inner = folder(&alice, r"moved\inner").await;
    rename(&inner, r"moved\outer").await.expect("rename");
    inner.close().await.expect("close");
    rename(&folder(&alice, "moved").await, "top").await.expect("rename");
    assert_eq!(&own.read(0, 4).await.expect("read")[..], b"text");
    stream.set_delete_on_close(true).await.expect("set");
    stream.close().await.expect("close");
    own.set_delete_on_close(true).await.expect("set");
    own.close().await.expect("close");
    assert_eq!(fs::read_dir(data.join("top/outer")).expect("list").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_renames_a_file_whose_stream_is_open() {
    let subject = Subject::start(&Setup::default());
    let Subject::Shareward(server) = &subject else { return skip("its shares have no vfs_fruit") };
    let (alice, bob) = (mac(&subject, "alice").await, tree(&subject, "bob", "data").await);
    let named = file(&alice, "named").await;
    let stream = file(&alice, "named:stream").await;
    let whole = bob.create(&CreateParameters::read_write("named")).await.expect("open");
    let refused = rename(&whole, "taken").await.expect_err("a stream is open");
    assert!(refused.is(NtStatus::ACCESS_DENIED), "{refused}");
    rename(&named, "renamed").await.expect("rename");
    stream.write(0, b"TEXT".to_vec()).await.expect("write");
    let again = bob.create(&CreateParameters::open("renamed:stream")).await.expect("open");
    assert_eq!(&again.read(0, 4).await.expect("read")[..], b"TEXT");
    let files = tokio::task::block_in_place(|| server.net(&["file", "--csv"])).success().stdout;
    assert_eq!(files.matches(",renamed:stream,").count(), 2, "{files}");
    // The delete of a stream is not its file's.
    stream.set_delete_on_close(true).await.expect("set");
    again.close().await.expect("close");
    stream.close().await.expect("close");
    let gone =
        bob.create(&CreateParameters::open("renamed:stream")).await.map(drop).expect_err("it is deleted");
    assert!(gone.is(NtStatus::OBJECT_NAME_NOT_FOUND), "{gone}");
    assert!(server.share_dir("data").join("renamed").exists());
}

/// The bytes of the volume and those that are left of it.
async fn volume(tree: &ClientTree) -> (u64, u64) {
    let root = tree.create(&CreateParameters::directory("")).await.expect("open");
    let (class, part) = (FsInfoClass::FULL_SIZE.0, AdditionalInformation::NONE);
    let info = root.query_info(InfoType::FILESYSTEM, class, part, 4096).await.expect("query");
    root.close().await.expect("close");
    let info = FsFullSizeInfo::decode(&info).expect("sizes");
    let unit = u64::from(info.sectors_per_unit) * u64::from(info.bytes_per_sector);
    (info.total_units * unit, info.caller_available_units * unit)
}

/// A backup with two bands of 8 MiB, on both servers; Samba counts bands, ours all files.
#[tokio::test]
async fn time_machine_sees_a_volume_of_the_size_of_its_limit() {
    if !need(&["root", "smbd", "pdbedit", "unshare"]) {
        return;
    }
    let tree_of_both = tempfile::tempdir().expect("a directory");
    fs::set_permissions(tree_of_both.path(), Permissions::from_mode(0o755)).expect("chmod");
    let bundle = tree_of_both.path().join("data/Mac.sparsebundle");
    fs::create_dir_all(bundle.join("bands")).expect("a bundle");
    let plist = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n\t<key>band-size</key>\n\
                 \t<integer>8388608</integer>\n</dict>\n</plist>\n";
    fs::write(bundle.join("Info.plist"), plist).expect("write");
    for band in ["0", "1"] {
        fs::write(bundle.join("bands").join(band), vec![7; 8 << 20]).expect("write");
    }
    let setup = Setup {
        tree: Some(tree_of_both.path().to_path_buf()),
        run_as: RunAs::Root,
        extra_share: "time_machine = true\ntime_machine_limit = \"64M\"".into(),
        extra_samba: "vfs objects = fruit streams_xattr\nfruit:time machine = yes\n\
                      fruit:time machine max size = 64M"
            .into(),
        ..Setup::default()
    };
    for subject in [Subject::Samba(Samba::start(&setup)), Subject::Shareward(Shareward::start(&setup))] {
        let data = tree(&subject, "alice", "data").await;
        let began = Instant::now();
        let (size, left) = loop {
            let (size, left) = volume(&data).await;
            // Ours counts in the background.
            if left != size || began.elapsed() > Duration::from_secs(20) {
                break (size, left);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(size, 64 << 20, "Samba: {}", subject.is_samba());
        let other_files = (48_u64 << 20).checked_sub(left).expect("no more than is left");
        assert!(other_files < 1 << 20, "Samba: {}: {left}", subject.is_samba());
    }
}
