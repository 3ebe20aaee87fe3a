//! The checks of the table `[domain]`, as far as they are possible without the domain.

use std::fs;
use std::path::Path;

use auth::UserDb;
use auth::kerberos::{Enctype, Keytab, KeytabEntry, MAX_KEYTAB};
use domain::ids::{IdMap, Kind};
use server::config::{DomainSettings, IdRule, Settings};
use wire::eq_ignore_case;

/// The problems of a domain's settings, and what may be one.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) wrong: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Checks the settings of the domain, if there are any.
pub(super) fn check(settings: &Settings, users: &UserDb) -> Found {
    let mut found = Found::default();
    let Some(domain) = &settings.domain else { return found };
    keytab(settings, domain, &mut found);
    for (file, what) in [(PASSWD, "user"), (GROUP, "group")] {
        if let Ok(text) = fs::read_to_string(file) {
            local_ids(domain, file, &text, what, &mut found);
        }
    }
    for user in users.users().filter(|user| user.name.contains(['\\', '@'])) {
        found.wrong.push(format!(
            "user {} in {}: in a domain, the name of a local account has no backslash and no @",
            user.name,
            settings.users_file.display()
        ));
    }
    match IdMap::read(&settings.state_directory) {
        Ok(Some(stored)) => {
            let names = stored.mappings.iter().filter(|it| it.kind == Kind::User);
            same_names(settings, users, names.filter_map(|it| it.name.as_deref()), &mut found);
        }
        Ok(None) => {}
        Err(error) => found.wrong.push(error.to_string()),
    }
    if domain.ntlm && !WINBIND.iter().any(|socket| Path::new(socket).exists()) {
        found.warnings.push(String::from(
            "domain: winbind is not running, so users of the domain cannot log on with NTLM (clients that use the server's \
             address instead of its name do); start it, or set ntlm = false",
        ));
    }
    found
}

/// Checks that the keytab has a key for the server's names that clients can use.
fn keytab(settings: &Settings, domain: &DomainSettings, found: &mut Found) {
    let path = domain.keytab.display();
    let keytab = match read_keytab(&domain.keytab) {
        Ok(keytab) => keytab,
        Err(error) => {
            found.wrong.push(format!("domain: keytab {path}: {error}"));
            return;
        }
    };
    let of_realm: Vec<_> = keytab.entries().iter().filter(|it| it.realm == domain.realm).collect();
    if of_realm.is_empty() {
        found.wrong.push(format!("domain: keytab {path}: it has no key of the realm {}", domain.realm));
        return;
    }
    let hosts = host_names(settings, &domain.realm);
    let of_host: Vec<_> = of_realm.iter().filter(|it| is_of_host(it, &settings.name, &hosts)).collect();
    if of_host.is_empty() {
        found.wrong.push(format!(
            "domain: keytab {path}: it has no key of cifs/ or host/ with one of the names {}; 'shareward domain join' \
             makes one",
            hosts.join(", ")
        ));
        return;
    }
    let is_usable =
        |it: &KeytabEntry| it.key.as_ref().is_some_and(|key| domain.rc4 || key.enctype() != Enctype::Rc4);
    if !of_host.iter().any(|it| is_usable(it)) {
        found.wrong.push(format!(
            "domain: keytab {path}: none of the keys of {} has an encryption type that is accepted (AES; RC4 with rc4 = \
             true)",
            settings.name
        ));
    }
}

fn read_keytab(path: &Path) -> Result<Keytab, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_KEYTAB as u64 {
        return Err(format!("larger than {MAX_KEYTAB} bytes"));
    }
    let bytes = zeroize::Zeroizing::new(fs::read(path).map_err(|error| error.to_string())?);
    Keytab::parse(&bytes).map_err(|error| error.to_string())
}

/// The names by which clients may ask for tickets to this host, without those that only DNS knows.
pub(in crate::applets) fn host_names(settings: &Settings, realm: &str) -> Vec<String> {
    let name = settings.name.to_ascii_lowercase();
    let realm = realm.to_ascii_lowercase();
    let mut names = vec![format!("{name}.{realm}"), name];
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let label = host.split('.').next().unwrap_or_default();
    for name in [host.clone(), format!("{label}.{realm}")] {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn is_of_host(entry: &KeytabEntry, server: &str, hosts: &[String]) -> bool {
    match entry.components.as_slice() {
        [account] => account.strip_suffix('$').is_some_and(|name| eq_ignore_case(name, server)),
        [kind, host] => {
            ["cifs", "host"].iter().any(|it| eq_ignore_case(it, kind))
                && hosts.iter().any(|it| eq_ignore_case(it, host))
        }
        _ => false,
    }
}

/// Checks that no local user or group (lines of passwd(5) and group(5)) has an id in a range of the domain's.
fn local_ids(domain: &DomainSettings, file: &str, text: &str, what: &str, found: &mut Found) {
    if domain.ids == IdRule::NameService {
        return;
    }
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else { continue };
        let Ok(id) = id.parse::<u32>() else { continue };
        if let Some(range) = domain.id_ranges.iter().find(|it| (it.first..=it.last).contains(&id)) {
            found.wrong.push(format!(
                "domain: id_ranges: {} to {} has the id {id} of the local {what} {name} in {file}",
                range.first, range.last
            ));
        }
    }
}

/// Warns of plain names in the settings that mean a local account although a user of the domain has the same name.
fn same_names<'a>(
    settings: &Settings,
    users: &UserDb,
    of_domain: impl Iterator<Item = &'a str>,
    found: &mut Found,
) {
    let mut named: Vec<&String> = settings.administrators.iter().collect();
    named.extend(settings.roles.iter().flat_map(|role| &role.users));
    for share in &settings.shares {
        named.extend(&share.users);
        named.extend(share.grants.iter().filter_map(|grant| match &grant.who {
            server::config::Grantee::User(name) => Some(name),
            server::config::Grantee::Group(_) => None,
        }));
    }
    for qualified in of_domain {
        let Some((domain, name)) = qualified.split_once('\\') else { continue };
        let is_own = settings.domain.as_ref().is_some_and(|it| eq_ignore_case(&it.name, domain));
        if is_own && users.user(name).is_some() && named.iter().any(|it| eq_ignore_case(it, name)) {
            found.warnings.push(format!(
                "the settings name {name}, which is the local account and not {qualified}; write {}\\{name} or \
                 {qualified} to make that clear",
                settings.name
            ));
        }
    }
}

