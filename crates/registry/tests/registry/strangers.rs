//! Connections and sessions without a logon: the places that they may take, and the clients that are accepted all the
//! same.
#![expect(unused_must_use, reason = "no client receives the effects")]

use std::net::SocketAddr;

use registry::limits::{RESERVE_PART, STRANGERS_PART};
use registry::{
    Admission, BindError, ConnectionId, Effects, EndReason, EstablishError, Identity, LimitReached, Limits,
    Refused, SessionFlags, Standing, TreeConnectError,
};
use wire::SessionId;

use crate::world::{Bench, ROOT, World, identity, share};

fn small() -> Limits {
    Limits { connections: 64, strangers_per_address: 8, sessions: 32, ..Limits::default() }
}

fn connected(world: &mut World, address: &str) -> (ConnectionId, Effects<Bench>) {
    let peer = SocketAddr::new(address.parse().unwrap(), 50_000);
    let connected = world.state.add_connection(peer, 1, world.now).unwrap();
    world.check();
    connected
}

fn begun(world: &mut World, connection: ConnectionId) -> Result<(SessionId, Effects<Bench>), LimitReached> {
    let begun = world.state.create_session(connection, |_, _, _| 1, world.now);
    world.check();
    begun.map(|(session, effects)| (session.session_id, effects))
}

fn valid(
    world: &mut World,
    connection: ConnectionId,
    identity: Identity,
) -> Result<(SessionId, Effects<Bench>), EstablishError> {
    let (session, _) = begun(world, connection).map_err(EstablishError::LimitReached)?;
    let outcome = world.state.session_valid(session, identity, None, world.now);
    if outcome.is_err() {
        let ended = world.state.close_session(session, EndReason::LogonFailed, world.now);
        assert_eq!(ended.ok().unwrap().sessions_ended.len(), 1);
    }
    world.check();
    outcome.map(|effects| (session, effects))
}

fn with(flags: SessionFlags) -> Identity {
    Identity { flags, ..identity(1) }
}

fn anonymous() -> Identity {
    with(SessionFlags { anonymous: true, ..SessionFlags::default() })
}

fn administrator() -> Identity {
    with(SessionFlags { administrator: true, ..SessionFlags::default() })
}

fn standing(world: &World, connection: ConnectionId) -> Standing {
    world.state.connection(connection).unwrap().standing
}

#[test]
fn the_oldest_connection_without_a_logon_makes_room() {
    let mut world = World::with(small());
    let (user, _) = connected(&mut world, "192.0.2.1");
    valid(&mut world, user, identity(1)).ok().unwrap();
    let (other, _) = connected(&mut world, "192.0.2.2");
    let first = connected(&mut world, "192.0.2.1").0;
    for _ in 0..7 {
        assert!(connected(&mut world, "192.0.2.1").1.is_empty());
    }
    // One address has its maximal number; its oldest connection is closed, and neither a user's nor that of another
    // address.
    let (_, effects) = connected(&mut world, "192.0.2.1");
    assert_eq!(effects.disconnected.len(), 1);
    assert!(world.state.connection(first).is_none());
    // Many addresses fill the table; the address with the most connections loses one.
    for host in 0.. {
        if world.state.counts().0 == 64 {
            break;
        }
        connected(&mut world, &format!("198.51.100.{host}"));
    }
    let (_, effects) = connected(&mut world, "203.0.113.1");
    assert_eq!(effects.disconnected.len(), 1);
    assert_eq!(world.state.counts().0, 64);
    assert!(world.state.connection(user).is_some() && world.state.connection(other).is_some());
}

