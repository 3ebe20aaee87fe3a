//! The comparison of names, of which there is one for files, streams, shares and accounts: simple upper case of the basic
//! plane, one character to one (MS-FSA 2.1.4.4). The table is Rust's; that of NTFS differs in some Greek letters and µ.

use std::borrow::Borrow;
use std::sync::Arc;

/// The upper case of `c` as names are compared.
///
/// No character beyond ASCII becomes ASCII (dotless i, long s, Kelvin), so that an ASCII name only ever equals ASCII
/// names.
pub fn upcase(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    if u32::from(c) > 0xffff {
        return c;
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) if !one.is_ascii() && u32::from(one) <= 0xffff => one,
        _ => c,
    }
}

/// The upper case of a name as names are compared.
pub fn upper(name: &str) -> String {
    name.chars().map(upcase).collect()
}

/// True if two names are equal, ignoring case.
pub fn eq_ignore_case(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().map(upcase).eq(other.chars().map(upcase))
}

/// The part of a path behind a directory, both spelled alike: empty for the directory itself, and else beginning with a
/// separator. `None` for a path elsewhere. Everything is below an empty directory.
pub fn rest_below<'a>(path: &'a str, directory: &str, separators: &[char]) -> Option<&'a str> {
    let rest = path.strip_prefix(directory)?;
    (directory.is_empty() || rest.is_empty() || rest.starts_with(separators)).then_some(rest)
}

/// The part of a path behind a directory, without separators at its beginning; `None` for a path elsewhere. Case, the kind
/// of separators, and those at the beginning and the end do not count, and everything is below an empty directory.
pub fn path_below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let is_separator = ['\\', '/'];
    let mut rest = path.trim_start_matches(is_separator);
    for wanted in directory.split(is_separator).filter(|it| !it.is_empty()) {
        let (name, behind) = rest.split_once(is_separator).unwrap_or((rest, ""));
        if !eq_ignore_case(name, wanted) {
            return None;
        }
        rest = behind.trim_start_matches(is_separator);
    }
    Some(rest)
}

/// The characters that end a component of a path in a share. The last one begins a stream's name.
pub const SEPARATORS: [char; 2] = ['\\', ':'];

/// A name or path in lower case, as far as that is its own: names that differ in case only are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(Arc<str>);

impl FoldedName {
    /// The folded form of `name`.
    pub fn new(name: &str) -> Self {
        if name.is_ascii() {
            let mut folded: Arc<str> = Arc::from(name);
            Arc::make_mut(&mut folded).make_ascii_lowercase();
            return Self(folded);
        }
        Self(name.chars().map(fold).collect::<String>().into())
    }

