"""Logs on at the web console with a ticket, by MIT's GSS-API and with channel bindings.

    negotiate.py HOST PORT BINDINGS

BINDINGS is right (those of the connection), wrong, or none. Prints the status of the answer; after a logon also the
name of the user, and "mutual" if the server has proved itself.
"""

import base64
import ctypes
import hashlib
import http.client
import json
import ssl
import sys


class Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]

    @classmethod
    def of(cls, data):
        held = ctypes.create_string_buffer(data, len(data))
        buffer = cls(len(data), ctypes.cast(held, ctypes.c_void_p))
        buffer.held = held
        return buffer

    def bytes(self):
        return ctypes.string_at(self.value, self.length) if self.length else b""


class Oid(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("elements", ctypes.c_void_p)]

    @classmethod
    def of(cls, data):
        held = ctypes.create_string_buffer(data, len(data))
        oid = cls(len(data), ctypes.cast(held, ctypes.c_void_p))
        oid.held = held
        return oid


class Bindings(ctypes.Structure):
    _fields_ = [
        ("initiator_type", ctypes.c_uint32),
        ("initiator", Buffer),
        ("acceptor_type", ctypes.c_uint32),
        ("acceptor", Buffer),
        ("application", Buffer),
    ]


HOSTBASED_SERVICE = Oid.of(bytes.fromhex("2a864886f71201020104"))
SPNEGO = Oid.of(bytes.fromhex("2b0601050502"))
MUTUAL = 2
CONTINUE = 1

host, port, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3]
library = ctypes.CDLL("libgssapi_krb5.so.2")


def check(status, minor, what):
    if status >> 16:
        sys.exit(f"{what}: {status:#x} {minor.value:#x}")


def context(name, bindings):
    """Yields the client's tokens; it is sent those of the server."""
    handle, minor = ctypes.c_void_p(), ctypes.c_uint32()
    token = None
    while True:
        output = Buffer()
        status = library.gss_init_sec_context(
            ctypes.byref(minor), None, ctypes.byref(handle), name, ctypes.byref(SPNEGO), MUTUAL, 0,
            ctypes.byref(bindings) if bindings else None, ctypes.byref(token) if token else None, None,
            ctypes.byref(output), None, None)
        check(status, minor, "gss_init_sec_context")
        answer = yield output.bytes(), not status & CONTINUE
        token = Buffer.of(answer)


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
tls.check_hostname = False
tls.verify_mode = ssl.CERT_NONE
connection = http.client.HTTPSConnection(host, port, context=tls, timeout=60)
connection.connect()
# The server's own certificate is signed with SHA-256.
digest = hashlib.sha256(connection.sock.getpeercert(True)).digest()
bindings = None
if wanted != "none":
    digest = digest if wanted == "right" else bytes(32)
    bindings = Bindings(application=Buffer.of(b"tls-server-end-point:" + digest))

name, minor = ctypes.c_void_p(), ctypes.c_uint32()
service = Buffer.of(f"HTTP@{host}".encode())
check(library.gss_import_name(
    ctypes.byref(minor), ctypes.byref(service), ctypes.byref(HOSTBASED_SERVICE), ctypes.byref(name)), minor, "name")
tokens = context(name, bindings)
token, is_done = next(tokens)
origin = f"https://{host}:{port}"
connection.request("POST", "/logon/ticket", headers={
    "Origin": origin, "Authorization": "Negotiate " + base64.b64encode(token).decode()})
answer = connection.getresponse()
body = json.loads(answer.read())
print(answer.status, body.get("user", body.get("message")))
proof = answer.headers.get("WWW-Authenticate", "").removeprefix("Negotiate").strip()
if answer.status == 200 and proof:
    _, is_done = tokens.send(base64.b64decode(proof))
    print("mutual" if is_done else "unfinished")
