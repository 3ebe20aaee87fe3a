"""A local program that locks: takes commands from standard input, answers each with one line.

lock|unlock FILE START LENGTH [shared|exclusive]: at once; "held" where somebody else has it
wait FILE START LENGTH exclusive: as lock, and waits
probe FILE START LENGTH: "free", "shared" or "exclusive", as another program finds it
touch FILE: opens the file and closes it again
"""

import errno
import fcntl
import os
import sys

KINDS = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX}
files = {}


def lock(path, kind, start, length):
    try:
        fcntl.lockf(files.setdefault(path, None) or opened(path), kind, int(length), int(start))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return "held"
        raise
    return "done"


def opened(path):
    files[path] = open(path, "r+b", buffering=0)
    return files[path]


def probe(path, start, length):
    # A program of its own: a process is not in its own way.
    child = os.fork()
    if child == 0:
        with open(path, "r+b", buffering=0) as file:
            found = 0
            for number, kind in enumerate((fcntl.LOCK_SH, fcntl.LOCK_EX)):
                try:
                    fcntl.lockf(file, kind | fcntl.LOCK_NB, int(length), int(start))
                except OSError:
                    found = 2 - number
                    break
            os._exit(found)
    return ("free", "shared", "exclusive")[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


for line in sys.stdin:
    command, path, *rest = line.split()
    if command == "lock":
        answer = lock(path, KINDS[rest[2]] | fcntl.LOCK_NB, *rest[:2])
    elif command == "wait":
        answer = lock(path, KINDS[rest[2]], *rest[:2])
    elif command == "unlock":
        answer = lock(path, fcntl.LOCK_UN, *rest[:2])
    elif command == "probe":
        answer = probe(path, *rest)
    else:
        open(path, "rb").close()
        answer = "done"
    print(answer, flush=True)
