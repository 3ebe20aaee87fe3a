//! The files and directories that `shareward init` makes.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use server::config::{self, SMB_PORT};

use super::Plan;
use crate::applets::user;
use crate::failure::Failure;
use crate::output::{Console, clean_line};
use crate::setup;

/// Refuses to go on if there is a configuration. The one that a package installs does not count, because everything in
/// it is a comment.
pub(super) fn check_absent(config: &Path) -> Result<(), Failure> {
    match fs::read(config) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::Plain(format!("cannot read {}: {error}", config.display()))),
        Ok(bytes) if setup::is_packaged(&bytes) => Ok(()),
        Ok(_) => Err(Failure::Plain(format!(
            "{} exists already; nothing was changed\n\nhint: edit it, or use 'shareward net share' and 'shareward user'; --output DIR \
             writes elsewhere",
            config.display()
        ))),
    }
}

/// Makes everything. The configuration comes last: without it, the command can be repeated.
pub(super) fn write(plan: &Plan, console: &mut Console) -> Result<(), Failure> {
    let text = text(plan)?;
    let passwords = passwords(plan, console)?;
    for directory in [plan.places.config.parent(), plan.places.users.parent()].into_iter().flatten() {
        setup::make_directory(directory, 0o750)?;
    }
    setup::make_directory(&plan.places.state, 0o700)?;
    if plan.unix_accounts {
        plan.users
            .iter()
            .filter(|name| !setup::has_unix_account(name))
            .try_for_each(|name| add_account(name))?;
    }
    for (_, path) in &plan.shares {
        make_shared(plan, path, console)?;
    }
    for (name, password) in passwords {
        user::add(&plan.places.users, &name, &password)?;
    }
    create(&plan.places.config, &text)
        .map_err(|error| Failure::Plain(format!("cannot write {}: {error}", plan.places.config.display())))?;
    console.write(&report(plan));
    for name in plan.users.iter().filter(|_| setup::is_root()) {
        if !setup::has_unix_account(name) {
            console.error(&format!(
                "warning: {name} cannot log on: there is no Unix account of this name\n\nhint: create one with 'useradd \
                 {name}'\n"
            ));
        }
    }
    Ok(())
}

/// The password of each user who is not in the users file yet.
fn passwords(
    plan: &Plan,
    console: &mut Console,
) -> Result<Vec<(String, zeroize::Zeroizing<String>)>, Failure> {
    let (known, _) = setup::users(&plan.places.users)?;
    let new = plan.users.iter().filter(|name| known.user(name).is_none());
    new.map(|name| Ok((name.clone(), user::password(name, console)?.into()))).collect()
}

fn add_account(name: &str) -> Result<(), Failure> {
    let outcome = Command::new("useradd")
        .args(["--no-create-home", "--shell", "/usr/sbin/nologin", "--", name])
        .output()
        .map_err(|error| Failure::Plain(format!("cannot run useradd: {error}")))?;
    if outcome.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&outcome.stderr).trim_end().to_owned();
    Err(Failure::Plain(format!("useradd has not created {name}: {}", clean_line(&told))))
}

/// Creates a directory to share, if it does not exist, so that its users may write: it belongs to the only user, or else
/// everybody may write, and the share decides who does.
fn make_shared(plan: &Plan, path: &Path, console: &mut Console) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    setup::make_directory(path, 0o755)?;
    let failed =
        |error: io::Error| Failure::Plain(format!("cannot set the mode of {}: {error}", path.display()));
    if !setup::is_root() {
        return Ok(());
    }
    match plan.users.as_slice() {
        [name] if !plan.guest => {
            if let Ok(Some(account)) = nix::unistd::User::from_name(name) {
                chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw())).map_err(failed)?;
            }
        }
        _ if plan.read_only => {}
        _ => {
            // The sticky bit keeps users from deleting each other's files.
            fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).map_err(failed)?;
            console.talk(&format!("{}: all users of this machine may write there\n", path.display()));
        }
    }
    Ok(())
}

