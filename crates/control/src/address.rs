//! The names of computers: addresses as text in one spelling.

use std::net::{IpAddr, Ipv6Addr};

/// Parses an address with or without leading backslashes; IPv6 with or without brackets and scope. An IPv4-mapped
/// IPv6 address gives the IPv4 address. `None` for a host name.
pub fn parse(text: &str) -> Option<IpAddr> {
    let text = bare(text);
    let text = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    let address = text.split_once('%').map_or(text, |(address, _scope)| address);
    Some(canonical(address.parse().ok()?))
}

/// The name of a computer without the separators that it may begin with.
pub fn bare(text: &str) -> &str {
    text.trim_start_matches(['\\', '/'])
}

/// The canonical form of an address: an IPv4-mapped IPv6 address becomes the IPv4 address.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The form in which commands show a computer: `\\192.0.2.1`, `\\[2001:db8::1]`, `\\NAME`.
pub fn display(computer: &str) -> String {
    format!(r"\\{}", bracketed(computer))
}

/// The computer without backslashes, with brackets around an IPv6 address.
pub fn bracketed(computer: &str) -> String {
    let bare = bare(computer);
    let literal = bare.split_once('%').map_or(bare, |(address, _scope)| address);
    if literal.parse::<Ipv6Addr>().is_ok() { format!("[{bare}]") } else { bare.to_owned() }
}

/// True if both texts name the same computer: the same address in any spelling, or the same name in any case. A name
/// without a domain equals the first label of a name with one. No name is resolved.
pub fn same_computer(a: &str, b: &str) -> bool {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => same_name(a, b),
        _ => false,
    }
}

fn same_name(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|name| wire::names::upper(bare(name)));
    if a.is_empty() || b.is_empty() {
        return a == b;
    }
    let first_label = |name: &str| name.split('.').next().map(str::to_owned);
    a == b
        || (!a.contains('.') && first_label(&b).as_deref() == Some(a.as_str()))
        || (!b.contains('.') && first_label(&a).as_deref() == Some(b.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_many_spellings() {
        for (a, b) in [
            (r"\\10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("[::ffff:a00:1]", "10.0.0.1"),
            (r"\\[::1]", "0:0:0:0:0:0:0:1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("fe80::1%eth0", "[fe80::1]"),
            ("HOST", "host.example.org"),
            ("Host.Example.org", r"\\host.example.ORG"),
        ] {
            assert!(same_computer(a, b), "{a} {b}");
            assert!(same_computer(b, a), "{b} {a}");
        }
        for (a, b) in [
            ("10.0.0.1", "10.0.0.2"),
            ("host", "10.0.0.1"),
            ("host.a.org", "host.b.org"),
            ("", "host"),
            ("ho", "host"),
        ] {
            assert!(!same_computer(a, b), "{a} {b}");
        }
    }

    #[test]
    fn only_ipv6_is_bracketed() {
        assert_eq!(display("::1"), r"\\[::1]");
        assert_eq!(display("fe80::1%2"), r"\\[fe80::1%2]");
        assert_eq!(display(r"\\10.0.0.1"), r"\\10.0.0.1");
        assert_eq!(display("HOST"), r"\\HOST");
        assert_eq!(display("[::1]"), r"\\[::1]");
    }
}
