//! The configuration and the accounts of a Samba server.

use std::path::Path;

use auth::UserDb;
use import::passdb::{accounts, machine_sid};
use import::report::ShareOutcome;
use import::smbconf::{Charset, load};
use import::testing::Machine;
use import::translate::{Places, translate};
use import::users::{merge, user_sids};
use server::config::{Settings, parse};

const CONFIG: &str = "/etc/samba/smb.conf";

/// smb.conf, with files that it may include: every line has an answer, and the server accepts the translation.
pub fn smbconf(data: &[u8]) {
    let machine = Machine::default()
        .with_file(CONFIG, data)
        .with_file("/i", "[included]\npath = /i\n")
        .with_user("ann", 1001, &["staff"]);
    let Ok(config) = load(Path::new(CONFIG), &machine) else { return };
    let translation = translate(&config, &[String::from("ann")], &Places::default(), &machine);
    assert_eq!(translation.entries.len(), config.lines.len());
    let mut defaults = Settings::conventional(true, |_| None);
    defaults.name = String::from("OLDBOX");
    let settings = parse(&translation.toml, Path::new("/"), defaults).expect("a configuration");
    let served = translation.shares.iter().filter(|it| it.outcome == ShareOutcome::Share).count();
    assert_eq!(settings.shares.len(), served);
}

/// passdb.tdb, secrets.tdb or an smbpasswd file: the users file that they become is one.
pub fn passdb(data: &[u8]) {
    let _ = machine_sid(data, "OLDBOX");
    let Ok(accounts) = accounts(data, &Charset::Utf8) else { return };
    let merged = merge("", &accounts, &Machine::default()).expect("an empty file is one");
    let users = UserDb::parse(&merged.text).expect("a users file");
    assert_eq!(users.users().count(), merged.added.len());
    let sids = user_sids(&accounts, "S-1-5-21-1-2-3".parse().expect("a SID"));
    assert!(sids.lines().count() <= accounts.len());
}
