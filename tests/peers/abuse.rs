//! Logged-on clients that abuse resources of the server: breaks, durable handles, watches, descriptors. Each gets the
//! specification's refusal in bounded time, and other clients are not affected.

use std::time::{Duration, Instant};

use client::smb::{Break, ClientSession, ClientTree, ConnectOptions, CreateParameters, Error, File};
use testkit::{Setup, Subject};
use wire::create_context::{
    CreateContextsRequest, DurableReconnectV2, DurableRequestV2, LeaseContext, LeaseFlags,
};
use wire::msg::{AdditionalInformation, CompletionFilter, CreateDisposition, InfoType, WatchFlags};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, FileId, Guid, LeaseState, NtStatus, OplockLevel, ShareAccess};

use crate::hostile::Neighbour;
use crate::scripted::{DATA, connected, logged_on, refused};

const RWH: LeaseState = LeaseState(LeaseState::READ.0 | LeaseState::HANDLE.0 | LeaseState::WRITE.0);

fn lease(key: Guid, state: LeaseState) -> CreateContextsRequest<'static> {
    CreateContextsRequest {
        lease: Some(LeaseContext { key, state, flags: LeaseFlags::NONE, v2: None }),
        ..CreateContextsRequest::default()
    }
}

fn with<'a>(contexts: CreateContextsRequest<'a>, name: &'a str) -> CreateParameters<'a> {
    CreateParameters { contexts, ..CreateParameters::read_write(name) }
}

/// A session that can wait longer than the server waits for an acknowledgment.
async fn patient(subject: &Subject, name: &str) -> ClientTree {
    let options = ConnectOptions {
        request_timeout: Duration::from_secs(60),
        ..ConnectOptions::new().expect("options")
    };
    logged_on(subject, name, options).await.tree_connect(DATA).await.expect("tree connect")
}

/// MS-SMB2 3.3.2.1, 3.3.2.5: a client that does not acknowledge a break loses the caching after 35 seconds.
#[tokio::test]
async fn unacknowledged_breaks_time_out() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let deaf = patient(&subject, "bob").await;
    let mut said = deaf.connection().breaks();
    let leased = deaf.create(&with(lease(Guid([7; 16]), RWH), "leased")).await.expect("create");
    assert_eq!(leased.created.contexts.lease.expect("a lease").state, RWH);
    let batch = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("batch") };
    let batch = deaf.create(&batch).await.expect("create");
    assert_eq!(batch.created.oplock, OplockLevel::BATCH);

    let wanting = patient(&subject, "alice").await;
    let started = Instant::now();
    let (one, two) = (wanting.clone(), wanting.clone());
    let waiting = [
        tokio::spawn(async move { one.create(&CreateParameters::open("leased")).await }),
        tokio::spawn(async move { two.create(&CreateParameters::open("batch")).await }),
    ];
    for _ in 0..2 {
        said.next().await.expect("a break").expect("the connection");
    }
    // Others are served meanwhile, the deaf one included, and on the same connection.
    neighbour.goes_on().await;
    wanting.create(&CreateParameters::read_write("another")).await.expect("create");
    deaf.create(&CreateParameters::read_write("one more")).await.expect("create");
    for outcome in waiting {
        outcome.await.expect("the task").expect("opened in the end");
    }
    let took = started.elapsed();
    assert!((20..50).contains(&took.as_secs()), "{took:?}");
    // Late acknowledgments are refused, and the opens continue without their caching.
    refused(deaf.acknowledge_lease(Guid([7; 16]), LeaseState::READ).await, NtStatus::UNSUCCESSFUL);
    refused(
        deaf.acknowledge_oplock(batch.id(), OplockLevel::LEVEL_II).await,
        NtStatus::INVALID_OPLOCK_PROTOCOL,
    );
    leased.write(0, b"late".to_vec()).await.expect("write");
    neighbour.goes_on().await;
}

