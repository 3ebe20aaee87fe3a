//! Opens: NetrFileEnum, NetrFileGetInfo, NetrFileClose (MS-SRVS 3.1.4.2 to 3.1.4.4).

use control::{CloseFile, Ended, FileQuery, OpenFile, Share, Timestamp, address, number};
use rpc::Win32Error;
use rpc::srvsvc::{
    ENDPOINT, FileCloseRequest, FileEnumRequest, FileEnumStruct, FileGetInfoRequest, FileInfo, FileInfo2,
    FileInfo3,
};
use wire::names::path_below;

use super::call::{CallError, Refused, Rpc, list, make};
use super::{Knowledge, SrvsClient, check_supported, unsupported};
use crate::Error;
use crate::limits::CLOSE_LOOKS;

/// The levels, the most detailed first.
const LEVELS: [u32; 2] = [3, 2];

impl<R: Rpc> SrvsClient<R> {
    pub(super) async fn file_list(&self, query: &FileQuery) -> Result<Vec<OpenFile>, Error> {
        let mut files = match &query.client {
            Some(client) => self.files_of_computer(client).await?,
            None => self.all_files(None).await?,
        };
        self.add_shares_and_paths(&mut files).await;
        check_supported(
            query.idle.is_some(),
            &files,
            |it| it.idle_seconds.is_some(),
            "the idle times of files",
        )?;
        check_supported(query.age.is_some(), &files, |it| it.opened_at.is_some(), "the open times of files")?;
        check_supported(query.locked.is_some(), &files, |it| it.locks.is_some(), "the locks of files")?;
        check_supported(
            query.waiting.is_some(),
            &files,
            |it| it.waits_until.is_some(),
            "the opens that wait for their clients",
        )?;
        check_supported(
            query.writing.is_some(),
            &files,
            |it| it.permissions.is_some(),
            "the access of opens",
        )?;
        let now = Timestamp::now();
        let own = if query.mine == Some(true) { Some(self.own()?) } else { None };
        let asked = query.user.iter().chain(&own).find(|user| user.contains('@'));
        if let Some(domain) = self.domain_for(asked.map(String::as_str)).await {
            files.iter_mut().for_each(|file| file.realm = domain.realm_of(&file.user));
        }
        files.retain(|file| query.matches(file, now));
        if own.is_some() {
            let own = FileQuery { user: own, ..FileQuery::default() };
            files.retain(|file| own.matches(file, now));
        }
        files.sort_by_key(|file| file.id);
        Ok(files)
    }

    /// True if this is one of the caller's pipes for administration, as those of the requests themselves.
    pub(super) fn is_own_pipe(&self, file: &OpenFile) -> bool {
        let name = file.path.trim_start_matches('\\');
        let pipe = name.split_once('\\').filter(|(root, _)| root.eq_ignore_ascii_case("PIPE"));
        let is_pipe = pipe.is_some_and(|(_, name)| name.eq_ignore_ascii_case(ENDPOINT.pipe));
        let own = self.own().map(|user| FileQuery { user: Some(user), ..FileQuery::default() });
        is_pipe && own.is_ok_and(|own| own.matches(file, Timestamp::now()))
    }

