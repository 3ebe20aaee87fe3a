"""What programs do with files, done on a mounted share: two mounts of it, which are two clients for the server."""

import ctypes
import errno
import fcntl
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time

from mounted import FIRST, SECOND, fails, read, write

LOCKER = """
import errno, fcntl, os, signal, struct, sys, time

def told(name, *rest):
    print(name, *rest, flush=True)

def taken(file, kind, length, start):
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB, length, start)
        return True
    except OSError as error:
        assert error.errno in (errno.EAGAIN, errno.EACCES), error
        return False

def interrupted(*_):
    raise InterruptedError

file = open(sys.argv[1], "r+")
"""


def locker(path, code):
    return subprocess.Popen([sys.executable, "-c", LOCKER + code, path], stdout=subprocess.PIPE, text=True)


def answer(path, code):
    output, _ = locker(path, code).communicate(timeout=30)
    return output.strip()


def everyday():
    write("a", "hello")
    write("a", " world", "a")
    assert read("a") == "hello world" and os.stat("a").st_size == 11
    os.mkdir("d")
    fails(errno.EEXIST, os.mkdir, "d")
    write("d/x", "")
    fails(errno.ENOTEMPTY, os.rmdir, "d")
    fails(errno.ENOENT, open, "missing")
    fails(errno.EISDIR, os.unlink, "d")
    fails(errno.ENOTDIR, os.rmdir, "a")
    fails(errno.EEXIST, os.open, "a", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert sorted(os.listdir(".")) == ["a", "d"]
    os.unlink("d/x")
    os.rmdir("d")
    os.unlink("a")
    space = os.statvfs(".")
    assert space.f_blocks > 0 and space.f_namemax == 255


def renaming():
    write("a", "A")
    write("b", "B")
    os.rename("a", "b")
    assert read("b") == "A" and not os.path.exists("a")
    for name in ("d1", "d2", "d3"):
        os.mkdir(name)
    os.rename("d1", "d2")
    fails(errno.EISDIR, os.rename, "b", "d2")
    fails(errno.ENOTDIR, os.rename, "d2", "b")
    os.rename("b", "d2/c")
    fails(errno.ENOTEMPTY, os.rename, "d3", "d2")
    os.unlink("d2/c")
    os.rmdir("d2")
    os.rmdir("d3")
    write("source", "new")
    write("target", "old")
    with open("target") as replaced:
        os.rename("source", "target")
        assert read("target") == "new" and replaced.read() == "old"
        assert os.listdir(".") == ["target"]
    with open("target", "a") as moved:
        os.rename("target", "elsewhere")
        moved.write("er")
    assert read("elsewhere") == "newer"
    os.unlink("elsewhere")


def unlinked_while_open():
    with open("gone", "w+") as file:
        file.write("data")
        file.flush()
        os.unlink("gone")
        assert os.listdir(".") == []
        file.seek(0)
        assert file.read() == "data"
        file.write("more")
        file.flush()
        assert os.fstat(file.fileno()).st_size == 8
        file.truncate(3)
        assert os.fstat(file.fileno()).st_size == 3


def attributes():
    write("t", "")
    os.utime("t", (1000000000.5, 1200000000.25))
    seen = os.stat("t")
    assert (seen.st_atime, seen.st_mtime) == (1000000000.5, 1200000000.25), seen
    os.chmod("t", 0o555)
    assert os.stat("t").st_mode & 0o777 == 0o555
    os.unlink("t")
    write("x", "")
    os.setxattr("x", "user.Colour", b"red")
    assert [name.lower() for name in os.listxattr("x")] == ["user.colour"]
    assert os.getxattr("x", "user.colour") == b"red"
    fails(errno.EEXIST, os.setxattr, "x", "user.colour", b"blue", os.XATTR_CREATE)
    os.removexattr("x", "user.colour")
    fails(errno.ENODATA, os.getxattr, "x", "user.colour")
    fails(errno.EOPNOTSUPP, os.setxattr, "x", "trusted.colour", b"red")
    os.unlink("x")


def links():
    os.mkdir("d")
    write("target", "T")
    try:
        os.symlink("../target", "d/link")
    except OSError as error:
        # A server without reparse points says so, and nothing is left behind.
        assert error.errno == errno.EPERM, error
        assert os.listdir("d") == []
        print("ok: this server has no symbolic links")
    else:
        assert os.readlink("d/link") == "../target" and os.lstat("d/link").st_size == 9
        assert read("d/link") == "T" and read(os.path.join(SECOND, "d/link")) == "T"
        assert [entry.is_symlink() for entry in os.scandir("d")] == [True]
        os.unlink("d/link")
    os.unlink("target")
    os.rmdir("d")


def holes():
    size, hole = 1 << 20, (4096, 500000)
    write("h", b"x" * size, "wb")
    with open("h", "r+b") as file:
        # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        libc = ctypes.CDLL(None, use_errno=True)
        done = libc.fallocate(file.fileno(), 3, ctypes.c_long(hole[0]), ctypes.c_long(hole[1]))
        assert done == 0, os.strerror(ctypes.get_errno())
        data = file.read()
    assert len(data) == size and data.count(0) == hole[1] and not any(data[hole[0] : sum(hole)])
    os.unlink("h")


def names():
    for name in ["a:b", "q?", "st*r", "back\\slash", "dot.", "space ", "tab\t", '"', "<|>", "日本", "...", "x" * 255]:
        write(name, name)
        assert os.listdir(".") == [name] and read(name) == name
        os.unlink(name)
    fails(errno.ENAMETOOLONG, open, "x" * 256, "w")


def large_and_many():
    data = os.urandom(1 << 20) * 12
    write("large", data, "wb")
    assert read("large", "rb") == data
    assert read(os.path.join(SECOND, "large"), "rb") == data
    os.unlink("large")
    os.mkdir("many")
    expected = {"file-%04d" % number for number in range(300)}
    for name in expected:
        write("many/" + name, "")
    assert {entry.name for entry in os.scandir("many") if entry.is_file()} == expected
    for name in expected:
        os.unlink("many/" + name)
    os.rmdir("many")


def sharing():
    write("s", "one")
    there = os.path.join(SECOND, "s")
    assert read(there) == "one"
    write(there, "twice")
    assert read("s") == "twice"
    first = os.open("s", os.O_WRONLY | os.O_APPEND)
    os.write(first, b"+")
    os.fsync(first)
    os.close(first)
    assert read(there) == "twice+"
    os.unlink("s")


def locks():
    write("l", "x" * 100)
    file = open("l", "r+")
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
    for path in ("l", os.path.join(SECOND, "l")):
        assert answer(path, "told(taken(file, fcntl.LOCK_EX, 10, 0))") == "False"
        assert answer(path, "told(taken(file, fcntl.LOCK_EX, 10, 10))") == "True"
        assert answer(path, "told(taken(file, fcntl.LOCK_SH, 1, 9))") == "False"
        seen = answer(
            path,
            "asked = struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 100, 0)\n"
            "told(*struct.unpack('hhqqi', fcntl.fcntl(file, fcntl.F_GETLK, asked)))",
        ).split()
        assert int(seen[0]) == fcntl.F_WRLCK, seen
        if path == "l":
            assert seen[2:] == ["0", "10", str(os.getpid())], seen
    # A process reaches what it has locked through any of its opens.
    with open("l") as other:
        assert other.read(5) == "xxxxx"
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
    for path in ("l", os.path.join(SECOND, "l")):
        waiting = locker(path, "told('waits')\nfcntl.lockf(file, fcntl.LOCK_EX, 10, 0)\ntold('has it')")
        assert waiting.stdout.readline() == "waits\n"
        time.sleep(0.5)
        assert waiting.poll() is None
        fcntl.lockf(file, fcntl.LOCK_UN, 10, 0)
        assert waiting.stdout.readline() == "has it\n"
        waiting.wait(10)
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
        interrupted = (
            "signal.signal(signal.SIGALRM, interrupted)\nsignal.setitimer(signal.ITIMER_REAL, 0.5)\n"
            "try: fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)\nexcept InterruptedError: told('interrupted')"
        )
        assert answer(path, interrupted) == "interrupted"
        killed = locker(path, "told('waits')\nfcntl.lockf(file, fcntl.LOCK_EX, 10, 0)")
        assert killed.stdout.readline() == "waits\n"
        time.sleep(0.3)
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
    # Ranges split and change their kind.
    fcntl.lockf(file, fcntl.LOCK_EX, 100, 0)
    fcntl.lockf(file, fcntl.LOCK_UN, 20, 40)
    there = os.path.join(SECOND, "l")
    for length, start, free in ((20, 40, True), (1, 39, False), (1, 60, False)):
        assert answer(there, "told(taken(file, fcntl.LOCK_EX, %d, %d))" % (length, start)) == str(free)
    fcntl.lockf(file, fcntl.LOCK_SH, 100, 0)
    assert answer(there, "told(taken(file, fcntl.LOCK_SH, 100, 0), taken(file, fcntl.LOCK_EX, 1, 0))") == "True False"
    file.close()
    assert answer(there, "told(taken(file, fcntl.LOCK_EX, 100, 0))") == "True"
    whole = open("l")
    fcntl.flock(whole, fcntl.LOCK_EX)
    flock = "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    assert answer(there, "try: %s\nexcept BlockingIOError: told('taken')" % flock) == "taken"
    whole.close()
    assert answer(there, "%s\ntold('free')" % flock) == "free"
    os.unlink("l")


def exerciser():
    """Random calls on one file against a model of it, as fsx does."""
    chance = random.Random(20260301)
    model = bytearray()
    file = open("e", "w+b", buffering=0)
    for step in range(2000):
        what, offset, length = chance.random(), chance.randrange(200000), chance.randrange(1, 30000)
        if what < 0.35:
            data = chance.randbytes(length)
            assert os.pwrite(file.fileno(), data, offset) == length
            model.extend(bytes(max(0, offset + length - len(model))))
            model[offset : offset + length] = data
        elif what < 0.7:
            assert os.pread(file.fileno(), length, offset) == model[offset : offset + length], step
        elif what < 0.8:
            file.truncate(offset)
            del model[offset:]
            model.extend(bytes(offset - len(model)))
        elif what < 0.85:
            file.close()
            file = open("e", "r+b", buffering=0)
        elif what < 0.92 and model:
            with mmap.mmap(file.fileno(), len(model)) as mapped:
                start = chance.randrange(len(model))
                end = min(len(model), start + length)
                assert mapped[start:end] == model[start:end], step
                data = chance.randbytes(end - start)
                mapped[start:end] = data
                model[start:end] = data
        else:
            assert os.fstat(file.fileno()).st_size == len(model), step
    file.close()
    assert read("e", "rb") == model
    assert read(os.path.join(SECOND, "e"), "rb") == model
    os.unlink("e")


os.chdir(FIRST)
for part in (
    everyday,
    renaming,
    unlinked_while_open,
    attributes,
    links,
    holes,
    names,
    large_and_many,
    sharing,
    locks,
    exerciser,
):
    part()
    print("ok: %s" % part.__name__.replace("_", " "), flush=True)
assert os.listdir(".") == []
