#!/usr/bin/python3
"""A large directory is made, listed and emptied; names move about. Arguments: how many entries, how many renames."""
import os
import random
import sys

entries, renames = int(sys.argv[1]), int(sys.argv[2])
random.seed(7)
os.chdir("/mnt")
os.mkdir("large")
names = ["entry %05d %s" % (number, "x" * (number % 60)) for number in range(entries)]
for name in names:
    os.close(os.open("large/" + name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
assert sorted(os.listdir("large")) == names
assert sum(entry.is_file() for entry in os.scandir("large")) == entries
for name in names[::2]:
    os.unlink("large/" + name)
assert sorted(os.listdir("large")) == names[1::2]
# Unlinked while being listed: no entry that stays may be missing or come twice.
seen = []
with os.scandir("large") as listing:
    for entry in listing:
        seen.append(entry.name)
        if len(seen) % 3 == 0:
            os.unlink(entry.path)
assert len(seen) == len(set(seen)), "an entry came twice"
assert sorted(seen) == names[1::2], "an entry was left out"
for name in os.listdir("large"):
    os.unlink("large/" + name)
os.rmdir("large")
print("directory done")

# Files and directories change places, over each other where that is allowed; each file knows its number.
places = ["a", "b", "c", "d"]
for place in places:
    os.mkdir(place)
where = {}
for number in range(40):
    where[number] = "%s/f%d" % (random.choice(places), number)
    with open(where[number], "w") as file:
        file.write(str(number))
for step in range(renames):
    number = random.choice(list(where))
    if step % 10 == 0 and len(where) > 10:
        victim = random.choice([other for other in where if other != number])
        os.rename(where[number], where[victim])
        where[number] = where.pop(victim)
    elif step % 7 == 0:
        place = random.choice(places)
        os.rename(place, "moved")
        os.rename("moved", place)
    else:
        new = "%s/s%d-%d" % (random.choice(places), step, number)
        os.rename(where[number], new)
        where[number] = new
for number, name in where.items():
    with open(name) as file:
        assert file.read() == str(number), name
found = sorted(os.path.join(place, name) for place in places for name in os.listdir(place))
assert found == sorted(where.values()), set(found) ^ set(where.values())
for name in found:
    os.unlink(name)
for place in places:
    os.rmdir(place)
print("renames done")