/// A name in the settings, as [`check`](super) has to look it up.
pub(super) enum Meant<'a> {
    /// A local account or Unix group.
    Local(&'a str),
    /// A user or group of a domain, which only the domain knows.
    OfDomain,
}

/// The user that a name in the settings means.
pub(super) fn user<'a>(settings: &Settings, users: &UserDb, name: &'a str) -> Meant<'a> {
    if settings.domain.is_none() {
        return Meant::Local(name);
    }
    match name.split_once('\\') {
        Some((server, name)) if server == "." || eq_ignore_case(server, &settings.name) => Meant::Local(name),
        Some(_) => Meant::OfDomain,
        // Without a local account, a plain name is a user of the domain.
        None if users.user(name).is_some() || name.starts_with(['@', '+', '&']) => Meant::Local(name),
        None => Meant::OfDomain,
    }
}

/// The group that a name in the settings means.
pub(super) fn group<'a>(settings: &Settings, name: &'a str) -> Meant<'a> {
    let is_of_domain = name.contains(['\\', '@']) || name.parse::<wire::security::Sid>().is_ok();
    if settings.domain.is_some() && is_of_domain { Meant::OfDomain } else { Meant::Local(name) }
}

/// The files of local users and groups (passwd(5), group(5)).
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The places of winbind's socket in Debian, Fedora and a build of Samba with its own defaults.
const WINBIND: [&str; 3] =
    ["/run/samba/winbindd/pipe", "/var/run/samba/winbindd/pipe", "/usr/local/samba/var/run/winbindd/pipe"];

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let mut defaults = crate::setup::defaults();
        defaults.name = String::from("FILES");
        server::config::parse(text, Path::new("/"), defaults).unwrap()
    }

    #[test]
    fn local_ids_in_a_range_are_reported() {
        let settings =
            settings("[domain]\nrealm = 'corp.test'\nid_ranges = [{ first = 1000, last = 1999 }]\n");
        let mut found = Found::default();
        let text = "root:x:0:0::/root:/bin/sh\nann:x:1001:1001::/:/bin/sh\nbob:x:2000:2000::/:/bin/sh\nbad\n";
        local_ids(settings.domain.as_ref().unwrap(), "/etc/passwd", text, "user", &mut found);
        assert_eq!(
            found.wrong,
            ["domain: id_ranges: 1000 to 1999 has the id 1001 of the local user ann in /etc/passwd"]
        );
    }

    #[test]
    fn names_that_mean_a_local_account_instead_of_one_of_the_domain_are_reported() {
        let settings = settings(
            "[server]\nadministrators = ['Ann', 'bob', 'CORP\\eve']\n[domain]\nrealm = 'corp.test'\n",
        );
        let mut users = UserDb::default();
        for name in ["ann", "eve"] {
            users.add(name, 1, "password", wire::FileTime::NONE).unwrap();
        }
        let mut found = Found::default();
        let of_domain = ["CORP\\ann", "CORP\\bob", "CORP\\eve", "EU\\ann"];
        same_names(&settings, &users, of_domain.into_iter(), &mut found);
        let [warning] = found.warnings.as_slice() else { panic!("{:?}", found.warnings) };
        assert!(
            warning.starts_with("the settings name ann, which is the local account and not CORP\\ann"),
            "{warning}"
        );
    }

    #[test]
    fn missing_keytab_is_reported() {
        let settings = settings("[domain]\nrealm = 'corp.test'\nkeytab = '/nonexistent/keytab'\n");
        let mut found = Found::default();
        keytab(&settings, settings.domain.as_ref().unwrap(), &mut found);
        let [wrong] = found.wrong.as_slice() else { panic!("{:?}", found.wrong) };
        assert!(wrong.starts_with("domain: keytab /nonexistent/keytab: No such file"), "{wrong}");
    }

    #[test]
    fn entries_of_the_keytab_are_matched_with_the_names_of_the_host() {
        let hosts = [String::from("files.corp.test"), String::from("files")];
        let is = |components: &[&str]| {
            let bytes = entry(components);
            let keytab = Keytab::parse(&bytes).unwrap();
            is_of_host(&keytab.entries()[0], "FILES", &hosts)
        };
        assert!(is(&["cifs", "files.corp.test"]) && is(&["host", "FILES"]) && is(&["FILES$"]));
        assert!(!is(&["nfs", "files.corp.test"]) && !is(&["cifs", "other.corp.test"]) && !is(&["OTHER$"]));
    }

    /// A keytab with one entry, with a key of an encryption type that nobody has.
    fn entry(components: &[&str]) -> Vec<u8> {
        let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
        let mut record = u16::try_from(components.len()).unwrap().to_be_bytes().to_vec();
        record.extend(text("CORP.TEST"));
        components.iter().for_each(|it| record.extend(text(it)));
        record.extend([0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 99, 0, 1, 7]);
        let size = i32::try_from(record.len()).unwrap().to_be_bytes();
        [&[5, 2][..], &size, &record].concat()
    }
}
