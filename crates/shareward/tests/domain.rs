//! `shareward domain`, as far as it needs no domain.

use std::fs;
use std::path::Path;
use std::process::Command;

use domain::ids::{DomainRange, IdMap, Kind, Rules};
use wire::security::Sid;

fn said(directory: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shareward"));
    command.arg("domain").args(words).arg("--config").arg(directory.join("shareward.toml"));
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
}

fn configured(more: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let text = format!("[server]\nname = \"FILES\"\nstate_dir = \"state\"\n{more}");
    fs::write(scratch.path().join("shareward.toml"), text).unwrap();
    scratch
}

const CORP: Sid = Sid::of(5, [21, 1, 2, 3]);

#[test]
fn status_without_a_domain_says_how_to_join_one() {
    let scratch = configured("");
    let (code, out, error) = said(scratch.path(), &["status"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("has no [domain]") && error.contains("'shareward domain join REALM'"), "{error}");
    assert_eq!(said(scratch.path(), &["leave", "x"]).0, 2);
    assert_eq!(said(scratch.path(), &["rename"]).0, 2);
}

#[test]
fn ids_are_listed_while_the_server_has_the_map_open() {
    let scratch = configured("");
    let (code, out, _) = said(scratch.path(), &["ids"]);
    assert_eq!((code, out.trim()), (0, "There are no entries in the list."));
    let range = DomainRange { domain: String::from("CORP"), first: 10_000, last: 49_999 };
    let map = IdMap::open(&scratch.path().join("state"), Rules::Rid(vec![range])).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    map.record(Sid::of_domain([1, 2, 3], 1104), Kind::Group, 700).unwrap();
    map.remember(Sid::of_domain([1, 2, 3], 1103), Kind::User, "CORP\\carol").unwrap();
    let (code, out, _) = said(scratch.path(), &["ids"]);
    assert_eq!(code, 0);
    assert!(out.contains("10000-49999") && out.contains("11103       CORP\\carol"), "{out}");
    let (_, out, _) = said(scratch.path(), &["ids", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let ids = &told["ids"];
    assert_eq!(ids["ranges"][0]["sid"], "S-1-5-21-1-2-3");
    assert_eq!(ids["entries"][0]["name"], "CORP\\carol");
    assert_eq!(ids["entries"][1]["source"], "name-service");
}

#[test]
fn ranges_of_samba_are_imported_only_if_the_settings_agree_and_no_server_runs() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: the import is root's");
        return;
    }
    let text = "RANGE 0: ALLOC\nRANGE 3: S-1-5-21-1-2-3\n";
    let autorid = "[domain]\nrealm = \"CORP.EXAMPLE\"\nids = \"autorid\"\nid_ranges = [{ first = 1000000, last = 1999999 }]\n";
    let scratch = configured(autorid);
    let file = scratch.path().join("ranges");
    fs::write(&file, text).unwrap();
    let import = ["ids", "import", file.to_str().unwrap()];
    let (code, out, error) = said(scratch.path(), &import);
    assert_eq!((code, out.trim()), (0, "2 ranges and 0 ids were taken over."), "{error}");
    let rules = Rules::Autorid { first: 1_000_000, last: 1_999_999, range_size: 100_000 };
    let map = IdMap::open(&scratch.path().join("state"), rules).unwrap();
    assert_eq!(map.uid(Sid::of_domain([1, 2, 3], 1103)), Some(1_301_103));
    let (code, _, error) = said(scratch.path(), &import);
    assert!(code == 1 && error.contains("in use by another process"), "{error}");
    let other = configured("[domain]\nrealm = \"CORP.EXAMPLE\"\n");
    let (code, _, error) = said(other.path(), &import);
    assert!(code == 1 && error.contains("autorid"), "{error}");
    assert!(!other.path().join("state/domain-ids.sqlite").exists());
}
