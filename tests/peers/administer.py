"""Every call of MS-SRVS and MS-WKST that impacket has a helper for: HOST PORT ADMIN PASS CHECK USER PASS DIRECTORY.

ADMIN administers the server; USER does not. DIRECTORY is on the server and not shared yet.
"""

from time import time as now

from impacket.dcerpc.v5 import wkst
from impacket.ldap.ldaptypes import SR_SECURITY_DESCRIPTOR

from common import *  # noqa: F403  (the scripts here are one program in several files)

ERROR_NOT_SUPPORTED = 50
ERROR_INVALID_PARAMETER = 87
ERROR_INVALID_NAME = 123
ERROR_INVALID_LEVEL = 124
ERROR_INVALID_OWNER = 1307
ERROR_INVALID_SECURITY_DESCR = 1338
NERR_DUPLICATE_SHARE = 2118
NERR_BUF_TOO_SMALL = 2123


def wkssvc(connection):
    """A wkssvc binding over an SMB connection."""
    pipe = transport.SMBTransport(
        connection.getRemoteHost(), connection.getRemoteHost(), filename=r"\wkssvc", smb_connection=connection
    )
    rpc = pipe.get_dce_rpc()
    rpc.connect()
    rpc.bind(wkst.MSRPC_UUID_WKST)
    return rpc


class ServerSetInfo(srvs.NDRCALL):
    """NetrServerSetInfo with the last parameter, which impacket leaves out."""

    opnum = 22
    structure = srvs.NetrServerSetInfo.structure + (("ParmErr", srvs.LPLONG),)


# Where impacket looks for what answers a call of this module.
ServerSetInfoResponse = srvs.NetrServerSetInfoResponse
DCERPCSessionError = srvs.DCERPCSessionError


def share_info(name, directory, level=2, **more):
    """A SHARE_INFO_2 or SHARE_INFO_502 for a new share."""
    info = {2: srvs.SHARE_INFO_2, 502: srvs.SHARE_INFO_502}[level]()
    fields = {
        "netname": name + "\0",
        "type": 0,
        "remark": "made here\0",
        "permissions": 0,
        "max_uses": 0xFFFFFFFF,
        "current_uses": 0,
        "path": "C:" + directory.replace("/", "\\") + "\0",
        "passwd": NULL,
    }
    if level == 502:
        fields["reserved"] = 0
        fields["security_descriptor"] = NULL
    fields.update(more)
    for key, value in fields.items():
        info["shi%d_%s" % (level, key)] = value
    return info


def get(rpc, name, level):
    return srvs.hNetrShareGetInfo(rpc, name + "\0", level)["InfoStruct"]["ShareInfo%d" % level]


def change(rpc, name, level, **fields):
    """Reads a level, changes fields of it and writes it back; the error that ends with."""
    info = get(rpc, name, level)
    for key, value in fields.items():
        info["shi%d_%s" % (level, key)] = value
    return error_of(srvs.hNetrShareSetInfo, rpc, name + "\0", level, info)


def connects(host, port, user, password, share):
    """Whether the user gets a tree connect."""
    connection = smb(host, port, user, password)
    try:
        connection.connectTree(share)
        return True
    except SessionError as error:
        check(error.getErrorCode() in (0xC0000022, 0xC00000CC, 0xC00000D0), "refused as a share is (%s)" % error)
        return False


FULL, READ = 0x1F01FF, 0x1200A9


def descriptor_of(rpc, name):
    return SR_SECURITY_DESCRIPTOR(b"".join(get(rpc, name, 502)["shi502_security_descriptor"]))


def everybody_may(rpc, name, mask):
    """Replaces what everybody may; the error that ends with."""
    descriptor = descriptor_of(rpc, name)
    descriptor["Dacl"].aces[0]["Ace"]["Mask"]["Mask"] = mask
    data = descriptor.getData()
    # impacket's level 1501 lacks the pointer that the specification's has.
    return change(rpc, name, 502, reserved=len(data), security_descriptor=list(bytes([b]) for b in data))


