//! Lists of opens (MS-SRVS 3.1.4.2 to 3.1.4.4).

use control::glob;
use registry::{FileFilter, FileSnapshot, Part, UserKind};
use wire::{FileGlobalId, SessionGlobalId};

use super::walk::walk;
use super::{AccountFilter, Caller, Computer, Error, Own, Right, audit, scope};
use crate::core::server::Server;

/// The conditions that select opens; without conditions, all match.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileSelection {
    pub(crate) computer: Option<Computer>,
    pub(crate) account: Option<AccountFilter>,
    pub(crate) share: Option<String>,
    pub(crate) path: Option<PathSelection>,
    pub(crate) session: Option<u32>,
    /// True to select only the caller's own opens.
    pub(crate) mine: bool,
}

/// A condition for paths, without regard to case, with `/` equal to `\`.
#[derive(Clone, Debug)]
pub(crate) enum PathSelection {
    /// The path in the share or on the server matches this pattern ([`control::glob`]).
    Like(String),
    /// The path on the server begins with this text (`BasePath` of MS-SRVS 3.1.4.2).
    Beginning(String),
}

impl PathSelection {
    fn is(&self, path: &str, server_path: Option<&str>) -> bool {
        match self {
            Self::Like(pattern) => {
                glob::matches(pattern, path) || server_path.is_some_and(|it| glob::matches(pattern, it))
            }
            Self::Beginning(base) => {
                let path = folded(path);
                let server_path = server_path.map(folded);
                let base = folded(base);
                let base = base.strip_prefix("c:").unwrap_or(&base);
                server_path.as_deref().unwrap_or(&path).starts_with(base)
            }
        }
    }
}

/// The matching opens, after the last one seen.
pub(crate) fn files(
    server: &Server,
    caller: &Caller,
    meant: FileSelection,
    after: Option<u32>,
) -> Result<impl Iterator<Item = FileSnapshot>, Error> {
    let FileSelection { computer, account, share, path, session, mine } = meant;
    let scope = scope(caller, Right::ReadFiles, if mine { Own::Only } else { Own::No })?;
    let session = session.map(|id| SessionGlobalId::new(id).ok_or(id));
    let nowhere = matches!(session, Some(Err(_)));
    let session = session.and_then(Result::ok);
    let user = account.as_ref().map(|it| it.user().to_owned());
    let fetch = move |last, length| {
        let filter = FileFilter {
            user: user.as_deref(),
            client: computer.as_ref().map(Computer::as_str),
            share: share.as_deref(),
            session,
        };
        if nowhere {
            return Part { entries: Vec::new(), last: None };
        }
        server.registry.lock("file_snapshots").file_snapshots(&filter, last, length)
    };
    let all = walk(after.and_then(FileGlobalId::new), fetch);
    Ok(all.filter(move |it| {
        scope.has_file(it)
            && account.as_ref().is_none_or(|meant| meant.is(it.user_kind, &it.domain, &it.user))
            && path.as_ref().is_none_or(|meant| meant.is(&it.path, server_path(server, it).as_deref()))
    }))
}

/// One open that the caller may see. A caller who may not see all opens receives the same error for an
/// unknown id as for another user's open.
pub(crate) fn file(server: &Server, caller: &Caller, id: u32, own: Own) -> Result<FileSnapshot, Error> {
    within(server, caller, id, Right::ReadFiles, own)
}

/// One open for which the caller has this right.
pub(super) fn within(
    server: &Server,
    caller: &Caller,
    id: u32,
    right: Right,
    own: Own,
) -> Result<FileSnapshot, Error> {
    let scope = scope(caller, right, own)?;
    match find(server, id) {
        Ok(file) if scope.has_file(&file) => Ok(file),
        Err(error) if scope.is_everything() => Err(error),
        _ => {
            audit::denied(caller, right);
            Err(Error::AccessDenied)
        }
    }
}

/// The path on the server's disk; `None` for a pipe.
pub(crate) fn server_path(server: &Server, file: &FileSnapshot) -> Option<String> {
    file.target.file()?;
    let share = server.share(&file.share)?;
    let directory = share.settings.path.to_string_lossy();
    let directory = directory.trim_end_matches('/');
    if file.path.is_empty() {
        return Some(if directory.is_empty() { String::from("/") } else { directory.to_owned() });
    }
    let mut path = String::with_capacity(directory.len() + 1 + file.path.len());
    path.push_str(directory);
    for name in file.path.trim_start_matches('\\').split('\\') {
        path.push('/');
        path.push_str(name);
    }
    Some(path)
}

fn find(server: &Server, id: u32) -> Result<FileSnapshot, Error> {
    let id = FileGlobalId::new(id).ok_or(Error::NoSuchFile)?;
    server.registry.lock("file_snapshot").file_snapshot(id).ok_or(Error::NoSuchFile)
}

/// A description of the open for the audit log.
pub(super) fn describe(file: &FileSnapshot) -> String {
    format!(
        r"file {} {}\{} of {}{} on \\{}",
        file.global_id.value(),
        file.share,
        file.path,
        guest(file.user_kind),
        file.user,
        file.client
    )
}

/// The prefix for names that guests have chosen themselves.
pub(super) fn guest(kind: UserKind) -> &'static str {
    if kind == UserKind::Guest { "guest " } else { "" }
}

/// The path in its form for comparisons: in lower case, with `/` as the separator.
pub(super) fn folded(path: &str) -> String {
    path.to_lowercase().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_by_base_path_and_by_pattern() {
        let (path, server_path) = (r"Reports\May.txt", Some("/srv/data/Reports/May.txt"));
        for (base, meant) in [
            (r"C:\srv\data", true),
            ("c:/SRV/Data/rep", true),
            ("/srv/data/Reports/may.txt", true),
            ("", true),
            (r"C:\srv\other", false),
            (r"Reports", false),
        ] {
            assert_eq!(PathSelection::Beginning(base.into()).is(path, server_path), meant, "{base}");
        }
        for (part, meant) in
            [("may", true), ("srv/data", true), (r"data\reports", true), ("*.txt", true), ("june", false)]
        {
            assert_eq!(PathSelection::Like(part.into()).is(path, server_path), meant, "{part}");
        }
        assert!(PathSelection::Like("svc".into()).is("srvsvc", None));
    }
}
