"""Logons with tickets that impacket makes: HOST ADDRESS USER CHECK [ARGUMENT...].

HOST is the server's full name, USER the owner of the ticket cache KRB5CCNAME.
"""

import os
import struct
import time

from common import *  # noqa: F403

from impacket import smb3
from impacket.dcerpc.v5 import srvs, transport
from impacket.dcerpc.v5.rpcrt import RPC_C_AUTHN_GSS_NEGOTIATE, RPC_C_AUTHN_LEVEL_PKT_PRIVACY
from impacket.krb5.asn1 import AP_REQ
from impacket.krb5.ccache import CCache
from impacket.smb3structs import FILE_SHARE_READ, FILE_SHARE_WRITE, SMB2_DIALECT_21
from pyasn1.codec.der import decoder

REALM = "CORP.TEST"
STATUS_ACCESS_DENIED = 0xC0000022
STATUS_NETWORK_SESSION_EXPIRED = 0xC000035C
STATUS_LOGON_FAILURE = 0xC000006D
STATUS_MORE_PROCESSING_REQUIRED = 0xC0000016
STATUS_OBJECT_NAME_NOT_FOUND = 0xC0000034

# The answers to a logon that is refused: with the last of them, a client may bring another ticket.
REFUSED = (STATUS_LOGON_FAILURE, STATUS_ACCESS_DENIED, STATUS_MORE_PROCESSING_REQUIRED)

# The most seconds that a short ticket may last here.
PATIENCE = 120


def connect(host, address, dialect=None):
    return SMBConnection(host, address, sess_port=445, preferredDialect=dialect, timeout=20)


def ticket(service):
    """The ticket for a service that is in the cache, in the form of impacket's logon.

    MIT's programs got it: Samba's controller refuses the request that impacket 0.10 makes (KRB_AP_ERR_INAPP_CKSUM).
    """
    return CCache.loadFile(os.environ["KRB5CCNAME"]).getCredential("%s@%s" % (service, REALM)).toTGS()


def logon(connection, user, tgs):
    connection.kerberosLogin(user, "", REALM, kdcHost=REALM, TGS=tgs, useCache=False)


def works(connection):
    check(any(it.get_longname() == "." for it in connection.listPath("data", "*")), "the share can be listed")


def tickets_in_the_cache(host, address, user):
    connection = connect(host, address)
    connection.kerberosLogin(user, "", REALM, kdcHost=REALM)
    works(connection)


def ticket_for(host, address, user, service):
    """A logon with a ticket for this service, which the server's key opens, is refused."""
    tgs = ticket(service)
    connection = connect(host, address)
    code = error_of(logon, connection, user, tgs)
    check(code in REFUSED, "a ticket for %s is refused with 0x%08x" % (service, code))


