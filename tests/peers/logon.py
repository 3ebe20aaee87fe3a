"""Logons with NTLM messages that impacket builds, which carry no MIC: HOST PORT USER PASS CHECK."""

from common import *  # noqa: F403

from impacket import ntlm

STATUS_LOGON_FAILURE = 0xC000006D


def refused(host, port, user, password, allowed=(STATUS_LOGON_FAILURE,)):
    try:
        smb(host, port, user, password)
    except SessionError as error:
        check(error.getErrorCode() in allowed, "refused with 0x%08x" % error.getErrorCode())
        return
    raise Failed("logged on as %r with password %r" % (user, password))


def right(host, port, user, password):
    connection = smb(host, port, user, password)
    check(connection.listPath("data", "*"), "the right password without a MIC is good")


def wrong(host, port, user, password):
    for bad in (password + "x", password[:-1], password.upper(), "", " "):
        refused(host, port, user, bad)


def unknown_user(host, port, user, password):
    refused(host, port, "no-such-user", password)
    refused(host, port, user + "x", password)


def promised_mic_missing(host, port, user, password):
    """A client that says "a MIC is here" (MS-NLMP 2.2.2.1, MsvAvFlags 2) and has none must not be believed."""
    plain = ntlm.AV_PAIRS.getData

    def with_flags(pairs):
        pairs[6] = struct.pack("<L", 2)
        return plain(pairs)

    ntlm.AV_PAIRS.getData = with_flags
    refused(host, port, user, password, (STATUS_LOGON_FAILURE, 0xC000000D))


def clock(host, port, user, password, file_time):
    """A client whose responses have this time, in 100 ns since 1601, whatever the server says."""
    plain = ntlm.AV_PAIRS.__init__

    def with_time(pairs, data=None):
        plain(pairs, data)
        if data is not None:
            pairs[ntlm.NTLMSSP_AV_TIME] = struct.pack("<Q", file_time)

    ntlm.AV_PAIRS.__init__ = with_time
    right(host, port, user, password)
    right(host, port, user, password)


def no_time(host, port, user, password):
    clock(host, port, user, password, 0)


def clock_of_2001(host, port, user, password):
    clock(host, port, user, password, 126227808000000000)


def many_in_a_row(host, port, user, password):
    for _ in range(20):
        refused(host, port, user, "guess")
    smb(host, port, user, password)
    print("ok: the right password still works")


main({name: value for name, value in list(globals().items()) if callable(value)})  # noqa: F405
