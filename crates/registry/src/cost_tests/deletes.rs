//! The costs of pending deletes, for closes, for other shares and for renames.

use super::*;

/// Closes opens and returns the number of removals of each. The cost of a close must not depend on the other opens.
fn removals_of_closes(world: &mut World, opens: &[FileGlobalId]) -> Vec<usize> {
    let mut removals = Vec::new();
    for id in opens {
        let (effects, steps) =
            cost::of(|| world.state.close_open(*id, CloseReason::ClientClose, world.now).ok().unwrap());
        assert!(steps <= 10, "{steps} steps to close");
        removals.push(effects.dropped[0].removals.len());
        for removal in effects.dropped.iter().flat_map(|it| &it.removals) {
            world.state.removed(removal);
        }
    }
    removals
}

#[test]
fn cost_of_close_does_not_depend_on_opens_with_pending_delete() {
    let mut world = World::new();
    let client = world.client(1);
    let mut opens: Vec<FileGlobalId> = (0..MANY).map(|_| open(&mut world, client, 1, |_| {})).collect();
    let stream = |stream| OpenTarget::File(FileKey { stream, ..file_key(1) });
    for number in 1..100 {
        opens.push(open(&mut world, client, 1, |it| {
            (it.target, it.path) = (stream(number), format!("dir\\file1:{number}").into());
            it.access = AccessMask::READ_DATA;
        }));
    }
    world.state.set_delete_pending(opens[0], true).unwrap();
    world.check();
    let removals = removals_of_closes(&mut world, &opens);
    assert_eq!(removals.iter().sum::<usize>(), 1);
    assert_eq!(removals.last(), Some(&1), "the last open removes the link");
    world.check();
}

#[test]
fn cost_of_close_does_not_depend_on_deletes_of_other_links() {
    let mut world = World::new();
    let client = world.client(1);
    let elsewhere = Client { tree: world.tree(client.session, "other"), ..client };
    let mut opens = Vec::new();
    for number in 0..MANY {
        let id = open(&mut world, client, 1, |it| it.path = format!("link{number}").into());
        world.state.set_delete_pending(id, true).unwrap();
        opens.push(id);
    }
    assert_eq!(world.state.deleted_links(file_key(1)) as u64, MANY);
    // A link is renamed, together with its delete; a link that is closed first is removed first.
    let renamed = opens.pop().unwrap();
    let _ = world.state.rename(renamed, "Renamed").unwrap();
    world.check();
    let first: Vec<FileGlobalId> = opens.drain(..MANY as usize / 2).collect();
    assert!(removals_of_closes(&mut world, &first).iter().all(|removals| *removals == 1));
    let refused = world.request(client, 1);
    let refused = crate::AdmitRequest { path: "renamed".into(), ..refused };
    let (answer, steps) = cost::of(|| world.state.admit(refused, |_| 0, world.now).0);
    assert!(matches!(answer, Admission::Refused(Refused::DeletePending)), "{answer:?}");
    assert!(steps <= 20, "{steps} steps to refuse");
    let late = world.request(elsewhere, 1);
    let answer = world.state.admit(late, |_| 0, world.now).0;
    assert!(matches!(answer, Admission::Refused(Refused::DeletePending)), "any link may be the deleted one");
    opens.push(renamed);
    assert!(removals_of_closes(&mut world, &opens).iter().all(|removals| *removals == 1));
    assert_eq!(world.state.deleted_links(file_key(1)), 0);
    world.check();
}

#[test]
fn pending_deletes_wait_for_opens_of_another_share_at_constant_cost() {
    let mut world = World::new();
    let client = world.client(1);
    let elsewhere = Client { tree: world.tree(client.session, "other"), ..client };
    let others: Vec<FileGlobalId> = (0..MANY).map(|_| open(&mut world, elsewhere, 1, |_| {})).collect();
    let mut opens = Vec::new();
    for number in 0..3 {
        let id = open(&mut world, client, 1, |it| it.path = format!("link{number}").into());
        opens.push(id);
    }
    for id in &opens {
        world.state.set_delete_pending(*id, true).unwrap();
    }
    let kept = opens.pop().unwrap();
    assert_eq!(removals_of_closes(&mut world, &opens), [0, 0]);
    world.check();
    let removals = removals_of_closes(&mut world, &others);
    assert_eq!((removals.iter().sum::<usize>(), removals.last()), (2, Some(&2)));
    assert_eq!(removals_of_closes(&mut world, &[kept]), [1]);
    world.check();
}

