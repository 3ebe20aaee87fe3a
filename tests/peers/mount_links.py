"""What Linux promises of names, numbers and modes, checked on a mounted share: two mounts of it, two clients."""

import errno
import os
import time

from mounted import FIRST, SECOND, fails, read, write


def there(name):
    return os.path.join(SECOND, name)


def seen(name):
    found = os.stat(name)
    return found.st_ino, found.st_nlink


def soon(holds):
    """What another client did to a name is seen a second later at most."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline


def numbers():
    os.mkdir("d")
    write("d/a", "A")
    write("d/b", "B")
    os.mkdir("d/e")
    for entry in os.scandir("d"):
        assert entry.inode() == os.stat(entry.path).st_ino == os.stat(there(entry.path)).st_ino, entry
    kept = os.stat("d/a").st_ino
    os.rename("d/a", "d/c")
    assert os.stat("d/c").st_ino == kept != os.stat("d/b").st_ino
    assert os.stat("d").st_nlink == 2
    for name in ("d/b", "d/c"):
        os.unlink(name)
    os.rmdir("d/e")
    os.rmdir("d")


def link_counts():
    os.mkdir("d")
    write("a", "text")
    number, count = seen("a")
    assert count == 1
    os.link("a", "b")
    os.link("b", "d/c")
    for name in ("a", "b", "d/c"):
        assert seen(name) == (number, 3), name
    # As `ls -l` asks, of a directory that this client has not seen yet.
    assert [entry.stat().st_nlink for entry in os.scandir(SECOND) if entry.is_file()] == [3, 3]
    # The number is the server's unless this client has it for something that the other has removed.
    assert len({os.stat(there(name)).st_ino for name in ("a", "b", "d/c")}) == 1
    assert os.stat(there("a")).st_nlink == 3
    assert {entry.inode() for entry in os.scandir(".") if entry.is_file()} == {number}
    fails(errno.EEXIST, os.link, "a", "b")
    os.unlink("a")
    fails(errno.ENOENT, os.stat, "a")
    assert seen("b") == (number, 2) == seen("d/c")
    write("b", "other")
    assert read("d/c") == "other"
    # A name moves, another takes its place.
    os.rename("b", "d/b")
    assert seen("d/b") == (number, 2) == seen("d/c")
    write("x", "x")
    other = os.stat("x").st_ino
    os.rename("x", "d/b")
    assert seen("d/b") == (other, 1) and seen("d/c") == (number, 1)
    assert read("d/b") == "x" and read("d/c") == "other"
    # Both names are one file's: rename(2) does nothing.
    os.link("d/b", "d/y")
    os.rename("d/b", "d/y")
    assert seen("d/b") == (other, 2) == seen("d/y")
    for name in ("b", "c", "y"):
        os.unlink("d/" + name)
    os.rmdir("d")


def open_by_two_names():
    write("a", "text")
    os.link("a", "b")
    first, second = open("a", "r+"), open("b", "r+")
    first.write("TEXT")
    first.flush()
    assert second.read() == "TEXT"
    os.unlink("a")
    fails(errno.ENOENT, os.stat, "a")
    assert os.listdir(".") == ["b"]
    assert read("b") == "TEXT"
    os.link("b", "c")
    os.unlink("b")
    second.seek(0)
    assert second.read() == "TEXT"
    write("c", "again")
    first.seek(0)
    assert first.read() == "again"
    os.unlink("c")
    assert os.fstat(first.fileno()).st_nlink == 0 == os.fstat(second.fileno()).st_nlink
    first.seek(0)
    assert first.read() == "again" and os.listdir(".") == []
    first.close()
    second.close()


def names_that_others_take():
    write("gone", "old")
    assert read(there("gone")) == "old"
    os.unlink("gone")
    # The other client's kernel has the name for a second still.
    write(there("gone"), "new")
    assert read("gone") == "new"
    os.unlink("gone")
    write("a", "one")
    os.link("a", "b")
    # The kernel has both names as one file's when another client removes that which was looked at last.
    os.stat("b")
    os.stat("a")
    os.unlink(there("a"))
    assert read("b") == "one"
    os.link("b", "a")
    os.stat("b")
    os.stat("a")
    write(there("new"), "two")
    os.replace(there("new"), there("a"))
    assert read("b") == "one"
    write("b", "three")
    assert read(there("a")) == "two" and read(there("b")) == "three"
    soon(lambda: os.stat("a").st_ino != os.stat("b").st_ino)
    # One of two names is another file's from one moment to the next, and the other name never is.
    os.link("b", "c")
    os.stat("b")
    os.stat("c")
    write(there("new"), "four")
    os.replace(there("new"), there("c"))

    def replaced():
        assert read("b") == "three"
        return read("c") == "four"

    soon(replaced)
    os.unlink("a")
    os.unlink("c")
    os.unlink("b")


def read_only_links():
    write("a", "text")
    os.link("a", "b")
    os.chmod("a", 0o444)
    for name in ("a", "b"):
        assert os.stat(name).st_mode & 0o222 == 0
    os.unlink("a")
    assert os.stat("b").st_mode & 0o222 == 0 and os.stat("b").st_nlink == 1
    write("c", "other")
    os.rename("c", "b")
    assert read("b") == "other" and os.stat("b").st_mode & 0o200
    os.unlink("b")


def modes():
    write("f", "")
    os.chmod("f", 0o600)
    if os.stat("f").st_mode & 0o7777 == 0o600:
        # This server has the POSIX extensions: see mount_modes.py.
        assert os.stat(there("f")).st_mode & 0o7777 == 0o600
        os.chown("f", 4242, 4242)
        assert os.stat("f").st_uid != 4242
        os.unlink("f")
        return
    os.mkdir("d")
    for name in ("f", "d"):
        for mode in (0o600, 0o755, 0o644, 0o1777, 0o666):
            os.chmod(name, mode)
            # What is not kept is not shown.
            assert os.stat(name).st_mode & 0o7777 == 0o755, (name, oct(mode))
        os.chown(name, 4242, 4242)
        found = os.stat(name)
        assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
    # The write bits are the read-only attribute, which others see.
    os.chmod("f", 0o400)
    assert os.stat("f").st_mode & 0o7777 == 0o555 == os.stat(there("f")).st_mode & 0o7777
    os.chmod("f", 0o600)
    assert os.stat("f").st_mode & 0o7777 == 0o755
    with os.fdopen(os.open("g", os.O_CREAT | os.O_WRONLY, 0o400), "w") as file:
        file.write("text")
        os.fchmod(file.fileno(), 0o600)
        os.fchmod(file.fileno(), 0o400)
    assert read("g") == "text" and os.stat("g").st_mode & 0o222 == 0
    os.unlink("f")
    os.unlink("g")
    os.rmdir("d")


def truncation():
    write("t", "0123456789")
    os.truncate("t", 4)
    assert read("t") == "0123" == read(there("t"))
    with open("t", "r+b") as file:
        file.truncate(8)
        assert file.read() == b"0123\0\0\0\0" and os.fstat(file.fileno()).st_size == 8
    soon(lambda: os.stat(there("t")).st_size == 8)
    fails(errno.EINVAL, os.truncate, "t", -1)
    os.link("t", "u")
    os.truncate("u", 0)
    assert os.stat("t").st_size == 0
    os.unlink("t")
    os.unlink("u")


def times():
    old = 1000000000
    with open("t", "w") as file:
        file.write("text")
        file.flush()
        os.utime("t", (old, old))
    assert os.stat("t").st_mtime == old
    with open("t", "a") as file:
        file.write("text")
        file.flush()
        os.utime("t", (old, old))
        os.fchmod(file.fileno(), 0o400)
        os.fchmod(file.fileno(), 0o600)
        assert os.fstat(file.fileno()).st_mtime == old
        file.write("text")
    soon(lambda: os.stat("t").st_mtime > old)
    os.unlink("t")


def long_names():
    write("a", "")
    # Characters that many, and bytes too many for the file systems of most servers.
    for long in ("x" * 256, "日" * 256, "日" * 100, "é" * 200):
        fails(errno.ENAMETOOLONG, open, long, "w")
        fails(errno.ENAMETOOLONG, os.stat, long)
        fails(errno.ENAMETOOLONG, os.mkdir, long)
        fails(errno.ENAMETOOLONG, os.rename, "a", long)
        fails(errno.ENAMETOOLONG, os.link, "a", long)
        fails(errno.ENAMETOOLONG, os.unlink, long)
        fails(errno.ENAMETOOLONG, os.symlink, "a", long)
    for name in ("x" * 255, "日" * 85):
        os.rename("a", name)
        assert os.listdir(".") == [name]
        os.rename(name, "a")
    os.unlink("a")


os.chdir(FIRST)
for part in (
    numbers,
    link_counts,
    open_by_two_names,
    names_that_others_take,
    read_only_links,
    modes,
    truncation,
    times,
    long_names,
):
    part()
    assert os.listdir(".") == [], (part, os.listdir("."))
    print("ok: %s" % part.__name__.replace("_", " "), flush=True)
