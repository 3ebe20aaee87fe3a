"""MS-SRVS as impacket speaks it: HOST PORT ADMIN PASS CHECK USER PASS.

ADMIN administers the server; USER does not, and holds the files open that are looked at.
"""

from common import *  # noqa: F403  (the scripts here are one program in several files)


class Scene:
    """USER has two files open in share `data`, one of them for writing with a lock; ADMIN is bound to srvsvc."""

    def __init__(self, host, port, admin, admin_password, user, password):
        self.host, self.port, self.user, self.password, self.admin_name = host, port, user, password, admin
        self.client = smb(host, port, user, password)
        self.tree = self.client.connectTree("data")
        for name in ("one.txt", "two.txt"):
            handle = self.client.createFile(self.tree, name)
            self.client.writeFile(self.tree, handle, b"x" * 100)
            self.client.closeFile(self.tree, handle)
        self.reader = self.client.openFile(self.tree, "one.txt", desiredAccess=0x00120089, shareMode=7)
        self.writer = self.client.openFile(self.tree, "two.txt", desiredAccess=0x0012019F, shareMode=7)
        lock(self.client, self.tree, self.writer, 0, 10)
        self.admin = smb(host, port, admin, admin_password)
        self.rpc = srvsvc(self.admin)

    def files(self, path=NULL, user=NULL):
        answer = srvs.hNetrFileEnum(self.rpc, path, user, 3)
        return answer["InfoStruct"]["FileInfo"]["Level3"]["Buffer"]

    def held(self):
        """USER's two files, by the end of their path."""
        found = {}
        for entry in self.files():
            for name in ("one.txt", "two.txt"):
                if text(entry["fi3_path_name"]).endswith(name):
                    found[name] = entry
        return found

    def sessions(self, level=1, client=NULL, user=NULL):
        answer = srvs.hNetrSessionEnum(self.rpc, client, user, level)
        return answer["InfoStruct"]["SessionInfo"]["Level%d" % level]["Buffer"]


def sessions(*arguments):
    scene = Scene(*arguments)
    listed = scene.sessions(1)
    mine = [s for s in listed if text(s["sesi1_username"]).lower() == scene.user]
    check(len(mine) == 1, "one session of %s" % scene.user)
    check(any(text(s["sesi1_username"]).lower() == scene.admin_name for s in listed), "the caller's own session is listed")
    check("127.0.0.1" in text(mine[0]["sesi1_cname"]), "the client is 127.0.0.1")
    check(mine[0]["sesi1_num_opens"] >= 2, "it has its two opens")


def session_levels(*arguments):
    scene = Scene(*arguments)
    names = {0: "sesi0_cname", 1: "sesi1_cname", 2: "sesi2_cname", 10: "sesi10_cname", 502: "sesi502_cname"}
    for level, field in names.items():
        listed = scene.sessions(level)
        check(any("127.0.0.1" in text(s[field]) for s in listed), "level %d lists the client" % level)
    full = [s for s in scene.sessions(502) if text(s["sesi502_username"]).lower() == scene.user][0]
    check(full["sesi502_num_opens"] == 2, "level 502 counts two opens")
    check(full["sesi502_time"] < 60 and full["sesi502_idle_time"] < 60, "level 502 has plausible times")


def session_filters(*arguments):
    scene = Scene(*arguments)
    user = [text(s["sesi1_username"]).lower() for s in scene.sessions(1, user=scene.user + "\0")]
    check(user == [scene.user], "the user filter leaves %s" % scene.user)
    client = scene.sessions(1, client="\\\\127.0.0.1\0")
    check(len(client) >= 2, "the client filter finds both sessions of 127.0.0.1")
    error = error_of(srvs.hNetrSessionEnum, scene.rpc, "\\\\192.0.2.1\0", NULL, 1)
    check(error == NERR_CLIENT_NAME_NOT_FOUND, "an unknown client is 2312, not %d" % error)


