//! The POSIX extensions: requests of our client, and modes in a mount.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use client::smb::{ClientTree, ConnectOptions, CreateParameters, Error, File};
use testkit::{RunAs, Setup, Shareward, Subject, need, repository, run};
use wire::create_context::{
    CreateContextsRequest, DurableReconnectV2, DurableRequestV2, LeaseContext, LeaseFlags,
};
use wire::fscc::{FileInfoClass, FsInfoClass};
use wire::layout::FixedLayout as _;
use wire::msg::{AdditionalInformation, CreateDisposition, CreateOptions, InfoType};
use wire::posix::{FsPosixInfo, PosixKind, PosixMode};
use wire::security::{Ace, AceBody, AceFlags, Acl, SdControl, SecurityDescriptor, Sid};
use wire::{AccessMask, Dialect, Guid, LeaseState, NtStatus, ShareAccess};

use crate::net_use::{Machine, NEEDS};
use crate::scripted::{DATA, logged_on, rename};

fn server(setup: Setup) -> Subject {
    Subject::Shareward(Shareward::start(&setup))
}

fn options() -> ConnectOptions {
    ConnectOptions { posix: true, ..ConnectOptions::new().expect("options") }
}

async fn tree(subject: &Subject, user: &str) -> ClientTree {
    let session = logged_on(subject, user, options()).await;
    assert!(session.connection().negotiated().expect("negotiated").posix);
    session.tree_connect(DATA).await.expect("tree connect")
}

/// A POSIX open, which makes what it makes with this mode.
fn posix(open: CreateParameters<'_>, mode: u32) -> CreateParameters<'_> {
    let contexts = CreateContextsRequest { posix_mode: Some(mode), ..CreateContextsRequest::default() };
    CreateParameters { contexts, ..open }
}

fn making(name: &str) -> CreateParameters<'_> {
    let access = AccessMask::FILE_ALL;
    let open = CreateParameters::read_write(name);
    CreateParameters { access, disposition: CreateDisposition::CREATE, ..open }
}

async fn make(tree: &ClientTree, name: &str, mode: u32) -> File {
    tree.create(&posix(making(name), mode)).await.expect("create")
}