#[test]
fn places_are_reserved_for_logons_of_administrators() {
    let mut world = World::with(small());
    let mut users = Vec::new();
    let refusal = loop {
        let (connection, _) = connected(&mut world, "192.0.2.1");
        match valid(&mut world, connection, identity(users.len() as u8)) {
            Ok((session, _)) => users.push((connection, session)),
            Err(refusal) => break (connection, refusal),
        }
    };
    assert_eq!(refusal.1, EstablishError::LimitReached(LimitReached::Sessions));
    assert_eq!(users.len(), 32 - 32 / RESERVE_PART);
    let (_, session) = users[0];
    // The channels of sessions use up the connections.
    let refusal = loop {
        let (connection, _) = connected(&mut world, "192.0.2.1");
        if let Err(refusal) = world.state.bind_session(session, connection) {
            break refusal;
        }
        if world.state.session(session).unwrap().channels.len() == 32 {
            users.rotate_left(1);
        }
    };
    assert!(matches!(refusal, BindError::LimitReached(_)), "{refusal:?}");
    world.check();
    let mut let_in = Vec::new();
    for _ in 0..32 / RESERVE_PART {
        let (connection, _) = connected(&mut world, "192.0.2.1");
        let (session, _) = valid(&mut world, connection, administrator()).unwrap();
        assert_eq!(standing(&world, connection), Standing::Administrator);
        let_in.push((connection, session));
    }
    // The table is full for administrators, too.
    let (connection, _) = connected(&mut world, "192.0.2.1");
    assert_eq!(
        valid(&mut world, connection, administrator()).err(),
        Some(EstablishError::LimitReached(LimitReached::Sessions))
    );
}

#[test]
fn connections_are_reserved_for_administrators() {
    let mut world = World::with(Limits { sessions: 1_000, ..small() });
    let refusal = loop {
        let (connection, _) = connected(&mut world, "192.0.2.1");
        if let Err(refusal) = valid(&mut world, connection, identity(1)) {
            break refusal;
        }
    };
    assert_eq!(refusal, EstablishError::LimitReached(LimitReached::Connections));
    // A client that could not log on stays a stranger, and makes room for the next.
    for _ in 0..100 {
        connected(&mut world, "192.0.2.9");
    }
    assert_eq!(world.state.counts().0, 64);
    let (connection, effects) = connected(&mut world, "192.0.2.1");
    assert_eq!(effects.disconnected.len(), 1);
    valid(&mut world, connection, administrator()).ok().unwrap();
}

#[test]
fn sessions_in_progress_do_not_use_up_the_places_of_valid_ones() {
    let limits = Limits { sessions_in_progress: 100, sessions_in_progress_per_address: 60, ..small() };
    let mut world = World::with(limits);
    let mut first = None;
    for host in 1..=2 {
        for _ in 0..2 {
            let (connection, _) = connected(&mut world, &format!("192.0.2.{host}"));
            for _ in 0..25 {
                let (session, effects) = begun(&mut world, connection).unwrap();
                assert!(effects.is_empty());
                first.get_or_insert(session);
            }
        }
    }
    // All 100 exist, beside 32 places for valid ones; another address needs one.
    let (user, _) = connected(&mut world, "198.51.100.1");
    let (_, effects) = begun(&mut world, user).unwrap();
    assert_eq!((effects.sessions_ended.len(), effects.disconnected.len()), (1, 0));
    assert_eq!(effects.sessions_ended[0].reason, EndReason::LogonFailed);
    valid(&mut world, user, identity(1)).ok().unwrap();
    // A further one of the same address ends the oldest of that address.
    let (connection, _) = connected(&mut world, "192.0.2.1");
    for _ in 0..60 {
        begun(&mut world, connection).unwrap();
    }
    assert!(world.state.session(first.unwrap()).is_none());
}

#[test]
fn a_session_in_progress_ends_when_its_time_is_over() {
    let mut world = World::with(Limits { logon_timeout_ms: 1_000, ..small() });
    let (connection, _) = connected(&mut world, "192.0.2.1");
    let (session, _) = begun(&mut world, connection).unwrap();
    let (other, _) = valid(&mut world, connection, identity(1)).ok().unwrap();
    assert_eq!(world.state.poll_timeout(), Some(world.now.after_ms(1_000)));
    assert!(world.pass_ms(999).is_empty());
    let effects = world.pass_ms(1);
    assert_eq!((effects.sessions_ended.len(), effects.disconnected.len()), (1, 0));
    assert!(world.state.session(session).is_none());
    assert!(world.state.session(other).is_some(), "a valid session has no such deadline");
    assert_eq!(world.state.poll_timeout(), None);
}

