//! Reads the table `[domain]` of `shareward.toml` into [`DomainSettings`].

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use wire::eq_ignore_case;

use super::parse::Reader;
use super::{DomainSettings, IdRange, IdRule, MAX_NAME};

/// The table as it is in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainTable {
    realm: Spanned<String>,
    name: Option<Spanned<String>>,
    keytab: Option<Spanned<PathBuf>>,
    #[serde(default)]
    controllers: Vec<Spanned<String>>,
    #[serde(default)]
    logon_groups: Vec<Spanned<String>>,
    ntlm: Option<bool>,
    rc4: Option<bool>,
    clock_skew: Option<Spanned<i64>>,
    ids: Option<Spanned<String>>,
    id_ranges: Option<Spanned<Vec<RangeTable>>>,
    autorid_range_size: Option<Spanned<i64>>,
}

/// An entry of `id_ranges`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeTable {
    domain: Option<Spanned<String>>,
    first: Spanned<i64>,
    last: Spanned<i64>,
}

impl Reader<'_> {
    /// The settings of the domain of a server with this name. Errors are added to those of the reader.
    pub(super) fn domain(&mut self, table: DomainTable, server: &str) -> DomainSettings {
        let realm = table.realm.get_ref().to_ascii_uppercase();
        if let Err(message) = check_dns_name(&realm) {
            self.error(&table.realm, format!("realm: {message}"));
        }
        let name = self.domain_name(&table, server);
        for controller in &table.controllers {
            let host = controller.get_ref();
            if host.parse::<std::net::IpAddr>().is_ok() {
                // A controller proves by a ticket that it is one, and tickets are for names.
                self.error(
                    controller,
                    format!("controllers: {host} is an address; give the controller's DNS name"),
                );
            } else if let Err(message) = check_dns_name(host) {
                self.error(controller, format!("controllers: {message}"));
            }
        }
        for group in table.logon_groups.iter().filter(|group| group.get_ref().is_empty()) {
            self.error(group, String::from("the name of a group is empty"));
        }
        let clock_skew = table.clock_skew.and_then(|seconds| {
            let value = u32::try_from(*seconds.get_ref()).ok().filter(|it| CLOCK_SKEWS.contains(it));
            if value.is_none() {
                let (least, most) = (CLOCK_SKEWS.start(), CLOCK_SKEWS.end());
                self.error(&seconds, format!("clock_skew is {least} to {most} seconds"));
            }
            value
        });
        let ids = table.ids.and_then(|word| self.word("ids", &word, &ID_RULES)).unwrap_or_default();
        let id_ranges = match table.id_ranges {
            Some(given) => self.id_ranges(given, ids, &name),
            None => default_ranges(ids, &name),
        };
        let autorid_range_size = match table.autorid_range_size {
            Some(given) => self.range_size(&given, ids, &id_ranges),
            None => AUTORID_RANGE_SIZE,
        };
        DomainSettings {
            keytab: table.keytab.map_or_else(|| PathBuf::from(KEYTAB), |path| self.path(path)),
            controllers: table.controllers.into_iter().map(Spanned::into_inner).collect(),
            logon_groups: table.logon_groups.into_iter().map(Spanned::into_inner).collect(),
            ntlm: table.ntlm.unwrap_or(true),
            rc4: table.rc4.unwrap_or(false),
            clock_skew: clock_skew.unwrap_or(CLOCK_SKEW),
            realm,
            name,
            ids,
            id_ranges,
            autorid_range_size,
        }
    }

    /// The NetBIOS name of the domain: the one in the table, or the first label of the realm.
    fn domain_name(&mut self, table: &DomainTable, server: &str) -> String {
        let is_own = |name: &str| eq_ignore_case(name, server);
        let message = |name: &str| {
            format!(
                "the domain {name} has the name of the server, so its users and local ones could not be told apart"
            )
        };
        let Some(given) = &table.name else {
            let label = table.realm.get_ref().split('.').next().unwrap_or_default();
            let name: String = label.chars().take(MAX_NAME).collect::<String>().to_ascii_uppercase();
            if is_own(&name) {
                self.error(&table.realm, message(&name));
            }
            return name;
        };
        let name = given.get_ref().to_ascii_uppercase();
        if !is_netbios_name(&name) {
            self.error(
                given,
                format!(
                    "a domain name is 1 to {MAX_NAME} letters, digits, '-' or '_'; the DNS name is realm"
                ),
            );
        } else if is_own(&name) {
            self.error(given, message(&name));
        }
        name
    }

    /// The ranges in the table. A range without a domain is for the server's own, or for all with
    /// [`IdRule::Autorid`].
    fn id_ranges(&mut self, given: Spanned<Vec<RangeTable>>, ids: IdRule, own_domain: &str) -> Vec<IdRange> {
        match (ids, given.get_ref().len()) {
            (IdRule::NameService, _) => {
                self.error(&given, String::from("id_ranges has no effect with ids = 'nss'"));
            }
            (IdRule::Autorid, count) if count != 1 => {
                self.error(&given, String::from("ids = 'autorid' needs one range for all domains"));
            }
            (_, 0) => self.error(&given, String::from("id_ranges is empty; leave it out for the default")),
            _ => {}
        }
        let mut ranges: Vec<IdRange> = Vec::new();
        for table in given.into_inner() {
            let domain = match (&table.domain, ids) {
                (Some(domain), IdRule::Autorid) => {
                    self.error(
                        domain,
                        String::from("the range of ids = 'autorid' is for all domains; leave out domain"),
                    );
                    String::new()
                }
                (Some(domain), _) => {
                    let name = domain.get_ref().to_ascii_uppercase();
                    if !is_netbios_name(&name) {
                        self.error(domain, format!("domain is a NetBIOS name, as {own_domain}"));
                    } else if ranges.iter().any(|it| it.domain == name) {
                        self.error(domain, format!("the domain {name} has two ranges"));
                    }
                    name
                }
                (None, IdRule::Autorid) => String::new(),
                (None, _) => own_domain.to_owned(),
            };
            let (Some(first), Some(last)) = (self.id(&table.first), self.id(&table.last)) else { continue };
            if first > last {
                self.error(&table.last, format!("the range {first} to {last} is empty"));
                continue;
            }
            if let Some(other) = ranges.iter().find(|it| first <= it.last && it.first <= last) {
                self.error(
                    &table.first,
                    format!(
                        "the range {first} to {last} overlaps with {} to {} of {}",
                        other.first, other.last, other.domain
                    ),
                );
                continue;
            }
            ranges.push(IdRange { domain, first, last });
        }
        ranges
    }

    fn id(&mut self, id: &Spanned<i64>) -> Option<u32> {
        let value = u32::try_from(*id.get_ref()).ok().filter(|it| (ID_MIN..=ID_MAX).contains(it));
        if value.is_none() {
            self.error(id, format!("an id in a range is {ID_MIN} to {ID_MAX}"));
        }
        value
    }

    fn range_size(&mut self, given: &Spanned<i64>, ids: IdRule, ranges: &[IdRange]) -> u32 {
        if ids != IdRule::Autorid {
            self.error(given, String::from("autorid_range_size has no effect without ids = 'autorid'"));
        }
        let room = ranges.first().map_or(u32::MAX, |range| range.last.saturating_sub(range.first));
        let size = u32::try_from(*given.get_ref()).ok().filter(|it| *it >= AUTORID_RANGE_SIZE_MIN);
        match size {
            Some(size) if size.saturating_sub(1) <= room => size,
            Some(_) => {
                self.error(given, String::from("autorid_range_size is greater than the range"));
                AUTORID_RANGE_SIZE
            }
            None => {
                let message = format!("autorid_range_size is at least {AUTORID_RANGE_SIZE_MIN}");
                self.error(given, message);
                AUTORID_RANGE_SIZE
            }
        }
    }
}

