//! The levels and faults of other servers, against a server that is a script.

use std::cell::RefCell;

use control::Timestamp;
use rpc::call::Stub as _;
use rpc::srvsvc::{
    ConnectionEnumResponse, ConnectionEnumStruct, ConnectionInfo1, FileCloseResponse, FileEnumResponse,
    FileEnumStruct, FileInfo2, FileInfo3, Request, Response, ServerGetInfoResponse, ServerInfo as Info,
    ServerInfo101, ServerInfo102, ServerSetInfoResponse, SessionDelResponse, SessionEnumResponse,
    SessionEnumStruct, SessionInfo0, SessionInfo1, SessionInfo2, SessionInfo10, SessionInfo502,
    ShareEnumResponse, ShareEnumStruct, ShareInfo1, ShareInfo2,
};
use rpc::{Call, Endpoint, Fault, Win32Error};

use super::*;

/// The answers of a server to calls.
type Script = Box<dyn FnMut(&Request) -> Result<Response, CallError>>;

/// A scripted server that records its requests.
struct Scripted {
    script: RefCell<Script>,
    asked: RefCell<Vec<String>>,
}

impl Rpc for Scripted {
    fn server_name(&self) -> String {
        r"\\SCRIPT".into()
    }

    fn user(&self) -> Option<String> {
        Some("Alice".into())
    }

    async fn call<C: Call>(&self, endpoint: Endpoint, call: &C) -> Result<C::Response, CallError> {
        // The server reveals no domain.
        if endpoint.pipe != "srvsvc" {
            return Err(CallError::Fault(Fault::OP_RANGE_ERROR));
        }
        let request = Request::decode(C::OPNUM, &call.encode()).unwrap();
        self.asked.borrow_mut().push(summary(&request));
        let response = (self.script.borrow_mut())(&request)?;
        Ok(C::Response::decode(&response.encode()).unwrap())
    }
}

/// The name and the main parameter of a request.
fn summary(request: &Request) -> String {
    let about = match request {
        Request::SessionEnum(it) => it.info.level().to_string(),
        Request::SessionDel(it) => format!("{:?} {:?}", it.client_name, it.user_name),
        Request::FileEnum(it) => format!("{} {:?}", it.info.level(), it.user_name),
        Request::FileGetInfo(it) => it.level.to_string(),
        Request::ConnectionEnum(it) => format!("{} {:?}", it.info.level(), it.qualifier),
        Request::ShareEnum(it) => it.info.level().to_string(),
        Request::ServerGetInfo(it) => it.level.to_string(),
        _ => String::new(),
    };
    format!("{} {about}", request.name()).trim_end().to_owned()
}

fn client(script: impl FnMut(&Request) -> Result<Response, CallError> + 'static) -> SrvsClient<Scripted> {
    SrvsClient::new(Scripted { script: RefCell::new(Box::new(script)), asked: RefCell::default() })
}

fn asked(client: &SrvsClient<Scripted>) -> Vec<String> {
    client.rpc.asked.borrow().clone()
}

fn refuse(request: &Request, status: Win32Error) -> Result<Response, CallError> {
    Ok(request.refuse(status))
}

const UNKNOWN_CALL: Result<Response, CallError> = Err(CallError::Fault(Fault::OP_RANGE_ERROR));

fn sessions(info: SessionEnumStruct) -> Result<Response, CallError> {
    paged_sessions(info, None, Win32Error::SUCCESS)
}

fn paged_sessions(
    info: SessionEnumStruct,
    resume_handle: Option<u32>,
    status: Win32Error,
) -> Result<Response, CallError> {
    let total_entries = u32::try_from(info.len()).unwrap();
    Ok(SessionEnumResponse { info, total_entries, resume_handle, status }.into())
}

fn info_1(client: &str, user: &str) -> SessionInfo1 {
    SessionInfo1 {
        client_name: Some(client.into()),
        user_name: Some(user.into()),
        num_opens: 3,
        time: 100,
        idle_time: 0,
        user_flags: 1,
    }
}

