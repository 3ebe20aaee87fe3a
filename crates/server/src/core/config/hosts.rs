//! The computers that may use the server or a share: `hosts_allow` and `hosts_deny`.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use toml::Spanned;

use super::parse::Reader;

/// The computers that may use the server or a share, by address. The rules are those of Samba.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules {
    /// `hosts_allow`; empty if it is not set.
    pub allow: HostList,
    /// `hosts_deny`; empty if it is not set.
    pub deny: HostList,
}

/// A list of networks, and of exceptions from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostList {
    networks: Vec<IpNet>,
    /// The networks of entries that begin with `!`.
    except: Vec<IpNet>,
}

impl HostRules {
    /// True if there are rules.
    pub(crate) fn is_set(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }

    /// True if a client with this address is admitted. An address in both lists is allowed. One in neither is allowed
    /// unless there is only `hosts_allow`. The machine itself (loopback addresses) is admitted unless only `hosts_deny`
    /// has its address.
    pub fn admit(&self, address: IpAddr) -> bool {
        if !self.is_set() {
            return true;
        }
        let address = address.to_canonical();
        if self.allow.has(address) {
            return true;
        }
        let is_other = !self.deny.has(address);
        is_other && (address.is_loopback() || !self.deny.is_empty())
    }
}

impl HostList {
    fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.except.is_empty()
    }

    fn has(&self, address: IpAddr) -> bool {
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        is_in(&self.networks) && !is_in(&self.except)
    }

    /// Adds an entry: an address, a network (`10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `fe80::/10`) or `all`; with `!` before
    /// it, an exception.
    fn add(&mut self, entry: &str) -> Result<(), String> {
        let (list, text) = match entry.strip_prefix('!') {
            Some(text) => (&mut self.except, text),
            None => (&mut self.networks, entry),
        };
        if text.eq_ignore_ascii_case(ALL) {
            list.extend([IpNet::V4(Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default())]);
            return Ok(());
        }
        list.push(network(text).ok_or_else(|| {
            format!("{text:?} is no address and no network; names of computers are not looked up")
        })?);
        Ok(())
    }
}

/// The word for all addresses.
const ALL: &str = "all";

/// An address or a network. IPv4 addresses in IPv6 form are IPv4 addresses, as those of clients are.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(network.trunc());
    }
    let (address, mask) = text.split_once('/')?;
    Ipv4Net::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok().map(|it| IpNet::V4(it.trunc()))
}

impl Reader<'_> {
    /// Reads `hosts_allow` and `hosts_deny`.
    pub(super) fn hosts(
        &mut self,
        allow: Option<Vec<Spanned<String>>>,
        deny: Option<Vec<Spanned<String>>>,
    ) -> HostRules {
        let mut list = |entries: Option<Vec<Spanned<String>>>| {
            let mut list = HostList::default();
            for entry in entries.unwrap_or_default() {
                if let Err(message) = list.add(entry.get_ref().trim()) {
                    self.error(&entry, message);
                }
            }
            list
        };
        HostRules { allow: list(allow), deny: list(deny) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> HostRules {
        let list = |entries: &[&str]| {
            let mut list = HostList::default();
            entries.iter().for_each(|entry| list.add(entry).unwrap());
            list
        };
        HostRules { allow: list(allow), deny: list(deny) }
    }

    fn admits(allow: &[&str], deny: &[&str], address: &str) -> bool {
        rules(allow, deny).admit(address.parse().unwrap())
    }

    #[test]
    fn addresses_in_both_lists_are_allowed_and_those_in_neither_if_some_are_denied() {
        assert!(admits(&[], &[], "10.1.2.3"));
        assert!(admits(&["10.0.0.0/8"], &[], "10.1.2.3"));
        assert!(!admits(&["10.0.0.0/8"], &[], "11.1.2.3"));
        assert!(!admits(&[], &["10.1.2.3"], "10.1.2.3"));
        assert!(admits(&[], &["10.1.2.3"], "10.1.2.4"));
        assert!(admits(&["10.1.2.3"], &["10.0.0.0/255.0.0.0"], "10.1.2.3"));
        assert!(!admits(&["10.1.2.3"], &["10.0.0.0/255.0.0.0"], "10.1.2.4"));
        assert!(admits(&["10.1.2.3"], &["10.0.0.0/255.0.0.0"], "11.1.2.4"));
    }

    #[test]
    fn exceptions_are_in_no_list() {
        assert!(!admits(&["10.0.0.0/8", "!10.6.0.0/16"], &[], "10.6.0.1"));
        assert!(admits(&["10.0.0.0/8", "!10.6.0.0/16"], &[], "10.7.0.1"));
        assert!(admits(&[], &["all", "!fe80::/10"], "fe80::1"));
        assert!(!admits(&[], &["ALL", "!fe80::/10"], "2001:db8::1"));
    }

    #[test]
    fn ipv4_clients_of_an_ipv6_socket_have_their_ipv4_address() {
        assert!(admits(&["10.0.0.0/8"], &[], "::ffff:10.1.2.3"));
        assert!(admits(&["::ffff:10.1.2.3"], &[], "10.1.2.3"));
        assert!(!admits(&["::/0"], &[], "10.1.2.3"));
        assert!(admits(&["10.1.2.99/24"], &[], "10.1.2.3"), "the host's part of a network does not count");
    }

    #[test]
    fn loopback_is_admitted_unless_it_is_denied() {
        for (allow, deny, address, expected) in [
            (vec!["10.0.0.0/8"], vec![], "127.0.0.1", true),
            (vec!["10.0.0.0/8"], vec![], "::1", true),
            (vec![], vec!["all"], "127.0.0.1", false),
            (vec!["127.0.0.0/8"], vec!["all"], "127.0.0.1", true),
            (vec!["10.0.0.0/8"], vec!["all"], "127.0.0.1", false),
        ] {
            assert_eq!(admits(&allow, &deny, address), expected, "{allow:?} {deny:?} {address}");
        }
    }

    #[test]
    fn names_and_other_words_are_refused() {
        for entry in ["fileserver", "10.0.0", "10.0.0.0/33", "10.0.0.0/255.0.255.0", "", "!", "*"] {
            assert!(HostList::default().add(entry).is_err(), "{entry:?}");
        }
    }
}