/// The ranges if the table has none.
fn default_ranges(ids: IdRule, domain: &str) -> Vec<IdRange> {
    match ids {
        IdRule::NameService => Vec::new(),
        IdRule::Auto | IdRule::Rid => {
            vec![IdRange { domain: domain.to_owned(), first: RID_RANGE.0, last: RID_RANGE.1 }]
        }
        IdRule::Autorid => {
            vec![IdRange { domain: String::new(), first: AUTORID_RANGE.0, last: AUTORID_RANGE.1 }]
        }
    }
}

fn is_netbios_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_good)
}

/// Checks a DNS name (RFC 1035 2.3.1), with the underscore that Active Directory accepts.
fn check_dns_name(name: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= DNS_LABEL_MAX
            && label.chars().all(is_good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= DNS_NAME_MAX && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!("{name:?} is no DNS name, as corp.example"))
}

const ID_RULES: [(&str, IdRule); 4] = [
    ("auto", IdRule::Auto),
    ("nss", IdRule::NameService),
    ("rid", IdRule::Rid),
    ("autorid", IdRule::Autorid),
];

/// The keytab of the host, as all tools for joining a domain write it.
const KEYTAB: &str = "/etc/krb5.keytab";

/// The default of `clock_skew` in seconds, as in all implementations of Kerberos.
const CLOCK_SKEW: u32 = 300;

