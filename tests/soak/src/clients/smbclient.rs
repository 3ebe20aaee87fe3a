//! smbclient: whole files put, fetched, renamed and removed.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{judge, run};
use crate::allowed::Operation;
use crate::world::World;
use testkit::Random;

/// Works until the round is over.
pub(crate) fn work(world: &World, number: usize) {
    let round = world.round();
    let who = format!("smbclient {number}");
    let mut random = Random::new(world.seed, (round as u64) << 16 | 0x100 | number as u64);
    let directory = format!("r{round}-s{number}");
    let scratch = world.scratch(&directory);
    let user = world.user("alice");
    let mut made = 0;
    // The known files, by name.
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    while !world.is_over() {
        let way = world.way(&mut random);
        let mut commands = vec![format!("mkdir {directory}; cd {directory}")];
        let mut after = files.clone();
        let mut fetched = Vec::new();
        for _ in 0..1 + random.below(4) {
            let known: Vec<String> = after.keys().cloned().collect();
            match random.below(5) {
                0 | 1 => {
                    made += 1;
                    let name = format!("p{made}");
                    let mut content = vec![0; random.below(300_000)];
                    random.fill(&mut content);
                    fs::write(scratch.join(&name), &content).expect("a file");
                    commands.push(format!("put {} {name}", scratch.join(&name).display()));
                    after.insert(name, content);
                }
                2 if !known.is_empty() => {
                    let name = random.one_of(&known);
                    let copy = scratch.join(format!("{name}.copy"));
                    commands.push(format!("get {name} {}", copy.display()));
                    fetched.push((copy, after[name].clone()));
                }
                3 if !known.is_empty() => {
                    let name = random.one_of(&known);
                    made += 1;
                    let to = format!("q{made}");
                    commands.push(format!("rename {name} {to}"));
                    let content = after.remove(name).unwrap_or_default();
                    after.insert(to, content);
                }
                4 if !known.is_empty() => {
                    let name = random.one_of(&known);
                    commands.push(format!("del {name}"));
                    after.remove(name);
                }
                _ => commands.push("ls".into()),
            }
        }
        let mut command = Command::new("smbclient");
        command.args(["--configfile=/dev/null", "--use-kerberos=off"]).env("HOME", &scratch);
        for option in ["lock directory", "state directory", "cache directory", "private dir"] {
            command.arg(format!("--option={option}={}", scratch.display()));
        }
        let dialect = random.one_of(&testkit::peer::DIALECTS);
        command.arg("-m").arg(dialect).arg("//127.0.0.1/data").arg("-p").arg(way.port().to_string());
        command.arg("-U").arg(user.credentials()).arg("-c").arg(commands.join("; "));
        let mut said = run(world, &who, command, LIMIT);
        // The directory exists from the second run on.
        said.text = said
            .text
            .replace(&format!("NT_STATUS_OBJECT_NAME_COLLISION making remote directory \\{directory}"), "");
        judge(world, &who, &said);
        let good = said.good && !said.text.contains("NT_STATUS_");
        if good {
            world.count(Operation::Peer, "SUCCESS");
            for (copy, content) in fetched {
                if fs::read(&copy).ok().as_ref() != Some(&content) {
                    world
                        .finding(&who, format_args!("fetched other bytes than were put: {}", copy.display()));
                }
            }
            files = after;
        } else {
            // The progress is unknown.
            files.clear();
        }
        for (name, content) in &files {
            if fs::read(world.data().join(&directory).join(name)).ok().as_ref() != Some(content) {
                world.finding(&who, format_args!("{name} is not what was put"));
            }
        }
    }
}

/// A request can wait 35 seconds for an oplock that is not given up.
const LIMIT: Duration = Duration::from_secs(120);