fn files(entries: Vec<FileInfo3>) -> Result<Response, CallError> {
    let total_entries = u32::try_from(entries.len()).unwrap();
    let info = FileEnumStruct::Level3(entries);
    Ok(FileEnumResponse { info, total_entries, resume_handle: None, status: Win32Error::SUCCESS }.into())
}

fn open(id: u32, path: &str) -> FileInfo3 {
    FileInfo3 {
        id,
        permissions: 3,
        num_locks: 0,
        path_name: Some(path.into()),
        user_name: Some("alice".into()),
    }
}

/// Samba, as far as these tests go: sessions at level 1 and 0, files at level 3, no NetrFileGetInfo, made-up
/// connections.
fn samba(request: &Request) -> Result<Response, CallError> {
    match request {
        Request::SessionEnum(it) if it.info.level() == 1 => {
            sessions(SessionEnumStruct::Level1(vec![info_1("10.0.0.7", "alice")]))
        }
        Request::SessionEnum(_) => refuse(request, Win32Error::INVALID_LEVEL),
        Request::ConnectionEnum(_) => Ok(ConnectionEnumResponse {
            info: ConnectionEnumStruct::Level1(vec![ConnectionInfo1 {
                id: 1,
                connection_type: 3,
                num_opens: 1,
                num_users: 1,
                time: 3,
                user_name: Some("dummy_user".into()),
                net_name: Some("IPC$".into()),
            }]),
            total_entries: 1,
            resume_handle: None,
            status: Win32Error::SUCCESS,
        }
        .into()),
        Request::ShareEnum(it) if it.info.level() == 2 => Ok(ShareEnumResponse {
            info: ShareEnumStruct::Level2(vec![ShareInfo2 {
                net_name: Some("data".into()),
                path: Some(r"C:\srv\data".into()),
                max_uses: u32::MAX,
                ..ShareInfo2::default()
            }]),
            total_entries: 1,
            resume_handle: None,
            status: Win32Error::SUCCESS,
        }
        .into()),
        Request::ShareEnum(_) => refuse(request, Win32Error::INVALID_LEVEL),
        Request::FileEnum(it) if it.user_name.is_none() => files(vec![open(9, r"C:\srv\data\ü\x")]),
        Request::FileEnum(_) => files(Vec::new()),
        _ => UNKNOWN_CALL,
    }
}

#[tokio::test]
async fn each_level_provides_its_fields_only() {
    for level in [502, 2, 1, 10, 0] {
        let client = client(move |request| match request {
            Request::SessionEnum(it) if it.info.level() == level => sessions(match level {
                502 => SessionEnumStruct::Level502(vec![SessionInfo502 {
                    client_name: Some(r"\\[2001:db8::7]".into()),
                    user_name: Some("jörg".into()),
                    num_opens: 3,
                    time: 100,
                    idle_time: 0,
                    user_flags: 0,
                    client_type_name: Some("Windows 7".into()),
                    transport: Some(String::new()),
                }]),
                2 => SessionEnumStruct::Level2(vec![SessionInfo2 {
                    client_name: Some(r"\\DESK".into()),
                    ..SessionInfo2::default()
                }]),
                1 => SessionEnumStruct::Level1(vec![info_1("10.0.0.7", "alice")]),
                10 => SessionEnumStruct::Level10(vec![SessionInfo10 {
                    client_name: Some("DESK".into()),
                    user_name: Some("alice".into()),
                    time: 7,
                    idle_time: 5,
                }]),
                _ => SessionEnumStruct::Level0(vec![SessionInfo0 { client_name: Some("DESK".into()) }]),
            }),
            Request::SessionEnum(it) if it.info.level() == 502 => refuse(request, Win32Error::INVALID_LEVEL),
            Request::SessionEnum(it) if it.info.level() == 2 => UNKNOWN_CALL,
            Request::SessionEnum(it) if it.info.level() == 1 => refuse(request, Win32Error(1)),
            Request::SessionEnum(_) => refuse(request, Win32Error::NOT_SUPPORTED),
            _ => UNKNOWN_CALL,
        });
        let query = SessionQuery::default();
        let all = client.sessions(&query).await.unwrap();
        let [session] = all.as_slice() else { panic!("{all:?}") };
        let told = (session.opens, session.idle_seconds, session.active_seconds, session.guest);
        match level {
            502 => {
                assert_eq!((session.computer.as_str(), session.user.as_str()), ("2001:db8::7", "jörg"));
                assert_eq!(told, (Some(3), Some(0), Some(100), Some(false)));
                assert_eq!((session.client_type.as_deref(), &session.transport), (Some("Windows 7"), &None));
                assert!(session.connected_at.is_some_and(|it| it < Timestamp::now()));
            }
            2 => {
                assert_eq!((session.computer.as_str(), session.anonymous), ("DESK", Some(true)));
                assert_eq!(told, (Some(0), Some(0), Some(0), Some(false)));
            }
            1 => assert_eq!(told, (Some(3), None, Some(100), Some(true))),
            10 => assert_eq!(told, (None, Some(5), Some(7), None)),
            _ => {
                assert_eq!((told, session.anonymous), ((None, None, None, None), None));
                assert_eq!((session.user.as_str(), session.connected_at), ("", None));
            }
        }
        assert_eq!(client.ending_warning(&[]).is_some(), level != 502 && level != 2);
    }
}

