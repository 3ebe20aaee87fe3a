//! Lines that need no server.

use testkit::run;

use super::Masks;
use super::stage::{As, command, shorten, shown, split};

const LINES: &[&str] = &[
    "net",
    "net --version",
    "net /?",
    "net nothing",
    "net nothing --json",
    "net sess /?",
    "net session --help",
    "net help",
    "net help session",
    "net help files",
    "net help nothing",
    "net help a b",
    "net help /foo",
    "net helpmsg 5",
    "net helpmsg 2312",
    "net helpmsg NET2314",
    "net helpmsg 3675",
    "net helpmsg 0",
    "net helpmsg 65535",
    "net helpmsg 4294967296",
    "net helpmsg x",
    "net helpmsg",
    "net helpmsg 5 6",
    "net links",
    "shareward",
    "shareward help links",
    "shareward net help file",
    "shareward links",
    "shareward links /nowhere/at/all",
    "shareward links /tmp nothing",
    "shareward links /tmp --foo",
    "shareward check /nowhere.toml",
    "shareward user",
    "shareward user list x",
    "shareward user list --file /nowhere",
    "shareward user foo",
    "net use /delete",
    "net use //server",
    "net use //server/share /foo",
    "net use //server/share /persistent:perhaps",
    "net use //server/share --via nfs",
    "net use //server/share --port x",
    "net use //server/share --port 70000",
    "net use a b c d",
    "net use /nowhere /delete",
    "net use //nowhere/share /delete",
    "net use /yes /no",
    "net use --json --foo",
    "net use /nowhere --json",
    "openfiles /local",
    "openfiles /local on",
    "openfiles /local perhaps",
    "openfiles /?",
    "psfile /?",
    "psloggedon -?",
];

pub(super) fn told() -> String {
    let mut text = String::new();
    for line in LINES {
        let words = split(line);
        let (program, words) = words.split_first().expect("a program");
        let mut command = command(program, As::Root);
        command.args(words).env("XDG_STATE_HOME", "/nowhere").env("XDG_CONFIG_HOME", "/nowhere");
        let output = run(command, b"", std::time::Duration::from_secs(30));
        text.push_str(&format!("$ {line}\n{}\n", shown(&output, &Masks::new())));
    }
    shorten(&text)
}
