//! Opens: what is open, and by whom (MS-SRVS 3.1.4.2 to 3.1.4.4).

use registry::{CloseReason, FileFilter, FileSnapshot};
use wire::FileGlobalId;

use super::walk::walk;
use super::{Account, Caller, Computer, Ended, Error, Right, audit, check};
use crate::server::Server;

/// Which opens are meant; no condition means all.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilesMeant {
    pub(crate) computer: Option<Computer>,
    pub(crate) account: Option<Account>,
    pub(crate) share: Option<String>,
    pub(crate) path: Option<PathMeant>,
}

/// Which paths are meant; compared without regard to case, `/` being the same as `\`.
#[derive(Clone, Debug)]
pub(crate) enum PathMeant {
    /// Those with this in their path in the share or on the server.
    Containing(String),
    /// Those that begin so on the server (`BasePath` of MS-SRVS 3.1.4.2).
    Beginning(String),
}

impl PathMeant {
    fn is(&self, path: &str, server_path: Option<&str>) -> bool {
        let path = folded(path);
        let server_path = server_path.map(folded);
        match self {
            Self::Containing(part) => {
                let part = folded(part);
                path.contains(&part) || server_path.is_some_and(|it| it.contains(&part))
            }
            Self::Beginning(base) => {
                let base = folded(base);
                let base = base.strip_prefix("c:").unwrap_or(&base);
                server_path.as_deref().unwrap_or(&path).starts_with(base)
            }
        }
    }
}

/// The opens meant, after the last one seen.
pub(crate) fn files(
    server: &Server,
    caller: &Caller,
    meant: FilesMeant,
    after: Option<u32>,
) -> Result<impl Iterator<Item = FileSnapshot>, Error> {
    check(caller, Right::ReadFiles)?;
    let FilesMeant { computer, account, share, path } = meant;
    let user = account.as_ref().map(|it| it.user().to_owned());
    let fetch = move |last, limit| {
        let filter = FileFilter {
            user: user.as_deref(),
            client: computer.as_ref().map(Computer::as_str),
            share: share.as_deref(),
            ..FileFilter::default()
        };
        server.registry.lock("file_snapshots").file_snapshots(&filter, last, limit)
    };
    let all = walk(after.and_then(FileGlobalId::new), |it: &FileSnapshot| it.global_id, fetch);
    Ok(all.filter(move |it| {
        account.as_ref().is_none_or(|meant| meant.is(&it.domain, &it.user))
            && path.as_ref().is_none_or(|meant| meant.is(&it.path, server_path(server, it).as_deref()))
    }))
}

/// One open.
pub(crate) fn file(server: &Server, caller: &Caller, id: u32) -> Result<FileSnapshot, Error> {
    check(caller, Right::ReadFiles)?;
    find(server, id)
}

/// Closes one open. What the client has cached and not written yet is lost to it.
pub(crate) fn close_file(server: &Server, caller: &Caller, id: u32) -> Result<Ended, Error> {
    check(caller, Right::CloseFiles)?;
    let file = find(server, id);
    let object = file.as_ref().map_or_else(|_| format!("file {id}"), describe);
    let outcome = file.and_then(|it| close(server, it.global_id));
    audit::act(caller, "close file", &object, &outcome);
    outcome
}

/// The path on the server's own disk; none for a pipe.
pub(crate) fn server_path(server: &Server, file: &FileSnapshot) -> Option<String> {
    file.target.file()?;
    let directory = server.share(&file.share)?.settings.path.to_string_lossy().into_owned();
    let directory = directory.trim_end_matches('/');
    if file.path.is_empty() {
        return Some(if directory.is_empty() { String::from("/") } else { directory.to_owned() });
    }
    Some(format!("{directory}/{}", file.path.trim_start_matches('\\').replace('\\', "/")))
}

fn find(server: &Server, id: u32) -> Result<FileSnapshot, Error> {
    let id = FileGlobalId::new(id).ok_or(Error::NoSuchFile)?;
    server.registry.lock("file_snapshot").file_snapshot(id).ok_or(Error::NoSuchFile)
}

fn close(server: &Server, id: FileGlobalId) -> Result<Ended, Error> {
    let mut state = server.registry.lock("close_file");
    let closed = state.close_open(id, CloseReason::Administrator, server.now());
    drop(state);
    let effects = closed.map_err(|registry::NotFound| Error::NoSuchFile)?;
    let ended = Ended { sessions: 0, files: effects.dropped.len() };
    server.apply(effects);
    Ok(ended)
}

fn describe(file: &FileSnapshot) -> String {
    format!(
        r"file {} {}\{} of {} on \\{}",
        file.global_id.value(),
        file.share,
        file.path,
        file.user,
        file.client
    )
}

fn folded(path: &str) -> String {
    path.to_lowercase().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_on_the_server_and_contain_anywhere() {
        let (path, server_path) = (r"Reports\May.txt", Some("/srv/data/Reports/May.txt"));
        for (base, meant) in [
            (r"C:\srv\data", true),
            ("c:/SRV/Data/rep", true),
            ("/srv/data/Reports/may.txt", true),
            ("", true),
            (r"C:\srv\other", false),
            (r"Reports", false),
        ] {
            assert_eq!(PathMeant::Beginning(base.into()).is(path, server_path), meant, "{base}");
        }
        for (part, meant) in [("may", true), ("srv/data", true), (r"data\reports", true), ("june", false)] {
            assert_eq!(PathMeant::Containing(part.into()).is(path, server_path), meant, "{part}");
        }
        assert!(PathMeant::Containing("svc".into()).is("srvsvc", None));
    }
}