#[tokio::test]
async fn users_without_rights_get_the_public_levels() {
    let client = client(|request| match request {
        Request::SessionEnum(it) if it.info.level() == 10 => {
            sessions(SessionEnumStruct::Level10(vec![SessionInfo10::default()]))
        }
        _ => refuse(request, Win32Error::ACCESS_DENIED),
    });
    assert_eq!(client.sessions(&SessionQuery::default()).await.unwrap().len(), 1);
    // Refused levels do not show the server's abilities.
    assert_eq!(client.ending_warning(&[]), None);
}

#[tokio::test]
async fn the_refusal_of_the_last_level_is_reported() {
    for (status, number) in [
        (Win32Error::ACCESS_DENIED, 5),
        (Win32Error::INVALID_LEVEL, 50),
        (Win32Error::SERVER_NOT_STARTED, 2114),
        (Win32Error(1717), 1717),
    ] {
        let client = client(move |request| refuse(request, status));
        let error = client.sessions(&SessionQuery::default()).await.unwrap_err();
        assert_eq!(error.number(), number);
        assert_eq!(client.files(&FileQuery::default()).await.unwrap_err().number(), number);
        assert_eq!(client.shares().await.unwrap_err().number(), number);
    }
    for (fault, number) in [
        (Fault::ACCESS_DENIED, 5),
        (Fault::OP_RANGE_ERROR, 50),
        (Fault::BAD_STUB_DATA, 1783),
        (Fault(7), 1726),
    ] {
        let client = client(move |_| Err(CallError::Fault(fault)));
        assert_eq!(client.sessions(&SessionQuery::default()).await.unwrap_err().number(), number, "{fault}");
    }
}

#[tokio::test]
async fn pages_are_joined_up_to_the_last() {
    let page = |from: u32| {
        let names = (from..from + 2).map(|id| SessionInfo0 { client_name: Some(format!("c{id}")) });
        SessionEnumStruct::Level0(names.collect())
    };
    let paging = client(move |request| match request {
        Request::SessionEnum(it) if it.info.level() == 0 => match it.resume_handle {
            Some(0) => paged_sessions(page(0), Some(2), Win32Error::MORE_DATA),
            Some(2) => paged_sessions(page(2), Some(4), Win32Error::MORE_DATA),
            Some(4) => paged_sessions(page(4), Some(0), Win32Error::SUCCESS),
            other => panic!("{other:?}"),
        },
        _ => UNKNOWN_CALL,
    });
    let all = paging.sessions(&SessionQuery::default()).await.unwrap();
    assert_eq!(all.len(), 6);

    // A server that cannot go on is asked for all at once.
    let stuck = client(move |request| match request {
        Request::SessionEnum(it) if it.info.level() == 0 && it.preferred_maximum_length == u32::MAX => {
            paged_sessions(page(0), None, Win32Error::SUCCESS)
        }
        Request::SessionEnum(it) if it.info.level() == 0 => {
            paged_sessions(page(0), Some(0), Win32Error::MORE_DATA)
        }
        _ => UNKNOWN_CALL,
    });
    assert_eq!(stuck.sessions(&SessionQuery::default()).await.unwrap().len(), 2);

    // An endless list is given up.
    let endless = client(move |request| match request {
        Request::SessionEnum(it) if it.info.level() == 0 => {
            let next = it.resume_handle.unwrap() % 7 + 1;
            paged_sessions(page(0), Some(next), Win32Error::MORE_DATA)
        }
        _ => UNKNOWN_CALL,
    });
    let error = endless.sessions(&SessionQuery::default()).await.unwrap_err();
    assert!(matches!(error, Error::Nonsense(_)), "{error}");
}

