//! The holders of a file or of a directory's contents, and the refused requests for it.

use std::path::PathBuf;

use registry::{FileSnapshot, Hold, HoldId, HoldPlace, Refusal};
use wire::names::path_below;
use wire::{FoldedName, eq_ignore_case};

use super::walk::walk;
use super::{Caller, Error, Own, Right, scope, server_path};
use crate::core::server::Server;
use crate::core::tree::ShareContent;

/// The place of a file or directory in a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharePath {
    pub(crate) share: String,
    /// The path below the share, with backslashes; empty for its root.
    pub(crate) path: String,
    /// The directory that the path is in, if the path of the share has variables and a path on the disk was asked for.
    directory: Option<String>,
}

/// The places of a question's path: a file or directory may be in several shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The shares' places that contain it, the innermost first, and then the places below it.
    places: Vec<SharePath>,
    /// The number of places that contain it.
    around: usize,
}

impl Wanted {
    /// The places.
    pub(crate) fn places(&self) -> &[SharePath] {
        &self.places
    }

    /// True if it is in no share.
    pub(crate) const fn is_nowhere(&self) -> bool {
        self.places.is_empty()
    }

    /// All places of the path, for a hold.
    pub(super) fn hold_places(&self) -> Vec<HoldPlace> {
        let place =
            |it: &SharePath| HoldPlace { share: it.share.as_str().into(), path: it.path.as_str().into() };
        self.places.iter().map(place).collect()
    }

