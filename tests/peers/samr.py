"""MS-SAMR as impacket speaks it: HOST PORT ADMIN PASS CHECK USER PASS. ADMIN administers the server; USER does not."""

import hashlib
import hmac
import struct

from Cryptodome.Cipher import AES
from impacket import crypto, ntlm
from impacket.dcerpc.v5 import samr
from impacket.dcerpc.v5.dtypes import MAXIMUM_ALLOWED, RPC_SID
from impacket.dcerpc.v5.samr import DOMAIN_DISPLAY_INFORMATION, DOMAIN_INFORMATION_CLASS, USER_INFORMATION_CLASS

from impacket.smb3structs import SMB2_DIALECT_21

from common import *  # noqa: F403  (the scripts here are one program in several files)

ACCESS_DENIED = 0xC0000022
ALIAS_EXISTS = 0xC0000154
INVALID_HANDLE = 0xC0000008
INVALID_INFO_CLASS = 0xC0000003
MEMBER_IN_ALIAS = 0xC0000153
MEMBER_NOT_IN_ALIAS = 0xC0000152
NONE_MAPPED = 0xC0000073
NOT_SUPPORTED = 0xC00000BB
NO_SUCH_ALIAS = 0xC0000151
NO_SUCH_DOMAIN = 0xC00000DF
NO_SUCH_MEMBER = 0xC000017A
NO_SUCH_USER = 0xC0000064
CROSS_ENCRYPTION = 0xC000015D
PASSWORD_RESTRICTION = 0xC000006C
SOME_NOT_MAPPED = 0x107
WRONG_PASSWORD = 0xC000006A


def samr_pipe(connection):
    """A samr binding over an SMB connection."""
    pipe = transport.SMBTransport(
        connection.getRemoteHost(), connection.getRemoteHost(), filename=r"\samr", smb_connection=connection
    )
    rpc = pipe.get_dce_rpc()
    rpc.connect()
    rpc.bind(samr.MSRPC_UUID_SAMR)
    return rpc


def machine_domain(rpc):
    server = samr.hSamrConnect5(rpc, "\\\\server\0")["ServerHandle"]
    names = [it["Name"] for it in samr.hSamrEnumerateDomainsInSamServer(rpc, server)["Buffer"]["Buffer"]]
    check(names == ["TESTED", "Builtin"], "the domains are the machine's and the built-in one (%s)" % names)
    sid = samr.hSamrLookupDomainInSamServer(rpc, server, "TESTED")["DomainId"]
    return server, samr.hSamrOpenDomain(rpc, server, domainId=sid)["DomainHandle"], sid.formatCanonical()


def open_user(rpc, domain, name, access=MAXIMUM_ALLOWED):
    rid = samr.hSamrLookupNamesInDomain(rpc, domain, (name,))["RelativeIds"]["Element"][0]["Data"]
    return samr.hSamrOpenUser(rpc, domain, access, rid)["UserHandle"], rid


