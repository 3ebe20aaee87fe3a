//! The accounts as lines of Shareward's users file.

use std::fmt::Write as _;

use auth::UserDb;
use wire::security::Sid;
use zeroize::Zeroizing;

use crate::passdb::Account;
use crate::system::System;

/// A users file with imported accounts.
#[derive(Debug)]
pub struct Merged {
    /// The text of the file.
    pub text: Zeroizing<String>,
    /// The accounts that were added.
    pub added: Vec<String>,
    /// The accounts that the file has already, and that stay as they are.
    pub kept: Vec<String>,
    /// The accounts of computers and guests, which are not users.
    pub left_out: Vec<String>,
    /// Accounts with names that the users file cannot have.
    pub impossible: Vec<String>,
    /// The added accounts without a Unix account.
    pub without_unix: Vec<String>,
}

/// Adds accounts to the text of a users file. An account that it has already is not changed.
pub fn merge(
    existing: &str,
    accounts: &[Account],
    system: &dyn System,
) -> Result<Merged, auth::users::ParseError> {
    let users = UserDb::parse(existing)?;
    let mut merged = Merged {
        text: Zeroizing::new(String::with_capacity(existing.len() + accounts.len() * 128)),
        added: Vec::new(),
        kept: Vec::new(),
        left_out: Vec::new(),
        impossible: Vec::new(),
        without_unix: Vec::new(),
    };
    merged.text.push_str(existing);
    if !existing.is_empty() && !existing.ends_with('\n') {
        merged.text.push('\n');
    }
    let mut seen = std::collections::HashSet::new();
    for account in accounts {
        let name = account.name.clone();
        if account.is_machine() || account.is_guest() {
            merged.left_out.push(name);
        } else if users.user(&name).is_some() {
            merged.kept.push(name);
        } else {
            let unix = system.uid(&name);
            let line = line(account, unix);
            // A name that would break the file is refused by the parser that reads it later.
            let is_good = UserDb::parse(&line).is_ok_and(|it| it.user(&name).is_some());
            if !is_good || !seen.insert(wire::AccountName::new(&name)) {
                merged.impossible.push(name);
                continue;
            }
            merged.text.push_str(&line);
            if unix.is_none() {
                merged.without_unix.push(name.clone());
            }
            merged.added.push(name);
        }
    }
    Ok(merged)
}

fn line(account: &Account, unix: Option<u32>) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(128));
    let uid = unix.or(account.uid).unwrap_or(u32::MAX);
    let _ = write!(line, "{}:{uid}:{NO_HASH}:", account.name);
    match &account.nt_hash {
        Some(hash) => hash.iter().for_each(|byte| {
            let _ = write!(line, "{byte:02X}");
        }),
        None => line.push_str(NO_HASH),
    }
    let _ = write!(line, ":[{:<11}]:", account.flags);
    if let Some(last_change) = account.last_change {
        let _ = write!(line, "LCT-{last_change:08X}");
    }
    line.push_str(":\n");
    line
}

/// The placeholder for a missing hash.
const NO_HASH: &str = "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX";

/// The text of the file `user-sids` of the state directory: a line for each account whose SID is known.
pub fn user_sids(accounts: &[Account], machine: Sid) -> String {
    let mut text = String::new();
    for account in accounts.iter().filter(|account| !account.is_machine() && !account.is_guest()) {
        if let Some(rid) = account.rid
            && !account.name.contains(['\n', '\r'])
        {
            let _ = writeln!(text, "{} {machine}-{rid}", account.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    fn account(name: &str, flags: &str) -> Account {
        let (uid, rid, last_change) = (Some(7), Some(1000), Some(0x5000_0000));
        let nt_hash = Some(Zeroizing::new([0xAB; 16]));
        Account { name: name.to_owned(), uid, rid, nt_hash, flags: flags.to_owned(), last_change }
    }

    #[test]
    fn an_unknown_time_of_change_remains_unknown() {
        let account = Account { last_change: None, ..account("ann", "U") };
        let merged = merge("", &[account], &Machine::default()).unwrap();
        assert!(merged.text.ends_with(":[U          ]::\n"), "{}", *merged.text);
    }

    #[test]
    fn accounts_that_exist_are_not_changed() {
        let machine = Machine::default().with_user("ann", 1001, &[]);
        let existing = "Bob:5:X:00000000000000000000000000000000:[U          ]:LCT-00000001:";
        let accounts = [account("ann", "UX"), account("bob", "U"), account("pc$", "W"), account("a:b", "U")];
        let merged = merge(existing, &accounts, &machine).unwrap();
        let line = "ann:1001:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:ABABABABABABABABABABABABABABABAB:[UX         ]:LCT-50000000:";
        assert_eq!(merged.text.as_str(), format!("{existing}\n{line}\n"));
        assert_eq!((merged.added, merged.kept), (vec!["ann".to_owned()], vec!["bob".to_owned()]));
        assert_eq!((merged.left_out, merged.impossible), (vec!["pc$".to_owned()], vec!["a:b".to_owned()]));
        assert!(merged.without_unix.is_empty());
    }

    #[test]
    fn sids_of_users_are_those_of_samba() {
        let machine: Sid = "S-1-5-21-1-2-3".parse().unwrap();
        assert_eq!(
            user_sids(&[account("ann", "U"), account("pc$", "W")], machine),
            "ann S-1-5-21-1-2-3-1000\n"
        );
    }
}