    /// The place in the innermost share; `None` if the path is only above shares.
    pub(crate) fn place(&self) -> Option<&SharePath> {
        self.places.first().filter(|_| self.around > 0)
    }
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub(crate) struct Having {
    pub(crate) holders: Vec<FileSnapshot>,
    /// The refusals, the latest last.
    pub(crate) refusals: Vec<Refusal>,
    /// The holds on the path, above it or below it.
    pub(crate) holds: Vec<(HoldId, Hold)>,
}

/// Resolves a path on the server's disk, a path in `share`, or `\\server\share\path`. Does not check rights:
/// part of [`who`].
pub(crate) fn wanted(server: &Server, path: &str, share: Option<&str>) -> Result<Wanted, Error> {
    let named = |share: &str| server.share(share).map(|it| it.settings.name.clone());
    find(path, share, named, || directories(server))
}

/// As [`wanted`], also in the shares of the cluster that this server does not own, but perhaps did: part of
/// [`super::history`].
pub(crate) fn wanted_in_past(server: &Server, path: &str, share: Option<&str>) -> Result<Wanted, Error> {
    let of_cluster = |share: &str| server.share_of_cluster(share).map(|it| it.settings.name);
    let named =
        |share: &str| server.share(share).map(|it| it.settings.name.clone()).or_else(|| of_cluster(share));
    let all = || {
        let mut all = directories(server);
        for share in server.shares_of_cluster() {
            if server.share(&share.settings.name).is_none() {
                let paths = vec![share.settings.path];
                all.push(Directories { share: share.settings.name, paths, has_variables: false });
            }
        }
        all
    };
    find(path, share, named, all)
}

/// The directories of a share.
struct Directories {
    share: String,
    paths: Vec<PathBuf>,
    /// True if the path of the share has variables: it stands for the directories that are in use.
    has_variables: bool,
}

fn directories(server: &Server) -> Vec<Directories> {
    let shares = server.shares();
    let disks = shares.iter().filter(|it| matches!(it.content, ShareContent::Disk(_)));
    let of = disks.map(|share| {
        let has_variables = share.settings.has_variables();
        let paths = match share.directory().filter(|_| has_variables) {
            Some(directory) => directory.paths_in_use(),
            None => vec![share.settings.path.clone()],
        };
        Directories { share: share.settings.name.clone(), paths, has_variables }
    });
    of.collect()
}

fn find(
    path: &str,
    share: Option<&str>,
    named: impl Fn(&str) -> Option<String>,
    directories: impl FnOnce() -> Vec<Directories>,
) -> Result<Wanted, Error> {
    let in_share = |share: &str, path: &str| {
        let share = named(share).ok_or(Error::NoSuchShare)?;
        let Some(path) = components(path) else { return Ok(Wanted { places: Vec::new(), around: 0 }) };
        Ok(Wanted { places: vec![SharePath { share, path, directory: None }], around: 1 })
    };
    if let Some(share) = share {
        return in_share(share, path);
    }
    if let Some(rest) = path.strip_prefix("\\\\").or_else(|| path.strip_prefix("//")) {
        let mut parts = rest.splitn(3, ['/', '\\']).skip(1);
        let share = parts.next().filter(|it| !it.is_empty()).ok_or(Error::InvalidParameter)?;
        return in_share(share, parts.next().unwrap_or_default());
    }
    if !path.starts_with('/') {
        return Err(Error::InvalidParameter);
    }
    let Some(asked) = components(path) else { return Ok(Wanted { places: Vec::new(), around: 0 }) };
    let mut places: Vec<(bool, usize, SharePath)> = Vec::new();
    for Directories { share, paths, has_variables } in directories() {
        for directory in paths {
            let directory = directory.to_string_lossy().into_owned();
            let Some(parts) = components(&directory) else { continue };
            let inside = path_below(&asked, &parts);
            if inside.or(path_below(&parts, &asked)).is_none() {
                continue;
            }
            let (is_around, path) = (inside.is_some(), inside.unwrap_or_default().to_owned());
            let directory = has_variables.then_some(directory);
            places.push((is_around, parts.len(), SharePath { share: share.clone(), path, directory }));
        }
    }
    places.sort_by_key(|(is_around, length, _)| std::cmp::Reverse((*is_around, *length)));
    let around = places.iter().filter(|(is_around, ..)| *is_around).count();
    Ok(Wanted { places: places.into_iter().map(|(.., place)| place).collect(), around })
}

/// The names of a path, with backslashes between them. A name `..` takes back the one before; `None` if the path leads out of
/// the place where it begins.
fn components(path: &str) -> Option<String> {
    let mut names = Vec::new();
    for name in path.split(['/', '\\']) {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("\\"))
}

/// The opens of the path and of everything below it, and the recent refusals.
pub(crate) fn who(server: &Server, caller: &Caller, wanted: &Wanted) -> Result<Having, Error> {
    let scope = scope(caller, Right::ReadFiles, Own::No)?;
    if !wanted.places.iter().any(|it| scope.has_share(&it.share)) {
        super::audit::denied(caller, Right::ReadFiles);
        return Err(Error::AccessDenied);
    }
    let mut holders = Vec::new();
    for place in wanted.places.iter().filter(|it| scope.has_share(&it.share)) {
        let fetch =
            |last, length| server.registry.lock("who").files_below(&place.share, &place.path, last, length);
        let room = HOLDERS_MAX.saturating_sub(holders.len());
        // The opens of a share are in the directories of all its users.
        let is_there = |it: &FileSnapshot| {
            place.directory.as_deref().is_none_or(|directory| is_in_directory(server, it, directory))
        };
        holders.extend(walk(None, fetch).filter(is_there).take(room));
    }
    holders.sort_by_key(|it: &FileSnapshot| it.global_id);
    // A file that was renamed meanwhile may appear under both names.
    holders.dedup_by_key(|it| it.global_id);
    let mut refusals = server.registry.lock("refusals").refusals();
    refusals.reverse();
    refusals.retain(|it| {
        wanted.places.iter().any(|place| {
            scope.has_share(&place.share)
                && eq_ignore_case(&it.share, &place.share)
                && FoldedName::of(&it.path).rest_below(&FoldedName::new(&place.path)).is_some()
        })
    });
    let mut holds = Vec::new();
    for place in wanted.places.iter().filter(|it| scope.has_share(&it.share)) {
        holds.extend(server.registry.lock("holds").holds_of(&place.share, &place.path));
    }
    holds.sort_by_key(|(id, _)| *id);
    holds.dedup_by_key(|(id, _)| *id);
    Ok(Having { holders, refusals, holds })
}

/// True if the open is in this directory of a share.
fn is_in_directory(server: &Server, file: &FileSnapshot, directory: &str) -> bool {
    let path = server_path(server, file).unwrap_or_default();
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The limit of listed opens: for more, the list of opens has filters and pages.
const HOLDERS_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use auth::users::UserDb;

    use super::*;
    use crate::core::config::{Settings, ShareSettings};

    #[tokio::test]
    async fn paths_resolve_to_the_places_in_shares() {
        let mut settings = Settings::conventional(false, |_| None);
        settings.shares = vec![
            ShareSettings::new(String::from("Root"), PathBuf::from("/")),
            ShareSettings::new(String::from("Proc"), PathBuf::from("/proc/self/")),
        ];
        let server = Server::new(settings, UserDb::parse("").unwrap()).unwrap();
        let places = |path: &str, share: Option<&str>| {
            let wanted = wanted(&server, path, share)?;
            Ok(wanted.places.iter().map(|it| format!("{}:{}", it.share, it.path)).collect::<Vec<_>>())
        };
        assert_eq!(
            places("/proc/self/fd/1", None),
            Ok(vec!["Proc:fd\\1".into(), "Root:proc\\self\\fd\\1".into()])
        );
        assert_eq!(places("/proc//SELF/", None), Ok(vec!["Proc:".into(), "Root:proc\\SELF".into()]));
        assert_eq!(places("/proc", None), Ok(vec!["Root:proc".into(), "Proc:".into()]));
        assert_eq!(places("/proc/selfish", None), Ok(vec!["Root:proc\\selfish".into()]));
        assert_eq!(places("a/b\\C", Some("ROOT")), Ok(vec!["Root:a\\b\\C".into()]));
        assert_eq!(places("a/../b/./C", Some("ROOT")), Ok(vec!["Root:b\\C".into()]));
        assert_eq!(places("/proc/self/../selfish", None), Ok(vec!["Root:proc\\selfish".into()]));
        for outside in ["..", "../x", "a/../../x", "..\\a"] {
            assert_eq!(places(outside, Some("Proc")), Ok(vec![]), "{outside}");
        }
        for unc in ["\\\\server\\proc\\fd", "//server/PROC/fd"] {
            assert_eq!(places(unc, None), Ok(vec!["Proc:fd".into()]), "{unc}");
        }
        assert_eq!(places("\\\\server\\proc", None), Ok(vec!["Proc:".into()]));
        assert_eq!(places("\\\\server\\nope\\fd", None), Err(Error::NoSuchShare));
        assert_eq!(places("\\\\server", None), Err(Error::InvalidParameter));
        assert_eq!(places("a\\b", None), Err(Error::InvalidParameter));
    }
}
