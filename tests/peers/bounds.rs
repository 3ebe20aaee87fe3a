//! Limits of one user on shared resources (locks of a request, named pipes and their memory, watches), and the
//! ownership of a user's files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use client::smb::{ClientTree, ConnectOptions, CreateParameters, Error, File, InFlight};
use testkit::{Setup, Share, Subject};
use wire::create_context::CreateContextsRequest;
use wire::fscc::notify::{NotifyEntry, decode_changes};
use wire::msg::{
    AdditionalInformation, CompletionFilter, CreateDisposition, CreateOptions, InfoType, LockElement,
    LockFlags, OutputResponse, WatchFlags,
};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, NtStatus, ShareAccess, Utf16};

use crate::scripted::{connected, logged_on, refused, tree};

/// MS-SMB2 3.3.5.14.2: a request of as many elements as a client sends is done as a whole or not at all.
#[tokio::test]
async fn a_lock_of_many_elements_is_atomic() {
    let subject = Subject::start(&Setup::default());
    let ((_, alice), (_, bob)) = (connected(&subject, "alice").await, connected(&subject, "bob").await);
    let locked = CreateParameters::read_write("locked");
    let (hers, his) =
        (alice.create(&locked).await.expect("create"), bob.create(&locked).await.expect("open"));
    let flags = LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY;
    let element = |number: u64| LockElement { offset: number * 10, length: 1, flags };
    let many: Vec<LockElement> = (0..2_730).map(element).collect();
    his.lock(&[element(2_729)]).await.expect("lock the last one");
    refused(hers.lock(&many).await, NtStatus::LOCK_NOT_GRANTED);
    his.lock(&many[..100]).await.expect("what came before the last one was unlocked");
    his.lock(&many[1_000..1_100]).await.expect("in every part of the request");
    hers.lock(&many[200..900]).await.expect("lock several hundred");
    let unlock = |it: &LockElement| LockElement { flags: LockFlags::UNLOCK, ..*it };
    hers.lock(&many[200..900].iter().map(unlock).collect::<Vec<_>>()).await.expect("unlock them");
    if !subject.is_samba() {
        let too_many: Vec<LockElement> = (5_000..7_731).map(element).collect();
        refused(hers.lock(&too_many).await, NtStatus::INVALID_PARAMETER);
    }
}

/// A BIND to srvsvc without anything that is not needed (C706 12.6.4.3).
fn bind() -> Vec<u8> {
    let mut pdu = vec![5, 0, 11, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0];
    pdu.extend([0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0]);
    pdu.extend([0xc8, 0x4f, 0x32, 0x4b, 0x70, 0x16, 0xd3, 0x01, 0x12, 0x78]);
    pdu.extend([0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88, 3, 0, 0, 0]);
    pdu.extend([0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8]);
    pdu.extend([0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0, 0]);
    pdu
}

/// A fragment of a REQUEST to srvsvc (C706 12.6.4.9); `flags` mark the first and the last one.
fn request(flags: u8, opnum: u16, stub: &[u8]) -> Vec<u8> {
    let length = u16::try_from(24 + stub.len()).expect("a short stub");
    let mut pdu = vec![5, 0, 0, flags, 0x10, 0, 0, 0];
    pdu.extend(length.to_le_bytes());
    pdu.extend([0, 0, 2, 0, 0, 0]);
    pdu.extend((stub.len() as u32).to_le_bytes());
    pdu.extend([0, 0]);
    pdu.extend(opnum.to_le_bytes());
    pdu.extend(stub);
    pdu
}

/// NetprPathCanonicalize of `C:\a` with the largest buffer there can be (MS-SRVS 3.1.4.30).
fn canonicalize() -> Vec<u8> {
    let mut stub = Vec::new();
    let mut put = |value: u32| stub.extend(value.to_le_bytes());
    [0, 5, 0, 5].into_iter().for_each(&mut put);
    put(u32::from(b'C') | u32::from(b':') << 16);
    put(u32::from(b'\\') | u32::from(b'a') << 16);
    put(0);
    put(64_000);
    [1, 0, 1, 0, 0, 0].into_iter().for_each(&mut put);
    request(3, 31, &stub)
}