    /// The folded form of `name`, which it shares if they are the same.
    pub fn of(name: &Arc<str>) -> Self {
        let is_folded = name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        if is_folded { Self(Arc::clone(name)) } else { Self::new(name) }
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The paths of all directories above this one, and this one.
    pub fn path_and_ancestors(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices(SEPARATORS).map(|(end, _)| end).chain([self.0.len()]);
        ends.filter_map(|end| self.0.get(..end))
    }

    /// The beginning of all paths below this one, behind this separator.
    pub fn followed_by(&self, separator: char) -> Self {
        Self(format!("{}{separator}", self.0).into())
    }

    /// As [`rest_below`], for paths in a share and streams of files there.
    pub fn rest_below(&self, directory: &Self) -> Option<&str> {
        rest_below(&self.0, &directory.0, &SEPARATORS)
    }
}

/// Tables are searched for a part of a folded path without a copy of it; both compare alike.
impl Borrow<str> for FoldedName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The lower case of what `c` compares as, if that compares the same.
fn fold(c: char) -> char {
    let upper = upcase(c);
    let mut lower = upper.to_lowercase();
    lower.next().filter(|lower| upcase(*lower) == upper).unwrap_or(upper)
}

/// A share's name as it is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareName(FoldedName);

impl ShareName {
    /// The share called `name`, in any case.
    pub fn new(name: &str) -> Self {
        Self(FoldedName::new(name))
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// An account's name as it is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(FoldedName);

impl AccountName {
    /// The account called `name`, in any case.
    pub fn new(name: &str) -> Self {
        Self(FoldedName::new(name))
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// An account as administrators spell it: `user`, or `DOMAIN\user` where the domain counts too.
///
/// Users of a domain that the server is a member of have their domain in their name: `CORP\carol` is another account
/// than `carol`, which is one of the server itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    domain: Option<FoldedName>,
    /// The account's name.
    pub user: AccountName,
}

impl Account {
    /// The account that `text` spells.
    pub fn new(text: &str) -> Self {
        match text.split_once('\\') {
            Some((domain, user)) => {
                Self { domain: Some(FoldedName::new(domain)), user: AccountName::new(user) }
            }
            None => Self { domain: None, user: AccountName::new(text) },
        }
    }

    /// True if the domain is the right one, or does not count.
    pub fn is_in(&self, domain: &str) -> bool {
        self.domain.as_ref().is_none_or(|own| *own == FoldedName::new(domain))
    }

    /// True if the account called `user` is the one. If `user` has a domain in it, that counts; otherwise `domain`
    /// does, which the client of the account named.
    pub fn is(&self, domain: &str, user: &str) -> bool {
        self.is_named(domain, &AccountName::new(user))
    }

    /// As [`Self::is`], for a name that is folded already.
    pub fn is_named(&self, domain: &str, user: &AccountName) -> bool {
        match user.as_str().split_once('\\') {
            Some((domain, user)) => {
                self.user.as_str() == user && self.domain.as_ref().is_some_and(|own| own.as_str() == domain)
            }
            None => self.user == *user && self.is_in(domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_as_windows_does() {
        for (left, right) in [
            ("abc", "ABC"),
            ("Größe.TXT", "GRÖßE.txt"),
            ("страница", "СТРАНИЦА"),
            ("ÿ", "Ÿ"),
            ("νικος", "ΝΙΚΟΣ"),
        ] {
            assert!(eq_ignore_case(left, right), "{left} {right}");
            assert_eq!(FoldedName::new(left), FoldedName::new(right));
            assert_eq!(upper(left), upper(right));
        }
        for (left, right) in [
            ("straße", "STRASSE"),
            ("ı", "I"),
            ("ſ", "S"),
            ("\u{212a}", "k"),
            ("𐐨", "𐐀"),
            ("a", "b"),
            ("a", "aa"),
        ] {
            assert!(!eq_ignore_case(left, right), "{left} {right}");
            assert_ne!(FoldedName::new(left), FoldedName::new(right));
            assert_ne!(upper(left), upper(right));
        }
    }

    #[test]
    fn folding_is_idempotent() {
        for c in (0..=0xffff).filter_map(char::from_u32) {
            let once = FoldedName::new(c.encode_utf8(&mut [0; 4]));
            assert_eq!(FoldedName::new(once.as_str()), once, "{c:?}");
            assert_eq!(FoldedName::of(&once.0), once, "{c:?}");
            assert_eq!(upcase(upcase(c)), upcase(c), "{c:?}");
            assert_eq!(once.as_str().is_ascii(), c.is_ascii(), "{c:?}");
        }
    }

    #[test]
    fn accounts_of_domains_are_other_accounts_than_those_without() {
        let is = |spelled, domain, user| Account::new(spelled).is(domain, user);
        assert!(is("ALICE", "ANY", "alice") && is(r"any\ALICE", "ANY", "alice"));
        assert!(!is(r"other\alice", "ANY", "alice"));
        assert!(is(r"corp\Carol", "", r"CORP\carol"));
        assert!(!is("carol", "CORP", r"CORP\carol"), "a plain name is an account of the server");
        assert!(!is(r"EU\carol", "CORP", r"CORP\carol"));
    }

    #[test]
    fn paths_are_below_directories_at_separators_only() {
        for (path, directory, rest) in [
            (r"a\b", "a", Some(r"\b")),
            ("a/b", "a", Some("/b")),
            ("a:s", "a", Some(":s")),
            ("a", "a", Some("")),
            ("ab", "a", None),
            ("a", "ab", None),
            ("ab", "", Some("ab")),
            ("", "", Some("")),
        ] {
            assert_eq!(rest_below(path, directory, &['\\', '/', ':']), rest, "{path} {directory}");
        }
        let path = FoldedName::new(r"A\Ü:s");
        let all: Vec<FoldedName> = path.path_and_ancestors().map(FoldedName::new).collect();
        assert_eq!(all, ["a", r"a\Ü", r"a\Ü:s"].map(FoldedName::new));
        assert!(all.iter().all(|it| path.rest_below(it).is_some()));
    }

    #[test]
    fn paths_are_below_directories_in_any_spelling() {
        for (path, directory, rest) in [
            (r"C:\SRV\Data\A\b", "c:/srv/data/", Some(r"A\b")),
            ("/ⱥ/x", r"Ⱥ", Some("x")),
            (r"\a", "a", Some("")),
            ("ab", "a", None),
            ("a", r"a\b", None),
            ("a", "", Some("a")),
        ] {
            assert_eq!(path_below(path, directory), rest, "{path} {directory}");
        }
    }
}
