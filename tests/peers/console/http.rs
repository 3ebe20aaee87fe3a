//! A small HTTP client, which can also break the rules of HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use testkit::{Setup, Shareward};

use super::eventually;

/// A server with a console without TLS, on a port that the system has chosen.
pub(super) struct Console {
    pub(super) server: Shareward,
    pub(super) address: SocketAddr,
}

/// Starts a server with a console on a loopback address without TLS, and with these further lines of `[console]` and
/// other tables.
pub(super) fn console(more: &str) -> Console {
    let extra = format!("\n[console]\nlisten = [\"127.0.0.1:0\"]\ntls = false\n{more}\n");
    let server = Shareward::start(&Setup { extra, ..Setup::default() });
    let address = listener(&server, "web console on http://");
    Console { server, address }
}

/// The address of a listener, which the server writes to its log after its start.
pub(super) fn listener(server: &Shareward, line: &str) -> SocketAddr {
    eventually("the address of the listener", || {
        server.log().lines().find_map(|text| text.split_once(line)?.1.split('/').next()?.parse().ok())
    })
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer of HTTP: {text:?}"));
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// The values of a header field, in their order.
    pub(super) fn fields(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of a header field that occurs once.
    #[track_caller]
    pub(super) fn field(&self, name: &str) -> &str {
        let values = self.fields(name);
        assert_eq!(values.len(), 1, "{name}: {self:?}");
        values.first().copied().unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A user who is logged on.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) cookie: String,
    pub(super) token: String,
}

impl Console {
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
        stream
    }

    /// Sends a request with these header fields, and reads the answer.
    pub(super) fn request(&self, request: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{request} HTTP/1.1\r\n");
        let defaults = [("Host", self.address.to_string()), ("Connection", String::from("close"))];
        for (name, value) in defaults {
            if !fields.iter().any(|(key, _)| *key == name) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        fields.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        if !body.is_empty() {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        let mut stream = self.connect();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(format!("{text}\r\n{body}").as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Answer::parse(&String::from_utf8_lossy(&bytes))
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path}"), &[], "")
    }

    /// Tries to log on.
    pub(super) fn try_log_on(&self, user: &str, password: &str) -> Answer {
        let body = serde_json::json!({"user": user, "password": password}).to_string();
        self.request("POST /logon", &[("Origin", &self.origin())], &body)
    }

    /// Logs a user of the setup on.
    #[track_caller]
    pub(super) fn log_on(&self, user: &str) -> User {
        let answer = self.try_log_on(user, &self.server.setup().user(user).password);
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.field("set-cookie").split(';').next().unwrap_or_default().to_owned();
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        User { cookie, token }
    }

    /// A request as a page of the console makes it.
    pub(super) fn request_as(&self, user: &User, request: &str, body: &str) -> Answer {
        let origin = self.origin();
        let fields =
            [("Cookie", user.cookie.as_str()), ("Origin", &origin), ("X-Shareward-Token", &user.token)];
        self.request(request, &fields, body)
    }

    pub(super) fn get_as(&self, user: &User, path: &str) -> Answer {
        self.request_as(user, &format!("GET {path}"), "")
    }
}

/// The time for an answer, which may wait for the delay of a refused logon.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(45);
