//! Renames by macOS clients: open files continue under their new names.

use std::fs;

use client::smb::{ClientTree, CreateParameters, File};
use testkit::{Setup, Subject, skip};
use wire::create_context::{AaplParts, AaplRequest, AaplServerCaps, CreateContextsRequest};
use wire::msg::CreateDisposition;
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
