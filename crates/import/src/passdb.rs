//! Samba's accounts: passdb.tdb, and files in smbpasswd format, as `pdbedit -L -w` prints it.
//!
//! passdb.tdb has a record `USER_name` for each account. In versions 3 and 4 of the database it contains, in
//! little-endian order: seven times (logon, logoff, kickoff, last wrong password, last change, next change, expiry),
//! twelve strings (the first is the name), the relative ids of user and group, the LM hash, the NT hash, the history of
//! hashes, the flags, and more. Each string and hash has its length before it.

use thiserror::Error;
use wire::security::Sid;
use zeroize::Zeroizing;

use crate::smbconf::Charset;
use crate::tdb::{Tdb, TdbError};

/// An account of Samba.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The Unix user id in the file; `None` if the file has none.
    pub uid: Option<u32>,
    /// The relative id in the SID; `None` if the file has none.
    pub rid: Option<u32>,
    /// The NT hash of the password; `None` for an account without a password.
    pub nt_hash: Option<Zeroizing<[u8; 16]>>,
    /// The flags, as smbpasswd files have them between brackets.
    pub flags: String,
    /// The time of the last change of the password, in seconds since 1970; 0 if the user must change
    /// it, `None` if it is not known.
    pub last_change: Option<u32>,
}

impl core::fmt::Debug for Account {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { name, uid, rid, flags, .. } = self;
        let mut shown = f.debug_struct("Account");
        shown
            .field("name", name)
            .field("uid", uid)
            .field("rid", rid)
            .field("flags", flags)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// True if the account is a computer's or a trusted domain's.
    pub fn is_machine(&self) -> bool {
        self.name.ends_with('$') || self.flags.contains(['W', 'S', 'I'])
    }

    /// True if the account is that of guests, which Samba lists although it has no password.
    pub fn is_guest(&self) -> bool {
        self.rid == Some(GUEST_RID)
    }
}

/// The reasons that accounts cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccountsError {
    /// The database cannot be read.
    #[error(transparent)]
    Tdb(#[from] TdbError),
    /// The database is of another version.
    #[error(
        "accounts of version {0}, which only a newer `pdbedit -L` converts; import the output of `pdbedit -L -w`"
    )]
    Version(u32),
    /// A record is not of the form of an account.
    #[error("the account {0:?} is cut or damaged")]
    Damaged(String),
    /// The smbpasswd file has a wrong line.
    #[error(transparent)]
    Smbpasswd(#[from] auth::users::ParseError),
    /// The file is neither a database nor text.
    #[error("neither a passdb.tdb nor an smbpasswd file")]
    Neither,
}

/// Reads accounts from a passdb.tdb or an smbpasswd file, in the order of their names.
pub fn accounts(bytes: &[u8], charset: &Charset) -> Result<Vec<Account>, AccountsError> {
    let mut accounts = match Tdb::open(bytes) {
        Ok(tdb) => of_tdb(&tdb, charset)?,
        Err(TdbError::NotTdb) if bytes.contains(&0) => return Err(AccountsError::Neither),
        Err(TdbError::NotTdb) => of_smbpasswd(bytes, charset)?,
        Err(error) => return Err(error.into()),
    };
    accounts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(accounts)
}

fn of_tdb(tdb: &Tdb<'_>, charset: &Charset) -> Result<Vec<Account>, AccountsError> {
    let records = tdb.records()?;
    let version = records.iter().find(|(key, _)| *key == b"INFO/version\0").map(|(_, data)| *data);
    let version = version.and_then(|data| data.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    if !VERSIONS.contains(&version) {
        return Err(AccountsError::Version(version));
    }
    let of_users = records.iter().filter_map(|(key, data)| Some((key.strip_prefix(b"USER_")?, *data)));
    of_users
        .map(|(key, data)| {
            let name = || charset.text(key.strip_suffix(b"\0").unwrap_or(key));
            of_record(data, charset).ok_or_else(|| AccountsError::Damaged(name()))
        })
        .collect()
}

fn of_record(data: &[u8], charset: &Charset) -> Option<Account> {
    let mut fields = Fields { rest: data };
    let times: Vec<u32> = (0..7).map(|_| fields.number()).collect::<Option<_>>()?;
    let name = fields.bytes()?;
    for _ in 1..12 {
        fields.bytes()?;
    }
    let (rid, _group) = (fields.number()?, fields.number()?);
    let (_lm, nt, _history) = (fields.bytes()?, fields.bytes()?, fields.bytes()?);
    let flags = fields.number()?;
    let nt_hash = match nt {
        [] => None,
        hash => Some(Zeroizing::new(*<&[u8; 16]>::try_from(hash).ok()?)),
    };
    Some(Account {
        name: charset.text(name.strip_suffix(b"\0").unwrap_or(name)),
        uid: None,
        rid: Some(rid),
        nt_hash,
        flags: FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| *letter).collect(),
        last_change: times.get(4).copied(),
    })
}

