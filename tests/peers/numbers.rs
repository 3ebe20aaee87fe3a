//! The tables of numbers against those of other projects: Samba's Python module `werror`, which is generated from
//! MS-ERREF, and impacket's constants of MS-SRVS.

use std::collections::BTreeMap;
use std::process::Command;

use testkit::need;
use testkit::peer::PYTHON;
use wire::Win32Error;

/// The numbers of a Python module by their names.
fn numbers(module: &str) -> BTreeMap<String, u32> {
    let script = format!(
        "import {module} as it\nfor name, value in vars(it).items():\n    if isinstance(value, int): print(name, value)"
    );
    let output = Command::new(PYTHON).args(["-B", "-c", &script]).output().expect("run Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

#[test]
fn win32_and_net_numbers_are_those_of_samba() {
    if !need(&["python:samba"]) {
        return;
    }
    let theirs = numbers("samba.werror");
    for ours in Win32Error::ALL.iter().filter(|it| !it.is_success()) {
        let symbol = ours.symbol().expect("a symbol");
        let name = match symbol.strip_prefix("ERROR_") {
            Some(name) => format!("WERR_{name}"),
            None => format!("WERR_{}", symbol.to_ascii_uppercase()),
        };
        assert_eq!(theirs.get(&name), Some(&ours.0), "{symbol}");
    }
}

#[test]
fn permission_bits_of_opens_are_those_of_impacket() {
    if !need(&["python:impacket"]) {
        return;
    }
    let theirs = numbers("impacket.dcerpc.v5.srvs");
    let permissions = theirs.into_iter().filter(|(name, _)| {
        name.starts_with("PERM_") || (name.starts_with("ACCESS_") && name != "ACCESS_MASK")
    });
    use control::permission::{ATTRIBUTES, CREATE, DELETE, EXECUTE, PERMISSIONS, READ, WRITE};
    let ours = [
        ("ACCESS_ATRIB", ATTRIBUTES),
        ("ACCESS_DELETE", DELETE),
        ("ACCESS_EXEC", EXECUTE),
        ("ACCESS_PERM", PERMISSIONS),
        ("PERM_FILE_CREATE", CREATE),
        ("PERM_FILE_READ", READ),
        ("PERM_FILE_WRITE", WRITE),
    ];
    let ours = ours.map(|(name, bit)| (name.to_owned(), bit));
    assert_eq!(permissions.collect::<Vec<_>>(), ours);
}
