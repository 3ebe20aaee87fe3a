//! A reader who does what a page says.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testkit::Output;

use super::machine::{COMMAND_MAX, Machine, PASSWORD};
use super::page::{Page, Step};

/// The clients of the documents: the user, the address, and the file that is open.
const CLIENTS: [(&str, &str, &str); 2] =
    [("alice", "192.0.2.7", "report.docx"), ("bob", "192.0.2.8", "budget.xlsx")];

/// Somebody who runs the commands of a page on a machine.
pub(super) struct Reader {
    machine: Machine,
    page: Option<Page>,
    /// The share whose files clients have open.
    share: Option<String>,
    clients: Vec<Child>,
    /// A server that was started without the unit.
    server: Option<Child>,
    /// Commands that end with another status than 0.
    statuses: Vec<(&'static str, i32)>,
}

impl Reader {
    pub(super) fn new(machine: Machine) -> Self {
        let (page, share, server) = (None, None, None);
        Self { machine, page, share, clients: Vec::new(), server, statuses: Vec::new() }
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Names a share, with files that clients have open whenever a command shows sessions or opens.
    pub(super) fn share(&mut self, name: &str) {
        for (_, _, file) in CLIENTS {
            let path = self.machine.file(&format!("/srv/{name}/{file}"));
            fs::write(&path, file).expect("write a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
        }
        self.share = Some(name.to_owned());
    }

    /// States that a command ends with this status instead of 0.
    pub(super) fn expect(&mut self, line: &'static str, status: i32) {
        self.statuses.push((line, status));
    }

    /// Does the steps of a page.
    pub(super) fn follow(&mut self, page: &str) {
        self.follow_with(page, Self::step);
    }

    /// As [`Self::follow`], for a reader of one page.
    pub(super) fn follow_to_the_end(mut self, page: &str) {
        self.follow(page);
    }

    /// Does the steps of a page with a function.
    pub(super) fn follow_with(&mut self, page: &str, mut step: impl FnMut(&mut Self, &Step)) {
        let read = Page::read(page);
        let steps = read.steps();
        let commands = steps.iter().filter(|step| matches!(step, Step::Command { .. })).count();
        assert!(commands > 0, "{page} has no commands");
        self.page = Some(read);
        for it in &steps {
            step(self, it);
        }
        if let Some(page) = self.page.take() {
            page.write();
        }
        self.stop_server();
    }

    /// Does one step; the content of a file is only read.
    pub(super) fn step(&mut self, step: &Step) {
        let Step::Command { line, shown } = step else { return };
        let output = self.command(line);
        if let (Some(shown), Some(page)) = (shown, &mut self.page) {
            page.compare(line, shown, &output.text());
        }
    }

    /// Runs a command as somebody at a terminal does.
    fn command(&mut self, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "sudo").collect();
        let has = |word: &str| words.contains(&word);
        if words.starts_with(&["shareward", "serve"]) {
            return self.serve(line);
        }
        let shows_clients = ["session", "file", "who", "openfiles", "psfile"].iter().any(|word| has(word));
        if self.share.is_some() && shows_clients {
            self.connect_clients();
        }
        if has("wait") || has("disable") {
            self.disconnect_clients();
        }
        if has("systemctl") {
            self.stop_server();
        }
        let line = self.with_current_id(line);
        if has("--watch") {
            let output = self.machine.run(&format!("{line} --for 1s"), "");
            assert!(!output.stdout.is_empty(), "nothing is watched:\n{output}");
            return output;
        }
        let input = match words.as_slice() {
            ["smbclient", ..] => "ls\n".to_owned(),
            ["shareward", "user", "add" | "passwd", ..] => format!("{PASSWORD}\n"),
            _ => "y\n".to_owned(),
        };
        let output = self.machine.run(&line, &input);
        let status = self.statuses.iter().find(|(name, _)| *name == line).map_or(0, |(_, status)| *status);
        assert!(output.status == Some(status), "not {status}:\n{output}\n{}", self.machine.logs());
        output
    }

    /// Replaces the number of an open in a command by that of one that is there.
    fn with_current_id(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let number = words.windows(2).find_map(|pair| {
            let [name, number] = pair else { return None };
            let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
            (*name == "file" && is_number).then_some(*number)
        });
        let Some(number) = number else { return line.to_owned() };
        let listed = self.machine.run("./shareward file --json --user alice", "").success();
        let id = listed.stdout.split("\"id\": ").nth(1).unwrap_or_else(|| panic!("no open:\n{listed}"));
        let id: String = id.chars().take_while(char::is_ascii_digit).collect();
        line.replacen(number, &id, 1)
    }

    /// Starts a server and waits until it listens.
    fn serve(&mut self, line: &str) -> Output {
        self.stop_server();
        let log = self.machine.file("server.log");
        let file = fs::File::create(&log).expect("a log");
        let mut command = self.machine.command(format!("exec {line}"));
        command.stdin(Stdio::null()).stderr(file.try_clone().expect("a log")).stdout(file);
        self.server = Some(command.spawn().expect("start a server"));
        let read = || fs::read_to_string(&log).unwrap_or_default();
        self.wait("the server listens", |_| read().contains("listening on "));
        let (command, stdout, stderr) = (line.to_owned(), read(), String::new());
        Output { command, status: None, stdout, stderr, timed_out: false, took: Duration::ZERO }
    }

    /// Ends the server that a page has started, as Ctrl-C does.
    pub(super) fn stop_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            // nsenter waits for the server, which is not its own process.
            self.machine.run("kill -INT $(pgrep --full '^shareward serve')", "").success();
            server.wait().expect("wait for the server");
        }
    }

    /// Connects the clients if one of their files is not open.
    pub(super) fn connect_clients(&mut self) {
        let Some(share) = self.share.clone() else { return };
        let opens = |machine: &Machine| machine.run("./shareward file --json", "").stdout;
        let listed = opens(&self.machine);
        if CLIENTS.iter().all(|(_, _, file)| listed.contains(file)) {
            return;
        }
        self.disconnect_clients();
        let enable = "test ! -S /run/shareward/control.sock || shareward net user alice /active:yes";
        self.machine.run(enable, "").success();
        // One after the other, so that their numbers are always the same.
        for (user, address, file) in CLIENTS {
            let line = format!("exec smbclient //{address}/{share} --user {user}");
            let mut command = self.machine.command(line);
            let mut client = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a client");
            writeln!(client.stdin.as_mut().expect("a pipe"), "open {file}").expect("type");
            self.clients.push(client);
            self.wait("the client has its file open", |machine| opens(machine).contains(file));
        }
    }

    /// Ends the clients.
    fn disconnect_clients(&mut self) {
        for mut client in self.clients.drain(..) {
            // smbclient ends with its input.
            drop(client.stdin.take());
            client.wait().expect("wait for a client");
        }
    }

    /// Waits until something is so; panics with the logs if it does not become so.
    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&Machine) -> bool) {
        let started = Instant::now();
        while !is_so(&self.machine) {
            assert!(started.elapsed() < COMMAND_MAX, "not so: {what}\n{}", self.machine.logs());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.disconnect_clients();
    }
}
