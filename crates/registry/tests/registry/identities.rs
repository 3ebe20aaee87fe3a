//! The identities of users: a guest is no account, whatever name it claims (MS-SMB2 3.3.5.5.3, 3.3.5.9.7, 3.3.5.9.13).

use registry::{
    Admission, AppInstance, CloseReason, Filter, Identity, Reconnect, ReconnectError, Refused, Replay,
    ReplayError, SessionFlags, UserKind,
};
use wire::security::Sid;
use wire::{AccessMask, FileId, OplockLevel, SessionId};

use crate::world::{
    ALL_ACCESS, Client, READ, RWH, SHARE_ALL, SHARE_NONE, World, durable_v2, guid, identity, lease,
};

/// A further session of the client, whose user claims the name `user1`.
fn session_as(world: &mut World, client: Client, flags: SessionFlags, domain: &str) -> Client {
    let session = world.logon(client.connection, client.number);
    let identity = Identity { domain: domain.into(), flags, ..identity(1) };
    let _ = world.state.session_valid(session, identity, None, world.now).unwrap();
    let tree = world.tree(session, "data");
    Client { session, tree, ..client }
}

const GUEST: SessionFlags =
    SessionFlags { anonymous: false, guest: true, administrator: false, encrypted: false, signed: false };

#[test]
fn users_are_equal_if_kind_and_account_are_equal() {
    let account = identity(1);
    let elsewhere = Identity { user: "USER1".into(), domain: "ELSEWHERE".into(), ..account.clone() };
    let guest = Identity { flags: GUEST, ..account.clone() };
    let nobody = Identity { flags: SessionFlags { anonymous: true, ..GUEST }, ..account.clone() };
    assert_eq!(
        [&account, &guest, &nobody].map(Identity::kind),
        [UserKind::Account, UserKind::Guest, UserKind::Anonymous]
    );
    assert!(account.is_same_user(&elsewhere), "the client chooses the domain");
    assert!(guest.is_same_user(&guest));
    for (one, other) in [(&account, &guest), (&guest, &nobody), (&account, &nobody), (&account, &identity(2))]
    {
        assert!(!one.is_same_user(other) && !other.is_same_user(one), "{one:?} {other:?}");
    }
}

#[test]
fn a_guest_does_not_replace_the_session_of_an_account() {
    let mut world = World::new();
    let alice = world.client(1);
    let guest = session_as(&mut world, alice, GUEST, "DOMAIN");
    assert!(world.state.replace_previous_session(guest.session, alice.session, world.now).is_empty());
    assert!(world.state.replace_previous_session(alice.session, guest.session, world.now).is_empty());
    let again = session_as(&mut world, alice, SessionFlags::default(), "ELSEWHERE");
    let effects = world.state.replace_previous_session(again.session, alice.session, world.now);
    world.check();
    assert_eq!(effects.sessions_ended.len(), 1);
}

#[test]
fn a_guest_does_not_reclaim_the_open_of_an_account() {
    let mut world = World::new();
    let alice = world.client(1);
    let mut request = world.request(alice, 1);
    request.oplock = OplockLevel::BATCH;
    request.durable = durable_v2(0xd0, 0);
    let open = world.open(request);
    let again = world.client(1);
    let replay = |by: Client| Replay {
        session: by.session,
        tree: by.tree,
        connection: by.connection,
        create_guid: guid(0xd0),
        lease: None,
    };
    let guest = session_as(&mut world, alice, GUEST, "DOMAIN");
    assert_eq!(world.replay(&replay(guest)).err(), Some(ReplayError::Denied));
    let _ = world.state.disconnect(alice.connection, world.now);
    let guest = session_as(&mut world, again, GUEST, "DOMAIN");
    let back = |by| reclaim_of(open.file_id, by);
    let refused = world.state.reconnect(&back(guest), |_, attached| *attached, world.now).err();
    assert_eq!(refused, Some(ReconnectError::OtherUser));
    let elsewhere = session_as(&mut world, again, SessionFlags::default(), "ELSEWHERE");
    assert!(world.state.reconnect(&back(elsewhere), |_, attached| *attached, world.now).is_ok());
    world.check();
}

/// The reclaim of the durable open of `dir\file1` by the client.
fn reclaim_of(file_id: FileId, by: Client) -> Reconnect {
    Reconnect {
        session: by.session,
        tree: by.tree,
        connection: by.connection,
        file_id,
        create_guid: Some(guid(0xd0)),
        persistent: false,
        lease: None,
        lease_epoch: 0,
        path: "dir\\file1".into(),
        is_same_path: wire::eq_ignore_case,
    }
}