async fn status<T>(outcome: impl Future<Output = Result<T, Error>>) -> Option<NtStatus> {
    outcome.await.err().and_then(|error| error.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_are_offered_with_3_1_1_to_who_asks() {
    let subject = server(Setup::default());
    for (options, has) in [
        (options(), true),
        (ConnectOptions::new().expect("options"), false),
        (options().dialect(Dialect::SMB302), false),
    ] {
        let session = logged_on(&subject, "alice", options).await;
        assert_eq!(session.connection().negotiated().expect("negotiated").posix, has);
    }
    // The server ignores the context of a client that has not negotiated the extensions.
    let plain = crate::scripted::tree(&subject, "alice", "data").await;
    let file = make(&plain, "plain", 0o600).await;
    assert_eq!(file.created.contexts.posix, None);
    assert_eq!(status(file.posix_info()).await, Some(NtStatus::INVALID_INFO_CLASS));
    let refusing = server(Setup { extra: "posix_extensions = false".into(), ..Setup::default() });
    let session = logged_on(&refusing, "alice", options()).await;
    assert!(!session.connection().negotiated().expect("negotiated").posix);
}

#[tokio::test(flavor = "multi_thread")]
async fn posix_opens_tell_and_set_modes() {
    let subject = server(Setup::default());
    let data = subject.share_dir("data");
    let tree = tree(&subject, "alice").await;
    let on_disk = |name: &str| fs::metadata(data.join(name)).expect("the file");
    let file = make(&tree, "file", 0o640).await;
    let told = file.created.contexts.posix.expect("a POSIX open");
    assert_eq!((told.mode, told.links), (PosixMode::new(PosixKind::File, 0o640), 1));
    assert_eq!(on_disk("file").mode() & 0o7777, 0o640);
    fs::hard_link(data.join("file"), data.join("linked")).expect("link");
    file.set_posix_mode(0o604).await.expect("chmod");
    file.write(0, b"text".to_vec()).await.expect("write");
    let info = file.posix_info().await.expect("information");
    assert_eq!((info.posix.mode.0, info.posix.links, info.size), (0o604, 2, 4));
    assert_eq!(info.file_id, on_disk("file").ino());
    assert_eq!(on_disk("file").mode() & 0o7777, 0o604);

    let directory =
        CreateParameters { disposition: CreateDisposition::CREATE, ..CreateParameters::directory("d") };
    let made = tree.create(&posix(directory, 0o1750)).await.expect("mkdir");
    assert_eq!(made.created.contexts.posix.expect("a POSIX open").mode.0, 0o1750);
    made.close().await.expect("close");
    let root = tree.create(&posix(CreateParameters::directory(""), 0)).await.expect("open");
    let listed = root.list(FileInfoClass::POSIX, "*").all(100).await.expect("a listing");
    let found = |name: &str| {
        let entry = listed.iter().find(|entry| entry.name == name).expect("an entry");
        let posix = entry.fields.posix.expect("attributes");
        (posix.mode.kind(), posix.mode.permissions(), posix.links, entry.fields.file_id)
    };
    assert_eq!(found("file"), (PosixKind::File, 0o604, 2, on_disk("file").ino()));
    assert_eq!(found("linked"), found("file"));
    assert_eq!(found("d"), (PosixKind::File, 0o1750, 1, on_disk("d").ino()));
    assert_eq!(listed.len(), 5);
    let space = root.query_info(InfoType::FILESYSTEM, FsInfoClass::POSIX.0, AdditionalInformation::NONE, 64);
    let space = FsPosixInfo::decode(&space.await.expect("information")).expect("information");
    assert!(space.block_size > 0 && space.total_blocks >= space.free_blocks);
    // Opens without the context have none of it.
    let plain = tree.create(&CreateParameters::directory("")).await.expect("open");
    let mut listed = plain.list(FileInfoClass::POSIX, "*");
    assert_eq!(status(listed.all(100)).await, Some(NtStatus::INVALID_INFO_CLASS));
}

#[tokio::test(flavor = "multi_thread")]
async fn posix_names_have_slashes_and_what_windows_forbids() {
    let subject = server(Setup::default());
    let data = subject.share_dir("data");
    let tree = tree(&subject, "alice").await;
    fs::create_dir(data.join("dir")).expect("create a directory");
    fs::set_permissions(data.join("dir"), fs::Permissions::from_mode(0o777)).expect("chmod");
    let file = make(&tree, r#"dir/a:b*"<>|?"#, 0o644).await;
    assert!(data.join(r#"dir/a:b*"<>|?"#).exists());
    rename(&file, "dir/c:d ").await.expect("rename");
    assert!(data.join("dir/c:d ").exists());
    let directory = tree.create(&posix(CreateParameters::directory("dir"), 0)).await.expect("open");
    let names = directory.list(FileInfoClass::POSIX, "*").all(100).await.expect("a listing");
    assert!(names.iter().any(|entry| entry.name == "c:d "), "{names:?}");
    // Other opens see what stands for them, and streams.
    let plain = tree.create(&CreateParameters::directory("dir")).await.expect("open");
    let names = plain.list(FileInfoClass::NAMES, "*").all(100).await.expect("a listing");
    assert!(names.iter().any(|entry| entry.name == "c\u{f022}d\u{f028}"), "{names:?}");
    for refused in ["../up", "dir/../../up"] {
        assert_eq!(
            status(tree.create(&posix(making(refused), 0o600))).await,
            Some(NtStatus::OBJECT_PATH_SYNTAX_BAD)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posix_delete_takes_the_name_at_once() {
    let subject = server(Setup::default());
    let data = subject.share_dir("data");
    let tree = tree(&subject, "alice").await;
    for on_close in [false, true] {
        let kept = make(&tree, "gone", 0o600).await;
        kept.write(0, b"text".to_vec()).await.expect("write");
        let options = if on_close { CreateOptions::DELETE_ON_CLOSE } else { CreateOptions::NONE };
        let access = AccessMask::DELETE | AccessMask::READ_ATTRIBUTES;
        let deleting = CreateParameters { access, options, ..CreateParameters::open("gone") };
        let deleting = tree.create(&posix(deleting, 0)).await.expect("open");
        if !on_close {
            deleting.set_delete_on_close(true).await.expect("set");
        }
        deleting.close().await.expect("close");
        assert!(!data.join("gone").exists());
        assert_eq!(&kept.read(0, 4).await.expect("read")[..], b"text");
        assert_eq!(kept.posix_info().await.expect("information").posix.links, 0);
        kept.close().await.expect("close");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_renamed_with_files_open_below() {
    let subject = server(Setup::default());
    let tree = tree(&subject, "alice").await;
    let open = CreateParameters {
        access: AccessMask::FILE_ALL,
        disposition: CreateDisposition::CREATE,
        ..CreateParameters::directory("d")
    };
    let directory = tree.create(&posix(open, 0o755)).await.expect("mkdir");
    let below = make(&tree, "d/f", 0o644).await;
    rename(&directory, "e").await.expect("rename");
    below.write(0, b"text".to_vec()).await.expect("write");
    assert_eq!(fs::read(subject.share_dir("data").join("e/f")).expect("read"), b"text");
}

/// With a stored descriptor, the mode decides all the same, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn a_chmod_replaces_the_dacl_of_a_stored_descriptor() {
    let subject = server(Setup::default());
    let (alice, bob) = (tree(&subject, "alice").await, tree(&subject, "bob").await);
    let read = |tree: ClientTree| async move {
        let open = CreateParameters { access: AccessMask::READ_DATA, ..CreateParameters::open("file") };
        status(tree.create(&open)).await
    };
    let plain = crate::scripted::tree(&subject, "alice", "data").await;
    let made = plain.create(&making("file")).await.expect("create");
    let everyone = Ace::allow(Sid::WORLD, AccessMask::FILE_ALL, AceFlags::NONE);
    let dacl = |aces| SecurityDescriptor {
        control: SdControl::DACL_PRESENT,
        dacl: Some(Acl { aces }),
        ..SecurityDescriptor::default()
    };
    made.set_security(AdditionalInformation::DACL, &dacl(vec![everyone.clone()])).await.expect("set");
    made.close().await.expect("close");
    assert_eq!(read(bob.clone()).await, None);
    let open = |access| CreateParameters { access, ..CreateParameters::open("file") };
    let control = AccessMask::WRITE_DAC | AccessMask::READ_CONTROL;
    let file = alice.create(&posix(open(control), 0)).await.expect("open");
    file.set_posix_mode(0o600).await.expect("chmod");
    assert_eq!(read(bob.clone()).await, Some(NtStatus::ACCESS_DENIED));
    assert_eq!(read(alice.clone()).await, None);
    file.set_posix_mode(0o644).await.expect("chmod");
    assert_eq!(read(bob.clone()).await, None);
    // The server ignores the other entries of the DACL: clients add them for servers that do not apply modes.
    let mode = Ace::allow(Sid::of(5, [88, 3, 0o600]), AccessMask::NONE, AceFlags::NONE);
    file.set_security(AdditionalInformation::DACL, &dacl(vec![mode, everyone])).await.expect("chmod");
    assert_eq!(read(bob.clone()).await, Some(NtStatus::ACCESS_DENIED));
    // So it is with a file that is made with such a descriptor.
    let mode = Ace::allow(Sid::of(5, [88, 3, 0o600]), AccessMask::NONE, AceFlags::NONE);
    let everyone = Ace::allow(Sid::WORLD, AccessMask::FILE_ALL, AceFlags::NONE);
    let brought = posix(making("brought"), 0o644);
    let security_descriptor = Some(dacl(vec![mode, everyone]));
    let contexts = CreateContextsRequest { security_descriptor, ..brought.contexts.clone() };
    let brought = alice.create(&CreateParameters { contexts, ..brought }).await.expect("create");
    assert_eq!(brought.created.contexts.posix.expect("a POSIX open").mode.permissions(), 0o600);
    let shown = brought.query_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, 1024).await;
    let shown = SecurityDescriptor::decode(&shown.expect("a descriptor")).expect("a descriptor");
    for ace in shown.dacl.expect("a list").aces {
        let AceBody::Principal { sid, mask, .. } = &ace.body else { panic!("{ace:?}") };
        assert_ne!(sid.sub_authorities().first(), Some(&88), "{ace:?}");
        assert!(*sid != Sid::WORLD || !mask.intersects(AccessMask::WRITE_DATA), "{ace:?}");
    }
    // A user without the right to change the DACL cannot change the mode.
    assert_eq!(status(bob.create(&posix(open(control), 0))).await, Some(NtStatus::ACCESS_DENIED));
    let looked = bob.create(&posix(open(AccessMask::READ_ATTRIBUTES), 0)).await.expect("open");
    assert_eq!(status(looked.set_posix_mode(0o666)).await, Some(NtStatus::ACCESS_DENIED));
    let disk = subject.share_dir("data").join("file");
    assert_eq!(fs::metadata(disk).expect("the file").mode() & 0o7777, 0o600);
}

/// A server that root runs: modes tell users apart, and groups and owners can be changed as chown(2) lets one.
#[tokio::test(flavor = "multi_thread")]
async fn modes_tell_unix_users_apart() {
    if !need(&["root", "unshare"]) {
        return;
    }
    let subject = server(Setup { run_as: RunAs::Root, ..Setup::default() });
    let (alice, bob, admin) =
        (tree(&subject, "alice").await, tree(&subject, "bob").await, tree(&subject, "admin").await);
    let disk = subject.share_dir("data").join("file");
    let file = make(&alice, "file", 0o600).await;
    let told = file.created.contexts.posix.expect("a POSIX open");
    let found = fs::metadata(&disk).expect("the file");
    assert_eq!((told.owner, told.group), (Sid::unix_user(found.uid()), Sid::unix_group(found.gid())));
    let open = |access, share| CreateParameters { access, share, ..CreateParameters::open("file") };
    let all = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE;
    let reading = posix(open(AccessMask::READ_DATA, all), 0);
    assert_eq!(status(bob.create(&reading)).await, Some(NtStatus::ACCESS_DENIED));
    file.set_posix_mode(0o644).await.expect("chmod");
    bob.create(&reading).await.expect("open").close().await.expect("close");
    let control = posix(open(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER, all), 0);
    assert_eq!(status(bob.create(&control)).await, Some(NtStatus::ACCESS_DENIED));
    // Nobody makes a file run as somebody else.
    file.set_posix_mode(0o6755).await.expect("chmod");
    assert_eq!(fs::metadata(&disk).expect("the file").mode() & 0o7777, 0o755);
    let owned = |owner, group| SecurityDescriptor { owner, group, ..SecurityDescriptor::default() };
    let (owner, group) = (AdditionalInformation::OWNER, AdditionalInformation::GROUP);
    let bobs = make(&bob, "bobs", 0o644).await.created.contexts.posix.expect("a POSIX open");
    for (which, given) in
        [(owner, owned(Some(bobs.owner), None)), (group, owned(None, Some(Sid::unix_group(4242))))]
    {
        assert_eq!(status(file.set_security(which, &given)).await, Some(NtStatus::INVALID_OWNER));
    }
    // An administrator may, also in the form of Microsoft's NFS server.
    let administered = CreateParameters {
        options: CreateOptions::OPEN_FOR_BACKUP_INTENT,
        ..posix(open(AccessMask::WRITE_OWNER, all), 0)
    };
    let administered = admin.create(&administered).await.expect("open");
    let uid = bobs.owner.sub_authorities().last().copied().expect("a number");
    let another = owned(None, Some(Sid::unix_group(4242)));
    administered.set_security(group, &another).await.expect("chgrp");
    let gid = fs::metadata(&disk).expect("the file").gid();
    let owners = alice.create(&control).await.expect("open");
    owners.set_security(group, &owned(None, Some(told.group))).await.expect("chgrp to a group of its owner");
    assert_eq!((gid, fs::metadata(&disk).expect("the file").gid()), (4242, found.gid()));
    owners.close().await.expect("close");
    let given = owned(Some(Sid::of(5, [88, 1, uid])), Some(Sid::of(5, [88, 2, 4242])));
    administered.set_security(owner | group, &given).await.expect("chown");
    let found = fs::metadata(&disk).expect("the file");
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (uid, 4242, 0o755));
    bob.create(&control).await.expect("it is bob's now");
    assert_eq!(status(alice.create(&control)).await, Some(NtStatus::ACCESS_DENIED));
}

/// Without the extensions, a mount keeps the read-only attribute and shows what it keeps.
#[test]
fn a_mount_without_the_extensions_shows_no_modes() {
    if !need(NEEDS) {
        return;
    }
    let subject = server(Setup { extra: "posix_extensions = false".into(), ..Setup::default() });
    let machine = Machine::of(&subject);
    let (one, two) = (machine.directory("one"), machine.directory("two"));
    machine.mount("one", "data", &[]).success();
    machine.mount("two", "data", &[]).success();
    let mut python = Command::new("python3");
    python.arg("-B").arg(repository().join("tests/peers/mount_links.py")).args([&one, &two]);
    run(python, b"", Duration::from_secs(170)).success();
    fs::write(format!("{one}/f"), "text").expect("write");
    fs::set_permissions(format!("{one}/f"), fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(fs::metadata(format!("{one}/f")).expect("the file").mode() & 0o7777, 0o755);
    machine.net_use(&[&one, "/delete"]).success();
    machine.net_use(&[&two, "/delete"]).success();
}

/// Programs find the modes that they set, in a mount.
#[test]
fn a_mount_keeps_modes_and_link_counts() {
    if !need(NEEDS) || !need(&["tar", "install", "cp", "unshare"]) {
        return;
    }
    for run_as in [RunAs::Ordinary, RunAs::Root] {
        let subject = server(Setup { run_as, ..Setup::default() });
        let machine = Machine::of(&subject);
        let one = machine.directory("one");
        machine.mount("one", "data", &[]).success();
        let mut python = Command::new("python3");
        python.arg("-B").arg(repository().join("tests/peers/mount_modes.py"));
        python.arg(&one).arg(subject.share_dir("data"));
        python.arg(if run_as == RunAs::Root { "root" } else { "ordinary" });
        run(python, b"", Duration::from_secs(170)).success().says("ok: programs");
        machine.net_use(&[&one, "/delete"]).success();
    }
}

/// Makes a directory that everybody can write, with this mode in addition.
fn open_to_all(path: &Path, mode: u32) {
    fs::create_dir(path).expect("create a directory");
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o777)).expect("chmod");
}

async fn make_directory(tree: &ClientTree, name: &str, mode: u32) {
    let directory = CreateParameters::directory(name);
    let directory = CreateParameters { disposition: CreateDisposition::CREATE, ..directory };
    tree.create(&posix(directory, mode)).await.expect("mkdir").close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_have_their_modes_unless_a_default_acl_gives_less() {
    if !need(&["root", "unshare"]) {
        return;
    }
    for run_as in [RunAs::Ordinary, RunAs::Root] {
        let subject = server(Setup { run_as, ..Setup::default() });
        let data = subject.share_dir("data");
        let tree = tree(&subject, "alice").await;
        open_to_all(&data.join("acl"), 0);
        open_to_all(&data.join("group"), 0o2000);
        std::os::unix::fs::chown(data.join("group"), None, Some(4242)).expect("chgrp");
        fs::set_permissions(data.join("group"), fs::Permissions::from_mode(0o2777)).expect("chmod");
        // user::rwx, group::---, other::---
        let entries: [(u16, u16); 3] = [(1, 7), (4, 0), (32, 0)];
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, rights) in entries {
            acl.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            acl.extend(u32::MAX.to_le_bytes());
        }
        let name = "system.posix_acl_default";
        rustix::fs::setxattr(data.join("acl"), name, &acl, rustix::fs::XattrFlags::empty()).expect("set");
        let mode = |name: &str| fs::metadata(data.join(name)).expect("a file").mode() & 0o7777;
        // Neither the umask of the server nor its own needs count.
        for (name, wanted) in [("open", 0o666), ("read-only", 0o444), ("private", 0o600)] {
            make(&tree, name, wanted).await.write(0, b"text".to_vec()).await.expect("write");
            assert_eq!(mode(name), wanted, "{run_as:?}");
        }
        for (name, wanted) in [("d", 0o1777), ("read-only d", 0o500)] {
            make_directory(&tree, name, wanted).await;
            assert_eq!(mode(name), wanted, "{run_as:?}");
        }
        make(&tree, "acl/f", 0o644).await;
        make_directory(&tree, "acl/d", 0o755).await;
        assert_eq!((mode("acl/f"), mode("acl/d")), (0o600, 0o700), "{run_as:?}");
        make(&tree, "group/f", 0o640).await;
        make_directory(&tree, "group/d", 0o750).await;
        assert_eq!((mode("group/f"), mode("group/d")), (0o640, 0o2750), "{run_as:?}");
        assert_eq!(fs::metadata(data.join("group/f")).expect("a file").gid(), 4242);
    }
}

/// Linux with the options `modefromsid` and `idsfromsid`: the owner beside the mode takes nothing from the mode.
#[tokio::test(flavor = "multi_thread")]
async fn a_mode_counts_beside_an_owner_in_the_descriptor_of_a_create() {
    if !need(&["root", "unshare"]) {
        return;
    }
    for run_as in [RunAs::Ordinary, RunAs::Root] {
        let subject = server(Setup { run_as, ..Setup::default() });
        let (alice, bob, admin) =
            (tree(&subject, "alice").await, tree(&subject, "bob").await, tree(&subject, "admin").await);
        let told = make(&alice, "file", 0o600).await.created.contexts.posix.expect("a POSIX open");
        let brought = |name: &'static str, mode, owner, group| {
            let mode = Ace::allow(Sid::of(5, [88, 3, mode]), AccessMask::NONE, AceFlags::NONE);
            let descriptor = SecurityDescriptor {
                control: SdControl::DACL_PRESENT,
                owner,
                group,
                dacl: Some(Acl { aces: vec![mode] }),
                ..SecurityDescriptor::default()
            };
            let open = posix(making(name), 0o777);
            let contexts =
                CreateContextsRequest { security_descriptor: Some(descriptor), ..open.contexts.clone() };
            CreateParameters { contexts, ..open }
        };
        let (owner, group) = (Some(told.owner), Some(told.group));
        for (name, mode, refusal) in
            [("shown", 0o644, None), ("private", 0o600, Some(NtStatus::ACCESS_DENIED))]
        {
            let made = alice.create(&brought(name, mode, owner, group)).await.expect("create");
            made.close().await.expect("close");
            let disk = subject.share_dir("data").join(name);
            assert_eq!(fs::metadata(disk).expect("the file").mode() & 0o7777, mode);
            let reading = CreateParameters { access: AccessMask::READ_DATA, ..CreateParameters::open(name) };
            assert_eq!(status(bob.create(&reading)).await, refusal, "{run_as:?} {name}");
            assert_eq!(status(alice.create(&reading)).await, None, "{run_as:?} {name}");
        }
        // A server that is not root keeps the permission to set the attributes of a file with a descriptor.
        let kept = if run_as == RunAs::Root { 0 } else { 0o200 };
        alice.create(&brought("read-only", 0o444, owner, group)).await.expect("create");
        let disk = subject.share_dir("data").join("read-only");
        assert_eq!(fs::metadata(disk).expect("the file").mode() & 0o7777, 0o444 | kept);
        let access = AccessMask::WRITE_DAC | AccessMask::READ_ATTRIBUTES;
        let private = CreateParameters { access, ..posix(CreateParameters::open("private"), 0) };
        let changed = alice.create(&private).await.expect("open").set_posix_mode(0o400).await;
        assert_eq!(changed.is_err_and(|error| error.is(NtStatus::NOT_SUPPORTED)), kept != 0, "{run_as:?}");
        let reading = CreateParameters { access: AccessMask::READ_DATA, ..CreateParameters::open("private") };
        assert_eq!(status(bob.create(&reading)).await, Some(NtStatus::ACCESS_DENIED), "{run_as:?}");
        // A directory with S_ISGID decides on the group, not the client.
        let shared = subject.share_dir("data").join("shared");
        open_to_all(&shared, 0);
        std::os::unix::fs::chown(&shared, None, Some(4242)).expect("chgrp");
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o2777)).expect("chmod");
        alice.create(&brought("shared/f", 0o640, owner, group)).await.expect("create");
        assert_eq!(fs::metadata(shared.join("f")).expect("the file").gid(), 4242, "{run_as:?}");
        let another = Some(Sid::of(5, [88, 2, 4242]));
        let refused = brought("another", 0o644, owner, another);
        assert_eq!(status(alice.create(&refused)).await, Some(NtStatus::ACCESS_DENIED));
        if run_as == RunAs::Root {
            admin.create(&brought("another", 0o640, None, another)).await.expect("create");
            let found = fs::metadata(subject.share_dir("data").join("another")).expect("the file");
            assert_eq!((found.gid(), found.mode() & 0o7777), (4242, 0o640));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posix_opens_are_reclaimed_by_their_names() {
    let subject = server(Setup::default());
    open_to_all(&subject.share_dir("data").join("dir"), 0);
    for (number, name) in [(1, "dir/f"), (2, "a:b"), (3, "dir/c? ")] {
        let (client, key, create_guid) = (Guid([number; 16]), Guid([number + 10; 16]), Guid([number; 16]));
        let connected = async || {
            let options = ConnectOptions { posix: true, ..ConnectOptions::with_guid(client) };
            let session = logged_on(&subject, "alice", options).await;
            let tree = session.tree_connect(DATA).await.expect("tree connect");
            (session, tree)
        };
        let leased = |contexts| {
            let state = LeaseState::READ | LeaseState::HANDLE | LeaseState::WRITE;
            let lease = Some(LeaseContext { key, state, flags: LeaseFlags::NONE, v2: None });
            let contexts = CreateContextsRequest { lease, posix_mode: Some(0o640), ..contexts };
            CreateParameters { contexts, ..CreateParameters::read_write(name) }
        };
        let (session, tree) = connected().await;
        let asked = DurableRequestV2 { timeout_ms: 60_000, flags: 0, create_guid };
        let asked = CreateContextsRequest { durable_request_v2: Some(asked), ..Default::default() };
        let file = tree.create(&leased(asked)).await.expect("create");
        assert!(file.created.contexts.durable_v2.is_some(), "it is durable");
        file.write(0, b"kept".to_vec()).await.expect("write");
        let file_id = file.id();
        session.connection().disconnect();
        let (_session, tree) = connected().await;
        let reclaim = DurableReconnectV2 { file_id, create_guid, flags: 0 };
        let reclaim = CreateContextsRequest { durable_reconnect_v2: Some(reclaim), ..Default::default() };
        let begun = Instant::now();
        let back = loop {
            match tree.create(&leased(reclaim.clone())).await {
                // The server has not seen the end of the connection yet.
                Err(error)
                    if error.is(NtStatus::OBJECT_NAME_NOT_FOUND)
                        && begun.elapsed() < Duration::from_secs(10) =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                back => break back.expect("it is still there"),
            }
        };
        assert_eq!(back.created.contexts.posix.expect("a POSIX open").mode.permissions(), 0o640);
        assert_eq!(&back.read(0, 16).await.expect("read")[..], b"kept");
    }
}

/// Other users of this machine are nobody on the server, whatever their numbers.
#[test]
fn a_mount_for_other_users_gives_their_numbers_no_rights() {
    if !need(NEEDS) || !need(&["unshare"]) {
        return;
    }
    let subject = server(Setup { run_as: RunAs::Root, ..Setup::default() });
    let foreign = subject.share_dir("data").join("foreign");
    fs::write(&foreign, "text").expect("write");
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o666)).expect("chmod");
    std::os::unix::fs::chown(&foreign, Some(4242), Some(4242)).expect("chown");
    let machine = Machine::of(&subject);
    let one = machine.directory("one");
    machine.mount("one", "data", &["--allow-others"]).success();
    let mut python = Command::new("python3");
    python.args(["-c", STRANGERS, &one]);
    run(python, b"", Duration::from_secs(60)).success();
    assert_eq!(fs::metadata(&foreign).expect("the file").mode() & 0o7777, 0o666);
    machine.net_use(&[&one, "/delete"]).success();
}

const STRANGERS: &str = r#"
import errno, os, sys
os.chdir(sys.argv[1])
def fails(expected, call, *words):
    try: call(*words)
    except OSError as error: assert error.errno == expected, (os.getuid(), call, words, error)
    else: raise AssertionError((os.getuid(), call, words))
with open("own", "w") as file: file.write("text")
os.chmod("own", 0o660)
shown = os.stat("foreign")
assert (shown.st_uid, shown.st_gid, shown.st_mode & 0o7777) == (65534, 65534, 0o444), shown
assert os.stat("own").st_mode & 0o077 == 0
for user in (4242, 65534):
    if os.fork() == 0:
        os.setgroups([]); os.setgid(user); os.setuid(user)
        assert open("foreign").read() == "text"
        fails(errno.EACCES, open, "foreign", "a")
        fails(errno.EPERM, os.chmod, "foreign", 0o777)
        fails(errno.EPERM, os.utime, "foreign", (1, 1))
        fails(errno.EACCES, open, "own")
        os._exit(0)
    assert os.wait()[1] == 0
os.unlink("own")
"#;
