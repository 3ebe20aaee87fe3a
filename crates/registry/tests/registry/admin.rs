//! The lists and operations of administrators (MS-SRVS 3.1.4), limits, events.

use std::collections::BTreeSet;

use registry::{
    Admission, ClientName, CloseReason, EndReason, EventKind, Filter, LimitReached, Limits, OpenTarget,
    Refused, SessionFlags, SessionState, ShareExists, TreeConnectError,
};
use wire::{Account, FileGlobalId, OplockLevel, ShareName};

use crate::world::{World, file_key, identity, share};

#[test]
fn a_session_is_listed_from_its_logon_to_its_end() {
    let mut world = World::new();
    let connection = world.connect(1);
    let (session, _) = world.state.create_session(connection, |_, _, _| 0, world.now).ok().unwrap();
    assert_eq!(session.state, SessionState::InProgress);
    let shown = world.state.session_snapshots(&Filter::default(), None, 10);
    assert!(shown.entries.is_empty(), "nobody's yet");
    let flags = SessionFlags { encrypted: true, ..SessionFlags::default() };
    let who = registry::Identity { flags, ..identity(1) };
    assert!(
        world.state.session_valid(session.session_id, who.clone(), Some(9), world.now).unwrap().is_empty()
    );
    world.tree(session.session_id, "DATA");
    world.now = world.now.after_ms(5_000);
    session.shared.touch(world.now);
    let shown = &world.state.session_snapshots(&Filter::default(), None, 10).entries[0];
    assert_eq!((&shown.identity, shown.trees, shown.opens), (&who, 1, 0));
    assert_eq!((shown.last_active, &*shown.client), (world.now, "10.0.0.1"));

    world.state.expire_session(session.session_id).unwrap();
    assert_eq!(world.state.session(session.session_id).unwrap().state, SessionState::Expired);
    assert!(world.state.session_valid(session.session_id, who, None, world.now).unwrap().is_empty());
    let effects =
        world.state.close_session_by_global_id(session.global_id, EndReason::Administrator, world.now);
    world.check();
    let effects = effects.ok().unwrap();
    assert_eq!(
        (effects.sessions_ended[0].attached, &effects.sessions_ended[0].connections[..]),
        (9, &[1][..])
    );
    assert_eq!(effects.disconnected, [], "the connection must forget the session");
    assert!(session.shared.has_ended());
    assert!(world.state.close_session(session.session_id, EndReason::Logoff, world.now).is_err());
}

/// MS-SMB2 3.3.6.3, 3.3.5.5.3.
#[test]
fn session_expires_at_its_time_and_is_valid_again_after_a_logon() {
    let mut world = World::new();
    let connection = world.connect(1);
    let (session, _) = world.state.create_session(connection, |_, _, _| 0, world.now).ok().unwrap();
    let id = session.session_id;
    assert_eq!(
        world.state.set_expiration(id, world.now),
        Ok(()),
        "a session in progress has another deadline"
    );
    let valid = |world: &mut World| {
        assert!(world.state.session_valid(id, identity(1), None, world.now).unwrap().is_empty());
        world.check();
    };
    valid(&mut world);
    let state = |world: &World| world.state.session(id).unwrap().state;
    world.state.set_expiration(id, world.now.after_ms(5_000)).unwrap();
    world.state.set_expiration(id, world.now.after_ms(10_000)).unwrap();
    world.check();
    assert_eq!(world.state.poll_timeout(), Some(world.now.after_ms(10_000)));
    world.tree(id, "DATA");
    assert!(world.pass_ms(9_999).is_empty());
    assert_eq!((state(&world), session.shared.has_expired()), (SessionState::Valid, false));
    assert!(world.pass_ms(1).is_empty());
    assert_eq!((state(&world), session.shared.has_expired()), (SessionState::Expired, true));
    world.state.set_expiration(id, world.now.after_ms(5_000)).unwrap();
    assert_eq!(world.state.poll_timeout(), None, "it has expired already");

    valid(&mut world);
    assert_eq!((state(&world), session.shared.has_expired()), (SessionState::Valid, false));
    let shown = &world.state.session_snapshots(&Filter::default(), None, 10).entries[0];
    assert_eq!(shown.trees, 1);
    world.state.set_expiration(id, world.now.after_ms(5_000)).unwrap();
    valid(&mut world);
    assert_eq!(world.state.poll_timeout(), None, "the new logon has no end");
    world.state.set_expiration(id, world.now.after_ms(5_000)).unwrap();
    let _ = world.state.close_session(id, EndReason::Logoff, world.now).unwrap();
    world.check();
    assert_eq!(world.state.poll_timeout(), None);
}

