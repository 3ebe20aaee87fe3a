//! Lists of opens (MS-SRVS 3.1.4.2 to 3.1.4.4).

use registry::{FileSnapshot, OpenRef, UserKind};
use wire::{FileGlobalId, FoldedName};

use super::walk::walk;
use super::{Caller, Error, Own, Right, Selection, audit, scope};
use crate::core::server::Server;

/// The opens meant, after the last one seen.
pub(crate) fn files(
    server: &Server,
    caller: &Caller,
    meant: Selection,
    after: Option<u32>,
) -> Result<impl Iterator<Item = FileSnapshot>, Error> {
    let scope = scope(caller, Right::ReadFiles, if meant.mine { Own::Only } else { Own::No })?;
    let Selection { filter, base_path, .. } = meant;
    let fetch =
        move |last, length| server.registry.lock("file_snapshots").file_snapshots(&filter, last, length);
    let all = walk(after.and_then(FileGlobalId::new), fetch);
    let own = caller.own_open;
    Ok(all.filter(move |it| {
        let begins = |base: &String| is_beginning(base, &it.path, server_path(server, it).as_deref());
        own != Some(it.global_id) && scope.has_file(it) && base_path.as_ref().is_none_or(begins)
    }))
}

/// True if the path on the server's disk begins with `base`, ignoring case, the kind of separators, and a drive. What is
/// not on the disk is compared by its path.
fn is_beginning(base: &str, path: &str, server_path: Option<&str>) -> bool {
    let [base, path] = [base, server_path.unwrap_or(path)].map(|it| FoldedName::new(&it.replace('\\', "/")));
    path.as_str().starts_with(base.as_str().strip_prefix("c:").unwrap_or(base.as_str()))
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
    // The path of the share may have variables.
    let open = server.registry.lock("server_path").open(OpenRef::Global(file.global_id));
    let directory = open.as_ref().map_or(&*share.settings.path, |open| open.attached.tree().path());
    let directory = directory.to_string_lossy();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_are_on_the_server() {
        let (path, server_path) = (r"Reports\May.txt", Some("/srv/data/Reports/May.txt"));
        for (base, meant) in [
            (r"C:\srv\data", true),
            ("c:/SRV/Data/rep", true),
            ("/srv/data/Reports/may.txt", true),
            ("", true),
            (r"C:\srv\other", false),
            (r"Reports", false),
        ] {
            assert_eq!(is_beginning(base, path, server_path), meant, "{base}");
        }
    }
}
