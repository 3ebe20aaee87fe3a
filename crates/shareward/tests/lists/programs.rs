//! The programs `openfiles`, `psfile` and `psloggedon`, whose output is read by scripts for the originals.

use std::process::Command;

use control::{Logon, Timestamp};

use crate::fake::Data;
use crate::stock::{THEN, check, snapshot, start, stock};

#[test]
fn openfiles() {
    check(
        "openfiles_query",
        stock(),
        &[
            ("openfiles", "", ""),
            ("OPENFILES", "/Query /V /NH", ""),
            ("openfiles", "/query /fo CSV /v", ""),
            ("openfiles", "-query -fo csv -nh", ""),
            ("openfiles", "/fo list", ""),
            ("shareward", "openfiles /fo list /v", ""),
            ("openfiles", "/local", ""),
            ("openfiles", "/local on", ""),
        ],
    );
    check(
        "openfiles_disconnect",
        stock(),
        &[
            ("openfiles", "/disconnect /id 77", ""),
            ("openfiles", r"/disconnect /op plan\OLD.docx", ""),
            ("openfiles", "/disconnect /a al* /o read/write", ""),
            ("openfiles", "/disconnect /a bob /op *.txt", ""),
            ("openfiles", "/disconnect /id * /o *", ""),
            ("openfiles", "/disconnect /id *", ""),
            ("openfiles", "", ""),
        ],
    );
    check(
        "openfiles_wrong",
        stock(),
        &[
            ("openfiles", "/foo", ""),
            ("openfiles", "file", ""),
            ("openfiles", "/fo", ""),
            ("openfiles", "/fo xml", ""),
            ("openfiles", "/fo list /nh", ""),
            ("openfiles", "/v /v", ""),
            ("openfiles", "/query /disconnect", ""),
            ("openfiles", "/disconnect", ""),
            ("openfiles", "/disconnect /id x", ""),
            ("openfiles", "/disconnect /o append", ""),
            ("openfiles", "/u alice", ""),
            ("openfiles", "/local maybe", ""),
            ("openfiles", "/?", ""),
        ],
    );
}

#[test]
fn psfile() {
    check(
        "psfile",
        stock(),
        &[
            ("psfile", "", ""),
            ("psfile", "-nobanner REPORT", ""),
            ("psfile", "-nobanner 4294967295", ""),
            ("psfile", "-nobanner nothing", ""),
            ("psfile", "-nobanner 2214593372 -c", ""),
            ("psfile", "-nobanner 2214593372 -c", ""),
            ("psfile", "-nobanner plan -c", ""),
            ("psfile", "-c", ""),
            ("psfile", "-x", ""),
            ("psfile", "-u", ""),
            ("psfile", "a b", ""),
            ("psfile", "-?", ""),
        ],
    );
    check("psfile_nothing", Data::default(), &[("psfile", "-nobanner", "")]);
}

#[test]
fn psloggedon() {
    let logon = |user: &str, domain: Option<&str>, since| Logon {
        user: user.into(),
        domain: domain.map(str::to_owned),
        since,
        ..Logon::default()
    };
    let logons = vec![logon("root", None, Some(Timestamp(THEN))), logon("jeffadmin", Some("CORP"), None)];
    check(
        "psloggedon",
        Data { logons: Some(logons), ..stock() },
        &[
            ("psloggedon", "", ""),
            ("psloggedon", "-l -nobanner", ""),
            ("psloggedon", "-x - -nobanner", ""),
            ("psloggedon", "-nobanner ALICE", ""),
            ("psloggedon", r"-nobanner corp\jeffadmin", ""),
            ("psloggedon", "-nobanner nobody", ""),
            ("psloggedon", "-z", ""),
            ("psloggedon", "a b", ""),
        ],
    );
    let nobody = Data { logons: Some(Vec::new()), ..Data::default() };
    check("psloggedon_nobody", nobody, &[("psloggedon", "-nobanner", "")]);
}

#[test]
fn links_start_the_program_of_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display().to_string();
    let server = start(stock());
    let told = |words: &str| server.run("shareward", words, "").replace(&at, "DIR");
    let mut all = vec![told(&format!("links {at}"))];
    for program in ["net", "openfiles", "psfile", "psloggedon"] {
        let mut command = Command::new(directory.path().join(program));
        let output = command.arg("--help").env_clear().output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap().to_lowercase();
        assert!(output.status.success() && text.contains(program), "{program}: {text}");
    }
    std::fs::remove_file(directory.path().join("net")).unwrap();
    std::fs::write(directory.path().join("net"), "somebody's").unwrap();
    for words in ["links DIR", "links DIR psfile", "links DIR --remove", "links DIR ps", "links"] {
        all.push(told(&words.replace("DIR", &at)));
    }
    assert_eq!(std::fs::read(directory.path().join("net")).unwrap(), b"somebody's");
    let program = env!("CARGO_BIN_EXE_shareward");
    snapshot("links", &all.join("\n").replace(program, "PROGRAM"));
    server.stop();
}