def accounts_are_enumerated_and_described(host, port, admin, admin_password, user, password):
    rpc = samr_pipe(smb(host, port, admin, admin_password))
    for connect in (samr.hSamrConnect, samr.hSamrConnect2, samr.hSamrConnect4):
        samr.hSamrCloseHandle(rpc, connect(rpc)["ServerHandle"])
    server, domain, sid = machine_domain(rpc)
    error = error_of(samr.hSamrLookupDomainInSamServer, rpc, server, "ELSEWHERE")
    check(error == NO_SUCH_DOMAIN, "another domain is not there (%x)" % error)
    listed = samr.hSamrEnumerateUsersInDomain(rpc, domain)["Buffer"]["Buffer"]
    rids = {it["Name"]: it["RelativeId"] for it in listed}
    check({"alice", "bob", "admin"} <= set(rids), "the accounts are listed (%s)" % sorted(rids))
    found, context = [], 0
    while True:
        answer = rpc_part(rpc, domain, context)
        found += [it["Name"] for it in answer["Buffer"]["Buffer"]]
        context = answer["EnumerationContext"]
        if answer["ErrorCode"] != 0x105:
            break
    check(sorted(found) == sorted(rids), "and the same in parts (%s)" % found)
    handle, rid = open_user(rpc, domain, user)
    check(rid == rids[user], "names and lists have the same RIDs")
    whole = samr.hSamrRidToSid(rpc, domain, rid)["Sid"].formatCanonical()
    check(whole == "%s-%d" % (sid, rid), "a RID is one of the machine's (%s)" % whole)
    everything = samr.hSamrQueryInformationUser2(rpc, handle, USER_INFORMATION_CLASS.UserAllInformation)["Buffer"]["All"]
    check(everything["UserName"] == user and everything["UserId"] == rid, "an account says who it is")
    check(everything["UserAccountControl"] & 0x10 and not everything["UserAccountControl"] & 1, "and that it is enabled")
    check(everything["NtOwfPassword"]["Length"] == 0, "and no hash")
    groups = samr.hSamrGetGroupsForUser(rpc, handle)["Groups"]["Groups"]
    check([it["RelativeId"] for it in groups] == [513], "everybody is in one group")
    check(samr.hSamrGetUserDomainPasswordInformation(rpc, handle)["PasswordInformation"]["MinPasswordLength"] == 1,
          "a password has at least one character")
    check(len(samr.hSamrQuerySecurityObject(rpc, handle, 4)["SecurityDescriptor"]["SecurityDescriptor"]) > 20,
          "an account has a descriptor")
    answer = samr.hSamrLookupIdsInDomain(rpc, domain, (rid, 513))
    check([it["Data"] for it in answer["Names"]["Element"]] == [user, "None"], "RIDs lead back to names")
    error = error_of(samr.hSamrLookupNamesInDomain, rpc, domain, ("nobody-here",))
    check(error == NONE_MAPPED, "who is nobody is not mapped (%x)" % error)
    error = error_of(samr.hSamrLookupNamesInDomain, rpc, domain, ("nobody-here", user))
    check(error == SOME_NOT_MAPPED, "of two one is (%x)" % error)
    error = error_of(samr.hSamrOpenUser, rpc, domain, MAXIMUM_ALLOWED, 77)
    check(error == NO_SUCH_USER, "a RID of nobody opens nothing (%x)" % error)
    info = samr.hSamrQueryInformationDomain2(rpc, domain, DOMAIN_INFORMATION_CLASS.DomainGeneralInformation2)
    check(info["Buffer"]["General2"]["I1"]["UserCount"] == len(rids), "the domain counts its users")
    check(info["Buffer"]["General2"]["LockoutThreshold"] == 3, "and tells when it locks them out")
    error = error_of(samr.hSamrQueryInformationDomain2, rpc, domain, DOMAIN_INFORMATION_CLASS.DomainReplicationInformation)
    check(error == INVALID_INFO_CLASS, "what a domain does not say is refused (%x)" % error)
    for call in (samr.hSamrQueryDisplayInformation, samr.hSamrQueryDisplayInformation2, samr.hSamrQueryDisplayInformation3):
        shown = call(rpc, domain, DOMAIN_DISPLAY_INFORMATION.DomainDisplayUser)["Buffer"]["UserInformation"]["Buffer"]
        names = [it["AccountName"] for it in shown]
        check(names == sorted(rids, key=str.upper), "%s shows them by name (%s)" % (call.__name__, names))
    samr.hSamrCloseHandle(rpc, handle)
    error = error_of(samr.hSamrGetGroupsForUser, rpc, handle)
    check(error == INVALID_HANDLE, "a handle that was closed is none (%x)" % error)
    builtin = samr.hSamrOpenDomain(rpc, server, domainId=sid_of("S-1-5-32"))["DomainHandle"]
    names = [it["Name"] for it in samr.hSamrEnumerateAliasesInDomain(rpc, builtin)["Buffer"]["Buffer"]]
    check("Administrators" in names, "the built-in groups are listed (%s)" % names)
    alias = samr.hSamrOpenAlias(rpc, builtin, aliasId=544)["AliasHandle"]
    members = [it["SidPointer"].formatCanonical() for it in samr.hSamrGetMembersInAlias(rpc, alias)["Members"]["Sids"]]
    check(members == ["%s-%d" % (sid, rids[admin])], "administrators are in theirs (%s)" % members)


