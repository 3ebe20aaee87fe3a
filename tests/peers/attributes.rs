//! Metadata of files, queried in ways that other clients do not offer: Apple's attributes, quotas, descriptors with a
//! SACL, and metadata that survives overwriting.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use client::smb::{ClientTree, CreateParameters, Part};
use testkit::{RunAs, Setup, Subject, need, skip};
use wire::apple::{AFP_INFO_STREAM, AfpInfo, RESOURCE_STREAM};
use wire::create_context::{
    AaplParts, AaplRequest, AaplServerAnswer, AaplServerCaps, AaplVolumeCaps, CreateContextsRequest,
};
use wire::fscc::FsInfoClass;
use wire::fscc::ea::{EaEntry, encode_eas};
use wire::fscc::file_info::FileInfoClass;
use wire::fscc::fs_info::{FsAttributeInfo, FsAttributes};
use wire::ioctl::FsctlCode;
use wire::msg::{AdditionalInformation, CreateDisposition, InfoType, QueryInfoRequest};
use wire::security::{Ace, AceFlags, AceType, Acl, SdControl, SecurityDescriptor, Sid};
use wire::{AccessMask, Command, FileAttributes, FileTime, NtStatus};

use crate::scripted::tree;

async fn write(tree: &ClientTree, name: &str, data: &[u8]) {
    let file = tree.create(&CreateParameters::read_write(name)).await.expect("create");
    file.write(0, data.to_vec()).await.expect("write");
    file.close().await.expect("close");
}

#[tokio::test]
async fn aapl_listings_contain_finder_info_and_fork_size() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let mut finder_info = [0; 32];
    finder_info[..8].copy_from_slice(b"TEXTttxt");
    let mut info = Vec::new();
    AfpInfo { backup_time: 0, finder_info, prodos_info: [0; 6] }.encode(&mut info);
    write(&data, "letter", b"text").await;
    write(&data, &format!("letter:{AFP_INFO_STREAM}"), &info).await;
    write(&data, &format!("letter:{RESOURCE_STREAM}"), b"fork").await;

    let class = FileInfoClass::ID_BOTH_DIRECTORY;
    let root = data.create(&CreateParameters::directory("")).await.expect("the root");
    let plain = root.list(class, "letter").next_buffer().await.expect("an answer").expect("an entry");
    assert_eq!(plain[64..70], [0; 6], "neither extended attributes nor a short name");
    root.close().await.expect("close");

    let aapl = AaplRequest::ServerQuery {
        parts: AaplParts::SERVER_CAPS | AaplParts::VOLUME_CAPS | AaplParts::MODEL_INFO,
        client_caps: AaplServerCaps::READ_DIR_ATTR | AaplServerCaps::OSX_COPYFILE | AaplServerCaps::NFS_ACE,
    };
    let contexts = CreateContextsRequest { aapl: Some(aapl), ..CreateContextsRequest::default() };
    let asking = CreateParameters { contexts, ..CreateParameters::directory("") };
    let root = data.create(&asking).await.expect("the root");
    let expected = AaplServerAnswer {
        server_caps: Some(AaplServerCaps(0xf)),
        volume_caps: Some(AaplVolumeCaps::FULL_SYNC),
        model: Some(String::from("SmbShare")),
    };
    assert_eq!(root.created.contexts.aapl, Some(expected));
    let entry = root.list(class, "letter").next_buffer().await.expect("an answer").expect("an entry");
    assert_eq!(entry[64..68], AccessMask::FILE_ALL.0.to_le_bytes());
    assert_eq!(entry[68..70], [24, 0]);
    assert_eq!(entry[70..78], 4_u64.to_le_bytes());
    assert_eq!(entry[78..86], *b"TEXTttxt");
    assert_eq!(u16::from_le_bytes([entry[94], entry[95]]) & 0o170_000, 0o100_000);
    assert_eq!((&entry[..64], &entry[96..]), (&plain[..64], &plain[96..]));

    // The whole file is copied by the server.
    let from = data.create(&CreateParameters::open("letter")).await.expect("the source");
    let to = data.create(&CreateParameters::read_write("copy")).await.expect("the target");
    let key = from.ioctl(FsctlCode::SRV_REQUEST_RESUME_KEY, &[], 32).await.expect("a key");
    let mut wish = key[..24].to_vec();
    wish.extend_from_slice(&[0; 8]);
    let copied = to.ioctl(FsctlCode::SRV_COPYCHUNK, &wish, 12).await.expect("copy");
    assert_eq!(copied[..], [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(to.read(0, 10).await.expect("read")[..], *b"text");
    let fork = data.create(&CreateParameters::open("copy:AFP_Resource")).await.expect("the fork");
    assert_eq!(fork.read(0, 10).await.expect("read")[..], *b"fork");

    // The mode is in the descriptor, and setting it there changes nothing else.
    let asking = CreateParameters { access: AccessMask::FILE_ALL, ..CreateParameters::open("copy") };
    let file = data.create(&asking).await.expect("open");
    let which = AdditionalInformation::DACL;
    let mode = |bits| Ace::deny(Sid::of(5, [88, 3, bits]), AccessMask::NONE, AceFlags::NONE);
    let shown = || async {
        let shown = file.query_info(InfoType::SECURITY, 0, which, 4096).await.expect("query");
        SecurityDescriptor::decode(&shown).expect("a descriptor").dacl.expect("a list").aces
    };
    let on_disk =
        || fs::metadata(subject.share_dir("data").join("copy")).expect("the file").permissions().mode();
    assert!(shown().await.contains(&mode(on_disk())));
    let mut only_mode = Vec::new();
    let list = Acl { aces: vec![mode(0o100_640)] };
    SecurityDescriptor::new(Sid::WORLD, Sid::WORLD, list).encode(&mut only_mode).expect("a descriptor");
    file.set_info(InfoType::SECURITY, 0, which, &only_mode).await.expect("set");
    assert_eq!(on_disk(), 0o100_640);
    assert!(shown().await.contains(&mode(0o100_640)));
}

#[tokio::test]
async fn quotas_are_not_supported() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let quotas = CreateParameters {
        access: AccessMask::FILE_GENERIC_READ,
        ..CreateParameters::open(r"$EXTEND\$Quota:$Q:$INDEX_ALLOCATION")
    };
    let quotas = data.create(&quotas).await.expect("the quota file");
    let body = QueryInfoRequest {
        info_type: InfoType::QUOTA,
        output_buffer_length: 4096,
        input_buffer: &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        file_id: quotas.id(),
        ..QueryInfoRequest::default()
    };
    let part = Part::new(Command::QUERY_INFO, |out, base| body.encode(out, base)).carrying(4096);
    let refused = data.request(part).await.expect_err("no entries");
    assert!(refused.is(NtStatus::NO_MORE_ENTRIES), "{refused}");
    quotas.read(0, 1).await.expect_err("it has no data");
    quotas.close().await.expect("close");
    let write = CreateParameters::read_write(r"$Extend\$Quota:$Q:$INDEX_ALLOCATION");
    assert!(data.create(&write).await.expect_err("nothing to write").is(NtStatus::ACCESS_DENIED));
}

