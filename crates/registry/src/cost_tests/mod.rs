//! The costs of operations in a state that hostile clients have filled. The tests count steps and ended opens, so they
//! do not depend on the speed of the machine.

mod deletes;

use crate::{
    Admission, CloseReason, ConnectionId, DurableRequest, Effects, EndReason, FileKey, Filter, LeaseRequest,
    Limits, MoveCount, MoveNames, OpenTarget, Refused, Rest,
};
use wire::{AccessMask, FileGlobalId, Guid, LeaseState, OplockLevel, ShareAccess};

use crate::cost;
use crate::testing::world::{self, Bench, Client, SHARE_ALL, World, file_key, guid};

/// The number of opens of the hostile client: more than ten times what one hold of the lock may end.
const MANY: u64 = 3_000;

/// The steps that are allowed in a full state: what the largest limits on a file's caches need.
const FEW: u64 = 2_500;

/// Opens a file without checking the invariants, which takes long in a full state.
fn open(
    world: &mut World,
    client: Client,
    file: u64,
    change: impl FnOnce(&mut crate::AdmitRequest),
) -> FileGlobalId {
    let mut request = world.request(client, file);
    change(&mut request);
    match world.state.admit(request, |granted| u64::from(granted.global_id.value()), world.now).0 {
        Admission::Granted(granted) => granted.global_id,
        other => panic!("{other:?}"),
    }
}

fn lease(key: u64, state: LeaseState) -> Option<LeaseRequest> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.to_le_bytes());
    Some(LeaseRequest { key: Guid(bytes), state, version: 1, epoch: 0 })
}

/// Continues until no work is left, and returns the number of opens that each hold of the lock ended.
fn ended_by_hold(world: &mut World, first: Effects<Bench>) -> Vec<usize> {
    let mut ended = vec![first.dropped.len()];
    let mut rest: Vec<Rest> = first.rest;
    while let Some(next) = rest.pop() {
        let effects = world.state.go_on(next, world.now);
        ended.push(effects.dropped.len());
        rest.extend(effects.rest);
    }
    ended
}

fn check_ends(world: &mut World, first: Effects<Bench>, total: u64) {
    let limit = Limits::default().work_per_hold;
    let ended = ended_by_hold(world, first);
    assert!(ended.iter().all(|it| *it <= limit), "{ended:?}");
    assert_eq!(ended.iter().sum::<usize>() as u64, total);
    world.check();
}

#[test]
fn many_opens_end_in_parts_with_their_session_tree_or_share() {
    type End = fn(&mut World, Client) -> Effects<Bench>;
    let ends: [End; 6] = [
        |world, client| world.state.close_session(client.session, EndReason::Logoff, world.now).ok().unwrap(),
        |world, client| world.state.tree_disconnect(client.session, client.tree, world.now).ok().unwrap(),
        |world, client| world.state.disconnect(client.connection, world.now),
        |world, _| world.state.remove_share("data", world.now).ok().unwrap(),
        |world, client| {
            let again = world.logon(client.connection, client.number);
            world.state.replace_previous_session(again, client.session, world.now)
        },
        |world, _| world.state.close_sessions(&crate::Filter::default(), world.now).1,
    ];
    for end in ends {
        let mut world = World::new();
        let client = world.client(1);
        for file in 0..MANY {
            open(&mut world, client, file, |_| {});
        }
        let first = end(&mut world, client);
        // Requests by the ids of the ending objects are refused at once.
        let late = world.request(client, MANY);
        let answer = world.state.admit(late, |_| 0, world.now).0;
        let is_removal = world.state.share("data").is_none();
        assert!(matches!(answer, Admission::Refused(_)) || is_removal, "{answer:?}");
        let total = MANY + u64::from(matches!(answer, Admission::Granted(_)));
        check_ends(&mut world, first, total);
    }
}

#[test]
fn a_connection_of_many_sessions_is_lost_in_parts() {
    let mut world = World::new();
    let client = world.client(1);
    for number in 0..30 {
        let session = world.logon(client.connection, 1);
        let tree = world.tree(session, "data");
        for file in 0..MANY / 30 {
            open(&mut world, Client { session, tree, ..client }, number * 1_000 + file, |_| {});
        }
    }
    let first = world.state.disconnect(client.connection, world.now);
    assert!(world.state.connection(client.connection).is_none());
    check_ends(&mut world, first, MANY);
    assert_eq!(world.state.counts(), (0, 0, 0, 0));
}

