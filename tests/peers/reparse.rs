//! Symbolic links and other reparse points, with clients or the server following them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use client::smb::{ClientTree, CreateParameters};
use testkit::{Setup, Subject};
use wire::fscc::FileInfoClass;
use wire::fscc::file_info::BasicInfo;
use wire::ioctl::{FsctlCode, ReparseData, ReparseTag, SymlinkData};
use wire::layout::FixedLayout;
use wire::msg::{
    AdditionalInformation, CreateDisposition, CreateOptions, ErrorResponse, InfoType, SymlinkErrorResponse,
    SymlinkFlags,
};
use wire::{AccessMask, FileAttributes, Guid, NtStatus, Utf16};

use crate::scripted::tree;

/// A share that shows symbolic links, and its directory.
async fn shown() -> (Subject, ClientTree, PathBuf) {
    let mut setup = Setup::default();
    setup.shares[0].shows_symlinks = true;
    let subject = Subject::start(&setup);
    let directory = subject.share_dir("data");
    let data = tree(&subject, "alice", "data").await;
    (subject, data, directory)
}

fn link_itself(name: &str) -> CreateParameters<'_> {
    CreateParameters {
        access: AccessMask::READ_ATTRIBUTES | AccessMask::WRITE_ATTRIBUTES | AccessMask::DELETE,
        options: CreateOptions::OPEN_REPARSE_POINT,
        ..CreateParameters::open(name)
    }
}

fn new_file(name: &str) -> CreateParameters<'_> {
    CreateParameters { disposition: CreateDisposition::CREATE, ..link_itself(name) }
}

fn symlink_data(target: &str, relative: bool) -> Vec<u8> {
    let mut data = Vec::new();
    SymlinkData { substitute_name: target, print_name: target, relative }.encode(&mut data);
    buffer(ReparseTag::SYMLINK, None, &data)
}

fn buffer(tag: ReparseTag, guid: Option<Guid>, data: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    ReparseData { tag, guid, data }.encode(&mut buffer);
    buffer
}

async fn target_of(tree: &ClientTree, name: &str) -> Result<String, Option<NtStatus>> {
    let link = tree.create(&link_itself(name)).await.map_err(|error| error.status())?;
    let read = link.ioctl(FsctlCode::GET_REPARSE_POINT, &[], 4096).await;
    link.close().await.expect("close");
    let read = read.map_err(|error| error.status())?;
    let reparse = ReparseData::decode(&read).expect("reparse data");
    assert_eq!(reparse.tag, ReparseTag::SYMLINK);
    let data = SymlinkData::<Utf16<'_>>::decode(reparse.data).expect("a symlink");
    assert!(data.relative);
    Ok(data.substitute_name.to_text())
}

/// The error data of a plain open of the name: the target, and the number of bytes of the name that are left.
async fn stopped(tree: &ClientTree, name: &str) -> (String, u16) {
    let part = CreateParameters::open(name).part().expect("a request");
    let answer = tree.connection().request(tree.scope(), part).await.expect("an answer");
    assert_eq!(answer.status(), NtStatus::STOPPED_ON_SYMLINK, "{name}");
    let error = ErrorResponse::decode(&answer.message).expect("an error");
    let context = error.contexts().iter().next().expect("a context").expect("a good one");
    let link = SymlinkErrorResponse::decode(context.data).expect("a symlink");
    assert_eq!(link.flags, SymlinkFlags::RELATIVE);
    (link.substitute_name.to_text(), link.unparsed_path_length)
}

async fn opens(tree: &ClientTree, name: &str) -> Result<(), Option<NtStatus>> {
    let file = tree.create(&CreateParameters::open(name)).await.map_err(|error| error.status())?;
    file.close().await.map_err(|error| error.status())
}