def share_life(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, admin, admin_password))
    check(error_of(srvs.hNetrShareAdd, rpc, 2, share_info("made", directory)) == 0, "a share is added")
    error = error_of(srvs.hNetrShareAdd, rpc, 2, share_info("MADE", directory))
    check(error == NERR_DUPLICATE_SHARE, "and not twice (%d)" % error)
    check(connects(host, port, user, password, "made"), "it can be used at once")
    check(everybody_may(rpc, "made", FULL) == 0, "level 502 lets everybody write")
    client = smb(host, port, user, password)
    tree = client.connectTree("made")
    handle = client.createFile(tree, "held.txt")

    check(text(get(rpc, "made", 2)["shi2_path"]).endswith(directory.rsplit("/", 1)[1]), "it has its path")
    check(change(rpc, "made", 1, remark="changed\0") == 0, "level 1 changes the remark")
    check(text(get(rpc, "made", 1)["shi1_remark"]) == "changed", "which shows")
    check(change(rpc, "made", 2, max_uses=1) == 0, "level 2 changes the uses at most")
    check(not connects(host, port, user, password, "made"), "who comes now is one too many")
    check(change(rpc, "made", 1006, max_uses=0xFFFFFFFF) == 0, "level 1006 lifts the limit")
    check(change(rpc, "made", 1004, remark="again\0") == 0, "level 1004 changes the remark")
    check(change(rpc, "made", 1005, flags=0x30) == 0, "level 1005 changes the flags")
    check(get(rpc, "made", 1005)["shi1005_flags"] == 0x30, "which show")
    check(get(rpc, "made", 501)["shi501_flags"] == 0x30, "on level 501 too")
    check(change(rpc, "made", 0) == ERROR_INVALID_LEVEL, "level 0 changes nothing")

    check(error_of(srvs.hNetrShareDel, rpc, "made\0") == 0, "the share is deleted")
    try:
        client.writeFile(tree, handle, b"late", 0)
        raise Failed("what was open through it still is")
    except SessionError as error:
        check(error.getErrorCode() in (0xC0000128, 0xC00000C9), "what was open is closed (%s)" % error)
    error = error_of(srvs.hNetrShareDel, rpc, "made\0")
    check(error == NERR_NET_NAME_NOT_FOUND, "it cannot be deleted twice (%d)" % error)


def share_permissions(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, admin, admin_password))
    srvs.hNetrShareAdd(rpc, 502, share_info("made", directory, 502))
    everyone = descriptor_of(rpc, "made")["Dacl"].aces[0]
    check(everyone["Ace"]["Sid"].formatCanonical() == "S-1-1-0", "everybody may")
    # Samba gives everything to a share that is made without a descriptor, Windows this.
    check(everyone["Ace"]["Mask"]["Mask"] in (READ, FULL), "read, at least")
    check(everybody_may(rpc, "made", FULL) == 0, "level 502 lets everybody write")
    client = smb(host, port, user, password)
    client.createFile(client.connectTree("made"), "written.txt")
    print("ok: so may the user")

    error = everybody_may(rpc, "made", READ)
    check(error == 0, "level 502 lets everybody read (%s)" % error)
    client = smb(host, port, user, password)
    tree = client.connectTree("made")
    try:
        client.createFile(tree, "refused.txt")
        raise Failed("a file can still be made")
    except SessionError as refused:
        check(refused.getErrorCode() == 0xC0000022, "nobody can write (%s)" % refused)
    client.openFile(tree, "written.txt", desiredAccess=0x00120089, shareMode=7)
    print("ok: but read")
    srvs.hNetrShareDel(rpc, "made\0")


def share_deletions(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, admin, admin_password))
    names = lambda: {  # noqa: E731
        text(s["shi502_netname"]) for s in
        srvs.hNetrShareEnumSticky(rpc, 502)["InfoStruct"]["ShareInfo"]["Level502"]["Buffer"]
    }
    srvs.hNetrShareAdd(rpc, 2, share_info("made", directory))
    check("made" in names() and "IPC$" not in names(), "a new share outlives the server")
    srvs.hNetrShareDelSticky(rpc, "made\0")
    check("made" not in names(), "and not after NetrShareDelSticky")
    check(get(rpc, "made", 1)["shi1_type"] == 0x40000000, "until then it is there")
    handle = srvs.hNetrShareDelStart(rpc, "made\0")["ContextHandle"]
    check(get(rpc, "made", 1)["shi1_type"] == 0x40000000, "announcing its end does not end it")
    check(error_of(srvs.hNetrShareDelCommit, rpc, handle) == 0, "doing so does")
    check(error_of(srvs.hNetrShareGetInfo, rpc, "made\0", 1) == NERR_NET_NAME_NOT_FOUND, "it is gone")


def share_check(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, admin, admin_password))
    path = text(get(rpc, "data", 2)["shi2_path"])
    check(srvs.hNetrShareCheck(rpc, path + "\0")["Type"] == 0, "a shared directory is of type disk")
    check(error_of(srvs.hNetrShareCheck, rpc, "C:\\not\\shared\0") == 2311, "another is not shared")


