//! This crate reads from smb.conf what Samba's `testparm` reads, and its table has all parameters of Samba.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use import::System;
use import::parameters::{self, Kind, Scope};
use import::smbconf::{Config, LoadError, Section, Value, canonical, canonical_text, load};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use testkit::{find, need};

/// The files of this machine.
struct Disk;

impl System for Disk {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let bytes = fs::read(path)?;
        if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    fn has_entries(&self, _directory: &Path) -> bool {
        false
    }

    fn host_name(&self) -> String {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        name.trim().split('.').next().unwrap().to_owned()
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn uid(&self, _user: &str) -> Option<u32> {
        None
    }

    fn has_group(&self, _group: &str) -> bool {
        false
    }

    fn groups_of(&self, _user: &str) -> Vec<String> {
        Vec::new()
    }

    fn interfaces(&self) -> Vec<(String, IpAddr)> {
        Vec::new()
    }
}

/// Values by the keys of their names.
type Parameters = BTreeMap<String, Vec<u8>>;

/// A configuration as `testparm` prints it: sections in order, parameters as printed.
#[derive(Debug, Default)]
struct Printed {
    global: Parameters,
    shares: Vec<(Vec<u8>, Parameters)>,
}

/// Runs `testparm -s -v`; `None` if it does not load the file.
fn testparm(path: &Path) -> Option<Printed> {
    let output = Command::new(find("testparm").unwrap()).args(["-s", "-v"]).arg(path).output().unwrap();
    if !String::from_utf8_lossy(&output.stderr).contains("Loaded services file OK.") {
        return None;
    }
    let mut printed = Printed::default();
    let mut current = None;
    for line in output.stdout.split(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(b"[").and_then(|it| it.strip_suffix(b"]")) {
            current = (name != b"global").then_some(printed.shares.len());
            if current.is_some() {
                printed.shares.push((name.to_vec(), BTreeMap::new()));
            }
        } else if let Some(line) = line.strip_prefix(b"\t") {
            let at = line.windows(2).position(|it| it == b" =").unwrap();
            let (name, value) = (&line[..at], line[at + 2..].strip_prefix(b" ").unwrap_or_default());
            let values = match current {
                Some(share) => &mut printed.shares[share].1,
                None => &mut printed.global,
            };
            values.insert(parameters::key(name), value.to_vec());
        }
    }
    Some(printed)
}

/// The parameters that Samba prints in another form than it was given, for reasons that do not concern us.
const PRINTED_DIFFERENTLY: &[&str] = &[
    // Samba's own defaults and upper case, and what depends on the machine.
    "available",
    "mangling char",
    "copy",
    "include",
    "printing",
    "print command",
    "lpq command",
    "lprm command",
    "queueresume command",
    "queuepause command",
    "lppause command",
    "lpresume command",
    "registry shares",
    "server services",
];

/// The effective value of a parameter in one spelling for each meaning.
fn ours(kind: Kind, default: &str, value: Option<&Value>) -> String {
    value.map_or_else(|| canonical_text(kind, default.as_bytes()), |value| canonical(kind, value))
}

fn assert_same(text: &[u8], config: &Config, printed: &Printed) {
    let shown = String::from_utf8_lossy(text);
    let names: Vec<Vec<u8>> = config.shares.iter().map(|it| it.name.clone()).collect();
    let theirs: Vec<Vec<u8>> = printed.shares.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, theirs, "{shown}");
    for parameter in parameters::all().iter().filter(|it| it.scope == Scope::Share) {
        if PRINTED_DIFFERENTLY.contains(&parameter.name) {
            continue;
        }
        let key = parameters::key(parameter.name.as_bytes());
        let Some(global) = printed.global.get(&key) else { continue };
        let their_default = canonical_text(parameter.kind, global);
        let our_default =
            ours(parameter.kind, &String::from_utf8_lossy(global), config.value(parameter.name));
        assert_eq!(our_default, their_default, "the default of {} in\n{shown}", parameter.name);
        for (section, (name, values)) in config.shares.iter().zip(&printed.shares) {
            // Samba changes these two of [printers], which is no share of ours.
            if name == b"printers" && matches!(parameter.name, "browseable" | "printable") {
                continue;
            }
            let theirs =
                values.get(&key).map_or(their_default.clone(), |it| canonical_text(parameter.kind, it));
            let ours = ours(parameter.kind, parameter.default, section.value(parameter.name));
            assert_eq!(
                ours,
                theirs,
                "{} of {:?} in\n{shown}",
                parameter.name,
                String::from_utf8_lossy(&section.name)
            );
        }
    }
    options_are_the_same(&shown, config, printed);
}