#[test]
fn expired_durable_opens_end_in_parts() {
    let mut world = World::with(Limits { orphans_per_user: usize::MAX, ..Limits::default() });
    let client = world.client(1);
    for file in 0..MANY {
        open(&mut world, client, file, |it| {
            it.oplock = OplockLevel::BATCH;
            it.durable = Some(DurableRequest::V1);
        });
    }
    let first = world.state.disconnect(client.connection, world.now);
    check_ends(&mut world, first, 0);
    world.now = world.now.after_ms(1_000_000);
    let mut holds = 0;
    while world.state.poll_timeout().is_some() {
        let effects = world.state.handle_timeout(world.now);
        assert!(effects.dropped.len() <= Limits::default().work_per_hold);
        holds += 1;
    }
    assert!(holds > 10);
    assert_eq!(world.state.counts().3, 0);
}

#[test]
fn oldest_orphan_is_closed_beyond_the_limit() {
    let limits = Limits { orphans_per_user: 10, orphans: 15, ..Limits::default() };
    let mut world = World::with(limits);
    let clients: Vec<Client> = (1..3).map(|number| world.client(number)).collect();
    let mut opens: Vec<Vec<FileGlobalId>> = Vec::new();
    for client in &clients {
        let durable = |it: &mut crate::AdmitRequest| {
            it.oplock = OplockLevel::BATCH;
            it.durable = Some(DurableRequest::V1);
        };
        let first = u64::from(client.number) * 100;
        opens.push((first..first + 12).map(|file| open(&mut world, *client, file, durable)).collect());
    }
    let effects = world.state.disconnect(clients[0].connection, world.now);
    world.check();
    let gone = |effects: &Effects<Bench>| effects.dropped.iter().map(|it| it.global_id).collect::<Vec<_>>();
    assert_eq!(gone(&effects), opens[0][..2], "the oldest of the user ends");
    assert!(effects.dropped.iter().all(|it| it.reason == CloseReason::DurableExpired));
    let effects = world.state.disconnect(clients[1].connection, world.now);
    world.check();
    assert_eq!(effects.dropped.len(), 7);
    assert_eq!(gone(&effects)[..5], opens[0][2..7], "the oldest of all users ends");
    assert_eq!(world.state.counts().3, 15);
}

#[test]
fn orphans_are_counted_by_user_across_domains() {
    let mut world = World::with(Limits { orphans_per_user: 3, ..Limits::default() });
    let mut gone = Vec::new();
    for (file, domain) in ["ONE", "TWO", "THREE", "FOUR", "FIVE"].into_iter().enumerate() {
        let connection = world.connect(1);
        let created =
            world.state.create_session(connection, |_, _, _| 1, world.now).map(|(it, _)| it.session_id);
        let session = created.unwrap();
        let identity = crate::Identity { domain: domain.into(), ..world::identity(1) };
        let _ = world.state.session_valid(session, identity, None, world.now).unwrap();
        let tree = world.tree(session, "data");
        open(&mut world, Client { number: 1, connection, session, tree }, file as u64, |it| {
            it.oplock = OplockLevel::BATCH;
            it.durable = Some(DurableRequest::V1);
        });
        gone.push(world.state.disconnect(connection, world.now).dropped.len());
        world.check();
    }
    assert_eq!(gone, [0, 0, 0, 1, 1]);
}

#[test]
fn removed_share_closes_its_orphans_without_examining_others() {
    let mut world = World::with(Limits { orphans_per_user: usize::MAX, ..Limits::default() });
    let client = world.client(1);
    let elsewhere = Client { tree: world.tree(client.session, "other"), ..client };
    for file in 0..MANY {
        let client = if file % 300 == 0 { elsewhere } else { client };
        open(&mut world, client, file, |it| {
            it.oplock = OplockLevel::BATCH;
            it.durable = Some(DurableRequest::V1);
        });
    }
    let first = world.state.disconnect(client.connection, world.now);
    check_ends(&mut world, first, 0);
    let (effects, steps) = cost::of(|| world.state.remove_share("other", world.now).ok().unwrap());
    assert_eq!(effects.dropped.len() as u64, MANY / 300);
    assert!(effects.rest.is_empty() && steps <= 10 * MANY / 300, "{steps} steps");
    world.check();
}

