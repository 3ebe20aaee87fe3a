//! A member of an Active Directory domain as the table `[domain]`.

use std::fmt::Write as _;

use super::Context;
use super::text::{self, Table, source, strings};
use crate::report::Answers;
use crate::smbconf::{OptionValue, list};

/// Writes the table `[domain]` if the server is a member of one.
pub(super) fn table(
    context: &Context<'_>,
    toml: &mut String,
    answers: &mut Answers,
    notes: &mut Vec<String>,
) {
    if !context.is_member {
        return;
    }
    let config = context.config;
    let realm = config.text("realm").to_ascii_uppercase();
    if !is_dns_name(&realm) {
        let value = config.value("security").or_else(|| config.value("server role"));
        answers.not_yet(value, "a domain without a DNS name in 'realm'");
        answers.not_yet(config.value("realm"), "a realm that is no DNS name");
        return;
    }
    let mut table = Table::new("[domain]");
    table.set("realm", &text::string(&realm), &source(config, config.value("realm")));
    let workgroup = config.text("workgroup").to_ascii_uppercase();
    let label: String =
        realm.split('.').next().unwrap_or_default().chars().take(super::server::NAME_MAX).collect();
    let name = if is_netbios_name(&workgroup) && workgroup != context.server { workgroup } else { label };
    table.set("name", &text::string(&name), &source(config, config.value("workgroup")));
    keytab(context, &mut table, answers, notes);
    controllers(context, &mut table, answers);
    if let Some(value) = config.value("kerberos encryption types") {
        let on = config.word("kerberos encryption types") != "strong";
        table.set("rc4", &on.to_string(), &source(config, Some(value)));
    }
    ids(context, &name, &mut table, answers);
    let _ = writeln!(toml, "{}", table.text());
}

fn keytab(context: &Context<'_>, table: &mut Table, answers: &mut Answers, notes: &mut Vec<String>) {
    let config = context.config;
    let method = config.word("kerberos method");
    let path = config.text("dedicated keytab file");
    let path = path.strip_prefix("FILE:").unwrap_or(&path);
    if method.starts_with("dedicated") && path.starts_with('/') {
        table.set("keytab", &text::string(path), &source(config, config.value("dedicated keytab file")));
        return;
    }
    answers.not_needed(config.value("dedicated keytab file"), "'kerberos method' does not use it");
    if matches!(method.as_str(), "system keytab" | "systemkeytab" | "secrets and keytab" | "secretsandkeytab")
    {
        return;
    }
    answers.not_yet(
        config.value("kerberos method"),
        "keys in secrets.tdb; `net ads keytab create` of Samba or `shareward domain join` writes /etc/krb5.keytab",
    );
    notes.push(String::from(
        "domain: Samba keeps the server's keys in secrets.tdb only. Let `net ads keytab create` of Samba write \
         /etc/krb5.keytab, or join with `shareward domain join`",
    ));
}

fn controllers(context: &Context<'_>, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    let Some(value) = config.value("password server") else { return };
    let words =
        list(&value.bytes).into_iter().map(|word| config.charset.text(&word)).filter(|word| word != "*");
    let hosts: Vec<String> =
        words.map(|word| word.split(':').next().unwrap_or_default().to_owned()).collect();
    if hosts.is_empty() {
        answers.not_needed(Some(value), "Shareward, too, finds controllers in DNS");
    } else if hosts.iter().all(|host| is_dns_name(host)) {
        table.set("controllers", &strings(&hosts), &source(config, Some(value)));
    } else {
        answers.not_yet(Some(value), "controllers that are not named by DNS");
    }
}

/// A range of `idmap config DOMAIN : range`.
struct Range {
    domain: String,
    first: u32,
    last: u32,
    source: String,
}