#[tokio::test]
async fn filters_are_applied_locally_and_unsupported_ones_are_refused() {
    let client = client(samba);
    let query = |user: Option<&str>, mine| SessionQuery {
        user: user.map(str::to_owned),
        mine,
        ..SessionQuery::default()
    };
    for (query, found) in [
        (query(None, None), 1),
        (query(Some("ALICE"), None), 1),
        (query(None, Some(true)), 1),
        (query(Some("bob"), None), 0),
        (query(Some("bob"), Some(true)), 0),
    ] {
        assert_eq!(client.sessions(&query).await.unwrap().len(), found, "{query:?}");
    }
    let idle = SessionQuery { idle: Some("<1h".parse().unwrap()), ..SessionQuery::default() };
    assert_eq!(client.sessions(&idle).await.unwrap_err().number(), 50);
    let share = SessionQuery { share: Some("data".into()), ..SessionQuery::default() };
    assert_eq!(client.sessions(&share).await.unwrap_err().number(), 50);
    let age = FileQuery { age: Some(">1h".parse().unwrap()), ..FileQuery::default() };
    assert_eq!(client.files(&age).await.unwrap_err().number(), 50);
}

#[tokio::test]
async fn values_that_samba_invents_are_dropped() {
    let client = client(samba);
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    assert_eq!(sessions[0].shares, None);
    let query = ConnectionQuery { share: Some("data".into()), ..ConnectionQuery::default() };
    let connections = client.connections(&query).await.unwrap();
    let expected = Connection { id: 1, share: "data".into(), opens: Some(1), ..Connection::default() };
    assert_eq!(connections, [expected]);
    let of_client = ConnectionQuery { client: Some("10.0.0.7".into()), ..ConnectionQuery::default() };
    assert_eq!(client.connections(&of_client).await.unwrap(), []);
}

#[tokio::test]
async fn files_get_their_share_and_path() {
    let client = client(samba);
    let query = FileQuery { share: Some("DATA".into()), path: Some(r"ü\*".into()), ..FileQuery::default() };
    let files = client.files(&query).await.unwrap();
    assert_eq!((files[0].path.as_str(), files[0].share.as_deref()), (r"ü\x", Some("data")));
    assert_eq!(files[0].server_path.as_deref(), Some(r"C:\srv\data\ü\x"));
    assert_eq!(client.file(9).await.unwrap(), files[0]);
    assert_eq!(client.file(10).await.unwrap_err().number(), 2314);
    // Samba takes the computer for a user, of whom there is nothing.
    let query = FileQuery { client: Some("10.0.0.7".into()), ..FileQuery::default() };
    assert_eq!(client.files(&query).await.unwrap_err().number(), 50);
}

#[tokio::test]
async fn the_client_filter_is_sent_to_servers_that_support_it() {
    let client = client(|request| match request {
        Request::SessionEnum(_) => sessions(SessionEnumStruct::Level502(Vec::new())),
        Request::FileEnum(it) if it.user_name.as_deref() == Some(r"\\[::1]") => {
            files(vec![open(4, r"\PIPE\srvsvc")])
        }
        Request::FileEnum(_) => files(Vec::new()),
        _ => UNKNOWN_CALL,
    });
    let of = |name: &str| FileQuery { client: Some(name.into()), ..FileQuery::default() };
    let files = client.files(&of("::1")).await.unwrap();
    assert_eq!((files[0].computer.as_deref(), files[0].pipe), (Some("::1"), true));
    assert_eq!(client.files(&of("10.0.0.9")).await.unwrap(), []);
}

