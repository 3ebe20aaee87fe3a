//! The commands of `docs/cmdlets.md`, run in the order of its tables.

use std::fs;
use std::process::Command;
use std::time::Duration;

use client::smb::CreateParameters;
use testkit::{Setup, Shareward, Subject, repository, run, shareward_binary};

/// The commands that mount a share, which the tests of `net use` run, and one that examines the machine.
const ELSEWHERE: [&str; 3] =
    ["net use /mnt/data //nas/data /USER:alice", "net use /mnt/data /delete", "shareward doctor"];

/// The commands in the second column of all tables, in code marks.
fn documented() -> Vec<String> {
    let text = fs::read_to_string(repository().join("docs/cmdlets.md")).expect("the document");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.rsplit(" | ").next()?.trim().strip_suffix(" |"));
    cells.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`')).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_command_of_the_table_of_cmdlets_works() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let Subject::Shareward(server) = &subject else { unreachable!("ours") };
    let docs = server.scratch().join("docs");
    fs::create_dir(&docs).expect("a directory");
    let net = server.scratch().join("net");
    std::os::unix::fs::symlink(shareward_binary(), &net).expect("a link");
    let socket = server.config().with_file_name("run").join("control.sock");

    let commands = documented();
    assert!(commands.len() > 25, "{commands:?}");
    for written in commands {
        if ELSEWHERE.contains(&written.as_str()) {
            continue;
        }
        let about_opens = written.starts_with("net file") || written.starts_with("net session");
        let file = if about_opens {
            let tree = crate::scripted::tree(&subject, "alice", "data").await;
            Some(tree.create(&CreateParameters::read_write("report.docx")).await.expect("create"))
        } else {
            None
        };
        let open = server.net(&["file", "--json"]).success().stdout;
        let id =
            open.rsplit_once("\"id\": ").and_then(|(_, rest)| rest.split(',').next()).unwrap_or_default();
        let line: Vec<String> = written
            .split(' ')
            .map(|word| match word {
                "7" => id.to_owned(),
                "192.0.2.7" => String::from("127.0.0.1"),
                word => word.replace("/srv/docs", docs.to_str().expect("UTF-8")),
            })
            .collect();
        let mut command = Command::new(&net);
        command.args(&line[1..]).env("SHAREWARD_SOCKET", &socket);
        let output = run(command, b"New password 1\n", Duration::from_secs(60));
        assert_eq!(output.status, Some(0), "{written}: {output}");
        match written.as_str() {
            "net file" | "net file 7" | "net file --user alice" | "net file --path report" => {
                assert!(output.stdout.contains("report.docx"), "{written}: {output}");
            }
            "net session" | "net session --user alice" | "net session --client 192.0.2.7" => {
                assert!(output.stdout.contains("alice"), "{written}: {output}");
            }
            "net file 7 /close"
            | "net file --user alice /close /yes"
            | "net session --user alice /delete /yes" => {
                let Some(file) = &file else { unreachable!("it is about opens") };
                assert!(file.read(0, 1).await.is_err(), "{written}: the file is still open");
                continue;
            }
            _ => {}
        }
        if let Some(file) = file {
            file.close().await.expect("close");
        }
    }
}
