#!/usr/bin/python3
"""Extended attributes, and files with holes."""
import ctypes
import errno
import os

os.chdir("/mnt")
libc = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


def fallocate(file, mode, start, length):
    if libc.fallocate(file, mode, ctypes.c_long(start), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


def extents(file):
    """Where there is data, as the client and the server know it."""
    found, at, end = [], 0, os.fstat(file).st_size
    while at < end:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            break
        at = os.lseek(file, start, os.SEEK_HOLE)
        found.append((start, at))
    return found


os.close(os.open("x", os.O_CREAT | os.O_WRONLY))
for number in range(20):
    os.setxattr("x", "user.name%d" % number, b"%d" % number * (number + 1))
assert sorted(os.listxattr("x")) == sorted("user.name%d" % number for number in range(20))
for number in range(20):
    assert os.getxattr("x", "user.name%d" % number) == b"%d" % number * (number + 1)
os.setxattr("x", "user.name3", b"other")
assert os.getxattr("x", "user.name3") == b"other"
for number in range(0, 20, 2):
    os.removexattr("x", "user.name%d" % number)
assert len(os.listxattr("x")) == 10
try:
    os.getxattr("x", "user.name4")
    raise AssertionError("an attribute that was removed")
except OSError as error:
    assert error.errno == errno.ENODATA, error
os.unlink("x")
print("xattrs done")

MIB = 1 << 20
file = os.open("holes", os.O_CREAT | os.O_RDWR)
block = os.urandom(MIB)
for number in range(8):
    os.pwrite(file, block, number * MIB)
os.fsync(file)
fallocate(file, PUNCH_HOLE | KEEP_SIZE, 2 * MIB, 3 * MIB)
assert os.fstat(file).st_size == 8 * MIB
assert os.pread(file, 3 * MIB, 2 * MIB) == bytes(3 * MIB)
assert os.pread(file, MIB, 5 * MIB) == block
assert extents(file) == [(0, 2 * MIB), (5 * MIB, 8 * MIB)], extents(file)
fallocate(file, ZERO_RANGE | KEEP_SIZE, 6 * MIB, MIB // 2)
assert os.pread(file, MIB, 6 * MIB) == bytes(MIB // 2) + block[MIB // 2:]
# A hole behind the end, made by size alone.
os.ftruncate(file, 64 * MIB)
assert os.pread(file, 10, 63 * MIB) == bytes(10)
os.pwrite(file, b"last", 64 * MIB)
os.fsync(file)
assert os.fstat(file).st_size == 64 * MIB + 4
assert extents(file)[-1][0] == 64 * MIB, extents(file)
fallocate(file, 0, 0, 64 * MIB + 4)
assert os.pread(file, MIB, 0) == block
os.close(file)
os.unlink("holes")
print("holes done")