async fn pipe(ipc: &ClientTree) -> Result<File, Error> {
    let parameters = CreateParameters {
        access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
        share: ShareAccess::READ | ShareAccess::WRITE,
        disposition: CreateDisposition::OPEN,
        options: CreateOptions::NONE,
        ..CreateParameters::open("srvsvc")
    };
    let pipe = ipc.create(&parameters).await?;
    pipe.write(0, bind()).await?;
    pipe.read(0, 4_280).await?;
    Ok(pipe)
}

/// The resident memory of the server, in kilobytes.
fn resident(server: &testkit::Shareward) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse().ok()).expect("a number")
}

#[tokio::test]
async fn unread_answers_and_unfinished_requests_of_pipes_are_bounded() {
    let subject = Subject::start(&Setup::default());
    let Subject::Shareward(server) = &subject else { return testkit::skip("it looks at our limits") };
    let ipc = async |name| {
        let session = logged_on(&subject, name, ConnectOptions::new().expect("options")).await;
        session.tree_connect(r"\\127.0.0.1\IPC$").await.expect("tree connect")
    };
    let (alice, bob) = (ipc("alice").await, ipc("bob").await);
    let mut pipes = vec![pipe(&alice).await.expect("a pipe")];
    let before = resident(server);
    let full = loop {
        match pipe(&alice).await {
            Ok(pipe) => pipes.push(pipe),
            Err(error) => break error,
        }
    };
    assert!(full.is(NtStatus::PIPE_NOT_AVAILABLE) && pipes.len() == 64, "{full} after {} pipes", pipes.len());
    for pipe in &pipes[..32] {
        // As many unread answers as a pipe accepts.
        while pipe.write(0, canonicalize()).await.is_ok() {}
    }
    let mut is_refused = false;
    for pipe in &pipes[32..] {
        let fragments = request(1, 31, &[0; 4_000]);
        is_refused |= matches!(pipe.write(0, fragments.clone()).await, Err(error) if error.is(NtStatus::INSUFFICIENT_RESOURCES));
        let more = request(0, 31, &[0; 4_000]);
        for _ in 0..200 {
            match pipe.write(0, more.clone()).await {
                Ok(_) => {}
                Err(error) => {
                    assert!(error.is(NtStatus::INSUFFICIENT_RESOURCES), "{error}");
                    is_refused = true;
                    break;
                }
            }
        }
    }
    assert!(is_refused, "a session keeps as much as it likes");
    let grown = resident(server).saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} kilobytes are kept");
    // Another user has pipes, and an answer of the length that was asked for (`size_is(OutbufLen)`).
    let his = pipe(&bob).await.expect("a pipe");
    his.write(0, canonicalize()).await.expect("a call");
    let mut answer = 0;
    while answer < 64_000 {
        answer += his.read(0, 65_536).await.expect("the answer").len() - 24;
    }
    assert!(answer < 64_100, "{answer} octets");
    drop(pipes);
    alice.disconnect().await.expect("disconnect");
}

fn allow(sid: Sid, rights: AccessMask, flags: AceFlags) -> SecurityDescriptor {
    SecurityDescriptor::new(sid, sid, Acl { aces: vec![Ace::allow(sid, rights, flags)] })
}

async fn set_dacl(file: &File, descriptor: &SecurityDescriptor) -> Result<(), Error> {
    let mut bytes = Vec::new();
    descriptor.encode(&mut bytes).expect("small");
    file.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, &bytes).await
}

async fn descriptor(file: &File) -> SecurityDescriptor {
    let parts = AdditionalInformation::OWNER | AdditionalInformation::DACL;
    let bytes = file.query_info(InfoType::SECURITY, 0, parts, 65_536).await.expect("the descriptor");
    SecurityDescriptor::decode(&bytes).expect("a descriptor")
}

fn with_rights(name: &str, access: AccessMask) -> CreateParameters<'_> {
    CreateParameters { access, ..CreateParameters::read_write(name) }
}

const RIGHTS: AccessMask = AccessMask(
    AccessMask::FILE_GENERIC_READ.0
        | AccessMask::FILE_GENERIC_WRITE.0
        | AccessMask::DELETE.0
        | AccessMask::WRITE_DAC.0
        | AccessMask::WRITE_OWNER.0,
);