#[tokio::test]
async fn overwriting_replaces_extended_attributes_and_streams() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let list = |name: &str| {
        let mut list = Vec::new();
        let _ = encode_eas([EaEntry { flags: 0, name: name.as_bytes(), value: b"v" }], &mut list, 1000);
        list
    };
    let made = |list| CreateParameters {
        disposition: CreateDisposition::OVERWRITE_IF,
        contexts: CreateContextsRequest {
            extended_attributes: Some(list),
            ..CreateContextsRequest::default()
        },
        ..CreateParameters::read_write("f")
    };
    let (first, second) = (list("FIRST"), list("SECOND"));
    data.create(&made(&first)).await.expect("create").close().await.expect("close");
    write(&data, "f:stream", b"text").await;
    let file = data.create(&made(&second)).await.expect("overwrite");
    let class = FileInfoClass::FULL_EA.0;
    let eas = file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, 1000).await.expect("query");
    assert_eq!(eas[..], second);
    file.close().await.expect("close");
    let gone = data.create(&CreateParameters::open("f:stream")).await.expect_err("the stream is gone");
    assert!(gone.is(NtStatus::OBJECT_NAME_NOT_FOUND), "{gone}");
}

#[tokio::test]
async fn patterns_find_short_names_too() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    write(&data, "A rather long name.text", b"").await;
    let root = data.create(&CreateParameters::directory("")).await.expect("the root");
    let class = FileInfoClass::BOTH_DIRECTORY;
    let short = root.list(class, "A*").all(10).await.expect("a listing").remove(0).short_name;
    for pattern in [short.clone(), format!("{}*", &short[..7]), String::from("*.TEX"), short.to_lowercase()] {
        let listed = root.list(class, &pattern).all(10).await.expect("a listing");
        assert_eq!(listed.len(), 1, "{pattern}");
        assert_eq!(listed[0].name, "A rather long name.text");
    }
    assert_eq!(root.list(class, "*.TE").all(10).await.expect("a listing").len(), 0);
}

