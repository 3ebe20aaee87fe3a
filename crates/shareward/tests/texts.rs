//! Messages and help texts that have misled users before.

use std::process::Command;

fn said(words: &[&str]) -> (i32, String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_shareward")).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
}

#[test]
fn help_shows_the_command_of_the_programs_family() {
    let (_, net, _) = said(&["net", "help", "user"]);
    assert!(net.contains("NET USER") && net.contains("'shareward help user'"), "{net}");
    let (_, own, _) = said(&["help", "user"]);
    assert!(own.contains("SHAREWARD USER") && own.contains("'net help user'"), "{own}");
    let (_, both, _) = said(&["help", "session"]);
    assert!(both.contains("NET SESSION") && !both.contains("another command"), "{both}");
}

#[test]
fn helpmsg_prints_json() {
    let (code, out, _) = said(&["net", "helpmsg", "5", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, told["message"]["number"].as_u64()), (0, Some(5)));
    assert_eq!(told["message"]["text"], "Access is denied.");
    let (code, out, error) = said(&["net", "helpmsg", "99999", "--json"]);
    assert!(code == 2 && out.is_empty() || error.is_empty(), "{out} {error}");
}

#[test]
fn psloggedon_accepts_credentials_only_with_a_computer() {
    let (code, _, error) = said(&["psloggedon", "-u", "alice", "-p", "secret"]);
    assert!(code == 2 && error.contains("-u and -p require a computer"), "{error}");
    let (_, help, _) = said(&["psloggedon", "-?"]);
    assert!(help.contains("-p  ") && help.contains("Times are local"), "{help}");
}

#[test]
fn csv_accepts_only_the_byte_order_mark_as_value() {
    let (code, _, error) = said(&["net", "session", "--csv=utf16"]);
    assert!(code == 2 && error.contains("--csv=bom"), "{error}");
}