#[tokio::test]
async fn a_server_with_the_lowest_level_provides_ids() {
    let client = client(|request| match request {
        Request::FileEnum(it) if it.info.level() == 2 => Ok(FileEnumResponse {
            info: FileEnumStruct::Level2(vec![FileInfo2 { id: 7 }]),
            total_entries: 1,
            resume_handle: None,
            status: Win32Error::SUCCESS,
        }
        .into()),
        _ => refuse(request, Win32Error::INVALID_LEVEL),
    });
    let files = client.files(&FileQuery::default()).await.unwrap();
    assert_eq!(files, [OpenFile { id: 7, ..OpenFile::default() }]);
    let writing = FileQuery { writing: Some(false), ..FileQuery::default() };
    assert_eq!(client.files(&writing).await.unwrap_err().number(), 50);
}

/// A Samba that closes after `after` lists and reports failure; with `None` it never closes.
fn closing_samba(after: Option<usize>) -> SrvsClient<Scripted> {
    let mut looks = None;
    client(move |request| match request {
        Request::FileClose(_) => {
            looks = Some(0);
            Ok(FileCloseResponse { status: Win32Error::FILE_NOT_FOUND }.into())
        }
        Request::FileEnum(_) if looks.is_some() => {
            looks = looks.map(|looks| looks + 1);
            let gone = after.is_some_and(|after| looks > Some(after));
            files(if gone { Vec::new() } else { vec![open(9, r"C:\srv\data\ü\x")] })
        }
        other => samba(other),
    })
}

#[tokio::test(start_paused = true)]
async fn a_close_that_samba_denies_is_verified() {
    let at_once = CloseFile::default();
    for after in [0, 1, 3] {
        let ended = closing_samba(Some(after)).close_file(9, &at_once).await.unwrap();
        assert_eq!((ended.files, ended.outcome), (1, None));
    }
    assert_eq!(closing_samba(None).close_file(9, &at_once).await.unwrap_err().number(), 2);
    let client = closing_samba(Some(0));
    assert_eq!(client.close_file(10, &at_once).await.unwrap_err().number(), 2314);
    assert!(!asked(&client).contains(&"NetrFileClose".to_owned()));
}

#[tokio::test]
async fn a_close_checks_expectations_and_refuses_grace() {
    let client = closing_samba(Some(0));
    let how = |user: &str, path: &str| CloseFile {
        expect_user: Some(user.into()),
        expect_path: Some(path.into()),
        ..CloseFile::default()
    };
    for (user, path) in [("bob", r"ü\x"), ("alice", r"ü\y"), ("alice", "x")] {
        assert_eq!(client.close_file(9, &how(user, path)).await.unwrap_err().number(), 2314);
    }
    let kind = CloseFile { grace: Some(5), ..CloseFile::default() };
    assert_eq!(client.close_file(9, &kind).await.unwrap_err().number(), 50);
    assert!(!asked(&client).contains(&"NetrFileClose".to_owned()));
    assert_eq!(client.close_file(9, &how(r"LAB\Alice", "Ü/X")).await.unwrap().files, 1);
    let close = closing_samba(Some(0)).close_file(9, &how("alice", "c:/srv/data/ü/x")).await;
    assert_eq!(close.unwrap().files, 1);
}

