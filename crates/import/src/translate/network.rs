//! `interfaces`, `bind interfaces only` and the ports as `listen`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Context;
use super::text::{Table, place, strings};
use crate::report::Answers;
use crate::smbconf::{Value, list};

/// Writes `listen` if the configuration limits addresses or changes the port.
pub(super) fn listen(context: &Context<'_>, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    let is_bound = config.word("bind interfaces only") == "yes";
    let interfaces = config.value("interfaces").filter(|value| !list(&value.bytes).is_empty());
    if !is_bound {
        answers.not_needed(
            config.value("interfaces"),
            "without 'bind interfaces only', Samba accepts connections on all",
        );
    }
    let transports = config.value("server smb transports");
    let ports = ports(context, transports, answers);
    let (addresses, sources): (Vec<IpAddr>, Vec<&Value>) = match interfaces {
        Some(value) if is_bound => {
            let mut addresses = addresses(context, value, answers);
            if addresses.is_empty() {
                answers.not_yet(
                    Some(value),
                    "these interfaces have no address now; the server listens on 127.0.0.1 only",
                );
                addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
            }
            (
                addresses,
                config.value("bind interfaces only").into_iter().chain([value]).chain(transports).collect(),
            )
        }
        _ if ports == [SMB_PORT] => return,
        _ => (
            vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            transports.into_iter().collect(),
        ),
    };
    let listen: Vec<String> = addresses
        .iter()
        .flat_map(|address| ports.iter().map(|port| SocketAddr::new(*address, *port).to_string()))
        .collect();
    let sources: Vec<String> = sources.iter().map(|value| place(config, value.place)).collect();
    table.set("listen", &strings(&listen), &sources.join(", "));
}

/// The ports of `server smb transports` or `smb ports`: numbers, or `tcp`, `nbt` and `quic` with or without a number.
fn ports(context: &Context<'_>, value: Option<&Value>, answers: &mut Answers) -> Vec<u16> {
    let Some(value) = value else { return vec![SMB_PORT] };
    let mut ports = Vec::new();
    for word in list(&value.bytes) {
        let word = context.config.charset.text(&word).to_ascii_lowercase();
        let (kind, port) = word.split_once(':').unwrap_or((&word, ""));
        match (kind, kind.parse::<u16>(), port.parse::<u16>()) {
            ("tcp", _, Ok(port)) => ports.push(port),
            ("tcp", ..) => ports.push(SMB_PORT),
            // Port 139 is the NetBIOS session service, which only SMB 1 clients need.
            ("nbt", ..) | (_, Ok(139), _) => {}
            (_, Ok(port), _) if port != 0 => ports.push(port),
            _ => answers.not_yet(Some(value), format!("{word}: this transport")),
        }
    }
    ports.dedup();
    if ports.is_empty() {
        answers.not_yet(Some(value), "only NetBIOS or QUIC as a transport; the server listens on port 445");
        ports.push(SMB_PORT);
    }
    ports
}

/// The addresses of `interfaces`: names, which may have `*` and `?`, addresses, and networks.
fn addresses(context: &Context<'_>, value: &Value, answers: &mut Answers) -> Vec<IpAddr> {
    let all = context.system.interfaces();
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut resolved = Vec::new();
    for word in list(&value.bytes) {
        let word = context.config.charset.text(&word);
        // Options of the interface follow a semicolon: "192.0.2.7/24;speed=1000".
        let (address, mask) =
            word.split_once('/').map_or((word.as_str(), None), |(it, mask)| (it, Some(mask)));
        let found: Vec<IpAddr> = match address.parse::<IpAddr>() {
            Ok(address) => match mask.and_then(|mask| prefix(mask, address)) {
                Some(length) if all.iter().all(|(_, it)| *it != address) => {
                    all.iter().map(|(_, it)| *it).filter(|it| is_in(*it, address, length)).collect()
                }
                _ => vec![address],
            },
            Err(_) => {
                let found = all.iter().filter(|(name, _)| matches(address, name)).map(|(_, it)| *it);
                resolved.push(word.clone());
                // A link-local address needs a scope, which `listen` does not have.
                found.filter(|it| !matches!(it, IpAddr::V6(it) if it.is_unicast_link_local())).collect()
            }
        };
        if found.is_empty() {
            answers.not_yet(Some(value), format!("{word}: no interface has such an address now"));
        }
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    if !resolved.is_empty() {
        answers
            .carried(Some(value), format!("listen, with the addresses that {} has now", resolved.join(", ")));
    }
    addresses
}

/// The length of a network's prefix, written as a number or as a mask.
fn prefix(mask: &str, address: IpAddr) -> Option<u32> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = mask
        .parse::<u32>()
        .ok()
        .or_else(|| Some(u32::from(mask.parse::<Ipv4Addr>().ok()?).leading_ones()))?;
    (length <= most).then_some(length)
}

fn is_in(address: IpAddr, network: IpAddr, length: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros() >= length,
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros() >= length,
        _ => false,
    }
}

/// True if a pattern with `*` and `?` matches a name.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => name.is_empty(),
        Some('*') => {
            name.char_indices()
                .any(|(at, _)| matches(pattern_rest.as_str(), name.get(at..).unwrap_or_default()))
                || matches(pattern_rest.as_str(), "")
        }
        Some(first) => {
            let mut rest = name.chars();
            rest.next().is_some_and(|it| first == '?' || it == first)
                && matches(pattern_rest.as_str(), rest.as_str())
        }
    }
}

const SMB_PORT: u16 = 445;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_patterns_match() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(prefix("255.255.255.0", ip("192.0.2.0")), Some(24));
        assert_eq!(prefix("33", ip("192.0.2.0")), None);
        assert!(is_in(ip("192.0.2.7"), ip("192.0.2.0"), 24) && !is_in(ip("192.0.3.7"), ip("192.0.2.0"), 24));
        assert!(is_in(ip("2001:db8::1"), ip("2001:db8::"), 64) && !is_in(ip("::1"), ip("0.0.0.0"), 0));
        assert!(
            matches("eth*", "eth0")
                && matches("e?h0", "eth0")
                && !matches("eth", "eth0")
                && matches("*", "lo")
        );
    }
}
