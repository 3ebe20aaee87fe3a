//! Servers that do not answer, refuse the credentials, or are several.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use testkit::run;

use super::stage::{As, Stage, command, shorten, shown, split};

/// Lines; `OURS` and `SAMBA` are servers, `NOBODY` is a port of this machine that refuses, `DIR` a directory.
const LINES: &[&str] = &[
    // No server here.
    "net session --socket DIR/nothing",
    "net session --socket DIR/nothing --json",
    "net file 1 /close --socket DIR/nothing",
    "net file --watch --socket DIR/nothing",
    "net share --socket DIR/nothing",
    "net config --socket DIR/nothing",
    "net statistics server --socket DIR/nothing --json",
    "net who /x --socket DIR/nothing",
    "net wait /x --socket DIR/nothing",
    "net wait /x --socket DIR/nothing --json",
    "net view --socket DIR/nothing",
    "net time --socket DIR/nothing",
    "net user alice --socket DIR/nothing",
    "net start --socket DIR/nothing",
    "net stop server --socket DIR/nothing",
    "net pause server --socket DIR/nothing",
    "openfiles /socket DIR/nothing",
    "openfiles /disconnect /id 1 /socket DIR/nothing",
    "psfile -socket DIR/nothing",
    // No such server.
    "net session --server NOBODY",
    "net session --server NOBODY --json",
    "net session --server NOBODY --csv",
    "net session --server 224.0.0.1",
    "net session --server name.invalid",
    "net session --server 'a b'",
    "net session --server ''",
    "net session --server ,",
    "net session --server 127.0.0.1:99999",
    "net session --server @DIR/nothing",
    "net session --server @DIR/nothing --json",
    "net session --server @DIR/wrong",
    "net file 1 --server NOBODY",
    "net file 1 /close --server NOBODY",
    "net share --server NOBODY",
    "net config --server NOBODY",
    "net who x --share y --server NOBODY",
    "net wait x --share y --server NOBODY",
    "net view //NOBODY",
    "net view //name.invalid --json",
    "net time //NOBODY",
    "net stop server --server NOBODY",
    "net user --server NOBODY",
    "openfiles /s NOBODY",
    r"psfile '\\NOBODY' -nobanner",
    r"psloggedon '\\NOBODY' -nobanner",
    // Credentials.
    "net session --server OURS --login root --credentials DIR/wrong-password",
    "net session --server SAMBA --login root --credentials DIR/wrong-password",
    "net session --server mallory@OURS",
    "net session --server mallory@SAMBA --json",
    "net session --server root@OURS --user bob",
    r"net session --server OURS --login WORKGROUP\root --user bob",
    "net session --server OURS --credentials DIR/credentials --user bob",
    "net session --server OURS --credentials DIR/open --user bob",
    "net session --server OURS --credentials DIR/open --json",
    "net session --server OURS --credentials DIR/nonsense",
    "net session --server OURS --credentials DIR/nothing",
    "net session --login root",
    "net session --server OURS --socket DIR/nothing",
    "net view //OURS --server OURS",
    "openfiles /s OURS /u root /p wrong",
    r"psfile '\\OURS' -u root -p wrong -nobanner",
    r"psfile //OURS -u root -p Adm1n-secret 報告 -nobanner",
    "psloggedon -server OURS -login root -credentials DIR/wrong-password -nobanner",
    // Several.
    "net session --server OURS,SAMBA,NOBODY --login root --user bob",
    "net session --server @DIR/servers --login root --user bob",
    "net session --server @DIR/servers --login root --user bob --json",
    "net session --server @DIR/servers --login root --user bob --csv",
    "net session --server OURS,SAMBA --login root --user bob --ndjson",
    "net session --server OURS,SAMBA --login root --client ::1 --json=wmi",
    "net session --server OURS,SAMBA --login root //192.0.2.1",
    "net session --server OURS,NOBODY --login root //192.0.2.1",
    "net session --server OURS,SAMBA --login root --user bob --verbose",
    "net session --server OURS,SAMBA --login root --user bob /list",
    "net session --server OURS,SAMBA --login root --user bob --watch --for 0",
    "net session --server OURS,SAMBA --login root /delete",
    "net session --server NOBODY,NOBODY2 --login root",
    "net file --server OURS,SAMBA,NOBODY --login root --user bob",
    "net file --server OURS,SAMBA --login root --user bob --verbose",
    "net file --server OURS,SAMBA --login root --user bob --csv",
    "net file --server OURS,SAMBA --login root --user nobody",
    "net file --server OURS,SAMBA --login root --user bob /close",
    "net file 1 --server OURS,SAMBA --login root",
    "net share --server OURS,SAMBA --login root",
    "net config --server OURS,SAMBA --login root",
    "net who x --share data --server OURS,SAMBA --login root",
    "net view --server OURS,SAMBA --login root",
    "net stop server --server OURS,SAMBA --login root",
    "openfiles /s OURS,SAMBA /u root",
    r"psfile '\\OURS,SAMBA' -u root -nobanner",
    "psloggedon -server OURS,SAMBA,NOBODY -login root -x -nobanner bob",
    "psloggedon -server OURS,NOBODY -login root -x -nobanner",
];

pub(super) fn told(stage: &Stage) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let (ours, samba) = (stage.smb().address(), stage.samba().address());
    let nobody = [free_port(), free_port()];
    let file = |name: &str, text: &str, mode| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    };
    file("credentials", "username=root\npassword=Adm1n-secret\n", 0o600);
    file("open", "username=root\npassword=Adm1n-secret\n", 0o644);
    file("wrong-password", "username=root\npassword=wrong\n", 0o600);
    file("nonsense", "username=root\nsecret=x\n", 0o600);
    file("servers", &format!("# ours\n{ours}\n\n{} # nobody\n", nobody[0]), 0o644);
    file("wrong", "two words\n", 0o644);
    let names = [
        ("NOBODY2", nobody[1].clone()),
        ("NOBODY", nobody[0].clone()),
        ("OURS", ours.to_string()),
        ("SAMBA", samba.to_string()),
        ("DIR", directory.path().display().to_string()),
    ];
    let mut text = String::new();
    for line in LINES {
        text.push_str(&format!("$ {line}\n{}\n", one(line, &names, stage)));
    }
    shorten(&text)
}

fn one(line: &str, names: &[(&str, String)], stage: &Stage) -> String {
    let mut replaced = line.to_owned();
    for (name, value) in names {
        replaced = replaced.replace(name, value);
    }
    let words = split(&replaced);
    let (program, words) = words.split_first().expect("a program");
    let mut command = command(program, As::Root);
    command.args(words);
    let output = run(command, b"", Duration::from_secs(60));
    let mut masks = stage.samba().masks();
    stage.smb().add_masks(&mut masks);
    for (name, value) in names {
        masks.hide_first(value, name);
    }
    shown(&output, &masks)
}

fn free_port() -> String {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    address.to_string()
}
