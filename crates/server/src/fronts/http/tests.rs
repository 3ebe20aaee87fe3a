//! Tests of the API through its socket.

use std::path::{Path, PathBuf};

use auth::users::UserDb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::core::config::Settings;

async fn exchange(socket: &Path, method: &str, address: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let head = format!(
        "{method} {address} HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn requests_are_answered_with_status_and_code() {
    let directory: PathBuf = std::env::temp_dir().join(format!("shareward-api-{}", std::process::id()));
    let path = directory.join("control.sock");
    let settings = Settings::conventional(false, |_| None);
    let server = Server::new(settings, UserDb::parse("").unwrap()).unwrap();
    let task = serve(server, listen(&path).unwrap()).unwrap();

    for (method, address, body, status, code) in [
        ("GET", "/v1/sessions/7", "", 404, 2312),
        ("DELETE", "/v1/sessions/7", "", 404, 2312),
        ("GET", "/v1/files/7", "", 404, 2314),
        ("DELETE", "/v1/files/7", "", 404, 2314),
        ("GET", "/v1/files/seven", "", 400, 87),
        ("GET", "/v1/files?after=seven", "", 400, 87),
        ("GET", "/v1/sessions?sort=user", "", 400, 87),
        ("POST", "/v1/sessions/close", "{}", 400, 87),
        ("POST", "/v1/sessions/close", "{\"users\":\"alice\"}", 400, 87),
        ("POST", "/v1/sessions/close", "{\"user\":\"alice\"}", 404, 2312),
        ("POST", "/v1/sessions/close", "{\"user\":\"root\",\"computer\":\"//\"}", 400, 2351),
    ] {
        let (told, error) = exchange(&path, method, address, body).await;
        assert_eq!((told, error["code"].as_u64()), (status, Some(code)), "{method} {address} {body}");
    }
    for (method, address, status, hint) in [
        ("DELETE", "/v1/files", 405, "/v1/files does not accept DELETE"),
        ("POST", "/v1/files?limit=1", 405, "/v1/files does not accept POST"),
        ("GET", "/v2/files", 404, "this version of the server has no /v2/files"),
    ] {
        let (told, error) = exchange(&path, method, address, "").await;
        assert_eq!((told, error["code"].as_u64(), error["hint"].as_str()), (status, Some(50), Some(hint)));
    }
    for address in ["/v1/sessions", "/v1/files?after=5000000000&limit=1", "/v1/connections", "/v1/refusals"] {
        let (status, page) = exchange(&path, "GET", address, "").await;
        assert_eq!((status, page["items"].as_array().map(Vec::len)), (200, Some(0)), "{address}");
    }
    for (method, address, body, status, code) in [
        ("POST", "/v1/shares", r#"{"name":"x","path":"relative"}"#, 400, 87),
        ("POST", "/v1/shares", r#"{"name":"x","path":"/nowhere/at/all"}"#, 400, 2116),
        ("POST", "/v1/shares", r#"{"name":"a/b","path":"/tmp"}"#, 400, 123),
        ("POST", "/v1/shares", r#"{"name":"x","path":"/tmp","settings":{"caching":"much"}}"#, 400, 87),
        (
            "POST",
            "/v1/shares",
            r#"{"name":"x","path":"/tmp","settings":{"grants":[{"user":"nobody here","right":"read"}]}}"#,
            400,
            1332,
        ),
        ("GET", "/v1/shares/x", "", 404, 2310),
        ("PATCH", "/v1/shares/x", r#"{"comment":"c"}"#, 404, 2310),
        ("DELETE", "/v1/shares/x", "", 404, 2310),
        ("DELETE", "/v1/shares/IPC%24", "", 403, 5),
        ("PATCH", "/v1/settings", r#"{"autodisconnect":-2}"#, 400, 87),
        ("PATCH", "/v1/settings", r#"{"name":"OTHER"}"#, 400, 87),
        ("POST", "/v1/service", r#"{"action":"restart"}"#, 400, 87),
        ("PUT", "/v1/users/ann/password", r#"{"new":"n"}"#, 404, 2221),
    ] {
        let (told, error) = exchange(&path, method, address, body).await;
        assert_eq!((told, error["code"].as_u64()), (status, Some(code)), "{method} {address} {body}");
    }
    for (method, address, body, key, value) in [
        ("POST", "/v1/shares", r#"{"name":"x","path":"/tmp","settings":{"uses_max":3}}"#, "uses_max", "3"),
        ("GET", "/v1/shares/X", "", "caching", "\"manual\""),
        (
            "PATCH",
            "/v1/shares/x",
            r#"{"grants":[{"user":"Everyone","right":"read"}],"caching":"None","uses_max":0}"#,
            "grants",
            r#"[{"right":"read","user":"Everyone"}]"#,
        ),
        ("GET", "/v1/shares/x", "", "uses_max", "null"),
        ("DELETE", "/v1/shares/x", "", "files", "0"),
        (
            "PATCH",
            "/v1/settings",
            r#"{"autodisconnect":9,"hidden":true,"comment":"c"}"#,
            "autodisconnect",
            "9",
        ),
        ("PATCH", "/v1/settings", r#"{"autodisconnect":-1}"#, "autodisconnect", "-1"),
        ("GET", "/v1/settings", "", "hidden", "true"),
        ("POST", "/v1/service", r#"{"action":"pause"}"#, "state", "\"paused\""),
        ("POST", "/v1/service", r#"{"action":"continue"}"#, "state", "\"running\""),
        ("GET", "/v1/service", "", "state", "\"running\""),
        ("GET", "/v1/statistics", "", "files_opened", "0"),
        ("GET", "/v1/statistics", "", "requests", "null"),
        ("GET", "/v1/statistics?detail=true", "", "opens_refused", "0"),
        ("POST", "/v1/service", r#"{"action":"stop"}"#, "state", "\"stopping\""),
    ] {
        let (status, told) = exchange(&path, method, address, body).await;
        assert_eq!((status, told[key].to_string()), (200, value.to_owned()), "{method} {address} {body}");
    }
    for address in ["/v1/clock", "/v1/users", "/v1/logons"] {
        assert_eq!(exchange(&path, "GET", address, "").await.0, 200, "{address}");
    }
    let (status, shares) = exchange(&path, "GET", "/v1/shares", "").await;
    assert_eq!((status, shares["items"][0]["name"].as_str()), (200, Some("IPC$")));
    assert_eq!(exchange(&path, "GET", "/v1/server", "").await.0, 200);

    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(!path.exists());
    std::fs::remove_dir_all(directory).unwrap();
}

/// The status of an answer, and the number in its body if that is a complete refusal.
async fn status(socket: &Path, method: &str, address: &str) -> (u16, Option<u64>) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!(
        "{method} {address} HTTP/1.1\r\nhost: server\r\ncontent-type: application/json\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        filled += stream.read(&mut bytes[filled..]).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..filled]).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let whole = serde_json::from_str::<serde_json::Value>(body);
            if status == 200 || whole.is_ok() {
                return (status, whole.ok().and_then(|it| it["code"].as_u64()));
            }
        }
    }
}

#[tokio::test]
async fn every_route_of_the_table_is_served() {
    let directory: PathBuf = std::env::temp_dir().join(format!("shareward-routes-{}", std::process::id()));
    let path = directory.join("control.sock");
    let server = Server::new(Settings::conventional(false, |_| None), UserDb::parse("").unwrap()).unwrap();
    let task = serve(server, listen(&path).unwrap()).unwrap();
    for (method, route) in control::route::ALL {
        let address = route.replace("{id}", "4000000000").replace("{name}", "nope");
        // A server that has not recorded anything has no history to search.
        let takes_path = [control::route::WHO, control::route::HISTORY].contains(&route);
        let address = if takes_path { format!("{address}?path=x&share=nope") } else { address };
        let (status, code) = status(&path, method, &address).await;
        // 501 is the answer of a route whose act this server does not support, such as one of a cluster.
        let unserved = matches!(status, 404 | 405) && code == Some(50);
        assert!(!unserved, "{method} {route}: {status} {code:?}");
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn invalid_queries_are_refused_with_hints() {
    let directory: PathBuf = std::env::temp_dir().join(format!("shareward-who-{}", std::process::id()));
    let path = directory.join("control.sock");
    let server = Server::new(Settings::conventional(false, |_| None), UserDb::parse("").unwrap()).unwrap();
    let task = serve(server, listen(&path).unwrap()).unwrap();
    for (address, answer) in [
        ("/v1/who", (400, Some(87))),
        ("/v1/who?path=/nowhere", (400, Some(87))),
        ("/v1/who?path=x&share=nope", (404, Some(2310))),
        ("/v1/who?path=&share=IPC$&wait=21", (400, Some(87))),
        ("/v1/who?path=&share=IPC$&wait=20", (200, None)),
        ("/v1/events?after=x", (400, Some(87))),
        ("/v1/events?after=4000000000", (200, None)),
        ("/v1/files?idle=soon", (400, Some(87))),
        ("/v1/files?session=0", (200, None)),
    ] {
        assert_eq!(status(&path, "GET", address).await, answer, "{address}");
    }
    for (method, address, body, number, words) in [
        ("GET", "/v1/who", "", 87, "path is missing"),
        ("GET", "/v1/who?path=report.docx", "", 87, "report.docx names no share"),
        ("GET", "/v1/who?path=/nowhere", "", 87, "no share has this path"),
        ("GET", "/v1/who?path=x&share=nope", "", 2310, "no shares are visible to this user"),
        ("DELETE", "/v1/files/1?grace=99", "", 87, "grace is at most"),
        ("POST", "/v1/shares", r#"{"name":"x","path":"relative"}"#, 87, "relative is not absolute"),
        ("POST", "/v1/shares", r#"{"name":"x/y","path":"/"}"#, 123, "a share name cannot have '/'"),
        ("PATCH", "/v1/shares/x", r#"{"caching":"much"}"#, 87, "caching much is none of manual"),
    ] {
        let (_, told) = exchange(&path, method, address, body).await;
        assert_eq!(told["code"].as_u64(), Some(number), "{method} {address} {told}");
        assert!(told["hint"].as_str().is_some_and(|hint| hint.contains(words)), "{method} {address} {told}");
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn waiting_requests_leave_places_for_short_ones() {
    let directory: PathBuf = std::env::temp_dir().join(format!("shareward-seats-{}", std::process::id()));
    let path = directory.join("control.sock");
    let server = Server::new(Settings::conventional(false, |_| None), UserDb::parse("").unwrap()).unwrap();
    let task = serve(Arc::clone(&server), listen(&path).unwrap()).unwrap();
    let mut connections = Vec::new();
    let mut bytes = vec![0; 4096];
    // As many readers of events as are allowed, and as many other connections as there are places.
    for number in 0.. {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: server\r\n\r\n").await.unwrap();
        let length = stream.read(&mut bytes).await.unwrap();
        if !bytes[..length].starts_with(b"HTTP/1.1 200") {
            assert!(number >= 16, "{number} readers are accepted");
            break;
        }
        connections.push(stream);
    }
    for number in 0..crate::core::admin_slots::SOCKET_PLACES {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /v1/clock HTTP/1.1\r\nhost: server\r\n\r\n").await.unwrap();
        let length = stream.read(&mut bytes).await.unwrap();
        assert!(bytes[..length].starts_with(b"HTTP/1.1 200"), "{number}");
        connections.push(stream);
    }
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /v1/clock HTTP/1.1\r\nhost: server\r\n\r\n").await.unwrap();
    let refused = stream.read(&mut bytes).await;
    assert!(matches!(refused, Ok(0) | Err(_)), "one connection too many: {refused:?}");
    drop(connections);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    std::fs::remove_dir_all(directory).unwrap();
}

/// A connection outlives a change of the settings; the rights of its user do not.
#[tokio::test]
async fn rights_are_determined_at_each_request() {
    // The account `daemon` exists on every Unix system.
    let Ok(Some(daemon)) = nix::unistd::User::from_name("daemon") else { return };
    let settings = |administrators: &[&str]| Settings {
        administrators: administrators.iter().map(ToString::to_string).collect(),
        ..Settings::conventional(false, |_| None)
    };
    let accounts = || UserDb::parse("").unwrap();
    let server = Server::new(settings(&["daemon"]), accounts()).unwrap();
    let (mut stream, theirs) = tokio::io::duplex(64 * 1024);
    let seat = Seat::take(&server.capacity.admin.pipes, Caller::default()).unwrap();
    let task = tokio::spawn(converse(Arc::clone(&server), theirs, Peer::Process(daemon.uid), seat));
    let mut buffer = vec![0; 64 * 1024];
    for (administrators, expected) in
        [(&["daemon"][..], 200), (&[], 403), (&["DAEMON"], 200), (&["root"], 403)]
    {
        server
            .reload::<crate::core::start_error::StartError>(|| Ok((settings(administrators), accounts())))
            .unwrap();
        stream.write_all(b"GET /v1/users HTTP/1.1\r\nhost: server\r\n\r\n").await.unwrap();
        let mut filled = 0;
        let status: u16 = loop {
            filled += stream.read(&mut buffer[filled..]).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..filled]).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && serde_json::from_str::<serde_json::Value>(body).is_ok()
            {
                break head.split(' ').nth(1).unwrap().parse().unwrap();
            }
        };
        assert_eq!(status, expected, "{administrators:?}");
    }
    task.abort();
}

#[tokio::test]
async fn hanging_lookup_does_not_delay_other_connections() {
    use crate::core::identity::hanging;

    let directory: PathBuf = std::env::temp_dir().join(format!("shareward-hanging-{}", std::process::id()));
    let path = directory.join("control.sock");
    let server = Server::new(Settings::conventional(false, |_| None), UserDb::parse("").unwrap()).unwrap();
    let socket = listen(&path).unwrap().start().unwrap();
    let hold = hanging::Hold;
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let peer_of = move |_: &UnixStream| {
        let is_first = is_first.swap(false, std::sync::atomic::Ordering::Relaxed);
        Some(Peer::Process(nix::unistd::Uid::from_raw(if is_first { hanging::UID } else { 0 })))
    };
    let task = bulkhead::spawn(accept(server, socket, peer_of));
    let mut stuck = UnixStream::connect(&path).await.unwrap();
    stuck.write_all(b"GET /v1/clock HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n").await.unwrap();
    hanging::ASKED.notified().await;
    let other = exchange(&path, "GET", "/v1/clock", "");
    let (status, _) = tokio::time::timeout(Duration::from_secs(20), other).await.expect("an answer");
    assert_eq!(status, 200);
    drop(hold);
    let mut answer = String::new();
    stuck.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    std::fs::remove_dir_all(directory).unwrap();
}