/// MS-DTYP 2.5.3.2: the implicit rights of an owner belong to one user, even if one Unix user owns all files.
#[tokio::test]
async fn other_users_cannot_change_a_protected_descriptor() {
    let subject = Subject::start(&Setup::default());
    let ((_, alice), (_, bob)) = (connected(&subject, "alice").await, connected(&subject, "bob").await);
    let file = alice.create(&with_rights("private", RIGHTS)).await.expect("create");
    let owner = descriptor(&file).await.owner.expect("an owner");
    set_dacl(&file, &allow(owner, AccessMask::FILE_ALL, AceFlags::NONE)).await.expect("set the DACL");
    let shared = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE;
    for right in [AccessMask::WRITE_DAC, AccessMask::WRITE_OWNER, AccessMask::READ_DATA] {
        let parameters = CreateParameters { share: shared, ..with_rights("private", right) };
        refused(bob.create(&parameters).await, NtStatus::ACCESS_DENIED);
        alice.create(&parameters).await.expect("it is hers").close().await.expect("close");
    }
    assert_eq!(descriptor(&file).await.owner, Some(owner));
}

/// MS-SMB2 3.3.5.9: no user gets more access to a file than `TreeConnect.MaximalAccess`, not even its creator.
#[tokio::test]
async fn a_creator_gets_no_more_than_the_shares_maximal_access() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let extra = format!(
        "\n[[share]]\nname = \"granted\"\npath = {:?}\ngrants = [{{ user = \"bob\", right = \"change\" }}, \
         {{ user = \"alice\", right = \"full\" }}]\n",
        directory.path()
    );
    let subject = Subject::start(&Setup { extra, ..Setup::default() });
    if subject.is_samba() {
        return testkit::skip("it has a share of our configuration");
    }
    let bob = tree(&subject, "bob", "granted").await;
    for right in [AccessMask::WRITE_DAC, AccessMask::WRITE_OWNER] {
        refused(bob.create(&with_rights("new", right)).await, NtStatus::ACCESS_DENIED);
        assert!(!directory.path().join("new").exists(), "refused and made");
    }
    let made = bob.create(&CreateParameters::read_write("new")).await.expect("what the share gives");
    made.close().await.expect("close");
    refused(bob.create(&with_rights("new", AccessMask::WRITE_DAC)).await, NtStatus::ACCESS_DENIED);
    let alice = tree(&subject, "alice", "granted").await;
    alice
        .create(&with_rights("hers", RIGHTS))
        .await
        .expect("with full control")
        .close()
        .await
        .expect("close");
}

/// The kernel clears the set-id bits of a file that is written to; its descriptor stays in force.
#[tokio::test]
async fn a_write_to_a_set_id_file_keeps_its_descriptor() {
    // Root's own writes clear nothing, so the server is an ordinary user's.
    let subject = Subject::start(&Setup::default());
    if subject.is_samba() {
        return testkit::skip("smbd needs to be root's");
    }
    let ((_, alice), (_, bob)) = (connected(&subject, "alice").await, connected(&subject, "bob").await);
    let file = alice.create(&with_rights("program", RIGHTS)).await.expect("create");
    let local = subject.share_dir("data").join("program");
    fs::set_permissions(&local, fs::Permissions::from_mode(0o6_777)).expect("chmod");
    let owner = descriptor(&file).await.owner.expect("an owner");
    set_dacl(&file, &allow(owner, AccessMask::FILE_ALL, AceFlags::NONE)).await.expect("set the DACL");
    let shared = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE;
    let reads = CreateParameters { share: shared, ..with_rights("program", AccessMask::READ_DATA) };
    refused(bob.create(&reads).await, NtStatus::ACCESS_DENIED);
    file.write(0, b"#!/bin/sh\n".to_vec()).await.expect("write");
    let mode = fs::metadata(&local).expect("the file").mode();
    assert_eq!(mode & 0o7_000, 0, "{mode:o}: nothing was cleared, and this shows nothing");
    refused(bob.create(&reads).await, NtStatus::ACCESS_DENIED);
    assert_eq!(descriptor(&file).await.dacl.expect("a DACL").aces.len(), 1);
    // A local chmod takes effect, as with Samba.
    fs::set_permissions(&local, fs::Permissions::from_mode(0o666)).expect("chmod");
    bob.create(&reads).await.expect("permission bits").close().await.expect("close");
}

async fn told(request: InFlight) -> Vec<String> {
    let answer = request.response().await.expect("news");
    let answer = answer.success().expect("news");
    let buffer = OutputResponse::decode(&answer.message).expect("an answer").output_buffer;
    let name = |it: Result<NotifyEntry<Utf16<'_>>, _>| it.expect("an entry").name.to_text();
    decode_changes(buffer).map(name).collect()
}