/// The fields of a record, which are little-endian on every machine.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

fn of_smbpasswd(bytes: &[u8], charset: &Charset) -> Result<Vec<Account>, AccountsError> {
    let text = Zeroizing::new(charset.text(bytes));
    let users = auth::UserDb::parse(&text)?;
    let account = |user: &auth::users::User| Account {
        name: user.name.clone(),
        uid: Some(user.uid).filter(|uid| *uid != u32::MAX),
        rid: None,
        nt_hash: user.nt_hash.map(Zeroizing::new),
        flags: user.flags.as_str().to_owned(),
        last_change: match user.last_change.to_unix() {
            _ if user.last_change == wire::FileTime::NONE => None,
            (seconds, _) => u32::try_from(seconds).ok(),
        },
    };
    Ok(users.users().map(account).collect())
}

/// The SID of the server that issued the SIDs of accounts, from secrets.tdb. `name` is the server's NetBIOS name.
pub fn machine_sid(secrets: &[u8], name: &str) -> Result<Option<Sid>, TdbError> {
    let tdb = Tdb::open(secrets)?;
    let key = format!("SECRETS/SID/{}", name.to_ascii_uppercase());
    let Some(data) = tdb.get(key.as_bytes())? else { return Ok(None) };
    // The revision, the number of sub-authorities, the authority in six bytes, and fifteen sub-authorities.
    let parts = || {
        let [1, count @ 1..=15, 0, 0, a, b, c, d] = *data.first_chunk::<8>()? else { return None };
        let (numbers, _) = data.get(8..)?.as_chunks::<4>();
        let numbers: Vec<u32> =
            numbers.iter().take(usize::from(count)).map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let text = numbers.iter().map(|it| format!("-{it}")).collect::<String>();
        format!("S-1-{}{text}", u32::from_be_bytes([a, b, c, d])).parse::<Sid>().ok()
    };
    Ok(parts())
}

/// The versions of the database that have this form.
const VERSIONS: std::ops::RangeInclusive<u32> = 3..=4;

/// DOMAIN_USER_RID_GUEST (MS-DTYP 2.4.2.4).
const GUEST_RID: u32 = 501;

/// The flags of an account (MS-SAMR 2.2.1.12, the same bits) and their letters in smbpasswd files.
const FLAGS: [(u32, char); 11] = [
    (0x0004, 'N'),
    (0x0001, 'D'),
    (0x0002, 'H'),
    (0x0008, 'T'),
    (0x0010, 'U'),
    (0x0020, 'M'),
    (0x0080, 'W'),
    (0x0100, 'S'),
    (0x0400, 'L'),
    (0x0200, 'X'),
    (0x0040, 'I'),
];

#[cfg(any(test, feature = "testing"))]
pub mod make {
    //! Makes databases of accounts, for tests.

    /// The record of an account.
    pub fn record(name: &str, rid: u32, nt_hash: &[u8], flags: u32, last_change: u32) -> Vec<u8> {
        let mut data = Vec::new();
        let mut field = |bytes: &[u8]| {
            data.extend((bytes.len() as u32).to_le_bytes());
            data.extend(bytes);
        };
        field(format!("{name}\0").as_bytes());
        for _ in 1..12 {
            field(b"");
        }
        let strings = data;
        let mut data: Vec<u8> =
            [0, 0, 0, 0, last_change, 0, 0].iter().flat_map(|it: &u32| it.to_le_bytes()).collect();
        data.extend(strings);
        data.extend([rid, 513, 0, nt_hash.len() as u32].iter().flat_map(|it| it.to_le_bytes()));
        data.extend(nt_hash);
        data.extend([0, flags].iter().flat_map(|it: &u32| it.to_le_bytes()));
        data
    }

