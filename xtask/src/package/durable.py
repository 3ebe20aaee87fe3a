"""Holds two opens while the server is upgraded: a durable one of `data` and a persistent one of `vm`.

It writes "held", waits for a line, reclaims both opens, and writes "reclaimed". Arguments: address, user, password.
"""

import struct
import sys
import time
import uuid

from impacket import smb3, smb3structs
from impacket.smbconnection import SMBConnection, SessionError

STATUS_SUCCESS = 0
STATUS_LOCK_NOT_GRANTED = 0xC0000055
STATUS_SHARING_VIOLATION = 0xC0000043

READ_WRITE = smb3structs.FILE_READ_DATA | smb3structs.FILE_WRITE_DATA
PERSISTENT = 2
EXCLUSIVE, UNLOCK, AT_ONCE = 0x02, 0x04, 0x10
# The longest wait for a server that starts again.
PATIENCE = 60

# impacket sends this constant as all of its capabilities; the persistent handles are one more.
smb3.SMB2_GLOBAL_CAP_ENCRYPTION |= smb3structs.SMB2_GLOBAL_CAP_PERSISTENT_HANDLES


class Client:
    """A client with one open file, which has 8 bytes locked."""

    def __init__(self, share, oplock, flags):
        self.share, self.oplock, self.flags = share, oplock, flags
        self.guid = uuid.uuid4().bytes
        self.connect()
        data = struct.pack("<LL8s16s", 60_000, flags, b"", self.guid)
        self.file = self.create(b"DH2Q", data)
        self.connection.writeFile(self.tree, self.file, b"before the upgrade")
        expect(self.lock(self.file, EXCLUSIVE | AT_ONCE), STATUS_SUCCESS, "LOCK")

    def connect(self):
        host, user, password = sys.argv[1:]
        self.connection = SMBConnection(host, host, timeout=20)
        self.connection.login(user, password)
        self.server = self.connection.getSMBServer()
        self.tree = self.connection.connectTree(self.share)

    def create(self, tag, data):
        context = smb3structs.SMB2CreateContext()
        context["NameOffset"], context["NameLength"] = 16, 4
        context["DataOffset"], context["DataLength"] = 24, len(data)
        context["Buffer"] = tag + bytes(4) + data
        return self.server.create(
            self.tree, "held.txt", READ_WRITE, 0, smb3structs.FILE_NON_DIRECTORY_FILE,
            smb3structs.FILE_OPEN_IF, 0, oplockLevel=self.oplock, createContexts=[context],
        )

    def lock(self, file, flags):
        packet = self.server.SMB_PACKET()
        packet["Command"], packet["TreeID"] = smb3structs.SMB2_LOCK, self.tree
        body = smb3structs.SMB2Lock()
        body["FileID"], body["LockCount"], body["LockSequence"] = file, 1, 0
        body["Locks"] = struct.pack("<QQLL", 0, 8, flags, 0)
        packet["Data"] = body
        return self.server.recvSMB(self.server.sendSMB(packet))["Status"]

    def reclaim(self):
        """Connects again, which may take some tries, and reclaims the open once."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect()
                break
            except (OSError, SessionError) as error:
                if time.monotonic() > deadline:
                    raise SystemExit("no connection to %s: %s" % (self.share, error))
                time.sleep(0.1)
        data = self.file + struct.pack("<16sL", self.guid, self.flags)
        self.file = self.create(b"DH2C", data)

    def use(self):
        """Checks that the open has its content, its share mode and its lock, and closes it."""
        content = self.connection.readFile(self.tree, self.file)
        if content != b"before the upgrade":
            raise SystemExit("READ of %s returned %r" % (self.share, content))
        self.connection.writeFile(self.tree, self.file, b"after the upgrade ")
        expect(self.lock(self.file, EXCLUSIVE | AT_ONCE), STATUS_LOCK_NOT_GRANTED, "a second LOCK")
        expect(self.lock(self.file, UNLOCK), STATUS_SUCCESS, "UNLOCK")
        other = Other(self.share)
        # With an oplock, the server would wait until this client has acknowledged the break.
        if self.oplock == smb3structs.SMB2_OPLOCK_LEVEL_NONE:
            expect(other.status(), STATUS_SHARING_VIOLATION, "another client's CREATE")
        self.connection.closeFile(self.tree, self.file)
        expect(other.status(), STATUS_SUCCESS, "another client's CREATE after the CLOSE")


class Other(Client):
    """A client without any right to the open."""

    def __init__(self, share):
        self.share = share
        self.connect()

    def status(self):
        try:
            self.connection.openFile(self.tree, "held.txt", desiredAccess=READ_WRITE, shareMode=7)
        except SessionError as error:
            return error.getErrorCode()
        return STATUS_SUCCESS


def expect(status, wanted, what):
    if status != wanted:
        raise SystemExit("%s was answered with 0x%08x, not with 0x%08x" % (what, status, wanted))


clients = [
    Client("data", smb3structs.SMB2_OPLOCK_LEVEL_BATCH, 0),
    Client("vm", smb3structs.SMB2_OPLOCK_LEVEL_NONE, PERSISTENT),
]
print("held", flush=True)
sys.stdin.readline()
for client in clients:
    client.reclaim()
for client in clients:
    client.use()
print("reclaimed", flush=True)