#[tokio::test]
async fn access_to_the_sacl_requires_an_administrator() {
    let subject = Subject::start(&Setup::default());
    let audited = |name| CreateParameters {
        access: AccessMask::FILE_GENERIC_READ | AccessMask::ACCESS_SYSTEM_SECURITY,
        ..CreateParameters::read_write(name)
    };
    let alices = tree(&subject, "alice", "data").await;
    write(&alices, "f", b"").await;
    let refused = alices.create(&audited("f")).await.expect_err("a privilege is needed");
    assert!(refused.is(NtStatus::PRIVILEGE_NOT_HELD), "{refused}");

    let admins = tree(&subject, "admin", "data").await;
    let file = admins.create(&audited("f")).await.expect("open");
    let flags = AceFlags(0x40);
    let ace = Ace { kind: AceType::SYSTEM_AUDIT, ..Ace::allow(Sid::WORLD, AccessMask::DELETE, flags) };
    let descriptor = SecurityDescriptor {
        control: SdControl::SELF_RELATIVE | SdControl::SACL_PRESENT,
        owner: None,
        group: None,
        sacl: Some(Acl { aces: vec![ace] }),
        dacl: None,
    };
    let mut encoded = Vec::new();
    descriptor.encode(&mut encoded).expect("a descriptor");
    let which = AdditionalInformation::SACL;
    file.set_info(InfoType::SECURITY, 0, which, &encoded).await.expect("set");
    let stored = file.query_info(InfoType::SECURITY, 0, which, 4096).await.expect("query");
    assert_eq!(SecurityDescriptor::decode(&stored).expect("a descriptor").sacl, descriptor.sacl);
    let huge = vec![0; 70_000];
    let refused = file.set_info(InfoType::SECURITY, 0, which, &huge).await.expect_err("too large");
    assert!(refused.is(NtStatus::INVALID_SECURITY_DESCR), "{refused}");
}

#[tokio::test]
async fn a_new_owner_owns_the_file_on_the_disk() {
    if !need(&["root", "unshare"]) {
        return;
    }
    let subject = Subject::start(&Setup { run_as: RunAs::Root, ..Setup::default() });
    let file = subject.share_dir("data").join("f");
    write(&tree(&subject, "alice", "data").await, "f", b"text").await;
    let uid = || std::os::unix::fs::MetadataExt::uid(&fs::metadata(&file).expect("the file"));
    let alice = uid();
    let give = |user: &'static str, to: u32| {
        let subject = &subject;
        async move {
            let open = CreateParameters { access: AccessMask::WRITE_OWNER, ..CreateParameters::open("f") };
            let open =
                tree(subject, user, "data").await.create(&open).await.map_err(|error| error.status())?;
            let mut descriptor = Vec::new();
            let owner = SecurityDescriptor::new(Sid::unix_user(to), Sid::WORLD, Acl { aces: Vec::new() });
            owner.encode(&mut descriptor).expect("a descriptor");
            let set = open.set_info(InfoType::SECURITY, 0, AdditionalInformation::OWNER, &descriptor).await;
            set.map_err(|error| error.status())
        }
    };
    assert_eq!(give("bob", alice + 1).await, Err(Some(NtStatus::ACCESS_DENIED)));
    assert_eq!(give("alice", alice + 77).await, Err(Some(NtStatus::INVALID_OWNER)));
    assert_eq!(uid(), alice);
    assert_eq!(give("admin", alice + 77).await, Ok(()));
    assert_eq!(uid(), alice + 77);
}

/// The server does not encrypt files on the disk: requests for it are refused and change nothing.
#[tokio::test]
async fn files_are_not_encrypted_on_the_disk() {
    let subject = Subject::start(&Setup::default());
    if subject.is_samba() {
        return skip("Samba takes the attribute and does nothing");
    }
    let data = tree(&subject, "alice", "data").await;
    let attributes = FileAttributes::ENCRYPTED;
    let asking = |name, disposition| CreateParameters {
        attributes,
        disposition,
        ..CreateParameters::read_write(name)
    };
    let refused = data.create(&asking("secret", CreateDisposition::OPEN_IF)).await.expect_err("refused");
    assert!(refused.is(NtStatus::ACCESS_DENIED), "{refused:?}");
    assert!(!subject.share_dir("data").join("secret").exists());
    write(&data, "open", b"text").await;
    let refused = data.create(&asking("open", CreateDisposition::OVERWRITE_IF)).await.expect_err("refused");
    assert!(refused.is(NtStatus::ACCESS_DENIED), "{refused:?}");
    assert_eq!(fs::read(subject.share_dir("data").join("open")).expect("the file"), b"text");
    data.create(&asking("open", CreateDisposition::OPEN_IF)).await.expect("what is there is opened");
}

