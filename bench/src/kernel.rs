//! `--kernel`: a source tree through the Linux kernel's client: unpacked, read and removed on both servers.
//!
//! The client is user-mode Linux (`tools/kernel-client.sh`), so that its own work takes longer than on a real machine;
//! the time is mostly the client's, and the processor time of the server is what differs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use testkit::repository;

use crate::options::Options;
use crate::process::cpu_seconds;
use crate::report::{significant, spread};
use crate::servers::{SHARE_NAME, Servers, Target};
use crate::{data, progress, say};

/// Files of the tree, and its directories.
const FILES: usize = 3_000;
const DIRECTORIES: usize = 150;

/// Rounds at most: one takes about a minute.
const ROUNDS_MAX: usize = 5;

/// The time limit of the machine.
const SECONDS_MAX: &str = "600";

/// The work in the machine: the archive is its argument. It announces each step and its end, with the milliseconds, and
/// rests between them, so that the processor time of the server can be read.
const SCRIPT: &str = r#"#!/bin/bash
set -eu
step() {
    local name=$1 from to
    shift
    sleep 0.5
    echo "begin $name"
    sleep 0.5
    from=$(date +%s%N)
    "$@"
    to=$(date +%s%N)
    echo "end $name $(((to - from) / 1000000))"
}
read_all() { tar -cf - -C /mnt/new/source . | wc -c >/dev/null; }
step unpack tar -xf "$1" -C /mnt/new
sync
echo 3 >/proc/sys/vm/drop_caches
step read read_all
step remove rm -rf /mnt/new/source
sleep 0.5
echo all done
"#;

/// The steps of the script.
const STEPS: [&str; 3] = ["unpack", "read", "remove"];

/// Measures and prints.
pub(crate) fn main(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&format!("the tree cannot be measured: {reason}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let servers = Servers::start(options)?;
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let archive = pack(scratch.path()).map_err(|error| format!("no source tree: {error}"))?;
    let targets = servers.usual();
    let rounds = options.rounds.min(ROUNDS_MAX);
    let mut figures: [BTreeMap<String, Vec<Step>>; 2] = Default::default();
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}"));
        for (target, figures) in targets.iter().zip(&mut figures) {
            for (name, step) in once(target, &archive).map_err(|error| format!("{}: {error}", target.name))? {
                figures.entry(name).or_default().push(step);
            }
            data::remove_new(&target.tree).map_err(|error| error.to_string())?;
        }
    }
    let peer = options.peer();
    say(&format!(
        "A tree of {FILES} files in {DIRECTORIES} directories through the Linux kernel's client; medians of {rounds} rounds:\n\n\
         | step | shareward | {peer} | ratio (min..max) | CPU of shareward | of {peer} | CPU ratio (min..max) |\n\
         |---|---:|---:|---:|---:|---:|---:|"
    ));
    let [ours, peers] = figures;
    for name in STEPS {
        let pairs = || ours.get(name).into_iter().flatten().zip(peers.get(name).into_iter().flatten());
        let shown = |side: &dyn Fn((&Step, &Step)) -> f64| {
            spread(pairs().map(side)).map_or_else(|| "-".into(), |it| significant(it.median))
        };
        let ratio = |of: fn(&Step) -> f64| {
            spread(pairs().map(|(ours, peer)| of(ours) / of(peer)))
                .map_or_else(|| "-".into(), |it| format!("{:.2} ({:.2}..{:.2})", it.median, it.min, it.max))
        };
        let time: fn(&Step) -> f64 = |step| step.seconds;
        let cpu: fn(&Step) -> f64 = |step| step.server_cpu_seconds;
        say(&format!(
            "| {name} | {} s | {} s | {} | {} s | {} s | {} |",
            shown(&|(ours, _)| time(ours)),
            shown(&|(_, peer)| time(peer)),
            ratio(time),
            shown(&|(ours, _)| cpu(ours)),
            shown(&|(_, peer)| cpu(peer)),
            ratio(cpu),
        ));
    }
    Ok(())
}

/// A step of the work.
#[derive(Clone, Copy, Debug)]
struct Step {
    seconds: f64,
    server_cpu_seconds: f64,
}

/// Runs the script in the machine, with the server's share mounted.
fn once(target: &Target, archive: &Path) -> std::io::Result<Vec<(String, Step)>> {
    let (user, password) = target.user();
    let mut child = Command::new(repository().join("tools/kernel-client.sh"))
        .args([&*target.address.port().to_string(), SHARE_NAME, user, password, "-"])
        .arg(archive)
        .env("KC_TIMEOUT", SECONDS_MAX)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(SCRIPT.as_bytes())?;
    }
    let mut steps = Vec::new();
    let (mut cpu, mut is_done) = (0.0, false);
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["begin", _] => cpu = cpu_seconds(target),
            ["end", name, milliseconds] => {
                let milliseconds: f64 = milliseconds.parse().map_err(std::io::Error::other)?;
                let step =
                    Step { seconds: milliseconds / 1e3, server_cpu_seconds: cpu_seconds(target) - cpu };
                steps.push(((*name).to_owned(), step));
            }
            ["all", "done"] => is_done = true,
            _ => progress(&format!("  {line}")),
        }
    }
    let status = child.wait()?;
    if is_done { Ok(steps) } else { Err(std::io::Error::other(format!("the machine ended with {status}"))) }
}

/// Makes an archive with a tree like that of a program in C: many small files, some larger ones.
fn pack(scratch: &Path) -> std::io::Result<PathBuf> {
    let source = scratch.join("source");
    for number in 0..FILES {
        let directory = number % DIRECTORIES;
        let directory = source.join(format!("part{}/module{directory}", directory / 10));
        fs::create_dir_all(&directory)?;
        // From 200 bytes to 40 KiB, most of them below 8 KiB.
        let length =
            200 + number * 7_919 % 8_000 + if number % 10 == 0 { number * 104_729 % 32_000 } else { 0 };
        let line = b"static int a_function(struct a_type *argument, unsigned long flags);\n";
        let content: Vec<u8> = line.iter().copied().cycle().take(length).collect();
        fs::write(directory.join(format!("file_{number:04}.c")), content)?;
    }
    let archive = scratch.join("source.tar");
    let status =
        Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(scratch).arg("source").status()?;
    if status.success() {
        Ok(archive)
    } else {
        Err(std::io::Error::other(format!("tar ended with {status}")))
    }
}