def groups_are_added_described_and_deleted(host, port, admin, admin_password, user, password):
    rpc = samr_pipe(smb(host, port, admin, admin_password))
    server, domain, sid = machine_domain(rpc)
    rid = samr.hSamrLookupNamesInDomain(rpc, domain, (user,))["RelativeIds"]["Element"][0]["Data"]
    member = sid_of("%s-%d" % (sid, rid))
    made = samr.hSamrCreateAliasInDomain(rpc, domain, "editors")
    alias, info = made["AliasHandle"], samr.ALIAS_INFORMATION_CLASS
    samr.hSamrAddMemberToAlias(rpc, alias, member)
    error = error_of(samr.hSamrAddMemberToAlias, rpc, alias, member)
    check(error == MEMBER_IN_ALIAS, "a member is added once (%x)" % error)
    comment = samr.SAMPR_ALIAS_INFO_BUFFER()
    comment["tag"] = info.AliasAdminCommentInformation
    comment["AdminComment"]["AdminComment"] = "People who write"
    samr.hSamrSetInformationAlias(rpc, alias, comment)
    general = samr.hSamrQueryInformationAlias(rpc, alias, info.AliasGeneralInformation)["Buffer"]["General"]
    check((general["Name"], general["MemberCount"], general["AdminComment"]) == ("editors", 1, "People who write"),
          "a group says its name, comment and number of members")
    name = samr.hSamrQueryInformationAlias(rpc, alias, info.AliasNameInformation)["Buffer"]["Name"]["Name"]
    check(name == "editors", "and its name alone (%s)" % name)
    told = samr.hSamrQueryInformationAlias(rpc, alias, info.AliasAdminCommentInformation)["Buffer"]
    check(told["AdminComment"]["AdminComment"] == "People who write", "and its comment alone")
    name = samr.SAMPR_ALIAS_INFO_BUFFER()
    name["tag"] = info.AliasNameInformation
    name["Name"]["Name"] = "writers"
    error = error_of(samr.hSamrSetInformationAlias, rpc, alias, name)
    check(error == NOT_SUPPORTED, "a group keeps its name, by which grants name it (%x)" % error)
    samr.hSamrRemoveMemberFromAlias(rpc, alias, member)
    error = error_of(samr.hSamrRemoveMemberFromAlias, rpc, alias, member)
    check(error == MEMBER_NOT_IN_ALIAS, "a member is removed once (%x)" % error)
    error = error_of(samr.hSamrAddMemberToAlias, rpc, alias, sid_of(sid + "-77"))
    check(error == NO_SUCH_MEMBER, "nobody is no member (%x)" % error)
    error = error_of(samr.hSamrCreateAliasInDomain, rpc, domain, "editors")
    check(error == ALIAS_EXISTS, "a group is added once (%x)" % error)
    samr.hSamrDeleteAlias(rpc, alias)
    error = error_of(samr.hSamrGetMembersInAlias, rpc, alias)
    check(error == INVALID_HANDLE, "a group that was deleted has no handle (%x)" % error)
    error = error_of(samr.hSamrOpenAlias, rpc, domain, MAXIMUM_ALLOWED, made["RelativeId"])
    check(error == NO_SUCH_ALIAS, "and is no more (%x)" % error)


def rpc_part(rpc, domain, context):
    """One account after another."""
    request = samr.SamrEnumerateUsersInDomain()
    request["DomainHandle"] = domain
    request["UserAccountControl"] = samr.USER_NORMAL_ACCOUNT
    request["EnumerationContext"] = context
    request["PreferedMaximumLength"] = 1
    return rpc.request(request, checkError=False)


