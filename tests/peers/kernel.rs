//! The Linux kernel's own client, in a virtual machine that is an ordinary process.

use testkit::Subject;
use testkit::peer::{KERNEL_CLIENT_NEEDS, kernel_client};

const EVERYDAY: &str = r#"
set -eu
cd /mnt
head -c 3000000 /dev/urandom >"$TMPDIR/sent"
cp "$TMPDIR/sent" here
sync
echo 3 >/proc/sys/vm/drop_caches
cmp "$TMPDIR/sent" here
mkdir -p deep/er
mv here deep/er/there
test -f deep/er/there
test ! -e here
ls -l deep/er | grep -q 3000000
truncate -s 10 deep/er/there
test "$(stat -c %s deep/er/there)" = 10
printf more >>deep/er/there
test "$(stat -c %s deep/er/there)" = 14
touch -d '2020-01-02 03:04:05 UTC' deep/er/there
test "$(stat -c %Y deep/er/there)" = 1577934245
for n in $(seq 300); do : >"many-$n"; done
test "$(ls | grep -c ^many-)" = 300
rm many-*
df . >/dev/null
rm -r deep
test -z "$(ls -A)"
echo everyday done
"#;

/// Two mounts with connections of their own are two clients; a lock of the one keeps the other out.
const LOCKS: &str = r#"
set -eu
kc-mount "$TMPDIR/second" nosharesock
echo data >/mnt/locked
python3 - /mnt/locked "$TMPDIR/second/locked" <<'PY'
import errno, fcntl, os, sys
first, second = (os.open(path, os.O_RDWR) for path in sys.argv[1:])
fcntl.lockf(first, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 0)
pid = os.fork()
if pid == 0:
    try:
        fcntl.lockf(second, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 0)
        os._exit(1)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            os._exit(2)
    fcntl.lockf(second, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 3)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0, "the second client was not kept out as it should"
fcntl.lockf(first, fcntl.LOCK_UN, 2, 0)
fcntl.lockf(second, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 0)
PY
umount "$TMPDIR/second"
echo locks done
"#;

fn mounted(options: &str, script: &str, done: &str) {
    let Some(subject) = Subject::with(KERNEL_CLIENT_NEEDS) else { return };
    kernel_client(&subject, subject.user("alice"), "data", options, script).success().says(done);
}

#[test]
fn everyday_use() {
    mounted("", EVERYDAY, "everyday done");
}

#[test]
fn everyday_use_sealed() {
    mounted("seal", EVERYDAY, "everyday done");
}

#[test]
fn everyday_use_without_leases_in_2_1() {
    mounted("vers=2.1,nolease", EVERYDAY, "everyday done");
}

#[test]
fn locks_between_two_clients() {
    mounted("", LOCKS, "locks done");
}

/// Symlinks of the server's disk that the client follows itself.
const SYMLINKS: &str = r#"
set -eu
cd /mnt
test -L file && test -L d/up && test -L nowhere
test "$(readlink file)" = d/f
test "$(readlink d/up)" = ../d
test "$(cat file)" = text
test "$(cat d/up/up/f)" = text
test "$(ls d/up/)" = "$(ls d)"
ls -l . d | grep -q "^l.* up -> ../d"
! cat nowhere
echo more >>file
test "$(tail -n 1 d/f)" = more
rm file
test -f d/f && test ! -e file
echo symlinks done
"#;

#[test]
fn symlinks_are_the_clients_to_follow() {
    let mut setup = testkit::Setup::default();
    setup.shares[0].shows_symlinks = true;
    if !testkit::need(KERNEL_CLIENT_NEEDS) {
        return;
    }
    let subject = Subject::start(&setup);
    let data = subject.share_dir("data");
    std::fs::create_dir(data.join("d")).expect("mkdir");
    std::fs::write(data.join("d/f"), "text\n").expect("write");
    for name in ["d", "d/f"] {
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(data.join(name), all).expect("chmod");
    }
    for (link, target) in [("file", "d/f"), ("d/up", "../d"), ("nowhere", "d/nothing")] {
        std::os::unix::fs::symlink(target, data.join(link)).expect("symlink");
    }
    kernel_client(&subject, subject.user("alice"), "data", "", SYMLINKS).success().says("symlinks done");
}
