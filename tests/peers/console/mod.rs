//! The web console and the metrics, by requests without a browser.

mod browser;
mod history;
mod http;
mod maintenance;
mod metrics;
pub(crate) mod webdriver;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Setup, Shareward, need};

use self::http::{Console, User, console};
use crate::scripted;

/// Calls `done` until it returns a value.
#[track_caller]
fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn pages_are_served_with_a_strict_policy() {
    let console = console("");
    let page = console.get("/");
    assert_eq!((page.status, page.field("content-type")), (200, "text/html; charset=utf-8"));
    let script = console.get("/assets/app.js");
    assert_eq!((script.status, script.field("content-type")), (200, "text/javascript; charset=utf-8"));
    let api = console.get("/v1/files");
    assert_eq!(api.status, 401);
    for answer in [&page, &script, &api, &console.get("/assets/missing.js"), &console.get("/health")] {
        let policy = answer.field("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.field("x-content-type-options"), "nosniff");
        assert_eq!(answer.field("referrer-policy"), "no-referrer");
    }
    assert_eq!(api.field("cache-control"), "no-store");
}

#[test]
fn cookie_is_hidden_from_scripts_and_ends_with_the_logoff() {
    let console = console("");
    let answer = console.try_log_on("admin", &console.server.setup().user("admin").password);
    let cookie = answer.field("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.split("; ").any(|it| it == attribute), "{cookie}");
    }
    assert!(!cookie.contains("Max-Age") && !cookie.contains("Domain"), "it ends with the browser: {cookie}");
    let user = console.log_on("admin");
    assert_eq!(console.get_as(&user, "/v1/sessions").status, 200);
    let off = console.request_as(&user, "DELETE /session", "");
    assert_eq!(off.status, 204);
    assert!(off.field("set-cookie").contains("Max-Age=0"));
    assert_eq!(console.get_as(&user, "/v1/sessions").status, 401);
    let forged = User { cookie: format!("shareward={}", "0".repeat(64)), ..user };
    assert_eq!(console.get_as(&forged, "/v1/sessions").status, 401);
}

#[test]
fn changes_need_the_token_of_the_pages_and_their_origin() {
    let console = console("");
    let user = console.log_on("admin");
    let (origin, cookie, token) = (console.origin(), user.cookie.as_str(), user.token.as_str());
    let change = |fields: &[(&str, &str)]| {
        console.request("PATCH /v1/settings", fields, &json!({"comment": "changed"}).to_string())
    };
    let comment = || console.get_as(&user, "/v1/settings").json()["comment"].clone();
    for fields in [
        &[("Cookie", cookie)][..],
        &[("Cookie", cookie), ("Origin", &origin)],
        &[("Cookie", cookie), ("X-Shareward-Token", token)],
        &[("Cookie", cookie), ("Origin", &origin), ("X-Shareward-Token", "wrong")],
        &[("Cookie", cookie), ("Origin", "http://evil.example"), ("X-Shareward-Token", token)],
        &[("Cookie", cookie), ("Origin", "null"), ("X-Shareward-Token", token)],
    ] {
        let refused = change(fields);
        assert_eq!(refused.status, 403, "{fields:?} {refused:?}");
        assert_ne!(comment(), "changed", "{fields:?}");
    }
    assert_eq!(change(&[("Cookie", cookie), ("Origin", &origin), ("X-Shareward-Token", token)]).status, 200);
    assert_eq!(comment(), "changed");
    // The logon itself, too, must come from a page of the console.
    let password = &console.server.setup().user("admin").password;
    let body = json!({"user": "admin", "password": password}).to_string();
    assert_eq!(console.request("POST /logon", &[], &body).status, 403);
    assert_eq!(console.request("POST /logon", &[("Origin", "http://evil.example")], &body).status, 403);
}

#[test]
fn requests_for_other_hosts_are_refused() {
    let console = console("names = [\"files.example.com\"]");
    let status = |host: &str| console.request("GET /", &[("Host", host)], "").status;
    for own in ["files.example.com", "FILES.example.com:8445", "tested", "localhost:1", "[::1]:1"] {
        assert_eq!(status(own), 200, "{own}");
    }
    for other in ["evil.example", "127.0.0.1.evil.example", "files.example.com.evil.example"] {
        assert_eq!(status(other), 421, "{other}");
    }
}

#[test]
fn wrong_passwords_are_refused_slowly_and_written_to_the_log() {
    let console = console("");
    let begun = Instant::now();
    for (user, password) in [("admin", "wrong"), ("nobody-at-all", "wrong")] {
        let refused = console.try_log_on(user, password);
        assert_eq!((refused.status, refused.json()["code"].as_u64()), (401, Some(1326)), "{refused:?}");
        assert!(refused.fields("set-cookie").is_empty());
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "each refusal is delayed");
    let log = console.server.log();
    assert_eq!(log.matches("logon refused").count(), 2, "{log}");
    assert!(log.contains("wrong password") && log.contains("no such user"), "{log}");
    for malformed in
        ["", "{}", "{\"user\":\"admin\"}", "[1]", "{\"user\":\"a\",\"password\":\"b\",\"more\":1}"]
    {
        let answer = console.request("POST /logon", &[("Origin", &console.origin())], malformed);
        assert!((400..=415).contains(&answer.status), "{malformed} {answer:?}");
    }
    assert_eq!(console.try_log_on("", "").status, 401, "not the anonymous logon");
}

/// Guesses from one address neither get many attempts at once, nor keep users at other addresses from logging on.
#[test]
fn many_logons_at_once_are_refused() {
    let console = console("");
    let origin = console.origin();
    let body = json!({"user": "admin", "password": "wrong"}).to_string();
    let attempt = || console.request("POST /logon", &[("Origin", &origin)], &body).status;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..12).map(|_| scope.spawn(attempt)).collect();
        attempts.into_iter().map(|attempt| attempt.join().expect("an answer")).collect()
    });
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(statuses.contains(&401), "{statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
}

