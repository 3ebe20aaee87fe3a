//! Runs one command to its end, within a time limit, and keeps its output.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::kill_group;
use crate::limits::POLL;

/// The result of a finished command.
#[derive(Debug)]
pub struct Output {
    /// The command line as one would type it.
    pub command: String,
    /// The exit status; `None` after a signal or the time limit.
    pub status: Option<i32>,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
    /// True if the time limit ended it.
    pub timed_out: bool,
    /// The running time.
    pub took: Duration,
}

impl Output {
    /// Standard output, then standard error.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Panics with everything there is to know unless the command ended with status 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status == Some(0), "this command should have succeeded:\n{self}");
        self
    }

    /// Panics unless the command ended with another status than 0, by itself.
    #[track_caller]
    pub fn failure(self) -> Self {
        let failed = self.status.is_some_and(|status| status != 0);
        assert!(failed, "this command should have failed, and ended by itself:\n{self}");
        self
    }

    /// Panics unless the output contains `needle`.
    #[track_caller]
    pub fn says(self, needle: &str) -> Self {
        assert!(self.text().contains(needle), "this command should have said {needle:?}:\n{self}");
        self
    }

    /// Panics if the output contains `needle`.
    #[track_caller]
    pub fn never_says(self, needle: &str) -> Self {
        assert!(!self.text().contains(needle), "this command should not have said {needle:?}:\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in text.lines() {
                writeln!(f, "  {name} | {line}")?;
            }
        }
        let seconds = self.took.as_secs_f64();
        match self.status {
            Some(status) => write!(f, "  exit status {status} after {seconds:.2} s"),
            None if self.timed_out => write!(f, "  killed: still running after {seconds:.0} s"),
            None => write!(f, "  ended by a signal after {seconds:.2} s"),
        }
    }
}

/// Runs `command` with `input` on its standard input; after `limit` it is killed with all its children.
#[track_caller]
pub fn run(mut command: Command, input: &[u8], limit: Duration) -> Output {
    let line = render(&command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));

    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // The command may end without reading its input; that is its business.
    thread::spawn(move || stdin.write_all(&input).ok());
    let stdout = reader(child.stdout.take().expect("stdout is piped"));
    let stderr = reader(child.stderr.take().expect("stderr is piped"));

    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            break status;
        }
        if started.elapsed() > limit {
            timed_out = true;
            kill_group(child.id(), "KILL");
            break child.wait().expect("wait for a child");
        }
        thread::sleep(POLL);
    };
    let took = started.elapsed();
    // A grandchild that keeps the pipes open must not hang the test.
    kill_group(child.id(), "KILL");
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().expect("reader thread")).into_owned()
    };
    Output {
        command: line,
        status: if timed_out { None } else { status.code() },
        stdout: text(stdout),
        stderr: text(stderr),
        timed_out,
        took,
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).ok();
        bytes
    })
}

fn render(command: &Command) -> String {
    let quote = |word: &std::ffi::OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,\\".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
    };
    let mut words = vec![quote(command.get_program())];
    words.extend(command.get_args().map(quote));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_and_the_status_are_kept() {
        let output = run(shell("cat; echo oops >&2; exit 3"), b"in", Duration::from_secs(10));
        assert_eq!(
            (output.status, output.stdout.as_str(), output.stderr.as_str()),
            (Some(3), "in", "oops\n")
        );
        output.failure().says("oops").never_says("fine");
    }

    #[test]
    fn a_hanging_command_is_killed_with_its_children() {
        let output = run(shell("sleep 100 & sleep 100"), b"", Duration::from_millis(100));
        assert!(output.timed_out);
        assert!(output.to_string().contains("killed"));
    }
}
