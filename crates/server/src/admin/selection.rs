//! The filters of administrators' lists and acts.

use control::address;
use registry::{ClientName, Filter};
use wire::Account;

use super::Error;

/// The conditions that select sessions, tree connects or opens; without conditions, all match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) filter: Filter,
    /// The beginning of the paths on the server's disk (`BasePath` of MS-SRVS 3.1.4.2).
    pub(crate) base_path: Option<String>,
    /// True to select only the caller's own.
    pub(crate) mine: bool,
}

impl Selection {
    /// The condition of a client and a user, as administrators spell them. An empty text is no condition.
    pub(crate) fn of(client: Option<&str>, user: Option<&str>) -> Self {
        let account = user.map(Account::new).filter(|it| it.user != Default::default());
        Self {
            filter: Filter { client: client.and_then(client_name), account, ..Filter::default() },
            ..Self::default()
        }
    }

    /// As [`Self::of`], with the client in a parameter of MS-SRVS, which begins with two backslashes (MS-SRVS 3.1.4.5).
    pub(crate) fn of_parameters(client: Option<&str>, user: Option<&str>) -> Result<Self, Error> {
        let client = client.filter(|it| !it.is_empty());
        if client.is_some_and(|it| !it.starts_with(r"\\") || client_name(it).is_none()) {
            return Err(Error::InvalidComputer);
        }
        Ok(Self::of(client, user))
    }
}

/// The client with this spelling; `None` for an empty text.
fn client_name(text: &str) -> Option<ClientName> {
    let name = address::parse(text).map_or_else(|| address::bare(text).to_owned(), |it| it.to_string());
    (!name.is_empty()).then(|| ClientName::new(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computers_of_parameters_begin_with_backslashes() {
        let of_client = |text| Selection::of_parameters(Some(text), None);
        assert_eq!(Selection::of_parameters(None, None), Ok(Selection::default()));
        assert_eq!(of_client(""), Ok(Selection::default()));
        assert_eq!(of_client(r"\\[::FFFF:192.0.2.1]"), Ok(Selection::of(Some("192.0.2.1"), None)));
        for bad in ["192.0.2.1", r"\192.0.2.1", r"\\"] {
            assert_eq!(of_client(bad), Err(Error::InvalidComputer), "{bad}");
        }
    }

    #[test]
    fn the_domain_counts_where_it_is_given() {
        let is = |meant, domain, user| {
            Selection::of(None, Some(meant)).filter.account.is_some_and(|it: Account| it.is(domain, user))
        };
        assert!(is("ALICE", "DOM", "alice"));
        assert!(is(r"dom\alice", "DOM", "Alice"));
        assert!(!is(r"other\alice", "DOM", "alice"));
        assert_eq!(Selection::of(None, Some("")), Selection::default());
        assert_eq!(Selection::of(None, Some(r"dom\")), Selection::default());
    }
}
