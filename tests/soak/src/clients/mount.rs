//! Our FUSE mount: programs of this machine that write blocks, flush them, rename and remove.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::Output;

use crate::allowed::{Operation, Trouble, may_break};
use crate::ledger::SLOT;
use crate::mounts::unmount;
use crate::world::{World, lock};
use testkit::Random;

/// Works until the round is over.
pub(crate) fn work(world: &World, number: usize) {
    let round = world.round();
    let who = format!("mount {number}");
    let directory = format!("r{round}-m{number}");
    let mut random = Random::new(world.seed, (round as u64) << 16 | 0x300 | number as u64);
    let ledger = world.ledger(&directory);
    let at = world.scratch(&format!("mounted-{number}"));
    let mut made = 0;
    while !world.is_over() {
        let port = world.way(&mut random).port();
        let mounted = net_use(
            world,
            &[&at.display().to_string(), &format!("//127.0.0.1:{port}/data"), "/USER:alice", "--via", "fuse"],
        );
        if mounted.status != Some(0) {
            if !may_break(&world.troubles()) {
                world.finding(&who, format_args!("not mounted: {mounted}"));
            }
            unmount(&at);
            continue;
        }
        let victim = process(world, &at).and_then(|pid| world.victims.add(pid));
        // Uses the descriptor: if the mount is gone, the directory below it must not be taken for it.
        if let Some(root) = root(&at) {
            let own = Path::new("/proc/self/fd").join(root.as_raw_fd().to_string()).join(&directory);
            let done = fs::create_dir(&own).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            });
            if told(world, &who, "mkdir", done).is_some() {
                while !world.is_over() && file(world, &who, &own, &mut random, &ledger, &mut made).is_some() {
                }
            }
        }
        drop(victim);
        net_use(world, &[&at.display().to_string(), "/DELETE", "/YES"]);
        unmount(&at);
    }
}

/// The root of the mount, if it is mounted.
fn root(at: &Path) -> Option<File> {
    let root = File::open(at).ok()?;
    let below = fs::metadata(at.parent()?).ok()?;
    root.metadata().is_ok_and(|it| it.dev() != below.dev()).then_some(root)
}

/// Works with a file: creates, writes, reads, flushes, and perhaps renames or removes it. `None` if a step failed.
fn file(
    world: &World,
    who: &str,
    own: &Path,
    random: &mut Random,
    ledger: &parking_lot::Mutex<crate::ledger::Ledger>,
    made: &mut u64,
) -> Option<()> {
    *made += 1;
    let name = format!("m{made}");
    let path = own.join(&name);
    let open = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file: File = told(world, who, "open", open)?;
    lock(ledger).made(&name, random.next());
    for _ in 0..1 + random.below(30) {
        let (first, count) = (random.below(32), 1 + random.below(4));
        match random.below(6) {
            0..3 => {
                let bytes = lock(ledger).try_write(&name, first, count);
                told(world, who, "write", file.write_all_at(&bytes, (first * SLOT) as u64))?;
                lock(ledger).acknowledged(&name, first, count);
            }
            3 => {
                told(world, who, "fsync", file.sync_all())?;
                lock(ledger).flushed(&name);
            }
            _ => {
                let mut block = vec![0; SLOT];
                let read = told(world, who, "read", file.read_at(&mut block, (first * SLOT) as u64))?;
                if read == SLOT {
                    let checked = lock(ledger).check_read(&name, first, &block);
                    if let Err(what) = checked {
                        world.finding(who, format_args!("read: {what}"));
                    }
                }
            }
        }
    }
    told(world, who, "fsync", file.sync_all())?;
    lock(ledger).flushed(&name);
    match random.below(3) {
        0 => {
            let to = format!("n{made}");
            lock(ledger).uncertain(&name);
            told(world, who, "rename", fs::rename(&path, own.join(&to)))?;
            lock(ledger).renamed(&name, &to);
        }
        1 => {
            lock(ledger).uncertain(&name);
            told(world, who, "remove", fs::remove_file(&path))?;
            lock(ledger).removed(&name);
        }
        _ => {}
    }
    Some(())
}

/// Checks the result of a system call: an error is allowed if the connection may be lost or administrators close
/// files.
fn told<T>(world: &World, who: &str, call: &str, result: io::Result<T>) -> Option<T> {
    let error = match result {
        Ok(value) => {
            world.count(Operation::Peer, "SUCCESS");
            return Some(value);
        }
        Err(error) => error,
    };
    let troubles = world.troubles();
    let closes = troubles.contains(&Trouble::CloseFiles);
    if may_break(&troubles) || closes {
        world.count(Operation::Peer, &format!("{:?}", error.kind()));
    } else {
        world.finding(who, format_args!("{call}: {error}"));
    }
    None
}

fn net_use(world: &World, words: &[&str]) -> Output {
    let password = world.user("alice").password;
    let mut command = Command::new(testkit::shareward_binary());
    command.args(["net", "use"]).args(words).current_dir("/");
    command.env("XDG_STATE_HOME", world.scratch("mounts-state")).env("SHAREWARD_PASSWORD", password);
    testkit::run(command, b"", LIMIT)
}

/// The process behind the mount.
fn process(world: &World, at: &Path) -> Option<u32> {
    let told = net_use(world, &[&at.display().to_string(), "--json"]).stdout;
    let pid = told.split("\"pid\": ").nth(1)?;
    pid.trim_end_matches(['}', '\n', ' ']).parse().ok()
}

const LIMIT: Duration = Duration::from_secs(60);
