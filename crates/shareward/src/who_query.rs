//! The query of `net who` and `net wait`: the opens of a path.

use std::path::{Path, absolute};

use client::Administration;
use control::{FileQuery, OpenFile, Who, WhoQuery, number};
use wire::names::path_below;

use crate::administration::ServerTarget;
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::Numbered;
use crate::messages;

/// The share that the path is relative to.
pub(crate) const SHARE: Switch = Switch::own("SHARE", Takes::Value);

/// The switches of the query.
pub(crate) const SWITCHES: [Switch; 1] = [SHARE];

/// The query in `words`. A path that names neither a server nor a share is one on this machine, relative to the
/// working directory.
pub(crate) fn question(words: &Words, target: &ServerTarget) -> Result<WhoQuery, Numbered> {
    let [path] = words.operands.as_slice() else {
        return Err(Numbered::new(messages::ARGUMENT_COUNT_NUMBER));
    };
    let share = words.value(&SHARE).map(str::to_owned);
    let unc = path.starts_with(r"\\") || path.starts_with("//");
    let local = share.is_none() && !unc && target.is_here();
    let path = if local { on_this_machine(path) } else { path.clone() };
    Ok(WhoQuery { path, share, wait: None })
}

/// The path as the server has it: absolute and, as far as it exists, without symbolic links.
fn on_this_machine(path: &str) -> String {
    let Ok(whole) = absolute(path) else { return path.to_owned() };
    let known = whole.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    let resolved = known.and_then(|(part, real)| {
        let rest = whole.strip_prefix(part).ok()?;
        Some(if rest == Path::new("") { real } else { real.join(rest) })
    });
    resolved.unwrap_or(whole).to_string_lossy().into_owned()
}

/// Asks the server. If it does not support the query, filters its list of opens instead.
pub(crate) async fn ask(server: &dyn Administration, query: &WhoQuery) -> Result<Who, client::Error> {
    let refused = match server.who(query).await {
        Err(error) if error.number() == number::NOT_SUPPORTED => error,
        answer => return answer,
    };
    let (share, path) = below_share(query);
    let has_drive = matches!(path.as_bytes(), [_, b':', ..]);
    if share.is_none() && !path.starts_with(['/', '\\']) && !has_drive {
        let why = format!("{path} does not name a share; use --share NAME or //server/share/path");
        return Err(control::Error::new(number::INVALID_PARAMETER, "The parameter is incorrect.")
            .with_hint(why)
            .into());
    }
    let filter = FileQuery { share: share.clone(), ..FileQuery::default() };
    let mut holders = server.files(&filter).await?;
    // Some servers report names only: that none fits is no answer.
    let is_partial = share.is_none() && holders.iter().any(|file| !file.pipe && file.server_path.is_none());
    holders.retain(|file| is_at_or_below(file, &path));
    if holders.is_empty() && is_partial {
        return Err(refused);
    }
    Ok(Who { share, path, holders, ..Who::default() })
}

/// Splits `\\server\share\path` into share and path.
fn below_share(query: &WhoQuery) -> (Option<String>, String) {
    let path = query.path.replace('/', r"\");
    if query.share.is_none()
        && let Some(rest) = path.strip_prefix(r"\\")
        && let Some((_server, rest)) = rest.split_once('\\')
    {
        let (share, path) = rest.split_once('\\').unwrap_or((rest, ""));
        return (Some(share.to_owned()), path.to_owned());
    }
    (query.share.clone(), query.path.clone())
}

/// True if the open is of this path or of something below it.
fn is_at_or_below(file: &OpenFile, path: &str) -> bool {
    let paths = [Some(&file.path), file.server_path.as_ref()];
    paths.into_iter().flatten().any(|it| path_below(it, path).is_some())
}

/// The path of the query, on one line, for messages.
pub(crate) fn subject(who: &Who) -> String {
    let path = if who.path.is_empty() { r"\" } else { &who.path };
    match &who.share {
        Some(share) if who.path.is_empty() => format!("the share {share}"),
        Some(share) => format!("{path} on {share}"),
        None => path.to_owned(),
    }
}

/// All switches of a command that uses the query.
pub(crate) fn known(own: &[Switch]) -> Vec<Switch> {
    cli::asking(&[&SWITCHES, own].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, server_path: Option<&str>) -> OpenFile {
        OpenFile { path: path.into(), server_path: server_path.map(str::to_owned), ..OpenFile::default() }
    }

    #[test]
    fn a_path_matches_itself_and_everything_below_it() {
        let report = file(r"Plan\Report.docx", Some("/srv/projects/Plan/Report.docx"));
        for (path, expected) in [
            (r"plan\report.docx", true),
            ("plan", true),
            ("/plan/", true),
            ("/srv/projects/plan", true),
            ("", true),
            ("pla", false),
            ("report.docx", false),
            ("/srv/projects/plan/report.docx/x", false),
        ] {
            assert_eq!(is_at_or_below(&report, path), expected, "{path}");
        }
    }

    #[test]
    fn a_unc_path_names_its_share() {
        let apart = |path: &str| below_share(&WhoQuery { path: path.into(), ..WhoQuery::default() });
        assert_eq!(apart(r"\\nas\data\a\b"), (Some("data".into()), r"a\b".into()));
        assert_eq!(apart("//nas/data"), (Some("data".into()), String::new()));
        assert_eq!(apart("/srv/data/a"), (None, "/srv/data/a".into()));
    }
}
