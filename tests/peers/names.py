"""MS-LSAT as impacket speaks it: HOST PORT ADMIN PASS CHECK USER PASS. ADMIN administers the server; USER does not."""

import struct

from impacket.dcerpc.v5 import lsad, lsat
from impacket.dcerpc.v5.dtypes import MAXIMUM_ALLOWED

from common import *  # noqa: F403  (the scripts here are one program in several files)

ACCESS_DENIED = 0xC0000022
INVALID_HANDLE = 0xC0000008
INVALID_PARAMETER = 0xC000000D
NONE_MAPPED = 0xC0000073
SOME_NOT_MAPPED = 0x107
USER, DOMAIN, ALIAS, WELL_KNOWN, UNKNOWN = 1, 3, 4, 5, 8


def lsarpc(connection):
    """An lsarpc binding over an SMB connection."""
    pipe = transport.SMBTransport(
        connection.getRemoteHost(), connection.getRemoteHost(), filename=r"\lsarpc", smb_connection=connection
    )
    rpc = pipe.get_dce_rpc()
    rpc.connect()
    rpc.bind(lsat.MSRPC_UUID_LSAT)
    return rpc


def policy(rpc):
    return lsad.hLsarOpenPolicy2(rpc, MAXIMUM_ALLOWED | lsat.POLICY_LOOKUP_NAMES)["PolicyHandle"]


def machine_sid(rpc, handle):
    answer = lsad.hLsarQueryInformationPolicy2(
        rpc, handle, lsad.POLICY_INFORMATION_CLASS.PolicyAccountDomainInformation
    )
    domain = answer["PolicyInformation"]["PolicyAccountDomainInfo"]
    check(domain["DomainName"] == "TESTED", "the machine is called TESTED")
    return domain["DomainSid"].formatCanonical()


def names_and_sids(host, port, admin, admin_password, user, password):
    rpc = lsarpc(smb(host, port, user, password))
    handle = policy(rpc)
    machine = machine_sid(rpc, handle)
    names = [user, "TESTED\\" + user, "Everyone", "BUILTIN\\Administrators"]
    answer = lsat.hLsarLookupNames3(rpc, handle, names)
    found = answer["TranslatedSids"]["Sids"]
    sids = [entry["Sid"].formatCanonical() for entry in found]
    check(sids[0].startswith(machine + "-") and sids[0] == sids[1], "%s is one of the machine's" % user)
    check(sids[2:] == ["S-1-1-0", "S-1-5-32-544"], "the well-known ones are well known")
    check([entry["Use"] for entry in found] == [USER, USER, WELL_KNOWN, ALIAS], "and what they are is told")
    for call in (lsat.hLsarLookupNames, lsat.hLsarLookupNames2):
        answer = call(rpc, handle, [user])
        rid = answer["TranslatedSids"]["Sids"][0]["RelativeId"]
        check("%s-%d" % (machine, rid) == sids[0], "%s agrees" % call.__name__)
    for call in (lsat.hLsarLookupSids, lsat.hLsarLookupSids2):
        answer = call(rpc, handle, sids)
        domains = [entry["Name"] for entry in answer["ReferencedDomains"]["Domains"]]
        told = [(domains[e["DomainIndex"]], e["Name"]) for e in answer["TranslatedNames"]["Names"]]
        check(told[0] == ("TESTED", user) and told[3] == ("BUILTIN", "Administrators"), "%s leads back" % call.__name__)
    error = error_of(lsat.hLsarLookupNames3, rpc, handle, ["nobody-here"])
    check(error == NONE_MAPPED, "who is nobody is not mapped (%x)" % error)
    error = error_of(lsat.hLsarLookupSids, rpc, handle, ["S-1-5-21-1-2-3-4", "S-1-1-0"])
    check(error == SOME_NOT_MAPPED, "of two one is (%x)" % error)
    name = lsat.hLsarGetUserName(rpc)
    check(name["UserName"].lower() == user, "the caller is %s" % user)
    lsad.hLsarClose(rpc, handle)
    error = error_of(lsat.hLsarLookupSids, rpc, handle, ["S-1-1-0"])
    check(error == INVALID_HANDLE, "a handle that was closed is none (%x)" % error)


def anonymous_callers_get_no_policy(host, port, admin, admin_password, user, password):
    error = error_of(lambda: policy(lsarpc(smb(host, port, "", ""))))
    check(error == ACCESS_DENIED, "anonymous callers learn no names (%x)" % error)


def the_policy_opens_for_lookups_only(host, port, admin, admin_password, user, password):
    rpc = lsarpc(smb(host, port, user, password))
    error = error_of(lsad.hLsarOpenPolicy2, rpc, lsad.POLICY_CREATE_ACCOUNT)
    check(error == ACCESS_DENIED, "users make no accounts (%x)" % error)
    handle = policy(rpc)
    audit = lsad.POLICY_INFORMATION_CLASS.PolicyAuditEventsInformation
    error = error_of(lsad.hLsarQueryInformationPolicy, rpc, handle, audit)
    check(error == INVALID_PARAMETER, "what the policy does not say is refused (%x)" % error)


def open_policy3_opens_the_policy(host, port, admin, admin_password, user, password):
    def open_policy(rpc, access, version):
        name = "\\\\" + host + "\0"
        stub = struct.pack("<LLLL", 0x20000, len(name), 0, len(name)) + name.encode("utf-16-le")
        stub += bytes(-len(stub) % 4)
        stub += struct.pack("<6L", 24, 0, 0, 0, 0, 0) + struct.pack("<L", access)
        stub += struct.pack("<4L", version, version, 1, 0)
        rpc.call(130, stub)
        answer = rpc.recv()
        return answer[:16], answer[16:36], struct.unpack("<L", answer[36:40])[0]

    rpc = lsarpc(smb(host, port, user, password))
    revision, handle, status = open_policy(rpc, MAXIMUM_ALLOWED | lsat.POLICY_LOOKUP_NAMES, 1)
    check(status == 0, "the policy opens (%x)" % status)
    check(revision == struct.pack("<4L", 1, 1, 1, 0), "in revision 1, without features (%s)" % revision.hex())
    names = lsat.hLsarLookupSids2(rpc, handle, ["S-1-1-0"])["TranslatedNames"]["Names"]
    check(names[0]["Name"] == "Everyone", "the handle is one to ask with")
    lsad.hLsarClose(rpc, handle)
    _, handle, status = open_policy(rpc, MAXIMUM_ALLOWED, 2)
    check(status == 0xC00000BB and handle == bytes(20), "another version is not supported (%x)" % status)
    _, handle, status = open_policy(rpc, lsad.POLICY_CREATE_ACCOUNT, 1)
    check(status == ACCESS_DENIED and handle == bytes(20), "users make no accounts (%x)" % status)


main({name: value for name, value in list(globals().items()) if callable(value)})  # noqa: F405
