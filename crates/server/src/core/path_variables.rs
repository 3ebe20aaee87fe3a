//! Variables in the path of a share, and names from outside as components of paths.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use auth::IdentityKind;
use vfs::Actor;

use crate::core::domain::unix_names;
use crate::core::identity;
use crate::core::session::User;

/// The values of the variables for one tree connect.
pub(crate) struct Variables<'a> {
    /// The user of the session.
    pub(crate) user: &'a User,
    /// The name of the share.
    pub(crate) share: &'a str,
    /// The address of the client.
    pub(crate) client: IpAddr,
}

/// True if the path of a share has variables.
pub(crate) fn has_variables(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.match_indices('%').any(|(at, _)| {
        let next = text.get(at..).and_then(|rest| rest.chars().nth(1));
        next.is_some_and(|letter| LETTERS.contains(letter))
    })
}

/// The directory that all values of a path are in: its beginning without variables. Home directories are in /home.
pub(crate) fn constant_part(path: &Path) -> PathBuf {
    if !has_variables(path) {
        return path.to_path_buf();
    }
    if path.to_string_lossy().starts_with("%H") {
        return PathBuf::from(HOMES);
    }
    path.iter().take_while(|component| !has_variables(Path::new(component))).collect()
}

/// The part of an expanded path that only administrators can change: what is before the variables, or the home directory.
/// `None` if the home directory is not a whole component.
pub(crate) fn trusted_part(path: &Path, expanded: &Path) -> Option<PathBuf> {
    let text = path.to_string_lossy();
    let Some(rest) = text.strip_prefix("%H") else { return Some(constant_part(path)) };
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    let below = Path::new(rest).components().filter(|part| *part != Component::RootDir).count();
    expanded.ancestors().nth(below).map(Path::to_path_buf)
}

/// The usual place of home directories. A server in its sandbox has no access to others.
const HOMES: &str = "/home";

/// The path with the values of its variables. A value is one component, except for the home directory, with which a path
/// begins. The error is the reason for the log.
pub(crate) fn expanded(path: &Path, variables: &Variables<'_>) -> Result<PathBuf, String> {
    let text = path.to_str().ok_or("the path of the share is not UTF-8")?;
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        whole.push_str(before);
        let letter = after.chars().next().filter(|letter| LETTERS.contains(*letter));
        rest = match letter {
            Some(letter) => {
                whole.push_str(&value(letter, variables)?);
                after.get(letter.len_utf8()..).unwrap_or_default()
            }
            None => {
                whole.push('%');
                after
            }
        };
    }
    whole.push_str(rest);
    Ok(PathBuf::from(whole))
}

/// The variables: user, group, home directory, client, share.
const LETTERS: &str = "UGHIS";

fn value(letter: char, variables: &Variables<'_>) -> Result<String, String> {
    let Variables { user, share, client } = variables;
    let user_of = |letter| match user.kind {
        IdentityKind::User => Ok(*user),
        _ => Err(format!("the path of the share has %{letter}, and guests have no directory")),
    };
    match letter {
        'U' => {
            let name = &user_of('U')?.name;
            of_user(name).ok_or_else(|| no_directory(name))
        }
        'G' => match &user_of('G')?.actor {
            Actor::User(identity) => {
                let name = identity::group_name(identity.gid);
                in_path(&name.ok_or_else(|| format!("the Unix group {} has no name", identity.gid))?)
            }
            Actor::Process => Err(String::from("%G needs unix_identities = true")),
        },
        'H' => home(user_of('H')?),
        // The colons of IPv6 addresses are no characters of names on Windows.
        'I' => in_path(&client.to_canonical().to_string().replace(':', "-")),
        _ => in_path(share),
    }
}

/// The home directory of the user's Unix account.
fn home(user: &User) -> Result<String, String> {
    let names = match &user.domain {
        Some(domain) => unix_names(domain),
        None => vec![user.name.clone()],
    };
    let home = names.iter().find_map(|name| identity::home_of(name));
    let home = home.ok_or("the user has no Unix account with a home directory")?;
    let text = home.to_str().filter(|text| text.starts_with('/') && !text.trim_end_matches('/').is_empty());
    text.map(str::to_owned).ok_or_else(|| String::from("the home directory of the user is none of its own"))
}

fn in_path(name: &str) -> Result<String, String> {
    component(name).ok_or_else(|| no_directory(name))
}

fn no_directory(name: &str) -> String {
    format!("{} cannot be the name of a directory", crate::core::audit::loggable(name))
}

