//! The chores of this repository; `cargo xtask` lists them.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod bench;
mod book;
mod cluster;
mod debian;
mod dist;
mod fuzz;
mod package;
mod packages;
mod shell;
mod smbtorture;
mod soak;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [STEP...]           everything that must pass before a change is done; as root on Debian it installs
                           the peers it needs. --list names the steps
  tidy                     the house rules that the compiler does not check
  torture [OPTION...] [SELECTOR...]
                           smbtorture, one process per test, against several servers side by side;
                           SELECTOR is a suite (smb2.lock), a test or a glob. --help lists the options
  kernel [TEST...]         the Linux kernel's client for as long as it takes: all its tests, the long ones too, or
                           those whose name has one of these words
  fuzz [MINUTES] [TARGET...]
                           cargo-fuzz, all targets, sharing the minutes (default 5)
  soak [HOURS] [--seed N] [--clients KIND,...] [--round SECONDS] [--one-server]
                           clients of all kinds at random against one server, in all troubles (default 1 hour);
                           kinds: ours, smbclient, impacket, mount and, only where it is named, kernel
  cluster [--minutes N] [--seed N] [--round N] [--fence yes|no] [--figures N]
                           three servers, three members of etcd and clients in a network of their own, with faults of
                           all kinds (default 10 minutes); --figures measures failovers and moves; as root, with etcd
  bench [ARG...]           the load generator, ours and Samba's server side by side
  book                     the documents as a book below target/book; needs mdbook
  package [SUITE...]       the Debian package, installed, used, upgraded and purged: in a copy of this root and, with
                           debootstrap, in fresh ones of Debian stable and old stable; as root
  dist [--profile NAME]    archives, Debian packages and a container file below target/dist
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let good = match command.as_str() {
        "test" => test::main(&rest),
        "tidy" => tidy::main(),
        "torture" => torture::main(&rest),
        "kernel" => test::kernel(&rest),
        "fuzz" => fuzz::main(&rest),
        "soak" => soak::main(&rest),
        "cluster" => cluster::main(&rest),
        "bench" => bench::main(&rest),
        "book" => book::main(),
        "package" => package::main(&rest),
        "dist" => dist::main(&rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            true
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