/// MS-SMB2 3.3.5.22.
#[tokio::test]
async fn acknowledgments_without_a_break_are_refused() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let (_connection, tree) = connected(&subject, "bob").await;
    let key = Guid([9; 16]);
    refused(tree.acknowledge_lease(key, LeaseState::NONE).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    let leased = tree.create(&with(lease(key, RWH), "leased")).await.expect("create");
    refused(tree.acknowledge_lease(key, LeaseState::READ).await, NtStatus::UNSUCCESSFUL);
    refused(tree.acknowledge_oplock(leased.id(), OplockLevel::NONE).await, NtStatus::INVALID_OPLOCK_PROTOCOL);
    refused(
        tree.acknowledge_oplock(leased.id(), OplockLevel::LEASE).await,
        NtStatus::INVALID_OPLOCK_PROTOCOL,
    );
    let plain = tree.create(&CreateParameters::read_write("plain")).await.expect("create");
    for level in [OplockLevel::NONE, OplockLevel::LEVEL_II, OplockLevel::EXCLUSIVE, OplockLevel(0x77)] {
        refused(tree.acknowledge_oplock(plain.id(), level).await, NtStatus::INVALID_OPLOCK_PROTOCOL);
    }
    let nobodys = FileId { persistent: 77, volatile: 88 };
    refused(tree.acknowledge_oplock(nobodys, OplockLevel::NONE).await, NtStatus::FILE_CLOSED);
    // A client cannot acknowledge the lease of another one's open: the lease is still valid, and is broken properly.
    let (_connection, other) = connected(&subject, "alice").await;
    refused(other.acknowledge_oplock(leased.id(), OplockLevel::NONE).await, NtStatus::FILE_CLOSED);
    refused(other.acknowledge_lease(key, LeaseState::NONE).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    let mut said = tree.connection().breaks();
    let opening = tokio::spawn(async move { other.create(&CreateParameters::open("leased")).await });
    let Some(Break::Lease(asked)) = said.next().await.expect("a break") else { panic!("no lease break") };
    // An acknowledgment of more than requested, then of the requested state.
    refused(tree.acknowledge_lease(key, RWH).await, NtStatus::REQUEST_NOT_ACCEPTED);
    tree.acknowledge_lease(key, asked.new_lease_state).await.expect("acknowledge");
    refused(tree.acknowledge_lease(key, asked.new_lease_state).await, NtStatus::UNSUCCESSFUL);
    opening.await.expect("the task").expect("opened");
    neighbour.goes_on().await;
}

fn durable(key: Guid, create_guid: Guid) -> CreateContextsRequest<'static> {
    CreateContextsRequest {
        durable_request_v2: Some(DurableRequestV2 { timeout_ms: 60_000, flags: 0, create_guid }),
        ..lease(key, RWH)
    }
}

fn reclaim(key: Guid, file_id: FileId, create_guid: Guid) -> CreateContextsRequest<'static> {
    CreateContextsRequest {
        durable_reconnect_v2: Some(DurableReconnectV2 { file_id, create_guid, flags: 0 }),
        ..lease(key, RWH)
    }
}

async fn as_client(subject: &Subject, user: &str, guid: Guid) -> (ClientSession, ClientTree) {
    let session = logged_on(subject, user, ConnectOptions::with_guid(guid)).await;
    let tree = session.tree_connect(DATA).await.expect("tree connect");
    (session, tree)
}

/// MS-SMB2 3.3.5.9.12: only the owner can reconnect a durable handle; attempts of others do not affect it.
#[tokio::test]
async fn durable_handles_of_other_users_cannot_be_reconnected() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let (client, key, create) = (Guid([1; 16]), Guid([2; 16]), Guid([3; 16]));
    let (session, tree) = as_client(&subject, "bob", client).await;
    let file = tree.create(&with(durable(key, create), "durable")).await.expect("create");
    assert!(file.created.contexts.durable_v2.is_some(), "it is durable");
    file.write(0, b"kept".to_vec()).await.expect("write");
    let id = file.id();
    // A handle whose owner is connected cannot be reconnected.
    let (_, early) = as_client(&subject, "bob", client).await;
    refused(early.create(&with(reclaim(key, id, create), "durable")).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    session.connection().disconnect();

    let another = Guid([4; 16]);
    let (_, wrong_client) = as_client(&subject, "bob", another).await;
    let (_, wrong_user) = as_client(&subject, "alice", client).await;
    let (_, right) = as_client(&subject, "bob", client).await;
    let missing = NtStatus::OBJECT_NAME_NOT_FOUND;
    let other_id = FileId { persistent: id.persistent.wrapping_add(1), volatile: id.volatile };
    let attempts = [
        (&wrong_client, with(reclaim(key, id, create), "durable"), missing),
        (&right, with(reclaim(key, id, another), "durable"), missing),
        (&right, with(reclaim(key, other_id, create), "durable"), missing),
        (&right, with(reclaim(another, id, create), "durable"), missing),
        (&right, with(reclaim(key, id, create), "another name"), NtStatus::INVALID_PARAMETER),
        (&wrong_user, with(reclaim(key, id, create), "durable"), NtStatus::ACCESS_DENIED),
    ];
    for (number, (tree, parameters, status)) in attempts.iter().enumerate() {
        let outcome = tree.create(parameters).await;
        assert!(
            outcome.is_err_and(|error| error.is(*status)),
            "attempt {number} is not refused with {status}"
        );
    }
    // Many guesses affect nobody.
    for guess in 0..500 {
        let id = FileId { persistent: guess, volatile: guess };
        refused(right.create(&with(reclaim(key, id, create), "durable")).await, missing);
    }
    neighbour.goes_on().await;
    let back = right.create(&with(reclaim(key, id, create), "durable")).await.expect("it is still there");
    assert_eq!(&back.read(0, 16).await.expect("read")[..], b"kept");
    // A handle can be reconnected only once.
    refused(right.create(&with(reclaim(key, id, create), "durable")).await, missing);
}