#[test]
fn locked_account_cannot_log_on() {
    let extra = "lockout_threshold = 2\n\n[console]\nlisten = [\"127.0.0.1:0\"]\ntls = false\n";
    let server = Shareward::start(&Setup { extra: extra.into(), ..Setup::default() });
    let address = http::listener(&server, "web console on http://");
    let console = Console { server, address };
    for _ in 0..2 {
        assert_eq!(console.try_log_on("alice", "wrong").json()["code"], 1326);
    }
    let password = &console.server.setup().user("alice").password;
    assert_eq!(console.try_log_on("alice", password).json()["code"], 1909);
    assert_eq!(console.try_log_on("admin", &console.server.setup().user("admin").password).status, 200);
}

#[test]
fn session_ends_when_its_account_changes() {
    let console = console("");
    let (alice, bob) = (console.log_on("alice"), console.log_on("bob"));
    assert_eq!(console.get_as(&alice, "/session").status, 200);
    console.server.user(&["passwd", "alice"], "another-Pass 1\n").success();
    eventually("the session ends", || (console.get_as(&alice, "/session").status == 401).then_some(()));
    assert_eq!(console.get_as(&bob, "/session").status, 200, "others continue");
    console.server.user(&["del", "bob"], "").success();
    eventually("the session ends", || (console.get_as(&bob, "/session").status == 401).then_some(()));
}

