//! Tests of calls as a client makes them.

use std::sync::Arc;

use auth::users::UserDb;
use rpc::Win32Error;
use rpc::srvsvc::*;

use super::*;
use crate::core::config::Settings;

fn server() -> Arc<Server> {
    Server::new(Settings::conventional(false, |_| None), UserDb::parse("").unwrap()).unwrap()
}

fn caller(user: &str, administrator: bool) -> Caller {
    Caller { user: user.into(), administrator, from: String::from("192.0.2.1"), ..Caller::default() }
}

fn status(server: &Arc<Server>, caller: &Caller, request: impl Into<Request>) -> Win32Error {
    let request = request.into();
    let stub = call(server, caller, request.opnum(), &request.encode()).unwrap();
    Response::decode(request.opnum(), &stub).unwrap().status()
}

fn sessions(client: Option<&str>, user: Option<&str>, level: u32) -> SessionEnumRequest {
    SessionEnumRequest {
        server_name: None,
        client_name: client.map(String::from),
        user_name: user.map(String::from),
        info: SessionEnumStruct::empty(level),
        preferred_maximum_length: MAX_PREFERRED_LENGTH,
        resume_handle: Some(0),
    }
}

fn shares(level: u32) -> ShareEnumRequest {
    ShareEnumRequest {
        server_name: None,
        info: ShareEnumStruct::empty(level),
        preferred_maximum_length: MAX_PREFERRED_LENGTH,
        resume_handle: None,
    }
}

#[tokio::test]
async fn missing_objects_have_their_error_codes() {
    let (server, root) = (server(), caller("root", true));
    for (client, user, level, expected) in [
        (None, None, 502, Win32Error::SUCCESS),
        (None, None, 3, Win32Error::INVALID_LEVEL),
        (Some("192.0.2.9"), None, 10, Win32Error::INVALID_COMPUTER),
        (Some(r"\\192.0.2.9"), None, 10, Win32Error::CLIENT_NAME_NOT_FOUND),
        (None, Some("alice"), 10, Win32Error::USER_NOT_FOUND),
    ] {
        assert_eq!(
            status(&server, &root, sessions(client, user, level)),
            expected,
            "{client:?} {user:?} {level}"
        );
    }
    let close = FileCloseRequest { server_name: None, file_id: 7 };
    assert_eq!(status(&server, &root, close), Win32Error::FILE_ID_NOT_FOUND);
    let info = FileGetInfoRequest { server_name: None, file_id: 7, level: 3 };
    assert_eq!(status(&server, &root, info), Win32Error::FILE_ID_NOT_FOUND);
    let delete = |client: Option<&str>| SessionDelRequest {
        server_name: None,
        client_name: client.map(String::from),
        user_name: None,
    };
    assert_eq!(status(&server, &root, delete(Some(r"\\192.0.2.9"))), Win32Error::CLIENT_NAME_NOT_FOUND);
    assert_eq!(status(&server, &root, delete(None)), Win32Error::INVALID_PARAMETER);
    let share = |level| ShareGetInfoRequest { server_name: None, net_name: String::from("nope"), level };
    assert_eq!(status(&server, &root, share(1)), Win32Error::NET_NAME_NOT_FOUND);
}

#[tokio::test]
async fn users_may_only_browse() {
    let server = server();
    let (root, alice, nobody) = (caller("root", true), caller("alice", false), caller("", false));
    for level in ShareEnumStruct::LEVELS {
        assert_eq!(status(&server, &root, shares(*level)), Win32Error::SUCCESS, "{level}");
        assert_eq!(status(&server, &nobody, shares(*level)), Win32Error::ACCESS_DENIED, "{level}");
    }
    assert_eq!(status(&server, &alice, shares(1)), Win32Error::SUCCESS);
    assert_eq!(status(&server, &alice, shares(2)), Win32Error::ACCESS_DENIED);
    for level in SessionEnumStruct::LEVELS {
        assert_eq!(
            status(&server, &alice, sessions(None, None, *level)),
            Win32Error::ACCESS_DENIED,
            "{level}"
        );
    }
    let close = FileCloseRequest { server_name: None, file_id: 7 };
    assert_eq!(status(&server, &alice, close), Win32Error::ACCESS_DENIED);
    for level in ServerInfo::LEVELS {
        let info = ServerGetInfoRequest { server_name: None, level: *level };
        assert_eq!(status(&server, &root, info), Win32Error::SUCCESS, "{level}");
    }
}

