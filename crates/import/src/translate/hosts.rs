//! `hosts allow` and `hosts deny`. Shareward does not look up the names of computers; where a list has one, fewer
//! computers are admitted, never more.

use std::net::{IpAddr, Ipv4Addr};

use super::Context;
use super::text::{self, Table, source};
use crate::report::Answers;
use crate::smbconf::{Section, Value, list};

/// A list of computers as Shareward has it.
struct Hosts {
    entries: Vec<String>,
    /// The words that Shareward does not have.
    left_out: Vec<String>,
}

/// Writes `hosts_allow` and `hosts_deny` of the server.
pub(super) fn of_server(context: &Context<'_>, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    let (allow, deny) = (config.value("hosts allow"), config.value("hosts deny"));
    set_allow(context, allow, table, answers);
    if let Some((value, hosts)) = read(context, deny)
        && !hosts.left_out.is_empty()
    {
        answers.not_yet(Some(value), format!("{}; all computers are denied instead", names(&hosts.left_out)));
        table.set("hosts_deny", &text::strings(&["all"]), &source(config, Some(value)));
    } else {
        set_deny(context, deny, table);
    }
}

/// Writes `hosts_allow` and `hosts_deny` of a share, if its lists are not those of the server. The error is the reason
/// that the share would admit other computers.
pub(super) fn of_share(
    context: &Context<'_>,
    section: &Section,
    table: &mut Table,
    answers: &mut Answers,
) -> Result<(), String> {
    let own = |name: &str| {
        let value = section.value(name);
        value.filter(|value| context.config.value(name).is_none_or(|it| it.place != value.place))
    };
    // Samba applies the lists of the server to each share, and then those of the share, with defaults from the server.
    let (allow, deny) = match (own("hosts allow"), own("hosts deny")) {
        (None, None) => return Ok(()),
        _ => (section.value("hosts allow"), section.value("hosts deny")),
    };
    set_allow(context, allow, table, answers);
    if let Some((value, hosts)) = read(context, deny)
        && !hosts.left_out.is_empty()
    {
        answers.not_yet(Some(value), names(&hosts.left_out));
        return Err(format!("hosts deny: {}", names(&hosts.left_out)));
    }
    set_deny(context, deny, table);
    Ok(())
}

fn set_allow(context: &Context<'_>, value: Option<&Value>, table: &mut Table, answers: &mut Answers) {
    let Some((value, mut hosts)) = read(context, value) else { return };
    if !hosts.left_out.is_empty() {
        answers.not_yet(Some(value), format!("{}; these are not admitted", names(&hosts.left_out)));
        // An exception that is left out would admit more, and an empty list everybody.
        if hosts.left_out.iter().any(|it| it.starts_with('!')) || hosts.entries.is_empty() {
            hosts.entries = vec![Ipv4Addr::LOCALHOST.to_string()];
        }
    }
    if !hosts.entries.is_empty() {
        table.set("hosts_allow", &text::strings(&hosts.entries), &source(context.config, Some(value)));
    }
}

fn set_deny(context: &Context<'_>, value: Option<&Value>, table: &mut Table) {
    let Some((value, hosts)) = read(context, value) else { return };
    table.set("hosts_deny", &text::strings(&hosts.entries), &source(context.config, Some(value)));
}

fn names(words: &[String]) -> String {
    format!("computers by name or pattern ({})", words.join(", "))
}

/// Reads a list; `None` if it is empty.
fn read<'a>(context: &Context<'_>, value: Option<&'a Value>) -> Option<(&'a Value, Hosts)> {
    let value = value?;
    let words: Vec<String> = list(&value.bytes).iter().map(|it| context.config.charset.text(it)).collect();
    let mut hosts = Hosts { entries: Vec::new(), left_out: Vec::new() };
    let mut exceptions: usize = 0;
    for word in &words {
        if word.eq_ignore_ascii_case("EXCEPT") {
            exceptions += 1;
            continue;
        }
        let sign = if exceptions == 0 { "" } else { "!" };
        match entry(word) {
            // An exception from an exception.
            Some(_) if exceptions > 1 => hosts.left_out.push(format!("{sign}{word}")),
            Some(entry) => hosts.entries.push(format!("{sign}{entry}")),
            None => hosts.left_out.push(format!("{sign}{word}")),
        }
    }
    (!words.is_empty()).then_some((value, hosts))
}

/// A word of a list as an address or a network; `None` for names and patterns.
fn entry(word: &str) -> Option<String> {
    if word.eq_ignore_ascii_case("ALL") {
        return Some(String::from("all"));
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    if let Some((address, mask)) = word.split_once('/') {
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if let Ok(bits) = mask.parse::<u8>() {
            return (bits <= most).then(|| format!("{address}/{bits}"));
        }
        let bits = u32::from(mask.parse::<Ipv4Addr>().ok().filter(|_| address.is_ipv4())?);
        return (bits.leading_ones() == bits.count_ones())
            .then(|| format!("{address}/{}", bits.count_ones()));
    }
    // "10.1." and "10.1.*" are all addresses that begin so.
    let prefix = word.strip_suffix('*').unwrap_or(word).strip_suffix('.')?;
    let octets: Vec<u8> = prefix.split('.').map(|octet| octet.parse().ok()).collect::<Option<_>>()?;
    let mut all = [0; 4];
    (octets.len() < all.len()).then_some(())?;
    all.iter_mut().zip(&octets).for_each(|(to, from)| *to = *from);
    Some(format!("{}/{}", Ipv4Addr::from(all), octets.len() * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_translated_and_names_are_not() {
        for (word, translated) in [
            ("192.168.1.7", Some("192.168.1.7")),
            ("192.168.", Some("192.168.0.0/16")),
            ("10.*", Some("10.0.0.0/8")),
            ("10.0.0.0/255.255.0.0", Some("10.0.0.0/16")),
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("[2001:db8::]/32", Some("2001:db8::/32")),
            ("fe80::/10", Some("fe80::/10")),
            ("all", Some("all")),
            ("LOCAL", None),
            (".example.com", None),
            ("@netgroup", None),
            ("desktop", None),
            ("10.1.2.3.", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/255.0.255.0", None),
            ("1?.0.0.1", None),
        ] {
            assert_eq!(entry(word).as_deref(), translated, "{word}");
        }
    }
}