def session_del(*arguments):
    scene = Scene(*arguments)
    bystander = smb(scene.host, scene.port, scene.user, scene.password)
    srvs.hNetrSessionDel(scene.rpc, "\\\\127.0.0.1\0", scene.user + "\0")
    for name, connection in (("the client", scene.client), ("its second connection", bystander)):
        try:
            connection.listPath("data", "*")
            raise Failed("%s still works" % name)
        except Failed:
            raise
        except Exception as error:  # a lost connection has a type of its own in impacket
            code = error.getErrorCode() if isinstance(error, SessionError) else None
            check(code == 0xC0000203, "%s gets USER_SESSION_DELETED (%s)" % (name, error))
    listed = [text(s["sesi1_username"]).lower() for s in scene.sessions(1)]
    check(scene.user not in listed, "no session of %s is left" % scene.user)
    check(scene.admin_name in listed, "the administrator's session lives on")
    check(not scene.held(), "its files are closed")
    error = error_of(srvs.hNetrSessionDel, scene.rpc, "\\\\192.0.2.1\0", NULL)
    check(error == NERR_CLIENT_NAME_NOT_FOUND, "an unknown client is 2312, not %d" % error)


def files(*arguments):
    scene = Scene(*arguments)
    held = scene.held()
    check(set(held) == {"one.txt", "two.txt"}, "both files are listed")
    check(held["one.txt"]["fi3_permissions"] & 3 == 1, "the reader's permissions are read")
    check(held["two.txt"]["fi3_permissions"] & 3 == 3, "the writer's permissions are read and write")
    check(held["one.txt"]["fi3_num_locks"] == 0, "the reader has no lock")
    check(held["two.txt"]["fi3_num_locks"] == 1, "the writer has one lock")
    check(text(held["two.txt"]["fi3_username"]).lower() == scene.user, "they are %s's" % scene.user)
    check(held["one.txt"]["fi3_id"] not in (0, held["two.txt"]["fi3_id"]), "ids are distinct and not zero")


def file_level_2(*arguments):
    scene = Scene(*arguments)
    answer = srvs.hNetrFileEnum(scene.rpc, NULL, NULL, 2)
    ids = {f["fi2_id"] for f in answer["InfoStruct"]["FileInfo"]["Level2"]["Buffer"]}
    check({f["fi3_id"] for f in scene.held().values()} <= ids, "level 2 lists the same ids")


def file_filters(*arguments):
    scene = Scene(*arguments)
    held = scene.held()
    path = text(held["two.txt"]["fi3_path_name"])
    only = [text(f["fi3_path_name"]) for f in scene.files(path=path + "\0")]
    check(only == [path], "the path filter leaves one file")
    of_user = {text(f["fi3_username"]).lower() for f in scene.files(user=scene.user + "\0")}
    check(of_user == {scene.user}, "the user filter leaves %s's" % scene.user)
    check(len(scene.files(user="nobody-here\0")) == 0, "nobody else has any")


def file_info(*arguments):
    scene = Scene(*arguments)
    entry = scene.held()["two.txt"]
    for level in (2, 3):
        answer = srvs.hNetrFileGetInfo(scene.rpc, entry["fi3_id"], level)
        info = answer["InfoStruct"]["FileInfo%d" % level]
        check(info["fi%d_id" % level] == entry["fi3_id"], "level %d has the id" % level)
    check(info["fi3_path_name"] == entry["fi3_path_name"], "level 3 has the path")
    error = error_of(srvs.hNetrFileGetInfo, scene.rpc, 0x7FFFFFF0, 3)
    check(error == NERR_FILE_ID_NOT_FOUND, "an unknown id is 2314, not %d" % error)