/// MS-SMB2 3.3.5.9.10: the same create GUID again is a duplicate unless the request is marked as a replay.
#[tokio::test]
async fn a_repeated_create_guid_without_the_replay_flag_is_a_duplicate() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let (client, key, create) = (Guid([1; 16]), Guid([2; 16]), Guid([3; 16]));
    let (_session, tree) = as_client(&subject, "bob", client).await;
    let first = tree.create(&with(durable(key, create), "once")).await.expect("create");
    for name in ["once", "another"] {
        let again = tree.create(&with(durable(key, create), name)).await;
        refused(again, NtStatus::DUPLICATE_OBJECTID);
    }
    // Another client's GUIDs are its own business.
    let (_other, theirs) = as_client(&subject, "alice", Guid([8; 16])).await;
    theirs.create(&with(durable(Guid([5; 16]), create), "other file")).await.expect("create");
    first.write(0, b"undisturbed".to_vec()).await.expect("write");
    neighbour.goes_on().await;
}

/// The number of watches of a connection is limited; changes beyond the buffer are reported as too many.
#[tokio::test]
async fn the_number_of_watches_is_limited() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let (connection, tree) = connected(&subject, "bob").await;
    let directory = CreateParameters {
        disposition: CreateDisposition::OPEN_IF,
        ..CreateParameters::directory("watched")
    };
    let directory = tree.create(&directory).await.expect("create");
    let filter = CompletionFilter::FILE_NAME | CompletionFilter::DIR_NAME;
    // As many as credits allow: none of them is answered, and no other client waits.
    let mut waiting = Vec::new();
    while connection.credits() > 8 && waiting.len() < 20_000 {
        waiting.push(directory.submit_notify(filter, WatchFlags::WATCH_TREE, 64).await.expect("send"));
    }
    assert!(!waiting.is_empty());
    neighbour.goes_on().await;
    let started = Instant::now();
    let (_busy, busy) = connected(&subject, "alice").await;
    for number in 0..200 {
        let name = format!(r"watched\a rather long name so that no buffer holds it {number}");
        busy.create(&CreateParameters::read_write(&name))
            .await
            .expect("create")
            .close()
            .await
            .expect("close");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    directory.close().await.expect("close");
    for request in waiting {
        let answer = request.response().await.expect("each is answered");
        let status = answer.status();
        let expected = [
            NtStatus::SUCCESS,
            NtStatus::NOTIFY_ENUM_DIR,
            NtStatus::NOTIFY_CLEANUP,
            NtStatus::INSUFFICIENT_RESOURCES,
        ];
        assert!(expected.contains(&status), "{status}");
    }
    neighbour.goes_on().await;
}