#[test]
fn a_connection_without_a_logon_has_few_sessions() {
    let mut world = World::with(Limits { sessions_per_stranger: 3, ..small() });
    let (connection, _) = connected(&mut world, "192.0.2.1");
    begun(&mut world, connection).unwrap();
    valid(&mut world, connection, anonymous()).ok().unwrap();
    begun(&mut world, connection).unwrap();
    assert_eq!(begun(&mut world, connection).err(), Some(LimitReached::SessionsPerConnection));
    assert_eq!(
        standing(&world, connection),
        Standing::Stranger,
        "an anonymous session does not change the standing"
    );
}

#[test]
fn anonymous_sessions_are_limited_and_the_oldest_makes_room() {
    let mut world = World::with(small());
    let (connection, _) = connected(&mut world, "192.0.2.1");
    let mut sessions = Vec::new();
    for number in 0..10 {
        let (session, effects) = valid(&mut world, connection, anonymous()).ok().unwrap();
        sessions.push(session);
        assert_eq!(effects.sessions_ended.len(), usize::from(number >= 32 / STRANGERS_PART), "{number}");
    }
    let alive = sessions.iter().filter(|id| world.state.session(**id).is_some()).count();
    assert_eq!(alive, 32 / STRANGERS_PART);
}

#[test]
fn guest_connection_is_closed_after_all_strangers() {
    let mut world = World::with(small());
    let (guest, _) = connected(&mut world, "192.0.2.1");
    let (session, _) = valid(&mut world, guest, anonymous()).ok().unwrap();
    assert_eq!(standing(&world, guest), Standing::Stranger);
    world.tree(session, "data");
    assert_eq!(standing(&world, guest), Standing::Guest);
    world.check();
    for _ in 0..200 {
        connected(&mut world, "192.0.2.1");
    }
    assert!(world.state.connection(guest).is_some());
    // Without the session, the client is a stranger again.
    let ended = world.state.close_session(session, EndReason::Logoff, world.now);
    assert_eq!(ended.ok().unwrap().sessions_ended.len(), 1);
    assert_eq!(standing(&world, guest), Standing::Stranger);
    world.check();
}

#[test]
fn tree_connects_and_opens_are_bounded_for_strangers_and_kept_for_administrators() {
    let limits = Limits { trees: 32, trees_per_connection: 14, opens: 32, ..small() };
    let mut world = World::with(limits);
    world.state.add_share(share("ipc", None), world.now).unwrap();
    let full = |limit| Some(TreeConnectError::LimitReached(limit));
    let (connection, _) = connected(&mut world, "192.0.2.1");
    let (stranger, _) = valid(&mut world, connection, anonymous()).ok().unwrap();
    let connect = |world: &mut World, session| {
        let tree = world.state.tree_connect(session, "data", false, crate::world::ROOT, |_, _| 0, world.now);
        world.check();
        tree.err()
    };
    for _ in 0..32 / STRANGERS_PART {
        assert_eq!(connect(&mut world, stranger), None);
    }
    assert_eq!(connect(&mut world, stranger), full(LimitReached::Trees));

    let mut users = Vec::new();
    for number in 1..=2 {
        let mut client = world.client(number);
        client.tree = world.tree(client.session, "data");
        users.push(client);
    }
    while connect(&mut world, users[0].session).is_none() {}
    assert_eq!(connect(&mut world, users[0].session), full(LimitReached::TreesPerConnection));
    while connect(&mut world, users[1].session).is_none() {}
    assert_eq!(connect(&mut world, users[1].session), full(LimitReached::Trees));
    for user in users {
        for file in 0.. {
            let request = world.request(user, file);
            if let (Admission::Refused(refused), _) = world.admit(request) {
                assert_eq!(refused, Refused::LimitReached(LimitReached::Opens));
                break;
            }
        }
    }
    assert_eq!(world.state.counts().3, 32 - 32 / RESERVE_PART);

    let (connection, _) = connected(&mut world, "192.0.2.1");
    let (session, _) = valid(&mut world, connection, administrator()).ok().unwrap();
    let tree = world.tree(session, "data");
    let admin = crate::world::Client { number: 1, connection, session, tree };
    let request = world.request(admin, 99);
    assert!(matches!(world.admit(request).0, Admission::Granted(_)));
}

