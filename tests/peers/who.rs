//! `net who` and `net wait` never answer "nobody" if they cannot know, and the configuration that Samba needs first.

use std::process::Command;

use auth::Credentials;
use client::smb::{ClientConnection, ConnectOptions, CreateParameters, File};
use testkit::{Output, Samba, Setup, Shareward, Subject, need, run, shareward_binary};

use crate::remote::{ALICE, COMMAND_MAX, ROOT, setup};

fn ask(server: &str, words: &str, (user, password): (&str, &str)) -> Output {
    let mut command = Command::new(shareward_binary());
    command.args(words.split(' ')).args(["--server", server, "--login", user]);
    command.env("SHAREWARD_PASSWORD", password);
    run(command, b"", COMMAND_MAX)
}

async fn holding(address: std::net::SocketAddr, name: &str) -> File {
    let options = ConnectOptions::new().expect("options");
    let connection = ClientConnection::connect(address, None, options).await.expect("connect");
    let session = connection.logon(Credentials::password(ALICE.0, "", ALICE.1)).await.expect("log on");
    let tree = session.tree_connect(r"\\127.0.0.1\data").await.expect("the share");
    tree.create(&CreateParameters::read_write(name)).await.expect("create")
}

#[tokio::test]
async fn a_path_without_a_share_is_an_error_that_names_the_shares() {
    if !need(&["root", "smbd", "net", "pdbedit", "unshare"]) {
        return;
    }
    let samba = Samba::start(&setup());
    samba.make_administrator(ROOT.0);
    let file = holding(samba.address(), "report.docx").await;
    let server = samba.address().to_string();
    for words in ["who report.docx", "wait report.docx --timeout 0", "who /nowhere/report.docx"] {
        let said = ask(&server, words, ROOT).failure();
        assert!(said.stderr.contains("the shares are:") && said.stderr.contains("data"), "{}", said.text());
        assert!(!said.stdout.contains("Nobody"), "{}", said.text());
        assert_ne!(said.status, Some(1), "exit code 1 means that it is still open");
    }
    ask(&server, "who report.docx --share nope", ROOT).failure().says("data");
    let on_disk = samba.share_dir("data").join("report.docx");
    for path in ["report.docx --share data", "//nas/data/report.docx", on_disk.to_str().expect("a path")] {
        ask(&server, &format!("who {path}"), ROOT).success().says("1 open");
    }
    ask(&server, "wait report.docx --share data --timeout 0", ROOT).failure().says("still open");
    file.close().await.expect("close");
    ask(&server, "wait report.docx --share data --timeout 0", ROOT).success().says("Nobody has");
}

#[test]
fn a_path_without_a_share_is_an_error_on_our_server_too() {
    let server = Shareward::start(&Setup::default());
    for words in [&["who", "report.docx", "--share", "nope"][..], &["wait", "/nowhere", "--timeout", "0"]] {
        server.net(words).failure().says("the shares are: data, other, sealed");
    }
    // A path above several shares is in none of them.
    let above = server.share_dir("data").parent().expect("a parent").to_path_buf();
    let above = above.to_str().expect("a path");
    let said = server.net(&["who", above]).success();
    assert!(said.stdout.contains(&format!("Nobody has {above} open.")), "{}", said.stdout);
}

#[tokio::test]
async fn an_open_of_a_stream_counts_for_its_file() {
    let server = Shareward::start(&Setup::default());
    let subject = Subject::Shareward(server);
    let tree = crate::scripted::tree(&subject, "alice", "data").await;
    let Subject::Shareward(server) = &subject else { panic!("the server is ours") };
    let open = async |name: &str| tree.create(&CreateParameters::read_write(name)).await.expect("create");
    open("report.docx").await.close().await.expect("close");
    let stream = open("report.docx:AFP_Resource").await;
    let of_other = open("report.docx2:s").await;
    let asked = ["report.docx", "--share", "data"];
    let said = server.net(&[&["who"][..], &asked].concat()).success().stdout;
    assert!(said.contains("1 open") && said.contains("report.docx:AFP_Resource"), "{said}");
    server.net(&[&["wait"][..], &asked, &["--timeout", "0"]].concat()).failure().says("still open");
    stream.close().await.expect("close");
    server.net(&[&["wait"][..], &asked, &["--timeout", "0"]].concat()).success();
    of_other.close().await.expect("close");
}

#[test]
fn samba_needs_a_group_of_administrators() {
    if !need(&["root", "smbd", "net", "pdbedit", "unshare"]) {
        return;
    }
    let samba = Samba::start(&setup());
    let server = samba.address().to_string();
    const WORDS: &str = "net groupmap add sid=S-1-5-32-544 unixgroup=GROUP type=builtin";
    for words in ["session", "file"] {
        ask(&server, words, ROOT).failure().says(WORDS);
    }
    let mut tool = samba.tool("net");
    tool.args(WORDS.replace("GROUP", "root").split(' ').skip(1));
    run(tool, b"", COMMAND_MAX).success();
    for words in ["session", "file"] {
        ask(&server, words, ROOT).success();
    }
    // A port is behind a colon or behind an @.
    ask(&server.replace(':', "@"), "session", ROOT).success();
}

#[test]
fn a_new_share_without_a_grant_is_readable_for_everyone() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let Subject::Shareward(server) = &subject else { panic!("not ours") };
    let path = server.scratch();
    let made = server.net(&["share", &format!("new={}", path.display())]).success();
    assert!(made.stderr.contains("Everyone, READ"), "{}", made.text());
    server.net(&["share", "new"]).success().says("Everyone, READ");
    let text = std::fs::read_to_string(server.config()).expect("the configuration");
    assert!(text.contains("right = \"read\""), "{text}");
    let full = server.net(&["share", &format!("more={}", path.display()), "/GRANT:Everyone,FULL"]).success();
    assert!(!full.stderr.contains("GRANT"), "{}", full.text());
    // A share in the file without grants keeps its permissions.
    server.net(&["share", "data"]).success().says("Everyone, FULL");
}
