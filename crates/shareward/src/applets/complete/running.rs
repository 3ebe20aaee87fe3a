//! Words that the running server knows: shares, ids of open files, computers and users.

use std::path::PathBuf;
use std::time::Duration;

use client::{Administration as _, ControlClient};
use control::socket_paths::socket_candidates;
use control::{FileQuery, SessionQuery};

use super::{Candidate, Family, begins_with, find};
use crate::administration;

/// The time for the server's answer. A shell waits for the words at each key.
const PATIENCE: Duration = Duration::from_millis(300);

/// The most words that a shell is given.
const WORDS_MAX: usize = 1000;

/// A kind of object that the server lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Computers,
    Files,
    Groups,
    Shares,
    Users,
}

/// The words of the running server that can replace the last one of `words`; empty if no server answers in time.
pub(super) fn candidates(family: Family, words: &[String]) -> Vec<Candidate> {
    let Some((kind, front, partial)) = wanted(family, words) else { return Vec::new() };
    let client = ControlClient::new(sockets(words));
    let asked = async { Ok(tokio::time::timeout(PATIENCE, listed(&client, kind)).await) };
    let Ok(Ok(Ok(mut found))) = administration::run(asked) else { return Vec::new() };
    let fits = |it: &Candidate| begins_with(&it.word, partial) && !it.word.chars().any(char::is_control);
    found.retain(fits);
    found.sort_by(|one, other| one.word.cmp(&other.word));
    found.dedup_by(|one, other| one.word == other.word);
    found.truncate(WORDS_MAX);
    let shown = |it: Candidate| {
        Candidate::new(format!("{front}{}", it.word), crate::output::clean_line(&it.description))
    };
    found.into_iter().map(shown).collect()
}

/// The kind of the last word, the part of it that stays, and the part that is completed.
fn wanted(family: Family, words: &[String]) -> Option<(Kind, &str, &str)> {
    let [name, before @ .., partial] = words else { return None };
    if before.iter().any(|word| word == "--") {
        return None;
    }
    if let Some((switch, value)) = partial.split_once(['=', ':']).filter(|_| partial.starts_with('-')) {
        let front = partial.get(..switch.len().checked_add(1)?)?;
        return Some((of_switch(switch)?, front, value));
    }
    if let Some(switch) = before.last().filter(|word| word.starts_with("--"))
        && let Some(kind) = of_switch(switch)
    {
        return Some((kind, "", partial));
    }
    if partial.starts_with(['-', '/']) && !partial.starts_with("//") {
        return None;
    }
    let applet = find(family, name)?;
    let operands = before.iter().filter(|word| !word.starts_with(['-', '/'])).count();
    let kind = match (*applet.names.first()?, applet.family, operands) {
        ("file" | "psfile", _, 0) => Kind::Files,
        ("localgroup", _, 0) => Kind::Groups,
        ("localgroup", _, _) => Kind::Users,
        ("session", _, 0) => Kind::Computers,
        ("share", _, 0) => Kind::Shares,
        ("user", Family::Net, 0) => Kind::Users,
        ("user", Family::Own, 1) if before.first().is_some_and(|verb| verb == "passwd" || verb == "del") => {
            Kind::Users
        }
        _ => return None,
    };
    Some((kind, "", partial))
}

/// The kind of the value of a switch that filters lists.
fn of_switch(switch: &str) -> Option<Kind> {
    match switch.trim_start_matches('-').to_ascii_lowercase().as_str() {
        "client" => Some(Kind::Computers),
        "expect-user" | "user" => Some(Kind::Users),
        "share" => Some(Kind::Shares),
        _ => None,
    }
}

/// The sockets to ask: the one that the command line names, or the usual ones.
fn sockets(words: &[String]) -> Vec<PathBuf> {
    let named =
        words.iter().zip(words.iter().skip(1)).find(|(word, _)| word.eq_ignore_ascii_case("--socket"));
    let joined = || words.iter().find_map(|word| word.strip_prefix("--socket="));
    match named.map(|(_, path)| path.as_str()).or_else(joined) {
        Some(path) => vec![PathBuf::from(path)],
        None => socket_candidates(|name| std::env::var_os(name)),
    }
}

async fn listed(client: &ControlClient, kind: Kind) -> Result<Vec<Candidate>, client::Error> {
    Ok(match kind {
        Kind::Computers => {
            let sessions = client.sessions(&SessionQuery::default()).await?;
            sessions.into_iter().map(|it| Candidate::new(format!("//{}", it.computer), it.user)).collect()
        }
        Kind::Files => {
            let files = client.files(&FileQuery::default()).await?;
            let described = |user: &str, path: &str| format!("{path} ({user})");
            files
                .into_iter()
                .map(|it| Candidate::new(it.id.to_string(), described(&it.user, &it.path)))
                .collect()
        }
        Kind::Groups => {
            client.groups().await?.into_iter().map(|it| Candidate::new(it.name, it.comment)).collect()
        }
        Kind::Shares => {
            let shares = client.shares().await?.into_iter().filter(|it| !it.special);
            shares.map(|it| Candidate::new(it.name, it.comment)).collect()
        }
        Kind::Users => {
            let state = |enabled| if enabled { "" } else { "disabled" };
            client.users().await?.into_iter().map(|it| Candidate::new(it.name, state(it.enabled))).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Option<(Kind, String, String)> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (family, words) =
            if line.starts_with("net ") { (Family::Net, &words[1..]) } else { (Family::Own, &words[..]) };
        wanted(family, words).map(|(kind, front, partial)| (kind, front.to_owned(), partial.to_owned()))
    }

    #[test]
    fn position_on_the_line_decides_about_the_kind_of_word() {
        let of = |kind, front: &str, partial: &str| Some((kind, front.to_owned(), partial.to_owned()));
        assert_eq!(kind("net file "), of(Kind::Files, "", ""));
        assert_eq!(kind("net file /close 1"), of(Kind::Files, "", "1"));
        assert_eq!(kind("net file 7 "), None);
        assert_eq!(kind("net session //1"), of(Kind::Computers, "", "//1"));
        assert_eq!(kind("session --user al"), of(Kind::Users, "", "al"));
        assert_eq!(kind("session --user=al"), of(Kind::Users, "--user=", "al"));
        assert_eq!(kind("wait x --share d"), of(Kind::Shares, "", "d"));
        assert_eq!(kind("net share da"), of(Kind::Shares, "", "da"));
        assert_eq!(kind("net localgroup ed"), of(Kind::Groups, "", "ed"));
        assert_eq!(kind("net localgroup editors al"), of(Kind::Users, "", "al"));
        assert_eq!(kind("net user al"), of(Kind::Users, "", "al"));
        assert_eq!(kind("user passwd al"), of(Kind::Users, "", "al"));
        assert_eq!(kind("user add al"), None);
        assert_eq!(kind("net file /cl"), None);
        assert_eq!(kind("serve "), None);
        assert_eq!(kind("net file -- "), None);
    }
}