/// `idmap config` as `ids` and `id_ranges`.
fn ids(context: &Context<'_>, own: &str, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    let option = |domain: &str, name: &str| config.option(&format!("idmap config {domain}:{name}"));
    let backend = |domain: &str| {
        option(domain, "backend")
            .map(|it| config.charset.text(&it.value.bytes).to_ascii_lowercase())
            .unwrap_or_default()
    };
    let all = config.options.iter().filter_map(|(key, it)| Some((key.strip_prefix("idmapconfig")?, it)));
    let all: Vec<(&str, &OptionValue)> = all.collect();
    let is_autorid = backend("*") == "autorid" && backend(own).is_empty();
    let mut ranges: Vec<Range> = Vec::new();
    let mut others = false;
    let mut domains: Vec<&str> = all.iter().filter_map(|(key, _)| key.split(':').next()).collect();
    domains.dedup();
    for domain in domains {
        let (kind, wants) = (backend(domain), if domain == "*" { "autorid" } else { "rid" });
        let is_used = kind == wants && (is_autorid == (domain == "*"));
        let of_domain = all.iter().filter(|(key, _)| key.split(':').next() == Some(domain));
        for (key, it) in of_domain {
            let value = Some(&it.value);
            let part = key.split(':').nth(1).unwrap_or_default();
            match part {
                _ if !is_used && domain == "*" => {
                    answers.not_needed(value, "for BUILTIN and domains without settings; their ids come from winbind, where it runs");
                }
                "base_rid" if crate::smbconf::integer(&it.value.bytes).unwrap_or(0) != 0 => {
                    answers.not_yet(value, "ids that do not begin with the relative id 0");
                }
                "backend" | "range" | "rangesize" if is_used => {
                    answers.carried(value, "[domain] ids, id_ranges")
                }
                _ => answers.not_needed(
                    value,
                    "setting of winbindd, which gives the ids: keep winbind in /etc/nsswitch.conf",
                ),
            }
        }
        if !is_used {
            others |= domain != "*" && !kind.is_empty();
            continue;
        }
        let Some(range) = option(domain, "range") else { continue };
        match numbers(&config.charset.text(&range.value.bytes)) {
            Some((first, last))
                if !ranges.iter().any(|it| first <= it.last && it.first <= last)
                    && (is_autorid || is_netbios_name(&domain.to_ascii_uppercase())) =>
            {
                let domain = if is_autorid { String::new() } else { domain.to_ascii_uppercase() };
                ranges.push(Range { domain, first, last, source: source(config, Some(&range.value)) });
            }
            _ => answers.not_yet(
                Some(&range.value),
                "a range that is not 1000 to 4294967293, or overlaps with another",
            ),
        }
    }
    let has_own = ranges.iter().any(|it| it.domain == own);
    let rule = match (is_autorid, has_own, others) {
        (true, ..) if !ranges.is_empty() => "autorid",
        (false, true, false) => "rid",
        (false, true, true) => "auto",
        _ => "nss",
    };
    let sources: Vec<&str> = ranges.iter().map(|it| it.source.as_str()).collect();
    let sources = if sources.is_empty() { String::from("ids from winbind") } else { sources.join(", ") };
    table.set("ids", &text::string(rule), &sources);
    if rule == "nss" {
        return;
    }
    let shown: Vec<String> = ranges
        .iter()
        .map(|Range { domain, first, last, .. }| match domain.as_str() {
            "" => format!("{{ first = {first}, last = {last} }}"),
            domain => format!("{{ domain = {}, first = {first}, last = {last} }}", text::string(domain)),
        })
        .collect();
    table.set("id_ranges", &format!("[{}]", shown.join(", ")), &sources);
    if is_autorid && let Some(size) = option("*", "rangesize") {
        let room = ranges.first().map_or(0, |it| i64::from(it.last) - i64::from(it.first) + 1);
        match crate::smbconf::integer(&size.value.bytes) {
            Some(number) if (AUTORID_RANGE_SIZE_MIN..=room).contains(&number) => {
                table.set("autorid_range_size", &number.to_string(), &source(config, Some(&size.value)));
            }
            _ => answers.not_yet(Some(&size.value), "a size of ranges below 2000 or above the whole range"),
        }
    }
}

/// The two numbers of a range, if Shareward accepts them.
fn numbers(range: &str) -> Option<(u32, u32)> {
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|it| (ID_MIN..=ID_MAX).contains(it));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

fn is_netbios_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= super::server::NAME_MAX && name.chars().all(is_good)
}

/// True for a DNS name (RFC 1035 2.3.1), with the underscore that Active Directory accepts.
fn is_dns_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label = |it: &str| {
        !it.is_empty()
            && it.len() <= 63
            && it.chars().all(is_good)
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The lowest and the highest id of a range, as in `shareward.toml`.
const ID_MIN: u32 = 1000;
const ID_MAX: u32 = u32::MAX - 2;

/// The lowest `autorid_range_size`, as in `shareward.toml`.
const AUTORID_RANGE_SIZE_MIN: i64 = 2000;