#[test]
fn ordinary_users_see_their_own_and_change_nothing() {
    let console = console("");
    let alice = console.log_on("alice");
    let session = console.get_as(&alice, "/session").json();
    assert_eq!((&session["administrator"], &session["sees_others"]), (&json!(false), &json!(false)));
    assert_eq!(console.get_as(&alice, "/v1/files").status, 403);
    assert_eq!(console.get_as(&alice, "/v1/files?mine=true").status, 200);
    assert_eq!(console.get_as(&alice, "/v1/sessions?mine=true").status, 200);
    for refused in ["/v1/statistics", "/v1/users", "/v1/events", "/metrics"] {
        assert_eq!(console.get_as(&alice, refused).status, 403, "{refused}");
    }
    assert_eq!(console.request_as(&alice, "PATCH /v1/settings", "{\"comment\":\"x\"}").status, 403);
    assert_eq!(console.request_as(&alice, "POST /v1/service", "{\"action\":\"stop\"}").status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_and_end_with_the_session() {
    let console = console("");
    let user = console.log_on("admin");
    let mut stream = console.connect();
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let head = format!("GET /live HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", console.address, user.cookie);
    stream.write_all(head.as_bytes()).expect("send");
    let mut text = String::new();
    let mut receive = |text: &mut String| {
        let mut bytes = [0; 16_384];
        if let Ok(length) = stream.read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    };
    eventually("the head", || {
        receive(&mut text);
        text.contains("retry: ").then_some(())
    });
    assert!(text.contains("text/event-stream"), "{text}");
    let subject = testkit::Subject::Shareward(console.server);
    let tree = scripted::tree(&subject, "alice", "data").await;
    let testkit::Subject::Shareward(server) = subject else { unreachable!("it was one above") };
    let console = Console { server, ..console };
    eventually("the event of the connection to the share", || {
        receive(&mut text);
        (text.contains("\"kind\":\"tree_up\"") && text.contains("\"user\":\"alice\"")).then_some(())
    });
    assert!(text.contains("\nid: "), "{text}");
    console.request_as(&user, "DELETE /session", "");
    eventually("the end of the stream", || {
        receive(&mut text);
        text.contains("event: ended").then_some(())
    });
    drop(tree);
}

/// Reads the answer to a request until it has the text, or until it is over.
fn read_until(console: &Console, user: &User, path: &str, ends: &[&str]) -> (std::net::TcpStream, String) {
    let mut stream = console.connect();
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", console.address, user.cookie);
    stream.write_all(head.as_bytes()).expect("send");
    let text = read_on(&mut stream, ends);
    (stream, text)
}

fn read_on(stream: &mut std::net::TcpStream, ends: &[&str]) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 16_384]);
    while !ends.iter().any(|end| text.contains(end)) {
        let length = stream.read(&mut bytes).unwrap_or_else(|error| panic!("{error} after {text}"));
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    text
}

