//! The rules of an account for which smbpasswd has no field. They follow the known fields, as
//! `shareward expires=SECONDS hours=HEX fixed old=HASH,HASH:`. Samba ignores that text when it reads the file, and drops it when it
//! changes the line.

use core::fmt::Write as _;

use wire::FileTime;
use zeroize::Zeroize as _;

use crate::limits::OLD_PASSWORDS_MAX;

/// The rules of an account.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AccountRules {
    /// The time from which on the account cannot log on.
    pub expires: Option<FileTime>,
    /// The hours of the week at which the account can log on (MS-SAMR 2.2.6.5): a bit for each, the lowest of the first octet
    /// for midnight of Sunday in UTC; `None` for all hours.
    pub logon_hours: Option<[u8; 21]>,
    /// True if the user may not change the password.
    pub is_password_fixed: bool,
    /// The NT hashes of the passwords before the current one, newest first.
    pub old_hashes: Vec<[u8; 16]>,
}

impl AccountRules {
    /// True if the account can log on at the hour of a time.
    pub(super) fn permits_hour(&self, time: FileTime) -> bool {
        let Some(hours) = &self.logon_hours else { return true };
        let seconds = time.to_unix().0;
        // 1970 began on a Thursday, the fifth day of the week.
        let day = seconds.div_euclid(86_400).saturating_add(4).rem_euclid(7);
        let hour = day.saturating_mul(24).saturating_add(seconds.rem_euclid(86_400) / 3600);
        let octet = usize::try_from(hour / 8).ok().and_then(|octet| hours.get(octet)).copied().unwrap_or(0);
        octet >> (hour % 8) & 1 == 1
    }

    /// The rules at the start of a text, and the text after them. A text without a rule is another program's.
    pub(super) fn parse(text: &str) -> (Self, &str) {
        let mut rules = Self::default();
        let (own, rest) = text.split_once(':').unwrap_or((text, ""));
        let Some(words) = own.strip_prefix(MARK).filter(|words| words.starts_with(' ')) else {
            return (rules, text);
        };
        for word in words.split_ascii_whitespace() {
            match word.split_once('=') {
                None if word == "fixed" => rules.is_password_fixed = true,
                Some(("expires", seconds)) => {
                    rules.expires = seconds.parse().ok().map(of_seconds);
                }
                Some(("hours", digits)) => rules.logon_hours = hours(digits),
                Some(("old", hashes)) => {
                    rules.old_hashes = hashes.split(',').filter_map(hash).take(OLD_PASSWORDS_MAX).collect();
                }
                _ => {}
            }
        }
        if rules == Self::default() { (rules, text) } else { (rules, rest) }
    }

    /// Writes the rules, if there are any, and the text after them.
    pub(super) fn write(&self, line: &mut String, rest: &str) {
        if *self != Self::default() {
            line.push_str(MARK);
            if let Some(expires) = self.expires {
                let _ = write!(line, " expires={}", expires.to_unix().0);
            }
            if let Some(hours) = &self.logon_hours {
                line.push_str(" hours=");
                hours.iter().for_each(|byte| {
                    let _ = write!(line, "{byte:02X}");
                });
            }
            if self.is_password_fixed {
                line.push_str(" fixed");
            }
            for (index, hash) in self.old_hashes.iter().enumerate() {
                line.push_str(if index == 0 { " old=" } else { "," });
                hash.iter().for_each(|byte| {
                    let _ = write!(line, "{byte:02X}");
                });
            }
            line.push(':');
        }
        line.push_str(rest);
    }
}

impl Drop for AccountRules {
    fn drop(&mut self) {
        self.old_hashes.zeroize();
    }
}

/// The word that rules begin with.
const MARK: &str = "shareward";

/// The time, which is in the range of [`FileTime`], in whole seconds.
fn of_seconds(seconds: i64) -> FileTime {
    FileTime::from_unix(FileTime::from_unix(seconds, 0).to_unix().0, 0)
}

fn hours(digits: &str) -> Option<[u8; 21]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let octet = |pair: &[u8; 2]| {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let [high, low] = *pair;
        u8::try_from((digit(high)? << 4) | digit(low)?).ok()
    };
    let octets: Option<Vec<u8>> = pairs.iter().map(octet).collect();
    octets.filter(|_| rest.is_empty())?.try_into().ok()
}

fn hash(digits: &str) -> Option<[u8; 16]> {
    super::line::parse_hash(digits).ok().flatten()
}