#[test]
fn close_sessions_ends_the_sessions_that_match_the_filter() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = world.request(one, 1);
    let open = world.open(request);
    let filter = |client, user| Filter {
        client: Some(ClientName::new(client)),
        account: Some(Account::new(user)),
        ..Filter::default()
    };
    let none = filter("10.0.0.2", "user1");
    assert_eq!(world.state.close_sessions(&none, world.now).0, 0);
    let filter = filter("10.0.0.1", "USER1");
    let (count, effects) = world.state.close_sessions(&filter, world.now);
    world.check();
    assert_eq!((count, effects.dropped[0].reason), (1, CloseReason::Administrator));
    assert_eq!(open.shared.closed(), Some(CloseReason::Administrator));
    assert!(world.state.session(two.session).is_some());
}

#[test]
fn a_new_session_replaces_its_own_previous_one_only() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    assert!(world.state.replace_previous_session(two.session, one.session, world.now).is_empty());
    let again = world.client(1);
    assert!(world.state.replace_previous_session(again.session, again.session, world.now).is_empty());
    let effects = world.state.replace_previous_session(again.session, one.session, world.now);
    world.check();
    assert_eq!(effects.sessions_ended[0].reason, EndReason::PreviousSession);
    assert!(world.state.session(again.session).is_some());
}

#[test]
fn idle_sessions_without_opens_are_ended() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = world.request(one, 1);
    world.open(request);
    world.now = world.now.after_ms(1_000);
    let (last, effects) = world.state.close_idle_sessions(0, |_| Some(1_000), None, 1, world.now);
    assert!(last.is_some() && effects.is_empty(), "the first session has an open");
    let (last, effects) = world.state.close_idle_sessions(0, |_| Some(1_000), last, 9, world.now);
    assert_eq!(last, None);
    world.check();
    assert_eq!(effects.sessions_ended.iter().map(|it| it.session_id).collect::<Vec<_>>(), [two.session]);
    assert_eq!(world.state.statistics().snapshot().sessions_timed_out, 1);
}

#[test]
fn a_session_with_two_channels_survives_the_loss_of_one() {
    let mut world = World::new();
    let one = world.client(1);
    let second = world.connect(1);
    world.state.bind_session(one.session, second).unwrap();
    world.check();
    assert!(world.state.disconnect(one.connection, world.now).sessions_ended.is_empty());
    world.check();
    let effects = world.state.disconnect(second, world.now);
    world.check();
    assert_eq!(effects.sessions_ended[0].reason, EndReason::ConnectionLost);
}

#[test]
fn listings_resume_after_the_last_id_while_entries_come_and_go() {
    let mut world = World::new();
    let client = world.client(1);
    let mut opens = Vec::new();
    for file in 0..100 {
        let request = world.request(client, file);
        opens.push(world.open(request));
    }
    let stay: BTreeSet<FileGlobalId> = opens.iter().skip(1).step_by(2).map(|it| it.global_id).collect();
    let mut go = opens.iter().step_by(2);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = world.state.file_snapshots(&Filter::default(), after, 7);
        seen.extend(page.entries.iter().map(|it| it.global_id));
        if page.last.is_none() {
            break;
        }
        assert_eq!(page.last, page.entries.last().map(|it| it.global_id));
        after = page.last;
        for open in go.by_ref().take(5) {
            assert!(!world.close(open).dropped.is_empty());
        }
        if seen.len() < 90 {
            let request = world.request(client, 1_000);
            world.open(request);
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "nothing twice");
    assert!(stay.iter().all(|id| seen.contains(id)), "no remaining entry is missed");
}

