//! impacket: a script that runs for the length of a round and reports its errors.

use std::process::Command;
use std::time::Duration;

use wire::NtStatus;

use super::run;
use crate::allowed::{Operation, Trouble, may_break};
use crate::world::World;
use testkit::Random;

/// Works until the round is over.
pub(crate) fn work(world: &World, number: usize) {
    let round = world.round();
    let who = format!("impacket {number}");
    let mut random = Random::new(world.seed, (round as u64) << 16 | 0x200 | number as u64);
    let user = world.user("bob");
    let mut times = 0;
    while !world.is_over() {
        times += 1;
        let way = world.way(&mut random);
        let mut command = Command::new(testkit::peer::PYTHON);
        command.arg("-B").arg(testkit::repository().join("tests/soak/src/clients/impacket_client.py"));
        command.args(["127.0.0.1", &way.port().to_string(), &user.name, &user.password]);
        command
            .arg(format!("r{round}-i{number}-{times}"))
            .arg(random.next().to_string())
            .arg(SECONDS.to_string());
        let said = run(world, &who, command, LIMIT);
        let troubles = world.troubles();
        for line in said.text.lines() {
            if line == "SUCCESS" {
                world.count(Operation::Peer, line);
            } else if let Some(code) = line.strip_prefix("STATUS 0x") {
                let status = NtStatus(u32::from_str_radix(code, 16).unwrap_or_default());
                world.status(&who, Operation::Peer, status, "the server");
            } else if !line.starts_with("FOUND") && may_break(&troubles) {
                // This is impacket's own message.
                world.count(Operation::Peer, "a broken connection");
            } else {
                world.finding(&who, line);
            }
        }
        let excused = said.killed && troubles.contains(&Trouble::KillClients);
        if !said.good && !excused {
            world.finding(&who, "the script failed");
        }
    }
}

/// The length of one run of the script.
const SECONDS: u64 = 4;

const LIMIT: Duration = Duration::from_secs(120);
