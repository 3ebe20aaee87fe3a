#!/usr/bin/python3
"""Two mounts with connections of their own are two clients: what one writes the other reads, and locks of the one
keep the other out. Arguments: mount options for both."""
import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

options = sys.argv[1]
first, second = (os.path.join(os.environ["TMPDIR"], name) for name in ("first", "second"))
for place in (first, second):
    subprocess.run(["kc-mount", place, options + ",nosharesock"], check=True)


def path(place, name):
    return os.path.join(place, name)


def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno in (errno.EACCES, errno.EAGAIN), error
        return True
    return False


def seen(expected, look):
    """What is new may be seen a moment later: a break of read caching is not waited for (MS-SMB2 3.3.4.7), and names
    are cached for a second."""
    limit = time.monotonic() + 5
    while True:
        try:
            found = look()
        except FileNotFoundError:
            found = None
        if found == expected:
            return
        assert time.monotonic() < limit, (found, expected)


# Whoever reads next sees it, though both cache: every round takes the lease from the other.
for number in range(60):
    writer, reader = (first, second) if number % 2 else (second, first)
    text = b"round %d " % number * (number + 1)
    with open(path(writer, "shared"), "wb") as file:
        file.write(text)
    seen(text, lambda: Path(reader, "shared").read_bytes())

# The same with both files open all the time, appending in turns.
one, two = (open(path(place, "turns"), mode) for place, mode in ((first, "wb+"), (second, "rb+")))
for number in range(40):
    file, other = (one, two) if number % 2 else (two, one)
    file.seek(number * 8)
    file.write(b"%08d" % number)
    file.flush()
    os.fsync(file.fileno())
    seen(b"%08d" % number, lambda: os.pread(other.fileno(), 8, number * 8))
one.close(), two.close()

# Names: made, renamed, removed here; there, gone, under the new name there.
for number in range(6):
    here, there = (first, second) if number % 2 else (second, first)
    os.mkdir(path(here, "d"))
    open(path(here, "d/f"), "w").close()
    seen(["f"], lambda: os.listdir(path(there, "d")))
    os.rename(path(there, "d/f"), path(there, "d/g"))
    seen(["g"], lambda: os.listdir(path(here, "d")))
    os.unlink(path(here, "d/g"))
    seen([], lambda: os.listdir(path(there, "d")))
    os.rmdir(path(there, "d"))
    seen([False], lambda: [os.path.exists(path(here, "d"))])

# fcntl locks: ranges, upgrades, and what closing gives back.
one, two = (os.open(path(place, "locked"), os.O_RDWR | os.O_CREAT) for place in (first, second))
os.write(one, bytes(100))
os.fsync(one)
for start in range(0, 100, 20):
    fcntl.lockf(one, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, start)
for start in range(0, 100, 10):
    assert refused(fcntl.lockf, two, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, start) == (start % 20 == 0), start
    if start % 20:
        fcntl.lockf(two, fcntl.LOCK_UN, 10, start)
fcntl.lockf(one, fcntl.LOCK_UN)
fcntl.lockf(one, fcntl.LOCK_SH | fcntl.LOCK_NB, 50)
fcntl.lockf(two, fcntl.LOCK_SH | fcntl.LOCK_NB, 50)
assert refused(fcntl.lockf, two, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 49)
fcntl.lockf(one, fcntl.LOCK_UN)
fcntl.lockf(two, fcntl.LOCK_UN)
fcntl.lockf(one, fcntl.LOCK_EX | fcntl.LOCK_NB)

# A lock that waits gets what it waits for. Another process: fcntl locks are a process's.
ready, done = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    try:
        mine = os.open(path(second, "locked"), os.O_RDWR)
        os.write(ready[1], b"r")
        fcntl.lockf(mine, fcntl.LOCK_EX)
        os.write(done[1], b"d")
        os._exit(0)
    finally:
        os._exit(1)
os.read(ready[0], 1)
os.set_blocking(done[0], False)
assert refused(os.read, done[0], 1)
os.close(one)
os.set_blocking(done[0], True)
assert os.read(done[0], 1) == b"d"
assert os.waitpid(child, 0)[1] == 0
os.close(two)

# flock goes to the server, too.
one, two = (open(path(place, "flocked"), "w+") for place in (first, second))
fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
assert refused(fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
assert refused(fcntl.flock, two, fcntl.LOCK_SH | fcntl.LOCK_NB)
fcntl.flock(one, fcntl.LOCK_UN)
fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB)
fcntl.flock(one, fcntl.LOCK_SH | fcntl.LOCK_NB)
# What is shared is not upgraded in place: the protocol has no such thing, and the client does not make it up.
two.close()
fcntl.flock(one, fcntl.LOCK_UN)
fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
one.close()

for place in (first, second):
    subprocess.run(["umount", place], check=True)
print("two mounts done")
