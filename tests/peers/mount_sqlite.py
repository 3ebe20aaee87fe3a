"""SQLite in a mounted share, with each of its journals: several processes, a killed one, and a second client."""

import os
import signal
import sqlite3
import subprocess
import sys

FIRST, SECOND = sys.argv[1:3]
ROUNDS = 8

WORKER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=100, isolation_level=None)
for number in range(int(sys.argv[3])):
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO t VALUES (?, ?, ?)", (sys.argv[2], number, "x" * 500))
    database.execute("COMMIT")
    (count,) = database.execute("SELECT count(*) FROM t WHERE who = ?", (sys.argv[2],)).fetchone()
    assert count == number + 1, (count, number)
database.close()
"""

KILLED = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=100, isolation_level=None)
database.execute("BEGIN IMMEDIATE")
database.execute("INSERT INTO t SELECT 'killed', who, text FROM t")
database.execute("PRAGMA cache_spill = 1")
print("in the middle", flush=True)
sys.stdin.read()
"""


def connect(*path):
    return sqlite3.connect(os.path.join(*path), timeout=100, isolation_level=None)


def count(database):
    (found,) = database.execute("SELECT count(*) FROM t").fetchone()
    return found


def work(directories, name, who):
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, os.path.join(directory, name), who + str(index), str(ROUNDS)])
        for index, directory in enumerate(directories)
    ]
    for worker in workers:
        assert worker.wait(110) == 0


for journal in sys.argv[3:]:
    name = journal + ".db"
    here = connect(FIRST, name)
    assert here.execute("PRAGMA journal_mode = %s" % journal).fetchone() == (journal,)
    here.execute("CREATE TABLE t (who TEXT, number INTEGER, text TEXT)")
    work([FIRST, FIRST, FIRST], name, "a")
    assert count(here) == 3 * ROUNDS
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, os.path.join(FIRST, name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout.readline() == "in the middle\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    work([FIRST], name, "b")
    assert count(here) == 4 * ROUNDS
    if journal == "wal":
        # What one client maps another cannot see, so it may not join.
        other = connect(SECOND, name)
        try:
            other.execute("SELECT count(*) FROM t").fetchone()
        except sqlite3.OperationalError as error:
            print("ok: a second client is refused (%s)" % error)
        else:
            raise AssertionError("a second client joined")
        other.close()
        busy, _, _ = here.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0 and os.stat(os.path.join(FIRST, name + "-wal")).st_size == 0
        assert here.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        here.close()
        assert not os.path.exists(os.path.join(FIRST, name + "-shm"))
        # In turn they may.
        work([SECOND], name, "c")
    else:
        work([FIRST, SECOND], name, "c")
        here.close()
    for directory in (SECOND, FIRST):
        database = connect(directory, name)
        assert count(database) == (5 if journal == "wal" else 6) * ROUNDS
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    for left in os.listdir(FIRST):
        os.unlink(os.path.join(FIRST, left))
    print("ok: %s" % journal, flush=True)