/// A further session of the client for a user of a domain.
fn session_of_domain_user(world: &mut World, client: Client, name: &str, rid: u32) -> Client {
    let session = world.logon(client.connection, client.number);
    let sid = Some(Sid::of_domain([1, 2, 3], rid));
    let identity = Identity { user: name.into(), sid, ..Identity::default() };
    let _ = world.state.session_valid(session, identity, None, world.now).unwrap();
    let tree = world.tree(session, "data");
    Client { session, tree, ..client }
}

#[test]
fn users_of_a_domain_are_equal_if_their_sids_are_equal() {
    let user = |name: &str, rid: Option<u32>| {
        let sid = rid.map(|rid| Sid::of_domain([1, 2, 3], rid));
        Identity { user: name.into(), sid, ..Identity::default() }
    };
    let carol = user("CORP\\carol", Some(1104));
    assert!(carol.is_same_user(&user("CORP\\carol.jones", Some(1104))), "the account was renamed");
    for other in [user("CORP\\carol", Some(1105)), user("CORP\\carol", None), user("carol", None)] {
        assert!(!carol.is_same_user(&other) && !other.is_same_user(&carol), "{other:?}");
    }
}

#[test]
fn an_open_is_reclaimed_by_the_user_with_its_sid_alone() {
    let mut world = World::new();
    let connected = world.client(1);
    let carol = session_of_domain_user(&mut world, connected, "CORP\\carol", 1104);
    let mut request = world.request(carol, 1);
    request.oplock = OplockLevel::BATCH;
    request.durable = durable_v2(0xd0, 0);
    let open = world.open(request);
    let _ = world.state.disconnect(carol.connection, world.now);
    let again = world.client(1);
    let back = |by| reclaim_of(open.file_id, by);
    let local = world.logon(again.connection, 1);
    let identity_of_local = Identity { user: "CORP\\carol".into(), ..Identity::default() };
    let _ = world.state.session_valid(local, identity_of_local, None, world.now).unwrap();
    let local = Client { session: local, tree: world.tree(local, "data"), ..again };
    let successor = session_of_domain_user(&mut world, again, "CORP\\carol", 1105);
    for other in [local, successor] {
        let refused = world.state.reconnect(&back(other), |_, attached| *attached, world.now).err();
        assert_eq!(refused, Some(ReconnectError::OtherUser));
    }
    let renamed = session_of_domain_user(&mut world, again, "CORP\\carol.jones", 1104);
    assert!(world.state.reconnect(&back(renamed), |_, attached| *attached, world.now).is_ok());
    world.check();
}