/// The options of modules.
fn options_are_the_same(shown: &str, config: &Config, printed: &Printed) {
    let of = |values: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
        let is_ours = |key: &&String| key.contains(':') && *key != "idmapconfig*:backend";
        values
            .iter()
            .filter(|(key, _)| is_ours(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let options = |it: &import::smbconf::Options| -> BTreeMap<String, Vec<u8>> {
        it.iter().map(|(key, it)| (key.clone(), it.value.bytes.to_vec())).collect()
    };
    assert_eq!(options(&config.options), of(&printed.global), "{shown}");
    for (section, (_, values)) in config.shares.iter().zip(&printed.shares) {
        let section: &Section = section;
        assert_eq!(options(&section.options), of(values), "{shown}");
    }
}

/// Writes the files, and compares the reading of the first with `testparm`'s.
fn compare(files: &[(&str, &[u8])]) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_string_lossy().into_owned();
    for (name, text) in files {
        let text = text.split(|byte| *byte == b'@').collect::<Vec<_>>();
        // `@@` stands for the directory.
        let mut whole = Vec::new();
        let mut rest = text.into_iter().peekable();
        while let Some(part) = rest.next() {
            whole.extend(part);
            match rest.peek() {
                Some([]) => {
                    rest.next();
                    whole.extend(place.as_bytes());
                }
                Some(_) => whole.push(b'@'),
                None => {}
            }
        }
        fs::write(directory.path().join(name), whole).unwrap();
    }
    let path = directory.path().join(files[0].0);
    let text = fs::read(&path).unwrap();
    let shown = String::from_utf8_lossy(&text);
    match (load(&path, &Disk), testparm(&path)) {
        (Ok(config), Some(printed)) => assert_same(&text, &config, &printed),
        (Err(LoadError::Faults(_)), None) => {}
        (Err(ours), Some(_)) => panic!("testparm loads\n{shown}\n{ours}"),
        (Err(ours), None) => panic!("{shown}\n{ours}"),
        (Ok(_), None) => panic!("testparm does not load\n{shown}"),
    }
}

/// Configurations that are written by hand, each of one file.
const WRITTEN: &[&str] = &[
    "",
    "[global]\nworkgroup = W\n[a]\npath = /a\nwriteable = yes\n[b]\npath=/b\nread only = yes\nguest ok = 1\n",
    "workgroup=BEFORE\n[s]\npath=/a\\\n\\\n   /b\n",
    "[s]\ncomment = a\\\n b\\\n#c\n",
    "[s]\n# c\\\ncomment = x\npath=/p\n",
    "[s]\ncomment = \n path = /p\n",
    "[s\n]\npath=/p\n",
    "[s] \\\n\npath = /p\n",
    "[s] \\\npath = /p\n",
    "[]\npath=/x\n",
    "[ ]\npath=/x\n",
    "[s]\nnovalue\npath=/p\n",
    "[s]\n = value\npath=/p\n",
    "[s]\npath=/p\nbogus thing = 3\nread only = maybe\n",
    "[s]\npath=/p\ncreate mask = 99\n",
    "[s]\npath=/p\nmax connections = 12abc\nblock size = 7\n",
    "[s]\npath=/p\nCreate  MODE = 664\n writ able = no\nforce create mode = 0x1ff\n",
    "[S One]\npath=/p\n[s  one]\ncomment=second\n[s one]\nguestok=yes\n",
    "[a]\npath=/a\nvalid users = x\nfruit:x = 1\n[b]\ncopy=A\npath=/b\n[d]\ncopy=b\nvalid users = y\n",
    "[a]\npath=/a\nvalid users = x\n[b]\nvalid users = y\ncopy=A\nread list = z\n",
    "read only = no\n[a]\npath=/a\n[global]\nread only = yes\nguest ok = yes\n[b]\ncopy = a\n[c]\npath=/c\n",
    "[c]\ncopy = zz\npath=/c\n",
    "[c]\npath=/c\ncopy = C\n",
    "[globals]\nworkgroup=X\n[Global]\nnetbios name=yy\n[global ]\nserver string = \"q\"\n[s]\npath=/s\n",
    "[s]\r\npath=/p\r\ncomment=c\tt  u\r\n",
    "[s]\npath=/p\ncomment=last\\",
    "[s]\npath=/p\ncomment=no end",
    "[s]\npath=/p\nfruit : Metadata = stream\nfruit:resource=a b\nFRUIT:x = y\n",
    "[homes]\nread only=no\n[printers]\npath=/tmp\n[pr]\nprintable=yes\npath=/z\n[nopath]\ncomment = x\n[off]\navailable=no\npath=/o\n",
    "[s]\npath=/p\ncomment = A \\\n  B\\\nC \\ D\\E\\\\\nread only=no\n",
    "[s]\npath=/p\ncase sensitive=maybe\n",
    "[s]\npath=/p\nread only = On\nguest ok = OFF\nbrowseable = 0\nhide unreadable = TRUE\n",
    "[s]\npath=/p\nea support = n\n",
    "[s]\npath=/p\ncsc policy = foo\n",
    "\u{feff}[s]\npath=/p\n",
    "[s]\npa\\\nth=/p\n[t\\\nu]\npath=/q\n",
    "[s]\npath=/p\nvalid users = \"a b\", @\"c d\" x\"y z\" \"un closed\n",
    "[s]\npath=/p\nvalid users = a\\ b, S\\\\x 'q r'\n",
    "[s]\npath=/p;x\n;c\n #d\ncomment=a #b\n",
    "[s]\npath=/p\nworkgroup = INSHARE\n",
    "[a]\npath=/a\n[s]\npath=/p\n-valid = no\nvolume=x\n[b]\npath=/b\n",
    "[s]\ndirectory=/p\npublic=yes\nwritable=yes\nonly guest = yes\n",
    "[s]]\npath=/p\n[a[b]\npath=/q\n",
    "idmap config CORP : range = 10-20\nidmap config CORP:backend=rid\n",
    "[x]path=/p\n comment=1\n",
    "[s]\npath=\"/p q\"\nserver role = x\n[S ]\n[ S]\nguest ok=1\n",
    "[s]\npath=/p\n[ipc$]\npath=/x\ncomment=m\n[IPC$]\nhosts allow=1\n",
    "[s]\npath=/p\npath=\n",
    "[s]\npath=/p\nsmb encrypt = mandatory\n[t]\npath=/t\nserver smb encrypt = auto\n",
    "[s]\npath=/p\nstrict locking = 1\nposix locking = no\nmap readonly = permissions\nmangled names = 0\n",
    "[s]\npath=/p\nmax connections = 0777\n[t]\npath=/p\nmax connections = 0x10\n",
    "[s]\npath=/%S/%u\nroot preexec = /x '%u'\nvfs object = recycle acl_xattr\nvfs objects=\n",
];

#[test]
fn written_configurations_are_read_as_by_testparm() {
    if !need(&["testparm"]) {
        return;
    }
    for text in WRITTEN {
        compare(&[("smb.conf", text.as_bytes())]);
    }
    compare(&[("smb.conf", b"[s]\npath=/p\ncomment=caf\xe9\nvalid users = m\xfcller\n")]);
    compare(&[("smb.conf", b"[M\xfcller]\npath=/p\n[M\xe4ller]\npath=/q\n[m\xfcLLER]\ncomment=same\n")]);
    let latin =
        b"unix charset = ISO8859-1\n[M\xfcller]\npath=/p\n[M\xe4ller]\npath=/q\n[m\xdcLLER]\ncomment=same\n";
    compare(&[("smb.conf", latin)]);
    compare(&[("smb.conf", "[Müller]\npath=/p\n[MÜLLER]\ncomment=same\n[straße]\npath=/s\n".as_bytes())]);
    compare(&[("smb.conf", b"[s]\npath=/p\ncomment=a\x0bb\x0cc\x01d\n")]);
}

#[test]
fn included_files_are_read_as_by_testparm() {
    if !need(&["testparm"]) {
        return;
    }
    let main: &[u8] = b"[global]\nworkgroup=W\ninclude=@@/one\ncomment = after\n[c]\npath=/x\ninclude=@@/none\nread only = no\n\
                        include = @@/two\nguest ok = yes\n[global]\nread only = no\n[d]\npath=/d\n";
    compare(&[
        ("smb.conf", main),
        ("one", b"hosts allow = 1.2.3.4\n[inc]\npath=/inc\n"),
        ("two", b"comment = from two\n"),
    ]);
    compare(&[
        ("smb.conf", b"[s]\npath=/p\ninclude=@@/two\nguest ok = yes\n"),
        ("two", b"[other]\npath=/o\n"),
    ]);
    compare(&[("smb.conf", b"include=@@/smb.conf\n[s]\npath=/p\n")]);
    compare(&[("smb.conf", b"include=@@/%m.conf\n[s]\npath=/p\n"), (".conf", b"[m]\npath=/m\n")]);
    compare(&[("smb.conf", b"include=@@/x%h.conf\n[s]\npath=/p\n"), ("xvm.conf", b"[m]\npath=/m\n")]);
    compare(&[("smb.conf", b"include=@@/%$(HOME)x\ninclude=@@\n[s]\npath=/p\ninclude=\n")]);
    compare(&[("smb.conf", b"include=\"@@/two\"\n[s]\npath=/p\n"), ("two", b"[q]\npath=/q\n")]);
    compare(&[("smb.conf", b"[s]\npath=/p\ninclude=@@/two\n"), ("two", b"[s\n")]);
}

/// Lines of all kinds, with names that the installed Samba knows, and broken ones.
fn line(known: &Printed) -> impl Strategy<Value = String> {
    let values = prop_oneof![
        4 => Just(String::from("yes")),
        4 => Just(String::from("No")),
        1 => Just(String::from("auto")),
        1 => Just(String::from("0664")),
        2 => "[a-z]{1,6}( @?[a-z]{1,5}){0,2}",
        // Not quotes: testparm prints separators in them without them.
        1 => "[ !#-~]{0,12}",
    ];
    let share_parameters: Vec<&'static str> = parameters::all()
        .iter()
        .filter(|it| it.scope == Scope::Share && !PRINTED_DIFFERENTLY.contains(&it.name))
        .filter(|it| known.global.contains_key(&parameters::key(it.name.as_bytes())))
        .filter(|it| !matches!(it.kind, Kind::Bytes | Kind::Integer) && !it.name.contains("print"))
        .map(|it| it.name)
        .collect();
    let name = prop::sample::select(share_parameters);
    prop_oneof![
        6 => (name, values.clone()).prop_map(|(name, value)| format!("{name} = {value}")),
        3 => "\\[(a|b|C c|global|c  C|x)\\]",
        1 => "[;#][ -~]{0,10}",
        1 => "copy = (a|b|c c)",
        1 => values.prop_map(|value| format!("fruit:x = {value}")),
        1 => "[ \t]{0,2}valid users =[ !#-~\t]{0,12}\\\\?",
        1 => "[ \t]{0,2}comment =[ -~\t]{0,12}\\\\?",
        1 => "(path) = /[a-z]{1,4}",
        1 => "[ -9;-~]{0,12}",
    ]
}

#[test]
fn generated_configurations_are_read_as_by_testparm() {
    if !need(&["testparm"]) {
        return;
    }
    let mut runner = TestRunner::new(Runs { cases: 150, failure_persistence: None, ..Runs::default() });
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("smb.conf");
    fs::write(&empty, "").unwrap();
    let known = testparm(&empty).unwrap();
    let text = prop::collection::vec(line(&known), 0..12).prop_map(|lines| lines.join("\n") + "\n");
    runner
        .run(&text, |text| {
            // A relative file would be another one for each program.
            if !text.contains("include") && !text.contains('@') {
                compare(&[("smb.conf", text.as_bytes())]);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_parameter_of_the_installed_samba_has_an_answer() {
    if !need(&["testparm"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("smb.conf");
    fs::write(&path, "").unwrap();
    let printed = testparm(&path).unwrap();
    assert!(printed.global.len() > 400, "{}", printed.global.len());
    for key in printed.global.keys().filter(|key| !key.contains(':')) {
        assert!(parameters::by_name(key.as_bytes()).is_some(), "{key} has no answer");
    }
    let all = Command::new(find("testparm").unwrap()).arg("--show-all-parameters").output().unwrap();
    let names = String::from_utf8(all.stdout).unwrap();
    let names: Vec<&str> = names.lines().filter_map(|line| Some(line.split_once("=P_")?.0)).collect();
    assert!(names.len() > 450);
    for name in names.into_iter().filter(|name| !name.starts_with('-')) {
        assert!(parameters::by_name(name.as_bytes()).is_some(), "{name} has no answer");
    }
}

/// Parameters that Samba 4.17 has and 4.25 does not.
const REMOVED: &[&str] =
    &["cldap port", "client use spnego principal", "directory name cache size", "getwd cache"];

#[test]
fn the_table_has_the_parameters_of_samba_4_25() {
    let list = include_str!("samba-4.25-parameters.tsv");
    let list: Vec<Vec<&str>> =
        list.lines().filter(|it| !it.starts_with('#')).map(|it| it.split('\t').collect()).collect();
    assert!(list.len() > 500);
    let mut known: Vec<&str> = REMOVED.to_vec();
    for parts in &list {
        let [name, scope, kind] = parts.as_slice() else { panic!("{parts:?}") };
        let named = parameters::by_name(name.as_bytes()).unwrap_or_else(|| panic!("{name} has no answer"));
        assert_eq!(named.parameter.scope == Scope::Share, *scope == "share", "{name}");
        assert_eq!(named.inverse, *kind == "BOOLREV", "{name}");
        known.push(named.parameter.name);
    }
    for parameter in parameters::all() {
        assert!(known.contains(&parameter.name), "{} is no parameter of Samba 4.25", parameter.name);
    }
}
