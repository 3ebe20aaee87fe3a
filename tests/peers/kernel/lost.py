#!/usr/bin/python3
"""Writes and reads while somebody cuts the connection or restarts the server each time that a file `now-N` appears in
the share, and says so with a file `was-N`. Argument: how many times."""
import fcntl
import os
import sys
import time

times = int(sys.argv[1])
os.chdir("/mnt")
BLOCK = 8192


def block(number):
    return (b"%08d" % number) * (BLOCK // 8)


def again(call, *arguments):
    """What was under way when the connection went may fail; what is asked again may not."""
    limit = time.monotonic() + 40
    while True:
        try:
            return call(*arguments)
        except OSError as error:
            assert time.monotonic() < limit, (call, error)
            time.sleep(0.05)


def exists(name):
    try:
        os.close(os.open(name, os.O_RDONLY))
        return True
    except OSError:
        return False


def touch(name):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))


kept = os.open("kept", os.O_RDWR | os.O_CREAT)
os.pwrite(kept, block(0), 0)
os.fsync(kept)
fcntl.lockf(kept, fcntl.LOCK_EX | fcntl.LOCK_NB, 100, 0)
number = 0
for time_number in range(times):
    again(touch, "now-%d" % time_number)
    limit = time.monotonic() + 40
    while not exists("was-%d" % time_number):
        assert time.monotonic() < limit, time_number
        number += 1
        again(os.pwrite, kept, block(number), number * BLOCK)
        again(os.fsync, kept)
        name = "made-%d" % (number % 50)
        with open(again(os.open, name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), "wb", buffering=0) as made:
            again(made.write, block(number))
            again(os.fsync, made.fileno())
    for _ in range(20):
        number += 1
        again(os.pwrite, kept, block(number), number * BLOCK)
    again(os.fsync, kept)
assert os.fstat(kept).st_size == (number + 1) * BLOCK
with open("/proc/sys/vm/drop_caches", "w") as caches:
    caches.write("3")
for at in range(number + 1):
    assert again(os.pread, kept, BLOCK, at * BLOCK) == block(at), at
again(touch, "done-%d" % number)
while not exists("seen"):
    time.sleep(0.05)
os.close(kept)
print("lost and found: %d blocks" % number)