def server_calls(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, admin, admin_password))
    for level in (100, 101, 102, 103, 502, 503):
        check(error_of(srvs.hNetrServerGetInfo, rpc, level) == 0, "NetrServerGetInfo %d" % level)
    info = srvs.hNetrServerGetInfo(rpc, 502)["InfoStruct"]["ServerInfo502"]
    check(info["sv502_sessopens"] > 0 and info["sv502_sessusers"] > 0, "level 502 has the server's limits")
    disks = srvs.hNetrServerDiskEnum(rpc, 0)["DiskInfoStruct"]
    check(disks["EntriesRead"] >= 1, "NetrServerDiskEnum has a drive")
    for level in (0, 1):
        listed = srvs.hNetrServerTransportEnum(rpc, level)["InfoStruct"]["XportInfo"]["Level%d" % level]["Buffer"]
        check(len(listed) == 1, "NetrServerTransportEnum %d has the address" % level)
    error = error_of(srvs.hNetrServerTransportEnum, rpc, 2)
    check(error == ERROR_INVALID_LEVEL, "and no level 2 (%d)" % error)
    check(error_of(srvs.hNetrServerAliasEnum, rpc, 0) == 0, "NetrServerAliasEnum")
    alias = srvs.SERVER_ALIAS_INFO_0()
    alias["srvai0_alias"] = "OTHER\0"
    alias["srvai0_target"] = "TESTED\0"
    alias["srvai0_default"] = 0
    check(error_of(srvs.hNetrServerAliasAdd, rpc, 0, alias) == ERROR_NOT_SUPPORTED, "no aliases are made")
    check(error_of(srvs.hNetrServerAliasDel, rpc, 0, alias) == ERROR_NOT_SUPPORTED, "or deleted")
    check(error_of(srvs.hNetrDfsGetVersion, rpc) == ERROR_NOT_SUPPORTED, "there is no DFS")
    check(abs(srvs.hNetrRemoteTOD(rpc)["BufferPtr"]["tod_elapsedt"] - now()) < 5, "NetrRemoteTOD")


def server_settings(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, admin, admin_password))

    def set_info(level, info):
        request = ServerSetInfo()
        request["ServerName"] = NULL
        request["Level"] = level
        request["InfoStruct"]["tag"] = level
        request["InfoStruct"]["ServerInfo%d" % level] = info
        request["ParmErr"] = NULL
        return error_of(rpc.request, request)

    info = srvs.hNetrServerGetInfo(rpc, 102)["InfoStruct"]["ServerInfo102"]
    info["sv102_comment"] = "as it is now\0"
    info["sv102_disc"] = 20
    info["sv102_hidden"] = 1
    check(set_info(102, info) == 0, "level 102 is set")
    info = srvs.hNetrServerGetInfo(rpc, 102)["InfoStruct"]["ServerInfo102"]
    told = (text(info["sv102_comment"]), info["sv102_disc"], info["sv102_hidden"])
    check(told == ("as it is now", 20, 1), "and shows (%r)" % (told,))
    comment = srvs.SERVER_INFO_1005()
    comment["sv1005_comment"] = "once more\0"
    check(set_info(1005, comment) == 0, "level 1005 is set")
    info = srvs.hNetrServerGetInfo(rpc, 101)["InfoStruct"]["ServerInfo101"]
    check(text(info["sv101_comment"]) == "once more", "and shows")


def paths_and_names(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, user, password))
    check(srvs.hNetprPathType(rpc, "\\pagefile.sys\0", 1)["PathType"] == 8194, "an absolute path")
    answer = srvs.hNetprPathCanonicalize(rpc, "\\dir\\.\\..\\pagefile.sys\0", "c:\0", outbufLen=50)
    made = b"".join(answer["Outbuf"]).decode("utf-16le").rstrip("\0")
    check(made == "c:\\pagefile.sys", "a canonical one (%r)" % made)
    error = error_of(srvs.hNetprPathCanonicalize, rpc, "\\pagefile.sys\0", "c:\0", outbufLen=8)
    check(error == NERR_BUF_TOO_SMALL, "needs room (%d)" % error)
    check(error_of(srvs.hNetprPathCompare, rpc, "c:\\a\\..\\b\0", "C:/B\0") == 0, "two ways to say the same")
    check(error_of(srvs.hNetprPathCompare, rpc, "c:\\a\0", "c:\\b\0") != 0, "two paths differ")
    check(error_of(srvs.hNetprNameValidate, rpc, "Administrator\0", srvs.NAMETYPE_USER) == 0, "a name")
    check(error_of(srvs.hNetprNameValidate, rpc, "a/b\0", srvs.NAMETYPE_USER) == ERROR_INVALID_NAME, "no name")
    name = srvs.hNetprNameCanonicalize(rpc, "Administrator\0", outbufLen=50, nameType=srvs.NAMETYPE_USER)
    made = b"".join(name["Outbuf"]).decode("utf-16le").rstrip("\0")
    check(made == "ADMINISTRATOR", "a canonical name (%r)" % made)
    check(error_of(srvs.hNetprNameCompare, rpc, "Ann\0", "ANN\0", srvs.NAMETYPE_USER) == 0, "names in any case")


