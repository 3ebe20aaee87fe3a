//! Other people's programs on files of a mount: git, cp, tar, rsync, install and SQLite, and what they count on.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{Setup, Shareward, need, repository, run};

use crate::mount_faults::servers;
use crate::net_use::{Machine, NEEDS};

/// The time for a program that makes hundreds of files, on a busy machine.
const LIMIT: Duration = Duration::from_secs(170);

/// Runs a script with two mounts of one share, which are two clients for the server, and with each server there is.
fn in_mounts(command: impl Fn(&str, &str, &Path) -> Command) {
    for subject in servers() {
        let machine = Machine::of(&subject);
        let (one, two) = (machine.directory("one"), machine.directory("two"));
        machine.mount("one", "data", &[]).success();
        machine.mount("two", "data", &[]).success();
        let output = run(command(&one, &two, &subject.scratch()), b"", LIMIT).success();
        assert_eq!(output.stderr, "", "{subject:?}");
        machine.net_use(&[&one, "/delete"]).success();
        machine.net_use(&[&two, "/delete"]).success();
    }
}

fn script(name: &str, one: &str, two: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg("-B").arg(repository().join("tests/peers").join(name)).args([one, two]);
    python
}

fn shell(text: &str, one: &str, scratch: &Path) -> Command {
    let home = scratch.join("home");
    fs::create_dir_all(&home).expect("a home");
    let mut sh = Command::new("sh");
    sh.args(["-euc", text, "sh", one]).arg(&home).current_dir(&home);
    sh.env("HOME", &home).env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C.UTF-8");
    sh
}

#[test]
fn links_inode_numbers_and_modes_behave_as_on_linux() {
    in_mounts(|one, two, _| script("mount_links.py", one, two));
}

#[test]
fn sqlite_works_with_every_journal() {
    in_mounts(|one, two, _| {
        let mut python = script("mount_sqlite.py", one, two);
        python.args(["delete", "truncate", "persist", "wal"]);
        python
    });
}

/// A process must not use its mapping of a file after another client has had the file.
#[test]
fn a_write_ahead_log_ends_with_its_connection() {
    if !need(NEEDS) {
        return;
    }
    let server = Shareward::start(&Setup::default());
    let password = &server.setup().user("alice").password;
    let machine = Machine::new(&server.scratch(), server.address().port(), password);
    machine.mount("one", "data", &[]).success();
    let program = r#"
import sqlite3, sys
def connect(): return sqlite3.connect(sys.argv[1] + "/x.db", timeout=5, isolation_level=None)
database = connect()
assert database.execute("PRAGMA journal_mode = wal").fetchone() == ("wal",)
database.execute("CREATE TABLE t (number INTEGER)")
database.execute("INSERT INTO t VALUES (1)")
print("open", flush=True)
sys.stdin.readline()
for statement in ("SELECT * FROM t", "INSERT INTO t VALUES (2)"):
    try: database.execute(statement).fetchall()
    except sqlite3.OperationalError as error: assert str(error) in ("disk I/O error", "locking protocol"), error
    else: raise AssertionError(statement)
database.close()
database = connect()
database.execute("INSERT INTO t VALUES (3)")
assert database.execute("SELECT number FROM t ORDER BY number").fetchall() == [(1,), (3,)]
assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
"#;
    let mut python = Command::new("python3");
    python.args(["-c", program, &machine.directory("one")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().expect("start python3");
    let mut told = String::new();
    BufReader::new(python.stdout.take().expect("a pipe")).read_line(&mut told).expect("read");
    assert_eq!(told, "open\n");
    server.net(&["session", "/delete", "/yes"]).success();
    python.stdin.take().expect("a pipe").write_all(b"on\n").expect("write");
    assert!(python.wait().expect("wait").success());
    machine.net_use(&[&machine.directory("one"), "/delete"]).success();
}

#[test]
fn git_clones_commits_and_collects() {
    if !need(&["git"]) {
        return;
    }
    let text = r#"
git config --global user.name somebody
git config --global user.email somebody@example.org
git config --global init.defaultBranch main
git config --global gc.auto 0
cd "$1"
git init -q origin
for number in 1 2 3 4 5 6 7 8; do echo "$number" >"origin/file$number"; done
printf '#!/bin/sh\n' >origin/program
chmod +x origin/program
git -C origin add .
git -C origin commit -q -m first
test -z "$(git -C origin status --porcelain)"
# A clone within one file system links the objects.
git clone -q origin clone
test -n "$(find clone/.git/objects -type f -links 2)"
git -C clone fsck --strict --no-progress
echo more >>clone/file1
git -C clone mv file2 moved
git -C clone commit -q -a -m second
git -C clone push -q origin HEAD:refs/heads/second
git -C clone gc -q --prune=now
git -C clone fsck --strict --no-progress
git -C origin gc -q --prune=now
git -C origin fsck --strict --no-progress
git -C origin merge -q second
test "$(cat origin/file1)" = "$(printf '1\nmore')"
test -z "$(git -C origin status --porcelain)"
test -z "$(git -C clone status --porcelain)"
rm -rf clone
git -C origin log --oneline | wc -l | grep -qx 2
git -C origin fsck --strict --no-progress
rm -rf origin
test -z "$(ls -A)"
"#;
    in_mounts(|one, _, scratch| shell(text, one, scratch));
}

#[test]
fn programs_copy_trees_without_errors() {
    if !need(&["rsync", "tar", "install", "cp", "diff"]) {
        return;
    }
    let text = r#"
rm -rf tree
mkdir -p tree/sub/empty
echo text >tree/plain
echo secret >tree/sub/private
printf '#!/bin/sh\n' >tree/sub/program
echo fixed >tree/fixed
ln tree/plain tree/sub/linked
chmod 600 tree/sub/private
chmod 755 tree/sub/program
chmod 444 tree/fixed
chmod 700 tree/sub
touch -d '2001-02-03 04:05:06.5 UTC' tree/plain
linked() {
    test "$(stat -c %h "$1/plain")" = 2
    test "$(stat -c %i "$1/plain")" = "$(stat -c %i "$1/sub/linked")"
    test "$(stat -c %Y "$1/plain")" = "$(stat -c %Y tree/plain)"
    # Without the POSIX extensions, read-only is all that is kept of a mode.
    stat -c %A "$1/fixed" | grep -qx -e -r-xr-xr-x -e -r--r--r--
    diff -r tree "$1"
}
cp -a tree "$1/copied"
linked "$1/copied"
mkdir "$1/unpacked"
tar -cf - -C tree . | tar -xpf - -C "$1/unpacked"
linked "$1/unpacked"
# What is packed from there has the link again.
tar -cf - -C "$1/unpacked" . | tar -tvf - | grep -q 'link to'
rsync -aH tree/ "$1/synced/"
linked "$1/synced"
# Nothing is sent again that is there.
rsync -aHi tree/ "$1/synced/" | grep '^[<>]' && exit 1
rsync -aH --delete "$1/synced/" back/
diff -r tree back
install -m 640 tree/plain "$1/installed"
install -m 755 -D tree/sub/program "$1/bin/program"
install -m 444 tree/plain "$1/installed"
cmp tree/plain "$1/installed"
mv "$1/copied" "$1/moved"
mv "$1/moved" moved
diff -r tree moved
cd "$1"
rm -rf unpacked synced installed bin
test -z "$(ls -A)"
"#;
    in_mounts(|one, _, scratch| shell(text, one, scratch));
}
