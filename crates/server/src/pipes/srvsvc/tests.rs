//! Calls as a client makes them.

use std::sync::Arc;

use auth::users::UserDb;
use rpc::Win32Error;
use rpc::srvsvc::*;

use super::*;
use crate::config::Settings;

fn server() -> Arc<Server> {
    Server::new(Settings::conventional(false, |_| None), UserDb::parse("").unwrap()).unwrap()
}

fn caller(user: &str, administrator: bool) -> Caller {
    Caller { user: user.into(), administrator, from: String::from("192.0.2.1"), ..Caller::default() }
}

fn status(server: &Server, caller: &Caller, request: impl Into<Request>) -> Win32Error {
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
async fn what_is_not_there_has_its_number() {
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
async fn users_browse_and_no_more() {
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
fn paths_look_as_windows_tools_expect() {
    assert_eq!(drive_path("/srv/data/a b.txt"), r"C:\srv\data\a b.txt");
    assert_eq!(drive_path("/"), r"C:\");
    for (shown, path) in [(r"c:\srv\a b", "/srv/a b"), ("/srv/x", "/srv/x"), ("C:\\", "/"), (r"D:\x", "D:/x")]
    {
        assert_eq!(server_path(shown), path);
    }
}

#[test]
fn who_may_not_does_not_learn_what_there_is() {
    let caller = |administrator| caller("alice", administrator);
    assert_eq!(unsupported(&caller(false), Right::ChangeSettings), Error::AccessDenied);
    assert_eq!(unsupported(&caller(true), Right::ChangeSettings), Error::NotSupported);
}