def file_security(host, port, admin, admin_password, user, password, directory):
    client = smb(host, port, user, password)
    tree = client.connectTree("data")
    client.closeFile(tree, client.createFile(tree, "of-user.txt"))
    rpc = srvsvc(smb(host, port, admin, admin_password))
    data = srvs.hNetrpGetFileSecurity(rpc, "data\0", "\\of-user.txt\0", 5)
    descriptor = SR_SECURITY_DESCRIPTOR(data)
    check(descriptor["OwnerSid"].formatCanonical().startswith("S-1-"), "the file has an owner")
    check(len(descriptor["Dacl"].aces) > 0, "and a list")
    error = error_of(srvs.hNetrpGetFileSecurity, rpc, "data\0", "\\nothing\0", 1)
    check(error == 2, "a file that is not there is 2 (%d)" % error)
    own = srvsvc(client)
    set_security = lambda rpc, share, which, data: error_of(  # noqa: E731
        srvs.hNetrpSetFileSecurity, rpc, share + "\0", "\\of-user.txt\0", which, [bytes([b]) for b in data]
    )
    descriptor["OwnerSid"].fromCanonical("S-1-5-21-1-2-3-4")
    error = set_security(own, "data", 1, descriptor.getData())
    check(error == ERROR_INVALID_OWNER, "nobody gives files away (%d)" % error)
    for ace in descriptor["Dacl"].aces:
        ace["Ace"]["Mask"]["Mask"] = 0x1200A9
    check(set_security(own, "data", 4, descriptor.getData()) == 0, "its owner changes the list")
    changed = SR_SECURITY_DESCRIPTOR(srvs.hNetrpGetFileSecurity(own, "data\0", "\\of-user.txt\0", 5))
    masks = {ace["Ace"]["Mask"]["Mask"] for ace in changed["Dacl"].aces}
    check(masks == {0x1200A9}, "which says so then (%s)" % masks)
    error = set_security(own, "data", 8, descriptor.getData())
    check(error == ERROR_ACCESS_DENIED, "what is audited is the administrators' (%d)" % error)
    error = set_security(own, "data", 4, b"nonsense")
    check(error == ERROR_INVALID_SECURITY_DESCR, "nonsense is no descriptor (%d)" % error)
    error = set_security(own, "nothing", 4, descriptor.getData())
    check(error == NERR_NET_NAME_NOT_FOUND, "a share that is not there is 2310 (%d)" % error)
    error = error_of(
        srvs.hNetrpSetFileSecurity, own, "data\0", "\\nothing\0", 4, [bytes([b]) for b in descriptor.getData()]
    )
    check(error == 2, "a file that is not there is 2 (%d)" % error)


def statistics(host, port, admin, admin_password, user, password, directory):
    admin_connection = smb(host, port, admin, admin_password)
    rpc = srvsvc(admin_connection)
    fields = lambda: srvs.hNetrServerStatisticsGet(rpc, NULL, 0, 0)["InfoStruct"]  # noqa: E731
    before = {name: fields()["sts0_" + name] for name in COUNTERS}
    client = smb(host, port, user, password)
    tree = client.connectTree("data")
    handle = client.createFile(tree, "counted.txt")
    client.writeFile(tree, handle, b"x" * 100000, 0)
    client.readFile(tree, handle, 0, 50000)
    client.closeFile(tree, handle)
    # DELETE and WRITE_OWNER of IPC$ are nobody's.
    try:
        smb(host, port, user, "wrong").close()
        raise Failed("a wrong password is taken")
    except SessionError:
        pass
    reader = srvsvc(smb(host, port, user, password))
    check(error_of(srvs.hNetrServerStatisticsGet, reader, NULL, 0, 0) == ERROR_ACCESS_DENIED, "users do not see it")
    client.logoff()
    after = {name: fields()["sts0_" + name] for name in COUNTERS}
    gained = {name: after[name] - before[name] for name in COUNTERS}
    check(gained["sopens"] == 2, "two sessions were started (%d)" % gained["sopens"])
    check(gained["fopens"] == 1, "one file was opened (%d)" % gained["fopens"])
    check(gained["devopens"] >= 1, "and a pipe (%d)" % gained["devopens"])
    check(gained["pwerrors"] == 1, "one password was wrong (%d)" % gained["pwerrors"])
    check(gained["serrorout"] == 0, "no session was lost (%d)" % gained["serrorout"])
    received = gained["bytesrcvd_low"]
    check(100000 < received < 130000, "some more bytes came than were written (%d)" % received)
    sent = gained["bytessent_low"]
    check(50000 < sent < 80000, "some more bytes went than were read (%d)" % sent)
    check(after["avresponse"] < 1000, "answers take less than a second (%d)" % after["avresponse"])