#[test]
fn one_user_is_limited_to_half_of_every_table() {
    let limits = Limits { sessions: 16, trees: 16, opens: 16, ..Limits::default() };
    let mut world = World::with(limits);
    let client = world.client(1);
    let other = world.client(2);
    let (connection, _) = connected(&mut world, "192.0.2.1");
    for _ in 0..7 {
        valid(&mut world, connection, identity(1)).ok().unwrap();
    }
    let full = EstablishError::LimitReached(LimitReached::Sessions);
    let shouted = Identity { user: identity(1).user.to_uppercase().into(), ..identity(1) };
    assert_eq!(valid(&mut world, connection, shouted).err(), Some(full));
    let named = |name: &str| Identity { user: name.into(), ..identity(1) };
    assert!(named("νικος").is_same_user(&named("ΝΙΚΟΣ")));
    assert!(!named("ı").is_same_user(&named("I")));
    valid(&mut world, connection, identity(2)).ok().unwrap();
    valid(&mut world, connection, administrator()).ok().unwrap();
    for _ in 0..7 {
        world.tree(client.session, "data");
    }
    let refused =
        world.state.tree_connect(client.session, "data", false, crate::world::ROOT, |_, _| 0, world.now);
    assert_eq!(refused.err(), Some(TreeConnectError::LimitReached(LimitReached::Trees)));
    world.tree(other.session, "data");
    let mut opens = Vec::new();
    for file in 0..8 {
        let request = world.request(client, file);
        opens.push(world.open(request));
    }
    let request = world.request(client, 9);
    assert_eq!(world.refused(request), Refused::LimitReached(LimitReached::Opens));
    let request = world.request(other, 9);
    world.open(request);
    world.close(&opens[0]);
    let request = world.request(client, 10);
    world.open(request);
}

#[test]
fn administrator_flag_decides_about_reserved_places() {
    let mut world = World::with(Limits { trees: 32, ..small() });
    let (one, other) = (world.client(1), world.client(2));
    let connect = |world: &mut World, session| {
        let connected = world.state.tree_connect(session, "data", false, ROOT, |_, _| 0, world.now);
        world.check();
        connected.err()
    };
    let full = Some(TreeConnectError::LimitReached(LimitReached::Trees));
    while connect(&mut world, one.session).is_none() {}
    assert_eq!(connect(&mut world, one.session), full, "the limit of one user");
    world.state.set_administrator(one.session, true).unwrap();
    assert_eq!(standing(&world, one.connection), Standing::Administrator);
    assert_eq!(connect(&mut world, one.session), None);
    while connect(&mut world, one.session).is_none() {}
    assert_eq!(connect(&mut world, other.session), full);
    world.state.tree_disconnect(one.session, one.tree, world.now).unwrap();
    world.state.set_administrator(one.session, false).unwrap();
    assert_eq!(connect(&mut world, one.session), full);
    assert!(!world.state.session(one.session).unwrap().identity.flags.administrator);
    // An anonymous caller stays a stranger.
    let (stranger, _) = connected(&mut world, "192.0.2.9");
    let (session, _) = valid(&mut world, stranger, anonymous()).unwrap();
    world.state.set_administrator(session, true).unwrap();
    assert_eq!(standing(&world, stranger), Standing::Stranger);
    world.check();
}
