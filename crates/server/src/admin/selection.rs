//! The filters of administrators' lists and acts.

use control::address;
use registry::{ClientName, Filter};

use super::Error;
use crate::core::server::Server;

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
    pub(crate) fn of(server: &Server, client: Option<&str>, user: Option<&str>) -> Self {
        let (account, sid) = user
            .filter(|it| !it.is_empty())
            .map(|it| server.user_meant(it))
            .filter(|(account, _)| account.user != Default::default())
            .map_or((None, None), |(account, sid)| (Some(account), sid));
        let client = client.and_then(client_name);
        Self { filter: Filter { client, account, sid, ..Filter::default() }, ..Self::default() }
    }

    /// As [`Self::of`], with the client in a parameter of MS-SRVS, which begins with two backslashes (MS-SRVS 3.1.4.5).
    pub(crate) fn of_parameters(
        server: &Server,
        client: Option<&str>,
        user: Option<&str>,
    ) -> Result<Self, Error> {
        let client = client.filter(|it| !it.is_empty());
        if client.is_some_and(|it| !it.starts_with(r"\\") || client_name(it).is_none()) {
            return Err(Error::InvalidComputer);
        }
        Ok(Self::of(server, client, user))
    }
}

/// The client with this spelling; `None` for an empty text.
fn client_name(text: &str) -> Option<ClientName> {
    let name = address::parse(text).map_or_else(|| address::bare(text).to_owned(), |it| it.to_string());
    (!name.is_empty()).then(|| ClientName::new(&name))
}

#[cfg(test)]
mod tests {
    use wire::Account;

    use super::*;

    #[test]
    fn computers_of_parameters_begin_with_backslashes() {
        let (server, _state) = server("");
        let of_client = |text| Selection::of_parameters(&server, Some(text), None);
        assert_eq!(Selection::of_parameters(&server, None, None), Ok(Selection::default()));
        assert_eq!(of_client(""), Ok(Selection::default()));
        assert_eq!(of_client(r"\\[::FFFF:192.0.2.1]"), Ok(Selection::of(&server, Some("192.0.2.1"), None)));
        for bad in ["192.0.2.1", r"\192.0.2.1", r"\\"] {
            assert_eq!(of_client(bad), Err(Error::InvalidComputer), "{bad}");
        }
    }

    #[test]
    fn the_domain_counts_where_it_is_given() {
        let (server, _state) = server("");
        let is = |meant, domain, user| {
            Selection::of(&server, None, Some(meant))
                .filter
                .account
                .is_some_and(|it: Account| it.is(domain, user))
        };
        assert!(is("ALICE", "DOM", "alice"));
        assert!(is(r"dom\alice", "DOM", "Alice"));
        assert!(!is(r"other\alice", "DOM", "alice"));
        assert_eq!(Selection::of(&server, None, Some("")), Selection::default());
        assert_eq!(Selection::of(&server, None, Some(r"dom\")), Selection::default());
    }

    #[test]
    fn all_spellings_of_a_user_of_the_domain_select_it() {
        let (server, _state) = server("[domain]\nrealm = 'corp.test'\n");
        let is = |meant, user| {
            Selection::of(&server, None, Some(meant)).filter.account.is_some_and(|it| it.is("CLIENT", user))
        };
        for meant in [r"corp\CAROL", "carol@corp.test", "Carol@CORP", r"corp.test\carol", "carol"] {
            assert!(is(meant, r"CORP\carol"), "{meant}");
            assert!(!is(meant, "carol"), "{meant}");
        }
        // A local account has precedence over one of the domain.
        for meant in ["alice", r"files\alice", r".\Alice"] {
            assert!(is(meant, "alice") && !is(meant, r"CORP\alice"), "{meant}");
        }
        assert!(is(r"CORP\alice", r"CORP\alice") && !is(r"CORP\alice", "alice"));
        // A realm that the server does not know means nobody.
        assert!(is(r"EU\bob", r"EU\bob") && !is("bob@eu.test", r"EU\bob"));
        assert_eq!(Selection::of(&server, None, Some("")), Selection::default());
    }

    /// A server with the local account alice.
    fn server(settings: &str) -> (std::sync::Arc<Server>, tempfile::TempDir) {
        let mut defaults = crate::core::config::Settings::conventional(false, |_| None);
        defaults.name = String::from("FILES");
        let state = tempfile::tempdir().unwrap();
        defaults.state_directory = state.path().into();
        let settings = crate::core::config::parse(settings, std::path::Path::new("/"), defaults).unwrap();
        let mut accounts = auth::UserDb::default();
        accounts.add("alice", 1, "password", wire::FileTime::NONE).unwrap();
        (Server::new(settings, accounts).unwrap(), state)
    }
}
