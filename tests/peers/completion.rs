//! Words that a shell offers and that only the running server knows: `shareward complete`.

use std::process::Command;

use client::smb::CreateParameters;
use testkit::{Setup, Shareward, Subject, run, shareward_binary};

#[tokio::test]
async fn shares_files_computers_and_users_of_the_server_are_completed() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let Subject::Shareward(server) = &subject else { unreachable!("ours") };
    let tree = crate::scripted::tree(&subject, "alice", "data").await;
    let file = tree.create(&CreateParameters::read_write("a\u{7}b.docx")).await;
    assert!(file.is_err(), "control characters are not in names");
    let file = tree.create(&CreateParameters::read_write("report.docx")).await.expect("create");
    let complete = |socket: &str, words: &[&str]| {
        let mut command = Command::new(shareward_binary());
        command.args(["complete", "--"]).args(words).env("SHAREWARD_SOCKET", socket);
        run(command, b"", std::time::Duration::from_secs(60)).success().stdout
    };
    let socket = server.config().with_file_name("run").join("control.sock");
    let socket = socket.to_str().expect("UTF-8");
    for (words, expected) in [
        (&["net", "file", ""][..], "\treport.docx"),
        (&["psfile", ""], "report.docx (alice)"),
        (&["net", "session", ""], "//127.0.0.1\talice"),
        (&["net", "share", "da"], "data\t"),
        (&["file", "--user", "al"], "alice\t"),
        (&["file", "--share=ot"], "--share=other\t"),
        (&["net", "user", "b"], "bob\t"),
    ] {
        let mut told = String::new();
        // A busy machine may need more than the time that a shell waits.
        for _ in 0..50 {
            told = complete(socket, words);
            if !told.is_empty() {
                break;
            }
        }
        let is_there = match expected.strip_prefix('\t') {
            Some(file) => {
                told.lines().any(|line| line.split_once('\t').is_some_and(|(_, text)| text.contains(file)))
            }
            None => told.contains(expected),
        };
        assert!(is_there, "{words:?}: {expected:?} is not in {told:?}");
    }
    assert_eq!(complete("/nonexistent/socket", &["net", "file", ""]), "");
    assert_eq!(complete(socket, &["net", "file", "7", ""]), "");
    file.close().await.expect("close");
}