def only_administrators_list(host, port, admin, admin_password, user, password):
    rpc = samr_pipe(smb(host, port, user, password))
    server, domain, sid = machine_domain(rpc)
    other, _ = open_user(rpc, domain, "bob")
    own, _ = open_user(rpc, domain, user)
    builtin = samr.hSamrOpenDomain(rpc, server, domainId=sid_of("S-1-5-32"))["DomainHandle"]
    for what, call, arguments in (
        ("list accounts", samr.hSamrEnumerateUsersInDomain, (domain,)),
        ("list groups", samr.hSamrEnumerateAliasesInDomain, (builtin,)),
        ("show accounts", samr.hSamrQueryDisplayInformation, (domain,)),
        ("count accounts", samr.hSamrQueryInformationDomain2, (domain,)),
        ("ask about others", samr.hSamrQueryInformationUser2, (other,)),
        ("open a group", samr.hSamrOpenAlias, (builtin, MAXIMUM_ALLOWED, 544)),
        ("be given more", samr.hSamrOpenDomain, (server, samr.DOMAIN_LIST_ACCOUNTS, sid_of(sid))),
    ):
        error = error_of(call, rpc, *arguments)
        check(error == ACCESS_DENIED, "users do not %s (%x)" % (what, error))
    about = samr.hSamrQueryInformationUser2(rpc, own, USER_INFORMATION_CLASS.UserAllInformation)["Buffer"]["All"]
    check(about["UserName"] == user, "users ask about themselves")
    fault = fault_of(samr.hSamrConnect5, samr_pipe(smb(host, port, "", "")))
    check("access_denied" in fault, "nobody in particular sees anything (%s)" % fault)


def sid_of(text):
    sid = RPC_SID()
    sid.fromCanonical(text)
    return sid


def refusal(host, port, user, password):
    try:
        smb(host, port, user, password).logoff()
        return 0
    except SessionError as error:
        return error.getErrorCode()


def change_aes(rpc, user, old, new, iterations=5000):
    """SamrUnicodeChangePasswordUser4, which impacket of Debian lacks."""
    salt = bytes(range(16))
    key = hashlib.pbkdf2_hmac("sha512", ntlm.NTOWFv1(old), salt, max(iterations, 1), 16)
    derive = lambda text: hmac.new(key, text + b"\0", "sha512").digest()
    sealing = derive(b"Microsoft SAM encryption key AEAD-AES-256-CBC-HMAC-SHA512 16")[:32]
    signing = derive(b"Microsoft SAM MAC key AEAD-AES-256-CBC-HMAC-SHA512 16")
    text = new.encode("utf-16-le")
    plain = (struct.pack("<H", len(text)) + text).ljust(514, b"Z") + bytes([14]) * 14
    cipher = AES.new(sealing, AES.MODE_CBC, salt).encrypt(plain)
    auth_data = hmac.new(signing, b"\x01" + salt + cipher + b"\x01", "sha512").digest()
    stub = bytes(4)
    name = user.encode("utf-16-le")
    stub += struct.pack("<HHLLLL", len(name), len(name), 0x20000, len(user), 0, len(user)) + name
    stub += bytes(-len(stub) % 8)
    stub += auth_data + salt + struct.pack("<LLQ", len(cipher), 0x20004, iterations)
    stub += struct.pack("<L", len(cipher)) + cipher
    rpc.call(73, stub)
    return struct.unpack("<L", rpc.recv()[-4:])[0]


def change_rc4(rpc, user, old, new):
    return error_of(samr.hSamrUnicodeChangePasswordUser2, rpc, "\0", user, old, new)


def change_hashes(rpc, user, old, new):
    _, domain, _ = machine_domain(rpc)
    handle, _ = open_user(rpc, domain, user)
    return error_of(samr.hSamrChangePasswordUser, rpc, handle, old, new)