#[test]
fn file_snapshots_filter_by_user_client_share_and_path() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = world.request(one, 1);
    let first = world.open(request);
    let mut request = world.request(two, 2);
    request.path = "Dir2\\x".into();
    let second = world.open(request);
    let mut request = world.request(two, 0);
    request.target = OpenTarget::Pipe("srvsvc".into());
    request.path = "srvsvc".into();
    let pipe = world.open(request);
    let find = |filter: Filter| -> Vec<FileGlobalId> {
        world.state.file_snapshots(&filter, None, 10).entries.iter().map(|it| it.global_id).collect()
    };
    let all = Filter::default;
    assert_eq!(find(all()), [first.global_id, second.global_id, pipe.global_id]);
    assert_eq!(
        find(Filter { account: Some(Account::new("USER2")), ..all() }),
        [second.global_id, pipe.global_id]
    );
    assert_eq!(find(Filter { client: Some(ClientName::new("10.0.0.1")), ..all() }), [first.global_id]);
    assert_eq!(find(Filter { share: Some(ShareName::new("Data")), ..all() }).len(), 3);
    let below = |share: &str, path: &str| -> Vec<FileGlobalId> {
        world.state.files_below(share, path, None, 10).entries.iter().map(|it| it.global_id).collect()
    };
    assert_eq!(below("Data", ""), [second.global_id, first.global_id, pipe.global_id], "by path");
    assert_eq!(below("data", "dir"), [first.global_id]);
    assert_eq!(below("data", "dir2\\X"), [second.global_id]);
    assert_eq!(below("other", ""), []);
    let global = world.state.session(two.session).unwrap().global_id;
    assert_eq!(find(Filter { session: Some(global), ..all() }), [second.global_id, pipe.global_id]);

    first.shared.count_read(10, world.now.after_ms(7));
    first.shared.count_written(5, world.now.after_ms(8));
    let shown = world.state.file_snapshot(first.global_id).unwrap();
    assert_eq!((shown.bytes_read, shown.bytes_written), (10, 5));
    assert_eq!((shown.opened, shown.last_io), (world.now, world.now.after_ms(8)));
    assert_eq!(
        (&*shown.share, &*shown.path, shown.target),
        ("data", "dir\\file1", OpenTarget::File(file_key(1)))
    );
}

#[test]
fn files_below_includes_opens_of_streams() {
    let mut world = World::new();
    let client = world.client(1);
    let mut open = |number, path: &str| {
        let mut request = world.request(client, number);
        request.path = path.into();
        world.open(request).global_id
    };
    let opens = ["Dir\\f", "dir\\F:s", "dir\\f!:s", "dir\\f\\below:s", "dir:s", "dir\\fg", ":s"];
    let [file, stream, other, below, of_directory, _, of_root] =
        std::array::from_fn(|index| open(index as u64 + 1, opens[index]));
    for length in [1, 10] {
        let found = |path: &str| {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let part = world.state.files_below("data", path, after, length);
                found.extend(part.entries.iter().map(|it| it.global_id));
                after = part.last;
                if after.is_none() {
                    return found;
                }
            }
        };
        assert_eq!(found("dir\\f"), [file, stream, below]);
        assert_eq!(found("dir\\f:S"), [stream]);
        assert_eq!(found("dir\\f!"), [other]);
        assert_eq!(found("dir").first(), Some(&of_directory));
        assert_eq!(found("dir").len(), 6);
        assert_eq!((found("").len(), found("")[0]), (opens.len(), of_root));
    }
}

#[test]
fn open_of_another_session_is_not_found() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = world.request(one, 1);
    let open = world.open(request);
    assert!(world.state.open_of(one.session, open.file_id).is_some());
    assert!(world.state.open_of(two.session, open.file_id).is_none());
    let mut wrong = open.file_id;
    wrong.persistent ^= 1;
    assert!(world.state.open_of(one.session, wrong).is_none());
}