#[tokio::test]
async fn symlinks_are_shown_and_left_to_the_client() {
    let (subject, data, directory) = shown().await;
    fs::create_dir(directory.join("d")).expect("mkdir");
    fs::write(directory.join("d/f"), "text").expect("write");
    fs::set_permissions(directory.join("d"), fs::Permissions::from_mode(0o777)).expect("chmod");
    symlink("d/f", directory.join("file")).expect("symlink");
    symlink("../d", directory.join("d/self")).expect("symlink");
    symlink("/etc/passwd", directory.join("absolute")).expect("symlink");
    symlink("../../..", directory.join("d/up")).expect("symlink");

    let root = data.create(&CreateParameters::directory("")).await.expect("the root");
    let listed = root.list(FileInfoClass::ID_BOTH_DIRECTORY, "*").all(100).await.expect("a listing");
    let entry = |name: &str| listed.iter().find(|entry| entry.name == name).expect("an entry").fields;
    assert!(entry("file").attributes.contains(FileAttributes::REPARSE_POINT));
    assert!(!entry("file").attributes.contains(FileAttributes::DIRECTORY));
    assert_eq!(entry("file").reparse_tag, ReparseTag::SYMLINK.0);
    assert_eq!(entry("d").attributes, FileAttributes::DIRECTORY);
    root.close().await.expect("close");

    assert_eq!(target_of(&data, "file").await, Ok(String::from(r"d\f")));
    assert_eq!(target_of(&data, r"d\SELF").await, Ok(String::from(r"..\d")));
    for secret in ["absolute", r"d\up"] {
        assert_eq!(target_of(&data, secret).await, Err(Some(NtStatus::ACCESS_DENIED)), "{secret}");
        assert_eq!(opens(&data, secret).await, Err(Some(NtStatus::ACCESS_DENIED)), "{secret}");
        assert_eq!(opens(&data, &format!(r"{secret}\x")).await, Err(Some(NtStatus::ACCESS_DENIED)));
    }
    assert_eq!(stopped(&data, "FILE").await, (String::from(r"d\f"), 0));
    assert_eq!(stopped(&data, r"d\self\f").await, (String::from(r"..\d"), 4));
    assert_eq!(stopped(&data, r"D\self\self\f").await, (String::from(r"..\d"), 14));

    let link = data.create(&link_itself(r"d\self")).await.expect("the link");
    assert_eq!(link.created.attributes, FileAttributes::REPARSE_POINT | FileAttributes::DIRECTORY);
    link.set_delete_on_close(true).await.expect("delete");
    link.close().await.expect("close");
    assert!(!directory.join("d/self").is_symlink() && directory.join("d/f").exists());
    drop(subject);
}

#[tokio::test]
async fn clients_make_symlinks_that_stay_inside() {
    let (subject, data, directory) = shown().await;
    fs::write(directory.join("there"), "text").expect("write");
    let link = data.create(&new_file("link")).await.expect("create");
    let code = FsctlCode::SET_REPARSE_POINT;
    for (input, status) in [
        (symlink_data(r"..\x", true), NtStatus::ACCESS_DENIED),
        (symlink_data(r"\x", true), NtStatus::IO_REPARSE_DATA_INVALID),
        (vec![0; 7], NtStatus::IO_REPARSE_DATA_INVALID),
        (buffer(ReparseTag(1), Some(Guid::default()), &[]), NtStatus::IO_REPARSE_TAG_INVALID),
        (vec![0x0c, 0, 0, 0xa0, 9, 0, 0, 0, 1], NtStatus::IO_REPARSE_DATA_INVALID),
    ] {
        let refused = link.ioctl(code, &input, 0).await.expect_err("a refusal");
        assert!(refused.is(status), "{refused} for {input:?}");
    }
    link.ioctl(code, &symlink_data("there", true), 0).await.expect("set");
    let basic = link
        .query_info(InfoType::FILE, FileInfoClass::ATTRIBUTE_TAG.0, AdditionalInformation::NONE, 8)
        .await
        .expect("tag");
    assert_eq!(basic[..], [0x20, 4, 0, 0, 0x0c, 0, 0, 0xa0]);
    link.close().await.expect("close");
    assert_eq!(fs::read_link(directory.join("link")).expect("a symlink"), PathBuf::from("there"));

    let down = CreateParameters { options: CreateOptions::DIRECTORY_FILE, ..new_file("dir") };
    let down = data.create(&down).await.expect("mkdir");
    down.ioctl(code, &symlink_data(r".\sub\deep", true), 0).await.expect("set");
    down.close().await.expect("close");
    assert_eq!(target_of(&data, "dir").await, Ok(String::from(r"sub\deep")));
    drop(subject);
}

/// The error data of a plain open of an absolute symbolic link: the target, its form for display, and the number of
/// bytes that are left.
async fn stopped_on_absolute(tree: &ClientTree, name: &str) -> (String, String, u16) {
    let part = CreateParameters::open(name).part().expect("a request");
    let answer = tree.connection().request(tree.scope(), part).await.expect("an answer");
    assert_eq!(answer.status(), NtStatus::STOPPED_ON_SYMLINK, "{name}");
    let error = ErrorResponse::decode(&answer.message).expect("an error");
    let context = error.contexts().iter().next().expect("a context").expect("a good one");
    let link = SymlinkErrorResponse::decode(context.data).expect("a symlink");
    assert_eq!(link.flags, SymlinkFlags::NONE);
    let text = |name: Utf16<'_>| name.to_text();
    (text(link.substitute_name), text(link.print_name), link.unparsed_path_length)
}

