"""Modes, owners and link counts of a server with the POSIX extensions, checked on a mounted share and on the disk."""

import errno
import os
import subprocess
import sys

from mounted import fails

MOUNT, DISK = sys.argv[1:3]

# Such a server reads attributes only of files that it may read.
SERVER_IS_ROOT = sys.argv[3] == "root"


def disk(name):
    return os.stat(os.path.join(DISK, name))


def mode(name):
    """The mode of a file, which is the same in the mount and on the disk."""
    shown = os.stat(name).st_mode & 0o7777
    assert shown == disk(name).st_mode & 0o7777, (name, oct(shown))
    return shown


def write(name, data):
    with open(name, "w") as file:
        file.write(data)


def sh(text):
    subprocess.run(["sh", "-euc", text], check=True)


def chmod():
    write("f", "text")
    os.mkdir("d")
    for wanted in (0o600, 0o644, 0o404, 0o777, 0o750, 0o644):
        os.chmod("f", wanted)
        assert mode("f") == wanted
    for wanted in (0o700, 0o1777, 0o755):
        os.chmod("d", wanted)
        assert mode("d") == wanted
    # A server lets nobody make a file run as its owner.
    os.chmod("f", 0o4755)
    assert mode("f") == 0o755
    with open("f", "r+") as file:
        os.fchmod(file.fileno(), 0o640)
        assert os.fstat(file.fileno()).st_mode & 0o7777 == 0o640
        os.truncate("f", 0)
    # It says so to whom it concerns: the server, which is asked, and not only this machine.
    if SERVER_IS_ROOT:
        os.chmod("f", 0)
        fails(errno.EACCES, open, "f")
    else:
        fails(errno.EOPNOTSUPP, os.chmod, "f", 0o200)
        assert mode("f") == 0o640
    os.chmod("f", 0o400)
    assert os.access("f", os.R_OK) and not os.access("f", os.W_OK) and not os.access("f", os.X_OK)
    fails(errno.EACCES, open, "f", "w")
    assert open("f").read() == ""
    os.unlink("f")
    os.rmdir("d")
    # A deleted file takes no mode any more, and programs that give it one go on.
    with open("f", "w") as file:
        os.unlink("f")
        os.fchmod(file.fileno(), 0o600)
        file.write("text")


def making():
    for umask, file, directory in ((0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0, 0o666, 0o777)):
        os.umask(umask)
        write("f", "")
        os.mkdir("d")
        assert (mode("f"), mode("d")) == (file, directory)
        os.unlink("f")
        os.rmdir("d")
    os.umask(0o022)
    # Who makes a file writes to it, whatever its mode says.
    with os.fdopen(os.open("g", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400), "w") as file:
        file.write("text")
    assert mode("g") == 0o400 and open("g").read() == "text"
    # The read-only attribute is none of this.
    os.rename("g", "h")
    write("g", "other")
    os.replace("g", "h")
    assert open("h").read() == "other"
    os.unlink("h")


def listings():
    os.mkdir("d")
    write("d/one", "1")
    os.link("d/one", "d/two")
    os.symlink("one", "d/three")
    os.chmod("d/one", 0o604)
    os.mkdir("d/four", 0o711)
    write("d/a:b?", "")
    listed = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir("d")}
    assert sorted(listed) == ["a:b?", "four", "one", "three", "two"]
    for name in listed:
        here, there = listed[name], os.lstat(os.path.join(DISK, "d", name))
        if name != "three":
            assert here.st_mode == there.st_mode, (name, oct(here.st_mode), oct(there.st_mode))
        if name not in ("three", "four"):
            assert (here.st_nlink, here.st_size) == (there.st_nlink, there.st_size), name
    assert listed["one"].st_ino == listed["two"].st_ino and listed["two"].st_nlink == 2
    assert os.readlink("d/three") == "one"
    with open("d/one") as file:
        os.unlink("d/one")
        # The file has its other name still.
        assert os.fstat(file.fileno()).st_nlink == 1
        os.unlink("d/two")
        assert os.fstat(file.fileno()).st_nlink == 0
    sh("rm -r d")


def stale_listings():
    """What is changed while a directory is being read is not as the listing had it."""
    os.mkdir("d")
    for number in range(120):
        write("d/%03d%s" % (number, "x" * 230), "1")
    names = [os.path.join("d", name) for name in os.listdir("d")]
    removed, changed = names[12::12], names[13::12]
    with os.scandir("d") as listing:
        # The kernel asks for a few names at a time, but the server has told all of them by now.
        next(listing)
        for name in removed:
            os.unlink(name)
        for name in changed:
            write(name, "longer")
        for entry in listing:
            # The kernel goes on asking for attributes as long as they are used.
            os.path.exists(entry.path)
        for name in removed:
            assert not os.path.exists(name), name
        for name in changed:
            assert os.stat(name).st_size == 6, name
    sh("rm -r d")


def programs():
    sh(
        """
        # `set -e` does not see what `!` makes a failure.
        not() { if "$@"; then exit 1; fi; }
        umask 022
        echo text >f
        install -m 600 f g
        test "$(stat -c %a g)" = 600
        install -m 2750 -d e
        test "$(stat -c %a e | tail -c 4)" = 750
        mkdir -m 700 tree
        echo secret >tree/private
        chmod 640 tree/private
        ln tree/private tree/again
        echo run >tree/program
        chmod 755 tree/program
        cp -a tree copied
        tar -cf packed.tar tree
        mkdir out
        tar -xpf packed.tar -C out
        for copy in copied out/tree; do
            test "$(stat -c %a "$copy" "$copy/private" "$copy/program" | tr '\\n' ' ')" = '700 640 755 '
            test "$(stat -c %h "$copy/again")" = 2
        done
        (umask 077 && echo secret >h && mkdir i)
        test "$(stat -c %a h i | tr '\\n' ' ')" = '600 700 '
        ls -l copied | grep -q '^-rw-r-----  *2 .* private$'
        find . -perm 640 -name private | wc -l | grep -qx 3
        test -x tree/program
        chmod -x tree/program
        not test -x tree/program
        chmod 444 tree/program
        test -r tree/program
        not test -w tree/program
        chmod u+w tree/program
        test -w tree/program
        chmod 555 tree
        not test -w tree
        test -x tree
        chmod 755 tree
        test -z "$(find tree -name program -perm /111)"
        rm -rf f g e tree copied packed.tar out h i
        test -z "$(ls -A)"
        """
    )


os.umask(0o022)
os.chdir(MOUNT)
for test in (chmod, making, listings, stale_listings, programs):
    test()
    print("ok:", test.__name__)