#[test]
fn shares_are_added_replaced_and_removed() {
    let mut world = World::new();
    assert_eq!(world.state.add_share(share("DATA", None), world.now), Err(ShareExists::Duplicate));
    world.state.replace_share(share("Data", Some(1)), world.now).unwrap();
    let one = world.client(1);
    let full =
        world.state.tree_connect(one.session, "data", false, crate::world::ROOT, |_, _| 0, world.now).err();
    assert_eq!(full, Some(TreeConnectError::ShareFull));
    let missing =
        world.state.tree_connect(one.session, "none", false, crate::world::ROOT, |_, _| 0, world.now).err();
    assert_eq!(missing, Some(TreeConnectError::NoSuchShare));
    let request = world.request(one, 1);
    world.open(request);
    assert_eq!(world.state.share_snapshot("DATA").unwrap().uses, 1);
    assert_eq!(
        world
            .state
            .tree_snapshots(&Filter { share: Some(ShareName::new("data")), ..Filter::default() }, None, 9)
            .entries
            .len(),
        1
    );
    assert_eq!(world.state.share_snapshots(Some("data"), 9).len(), 1);

    let effects = world.state.remove_share("data", world.now).ok().unwrap();
    world.check();
    assert_eq!(effects.dropped[0].reason, CloseReason::ShareRemoved);
    assert_eq!(effects.trees_ended[0].tree_id, one.tree);
    assert!(world.state.tree(one.session, one.tree).is_none());
    let request = world.request(one, 1);
    assert_eq!(world.refused(request), Refused::TreeGone);
}

#[test]
fn every_limit_refuses_further_entries() {
    let limits = Limits {
        connections: 2,
        sessions: 2,
        sessions_per_connection: 1,
        trees_per_session: 1,
        opens: 4,
        opens_per_session: 2,
        shares: 2,
        waiting_per_connection: 0,
        ..Limits::default()
    };
    let mut world = World::with(limits);
    let one = world.client(1);
    use LimitReached as L;
    assert_eq!(
        world.state.add_share(share("more", None), world.now),
        Err(ShareExists::LimitReached(L::Shares))
    );
    let session = |world: &mut World, on| world.state.create_session(on, |_, _, _| 0, world.now).err();
    assert_eq!(session(&mut world, one.connection), Some(L::SessionsPerConnection));
    let two = world.client(2);
    assert_eq!(session(&mut world, two.connection), Some(L::SessionsPerConnection));
    let peer = "[::1]:1".parse().unwrap();
    assert_eq!(world.state.add_connection(peer, 0, world.now).err(), Some(L::Connections));
    let tree =
        world.state.tree_connect(one.session, "other", false, crate::world::ROOT, |_, _| 0, world.now).err();
    assert_eq!(tree, Some(TreeConnectError::LimitReached(L::TreesPerSession)));

    let mut request = world.request(one, 1);
    request.oplock = OplockLevel::BATCH;
    world.open(request);
    let request = world.request(two, 1);
    let (answer, _) = world.admit(request);
    assert!(matches!(answer, Admission::Refused(Refused::LimitReached(L::WaitingPerConnection))));
    let request = world.request(one, 2);
    world.open(request);
    let request = world.request(one, 3);
    assert_eq!(world.refused(request), Refused::LimitReached(L::OpensPerSession));
    let request = world.request(two, 3);
    world.open(request);
    let request = world.request(two, 4);
    world.open(request);
    let request = world.request(two, 5);
    assert_eq!(world.refused(request), Refused::LimitReached(L::Opens));
}