def altered(host, address, user):
    """Bits of the whole logon are inverted, one for each logon."""
    tgs = ticket("cifs/%s" % host)
    original = smb3.SMB3.sendSMB
    position = [None]
    seen = []

    def send(self, packet):
        if packet["Command"] == smb3structs.SMB2_SESSION_SETUP:
            blob = bytearray(packet["Data"]["Buffer"])
            seen[:] = [bytes(blob)]
            if position[0] is not None:
                blob[position[0] // 8] ^= 1 << position[0] % 8
            packet["Data"]["Buffer"] = bytes(blob)
        return original(self, packet)

    smb3.SMB3.sendSMB = send
    logon(connect(host, address), user, tgs)
    blob = seen[0]
    protected = encrypted_parts(blob)
    tried = accepted = 0
    for place in range(0, len(blob), 13):
        position[0] = place * 8 + place % 8
        connection = connect(host, address)
        tried += 1
        try:
            logon(connection, user, tgs)
        except Exception:
            continue
        accepted += 1
        if place in protected:
            raise Failed("the logon is accepted with another bit %d of byte %d" % (place % 8, place))
    check(tried > 50, "%d altered logons were tried; %d, altered outside of the ticket, were accepted" % (tried, accepted))
    position[0] = None
    logon(connect(host, address), user, tgs)
    print("ok: the unaltered ticket is still accepted")


def encrypted_parts(blob):
    """The bytes of the ticket's and the authenticator's encrypted parts (RFC 4120 5.3, 5.5.1)."""
    request = decoder.decode(blob[blob.index(b"\x01\x00\x6e") + 2 :], asn1Spec=AP_REQ())[0]
    ciphers = [request["ticket"]["enc-part"]["cipher"], request["authenticator"]["cipher"]]
    places = set()
    for cipher in (it.asOctets() for it in ciphers):
        places.update(range(blob.index(cipher), blob.index(cipher) + len(cipher)))
    return places


def replayed(host, address, user):
    """The same AP-REQ on a second connection is refused."""
    tgs = ticket("cifs/%s" % host)
    original = smb3.SMB3.sendSMB
    first = []

    def send(self, packet):
        if packet["Command"] == smb3structs.SMB2_SESSION_SETUP:
            if first:
                # The encoded authenticators of two logons can have different lengths.
                packet["Data"]["SecurityBufferLength"] = len(first[0])
                packet["Data"]["Buffer"] = first[0]
            first.append(packet["Data"]["Buffer"])
        return original(self, packet)

    smb3.SMB3.sendSMB = send
    logon(connect(host, address), user, tgs)
    code = error_of(logon, connect(host, address), user, tgs)
    check(code in REFUSED, "the repeated request is refused with 0x%08x" % code)


def expires(host, address, user):
    """A session ends with its ticket; a new logon in it keeps its opens. A line of standard
    input says that there is a new ticket."""
    connection = connect(host, address, SMB2_DIALECT_21)
    logon(connection, user, ticket("cifs/%s" % host))
    low = connection.getSMBServer()
    tree = connection.connectTree("data")
    handle = connection.createFile(tree, "kept.txt", shareMode=FILE_SHARE_READ | FILE_SHARE_WRITE)
    connection.writeFile(tree, handle, b"before")
    until = time.monotonic() + PATIENCE
    code = 0
    while code == 0 and time.monotonic() < until:
        time.sleep(0.2)
        code = error_of(low.read, tree, handle, 0, 6)
    check(code == STATUS_NETWORK_SESSION_EXPIRED, "a READ after the end of the ticket gets 0x%08x" % code)
    print("renew", flush=True)
    sys.stdin.readline()
    before = dict(low._Session)
    logon(connection, user, ticket("cifs/%s" % host))
    check(low._Session["SessionID"] == before["SessionID"], "the session keeps its id")
    # A second logon gives a session no other keys (MS-SMB2 3.2.5.3.3).
    for name in ("SessionKey", "SigningKey", "EncryptionKey", "DecryptionKey", "ApplicationKey"):
        low._Session[name] = before[name]
    check(connection.readFile(tree, handle, 0, 6) == b"before", "the open is still there")
    connection.writeFile(tree, handle, b"after!")
    connection.closeFile(tree, handle)
    connection.deleteFile("data", "kept.txt")


def holds(host, address, user, share, name):
    """Has a file open until standard input ends."""
    connection = connect(host, address)
    logon(connection, user, ticket("cifs/%s" % host))
    connection.openFile(connection.connectTree(share), name, creationDisposition=3)
    print("open", flush=True)
    sys.stdin.read()


def rpc(host, address, user):
    """Calls over a pipe whose messages are encrypted with the keys of a ticket. impacket 0.10 cannot only sign them."""
    tgs = ticket("cifs/%s" % host)
    connection = connect(host, address)
    logon(connection, user, tgs)
    pipe = transport.SMBTransport(host, address, filename=r"\srvsvc", smb_connection=connection)
    call = pipe.get_dce_rpc()
    call.set_credentials(user, "", REALM, "", "", None, tgs, tgs)
    call.set_auth_type(RPC_C_AUTHN_GSS_NEGOTIATE)
    call.set_auth_level(RPC_C_AUTHN_LEVEL_PKT_PRIVACY)
    call.connect()
    call.bind(srvs.MSRPC_UUID_SRVS)
    for _ in range(3):
        shares = srvs.hNetrShareEnum(call, 1)["InfoStruct"]["ShareInfo"]["Level1"]["Buffer"]
        names = [it["shi1_netname"][:-1] for it in shares]
        check("data" in names, "the shares are %s" % names)


class Context:
    """A context of a CREATE (MS-SMB2 2.2.13.2)."""

    def __init__(self, name, data):
        self.bytes = struct.pack("<LHHHHL", 0, 16, 4, 0, 24, len(data)) + name + bytes(4) + data

    def getData(self):
        return self.bytes


def open_durable(connection, context):
    """Opens a file with a batch oplock and a context for durable handles."""
    low, tree = connection.getSMBServer(), connection.connectTree("data")
    access, shared = 0x0012019F, FILE_SHARE_READ | FILE_SHARE_WRITE
    return low.create(tree, "durable", access, shared, 0x40, 3, 0x80, oplockLevel=9, createContexts=[context])


def reclaims(host, address, user, password):
    """A durable handle of a user of the domain is not that of the local account with the same name."""
    guid = os.urandom(16)
    first = connect(host, address)
    logon(first, user, ticket("cifs/%s" % host))
    handle = open_durable(first, Context(b"DH2Q", struct.pack("<LLQ", 60000, 0, 0) + guid))
    back = Context(b"DH2C", handle + guid + bytes(4))
    first.getSMBServer()._NetBIOSSession.get_socket().close()
    local = connect(host, address)
    local.login(user, password)
    deadline = time.monotonic() + PATIENCE
    code = STATUS_OBJECT_NAME_NOT_FOUND
    # Until the server has noticed the end of the connection, nobody can reclaim the handle.
    while code == STATUS_OBJECT_NAME_NOT_FOUND and time.monotonic() < deadline:
        code = error_of(open_durable, local, back)
    check(code == STATUS_ACCESS_DENIED, "the local account gets 0x%08x" % code)
    again = connect(host, address)
    logon(again, user, ticket("cifs/%s" % host))
    reclaimed = open_durable(again, back)
    check(reclaimed[:8] == handle[:8], "the user of the domain has its handle again")


if __name__ == "__main__":
    host, address, user, name, *arguments = sys.argv[1:]
    known = (tickets_in_the_cache, ticket_for, altered, replayed, expires, holds, rpc, reclaims)
    checks = {it.__name__: it for it in known}
    try:
        checks[name](host, address, user, *arguments)
    except Failed as failure:
        sys.exit("failed: %s" % failure)
