//! `shareward top` in a terminal of tmux, which draws what a user sees.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use client::smb::CreateParameters;
use testkit::{Samba, Setup, Shareward, is_root, need, shareward_binary};

use crate::control_pipe::tree;

/// A terminal of 80 columns and 24 lines, with a shell.
pub(crate) struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    pub(crate) fn start(server: &Shareward) -> Self {
        Self::start_in(&server.config().with_file_name("tmux.sock"))
    }

    fn start_in(socket: &Path) -> Self {
        let terminal = Self { socket: socket.to_owned() };
        let shell = "PS1='ready$ ' exec sh";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", shell]);
        terminal.expect("ready$");
        terminal
    }

    fn tmux(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(words).env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        let output = command.output().expect("tmux");
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).expect("UTF-8")
    }

    /// Types a text.
    pub(crate) fn type_in(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses a key by tmux's name.
    pub(crate) fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Waits until the screen fulfils the condition, and returns it.
    pub(crate) fn wait(&self, what: &str, is_met: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is_met(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn expect(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    fn top(&self, server: &Shareward, more: &str) {
        let socket = server.config().with_file_name("run").join("control.sock");
        let binary = shareward_binary();
        self.type_in(&format!("clear; {more} {} top --socket {}", binary.display(), socket.display()));
        self.press("Enter");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_an_open_file_closes_it_and_gives_the_terminal_back() {
    if !need(&["tmux"]) {
        return;
    }
    const EMPTY: &str = "No entry has the text of the filter.";
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let terminal = Terminal::start(&server);
    terminal.top(&server, "NO_COLOR=1");
    terminal.expect("Nobody is connected.");
    let (_connection, tree) = tree(server.address(), &setup, "alice", "data").await;
    // Without a key or a new list, by events.
    terminal.expect("alice");
    let _other = tree.create(&CreateParameters::read_write("other.txt")).await.expect("create");
    let held = tree.create(&CreateParameters::read_write("held\u{202e}txt.exe")).await.expect("create");
    terminal.press("2");
    let shown = terminal.expect("data\\held\u{fffd}txt.exe");
    assert!(
        shown.contains("data\\other.txt") && shown.contains("live") && !shown.contains('\u{202e}'),
        "{shown}"
    );
    terminal.press("f");
    terminal.type_in("HELD");
    terminal.press("Enter");
    terminal.wait("filtered list", |it| it.contains("filter: HELD") && !it.contains("other.txt"));
    terminal.press("c");
    terminal.expect("y yes   n no");
    terminal.press("y");
    terminal.expect("Closed; the client had no unwritten data.");
    terminal.expect("No entry has the text of the filter.");
    assert!(held.read(0, 1).await.is_err(), "the open has ended");
    // Another size is drawn at once.
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    terminal
        .wait("keys of a narrow screen", |it| it.contains("? help  q quit") && !it.contains("Enter detail"));
    // The narrow screen has no room for the words of the filter.
    terminal.press("C-l");
    terminal.expect(EMPTY);
    terminal.press("C-z");
    terminal.expect("ready$");
    terminal.type_in("fg");
    terminal.press("Enter");
    terminal.expect(EMPTY);
    terminal.press("q");
    terminal.wait("shell", |it| it.contains("ready$") && !it.contains(EMPTY));
    terminal.type_in("stty -a | grep -o ' icanon\\| echo ' | tr -d '\\n'; echo .");
    terminal.press("Enter");
    terminal.expect(" icanon echo .");
}

/// Samba has no events and no rates, and its lists need an administrator.
#[tokio::test(flavor = "multi_thread")]
async fn top_shows_the_lists_of_samba_and_why_it_has_none() {
    if !need(&["tmux", "smbd", "pdbedit", "unshare"]) || !is_root() {
        return;
    }
    let setup = Setup::default();
    let samba = Samba::start(&setup);
    samba.make_administrator("admin");
    let (_connection, tree) = tree(samba.address(), &setup, "alice", "data").await;
    let _held = tree.create(&CreateParameters::read_write("held.txt")).await.expect("create");
    let directory = tempfile::tempdir().expect("a directory");
    let terminal = Terminal::start_in(&directory.path().join("tmux.sock"));
    let top = |user: &str| {
        let password = &setup.users.iter().find(|it| it.name == user).expect("the user").password;
        let (binary, address) = (shareward_binary(), samba.address());
        terminal.type_in(&format!(
            "clear; SHAREWARD_PASSWORD='{password}' {} top --server {address} --login {user}",
            binary.display()
        ));
        terminal.press("Enter");
    };
    top("admin");
    terminal.expect("alice");
    terminal.press("2");
    terminal.expect("held.txt");
    terminal.press("q");
    terminal.expect("ready$");
    top("bob");
    terminal.expect("only administrators");
}

#[test]
fn top_refuses_what_is_no_terminal_for_a_screen() {
    if !need(&["tmux"]) {
        return;
    }
    let server = Shareward::start(&Setup::default());
    let socket = server.config().with_file_name("run").join("control.sock");
    let output =
        Command::new(shareward_binary()).arg("top").arg("--socket").arg(socket).output().expect("top");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(50), "{told}");
    assert!(told.contains("standard input and output must be a terminal"), "{told}");
    assert!(output.stdout.is_empty(), "nothing is drawn");
    let terminal = Terminal::start(&server);
    terminal.top(&server, "TERM=dumb");
    terminal.expect("cannot show a screen");
}