/// MS-SMB2 3.3.5.21.3: descriptors are read with care, and stored as a whole or not at all.
#[tokio::test]
async fn malformed_and_huge_descriptors() {
    let subject = Subject::start(&Setup::default());
    let neighbour = Neighbour::beside(&subject).await;
    let (_connection, tree) = connected(&subject, "bob").await;
    let parameters = CreateParameters {
        access: AccessMask::FILE_ALL,
        share: ShareAccess::READ | ShareAccess::WRITE,
        ..CreateParameters::read_write("described")
    };
    let file = tree.create(&parameters).await.expect("create");
    let before = descriptor(&file).await;
    let mut good = Vec::new();
    let owner = before.owner.expect("an owner");
    let ace = Ace::allow(owner, AccessMask::FILE_ALL, AceFlags::NONE);
    let valid = SecurityDescriptor::new(owner, owner, Acl { aces: vec![ace.clone(), ace.clone()] });
    valid.encode(&mut good).expect("small");
    let dacl = u32::from_le_bytes(good[16..20].try_into().expect("four bytes")) as usize;
    let changed = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    let mut malformed = vec![
        Vec::new(),
        vec![1],
        good[..19].to_vec(),
        good[..good.len() - 5].to_vec(),
        changed(0, &[2]),                                    // Revision
        changed(4, &u32::MAX.to_le_bytes()),                 // OffsetOwner
        changed(16, &(good.len() as u32 - 4).to_le_bytes()), // OffsetDacl
        changed(dacl + 2, &u16::MAX.to_le_bytes()),          // AclSize
        changed(dacl + 4, &u16::MAX.to_le_bytes()),          // AceCount
        changed(dacl + 10, &0_u16.to_le_bytes()),            // AceSize
        changed(dacl + 10, &u16::MAX.to_le_bytes()),
        changed(dacl + 8 + 8, &[1, 255]), // SubAuthorityCount
    ];
    // Every offset leads to the descriptor itself.
    malformed.push([&good[..4], &[0; 16][..], &good[20..]].concat());
    malformed.last_mut().expect("it is there")[4..20].copy_from_slice(&[1, 0, 0, 0].repeat(4));
    for (number, bytes) in malformed.iter().enumerate() {
        let outcome = set_dacl(&file, bytes).await;
        assert!(outcome.is_err(), "descriptor {number} is taken");
        assert_eq!(descriptor(&file).await, before, "after descriptor {number}");
        neighbour.goes_on().await;
    }
    // A list of the maximum size is stored completely or not at all.
    for count in [100, 1_000, 1_700, 5_000] {
        let aces = (0..count).map(|n| Ace::allow(Sid::unix_user(n), AccessMask::READ_DATA, AceFlags::NONE));
        let aces: Vec<_> = std::iter::once(ace.clone()).chain(aces).collect();
        let mut bytes = Vec::new();
        let started = Instant::now();
        if SecurityDescriptor::new(owner, owner, Acl { aces: aces.clone() }).encode(&mut bytes).is_err() {
            continue;
        }
        let previous = descriptor(&file).await;
        match set_dacl(&file, &bytes).await {
            Ok(()) => assert_eq!(descriptor(&file).await.dacl.expect("a DACL").aces, aces),
            Err(error) => {
                assert!(error.status().is_some(), "{error}");
                assert_eq!(descriptor(&file).await, previous);
            }
        }
        tree.create(&CreateParameters::open("described"))
            .await
            .expect("its owner may")
            .close()
            .await
            .expect("close");
        assert!(started.elapsed() < Duration::from_secs(5), "{count} entries take {:?}", started.elapsed());
        neighbour.goes_on().await;
    }
}

async fn set_dacl(file: &File, bytes: &[u8]) -> Result<(), Error> {
    file.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, bytes).await
}

async fn descriptor(file: &File) -> SecurityDescriptor {
    let parts = AdditionalInformation::OWNER | AdditionalInformation::GROUP | AdditionalInformation::DACL;
    let bytes = file.query_info(InfoType::SECURITY, 0, parts, 256 * 1024).await.expect("the descriptor");
    SecurityDescriptor::decode(&bytes).expect("a descriptor")
}

/// MS-SMB2 3.3.5.9.13: the next instance of an application takes over the opens of the last one on another client,
/// but only if its user has the same rights.
#[tokio::test]
async fn an_application_instance_ends_only_opens_within_its_users_rights() {
    let subject = Subject::start(&Setup::default());
    if let Subject::Shareward(server) = &subject {
        let grants = "name = \"data\"\ngrants = [{ user = \"alice\", right = \"full\" }, \
                      { user = \"bob\", right = \"read\" }, { user = \"admin\", right = \"full\" }]\n";
        crate::reload::reconfigure(server, "name = \"data\"\n", grants);
    }
    let instance = |number: u8| CreateContextsRequest {
        durable_request_v2: Some(DurableRequestV2 {
            timeout_ms: 0,
            flags: 0,
            create_guid: Guid([number; 16]),
        }),
        app_instance_id: Some(Guid([0xa; 16])),
        ..CreateContextsRequest::default()
    };
    let first =
        |number| CreateParameters { share: ShareAccess::NONE, ..with(instance(number), "virtual.disk") };
    let reading = |number| CreateParameters {
        access: AccessMask::FILE_GENERIC_READ,
        disposition: CreateDisposition::OPEN,
        ..with(instance(number), "virtual.disk")
    };
    let (_one, alice) = connected(&subject, "alice").await;
    let open = alice.create(&first(1)).await.expect("create");
    let (_two, bob) = connected(&subject, "bob").await;
    refused(bob.create(&reading(2)).await, NtStatus::SHARING_VIOLATION);
    open.write(0, b"mine".to_vec()).await.expect("still open");

    // On another node, a different account, and then the user's own.
    for (user, number) in [("admin", 3), ("alice", 4)] {
        let (_node, tree) = connected(&subject, user).await;
        tree.create(&first(number)).await.expect("takes its place");
        let Err(error) = open.write(0, b"late".to_vec()).await else { panic!("still open") };
        assert!(error.is(NtStatus::FILE_CLOSED), "{error}");
    }
}
