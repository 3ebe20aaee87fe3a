//! NetrFileEnum, NetrFileGetInfo, NetrFileClose (MS-SRVS 3.1.4.2 to 3.1.4.4).

use control::CloseFile;
use rpc::Win32Error;
use rpc::srvsvc::{
    FileCloseRequest, FileCloseResponse, FileEnumRequest, FileEnumResponse, FileEnumStruct,
    FileGetInfoRequest, FileGetInfoResponse, FileInfo, FileInfo2, FileInfo3,
};

use super::drive_path;
use super::listing::{after, fill, saturated};
use crate::admin::{self, Caller, Error, FileSnapshot, Own, Selection};
use crate::core::server::Server;

pub(super) fn enumerate(
    server: &Server,
    caller: &Caller,
    request: &FileEnumRequest,
) -> Result<FileEnumResponse, Error> {
    let all = admin::files(server, caller, meant(server, request)?, after(request.resume_handle))?;
    let (room, id) = (request.preferred_maximum_length, |it: &FileSnapshot| it.global_id.value());
    let (info, end) = match request.info.level() {
        2 => fill(all, room, id, level_2, FileEnumStruct::Level2),
        3 => fill(all, room, id, |it| level_3(server, it), FileEnumStruct::Level3),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(FileEnumResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

pub(super) fn get(
    server: &Server,
    caller: &Caller,
    request: &FileGetInfoRequest,
) -> Result<FileGetInfoResponse, Error> {
    let file = admin::file(server, caller, request.file_id, Own::No)?;
    let info = match request.level {
        2 => FileInfo::Level2(level_2(&file)),
        3 => FileInfo::Level3(level_3(server, &file)),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(FileGetInfoResponse { info, status: Win32Error::SUCCESS })
}

pub(super) fn close(
    server: &Server,
    caller: &Caller,
    request: &FileCloseRequest,
) -> Result<FileCloseResponse, Error> {
    // The file is closed at once, as in MS-SRVS 3.1.4.4: a NetrFileClose must not take as long as a client likes.
    admin::close_file_at_once(server, caller, request.file_id, Own::No, &CloseFile::default())
        .map_err(|refused| refused.error)?;
    Ok(FileCloseResponse { status: Win32Error::SUCCESS })
}

/// The filters of a request. `UserName` is a client if it begins with two backslashes (MS-SRVS 3.1.4.2).
fn meant(server: &Server, request: &FileEnumRequest) -> Result<Selection, Error> {
    let base_path = request.base_path.clone().filter(|it| !it.is_empty());
    let name = request.user_name.as_deref();
    let meant = match name {
        Some(client) if client.starts_with(r"\\") => Selection::of_parameters(server, name, None)?,
        _ => Selection::of(server, None, name),
    };
    Ok(Selection { base_path, ..meant })
}

fn level_2(file: &FileSnapshot) -> FileInfo2 {
    FileInfo2 { id: file.global_id.value() }
}

fn level_3(server: &Server, file: &FileSnapshot) -> FileInfo3 {
    let path = admin::server_path(server, file);
    FileInfo3 {
        id: file.global_id.value(),
        permissions: control::smb::permissions(file.access, file.is_directory),
        num_locks: saturated(file.locks.iter().filter(|it| !it.waiting).count()),
        path_name: Some(path.map_or_else(|| pipe_path(&file.path), |it| drive_path(&it))),
        user_name: Some(file.user.to_string()),
    }
}

fn pipe_path(name: &str) -> String {
    format!(r"\PIPE\{}", name.trim_start_matches('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(user_name: Option<&str>) -> FileEnumRequest {
        FileEnumRequest {
            server_name: None,
            base_path: None,
            user_name: user_name.map(String::from),
            info: FileEnumStruct::empty(3),
            preferred_maximum_length: u32::MAX,
            resume_handle: None,
        }
    }

    #[test]
    fn user_name_with_backslashes_is_a_client() {
        let settings = crate::core::config::Settings::conventional(false, |_| None);
        let server = Server::new(settings, auth::UserDb::default()).unwrap();
        for (name, expected) in [
            (r"\\192.0.2.1", Selection::of(&server, Some("192.0.2.1"), None)),
            (r"DOM\alice", Selection::of(&server, None, Some(r"dom\ALICE"))),
            ("", Selection::default()),
        ] {
            assert_eq!(meant(&server, &request(Some(name))), Ok(expected), "{name}");
        }
    }
}