#[tokio::test]
async fn sessions_end_by_computer_and_user() {
    let gone = |user: &str| Session { computer: "10.0.0.8".into(), user: user.into(), ..Session::default() };
    let here = Session { computer: "10.0.0.7".into(), user: "alice".into(), ..Session::default() };
    let ending = |answer: fn() -> Result<Response, CallError>| {
        client(move |request| match request {
            Request::SessionDel(_) => answer(),
            other => samba(other),
        })
    };

    let client = ending(|| Ok(SessionDelResponse { status: Win32Error::SUCCESS }.into()));
    let v6 = Session { computer: "::1".into(), opens: Some(4), ..Session::default() };
    assert_eq!(client.end_session(&v6).await.unwrap(), Ended { sessions: 1, files: 4, outcome: None });
    client.end_session(&here).await.unwrap();
    let wanted = [
        r#"NetrSessionDel Some("\\\\[::1]") None"#.to_owned(),
        r#"NetrSessionDel Some("\\\\10.0.0.7") Some("alice")"#.to_owned(),
    ];
    assert_eq!(asked(&client), wanted);

    // The command's own session, or another one on its connection, ends the connection.
    let client = ending(|| Err(CallError::Ended(Error::Broken(std::io::ErrorKind::UnexpectedEof.into()))));
    assert_eq!(client.end_session(&here).await.unwrap().sessions, 1);

    // Samba's access denied means missing rights if the session exists, and otherwise an unknown session.
    let client = ending(|| Ok(SessionDelResponse { status: Win32Error::ACCESS_DENIED }.into()));
    client.sessions(&SessionQuery::default()).await.unwrap();
    assert_eq!(client.end_session(&here).await.unwrap_err().number(), 5);
    assert_eq!(client.end_session(&gone("alice")).await.unwrap_err().number(), 2312);

    let client = ending(|| Ok(SessionDelResponse { status: Win32Error::USER_NOT_FOUND }.into()));
    assert_eq!(client.end_session(&gone("bob")).await.unwrap_err().number(), 2312);
}

#[tokio::test]
async fn shares_are_listed_at_the_granted_level() {
    let client = client(|request| match request {
        Request::ShareEnum(it) if it.info.level() == 1 => Ok(ShareEnumResponse {
            info: ShareEnumStruct::Level1(vec![
                ShareInfo1 { net_name: Some("IPC$".into()), share_type: 0x8000_0003, remark: None },
                ShareInfo1 { net_name: Some("Bücher".into()), share_type: 0, remark: Some("alle".into()) },
            ]),
            total_entries: 2,
            resume_handle: None,
            status: Win32Error::SUCCESS,
        }
        .into()),
        _ => refuse(request, Win32Error::ACCESS_DENIED),
    });
    let shares = client.shares().await.unwrap();
    let told: Vec<_> = shares.iter().map(|it| (it.name.as_str(), it.kind, it.special, it.uses)).collect();
    let expected =
        [("Bücher", control::ShareKind::Disk, false, None), ("IPC$", control::ShareKind::Ipc, true, None)];
    assert_eq!(told, expected);
    assert_eq!(asked(&client), ["NetrShareEnum 502", "NetrShareEnum 2", "NetrShareEnum 1"]);
}

#[tokio::test]
async fn a_change_without_effect_is_an_error() {
    let client = client(|request| match request {
        Request::ServerGetInfo(it) => {
            let info = match it.level {
                102 => Info::Level102(ServerInfo102 {
                    name: Some("NAS".into()),
                    comment: Some("old".into()),
                    disconnect: u32::MAX,
                    ..ServerInfo102::default()
                }),
                101 => Info::Level101(ServerInfo101::default()),
                _ => return refuse(request, Win32Error::INVALID_LEVEL),
            };
            Ok(ServerGetInfoResponse { info, status: Win32Error::SUCCESS }.into())
        }
        Request::ServerSetInfo(_) => {
            Ok(ServerSetInfoResponse { parameter_error: Some(0), status: Win32Error::SUCCESS }.into())
        }
        _ => UNKNOWN_CALL,
    });
    let change =
        |comment: &str| SettingsChange { comment: Some(comment.into()), ..SettingsChange::default() };
    assert_eq!(client.change_settings(&change("new")).await.unwrap_err().number(), 50);
    let settings = client.change_settings(&change("old")).await.unwrap();
    assert_eq!((settings.name.as_str(), settings.autodisconnect), ("NAS", Some(-1)));
    assert_eq!(client.statistics().await.unwrap_err().number(), 50);
}