COUNTERS = (
    "fopens devopens sopens pwerrors permerrors serrorout bytessent_low bytesrcvd_low avresponse".split()
)


def not_admin(host, port, admin, admin_password, user, password, directory):
    rpc = srvsvc(smb(host, port, user, password))
    for name, call, rest in (
        ("NetrShareAdd", srvs.hNetrShareAdd, (2, share_info("made", directory))),
        ("NetrShareDel", srvs.hNetrShareDel, ("data\0",)),
        ("NetrShareDelSticky", srvs.hNetrShareDelSticky, ("data\0",)),
        ("NetrShareDelStart", srvs.hNetrShareDelStart, ("data\0",)),
        ("NetrShareSetInfo", srvs.hNetrShareSetInfo, ("data\0", 1, get(rpc, "data", 1))),
        ("NetrServerStatisticsGet", srvs.hNetrServerStatisticsGet, (NULL, 0, 0)),
    ):
        error = error_of(call, rpc, *rest)
        check(error == ERROR_ACCESS_DENIED, "%s is refused with 5 (%d)" % (name, error))


def workstation(host, port, admin, admin_password, user, password, directory):
    rpc = wkssvc(smb(host, port, admin, admin_password))
    for level in (100, 101, 102):
        info = wkst.hNetrWkstaGetInfo(rpc, level)["WkstaInfo"]["WkstaInfo%d" % level]
        check(text(info["wki%d_computername" % level]) == "TESTED", "NetrWkstaGetInfo %d" % level)
    check(error_of(wkst.hNetrWkstaGetInfo, rpc, 502) == 0, "NetrWkstaGetInfo 502")
    for level in (0, 1):
        check(error_of(wkst.hNetrWkstaUserEnum, rpc, level) == 0, "NetrWkstaUserEnum %d" % level)
    listed = wkst.hNetrWkstaTransportEnum(rpc, 0)["TransportInfo"]["WkstaTransportInfo"]["Level0"]["Buffer"]
    check(len(listed) == 1, "NetrWkstaTransportEnum has the address")
    joined = wkst.hNetrGetJoinInformation(rpc, "\0")
    check(text(joined["NameBuffer"]) == "TESTED" and joined["BufferType"] == 2, "it is a workgroup of its own")
    names = wkst.hNetrEnumerateComputerNames(rpc, wkst.NET_COMPUTER_NAME_TYPE.NetAllComputerNames)
    check(names["ComputerNames"]["EntriesRead"] == 1, "it has one name")
    buffer = b"\0" * 512
    for name, call, rest in (
        ("NetrJoinDomain2", wkst.hNetrJoinDomain2, ("DOMAIN\0", "OU=x\0", NULL, buffer, 1)),
        ("NetrUnjoinDomain2", wkst.hNetrUnjoinDomain2, (NULL, buffer, 0)),
        ("NetrRenameMachineInDomain2", wkst.hNetrRenameMachineInDomain2, ("X\0", NULL, buffer, 0)),
        ("NetrValidateName2", wkst.hNetrValidateName2, ("X\0", NULL, NULL, wkst.NETSETUP_NAME_TYPE.NetSetupDomain)),
        ("NetrAddAlternateComputerName", wkst.hNetrAddAlternateComputerName, ("X\0", NULL, NULL)),
        ("NetrRemoveAlternateComputerName", wkst.hNetrRemoveAlternateComputerName, ("X\0", NULL, NULL)),
        ("NetrSetPrimaryComputerName", wkst.hNetrSetPrimaryComputerName, ("X\0", NULL, NULL)),
        ("NetrUseDel", wkst.hNetrUseDel, ("Z:\0",)),
        ("NetrWorkstationStatisticsGet", wkst.hNetrWorkstationStatisticsGet, ("\0", 0, 0)),
    ):
        error = error_of(call, rpc, *rest)
        check(error == ERROR_NOT_SUPPORTED, "%s is refused with 50 (%d)" % (name, error))


main({name: value for name, value in list(globals().items()) if callable(value)})  # noqa: F405