    /// A database of version 4.
    pub fn passdb(accounts: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let keys: Vec<String> = accounts.iter().map(|(name, _)| format!("USER_{name}\0")).collect();
        let mut records: Vec<(&[u8], &[u8])> =
            vec![(b"INFO/version\0", b"\x04\0\0\0"), (b"NEXT_RID\0", b"\xe8\x03\0\0")];
        records.extend(keys.iter().zip(accounts).map(|(key, (_, data))| (key.as_bytes(), data.as_slice())));
        crate::tdb::make::tdb(&records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_a_database_are_read() {
        let bytes = make::passdb(&[
            ("bob", make::record("Bob", 1001, &[7; 16], 0x211, 0x5000_0000)),
            ("ann", make::record("ann", 1000, &[], 0x10, 0)),
            ("pc$", make::record("pc$", 1002, &[1; 16], 0x80, 1)),
        ]);
        let accounts = accounts(&bytes, &Charset::Utf8).unwrap();
        let [bob, ann, pc] = accounts.as_slice() else { panic!("{accounts:?}") };
        assert_eq!((bob.name.as_str(), bob.rid, bob.flags.as_str()), ("Bob", Some(1001), "DUX"));
        assert_eq!((bob.nt_hash.as_deref(), bob.last_change), (Some(&[7; 16]), Some(0x5000_0000)));
        assert_eq!((ann.name.as_str(), &ann.nt_hash), ("ann", &None));
        assert!(pc.is_machine() && !bob.is_machine());
    }

    #[test]
    fn cut_records_and_other_versions_are_refused() {
        let whole = make::record("bob", 1001, &[7; 16], 0x10, 0);
        for length in 0..whole.len() {
            let bytes = make::passdb(&[("bob", whole[..length].to_vec())]);
            assert_eq!(accounts(&bytes, &Charset::Utf8), Err(AccountsError::Damaged(String::from("bob"))));
        }
        let old = crate::tdb::make::tdb(&[(b"INFO/version\0", b"\x02\0\0\0")]);
        assert_eq!(accounts(&old, &Charset::Utf8), Err(AccountsError::Version(2)));
        assert_eq!(accounts(b"SQLite format 3\0", &Charset::Utf8), Err(AccountsError::Neither));
    }

    #[test]
    fn smbpasswd_files_are_read() {
        let text = "# comment\nbob:1001:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:5D9B49108832DEB62E3AD6B5A0679FC3:[DUX        ]:\
                    LCT-6B0CA919:\nann:4294967295:X:NO PASSWORDXXXXXXXXXXXXXXXXXXXXX:[NU         ]:LCT-00000000:\n";
        let accounts = accounts(text.as_bytes(), &Charset::Utf8).unwrap();
        assert_eq!((accounts[0].name.as_str(), accounts[0].uid), ("ann", None));
        assert_eq!((accounts[1].uid, accounts[1].last_change), (Some(1001), Some(0x6B0C_A919)));
        assert_eq!(accounts[1].flags, "DUX");
    }

    #[test]
    fn the_machines_sid_is_found_by_its_name() {
        let mut sid = vec![1, 4, 0, 0, 0, 0, 0, 5];
        for number in [21u32, 1, 2, 4_000_000_000] {
            sid.extend(number.to_le_bytes());
        }
        sid.resize(68, 0);
        let secrets = crate::tdb::make::tdb(&[(b"SECRETS/SID/OLD", &sid), (b"SECRETS/SID/BAD", b"\x01")]);
        let text = machine_sid(&secrets, "old").unwrap().map(|sid| sid.to_string());
        assert_eq!(text.as_deref(), Some("S-1-5-21-1-2-4000000000"));
        assert_eq!(machine_sid(&secrets, "other"), Ok(None));
        assert_eq!(machine_sid(&secrets, "bad"), Ok(None));
    }
}
