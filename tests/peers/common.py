"""What the scripts here share: connections over SMB and srvsvc, and one line per check."""

import struct
import sys

from impacket import smb3structs
from impacket.dcerpc.v5 import srvs, transport
from impacket.dcerpc.v5.dtypes import NULL
from impacket.dcerpc.v5.rpcrt import RPC_C_AUTHN_LEVEL_NONE
from impacket.smbconnection import SMBConnection, SessionError

ERROR_ACCESS_DENIED = 5
NERR_CLIENT_NAME_NOT_FOUND = 2312
NERR_FILE_ID_NOT_FOUND = 2314
NERR_NET_NAME_NOT_FOUND = 2310


class Failed(Exception):
    """A check did not hold."""


def check(holds, what):
    if not holds:
        raise Failed(what)
    print("ok: %s" % what)


def smb(host, port, user, password):
    """An authenticated SMB connection."""
    connection = SMBConnection(host, host, sess_port=port, timeout=20)
    connection.login(user, password)
    return connection


def srvsvc(connection, name=r"\srvsvc"):
    """A srvsvc binding over an SMB connection."""
    pipe = transport.SMBTransport(
        connection.getRemoteHost(), connection.getRemoteHost(), filename=name, smb_connection=connection
    )
    rpc = pipe.get_dce_rpc()
    rpc.connect()
    rpc.bind(srvs.MSRPC_UUID_SRVS)
    return rpc


def lock(connection, tree, handle, offset, length):
    """Takes an exclusive byte-range lock, at once or not at all."""
    server = connection.getSMBServer()
    packet = server.SMB_PACKET()
    packet["Command"] = smb3structs.SMB2_LOCK
    packet["TreeID"] = tree
    body = smb3structs.SMB2Lock()
    body["FileID"] = handle
    body["LockCount"] = 1
    body["LockSequence"] = 0
    body["Locks"] = struct.pack("<QQLL", offset, length, 0x12, 0)
    packet["Data"] = body
    answer = server.recvSMB(server.sendSMB(packet))
    if answer["Status"] != 0:
        raise Failed("LOCK answered 0x%08x" % answer["Status"])


def error_of(call, *arguments, **named):
    """The Win32 error (or NTSTATUS) that a call ends with; 0 for success."""
    try:
        answer = call(*arguments, **named)
    except Exception as error:  # impacket has an exception type for each interface
        code = getattr(error, "get_error_code", None) or getattr(error, "getErrorCode", None)
        if code is None:
            raise
        return code()
    return answer["ErrorCode"] if hasattr(answer, "fields") and "ErrorCode" in answer.fields else 0


def text(value):
    """An NDR string without its terminator."""
    return value[:-1] if value.endswith("\0") else value


def main(checks):
    """Runs the check named by the fifth argument: HOST PORT USER PASS CHECK [ARG...]."""
    host, port, user, password, name = sys.argv[1:6]
    try:
        checks[name](host, int(port), user, password, *sys.argv[6:])
    except Failed as error:
        sys.exit("FAILED: %s" % error)
    except SessionError as error:
        sys.exit("FAILED: unexpected %s" % error)