    pub(super) async fn file_of_id(&self, id: u32) -> Result<OpenFile, Error> {
        for level in LEVELS {
            let server_name = Some(self.rpc.server_name());
            match make(&self.rpc, ENDPOINT, &FileGetInfoRequest { server_name, file_id: id, level }).await {
                Ok(response) => {
                    let mut files: Vec<OpenFile> = match response.info {
                        FileInfo::Level3(info) => vec![level_3(info)],
                        FileInfo::Level2(info) => vec![level_2(info)],
                        FileInfo::Absent(_) => Vec::new(),
                    };
                    self.add_shares_and_paths(&mut files).await;
                    return files.pop().ok_or_else(|| Error::Nonsense("a file without information".into()));
                }
                Err(refused) if refused.is_unknown() => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        let files = self.file_list(&FileQuery::default()).await?;
        files.into_iter().find(|file| file.id == id).ok_or_else(no_file)
    }

    pub(super) async fn file_close(&self, id: u32, how: &CloseFile) -> Result<Ended, Error> {
        if how.grace.is_some_and(|seconds| seconds > 0) {
            return Err(unsupported("this server closes at once and gives its clients no time".into()));
        }
        let mut file = self.file_of_id(id).await?;
        if let Some(domain) = self.domain_for(how.expect_user.as_deref()).await {
            file.realm = domain.realm_of(&file.user);
        }
        expect(&file, how)?;
        let request = FileCloseRequest { server_name: Some(self.rpc.server_name()), file_id: id };
        let closed = Ended { files: 1, ..Ended::default() };
        match make(&self.rpc, ENDPOINT, &request).await {
            Ok(_) => Ok(closed),
            // The open was the pipe of this call.
            Err(Refused::Call(CallError::Ended(_))) => Ok(closed),
            // Samba returns this for a successful close.
            Err(refused) if refused.is(Win32Error::FILE_NOT_FOUND) => {
                if self.is_closed_meanwhile(&file).await? { Ok(closed) } else { Err(refused.into()) }
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// Requests a close without a look at the list. Success says only that the server did not refuse: the caller has
    /// to check that the open is gone, because Samba reports a close with the same error as a missing open.
    pub(crate) async fn request_close(&self, id: u32) -> Result<(), Error> {
        let request = FileCloseRequest { server_name: Some(self.rpc.server_name()), file_id: id };
        match make(&self.rpc, ENDPOINT, &request).await {
            Ok(_) | Err(Refused::Call(CallError::Ended(_))) => Ok(()),
            Err(refused) if refused.is(Win32Error::FILE_NOT_FOUND) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Checks repeatedly if an open is gone after a close that seemed to fail.
    async fn is_closed_meanwhile(&self, file: &OpenFile) -> Result<bool, Error> {
        for wait in CLOSE_LOOKS {
            tokio::time::sleep(wait).await;
            let files = self.all_files(None).await?;
            if !files.iter().any(|it| it.id == file.id && it.server_path == file.server_path) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The opens of a computer, which entries do not contain.
    async fn files_of_computer(&self, client: &str) -> Result<Vec<OpenFile>, Error> {
        let mut files = self.all_files(Some(&address::display(client))).await?;
        if files.is_empty() && !self.knows_computers_of_files().await? {
            return Err(unsupported("this server does not report the computers of opens".into()));
        }
        for file in &mut files {
            file.computer = Some(address::bare(client).to_owned());
        }
        Ok(files)
    }

    /// Samba, whose sessions stop at level 1, takes the name of a computer for the name of a user.
    async fn knows_computers_of_files(&self) -> Result<bool, Error> {
        if self.knowledge().single_sessions.is_none() {
            self.all_sessions().await?;
        }
        Ok(self.can_end_single_sessions())
    }

    async fn all_files(&self, user_name: Option<&str>) -> Result<Vec<OpenFile>, Error> {
        let mut last = None;
        for level in LEVELS {
            match self.files_at(level, user_name).await {
                Ok(files) => return Ok(files),
                Err(refused) if refused.is_unknown() => last = Some(refused),
                Err(refused) => return Err(refused.of_list()),
            }
        }
        Err(last.map_or_else(|| unsupported("no level is left".into()), Error::from))
    }

    async fn files_at(&self, level: u32, user_name: Option<&str>) -> Result<Vec<OpenFile>, Refused> {
        let name = self.rpc.server_name();
        list(
            &self.rpc,
            ENDPOINT,
            |page| FileEnumRequest {
                server_name: Some(name.clone()),
                base_path: None,
                user_name: user_name.map(str::to_owned),
                info: FileEnumStruct::empty(level),
                preferred_maximum_length: page.bytes,
                resume_handle: page.resume,
            },
            |response| {
                let files = match response.info {
                    FileEnumStruct::Level3(entries) => entries.into_iter().map(level_3).collect(),
                    FileEnumStruct::Level2(entries) => entries.into_iter().map(level_2).collect(),
                    FileEnumStruct::Absent(_) => Vec::new(),
                };
                (files, response.resume_handle)
            },
        )
        .await
    }

    /// Adds the share and the path below it to each file, from the directories of the shares.
    async fn add_shares_and_paths(&self, files: &mut [OpenFile]) {
        if files.iter().all(|file| file.server_path.is_none()) {
            return;
        }
        let shares = match self.knowledge().shares {
            Some(shares) => shares,
            None => {
                // Users who may not list shares see only the server's paths; the list is requested again next time.
                let Ok(shares) = self.plain_share_list().await else { return };
                self.learn(|known| Knowledge { shares: Some(shares.clone()), ..known });
                shares
            }
        };
        for file in files {
            if let Some((share, path)) = file.server_path.as_deref().and_then(|path| below(&shares, path)) {
                file.path = path;
                file.share = Some(share);
            }
        }
    }
}

/// The share whose directory contains a path, and the path below it; the innermost one. `None` if two shares have the
/// same directory.
fn below(shares: &[Share], path: &str) -> Option<(String, String)> {
    let mut found: Option<(&Share, &str, bool)> = None;
    for share in shares {
        let directory = share.path.as_deref().filter(|it| !it.is_empty());
        let Some(rest) = directory.and_then(|directory| path_below(path, directory)) else { continue };
        found = match found {
            Some((_, other, _)) if other.len() < rest.len() => found,
            Some((share, other, _)) if other.len() == rest.len() => Some((share, other, false)),
            _ => Some((share, rest, true)),
        };
    }
    let (share, rest, only) = found?;
    only.then(|| (share.name.clone(), rest.replace('/', "\\")))
}

/// Fails with 2314 if the open is not the expected one.
fn expect(file: &OpenFile, how: &CloseFile) -> Result<(), Error> {
    if how.expects(file) { Ok(()) } else { Err(no_file()) }
}

fn no_file() -> Error {
    let message = "There is not an open file with that identification number.";
    control::Error::new(number::FILE_ID_NOT_FOUND, message).into()
}

fn level_2(info: FileInfo2) -> OpenFile {
    OpenFile { id: info.id, ..OpenFile::default() }
}

fn level_3(info: FileInfo3) -> OpenFile {
    let told = info.path_name.unwrap_or_default();
    let (path, server_path, pipe) = match pipe_name(&told) {
        Some(name) => (name.to_owned(), None, true),
        None => (told.clone(), Some(told), false),
    };
    OpenFile {
        id: info.id,
        path,
        server_path,
        user: info.user_name.unwrap_or_default(),
        permissions: Some(info.permissions),
        locks: Some(info.num_locks),
        pipe,
        ..OpenFile::default()
    }
}

/// The pipe that a path names: `\PIPE\srvsvc`, and on Windows `\srvsvc`; files have a drive.
fn pipe_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix('\\')?;
    let name = match name.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case(r"PIPE\") => name.get(5..)?,
        _ => name,
    };
    (!name.is_empty() && !name.contains(['\\', ':'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(name: &str, path: &str) -> Share {
        Share { name: name.into(), path: Some(path.into()), ..Share::default() }
    }

    #[test]
    fn paths_are_split_at_the_innermost_share() {
        let shares = [
            share("data", r"C:\srv\data"),
            share("inner", r"c:\SRV\data\inner\"),
            share("twin", r"C:\twins"),
            share("twin2", r"C:\Twins"),
            share("IPC$", ""),
        ];
        for (path, expected) in [
            (r"C:\srv\data\a\b.txt", Some(("data", r"a\b.txt"))),
            (r"C:\srv\data\inner\ü", Some(("inner", "ü"))),
            (r"C:\SRV\DATA", Some(("data", ""))),
            (r"C:\srv\database", None),
            (r"C:\twins\x", None),
            ("C:\\sr\u{fc}", None),
            (r"D:\srv\data\x", None),
        ] {
            let expected = expected.map(|(share, path): (&str, &str)| (share.to_owned(), path.to_owned()));
            assert_eq!(below(&shares, path), expected, "{path}");
        }
    }

    #[test]
    fn pipes_have_no_drive() {
        for (path, name) in [
            (r"\PIPE\srvsvc", Some("srvsvc")),
            (r"\pipe\srvsvc", Some("srvsvc")),
            (r"\lsarpc", Some("lsarpc")),
            (r"C:\x", None),
            (r"\", None),
            (r"\\?\C:\x", None),
            ("", None),
        ] {
            assert_eq!(pipe_name(path), name, "{path}");
        }
    }
}