#[test]
fn user_filters_with_a_sid_match_users_of_a_domain_by_it() {
    let mut world = World::new();
    let connected = world.client(1);
    session_of_domain_user(&mut world, connected, "CORP\\carol", 1104);
    session_of_domain_user(&mut world, connected, "CORP\\dave", 1105);
    let names = |user: &str, rid: Option<u32>| {
        let sid = rid.map(|rid| Sid::of_domain([1, 2, 3], rid));
        let filter = Filter { account: Some(wire::Account::new(user)), sid, ..Filter::default() };
        let found = world.state.session_snapshots(&filter, None, usize::MAX).entries;
        found.iter().map(|it| it.identity.user.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("corp\\Carol", None), ["CORP\\carol"]);
    assert_eq!(names("CORP\\carol.jones", Some(1104)), ["CORP\\carol"], "the account was renamed");
    assert_eq!(names("CORP\\carol", Some(1106)), [""; 0], "another account has the name now");
    assert_eq!(names("USER1", Some(1106)), ["user1"], "an account of the server has no SID");
}

#[test]
fn user_filters_match_accounts_only() {
    let mut world = World::new();
    let alice = world.client(1);
    let guest = session_as(&mut world, alice, GUEST, "DOMAIN");
    for client in [alice, guest] {
        let mut request = world.request(client, 1);
        request.oplock = OplockLevel::NONE;
        world.open(request);
    }
    let sessions = |user: Option<&str>| {
        let filter = Filter { account: user.map(wire::Account::new), ..Filter::default() };
        world.state.session_snapshots(&filter, None, usize::MAX).entries
    };
    assert_eq!(sessions(None).len(), 2);
    let [only] = &sessions(Some("USER1"))[..] else { panic!("there must be one session") };
    assert_eq!(only.identity.kind(), UserKind::Account);
    let filter = Filter { account: Some(wire::Account::new("user1")), ..Filter::default() };
    let files = world.state.file_snapshots(&filter, None, usize::MAX).entries;
    assert_eq!(files.iter().map(|it| it.user_kind).collect::<Vec<_>>(), [UserKind::Account]);
}

/// The first instance of an application, which shares no access to the file.
fn first_instance(
    world: &mut World,
    client: Client,
    access: AccessMask,
    version: Option<(u64, u64)>,
) -> SessionId {
    let mut request = world.request(client, 1);
    request.lease = lease(5, RWH);
    request.durable = durable_v2(0xd0, 0);
    request.access = access;
    request.share_access = SHARE_NONE;
    request.app_instance = Some(AppInstance { id: guid(0xa), version, maximal_access: ALL_ACCESS });
    world.open(request);
    client.session
}

/// The result of a second instance with this access to the file.
fn second_instance(
    world: &mut World,
    client: Client,
    maximal_access: AccessMask,
    version: Option<(u64, u64)>,
) -> (Admission, Vec<CloseReason>) {
    let mut request = world.request(client, 1);
    request.access = READ;
    request.share_access = SHARE_ALL;
    request.app_instance = Some(AppInstance { id: guid(0xa), version, maximal_access });
    let (admission, effects) = world.admit(request);
    (admission, effects.dropped.iter().map(|it| it.reason).collect())
}

#[test]
fn app_instance_closes_an_open_only_with_all_of_its_access() {
    let all = ALL_ACCESS;
    let read = AccessMask::FILE_GENERIC_READ;
    let attributes = AccessMask::READ_ATTRIBUTES;
    for (second, of_first, maximal, ends) in [
        (1, all, attributes, false),
        (1, all, read, true),
        (2, all, attributes, false),
        (2, all, read, false),
        (2, all, all, true),
        (2, READ, read, true),
    ] {
        let mut world = World::new();
        let one = world.client(1);
        first_instance(&mut world, one, of_first, None);
        let other = world.client(9);
        let session = world.logon(other.connection, second);
        let tree = world.tree(session, "data");
        let (admission, dropped) =
            second_instance(&mut world, Client { session, tree, ..other }, maximal, None);
        assert_eq!(
            dropped,
            if ends { vec![CloseReason::FailedOver] } else { vec![] },
            "{second} {maximal:?}"
        );
        assert_eq!(matches!(admission, Admission::Granted(_)), ends);
    }
}

#[test]
fn app_instance_without_version_does_not_replace_a_versioned_one() {
    let mut world = World::new();
    let (one, other) = (world.client(1), world.client(2));
    first_instance(&mut world, one, ALL_ACCESS, Some((1, 1)));
    for version in [None, Some((0, 9)), Some((1, 1))] {
        let (admission, dropped) = second_instance(&mut world, other, ALL_ACCESS, version);
        assert!(matches!(admission, Admission::Refused(Refused::NewerInstance)), "{version:?} {admission:?}");
        assert!(dropped.is_empty());
    }
    assert_eq!(second_instance(&mut world, other, ALL_ACCESS, Some((1, 2))).1, [CloseReason::FailedOver]);
}

/// Any client can claim the GUID of another.
#[test]
fn lease_breaks_are_sent_only_on_connections_of_its_user() {
    let mut world = World::new();
    // Older connections with the client's GUID: of another user, of a guest, and without a logon.
    let stranger = world.connect(1);
    world.logon(stranger, 2);
    let guests = world.connect(1);
    let guest = world.logon(guests, 1);
    let identity_of_guest = Identity { flags: GUEST, ..identity(1) };
    let _ = world.state.session_valid(guest, identity_of_guest, None, world.now).unwrap();
    let silent = world.connect(1);
    world.state.create_session(silent, |_, _, _| 1, world.now).map(|_| ()).unwrap();
    let alice = world.client(1);
    let mut request = world.request(alice, 1);
    request.lease = lease(5, RWH);
    world.open(request);
    let second = world.connect(1);
    world.logon(second, 1);

    let other = world.client(9);
    let request = world.request(other, 1);
    let effects = world.must_wait(request);
    assert_eq!(effects.breaks[0].connections.len(), 2, "the two connections of the user");
    // When a stranger's connection is lost, no breaks are sent again; when the user's connection is lost, all are.
    assert!(world.state.disconnect(stranger, world.now).breaks.is_empty());
    world.state.bind_session(alice.session, second).unwrap();
    assert_eq!(world.state.disconnect(alice.connection, world.now).breaks.len(), 1);
    world.check();
}