def users_change_their_own_password(host, port, admin, admin_password, user, password):
    rpc = samr_pipe(smb(host, port, user, password))
    for change, new in ((change_rc4, "Nëw-1"), (change_aes, "Nëw-2")):
        status = change(rpc, user, password, new)
        check(status == 0, "%s changes a password (%x)" % (change.__name__, status))
        check(refusal(host, port, user, new) == 0, "which counts at once")
        check(refusal(host, port, user, password) != 0, "and the old one no more")
        password = new
        status = change(rpc, user, password, "")
        check(status == PASSWORD_RESTRICTION, "an empty one is none (%x)" % status)
    # Whoever knows the old password, as whom ever they have logged on.
    rpc = samr_pipe(smb(host, port, admin, admin_password))
    status = change_rc4(rpc, user, password, "New-3")
    check(status == 0 and refusal(host, port, user, "New-3") == 0, "the old password is what counts (%x)" % status)
    for iterations in (0, 4999, 1000001):
        status = change_aes(rpc, user, "New-3", "New-4", iterations)
        check(status != 0, "%d iterations are refused (%x)" % (iterations, status))
    status = struct.unpack("<L", call_of(rpc, 54, bytes(64))[-4:])[0]
    check(status == WRONG_PASSWORD, "no password is right by its LM hash (%x)" % status)


def fault_of(call, *arguments):
    """What a call ends with that is not carried out."""
    try:
        call(*arguments)
    except Exception as error:  # a fault has no code there
        return str(error)
    return "none"


def an_expired_password_is_changed_without_a_logon(host, port, admin, admin_password, user, password):
    """As Windows does it for a user who is told to change the password before the logon."""
    status = change_rc4(samr_pipe(smb(host, port, "", "")), user, "wrong", "New-1")
    check(status == WRONG_PASSWORD, "the old password is asked for (%x)" % status)
    status = change_rc4(samr_pipe(smb(host, port, "", "")), user, password, "New-1")
    check(status == 0, "whoever gives it needs no logon (%x)" % status)
    check(refusal(host, port, user, "New-1") == 0, "and has the new one")
    for change in (lambda rpc: change_aes(rpc, user, "New-1", "New-2"), lambda rpc: call_of(rpc, 54, bytes(64))):
        fault = fault_of(change, samr_pipe(smb(host, port, "", "")))
        check("op_rng_error" in fault, "other calls are unknown, so that clients come back to this one (%s)" % fault)


def call_of(rpc, opnum, stub):
    rpc.call(opnum, stub)
    return rpc.recv()


def hashes_under_des_are_refused_without_encryption(host, port, admin, admin_password, user, password):
    # From 3.0 on impacket seals all that it can.
    connection = SMBConnection(host, host, sess_port=port, timeout=20, preferredDialect=SMB2_DIALECT_21)
    connection.login(user, password)
    rpc = samr_pipe(connection)
    status = change_hashes(rpc, user, password, "New-1")
    check(status == ACCESS_DENIED, "hashes sealed with DES must come sealed (%x)" % status)
    request = samr.SamrChangePasswordUser()
    _, domain, _ = machine_domain(rpc)
    request["UserHandle"] = open_user(rpc, domain, user)[0]
    request["LmPresent"] = 1
    lm = ntlm.LMOWFv1(password)
    request["OldLmEncryptedWithNewLm"] = crypto.SamEncryptNTLMHash(lm, lm)
    request["NewLmEncryptedWithOldLm"] = crypto.SamEncryptNTLMHash(lm, lm)
    request["NtPresent"] = 0
    request["OldNtEncryptedWithNewNt"] = NULL
    request["NewNtEncryptedWithOldNt"] = NULL
    request["NtCrossEncryptionPresent"] = 0
    request["NewNtEncryptedWithNewLm"] = NULL
    request["LmCrossEncryptionPresent"] = 0
    request["NewLmEncryptedWithNewNt"] = NULL
    error = error_of(rpc.request, request)
    check(error == CROSS_ENCRYPTION, "LM hashes alone are not enough (%x)" % error)
    status = change_hashes(samr_pipe(smb(host, port, user, password)), user, password, "New-1")
    check(status == 0 and refusal(host, port, user, "New-1") == 0, "sealed by SMB they may come (%x)" % status)


main({name: value for name, value in list(globals().items()) if callable(value)})  # noqa: F405
