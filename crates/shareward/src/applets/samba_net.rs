//! Samba's program `net`, which our link of this name can hide in the search path.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Family;

/// The commands of Samba's `net` (4.17 to 4.25) that ours does not have.
const COMMANDS: &[&str] = &[
    "admin",
    "ads",
    "cache",
    "changesecretpw",
    "changetrustpw",
    "conf",
    "dom",
    "domain",
    "eventlog",
    "g_lock",
    "getauthuser",
    "getdomainsid",
    "getlocalsid",
    "group",
    "groupmap",
    "groupmember",
    "idmap",
    "join",
    "lookup",
    "maxrid",
    "notify",
    "offlinejoin",
    "password",
    "primarytrust",
    "printing",
    "printq",
    "rap",
    "registry",
    "rpc",
    "sam",
    "serverid",
    "setauthuser",
    "setdomainsid",
    "setlocalsid",
    "status",
    "tdb",
    "usershare",
    "usersidlist",
    "validate",
    "vfs",
    "witness",
];

/// The directories of Samba's `net`, beside those of the search path.
const DIRECTORIES: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/samba/bin"];

/// The hint for an unknown command; if Samba's `net` has it, the hint names that program. `words` begin with the name of
/// the command.
pub(super) fn unknown(family: Family, words: &[String]) -> String {
    let name = words.first().map(String::as_str).unwrap_or_default();
    if !COMMANDS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return format!("'{name}' is not a command");
    }
    let here = if family == Family::Net { "this net, which is Shareward's, has" } else { "Shareward has" };
    let known = format!("'{name}' is a command of Samba's net; {here} no such command");
    match place(std::env::var_os("PATH").as_deref()) {
        Some(program) => format!("{known}: run '{} {}'", program.display(), words.join(" ")),
        None => format!("{known}, and Samba's is not installed"),
    }
}

/// The first program called `net` that is not ours.
fn place(search: Option<&OsStr>) -> Option<PathBuf> {
    let searched = search.map(std::env::split_paths).into_iter().flatten();
    let all = searched.chain(DIRECTORIES.iter().map(PathBuf::from));
    all.filter(|directory| directory.is_absolute()).map(|it| it.join("net")).find(|it| is_anothers(it))
}

fn is_anothers(program: &Path) -> bool {
    let Ok(real) = fs::canonicalize(program) else { return false };
    let is_ours = real.file_name().is_some_and(|name| name == "shareward")
        || std::env::current_exe().is_ok_and(|own| own == real);
    let can_run = fs::metadata(&real).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    can_run && !is_ours
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn link_to_this_program_is_not_the_net_of_samba() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["ours", "plain", "theirs"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("shareward"), "").unwrap();
        fs::set_permissions(at("shareward"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(at("shareward"), at("ours/net")).unwrap();
        fs::write(at("plain/net"), "").unwrap();
        fs::write(at("theirs/net"), "").unwrap();
        fs::set_permissions(at("theirs/net"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([at("ours"), at("plain"), "relative".into(), at("theirs")]).unwrap();
        assert_eq!(place(Some(&path)), Some(at("theirs/net")));
    }

    #[test]
    fn no_command_of_samba_in_the_list_is_ours() {
        for name in COMMANDS {
            assert!(
                super::super::find(Family::Net, name).is_none_or(|it| it.family != Family::Net),
                "{name}"
            );
        }
    }
}