async fn set_attributes(
    link: &client::smb::File,
    attributes: FileAttributes,
) -> Result<(), Option<NtStatus>> {
    let info = BasicInfo { attributes, ..BasicInfo::default() };
    let mut data = Vec::new();
    info.encode(&mut data);
    let set = link.set_info(InfoType::FILE, FileInfoClass::BASIC.0, AdditionalInformation::NONE, &data).await;
    set.map_err(|error| error.status())
}

#[tokio::test]
async fn symlinks_to_other_machines_are_kept_for_clients() {
    let (subject, data, directory) = shown().await;
    let code = FsctlCode::SET_REPARSE_POINT;
    for (name, target, is_directory) in
        [("unc", r"\??\UNC\host\share\x", false), ("drive", r"\??\C:\x", true)]
    {
        let mut parameters = new_file(name);
        if is_directory {
            parameters.options = CreateOptions::DIRECTORY_FILE;
        }
        let link = data.create(&parameters).await.expect("create");
        let mut reparse = Vec::new();
        SymlinkData { substitute_name: target, print_name: "shown", relative: false }.encode(&mut reparse);
        let reparse = buffer(ReparseTag::SYMLINK, None, &reparse);
        link.ioctl(code, &reparse, 0).await.expect("set");
        assert_eq!(link.ioctl(FsctlCode::GET_REPARSE_POINT, &[], 4096).await.expect("get")[..], reparse);
        link.close().await.expect("close");
        // A local process could not follow it.
        assert!(!directory.join(name).is_symlink());

        let told = |left: &str| (target.to_owned(), String::from("shown"), 2 * left.len() as u16);
        assert_eq!(stopped_on_absolute(&data, name).await, told(""));
        assert_eq!(stopped_on_absolute(&data, &format!(r"{name}\a\b")).await, told(r"\a\b"));
        assert_eq!(stopped_on_absolute(&data, &format!(r"{name}\a")).await, told(r"\a"));
        let into = CreateParameters { disposition: CreateDisposition::OPEN_IF, ..CreateParameters::open("") };
        let inside = format!(r"{name}\new");
        let refused = data.create(&CreateParameters { name: &inside, ..into }).await.expect_err("a symlink");
        assert!(refused.is(NtStatus::STOPPED_ON_SYMLINK), "{refused}");

        let link = data.create(&link_itself(name)).await.expect("the link");
        let kind = if is_directory { FileAttributes::DIRECTORY } else { FileAttributes::ARCHIVE };
        assert_eq!(link.created.attributes, kind | FileAttributes::REPARSE_POINT);
        assert_eq!(set_attributes(&link, FileAttributes::NORMAL).await, Ok(()));
        link.set_delete_on_close(true).await.expect("delete");
        link.close().await.expect("close");
        assert!(!directory.join(name).exists());
    }
    drop(subject);
}

#[tokio::test]
async fn symlinks_can_be_removed_after_clearing_readonly() {
    let (subject, data, directory) = shown().await;
    fs::create_dir(directory.join("d")).expect("mkdir");
    symlink("nowhere", directory.join("file")).expect("symlink");
    symlink("/etc/passwd", directory.join("absolute")).expect("symlink");
    symlink("d", directory.join("directory")).expect("symlink");
    for (name, shown) in [
        ("file", FileAttributes::ARCHIVE),
        ("absolute", FileAttributes::ARCHIVE),
        ("directory", FileAttributes::DIRECTORY),
    ] {
        let link = data.create(&link_itself(name)).await.expect("the link");
        let attributes = link.created.attributes;
        assert_eq!(attributes, shown | FileAttributes::REPARSE_POINT, "{name}");
        assert_eq!(
            set_attributes(&link, FileAttributes::HIDDEN).await,
            Err(Some(NtStatus::NOT_SUPPORTED)),
            "{name}"
        );
        for wanted in [attributes, FileAttributes::NORMAL] {
            assert_eq!(set_attributes(&link, wanted).await, Ok(()), "{name}");
        }
        link.set_delete_on_close(true).await.expect("delete");
        link.close().await.expect("close");
        assert!(!directory.join(name).is_symlink(), "{name}");
    }
    drop(subject);
}

