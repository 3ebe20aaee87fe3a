"""What a client made of impacket does until its time is over: whole files put, fetched, renamed and removed."""

import hashlib
import io
import random
import sys
import time

from impacket.smbconnection import SMBConnection, SessionError

HOST, PORT, USER, PASSWORD, DIRECTORY, SEED, SECONDS = sys.argv[1:8]
RANDOM = random.Random(int(SEED))
END = time.time() + float(SECONDS)


def content(key, length):
    return hashlib.shake_128(b"%d" % key).digest(length)


def tell(*words):
    print(*words, flush=True)


def fetch(connection, name):
    data = io.BytesIO()
    connection.getFile("data", name, data.write)
    return data.getvalue()


def work(connection, files, made):
    choice = RANDOM.randrange(6)
    known = sorted(files)
    if choice < 2 or not known:
        key = RANDOM.randrange(1 << 40)
        data = content(key, RANDOM.randrange(200000))
        name = "%s\\i%d" % (DIRECTORY, made)
        connection.putFile("data", name, io.BytesIO(data).read)
        files[name] = data
    elif choice == 2:
        name = RANDOM.choice(known)
        if fetch(connection, name) != files[name]:
            tell("FOUND", name, "is not what was put")
    elif choice == 3:
        name = RANDOM.choice(known)
        target = "%s\\j%d" % (DIRECTORY, made)
        connection.rename("data", name, target)
        files[target] = files.pop(name)
    elif choice == 4:
        name = RANDOM.choice(known)
        connection.deleteFile("data", name)
        del files[name]
    else:
        listed = {entry.get_longname() for entry in connection.listPath("data", DIRECTORY + "\\*")}
        missing = [name for name in known if name.split("\\")[1] not in listed]
        if missing:
            tell("FOUND a listing without", *missing)


def main():
    made = 0
    while time.time() < END:
        files = {}
        try:
            connection = SMBConnection(HOST, HOST, sess_port=int(PORT), timeout=60)
            connection.login(USER, PASSWORD)
            try:
                connection.createDirectory("data", DIRECTORY)
            except SessionError as error:
                if error.getErrorCode() != 0xC0000035:
                    raise
            while time.time() < END:
                made += 1
                work(connection, files, made)
                tell("SUCCESS")
            for name in sorted(files):
                if fetch(connection, name) != files[name]:
                    tell("FOUND", name, "is not what was put, at the end")
            connection.close()
        except SessionError as error:
            tell("STATUS 0x%08x" % (error.getErrorCode() & 0xFFFFFFFF))
        except Exception as error:  # whatever impacket makes of a lost connection
            tell("BROKEN", type(error).__name__, str(error).replace("\n", " "))
            time.sleep(0.1)


main()