#[test]
fn paths_are_converted_for_windows_tools() {
    assert_eq!(drive_path("/srv/data/a b.txt"), r"C:\srv\data\a b.txt");
    assert_eq!(drive_path("/"), r"C:\");
    for (shown, path) in [(r"c:\srv\a b", "/srv/a b"), ("/srv/x", "/srv/x"), ("C:\\", "/"), (r"D:\x", "D:/x")]
    {
        assert_eq!(server_path(shown), path);
    }
}

fn add(name: &str, path: &str, share_type: u32) -> ShareAddRequest {
    ShareAddRequest {
        server_name: None,
        info: rpc::WithLevel(ShareInfo::Level2(ShareInfo2 {
            net_name: Some(name.into()),
            share_type,
            remark: Some(String::from("r")),
            max_uses: SHI_USES_UNLIMITED,
            path: Some(path.into()),
            ..ShareInfo2::default()
        })),
        parameter_error: None,
    }
}

fn set(name: &str, info: ShareInfo) -> ShareSetInfoRequest {
    ShareSetInfoRequest {
        server_name: None,
        net_name: name.into(),
        info: rpc::WithLevel(info),
        parameter_error: None,
    }
}

fn share(server: &Arc<Server>, name: &str, level: u32) -> ShareInfo {
    let request = ShareGetInfoRequest { server_name: None, net_name: name.into(), level };
    shares::get(server, &caller("root", true), &request).unwrap().info
}

#[tokio::test]
async fn shares_are_added_changed_and_deleted() {
    let (server, root, alice) = (server(), caller("root", true), caller("alice", false));
    assert_eq!(status(&server, &alice, add("new", r"C:\tmp", 0)), Win32Error::ACCESS_DENIED);
    for (name, path, share_type, expected) in [
        ("new", r"C:\tmp", 0, Win32Error::SUCCESS),
        ("NEW", r"C:\tmp", 0, Win32Error::DUPLICATE_SHARE),
        ("other", r"C:\nowhere\at all", 0, Win32Error::UNKNOWN_DEV_DIR),
        ("a/b", r"C:\tmp", 0, Win32Error::INVALID_NAME),
        ("other", r"tmp", 0, Win32Error::INVALID_PARAMETER),
        ("printer", r"C:\tmp", STYPE_PRINTQ, Win32Error::NOT_SUPPORTED),
        ("passing", "/tmp", STYPE_TEMPORARY, Win32Error::SUCCESS),
    ] {
        assert_eq!(status(&server, &root, add(name, path, share_type)), expected, "{name} {path}");
    }
    let sticky = ShareEnumStickyRequest {
        server_name: None,
        info: ShareEnumStruct::empty(0),
        preferred_maximum_length: MAX_PREFERRED_LENGTH,
        resume_handle: None,
    };
    assert_eq!(shares::enumerate_sticky(&server, &root, &sticky).unwrap().info.len(), 1);

    let flags = |flags| ShareInfo::Level1005(ShareInfo1005 { flags });
    for (info, expected) in [
        (ShareInfo::Level1004(ShareInfo1004 { remark: Some(String::from("changed")) }), Win32Error::SUCCESS),
        (ShareInfo::Level1006(ShareInfo1006 { max_uses: 0 }), Win32Error::INVALID_PARAMETER),
        (ShareInfo::Level1006(ShareInfo1006 { max_uses: 7 }), Win32Error::SUCCESS),
        (flags(0x0830), Win32Error::SUCCESS),
        (flags(0x4000), Win32Error::NOT_SUPPORTED),
        (ShareInfo::Level0(ShareInfo0 { net_name: None }), Win32Error::INVALID_LEVEL),
        (share(&server, "new", 1501), Win32Error::SUCCESS),
    ] {
        assert_eq!(status(&server, &root, set("new", info.clone())), expected, "{info:?}");
    }
    let ShareInfo::Level502(told) = share(&server, "new", 502) else { panic!("another level") };
    assert_eq!((told.remark.as_deref(), told.max_uses), (Some("changed"), 7));
    assert!(told.security_descriptor.0.is_some());
    assert_eq!(share(&server, "new", 1005), flags(0x0830));

    let delete = |name: &str| ShareDelRequest { server_name: None, net_name: name.into(), reserved: 0 };
    assert_eq!(status(&server, &root, delete("new")), Win32Error::SUCCESS);
    assert_eq!(status(&server, &root, delete("new")), Win32Error::NET_NAME_NOT_FOUND);
    assert_eq!(status(&server, &root, delete("IPC$")), Win32Error::ACCESS_DENIED);

    let start = ShareDelStartRequest { server_name: None, net_name: String::from("passing"), reserved: 0 };
    let context_handle = share_changes::start_delete(&server, &root, &start).unwrap().context_handle;
    assert_eq!(status(&server, &root, ShareDelCommitRequest { context_handle }), Win32Error::SUCCESS);
    assert_eq!(status(&server, &root, ShareDelCommitRequest { context_handle }), Win32Error::INVALID_HANDLE);
    assert_eq!(status(&server, &root, start), Win32Error::NET_NAME_NOT_FOUND);
}

#[tokio::test]
async fn resumed_list_of_shares_misses_no_remaining_share() {
    let (server, root) = (server(), caller("root", true));
    for number in 0..9 {
        assert!(status(&server, &root, add(&format!("s{number}"), "/tmp", 0)).is_success());
    }
    let (mut seen, mut resume) = (Vec::new(), 0);
    for page in 0.. {
        let request =
            ShareEnumRequest { preferred_maximum_length: 1, resume_handle: Some(resume), ..shares(0) };
        let answer = super::shares::enumerate(&server, &root, &request).unwrap();
        let ShareEnumStruct::Level0(entries) = answer.info else { panic!("another level") };
        seen.extend(entries.into_iter().filter_map(|it| it.net_name));
        resume = answer.resume_handle.unwrap();
        if resume == 0 {
            break;
        }
        // Shares that were listed are deleted, others are added, and s8 stays.
        let delete = ShareDelRequest { server_name: None, net_name: format!("s{page}"), reserved: 0 };
        assert!(page > 7 || status(&server, &root, delete).is_success());
        assert!(page > 3 || status(&server, &root, add(&format!("a{page}"), "/tmp", 0)).is_success());
    }
    let mut unique = seen.clone();
    unique.dedup();
    assert_eq!(unique, seen);
    assert!(seen.contains(&String::from("s8")) && seen.contains(&String::from("a3")), "{seen:?}");
}

#[tokio::test]
async fn server_settings_are_changed() {
    let (server, root) = (server(), caller("root", true));
    let set = |info| ServerSetInfoRequest {
        server_name: None,
        info: rpc::WithLevel(info),
        parameter_error: Some(0),
    };
    let get =
        |level| info::get(&server, &root, &ServerGetInfoRequest { server_name: None, level }).unwrap().info;
    for info in [
        ServerInfo::Level1005(ServerInfo1005 { comment: Some(String::from("c")) }),
        ServerInfo::Level1010(ServerInfo1010 { disconnect: 9 }),
        ServerInfo::Level1016(ServerInfo1016 { hidden: 1 }),
    ] {
        let level = info.level();
        assert_eq!(status(&server, &root, set(info.clone())), Win32Error::SUCCESS, "{level}");
        assert_eq!(get(level), info);
    }
    let ServerInfo::Level102(told) = get(102) else { panic!("another level") };
    assert_eq!((told.comment.as_deref(), told.disconnect, told.hidden), (Some("c"), 9, 1));
    for level in [102, 502, 503] {
        assert_eq!(status(&server, &root, set(get(level))), Win32Error::SUCCESS, "{level}");
    }
    let tuned = ServerInfo::Level502(ServerInfo502::default());
    assert_eq!(status(&server, &root, set(tuned)), Win32Error::NOT_SUPPORTED);
    let long = ServerInfo::Level1010(ServerInfo1010 { disconnect: 70_000 });
    assert_eq!(status(&server, &root, set(long)), Win32Error::INVALID_PARAMETER);
    assert_eq!(status(&server, &root, set(get(100))), Win32Error::INVALID_LEVEL);
}

#[tokio::test]
async fn unsupported_calls_are_refused() {
    let (server, root, alice) = (server(), caller("root", true), caller("alice", false));
    let status = |caller: &Caller, opnum| {
        let stub = call(&server, caller, opnum, b"not read").unwrap();
        let (parameters, status) = stub.split_last_chunk().unwrap();
        (parameters.len(), Win32Error(u32::from_le_bytes(*status)))
    };
    const SERVER_ALIAS_ADD: u16 = 54;
    assert_eq!(status(&root, DFS_GET_VERSION), (4, Win32Error::NOT_SUPPORTED));
    assert_eq!(status(&alice, DFS_GET_VERSION), (4, Win32Error::NOT_SUPPORTED));
    assert_eq!(status(&root, SERVER_ALIAS_ADD), (0, Win32Error::NOT_SUPPORTED));
    assert_eq!(status(&alice, SERVER_ALIAS_ADD), (0, Win32Error::ACCESS_DENIED));
}

#[test]
fn unsupported_call_without_the_right_is_access_denied() {
    let caller = |administrator| caller("alice", administrator);
    assert_eq!(unsupported(&caller(false), Right::ChangeSettings), Error::AccessDenied);
    assert_eq!(unsupported(&caller(true), Right::ChangeSettings), Error::NotSupported);
}
