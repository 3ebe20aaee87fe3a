//! Commands at a terminal.

use std::process::Command;
use std::time::Duration;

use testkit::{run, shareward_binary};

use super::stage::{ROOT, Stage, shorten, shown};

/// Lines, with their input.
const LINES: &[(&str, &str)] = &[
    ("file --user alice", ""),
    ("file --user alice --compat", ""),
    ("file --path hostile", ""),
    ("file 8", ""),
    ("file --path hostile --csv --no-header", ""),
    ("who //server/data/hostile*", ""),
    ("file 2", ""),
    ("file --csv --user bob", ""),
    ("session --user bob", ""),
    ("session --user alice --json", ""),
    ("file --user bob /close", "n\n"),
    ("file --user bob /close", "what\ny\n"),
    ("file 4 /close --force", "y\n"),
    ("session --user alice /delete", "\n"),
    ("session //127.0.0.1 --user alice /delete", "y\n"),
    ("session 127.0.0.1", ""),
    ("file 4711", ""),
    ("share", ""),
];

pub(super) fn told(stage: &Stage) -> String {
    let place = stage.here();
    let mut text = String::from("At a terminal of 100 columns and 20 lines. \\e is the escape.\n\n");
    for (words, input) in LINES {
        let binary = shareward_binary();
        let inner = format!(
            "stty cols 100 rows 20; exec {} net {words} --socket {}",
            binary.display(),
            place.socket().display()
        );
        let mut command = Command::new("script");
        command.args(["-qefc", &inner, "/dev/null"]).env("SHELL", "/bin/sh");
        command.env("SHAREWARD_PASSWORD", ROOT.1).env("TZ", "UTC");
        let output = run(command, input.as_bytes(), Duration::from_secs(60));
        let said = shown(&output, &place.masks()).replace('\r', "").replace('\u{1b}', "\\e");
        text.push_str(&format!("$ net {words}\n{said}\n"));
    }
    shorten(&text)
}