def file_close(*arguments):
    scene = Scene(*arguments)
    number = scene.held()["two.txt"]["fi3_id"]
    check(error_of(srvs.hNetrFileClose, scene.rpc, number) == 0, "closing succeeds")
    check(set(scene.held()) == {"one.txt"}, "only the reader's is left")
    try:
        scene.client.writeFile(scene.tree, scene.writer, b"late", 0)
        raise Failed("the closed handle can still be written")
    except SessionError as error:
        check(error.getErrorCode() == 0xC0000128, "its next use is FILE_CLOSED (%s)" % error)
    check(scene.client.readFile(scene.tree, scene.reader, 0, 4) == b"xxxx", "the other handle lives on")
    other = scene.client.openFile(scene.tree, "two.txt", desiredAccess=0x0012019F, shareMode=7)
    lock(scene.client, scene.tree, other, 0, 10)
    print("ok: its lock is gone")
    error = error_of(srvs.hNetrFileClose, scene.rpc, number)
    check(error == NERR_FILE_ID_NOT_FOUND, "closing twice is 2314, not %d" % error)


def connections(*arguments):
    scene = Scene(*arguments)
    for qualifier in ("data\0", "\\\\127.0.0.1\0"):
        answer = srvs.hNetrConnectionEnum(scene.rpc, qualifier, 1)
        listed = answer["InfoStruct"]["ConnectInfo"]["Level1"]["Buffer"]
        mine = [c for c in listed if text(c["coni1_username"]).lower() == scene.user]
        check(len(mine) == 1, "one connection of %s by %r" % (scene.user, text(qualifier)))
        check(mine[0]["coni1_num_opens"] == 2, "with two opens")
    answer = srvs.hNetrConnectionEnum(scene.rpc, "data\0", 0)
    check(len(answer["InfoStruct"]["ConnectInfo"]["Level0"]["Buffer"]) == 1, "level 0 lists it too")
    error = error_of(srvs.hNetrConnectionEnum, scene.rpc, "no-such-share\0", 1)
    check(error == NERR_NET_NAME_NOT_FOUND, "an unknown share is 2310, not %d" % error)


def shares(*arguments):
    scene = Scene(*arguments)
    for level in (0, 1, 2):
        answer = srvs.hNetrShareEnum(scene.rpc, level)
        listed = answer["InfoStruct"]["ShareInfo"]["Level%d" % level]["Buffer"]
        names = {text(s["shi%d_netname" % level]).lower() for s in listed}
        check({"data", "other", "sealed", "ipc$"} <= names, "level %d lists the shares" % level)


def share_info(*arguments):
    scene = Scene(*arguments)
    for level in (0, 1, 2):
        answer = srvs.hNetrShareGetInfo(scene.rpc, "data\0", level)
        info = answer["InfoStruct"]["ShareInfo%d" % level]
        check(text(info["shi%d_netname" % level]).lower() == "data", "level %d names it" % level)
    check(info["shi2_current_uses"] >= 1, "it is in use")
    ipc = srvs.hNetrShareGetInfo(scene.rpc, "IPC$\0", 1)["InfoStruct"]["ShareInfo1"]
    check(ipc["shi1_type"] & 0xFF == 3, "IPC$ is of type IPC")
    error = error_of(srvs.hNetrShareGetInfo, scene.rpc, "no-such-share\0", 1)
    check(error == NERR_NET_NAME_NOT_FOUND, "an unknown share is 2310, not %d" % error)


def server_info(*arguments):
    scene = Scene(*arguments)
    for level in (100, 101, 102):
        info = srvs.hNetrServerGetInfo(scene.rpc, level)["InfoStruct"]["ServerInfo%d" % level]
        check(text(info["sv%d_name" % level]).strip("\\").upper() == "TESTED", "level %d has the name" % level)


def time(*arguments):
    from calendar import timegm
    from time import time as now

    scene = Scene(*arguments)
    tod = srvs.hNetrRemoteTOD(scene.rpc)["BufferPtr"]
    check(abs(tod["tod_elapsedt"] - now()) < 5, "elapsed seconds are now")
    parts = [tod["tod_" + f] for f in ("year", "month", "day", "hours", "mins", "secs")]
    check(abs(timegm(tuple(parts) + (0, 0, 0)) - now()) < 5, "the calendar is now, in UTC")