/// The server follows the file system's symbolic links, and none that clients created.
#[tokio::test]
async fn clients_can_create_symlinks_on_shares_that_follow_them() {
    let subject = Subject::start(&Setup::default());
    let (data, directory) = (tree(&subject, "alice", "data").await, subject.share_dir("data"));
    let code = FsctlCode::SET_REPARSE_POINT;
    let make = async |name: &str, target: &str| {
        let link = data.create(&new_file(name)).await.expect("create");
        let made = link.ioctl(code, &symlink_data(target, true), 0).await;
        link.close().await.expect("close");
        made.map(drop).map_err(|error| error.status())
    };
    for name in ["d", r"d\deep"] {
        let made =
            CreateParameters { disposition: CreateDisposition::CREATE, ..CreateParameters::directory(name) };
        data.create(&made).await.expect("mkdir").close().await.expect("close");
    }
    let there = data.create(&CreateParameters::read_write(r"d\there")).await.expect("create");
    there.close().await.expect("close");
    assert_eq!(make("link", r"d\there").await, Ok(()));
    assert_eq!(make(r"d\up", r"..\d\deep").await, Ok(()));
    assert_eq!(make("dangling", "later").await, Ok(()));
    assert_eq!(make(r"d\out", r"..\..\x").await, Err(Some(NtStatus::ACCESS_DENIED)));
    assert!(!directory.join("link").is_symlink(), "the file system is not asked to follow it");

    assert_eq!(target_of(&data, "LINK").await, Ok(String::from(r"d\there")));
    assert_eq!(stopped(&data, "link").await, (String::from(r"d\there"), 0));
    assert_eq!(stopped(&data, "dangling").await, (String::from("later"), 0));
    assert_eq!(stopped(&data, r"d\\up\\f:s").await, (String::from(r"..\d\deep"), 10));
    // One that was moved and would now lead out of the share is not revealed.
    let moved = directory.join("up");
    fs::rename(directory.join("d/up"), &moved).expect("rename");
    assert_eq!(opens(&data, "up").await, Err(Some(NtStatus::ACCESS_DENIED)));
    fs::rename(&moved, directory.join("d/up")).expect("rename");

    let root = data.create(&CreateParameters::directory("")).await.expect("the root");
    let listed = root.list(FileInfoClass::ID_BOTH_DIRECTORY, "link").all(100).await.expect("a listing");
    assert_eq!(listed[0].fields.attributes, FileAttributes::REPARSE_POINT | FileAttributes::ARCHIVE);
    assert_eq!(listed[0].fields.reparse_tag, ReparseTag::SYMLINK.0);
    root.close().await.expect("close");

    let link = data.create(&link_itself("link")).await.expect("the link");
    link.set_delete_on_close(true).await.expect("delete");
    link.close().await.expect("close");
    assert!(!directory.join("link").exists() && directory.join("d/there").exists());
}

#[tokio::test]
async fn other_reparse_points_are_kept() {
    let (_subject, data, _) = shown().await;
    let guid = Guid(*b"0123456789abcdef");
    for (name, input, other) in [
        ("fifo", buffer(ReparseTag::NFS, None, b"FIFO\0\0\0\0"), buffer(ReparseTag::LX_FIFO, None, &[])),
        (
            "own",
            buffer(ReparseTag(0x77), Some(guid), &[7; 2000]),
            buffer(ReparseTag(0x77), Some(Guid::default()), &[]),
        ),
    ] {
        let file = data.create(&new_file(name)).await.expect("create");
        let get = |max| file.ioctl(FsctlCode::GET_REPARSE_POINT, &[], max);
        assert!(get(64).await.expect_err("none yet").is(NtStatus::NOT_A_REPARSE_POINT));
        file.ioctl(FsctlCode::SET_REPARSE_POINT, &input, 0).await.expect("set");
        assert_eq!(get(16384).await.expect("get")[..], input);
        file.ioctl(FsctlCode::SET_REPARSE_POINT, &other, 0).await.expect_err("another kind");
        assert_eq!(opens(&data, name).await, Err(Some(NtStatus::IO_REPARSE_TAG_NOT_HANDLED)));
        let again = data.create(&link_itself(name)).await.expect("open");
        assert!(again.created.attributes.contains(FileAttributes::REPARSE_POINT));
        again.close().await.expect("close");
        file.ioctl(FsctlCode::DELETE_REPARSE_POINT, &other, 0).await.expect_err("another kind");
        let (head, _) = input.split_at(if name == "own" { 24 } else { 8 });
        let mut head = head.to_vec();
        head[4..6].fill(0);
        file.ioctl(FsctlCode::DELETE_REPARSE_POINT, &head, 0).await.expect("delete");
        file.close().await.expect("close");
        assert_eq!(opens(&data, name).await, Ok(()));
    }
}
