//! The SIDs of users on the server that had their files before.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use wire::AccountName;
use wire::security::Sid;

use crate::core::limits::USER_SIDS_BYTES_MAX;

/// The SIDs in the file `user-sids` of the state directory: each line has a user's name and the SID that stands for the
/// user in stored descriptors. Samba numbers users in the order of their creation, so the SIDs cannot be derived from
/// names.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserSids(HashMap<AccountName, Sid>);

impl UserSids {
    /// Reads the list, if it exists.
    pub(crate) fn load(state_directory: &Path) -> Self {
        let path = state_directory.join(FILE_NAME);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot read the list of users' SIDs; descriptors of another server do not apply to its users");
                return Self::default();
            }
        };
        let (sids, wrong) = Self::parse(&text);
        for line in wrong {
            tracing::warn!(path = %path.display(), line, "the line has no user name and SID and is ignored");
        }
        sids
    }

    /// Checks every line of the list, if it exists.
    pub(crate) fn check(state_directory: &Path) -> Result<(), String> {
        let path = state_directory.join(FILE_NAME);
        match read(&path) {
            Ok(text) => match Self::parse(&text).1.as_slice() {
                [] => Ok(()),
                lines => {
                    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
                    Err(format!("{}: not a user's name and SID in line {}", path.display(), lines.join(", ")))
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// The SID of a user, by name in any case.
    pub(crate) fn of(&self, name: &str) -> Option<Sid> {
        self.0.get(&AccountName::new(name)).copied()
    }

    /// Parses a list, and returns it with the numbers of the lines that are malformed.
    fn parse(text: &str) -> (Self, Vec<usize>) {
        let mut sids = HashMap::new();
        let mut wrong = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = line.trim_end().rsplit_once(char::is_whitespace);
            let sid = entry.and_then(|(_, sid)| sid.parse().ok()).filter(|sid| domain_users(*sid).is_some());
            match entry.zip(sid) {
                Some(((name, _), sid)) => _ = sids.insert(AccountName::new(name.trim()), sid),
                None => wrong.push(number),
            }
        }
        (Self(sids), wrong)
    }
}

/// The SID of the group of all users of the domain or machine of `user`.
pub(crate) fn domain_users(user: Sid) -> Option<Sid> {
    match (user.authority(), user.sub_authorities()) {
        (5, [21, a, b, c, _]) => Some(Sid::of_domain([*a, *b, *c], DOMAIN_USERS)),
        _ => None,
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.take(USER_SIDS_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > USER_SIDS_BYTES_MAX {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

const FILE_NAME: &str = "user-sids";

/// DOMAIN_GROUP_RID_USERS (MS-DTYP 2.4.2.4), Samba's primary group of all users.
const DOMAIN_USERS: u32 = 513;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_name_and_a_sid() {
        let (sids, wrong) = UserSids::parse(
            "# from pdbedit\nAlice S-1-5-21-1-2-3-1000\n\nann with spaces\tS-1-5-21-1-2-3-1001\n\
             bob\nS-1-5-21-1-2-3-1002\ncarl S-1-5-32-544\n",
        );
        assert_eq!(sids.of("ALICE"), Some(Sid::of_domain([1, 2, 3], 1000)));
        assert_eq!(sids.of("ann with spaces"), Some(Sid::of_domain([1, 2, 3], 1001)));
        assert_eq!(wrong, [5, 6, 7]);
        assert_eq!(sids.of("bob"), None);
    }

    #[test]
    fn every_user_of_a_domain_is_in_domain_users() {
        assert_eq!(domain_users(Sid::of_domain([1, 2, 3], 7)), Some(Sid::of_domain([1, 2, 3], 513)));
        assert_eq!(domain_users(Sid::ADMINISTRATORS), None);
    }
}