#[test]
fn deletes_that_waited_for_another_share_are_removed_in_parts() {
    let mut world = World::new();
    let client = world.client(1);
    let elsewhere = Client { tree: world.tree(client.session, "other"), ..client };
    let other = open(&mut world, elsewhere, 1, |_| {});
    let mut opens = Vec::new();
    for number in 0..MANY {
        let id = open(&mut world, client, 1, |it| it.path = format!("link{number}").into());
        world.state.set_delete_pending(id, true).unwrap();
        opens.push(id);
    }
    assert_eq!(removals_of_closes(&mut world, &opens).iter().sum::<usize>(), 0);
    let limit = Limits::default().work_per_hold;
    let close =
        |world: &mut World, id| world.state.close_open(id, CloseReason::ClientClose, world.now).ok().unwrap();
    let (mut effects, steps) = cost::of(|| close(&mut world, other));
    assert!(steps <= 2 * limit as u64, "{steps} steps to close");
    assert_eq!(effects.dropped[0].removals.len(), limit - 1);
    world.check();
    // Deletes that are due and not returned yet are still pending.
    for name in ["link0", "link2999"] {
        let late = world.request(client, 1);
        let late = crate::AdmitRequest { path: name.into(), ..late };
        let answer = world.state.admit(late, |_| 0, world.now).0;
        assert!(
            matches!(answer, Admission::LookAgain | Admission::Refused(Refused::DeletePending)),
            "{answer:?}"
        );
    }
    let mut removed = 0;
    loop {
        removed += effects.dropped.iter().map(|it| it.removals.len()).sum::<usize>() + effects.removals.len();
        world.remove(&effects);
        let Some(rest) = effects.rest.pop() else { break };
        let (next, steps) = cost::of(|| world.state.go_on(rest, world.now));
        assert!(next.removals.len() <= limit && steps <= 2 * limit as u64, "{steps} steps to go on");
        world.check();
        effects = next;
    }
    assert_eq!(removed as u64, MANY);
    assert!(!world.state.is_delete_pending(file_key(1)) && !world.state.is_vanishing(file_key(1)));
    world.check();
}

#[test]
fn delete_by_another_share_returns_the_deletes_it_replaces() {
    let mut world = World::new();
    let client = world.client(1);
    let elsewhere = Client { tree: world.tree(client.session, "other"), ..client };
    let other = open(&mut world, elsewhere, 1, |_| {});
    for number in 0..MANY {
        let id = open(&mut world, client, 1, |it| it.path = format!("link{number}").into());
        world.state.set_delete_pending(id, true).unwrap();
    }
    let (forgotten, steps) = cost::of(|| world.state.set_delete_pending(other, true).unwrap());
    assert!(steps <= 10, "{steps} steps");
    assert_eq!(forgotten.len() as u64, MANY, "the caller drops the deletes");
    assert_eq!(world.state.deleted_links(file_key(1)), 1);
    world.check();
}

#[test]
fn rename_of_directory_renames_pending_deletes_below() {
    let mut world = World::new();
    let client = world.client(1);
    let opens: Vec<FileGlobalId> =
        (0..2).map(|_| open(&mut world, client, 1, |it| it.path = "Old\\File".into())).collect();
    world.state.set_delete_pending(opens[0], true).unwrap();
    let _ = world.state.rename_below("data", world::ROOT, "Old", "New");
    world.check();
    assert!(world.state.is_open_deleted(opens[1]), "the delete has the new name");
    assert_eq!(removals_of_closes(&mut world, &opens), [0, 1]);
    world.check();
}
