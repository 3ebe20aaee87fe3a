//! Security descriptors of files (MS-SRVS 3.1.4.35, 3.1.4.36). Callers who may see all files may read all
//! descriptors; others, and all who change one, need the same access as through the share.

use std::sync::Arc;

use auth::IdentityKind;
use wire::msg::AdditionalInformation;
use wire::security::SecurityDescriptor;
use wire::{AccessMask, NtStatus};

use vfs::{Actor, Backend, Opened, RelativePath, Wanted};

use super::{Caller, Ended, Error, Right, audit, may};
use crate::core::directory::Files;
use crate::core::domain::Unsure;
use crate::core::security::{self, Subject};
use crate::core::server::Server;
use crate::core::session::User;
use crate::core::tree::Share;

/// The parts of a file's descriptor that `which` selects.
pub(crate) fn file_security(
    server: &Server,
    caller: &Caller,
    share: &str,
    path: &str,
    which: AdditionalInformation,
) -> Result<SecurityDescriptor, Error> {
    behind(server, share, || file_security_now(server, caller, share, path, which))
}

fn file_security_now(
    server: &Server,
    caller: &Caller,
    share: &str,
    path: &str,
    which: AdditionalInformation,
) -> Result<SecurityDescriptor, Error> {
    let opened = if may(caller, Right::ReadFiles) {
        let share = server.share(share).ok_or(Error::NoSuchShare)?;
        let files = files(&share)?;
        open(backend(&files)?, &Actor::Process, &relative(path)?)?
    } else {
        open_with(server, caller, share, path, security::needed(which, false))?.0
    };
    if server.asks_name_service() {
        // Without an answer, Unix users and groups are shown.
        _ = server.find_ids_here(security::ids_to_show(&*opened.handle));
    }
    let token = caller.session_user.as_deref().map(|user| user.token.clone()).unwrap_or_default();
    let descriptor = security::descriptor(&*opened.handle, &token).map_err(of_status)?;
    Ok(descriptor.selected(which))
}

/// Replaces the parts of a file's descriptor that `which` selects.
pub(crate) fn set_file_security(
    server: &Server,
    caller: &Caller,
    share: &str,
    path: &str,
    which: AdditionalInformation,
    data: &[u8],
) -> Result<(), Error> {
    let set = || {
        let new = security::decode(which, data).map_err(of_status)?;
        server.find_ids_here(security::ids_to_set(which, &new)).map_err(|Unsure| Error::Busy)?;
        let (opened, user) = open_with(server, caller, share, path, security::needed(which, true))?;
        security::replace(server.machine(), &user.token, &*opened.handle, which, &new).map_err(of_status)
    };
    let done = behind(server, share, set);
    let object = format!(r"security of {share}\{path}");
    audit::act(caller, "change", &object, &done.map(|()| Ended::default()));
    done
}

/// Calls into a share's files, unless too many calls there hang already.
fn behind<T>(server: &Server, share: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let Some(share) = server.share(share) else { return work() };
    let _place = share.bulkhead.spare_place().ok_or(Error::Busy)?;
    share.bulkhead.call_apart(work)
}

/// Opens the file, if the caller has this access to it through the share.
fn open_with<'a>(
    server: &Server,
    caller: &'a Caller,
    share: &str,
    path: &str,
    needed: AccessMask,
) -> Result<(Opened, &'a User), Error> {
    let user = caller.session_user.as_deref().ok_or(Error::AccessDenied)?;
    let share = server.share(share).ok_or(Error::NoSuchShare)?;
    // The share does not exist for users who cannot list it.
    let refused = if user.kind == IdentityKind::User { Error::AccessDenied } else { Error::NoSuchShare };
    let through_share = share.access_of(server, user).ok_or(refused)?;
    let files = files(&share)?;
    let backend = backend(&files)?;
    let path = relative(path)?;
    let opened = open(backend, &user.actor, &path)?;
    // This access is granted by the privilege only, not by descriptors.
    let system = needed & AccessMask::ACCESS_SYSTEM_SECURITY;
    if !system.is_none() && !user.token.privileges().contains(wire::security::Privileges::SECURITY) {
        return Err(Error::AccessDenied);
    }
    let needed = needed.without(system);
    let subject = Subject::of(user, backend);
    let permitted = subject.permitted(&path, &*opened.handle, &opened.stat, needed) & through_share;
    if permitted.contains(needed) { Ok((opened, user)) } else { Err(Error::AccessDenied) }
}

fn open(backend: &dyn Backend, actor: &Actor, path: &RelativePath) -> Result<Opened, Error> {
    backend.open(actor, path, Wanted::NOTHING).map_err(|error| match error {
        vfs::Error::AccessDenied => Error::AccessDenied,
        _ => Error::FileNotFound,
    })
}

/// The current directory of the share.
fn files(share: &Share) -> Result<Arc<Files>, Error> {
    let directory = share.directory().ok_or(Error::NotSupported)?;
    directory.find().map_err(|_| Error::FileNotFound)
}

fn backend(files: &Files) -> Result<&dyn Backend, Error> {
    files.backend().map(|backend| &**backend).ok_or(Error::FileNotFound)
}

fn relative(path: &str) -> Result<RelativePath, Error> {
    RelativePath::new(path.trim_matches(['\\', '/']).replace('/', "\\")).map_err(|_| Error::InvalidName)
}

fn of_status(status: NtStatus) -> Error {
    match status {
        NtStatus::ACCESS_DENIED => Error::AccessDenied,
        NtStatus::INVALID_OWNER => Error::InvalidOwner,
        NtStatus::INVALID_SECURITY_DESCR => Error::InvalidDescriptor,
        NtStatus::NOT_SUPPORTED => Error::NotSupported,
        _ => Error::Internal,
    }
}

#[cfg(test)]
mod tests {
    use auth::users::UserDb;

    use super::*;
    use crate::core::config::{Settings, ShareSettings};
    use crate::core::security::Token;

    #[tokio::test]
    async fn callers_without_an_account_cannot_detect_concealed_shares() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::conventional(false, |_| None);
        settings.shares = ["secret$", "away$"]
            .map(|name| ShareSettings {
                users: vec!["bob".into()],
                ..ShareSettings::new(name.into(), directory.path().join(name))
            })
            .into();
        std::fs::create_dir(directory.path().join("secret$")).unwrap();
        let server = Server::new(settings, UserDb::default()).unwrap();
        let asked = |kind, share: &str| {
            let (actor, token) = (Actor::Process, Token::default());
            let user = User { name: String::new(), kind, actor, domain: None, token, administrator: false };
            let caller = Caller { session_user: Some(Arc::new(user)), ..Caller::default() };
            file_security(&server, &caller, share, "", AdditionalInformation::OWNER).map(drop)
        };
        for share in ["secret$", "away$", "none"] {
            for kind in [IdentityKind::Guest, IdentityKind::Anonymous] {
                assert_eq!(asked(kind, share), Err(Error::NoSuchShare), "{share} {kind:?}");
            }
        }
        assert_eq!(asked(IdentityKind::User, "secret$"), Err(Error::AccessDenied));
    }
}
