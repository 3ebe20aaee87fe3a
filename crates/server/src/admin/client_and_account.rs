//! Client computers and accounts in the spelling of administrators.

use control::address;
use registry::UserKind;

use super::Error;

/// A client, by its address or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Computer(String);

impl Computer {
    /// The computer with this spelling, with or without leading backslashes; `None` for an empty text.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let bare = text.trim_start_matches('\\');
        let canonical = address::parse(bare).map_or_else(|| bare.to_owned(), |it| it.to_string());
        (!canonical.is_empty()).then_some(Self(canonical))
    }

    /// The computer in a parameter of MS-SRVS, which begins with two backslashes (MS-SRVS 3.1.4.5).
    pub(crate) fn parameter(text: Option<&str>) -> Result<Option<Self>, Error> {
        match text {
            None | Some("") => Ok(None),
            Some(text) if text.starts_with(r"\\") => Self::new(text).map(Some).ok_or(Error::InvalidComputer),
            Some(_) => Err(Error::InvalidComputer),
        }
    }

    /// The address in its shortest form, or the name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account: `user`, or `DOMAIN\user` if the domain must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountFilter {
    domain: Option<String>,
    user: String,
}

impl AccountFilter {
    /// The account with this spelling; `None` for an empty text.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (domain, user) = match text.split_once('\\') {
            Some((domain, user)) => (Some(domain.to_lowercase()), user),
            None => (None, text),
        };
        (!user.is_empty()).then(|| Self { domain, user: user.to_lowercase() })
    }

    /// True if the user is this account. A guest never is, under any name.
    pub(crate) fn is(&self, kind: UserKind, domain: &str, user: &str) -> bool {
        kind == UserKind::Account
            && self.domain.as_ref().is_none_or(|meant| *meant == domain.to_lowercase())
            && self.user == user.to_lowercase()
    }

    /// The user's name, in lower case.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computers_of_parameters_begin_with_backslashes() {
        assert_eq!(Computer::parameter(None), Ok(None));
        assert_eq!(Computer::parameter(Some("")), Ok(None));
        assert_eq!(Computer::parameter(Some(r"\\[::FFFF:192.0.2.1]")), Ok(Computer::new("192.0.2.1")));
        for bad in ["192.0.2.1", r"\192.0.2.1", r"\\"] {
            assert_eq!(Computer::parameter(Some(bad)), Err(Error::InvalidComputer), "{bad}");
        }
    }

    #[test]
    fn the_domain_must_match_if_it_is_given() {
        let is = |meant, domain, user| {
            let meant = AccountFilter::new(meant);
            let guest = meant.as_ref().is_some_and(|it| it.is(UserKind::Guest, domain, user));
            assert!(!guest, "a guest has no account");
            meant.is_some_and(|it| it.is(UserKind::Account, domain, user))
        };
        assert!(is("ALICE", "DOM", "alice"));
        assert!(is(r"dom\alice", "DOM", "Alice"));
        assert!(!is(r"other\alice", "DOM", "alice"));
        assert_eq!(AccountFilter::new(""), None);
        assert_eq!(AccountFilter::new(r"dom\"), None);
    }
}