/// The file system attributes (MS-FSCC 2.5.1). Explorer shows the Security page only with FILE_PERSISTENT_ACLS.
#[tokio::test]
async fn file_system_attributes_are_reported() {
    let mut setup = Setup::default();
    setup.shares[1].read_only = true;
    let subject = Subject::start(&setup);
    let told = async |share: &str| {
        let share = tree(&subject, "alice", share).await;
        let root = share.create(&CreateParameters::directory("")).await.expect("the root");
        let class = FsInfoClass::ATTRIBUTE.0;
        let told = root.query_info(InfoType::FILESYSTEM, class, AdditionalInformation::NONE, 100).await;
        FsAttributeInfo::decode(&told.expect("an answer")).expect("attributes").attributes
    };
    let data = told("data").await;
    let kept =
        FsAttributes::PERSISTENT_ACLS | FsAttributes::NAMED_STREAMS | FsAttributes::SUPPORTS_HARD_LINKS;
    assert!(data.contains(kept), "{data:?}");
    assert!(!data.contains(FsAttributes::READ_ONLY_VOLUME), "{data:?}");
    let read_only = told("other").await;
    assert!(
        read_only.contains(FsAttributes::PERSISTENT_ACLS | FsAttributes::READ_ONLY_VOLUME),
        "{read_only:?}"
    );
}

/// MS-FSA 2.1.5.1.2.1: the attribute reduces the granted access, not the maximal access of the user.
#[tokio::test]
async fn a_readonly_file_shows_the_maximal_access_and_grants_less() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let attributes = FileAttributes::READONLY;
    let made = CreateParameters { attributes, ..CreateParameters::read_write("readonly.txt") };
    data.create(&made).await.expect("create").close().await.expect("close");
    let contexts =
        CreateContextsRequest { maximal_access: Some(FileTime::NONE), ..CreateContextsRequest::default() };
    let most = AccessMask::MAXIMUM_ALLOWED;
    let asking = CreateParameters { access: most, contexts, ..CreateParameters::open("readonly.txt") };
    let file = data.create(&asking).await.expect("open");
    assert_eq!(file.created.contexts.maximal_access.map(|it| it.access), Some(AccessMask::FILE_ALL));
    let class = FileInfoClass::ACCESS.0;
    let granted =
        file.query_info(InfoType::FILE, class, AdditionalInformation::NONE, 4).await.expect("query");
    let writing = AccessMask::WRITE_DATA | AccessMask::APPEND_DATA | AccessMask::DELETE_CHILD;
    assert_eq!(granted[..], AccessMask::FILE_ALL.without(writing).0.to_le_bytes());
    for access in [AccessMask::WRITE_DATA, AccessMask::APPEND_DATA] {
        let writing = CreateParameters { access, ..CreateParameters::open("readonly.txt") };
        let refused = data.create(&writing).await.expect_err("a file that cannot be written to");
        assert!(refused.is(NtStatus::ACCESS_DENIED), "{refused}");
    }
}

/// Others see at once that a file was written, and that a time was set: which then stays whatever that open writes.
#[tokio::test]
async fn write_times_change_at_once_unless_a_client_has_set_them() {
    let subject = Subject::start(&Setup::default());
    let (data, others) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    let file = data.create(&CreateParameters::read_write("written.txt")).await.expect("create");
    let shown = async || {
        let file = others.create(&CreateParameters::open("written.txt")).await.expect("open");
        file.close().await.expect("close");
        file.created.last_write_time
    };
    let set = async |time: FileTime| {
        let mut info = vec![0; 40];
        info[16..24].copy_from_slice(&time.0.to_le_bytes());
        let class = FileInfoClass::BASIC.0;
        file.set_info(InfoType::FILE, class, AdditionalInformation::NONE, &info).await.expect("set");
    };
    const LONG_AGO: FileTime = FileTime(131_000_000_000_000_000);
    set(LONG_AGO).await;
    assert_eq!(shown().await, LONG_AGO);
    file.write(0, &b"x"[..]).await.expect("write");
    assert_eq!(shown().await, LONG_AGO, "as it was set, on the disk too");
    let other = others.create(&CreateParameters::read_write("written.txt")).await.expect("open");
    other.write(0, &b"y"[..]).await.expect("write");
    let written = shown().await;
    assert!(written != LONG_AGO, "another's write moves it at once");
    file.write(0, &b"z"[..]).await.expect("write");
    file.close().await.expect("close");
    assert_eq!(shown().await, written, "and the first open leaves that, too");
}
