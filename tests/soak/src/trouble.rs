//! The troubles that disturb the clients during a round.

use std::fs;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::allowed::{Operation, Trouble};
use crate::world::World;
use testkit::Random;

/// Starts the troubles of a round.
pub(crate) fn start(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let troubles = world.troubles();
    let start = |trouble: Trouble| {
        let world = Arc::clone(world);
        thread::spawn(move || make(&world, trouble))
    };
    troubles.into_iter().map(start).collect()
}

fn make(world: &World, trouble: Trouble) {
    let mut random = Random::new(world.seed, (world.round() as u64) << 16 | 0x8000 | trouble as u64);
    pause(world, 300 + random.next() % 1000);
    while !world.is_over() {
        match trouble {
            Trouble::CloseFiles => close_file(world, &mut random),
            Trouble::EndSessions => end_session(world, &mut random),
            Trouble::ChangeShares => change_share(world, &mut random),
            Trouble::Reload => world.server().signal("HUP"),
            Trouble::CutCables => _ = random.one_of(&world.cables).cut(),
            Trouble::FillDisk => fill_disk(world, &mut random),
            Trouble::KillClients => world.victims.kill_one(&mut random),
            Trouble::RestartServer | Trouble::KillServer => {
                world.restart(trouble == Trouble::KillServer);
                pause(world, 3000);
            }
        }
        pause(world, 50 + random.next() % 500);
    }
    if trouble == Trouble::ChangeShares {
        // The next round begins as all do.
        let made = format!("passing={}", world.tree.path().join("shares/passing").display());
        let shown = world.net(&["share", "passing"]);
        if shown.status != Some(0) {
            administer(world, &["share", &made, "/grant:Everyone,full"]);
        }
    }
}

/// Lets time pass, but not beyond the end of the round.
fn pause(world: &World, milliseconds: u64) {
    let mut left = milliseconds;
    while left > 0 && !world.is_over() {
        let step = left.min(20);
        thread::sleep(Duration::from_millis(step));
        left -= step;
    }
}

/// Runs a command of an administrator: it must succeed, unless its object no longer exists.
fn administer(world: &World, words: &[&str]) -> String {
    let output = world.net(words);
    // 2118: the share exists; 2310, 2312, 2314: the object no longer exists.
    let text = output.text();
    let is_gone = ["2118", "2310", "2312", "2314"].iter().any(|number| text.contains(number));
    let troubles = world.troubles();
    let away = troubles.contains(&Trouble::RestartServer) || troubles.contains(&Trouble::KillServer);
    // 1006: the file was read again by another trouble between the command's look and its act.
    let reread = troubles.contains(&Trouble::Reload) && text.contains("1006");
    if output.status == Some(0) {
        world.count(Operation::Peer, "administered");
    } else if !is_gone && !away && !reread {
        world.finding("administrator", &output);
    }
    output.stdout
}

fn ids(world: &World, command: &str, name: &str) -> Vec<String> {
    crate::rest::listed(world, command, name).iter().map(|it| it["id"].to_string()).collect()
}

fn close_file(world: &World, random: &mut Random) {
    let ids = ids(world, "file", "files");
    if ids.is_empty() {
        return;
    }
    let id = random.one_of(&ids).as_str();
    match random.below(3) {
        0 => administer(world, &["file", id, "/close", "--force", "/yes"]),
        1 => administer(world, &["file", id, "/close", "--grace", "1", "/yes"]),
        _ => administer(world, &["file", "/close", "/yes", "--user", "bob", "--path", "common", "--force"]),
    };
}

fn end_session(world: &World, random: &mut Random) {
    if random.once_in(4) {
        administer(world, &["session", "/delete", "/yes", "--user", "bob"]);
        return;
    }
    let ids = ids(world, "session", "sessions");
    if !ids.is_empty() {
        administer(world, &["session", "/delete", "/yes", "--id", random.one_of(&ids).as_str()]);
    }
}

fn change_share(world: &World, random: &mut Random) {
    let path = format!("passing={}", world.tree.path().join("shares/passing").display());
    match random.below(4) {
        0 => administer(world, &["share", "passing", "/delete", "/yes"]),
        1 => administer(world, &["share", "passing", "/remark:changed"]),
        _ => administer(world, &["share", &path, "/grant:Everyone,full"]),
    };
}

fn fill_disk(world: &World, random: &mut Random) {
    if world.small.is_none() {
        return;
    }
    let filler = world.tree.path().join("shares/small/filler");
    // As much as fits.
    let _ = fs::write(&filler, vec![0x77; 8 << 20]);
    pause(world, 200 + random.next() % 500);
    let _ = fs::remove_file(&filler);
}