/// A watch of a tree reports no name in a directory that the user may not list.
#[tokio::test]
async fn a_watch_of_a_tree_omits_directories_that_the_user_may_not_list() {
    let subject = Subject::start(&Setup::default());
    if subject.is_samba() {
        return testkit::skip("Samba tells");
    }
    let ((_, alice), (_, bob)) = (connected(&subject, "alice").await, connected(&subject, "bob").await);
    let directory = |name| CreateParameters {
        access: RIGHTS,
        disposition: CreateDisposition::OPEN_IF,
        ..CreateParameters::directory(name)
    };
    let private = alice.create(&directory("private")).await.expect("create");
    let owner = descriptor(&private).await.owner.expect("an owner");
    let inherited = AceFlags::OBJECT_INHERIT | AceFlags::CONTAINER_INHERIT;
    set_dacl(&private, &allow(owner, AccessMask::FILE_ALL, inherited)).await.expect("set the DACL");
    let root = bob.create(&CreateParameters::directory("")).await.expect("the root");
    let filter = CompletionFilter::FILE_NAME | CompletionFilter::DIR_NAME;
    let waiting = root.submit_notify(filter, WatchFlags::WATCH_TREE, 4_096).await.expect("send");
    waiting.pending().await.expect("it waits");
    for name in [r"private\secret", r"private\another"] {
        alice
            .create(&CreateParameters::read_write(name))
            .await
            .expect("create")
            .close()
            .await
            .expect("close");
    }
    // A change by a local process, too.
    fs::write(subject.share_dir("data").join("private").join("local"), "x").expect("write");
    alice
        .create(&CreateParameters::read_write("public"))
        .await
        .expect("create")
        .close()
        .await
        .expect("close");
    assert_eq!(told(waiting).await, ["public"]);
    // The owner gets the notification.
    let hers = alice.create(&CreateParameters::directory("")).await.expect("the root");
    let waiting = hers.submit_notify(filter, WatchFlags::WATCH_TREE, 4_096).await.expect("send");
    waiting.pending().await.expect("it waits");
    alice.create(&CreateParameters::read_write(r"private\third")).await.expect("create");
    assert_eq!(told(waiting).await, [r"private\third"]);
}

/// Nor, in a share with access-based enumeration, of a name that a listing would not show.
#[tokio::test]
async fn a_watch_omits_names_that_access_based_enumeration_hides() {
    let mut setup = Setup::default();
    setup.shares.push(Share { name: "hiding".into(), hides_unreadable: true, ..setup.shares[0].clone() });
    let subject = Subject::start(&setup);
    if subject.is_samba() {
        return testkit::skip("Samba tells");
    }
    let (alice, bob) = (tree(&subject, "alice", "hiding").await, tree(&subject, "bob", "hiding").await);
    let probe = alice.create(&with_rights("probe", RIGHTS)).await.expect("create");
    let owner = descriptor(&probe).await.owner.expect("an owner");
    let secret = allow(owner, AccessMask::FILE_ALL, AceFlags::NONE);
    let root = bob.create(&CreateParameters::directory("")).await.expect("the root");
    let filter = CompletionFilter::FILE_NAME | CompletionFilter::DIR_NAME;
    let waiting = root.submit_notify(filter, WatchFlags::NONE, 4_096).await.expect("send");
    waiting.pending().await.expect("it waits");
    let hidden = CreateParameters {
        contexts: CreateContextsRequest {
            security_descriptor: Some(secret),
            ..CreateContextsRequest::default()
        },
        ..CreateParameters::read_write("hidden")
    };
    let hidden = alice.create(&hidden).await.expect("create");
    alice.create(&CreateParameters::read_write("shown")).await.expect("create");
    assert_eq!(told(waiting).await, ["shown"]);
    // For a removed file it is unknown if it was visible.
    let waiting = root.submit_notify(filter, WatchFlags::NONE, 4_096).await.expect("send");
    waiting.pending().await.expect("it waits");
    hidden.set_delete_on_close(true).await.expect("delete");
    hidden.close().await.expect("close");
    let answer = waiting.response().await.expect("news");
    assert_eq!(answer.status(), NtStatus::NOTIFY_ENUM_DIR);
}