/// Answers that go on end with the session of the console, those of the control API, too.
#[test]
fn event_stream_of_the_control_api_ends_with_the_session() {
    let console = console("");
    for (user, path) in [("admin", "/v1/events"), ("alice", "/v1/events?mine=true")] {
        let user = console.log_on(user);
        let (mut stream, begun) = read_until(&console, &user, path, &["\"begin\""]);
        assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
        console.request_as(&user, "DELETE /session", "");
        read_on(&mut stream, &["0\r\n\r\n"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_users_get_their_own_events_only() {
    let console = console("");
    let alice = console.log_on("alice");
    let (mut stream, begun) = read_until(&console, &alice, "/live", &["\"begin\""]);
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    let subject = testkit::Subject::Shareward(console.server);
    let others = scripted::tree(&subject, "admin", "data").await;
    let own = scripted::tree(&subject, "alice", "data").await;
    let events = read_on(&mut stream, &["tree_up"]);
    assert!(events.contains("\"user\":\"alice\"") && !events.contains("admin"), "{events}");
    drop((others, own));
}

#[test]
fn heads_and_bodies_that_are_too_long_are_refused() {
    let console = console("");
    let user = console.log_on("admin");
    let long = "x".repeat(300 * 1024);
    assert_eq!(console.request("GET /", &[("X-Long", &long)], "").status, 431);
    let many: Vec<(String, &str)> = (0..200).map(|n| (format!("X-{n}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(console.request("GET /", &many, "").status, 431);
    let body = format!("{{\"comment\":\"{long}\"}}");
    assert_eq!(console.request_as(&user, "PATCH /v1/settings", &body).status, 413);
    assert_eq!(console.get("/health").status, 200, "the server goes on");
}

/// The answer to a question for the server's health; empty if the server closes the connection.
fn health(console: &Console) -> Vec<u8> {
    let mut stream = console.connect();
    let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn slow_clients_and_too_many_connections_do_not_stop_others() {
    let console = console("");
    // A body that never arrives.
    let mut slow = console.connect();
    let origin = console.origin();
    let head = format!(
        "POST /logon HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{",
        console.address
    );
    slow.write_all(head.as_bytes()).expect("send");
    let idle: Vec<_> = (0..31).map(|_| console.connect()).collect();
    // The places of the address are taken: the next one is closed without an answer.
    eventually("a connection is refused", || health(&console).is_empty().then_some(()));
    // The request without its body is answered in time, which also releases its place.
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).expect("an answer");
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408 "), "{answer:?}");
    // The client sees the end of its connection before the server gives the place to another.
    eventually("the place is free", || health(&console).starts_with(b"HTTP/1.1 200 ").then_some(()));
    drop(idle);
    assert!(console.server.answers(), "clients of SMB are not affected");
}

#[test]
fn hosts_that_may_not_connect_get_no_answer() {
    let console = console("");
    assert_eq!(console.get("/health").status, 200);
    let text = std::fs::read_to_string(console.server.config()).expect("the configuration");
    let denied = text.replace("[console]", "hosts_deny = [\"127.0.0.1\"]\n[console]");
    std::fs::write(console.server.config(), denied).expect("write the configuration");
    console.server.signal("HUP");
    eventually("connections are closed without an answer", || health(&console).is_empty().then_some(()));
    assert!(console.server.log().contains("connection refused"), "{}", console.server.log());
}

#[test]
fn plain_console_for_the_network_is_refused() {
    let server = Shareward::start(&Setup::default());
    let text = std::fs::read_to_string(server.config()).expect("the configuration");
    let path = server.scratch().join("wrong.toml");
    for (table, expected) in [
        (
            "[console]\nlisten = [\"0.0.0.0:0\"]\ntls = false\n",
            "passwords would cross the network unprotected",
        ),
        ("[metrics]\nlisten = [\"0.0.0.0:0\"]\n", "could read the metrics"),
    ] {
        std::fs::write(&path, format!("{text}\n{table}")).expect("write");
        let check = || {
            let command = server.net_command(&[]);
            let run = std::process::Command::new(command.get_program()).arg("check").arg(&path).output();
            let output = run.expect("run the binary");
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (is_good, error) = check();
        assert!(!is_good && error.contains(expected), "{error}");
        std::fs::write(&path, format!("{text}\n{table}allow_plain = true\n")).expect("write");
        assert!(!check().1.contains(expected));
    }
}

/// The certificate that the server makes has the fingerprint that it shows, and is kept by a restart.
#[test]
fn certificate_has_the_fingerprint_that_is_shown() {
    if !need(&["python3"]) {
        return;
    }
    let extra = String::from("\n[console]\nlisten = [\"127.0.0.1:0\"]\n");
    let mut server = Shareward::start(&Setup { extra, ..Setup::default() });
    let shown = |server: &Shareward| {
        let settings = server.net(&["config", "server", "--json"]).success().text().to_owned();
        let settings: serde_json::Value = serde_json::from_str(&settings).expect("JSON");
        let console = &settings["settings"]["console"];
        (
            console["certificate_sha256"].as_str().expect("a fingerprint").to_owned(),
            console["listening"][0].as_str().expect("an address").to_owned(),
        )
    };
    let (fingerprint, address) = shown(&server);
    assert!(server.log().contains(&fingerprint), "{}", server.log());
    let script = "import hashlib, http.client, ssl, sys\n\
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n\
        context.check_hostname = False\n\
        context.verify_mode = ssl.CERT_NONE\n\
        connection = http.client.HTTPSConnection(sys.argv[1], context=context, timeout=30)\n\
        connection.request('GET', '/')\n\
        print(hashlib.sha256(connection.sock.getpeercert(True)).hexdigest(), connection.sock.version(), \
        connection.getresponse().status)\n";
    let output =
        std::process::Command::new("python3").args(["-c", script, &address]).output().expect("run python3");
    let digest = fingerprint.replace(':', "").to_lowercase();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen.trim(), format!("{digest} TLSv1.3 200"), "{}", String::from_utf8_lossy(&output.stderr));
    server.restart();
    assert_eq!(shown(&server).0, fingerprint);
}
