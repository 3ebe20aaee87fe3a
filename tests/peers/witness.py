"""MS-SWN as impacket speaks RPC over TCP: HOST PORT USER PASSWORD CHECK ADDRESS."""

import struct
import sys
import time

from impacket.dcerpc.v5 import epm, transport
from impacket.dcerpc.v5.rpcrt import DCERPCException, RPC_C_AUTHN_LEVEL_PKT_INTEGRITY
from impacket.uuid import uuidtup_to_bin

WITNESS = ("ccd8c074-d0e5-4a40-92b4-d074faa6ba28", "1.1")
NOT_FOUND = 1168
REVISION_MISMATCH = 1306
INVALID_PARAMETER = 87
INVALID_STATE = 5023
TIMEOUT = 1460
NULL_HANDLE = bytes(20)


def check(holds, what):
    if not holds:
        print("FAILED: %s" % what, flush=True)
        sys.exit(1)
    print("ok: %s" % what, flush=True)


def connected(host, port, credentials=None):
    rpc_transport = transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[%d]" % (host, port))
    rpc_transport.set_connect_timeout(60)
    if credentials:
        rpc_transport.set_credentials(*credentials)
    rpc = rpc_transport.get_dce_rpc()
    if credentials:
        rpc.set_auth_level(RPC_C_AUTHN_LEVEL_PKT_INTEGRITY)
    rpc.connect()
    return rpc


def bound(host, port, interface, credentials=None):
    rpc = connected(host, port, credentials)
    rpc.bind(interface)
    return rpc


def text(value):
    """[string, unique] LPWSTR"""
    if value is None:
        return struct.pack("<L", 0)
    units = (value + "\0").encode("utf-16le")
    count = len(units) // 2
    stub = struct.pack("<LLLL", 0x20000, count, 0, count) + units
    return stub + bytes(-len(stub) % 4)


def call(rpc, opnum, stub):
    rpc.call(opnum, stub)
    answer = rpc.recv()
    return answer[:-4], struct.unpack("<L", answer[-4:])[0]


def register(rpc, address, version=0x00010001, name="files"):
    return call(rpc, 1, struct.pack("<L", version) + text(name) + text(address) + text("client"))


def register_ex(rpc, address, share, version=0x00020000, flags=0, timeout=60):
    names = text("files") + text(share) + text(address) + text("client")
    return call(rpc, 4, struct.pack("<L", version) + names + struct.pack("<LL", flags, timeout))


def addresses(buffer):
    count = struct.unpack("<L", buffer[8:12])[0]
    entries = [buffer[12 + 24 * it:36 + 24 * it] for it in range(count)]
    return [".".join(str(octet) for octet in entry[4:8]) for entry in entries]


def notification(rpc, handle):
    """The type and the contents of the next notification."""
    answer, status = call(rpc, 3, handle)
    if status != 0:
        return status, None
    kind, length = struct.unpack("<LL", answer[4:12])
    buffer = answer[24:24 + length]
    if kind == 1:
        change = struct.unpack("<L", buffer[4:8])[0]
        return kind, "%s %d" % (buffer[8:].decode("utf-16le").rstrip("\0"), change)
    return kind, " ".join(addresses(buffer))


def calls_follow_the_specification(host, port, credentials, address):
    interface = uuidtup_to_bin(WITNESS)
    mapper = connected(host, port)
    found = epm.hept_map(host, interface, protocol="ncacn_ip_tcp", dce=mapper)
    check(found == "ncacn_ip_tcp:%s[%d]" % (host, port), "the endpoint mapper leads to the port (%s)" % found)
    try:
        call(bound(host, port, interface), 0, b"")
        check(False, "a stranger gets no list")
    except DCERPCException as error:
        check("access_denied" in str(error), "a stranger is refused (%s)" % error)
    rpc = bound(host, port, interface, credentials)
    listed, status = call(rpc, 0, b"")
    count = struct.unpack("<L", listed[4:8])[0]
    check((status, count) == (0, 2), "both nodes are listed")
    entries = [listed[16 + 552 * it:16 + 552 * (it + 1)] for it in range(count)]
    flags = {".".join(map(str, it[528:532])): struct.unpack("<L", it[548:552])[0] for it in entries}
    check(flags == {host: 1, address: 5}, "the other node is a witness (%s)" % flags)

    check(register(rpc, address, version=0x00020000)[1] == REVISION_MISMATCH, "Register is of version 1")
    check(register_ex(rpc, address, "shared", version=0x00010001)[1] == REVISION_MISMATCH, "RegisterEx of version 2")
    check(register(rpc, address, name=None)[1] == INVALID_PARAMETER, "a name is needed")
    check(register(rpc, "192.0.2.99")[1] == INVALID_STATE, "the address is one of the cluster")
    check(register_ex(rpc, address, "none")[1] == INVALID_STATE, "the share is one of the cluster")
    handle, status = register(rpc, address)
    check(status == 0 and handle != NULL_HANDLE, "a client is registered")
    other = bound(host, port, interface, ("bob", "b0b-the-Builder"))
    check(call(other, 2, handle)[1] == NOT_FOUND, "another user does not end the registration")
    check(call(rpc, 2, handle)[1] == 0, "the registration ends")
    check(call(rpc, 2, handle)[1] == NOT_FOUND, "only once")
    check(notification(rpc, handle)[0] == NOT_FOUND, "nothing is notified afterwards")
    handle, status = register_ex(rpc, address, "SHARED", timeout=1)
    began = time.time()
    check(status == 0 and notification(rpc, handle)[0] == TIMEOUT, "the client's time is kept")
    check(0.9 < time.time() - began < 20, "not earlier and not for ever")


def notifications_arrive(host, port, credentials, address):
    interface = uuidtup_to_bin(WITNESS)
    by_share = bound(host, port, interface, credentials)
    handle, status = register_ex(by_share, address, "shared")
    check(status == 0, "registered for the share")
    print("registered", flush=True)
    while True:
        kind, contents = notification(by_share, handle)
        print("notified %f %d %s" % (time.time(), kind, contents), flush=True)
        if kind == 3:
            return


if __name__ == "__main__":
    host, port, user, password, name, address = sys.argv[1:7]
    globals()[name](host, int(port), (user, password), address)