#[test]
fn events_and_refusals_are_bounded_and_lost_events_are_counted() {
    let mut world = World::with(Limits { events: 4, refusals: 2, ..Limits::default() });
    let start = world.state.last_event();
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.share_access = crate::world::SHARE_NONE;
    world.open(request);
    for _ in 0..3 {
        let request = world.request(client, 1);
        world.refused(request);
    }
    assert_eq!(world.state.refusals().len(), 2);
    let events = world.state.events_after(start, 100);
    assert_eq!((events.events.len(), events.lost), (4, 3));
    assert!(matches!(events.events[0].kind, EventKind::Opened { .. }));
    assert!(events.events.is_sorted_by(|a, b| a.seq + 1 == b.seq));
    assert_eq!(events.last_seq, world.state.last_event());
    let part = world.state.events_after(events.events[1].seq, 1);
    assert_eq!((part.events[0].seq, part.lost), (events.events[2].seq, 0));
    assert_eq!(world.state.events_after(events.last_seq, 10).events, []);
    assert_eq!(world.state.events_after(events.last_seq, 10).last_seq, events.last_seq);
}

#[test]
fn shutdown_ends_all_sessions_and_opens() {
    let mut world = World::new();
    for number in 1..5 {
        let client = world.client(number);
        let mut request = world.request(client, u64::from(number));
        request.oplock = OplockLevel::BATCH;
        request.durable = Some(registry::DurableRequest::V1);
        world.open(request);
        if number == 1 {
            assert!(world.state.disconnect(client.connection, world.now).dropped.is_empty());
        }
    }
    let effects = world.state.shutdown(world.now);
    world.check();
    assert_eq!((effects.dropped.len(), effects.sessions_ended.len(), effects.disconnected.len()), (4, 3, 3));
    assert_eq!(world.state.counts(), (3, 0, 0, 0));
    assert_eq!(world.state.poll_timeout(), None);
}

#[test]
fn events_of_an_open_have_its_user_access_and_counts() {
    let mut world = World::new();
    let client = world.client(1);
    let begun = world.now;
    let request = world.request(client, 1);
    let wanted = request.access;
    let open = world.open(request);
    open.shared.count_read(7, world.now);
    open.shared.count_written(3, world.now);
    let start = world.state.last_event();
    let _ = world.pass_ms(500);
    let _ = world.close(&open);
    let events = world.state.events_after(start, 10).events;
    let [registry::Event { kind: EventKind::Closed { open: closed, reason, used }, .. }] = &*events else {
        panic!("{events:?}")
    };
    assert_eq!((closed.file, *reason), (open.global_id, CloseReason::ClientClose));
    assert_eq!((used.bytes_read, used.bytes_written, used.opened), (7, 3, begun));
    assert!(used.session.is_some() && closed.access == wanted);
    assert_eq!(&*closed.owner.user, "user1");
}

#[test]
fn renames_and_deletes_that_were_carried_out_are_events() {
    let mut world = World::new();
    let client = world.client(1);
    let request = world.request(client, 1);
    let open = world.open(request);
    let old = world.state.open(open.global_id).unwrap().path;
    let start = world.state.last_event();
    let names = registry::MoveNames {
        share: "data",
        from: &old,
        to: "new",
        looked_up: registry::MoveCount::NEVER_MOVED,
    };
    // A rename that fails is no event.
    let failed = world.state.begin_move(open.global_id, names, crate::world::ROOT, false).unwrap();
    world.state.end_move(&failed);
    let mut moving = world.state.begin_move(open.global_id, names, crate::world::ROOT, false).unwrap();
    moving.moved_to("new", world.now);
    world.state.end_move(&moving);
    world.state.set_delete_pending(open.global_id, true).unwrap();
    let effects = world.state.close_open(open.global_id, CloseReason::ClientClose, world.now).unwrap();
    let removal = &effects.dropped[0].removals[0];
    world.state.removed(removal);
    world.state.deleted(removal, world.now);
    let events = world.state.events_after(start, 10).events;
    let told: Vec<_> = events
        .iter()
        .map(|event| match &event.kind {
            EventKind::Renamed { open, from } => format!("renamed {from} {}", open.path),
            EventKind::Closed { .. } => String::from("closed"),
            EventKind::Deleted { open, .. } => format!("deleted by {}", open.owner.user),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [format!("renamed {old} new"), "closed".into(), "deleted by user1".into()]);
}
