//! The examples of `docs/control-api.md`, run as they stand there.

use std::process::Command;

use testkit::{Setup, Shareward, need, repository};

#[test]
fn the_examples_of_the_control_api() {
    if !need(&["curl", "sh"]) {
        return;
    }
    let server = Shareward::start(&Setup::default());
    let text = std::fs::read_to_string(repository().join("docs/control-api.md")).expect("the document");
    let blocks = text.split("```sh\n").skip(1).filter_map(|it| it.split("```").next());
    let lines: Vec<&str> = blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 8, "{lines:?}");
    for line in lines {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir("/");
        shell.env("SHAREWARD_SOCKET", server.config().with_file_name("run").join("control.sock"));
        let output = shell.output().expect("a shell");
        let said = String::from_utf8(output.stdout).expect("text");
        // The objects do not exist, and the error number shows that the server looked for them.
        let answered =
            ["\"schema\":1", "\"scope\":\"share\"", "\"held\":{", "\"code\":2314", "\"code\":2312"]
                .iter()
                .any(|it| said.contains(it));
        let is_stream = line.contains("/v1/events") && output.status.code() == Some(28);
        assert!(answered || is_stream, "{line}\n{said}");
    }
}