#[test]
fn acknowledgment_resets_a_bounded_number_of_replays() {
    let mut world = World::new();
    let client = world.client(1);
    let many = crate::limits::REPLAYABLE_PER_LEASE as u64 + 100;
    let create_guid = |number: u64| {
        let mut bytes = [0xcc; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Guid(bytes)
    };
    for number in 0..many {
        open(&mut world, client, 1, |it| {
            (it.lease, it.share_access) = (lease(1, LeaseState(7)), SHARE_ALL);
            it.durable = Some(DurableRequest::V2 {
                create_guid: create_guid(number),
                timeout_ms: 0,
                persistent: false,
            });
        });
    }
    let found =
        |world: &World, number| world.state.open_by_create_guid(guid(1), create_guid(number)).is_some();
    assert!(!found(&world, 99), "replays no longer find the oldest");
    assert!(found(&world, 100) && found(&world, many - 1));
    let _ = world.state.break_for_outsider(file_key(1), world.now);
    let id = Guid(std::array::from_fn(|at| u8::from(at == 0)));
    let (acknowledged, steps) =
        cost::of(|| world.state.acknowledge_lease(guid(1), id, LeaseState::NONE, world.now).is_ok());
    assert!(acknowledged && !found(&world, many - 1));
    assert!(steps <= crate::limits::REPLAYABLE_PER_LEASE as u64 + 10, "{steps} steps");
    world.check();
}

#[test]
fn cost_of_open_does_not_depend_on_other_opens_of_the_file() {
    let mut world = World::new();
    let (hostile, client) = (world.client(1), world.client(2));
    for key in 0..MANY {
        open(&mut world, hostile, 1, |it| it.lease = lease(key, LeaseState(3)));
        open(&mut world, hostile, 1, |it| it.access = AccessMask::READ_DATA);
    }
    // A single open that does not share, after all of those that do.
    open(&mut world, hostile, 2, |_| {});
    for _ in 0..MANY {
        open(&mut world, hostile, 2, |it| {
            it.share_access = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE
        });
    }
    let (_, steps) = cost::of(|| {
        open(&mut world, client, 1, |it| it.oplock = OplockLevel::BATCH);
        open(&mut world, client, 1, |it| it.lease = lease(1, LeaseState(7)));
        let id = open(&mut world, client, 1, |_| {});
        world.state.close_open(id, CloseReason::ClientClose, world.now).ok()
    });
    assert!(steps <= 4 * FEW, "{steps} steps to open and close");
    let shown = world.state.file_summary(file_key(1)).unwrap();
    assert!(shown.opens as u64 > 2 * MANY);
    let (refused, steps) = cost::of(|| {
        let mut request = world.request(client, 2);
        request.share_access = ShareAccess::NONE;
        world.state.admit(request, |_| 0, world.now).0
    });
    assert!(matches!(refused, Admission::Refused(Refused::SharingViolation { .. })));
    assert!(steps <= 100, "{steps} steps to find the conflicting open");
    let (_, steps) = cost::of(|| world.state.break_for_outsider(file_key(1), world.now));
    assert!(steps <= FEW, "{steps} steps to break caching");
    world.check();
}

#[test]
fn a_file_is_cached_by_no_more_than_its_limit() {
    let mut world = World::with(Limits { cachers_per_file: 5, ..Limits::default() });
    let client = world.client(1);
    for key in 0..9 {
        let id = open(&mut world, client, 1, |it| it.lease = lease(key, LeaseState(3)));
        let expected = if key < 5 { LeaseState(3) } else { LeaseState::NONE };
        assert_eq!(world.lease_of(id), expected, "lease {key}");
    }
    let id = open(&mut world, client, 1, |it| it.lease = lease(4, LeaseState(3)));
    assert_eq!(world.lease_of(id), LeaseState(3), "an existing lease is granted again");
    world.check();
}

#[test]
fn rename_of_directory_does_not_examine_every_open() {
    let mut world = World::new();
    let client = world.client(1);
    for file in 0..MANY {
        open(&mut world, client, file, |it| it.path = format!("many\\file{file}").into());
    }
    let below = open(&mut world, client, MANY, |it| it.path = "Few\\File".into());
    let (found, steps) = cost::of(|| world.state.opens_below("data", world::ROOT, "few", 10));
    assert_eq!((found, steps), (vec![below], 0));
    let (renamed, steps) = cost::of(|| world.state.rename_below("data", world::ROOT, "few", "other\\place"));
    assert!(renamed.rest.is_none() && steps == 1);
    assert_eq!(&*world.state.open(below).unwrap().path, "other\\place\\File");
    let mut renamed = world.state.rename_below("data", world::ROOT, "MANY", "all");
    let mut moved = renamed.opens.len();
    while let Some(rest) = renamed.rest {
        assert!(renamed.opens.len() <= Limits::default().work_per_hold);
        renamed = world.state.rename_on(rest);
        moved += renamed.opens.len();
    }
    assert_eq!(moved as u64, MANY);
    assert_eq!(world.state.opens_below("data", world::ROOT, "all", usize::MAX).len() as u64, MANY);
    world.check();
}

/// Lists the opens below a directory; returns them and the steps of each part.
fn listed_below(world: &World, directory: &str, length: usize) -> (Vec<FileGlobalId>, Vec<u64>) {
    let (mut ids, mut steps_of_parts, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let (part, steps) = cost::of(|| world.state.files_below("DATA", directory, after, length));
        ids.extend(part.entries.iter().map(|it| it.global_id));
        steps_of_parts.push(steps);
        after = part.last;
        if after.is_none() {
            return (ids, steps_of_parts);
        }
    }
}

#[test]
fn cost_of_files_below_does_not_depend_on_other_opens_of_the_share() {
    for others in [MANY / 10, MANY] {
        let mut world = World::new();
        let client = world.client(1);
        let elsewhere = FileKey { inode: 3, ..world::ROOT };
        let elsewhere = Client { tree: world.tree_at(client.session, "data", elsewhere), ..client };
        // Siblings that are sorted before and after the directory and the opens below it.
        let siblings = ["few", "few!", "few name", "few.txt", "few]", "fe", "fewer", "few\u{e9}"];
        for file in 0..others {
            let sibling = siblings[file as usize % siblings.len()];
            let path = if sibling == "few" { "few name".into() } else { format!("{sibling}\\file{file}") };
            open(&mut world, client, file, |it| it.path = path.into());
        }
        let of = |world: &mut World, client, path: &str| {
            open(world, client, MANY, |it| (it.path, it.share_access) = (path.into(), SHARE_ALL))
        };
        let itself = of(&mut world, client, "Few");
        let below: Vec<FileGlobalId> = (0..20)
            .map(|file| of(&mut world, client, &format!("FEW\\sub{}\\file{file}", file % 3)))
            .collect();
        let other_root = of(&mut world, elsewhere, "few\\file");
        let mut expected: Vec<FileGlobalId> = [itself, other_root].into_iter().chain(below.clone()).collect();
        expected.sort_unstable();

        let (mut found, steps) = listed_below(&world, "few", 512);
        assert_eq!(steps, [expected.len() as u64 + 2], "{others} others");
        found.sort_unstable();
        assert_eq!(found, expected);
        let (mut found, steps) = listed_below(&world, "Few", 4);
        assert!(steps.len() == 6 && steps.iter().all(|steps| *steps <= 4 + 2), "{steps:?}");
        found.sort_unstable();
        assert_eq!(found, expected, "each open is listed once");

        let (found, steps) = cost::of(|| world.state.opens_below("data", world::ROOT, "FEW", 100));
        assert_eq!((found.len(), steps), (below.len(), 0));
        let names = MoveNames { share: "data", from: "few", to: "many", looked_up: MoveCount::NEVER_MOVED };
        let (_, steps) = cost::of(|| world.state.begin_move(itself, names, world::ROOT, true).unwrap());
        assert!(steps <= 5, "{steps} steps to begin a rename");
        let (renamed, steps) =
            cost::of(|| world.state.rename_below("data", world::ROOT, "few", "Many\\others"));
        assert!(renamed.opens.len() == below.len() && steps == below.len() as u64, "{steps} steps");
        let (found, _) = listed_below(&world, "few", 512);
        assert_eq!(found, [itself, other_root]);
        world.check();
    }
}

#[test]
fn cost_of_lost_channel_does_not_depend_on_deadlines_of_others() {
    let mut world = World::with(Limits { orphans_per_user: usize::MAX, ..Limits::default() });
    let (hostile, other) = (world.client(1), world.client(2));
    for file in 0..MANY {
        open(&mut world, hostile, file, |it| {
            it.lease = lease(file, LeaseState(7));
            it.durable = Some(DurableRequest::V1);
        });
    }
    let second = world.connect(1);
    world.state.bind_session(hostile.session, second).unwrap();
    for file in 0..MANY {
        let _ = world.state.break_for_outsider(file_key(file), world.now);
    }
    let (effects, steps) = cost::of(|| world.state.disconnect(other.connection, world.now));
    assert!(effects.breaks.is_empty() && steps <= 10, "{steps} steps");
    // The breaks of the client that lost the channel are repeated, a limited number under each hold.
    let first = world.state.disconnect(hostile.connection, world.now);
    let mut repeated = first.breaks.len();
    let mut rest = first.rest;
    while let Some(next) = rest.pop() {
        let (effects, steps) = cost::of(|| world.state.go_on(next, world.now));
        assert!(steps <= FEW, "{steps} steps");
        repeated += effects.breaks.len();
        rest.extend(effects.rest);
    }
    assert_eq!(repeated as u64, MANY);
    world.check();
}

#[test]
fn break_names_no_more_connections_than_a_session_may_have() {
    let mut world = World::new();
    let client = world.client(1);
    open(&mut world, client, 1, |it| it.lease = lease(1, LeaseState(7)));
    // A stranger may claim to be the same client.
    let strangers: Vec<ConnectionId> = (0..200).map(|_| world.connect(1)).collect();
    for stranger in strangers.iter().take(100) {
        world.logon(*stranger, 1);
    }
    let effects = world.state.break_for_outsider(file_key(1), world.now);
    assert_eq!(effects.breaks[0].connections.len(), Limits::default().channels_per_session);
    world.check();
}

#[test]
fn parts_of_lists_are_shorter_if_entries_have_many_details() {
    let mut world = World::new();
    let client = world.client(1);
    for file in 0..20 {
        let id = open(&mut world, client, file, |_| {});
        for part in 0..8 {
            let elements: Vec<crate::LockElement> = (0..256)
                .map(|it| crate::LockElement { offset: part * 1_000 + it, length: 1, exclusive: true })
                .collect();
            let request = world.key(client);
            world.state.lock(id, &elements, false, request, world.now).0.unwrap();
        }
    }
    let (mut after, mut seen) = (None, 0);
    loop {
        let part = world.state.file_snapshots(&Filter::default(), after, 512);
        let locks: usize = part.entries.iter().map(|it| it.locks.len()).sum();
        assert!(locks <= 512 * 16 + 2_048, "{locks} locks in one part");
        seen += part.entries.len();
        after = part.last;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 20);
}

#[test]
fn instances_of_an_application_are_replaced_in_parts() {
    let mut world = World::new();
    let (before, after) = (world.client(1), world.client(2));
    let instance =
        Some(crate::AppInstance { id: guid(9), version: None, maximal_access: wire::AccessMask::FILE_ALL });
    for number in 0..MANY {
        open(&mut world, before, 1, |it| it.app_instance = instance.filter(|_| number % 2 == 0));
    }
    let mut looks = 0;
    loop {
        let mut request = world.request(after, 1);
        request.app_instance = instance;
        let (answer, effects) = world.state.admit(request, |_| 0, world.now);
        assert!(effects.dropped.len() <= Limits::default().work_per_hold);
        match answer {
            Admission::LookAgain => looks += 1,
            Admission::Granted(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(looks, MANY / 2 / 256);
    assert_eq!(world.state.file_summary(file_key(1)).unwrap().opens as u64, MANY / 2 + 1);
    world.check();
}

#[test]
fn cost_of_open_for_delete_does_not_depend_on_opens_of_streams() {
    let mut world = World::new();
    let client = world.client(1);
    let stream = |stream| OpenTarget::File(FileKey { stream, ..file_key(1) });
    for number in 0..MANY {
        open(&mut world, client, 1, |it| it.target = stream(number % 10 + 1));
    }
    let mut request = world.request(client, 1);
    request.share_access = SHARE_ALL;
    let (answer, steps) = cost::of(|| world.state.admit(request, |_| 0, world.now).0);
    assert!(matches!(answer, Admission::Granted(_)) && steps <= 50, "{steps} steps, {answer:?}");
}

#[test]
fn connections_for_a_lease_break_are_found_among_few_sessions() {
    let mut world = World::new();
    let client = world.client(1);
    open(&mut world, client, 1, |it| it.lease = lease(1, LeaseState(7)));
    // Others claim the client's GUID, and log on more than once.
    let others: Vec<ConnectionId> = (0..50).map(|_| world.connect(1)).collect();
    for other in others {
        for _ in 0..30 {
            world.logon(other, 2);
        }
    }
    let (effects, steps) = cost::of(|| world.state.break_for_outsider(file_key(1), world.now));
    assert_eq!(effects.breaks[0].connections, [1]);
    assert!(steps <= 600, "{steps} steps");
    world.check();
}