def resume(host, port, admin, admin_password, user, password):
    client = smb(host, port, user, password)
    tree = client.connectTree("data")
    handles = [client.createFile(tree, "file-%03d with a name of some length.txt" % n) for n in range(200)]
    rpc = srvsvc(smb(host, port, admin, admin_password))
    seen, position, pages = [], 0, 0
    while True:
        request = srvs.NetrFileEnum()
        request["ServerName"] = NULL
        request["BasePath"] = NULL
        request["UserName"] = user + "\0"
        request["PreferedMaximumLength"] = 2000
        request["ResumeHandle"] = position
        request["InfoStruct"]["Level"] = 3
        request["InfoStruct"]["FileInfo"]["tag"] = 3
        request["InfoStruct"]["FileInfo"]["Level3"]["Buffer"] = NULL
        try:
            answer = rpc.request(request)
        except srvs.DCERPCSessionError as error:
            if error.get_error_code() != 234:  # ERROR_MORE_DATA
                raise
            answer = error.get_packet()
        page = [f["fi3_id"] for f in answer["InfoStruct"]["FileInfo"]["Level3"]["Buffer"]]
        seen, pages = seen + page, pages + 1
        if answer["ErrorCode"] == 0:
            break
        check(page, "page %d has entries" % pages)
        position = answer["ResumeHandle"]
    check(pages > 1, "2000 bytes are not enough for 200 files (%d pages)" % pages)
    check(len(seen) == len(set(seen)) == len(handles), "every open is listed once")
    whole = srvs.hNetrFileEnum(rpc, NULL, user + "\0", 3)["InfoStruct"]["FileInfo"]["Level3"]["Buffer"]
    check(len(whole) == len(handles), "one call without a limit lists all, in several fragments")


def fragments(host, port, admin, admin_password, user, password):
    scene = Scene(host, port, admin, admin_password, user, password)
    scene.rpc.set_max_fragment_size(16)
    check(set(scene.held()) == {"one.txt", "two.txt"}, "a request in fragments of 16 bytes is answered")


def not_admin(host, port, admin, admin_password, user, password):
    scene = Scene(host, port, admin, admin_password, user, password)
    rpc = srvsvc(scene.client)
    number = scene.held()["two.txt"]["fi3_id"]
    refused = (
        ("NetrSessionEnum 2", srvs.hNetrSessionEnum, (NULL, NULL, 2)),
        ("NetrSessionEnum 502", srvs.hNetrSessionEnum, (NULL, NULL, 502)),
        ("NetrSessionDel", srvs.hNetrSessionDel, ("\\\\127.0.0.1\0", NULL)),
        ("NetrFileEnum", srvs.hNetrFileEnum, (NULL, NULL, 3)),
        ("NetrFileGetInfo", srvs.hNetrFileGetInfo, (number, 3)),
        ("NetrFileClose", srvs.hNetrFileClose, (number,)),
        ("NetrConnectionEnum", srvs.hNetrConnectionEnum, ("data\0", 1)),
    )
    for name, call, rest in refused:
        error = error_of(call, rpc, *rest)
        check(error == ERROR_ACCESS_DENIED, "%s is refused with 5 (%d)" % (name, error))
    check(error_of(srvs.hNetrShareEnum, rpc, 1) == 0, "NetrShareEnum 1 is for everybody")
    check(set(scene.held()) == {"one.txt", "two.txt"}, "nothing was closed")


def anonymous(host, port, admin, admin_password, user, password):
    try:
        connection = smb(host, port, "", "")
        rpc = srvsvc(connection)
    except Exception as error:
        check(getattr(error, "getErrorCode", lambda: 0)() in (0xC0000022, 0xC000006D, 0xC00000CC), "refused: %s" % error)
        return
    for name, call, rest in (
        ("NetrSessionEnum", srvs.hNetrSessionEnum, (NULL, NULL, 10)),
        ("NetrFileEnum", srvs.hNetrFileEnum, (NULL, NULL, 3)),
        ("NetrShareEnum", srvs.hNetrShareEnum, (1,)),
    ):
        check(error_of(call, rpc, *rest) != 0, "%s tells anonymous callers nothing" % name)


main({name: value for name, value in list(globals().items()) if callable(value)})  # noqa: F405
