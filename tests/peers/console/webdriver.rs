//! Chromium, driven by WebDriver (W3C): a few requests with JSON to chromedriver.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Host, Tickets};

/// The program that drives the browser.
pub(crate) const DRIVER: &str = "/usr/bin/chromedriver";

/// The browser.
pub(crate) const BROWSER: &str = "/usr/bin/chromium";

/// A browser with one page. It ends when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    /// The host of a domain that it runs on; `None` for this machine.
    host: Option<Arc<Host>>,
    port: u16,
    session: String,
    /// The browser's files.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser whose window has this size in pixels.
    pub(crate) fn start(width: u32, height: u32) -> Self {
        let size = format!("--window-size={width},{height}");
        Self::start_by(Command::new(DRIVER), None, &[&size])
    }

    /// Starts a browser on a host of a domain, which sends tickets to servers of these names.
    pub(crate) fn start_on(host: &Arc<Host>, tickets: &Tickets, servers: &str) -> Self {
        let servers = format!("--auth-server-allowlist={servers}");
        Self::start_by(host.command_as(tickets, DRIVER, &[]), Some(Arc::clone(host)), &[&servers])
    }

    fn start_by(mut driver: Command, host: Option<Arc<Host>>, more: &[&str]) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        // The browser loads the Kerberos library at a start after one in which it was asked for a ticket.
        let state = json!({"net": {"received_http_auth_negotiate_headers": host.is_some()}}).to_string();
        std::fs::write(profile.path().join("Local State"), state).expect("write the browser's state");
        let mut driver = driver.arg("--port=0").stdout(Stdio::piped()).spawn().expect("start chromedriver");
        let mut lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
            .expect("chromedriver reports its port");
        // It must not stop because nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self { driver, host, port, session: String::new(), _profile: profile };
        let mut arguments = vec![
            String::from("--headless=new"),
            // Root has no sandbox of Chromium; the pages are our own.
            String::from("--no-sandbox"),
            String::from("--disable-dev-shm-usage"),
            String::from("--disable-gpu"),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        arguments.extend(more.iter().map(|&it| String::from(it)));
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": BROWSER, "args": arguments},
        }}});
        let begun = browser.request("POST", "/session", &capabilities).expect("start the browser");
        browser.session = format!("/session/{}", begun["sessionId"].as_str().expect("a session"));
        browser
    }

    /// Opens a page.
    pub(crate) fn open(&self, address: &str) {
        self.act("/url", &json!({"url": address}));
    }

    /// Waits for an element, which a CSS selector names.
    #[track_caller]
    pub(crate) fn wait_for(&self, selector: &str) {
        self.find(selector);
    }

    /// Waits until the text of an element contains this.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent).join('\\n')";
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.script(script, json!([selector]));
            if shown.as_str().is_some_and(|shown| shown.contains(text)) {
                return;
            }
            assert!(Instant::now() < end, "no {text:?} in {selector}: {shown}\n{}", self.problems());
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, script: &str) {
        let end = Instant::now() + PATIENCE;
        while self.script(script, json!([])) != json!(true) {
            assert!(Instant::now() < end, "{what}\n{}", self.problems());
            std::thread::sleep(PAUSE);
        }
    }

    /// Clicks on an element as a user does.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            // A list may draw its rows anew in between.
            let element = self.find(selector);
            match self.request("POST", &format!("{}/element/{element}/click", self.session), &json!({})) {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < end, "{selector}: {error}"),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Types into an element.
    #[track_caller]
    pub(crate) fn enter(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.act(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Presses keys on the keyboard, one after the other.
    pub(crate) fn press(&self, keys: &[&str]) {
        let actions: Vec<_> = keys
            .iter()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.act("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// Runs a script in the page.
    pub(crate) fn script(&self, script: &str, arguments: Value) -> Value {
        self.act("/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// Deletes the cookies of the page.
    pub(crate) fn forget_cookies(&self) {
        self.request("DELETE", &format!("{}/cookie", self.session), &Value::Null)
            .expect("delete the cookies");
    }

    /// Changes the size of the window, in pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.act("/window/rect", &json!({"width": width, "height": height}));
    }

    /// Shows the page as in a window of this width in pixels, which can be less than the least of a real window.
    pub(crate) fn narrow(&self, width: u32) {
        let size = json!({"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": false});
        self.act("/goog/cdp/execute", &json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size}));
    }

    /// Sets the colours, "light" or "dark", that the system prefers.
    pub(crate) fn prefer(&self, colours: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": colours}]});
        self.act("/goog/cdp/execute", &json!({"cmd": "Emulation.setEmulatedMedia", "params": features}));
    }

    /// Writes a picture of the page to a file.
    pub(crate) fn picture(&self, file: &Path) {
        let picture =
            self.request("GET", &format!("{}/screenshot", self.session), &Value::Null).expect("a picture");
        std::fs::write(file, base64(picture.as_str().expect("base64"))).expect("write the picture");
    }

    /// The errors that the browser has reported, such as violations of the policy of the page.
    pub(crate) fn problems(&self) -> String {
        let log = self.act("/se/log", &json!({"type": "browser"}));
        let severe = log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        // The browser reports refused requests, too, which tests cause on purpose.
        let texts = severe
            .filter_map(|entry| entry["message"].as_str())
            .filter(|text| !text.contains("Failed to load resource"));
        texts.collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn find(&self, selector: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let wanted = json!({"using": "css selector", "value": selector});
            let found = self.request("POST", &format!("{}/element", self.session), &wanted);
            if let Some(element) =
                found.ok().as_ref().and_then(Value::as_object).and_then(|it| it.values().next())
            {
                return element.as_str().expect("an element").to_owned();
            }
            assert!(Instant::now() < end, "no element {selector}\n{}", self.problems());
            std::thread::sleep(PAUSE);
        }
    }

    #[track_caller]
    fn act(&self, path: &str, body: &Value) -> Value {
        self.request("POST", &format!("{}{path}", self.session), body)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn connect(&self) -> io::Result<TcpStream> {
        match &self.host {
            Some(host) => host.connect_to_itself(self.port),
            None => TcpStream::connect(("127.0.0.1", self.port)),
        }
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = self.connect().map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(ANSWER_MAX)).map_err(|error| error.to_string())?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).map_err(|error| error.to_string())?;
        // The driver keeps the connection open.
        let mut answer = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if answer.read_line(&mut head).map_err(|error| error.to_string())? == 0 {
                return Err(format!("the answer ends with {head:?}"));
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.ok_or("an answer without a length")?];
        answer.read_exact(&mut body).map_err(|error| error.to_string())?;
        let body = String::from_utf8(body).map_err(|error| error.to_string())?;
        let body = body.as_str();
        let content: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))?;
        if head.starts_with("HTTP/1.1 200 ") {
            Ok(content["value"].clone())
        } else {
            Err(content.to_string())
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser, which is a process of its own.
        if !self.session.is_empty() {
            let _ = self.request("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Decodes base64 (RFC 4648 4).
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = text.bytes().filter_map(|byte| LETTERS.iter().position(|letter| *letter == byte));
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for value in values {
        bits = (bits << 6) | u32::try_from(value).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).expect("eight bits"));
        }
    }
    bytes
}

/// The time for something to appear on the page.
const PATIENCE: Duration = Duration::from_secs(40);

const PAUSE: Duration = Duration::from_millis(50);

/// The time for an answer of the driver, which may start the browser.
const ANSWER_MAX: Duration = Duration::from_secs(90);