/// The name of a user as one component of a path; `None` as with [`component`]. `CORP\carol` becomes `CORP+carol`, and a `+`
/// in the name of a user `++`, so that no two users have one directory.
pub(crate) fn of_user(name: &str) -> Option<String> {
    let name = match name.split_once('\\') {
        Some((domain, name)) => format!("{domain}+{}", name.replace('+', "++")),
        None => name.replace('+', "++"),
    };
    component(&name)
}

/// The name as one component of a path. `None` if it cannot be one: a name that is empty, begins with a dot, is too long,
/// or has a separator or a control character.
fn component(name: &str) -> Option<String> {
    let name = name.to_owned();
    let is_good = |c: char| !c.is_control() && !"/\\:*?\"<>|%".contains(c);
    let is_component = !name.is_empty()
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && name.len() <= COMPONENT_BYTES_MAX
        && name.chars().all(is_good);
    is_component.then_some(name)
}

/// The longest component in bytes: less than any file system permits.
const COMPONENT_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::security::Token;

    fn user(name: &str, kind: IdentityKind) -> User {
        let (actor, token) = (Actor::Process, Token::default());
        User { name: name.to_owned(), kind, actor, domain: None, token, administrator: false }
    }

    fn of(path: &str, user: &User) -> Result<PathBuf, String> {
        let client = "::ffff:192.0.2.7".parse().unwrap();
        expanded(Path::new(path), &Variables { user, share: "data", client })
    }

    #[test]
    fn variables_have_the_values_of_the_tree_connect() {
        let carol = user("carol", IdentityKind::User);
        for (path, expected) in [
            ("/srv/%U", "/srv/carol"),
            ("/srv/%S/%I/%U.d", "/srv/data/192.0.2.7/carol.d"),
            ("/srv/100%", "/srv/100%"),
            ("/srv/%%U", "/srv/%carol"),
            ("/srv/%x", "/srv/%x"),
        ] {
            assert_eq!(of(path, &carol).unwrap(), Path::new(expected), "{path}");
        }
        assert_eq!(
            of("/srv/%U", &user("CORP\\carol", IdentityKind::User)).unwrap(),
            Path::new("/srv/CORP+carol")
        );
        assert!(has_variables(Path::new("%H")) && has_variables(Path::new("/a/%Ub")));
        for (path, part) in [
            ("/srv/%S/%U", "/srv"),
            ("/srv/a%Ub/c", "/srv"),
            ("%H/files", "/home"),
            ("/srv/100%", "/srv/100%"),
        ] {
            assert_eq!(constant_part(Path::new(path)), Path::new(part));
        }
        let trusted = |path: &str, expanded: &str| {
            trusted_part(Path::new(path), Path::new(expanded)).map(|it| it.to_string_lossy().into_owned())
        };
        assert_eq!(trusted("/srv/%S/%U", "/srv/data/carol").as_deref(), Some("/srv"));
        assert_eq!(trusted("%H", "/home/carol").as_deref(), Some("/home/carol"));
        assert_eq!(trusted("%H/%U/../x/", "/home/carol/carol/../x/").as_deref(), Some("/home/carol"));
        assert_eq!(trusted("%Hx", "/home/carolx"), None);
        assert!(!has_variables(Path::new("/srv/100%")) && !has_variables(Path::new("/%x/%")));
    }

    #[test]
    fn users_without_a_directory_of_their_own_are_refused() {
        for name in ["..", "", "a/b", "../etc", ".ssh", "a\0", "%S"] {
            assert!(of("/srv/%U", &user(name, IdentityKind::User)).is_err(), "{name:?}");
        }
        assert!(of("/srv/%U", &user("carol", IdentityKind::Guest)).is_err());
        assert!(of("%H", &user("nobody of this name", IdentityKind::User)).is_err());
        assert!(of("/srv/%G", &user("carol", IdentityKind::User)).is_err());
    }

    #[test]
    fn names_that_could_lead_elsewhere_are_no_components() {
        assert_eq!(component("carol").as_deref(), Some("carol"));
        for (name, expected) in [
            ("carol", "carol"),
            ("CORP\\carol", "CORP+carol"),
            ("CORP+carol", "CORP++carol"),
            ("CORP\\+carol", "CORP+++carol"),
            ("c++", "c++++"),
        ] {
            assert_eq!(of_user(name).as_deref(), Some(expected));
        }
        assert_eq!(component("jürgen m.").as_deref(), None);
        let long = "x".repeat(201);
        for name in ["", ".", "..", ".ssh", "a/b", "../a", "a\\b\\c", "a\0b", "a\n", "c:", "a.", "%U", &long]
        {
            assert_eq!(component(name), None, "{name:?}");
        }
    }
}