/// Writes the configuration, which must not exist, or be the packaged one.
fn create(path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        return setup::replace(path, text, 0o644);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The configuration, as the server accepts it.
fn text(plan: &Plan) -> Result<String, Failure> {
    let mut text = String::from(HEAD);
    if plan.listen.is_empty() {
        text.push_str("#listen = [\"0.0.0.0:445\", \"[::]:445\"]\n");
    } else {
        let words: Vec<String> = plan.listen.iter().map(|word| quoted(word)).collect();
        let _ = writeln!(text, "listen = [{}]", words.join(", "));
    }
    text.push_str(ADMINISTRATORS);
    if plan.places.are_own {
        text.push_str(OWN_PLACES);
    }
    text.push_str(SHARES);
    let base = plan.places.config.parent().unwrap_or(Path::new("/"));
    let refused =
        |what: String| Failure::Plain(format!("the server would not accept the configuration: {what}"));
    let parse = |text: &str| {
        config::parse(text, base, setup::defaults())
            .map_err(|errors| refused(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
    };
    let before = parse(&text)?;
    let mut after = before.clone();
    after.shares.extend(plan.shares.iter().map(|(name, path)| plan.settings(name, path)));
    let text = config::edit(&text, &before, &after).map_err(|error| refused(error.to_string()))?;
    parse(&text)?;
    Ok(text)
}

/// A TOML string. The words of `listen` have no control characters.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

const HEAD: &str = "\
# Configuration of Shareward, made by 'shareward init'. 'shareward check' reports errors with line and column.
# packaging/shareward.toml of the source explains all settings. After a change: systemctl reload shareward, or SIGHUP.

[server]
# Addresses to listen on. \":4450\" is port 4450 of all addresses.
";

const ADMINISTRATORS: &str = "\
# Users who may administer the server over the network, in addition to the user who runs it.
administrators = []
";

const OWN_PLACES: &str = "\
# The accounts ('shareward user'), the socket of the commands, and the persistent state.
users_file = \"users\"
control_socket = \"control.sock\"
state_dir = \"state\"
";

const SHARES: &str = "\
# Not set here: signing, encryption, guests' domains, locking of accounts, a domain.

# The shares. `users` may use a share; without it, all users may. guest = true admits everybody, without a password.
# read_only = true: nobody writes. The permissions of the files apply as well. 'shareward net share' changes this list.
";

/// The final text: how to start the server, and what clients type.
fn report(plan: &Plan) -> String {
    let config = &plan.places.config;
    let mut text = format!("\n{} was written.\n", config.display());
    if plan.users.is_empty() && !plan.guest && !plan.places.users.exists() {
        let of = if plan.places.are_own { format!(" --config {}", config.display()) } else { String::new() };
        let _ = writeln!(text, "\nNobody can use the shares yet. Add a user: shareward user add NAME{of}");
    }
    text.push_str("\nStart the server:\n\n");
    let is_service = !plan.places.are_own && setup::is_root();
    let has_unit = UNITS.iter().any(|unit| Path::new(unit).exists());
    let socket = if plan.places.are_own {
        let _ = writeln!(text, "    shareward serve --config {}", config.display());
        format!(" --socket {}", config.with_file_name("control.sock").display())
    } else if is_service && has_unit {
        text.push_str("    systemctl enable --now shareward\n");
        String::new()
    } else {
        text.push_str("    shareward serve\n");
        String::new()
    };
    let name = plan.shares.first().map(|(name, _)| name.as_str()).unwrap_or_default();
    let host = crate::programs::local_name();
    let user = plan.users.first().cloned();
    let ports: Vec<u16> = plan.addresses().iter().map(|address| address.port()).collect();
    text.push_str("\nOn clients:\n\n");
    if ports.contains(&SMB_PORT) {
        let _ = writeln!(text, "    Windows                \\\\{host}\\{name}");
        let _ = writeln!(text, "    macOS, GNOME, KDE      smb://{host}/{name}");
        let user = user.map_or_else(String::new, |user| format!(" /USER:{user}"));
        let _ = writeln!(text, "    Linux                  net use /mnt //{host}/{name}{user}");
    } else {
        let port = ports.first().copied().unwrap_or(SMB_PORT);
        let _ = writeln!(text, "    macOS, GNOME, KDE      smb://{host}:{port}/{name}");
        let user = user.map_or_else(|| String::from("-N"), |user| format!("-U {user}"));
        let _ = writeln!(text, "    smbclient              smbclient -p {port} //{host}/{name} {user}");
        text.push_str("    Windows uses port 445 only, unless its version has 'net use /TCPPORT'.\n");
    }
    let _ = writeln!(
        text,
        "\nObstacles on this machine: 'shareward doctor'. Who is connected: 'shareward session{socket}'."
    );
    clean_lines(&text)
}

/// The text with each line cleaned.
fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean_line(line) + "\n").collect()
}

/// The places of the systemd unit.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/shareward.service",
    "/usr/lib/systemd/system/shareward.service",
    "/lib/systemd/system/shareward.service",
];

#[cfg(test)]
mod tests {
    use super::super::Places;
    use super::*;

    fn plan(directory: &Path) -> Plan {
        Plan {
            shares: vec![(String::from("it's data$"), directory.join("a \\b"))],
            users: vec![String::from("ann"), String::from("bob \"b\"")],
            guest: false,
            read_only: true,
            listen: vec![String::from("127.0.0.1:4450"), String::from(":4451")],
            unix_accounts: false,
            places: Places::of(Some(directory)).unwrap_or_else(|_| unreachable!()),
        }
    }

    #[test]
    fn written_settings_are_those_of_the_plan() {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan(directory.path());
        let text = text(&plan).unwrap();
        let read = config::parse(&text, directory.path(), setup::defaults()).unwrap();
        let [share] = read.shares.as_slice() else { panic!("{text}") };
        assert_eq!((&share.name, &share.path), (&plan.shares[0].0, &plan.shares[0].1));
        assert_eq!((&share.users, share.read_only, share.guest), (&plan.users, true, false));
        assert_eq!(read.listen, plan.addresses());
        assert_eq!(read.users_file, directory.path().join("users"));
        assert_eq!(read.control_socket, Some(directory.path().join("control.sock")));
        assert_eq!(read.state_directory, directory.path().join("state"));
    }

    #[test]
    fn report_says_that_a_user_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = plan(directory.path());
        assert!(!report(&plan).contains("Nobody"));
        plan.users.clear();
        let command = format!("shareward user add NAME --config {}", plan.places.config.display());
        assert!(report(&plan).contains(&command), "{}", report(&plan));
        plan.guest = true;
        assert!(!report(&plan).contains("Nobody"));
    }

    #[test]
    fn a_configuration_is_never_replaced_but_for_the_packaged_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shareward.toml");
        assert!(check_absent(&path).is_ok());
        fs::write(&path, setup::PACKAGED).unwrap();
        assert!(check_absent(&path).is_ok());
        let packaged = String::from_utf8_lossy(setup::PACKAGED);
        // The package of an older version.
        fs::write(&path, format!("# Older.\n{}", packaged.replace("# ", "#  "))).unwrap();
        assert!(check_absent(&path).is_ok());
        fs::write(&path, packaged.replace("administrators = []", "administrators = [\"alice\"]")).unwrap();
        assert!(check_absent(&path).is_err());
        fs::write(&path, "# Mine.\n").unwrap();
        assert!(matches!(check_absent(&path), Err(Failure::Plain(text)) if text.contains("exists already")));
    }
}
