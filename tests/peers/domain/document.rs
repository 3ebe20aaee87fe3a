//! The steps of `docs/domain.md`, run as they stand there on a fresh host.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Domain, Host, Output, password, repository, run, shareward_binary};

/// The longest command is the join.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// Nothing that the test waits for takes as long on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The log of the server on its host.
const LOG: &str = "/var/log/shareward.log";

/// A step of the document.
enum Step {
    /// A line of a block of commands.
    Command(String),
    /// A block with the contents of a file, and its language.
    File(String, String),
}

/// The document, with the names of the test's domain and host in place of its own.
fn steps(host: &str) -> Vec<Step> {
    let text = fs::read_to_string(repository().join("docs/domain.md")).expect("the document");
    let text = text.replace("corp.example", "corp.test").replace("CORP.EXAMPLE", "CORP.TEST");
    let text = text
        .replace("files.corp", &format!("{host}.corp"))
        .replace("hostname files", &format!("hostname {host}"));
    let (numbered, _) = text.split_once("\n## Names of users").expect("the sections after the steps");
    let mut steps = Vec::new();
    let mut lines = numbered.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```").filter(|it| !it.is_empty()) {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            steps.push(Step::File(language.to_owned(), block.join("\n")));
        } else if line == "```" {
            lines.by_ref().find(|line| *line == "```");
        } else if let Some(command) = line.strip_prefix("    ") {
            steps.push(Step::Command(command.to_owned()));
        }
    }
    steps
}

/// The host as somebody who reads the document uses it.
struct Reader {
    host: std::sync::Arc<Host>,
    /// Clients that stay connected.
    connected: Vec<Child>,
}

impl Reader {
    fn command(&self, line: &str) -> Command {
        let mut command = self.host.command("sh");
        let programs = shareward_binary().parent().expect("a directory").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["-c", line]).current_dir("/").env("PATH", format!("{programs}:/usr/sbin:{path}"));
        command
    }

    #[track_caller]
    fn run(&self, line: &str, input: &str) -> Output {
        run(self.command(line), input.as_bytes(), COMMAND_MAX).success()
    }

    /// Does what a command of the document does.
    fn follow(&mut self, line: &str) {
        let word = line.split(' ').next().unwrap_or_default();
        match word {
            // `cargo xtask test install` has done the first; the host has its name, and no systemd.
            "apt-get" | "hostnamectl" => {}
            "systemctl" => self.serve(),
            "kinit" => drop(self.run(line, &format!("{}\n", password("carol")))),
            "smbclient" => self.stay_connected(line),
            "net" => {
                let said = self.run(&line.replacen("net", "shareward", 1), "");
                said.says("CORP\\carol").says("The command completed successfully.");
            }
            _ if line.contains("domain join") => {
                self.run(line, &format!("{}\n", password("Administrator")));
            }
            _ => drop(self.run(line, "")),
        }
    }

    /// Starts the server as its unit does, and waits until its commands work.
    fn serve(&self) {
        let program = shareward_binary().display().to_string();
        self.host.spawn(&[&program, "serve", "--config", "/etc/shareward/shareward.toml"], LOG);
        self.wait("the server answers", || {
            run(self.command("shareward session"), b"", COMMAND_MAX).status == Some(0)
        });
    }

    /// Starts a client and returns when it has made a directory in the share.
    fn stay_connected(&mut self, line: &str) {
        let mut client = self.command(&format!("{line} --no-pass"));
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("start a client");
        client.stdin.as_mut().expect("a pipe").write_all(b"mkdir new\n").expect("type");
        self.connected.push(client);
        self.wait("the client has made a directory", || self.host.file("/srv/data/new").is_dir());
    }

    /// Waits until something is so; panics with the server's log if it does not become so.
    #[track_caller]
    fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !is_so() {
            let log = fs::read_to_string(self.host.file(LOG)).unwrap_or_default();
            assert!(started.elapsed() < WAIT_MAX, "not so: {what}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for client in &mut self.connected {
            client.kill().ok();
            client.wait().ok();
        }
    }
}

#[test]
fn the_steps_of_the_document() {
    let Some(domain) = Domain::with(&["adcli"]) else { return };
    let mut reader = Reader { host: domain.stranger("page"), connected: Vec::new() };
    // The state after the steps of docs/install.md.
    let settings = reader.host.file("/etc/shareward/shareward.toml");
    fs::create_dir_all(settings.parent().expect("a directory")).expect("create a directory");
    fs::copy(repository().join("packaging/shareward.toml"), &settings).expect("copy the example");
    let steps = steps("page");
    assert!(steps.len() > 10, "the document has steps");
    for step in steps {
        match step {
            Step::Command(line) => reader.follow(&line),
            Step::File(language, text) if language == "ini" => {
                fs::write(reader.host.file("/etc/krb5.conf"), text).expect("write krb5.conf");
            }
            Step::File(_, text) => {
                let before = fs::read_to_string(&settings).expect("read the settings");
                fs::write(&settings, format!("{before}\n{text}\n")).expect("write the settings");
            }
        }
    }
    assert!(!reader.connected.is_empty(), "the document has a client");
    reader.run("shareward config workstation", "").says("page.corp.test").says("CORP");
    leave(domain, &reader, &settings);
}

/// The way back from the domain.
fn leave(domain: &Domain, reader: &Reader, settings: &std::path::Path) {
    let computers = || domain.samba_tool(&["computer", "list"]).stdout;
    assert!(computers().contains("PAGE$"), "the join has made an account");
    let keys = || reader.host.run(&["klist", "-k"]).stdout;
    assert!(keys().contains("CORP.TEST"), "the join has written keys");
    reader.run("shareward domain leave /yes", &format!("{}\n", password("Administrator")));
    assert!(!computers().contains("PAGE$"));
    assert!(!keys().contains("CORP.TEST"));
    let text = fs::read_to_string(settings).expect("read the settings");
    assert!(!text.lines().any(|line| line == "[domain]"), "{text}");
}