/// The values of `clock_skew`. Authenticators are remembered as long as they could be replayed, so the longest is an
/// hour.
const CLOCK_SKEWS: std::ops::RangeInclusive<u32> = 1..=3600;

/// The lowest id in a range: lower ones belong to the system's own users.
const ID_MIN: u32 = 1000;

/// The highest id in a range: the two above it stand for "nobody" and "no id" in system calls.
const ID_MAX: u32 = u32::MAX - 2;

/// The default range of the server's domain, which realmd writes for Samba (`idmap config CORP : range`). It is above
/// local users, `nobody` and the ids of most containers.
const RID_RANGE: (u32, u32) = (2_000_000, 2_999_999);

/// The default range with `ids = "autorid"`, from the examples of `idmap_autorid`(8), with room for more domains.
const AUTORID_RANGE: (u32, u32) = (1_000_000, 19_999_999);

/// The default of `autorid_range_size`, as in Samba (`rangesize`).
const AUTORID_RANGE_SIZE: u32 = 100_000;

/// The lowest `autorid_range_size`, as in Samba.
const AUTORID_RANGE_SIZE_MIN: u32 = 2000;

/// The maximal length of a label of a DNS name (RFC 1035 2.3.4).
const DNS_LABEL_MAX: usize = 63;

/// The maximal length of a DNS name in text form (RFC 1035 2.3.4: 255 bytes on the wire).
const DNS_NAME_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::core::config::{Settings, parse};

    fn read(text: &str) -> Result<DomainSettings, Vec<String>> {
        let mut defaults = Settings::conventional(false, |_| None);
        defaults.name = String::from("FILES");
        match parse(text, Path::new("/etc/shareward"), defaults) {
            Ok(settings) => Ok(settings.domain.unwrap()),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    fn error(lines: &str) -> String {
        let mut errors = read(&format!("[domain]\nrealm = 'corp.test'\n{lines}\n")).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }

    #[test]
    fn realm_alone_gives_the_defaults() {
        let range = |domain: &str, first, last| IdRange { domain: String::from(domain), first, last };
        let expected = DomainSettings {
            realm: String::from("CORP.TEST"),
            name: String::from("CORP"),
            keytab: PathBuf::from("/etc/krb5.keytab"),
            controllers: Vec::new(),
            logon_groups: Vec::new(),
            ntlm: true,
            rc4: false,
            clock_skew: 300,
            ids: IdRule::Auto,
            id_ranges: vec![range("CORP", 2_000_000, 2_999_999)],
            autorid_range_size: 100_000,
        };
        assert_eq!(read("[domain]\nrealm = 'corp.test'\n"), Ok(expected));
        let with = |lines: &str| read(&format!("[domain]\nrealm = 'corp.test'\n{lines}\n")).unwrap();
        assert_eq!(with("ids = 'autorid'").id_ranges, [range("", 1_000_000, 19_999_999)]);
        assert!(with("ids = 'nss'").id_ranges.is_empty());
    }

    #[test]
    fn all_keys_are_read() {
        let settings = read(
            "[domain]\nrealm = 'Sales.Corp.Test'\nname = 'sales'\nkeytab = 'keys'\n\
             controllers = ['dc1.corp.test', 'dc2']\nlogon_groups = ['SALES\\staff', 'S-1-5-21-1-2-3-1104']\n\
             ntlm = false\nrc4 = true\nclock_skew = 60\nids = 'rid'\n\
             id_ranges = [{ first = 10000, last = 19999 }, { domain = 'corp', first = 20000, last = 29999 }]\n",
        )
        .unwrap();
        assert_eq!((settings.realm.as_str(), settings.name.as_str()), ("SALES.CORP.TEST", "SALES"));
        assert_eq!(settings.keytab, Path::new("/etc/shareward/keys"));
        assert_eq!(settings.controllers, ["dc1.corp.test", "dc2"]);
        assert_eq!(settings.logon_groups, ["SALES\\staff", "S-1-5-21-1-2-3-1104"]);
        assert_eq!((settings.ntlm, settings.rc4, settings.clock_skew), (false, true, 60));
        let ranges: Vec<_> = settings.id_ranges.iter().map(|it| (it.domain.as_str(), it.first)).collect();
        assert_eq!((settings.ids, ranges), (IdRule::Rid, vec![("SALES", 10000), ("CORP", 20000)]));
    }

    #[test]
    fn errors_of_the_domain_have_line_and_column() {
        assert_eq!(
            error(
                "id_ranges = [{ domain = 'CORP', first = 10000, last = 19999 },\n{ domain = 'EU', first = 19999, last = 30000 }]"
            ),
            "4:26: the range 19999 to 30000 overlaps with 10000 to 19999 of CORP"
        );
        for (lines, told) in [
            ("clock_skew = 4000", "3:14: clock_skew is 1 to 3600 seconds"),
            ("ids = 'hash'", "3:7: ids is one of auto, nss, rid, autorid"),
            ("controllers = ['a b']", "3:16: controllers: \"a b\" is no DNS name, as corp.example"),
            (
                "controllers = ['dc1.corp.test', '192.0.2.1']",
                "3:33: controllers: 192.0.2.1 is an address; give the controller's DNS name",
            ),
            (
                "controllers = ['2001:db8::1']",
                "3:16: controllers: 2001:db8::1 is an address; give the controller's DNS name",
            ),
            (
                "name = 'corp.test'",
                "3:8: a domain name is 1 to 15 letters, digits, '-' or '_'; the DNS name is realm",
            ),
            ("id_ranges = []", "3:13: id_ranges is empty; leave it out for the default"),
            ("id_ranges = [{ first = 9, last = 19999 }]", "3:24: an id in a range is 1000 to 4294967293"),
            ("id_ranges = [{ first = 19999, last = 10000 }]", "3:38: the range 19999 to 10000 is empty"),
            (
                "ids = 'nss'\nid_ranges = [{ first = 1000, last = 1999 }]",
                "4:13: id_ranges has no effect with ids = 'nss'",
            ),
            ("autorid_range_size = 5000", "3:22: autorid_range_size has no effect without ids = 'autorid'"),
            ("logon_groups = ['']", "3:17: the name of a group is empty"),
        ] {
            assert_eq!(error(lines), told, "{lines}");
        }
        assert_eq!(
            error(
                "id_ranges = [{ first = 1000, last = 1999 }, { domain = 'corp', first = 3000, last = 4000 }]"
            ),
            "3:56: the domain CORP has two ranges"
        );
        assert_eq!(
            error("ids = 'autorid'\nautorid_range_size = 5000\nid_ranges = [{ first = 1000, last = 4999 }]"),
            "4:22: autorid_range_size is greater than the range"
        );
        assert_eq!(
            read("[domain]\nrealm = 'corp..test'\n").unwrap_err(),
            ["2:9: realm: \"CORP..TEST\" is no DNS name, as corp.example"]
        );
        assert!(read("[domain]\nname = 'CORP'\n").unwrap_err()[0].contains("missing field `realm`"));
        assert!(error("relam = 'x'").starts_with("3:1: unknown field `relam`"));
    }

    #[test]
    fn domain_and_server_have_different_names() {
        let told = "the domain FILES has the name of the server, so its users and local ones could not be told apart";
        assert_eq!(read("[domain]\nrealm = 'files.test'\n").unwrap_err(), [format!("2:9: {told}")]);
        assert_eq!(error("name = 'files'"), format!("3:8: {told}"));
    }
}
