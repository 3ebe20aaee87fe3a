//! A client that has files open while the server is upgraded. It uses impacket, an SMB client of another project.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use testkit::peer::PYTHON;

use crate::shell;

/// The running client, with a durable and a persistent open.
pub(super) struct Holder {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    /// Starts the client and waits until it has its opens.
    pub(super) fn start(user: &str, password: &str) -> Result<Self, String> {
        let script = include_str!("durable.py");
        let mut command = shell::command(PYTHON, &["-c", script, "127.0.0.1", user, password]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{PYTHON}: {error}"))?;
        let output = child.stdout.take().ok_or("the client has no output")?;
        let mut holder = Self { child, output: BufReader::new(output) };
        holder.expect("held")?;
        Ok(holder)
    }

    /// Lets the client connect again, reclaim its opens, use and close them.
    pub(super) fn reclaim(mut self) -> Result<(), String> {
        if let Some(mut input) = self.child.stdin.take() {
            input.write_all(b"\n").map_err(|error| error.to_string())?;
        }
        self.expect("reclaimed")
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.trim_end() == wanted {
            return Ok(());
        }
        let mut errors = String::new();
        if let Some(mut output) = self.child.stderr.take() {
            output.read_to_string(&mut errors).map_err(|error| error.to_string())?;
        }
        Err(format!("the client with open files did not report {wanted:?}: {line}{errors}"))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It has ended already, unless a check failed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
