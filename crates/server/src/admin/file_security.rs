//! Security descriptors of files (MS-SRVS 3.1.4.35, 3.1.4.36). Callers who may see all files may read all
//! descriptors; others, and all who change one, need the same access as through the share.

use std::sync::Arc;

use auth::IdentityKind;
use wire::msg::AdditionalInformation;
use wire::security::SecurityDescriptor;
use wire::{AccessMask, NtStatus};

use vfs::{Actor, Backend, Opened, RelativePath, Wanted};

use super::{Caller, Ended, Error, Right, audit, may};
use crate::core::admission::{Admission, NotAdmitted};
use crate::core::directory::{Directory, Files};
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
    behind(server, caller, share, |share| {
        let (opened, user) = if may(caller, Right::ReadFiles) {
            open_for_administrator(server, caller, share, path)?
        } else {
            open_with(server, caller, share, path, security::needed(which, false))?
        };
        if server.asks_name_service() {
            // Without an answer, Unix users and groups are shown.
            _ = server.find_ids_here(security::ids_to_show(&*opened.handle));
        }
        let token = user.map(|user| user.token.clone()).unwrap_or_default();
        let descriptor = security::descriptor(&*opened.handle, &token).map_err(of_status)?;
        Ok(descriptor.selected(which))
    })
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
    let set = |share: &Share| {
        let new = security::decode(which, data).map_err(of_status)?;
        server.find_ids_here(security::ids_to_set(which, &new)).map_err(|Unsure| Error::Busy)?;
        let (opened, user) = open_with(server, caller, share, path, security::needed(which, true))?;
        let user = user.ok_or(Error::AccessDenied)?;
        security::replace(server.machine(), &user.token, &*opened.handle, which, &new).map_err(of_status)
    };
    let done = behind(server, caller, share, set);
    let object = format!(r"security of {share}\{path}");
    audit::act(server, caller, "change", &object, &done.map(|()| Ended::default()));
    done
}

/// Calls into a share's files, unless too many calls there hang already.
fn behind<T>(
    server: &Server,
    caller: &Caller,
    share: &str,
    work: impl FnOnce(&Share) -> Result<T, Error>,
) -> Result<T, Error> {
    let share = match &caller.session_user {
        Some(user) => server.share_of(user, share),
        None => server.share(share),
    };
    let share = share.ok_or(Error::NoSuchShare)?;
    // Nothing about the files of this share leaves the server unencrypted.
    if share.settings.encrypt && !caller.is_sealed {
        return Err(Error::AccessDenied);
    }
    let _place = share.bulkhead.spare_place().ok_or(Error::Busy)?;
    share.bulkhead.call_apart(|| work(&share))
}

/// Opens the file for a caller who may see all files, also without access to them. The share's rules for addresses
/// count.
fn open_for_administrator(
    server: &Server,
    caller: &Caller,
    share: &Share,
    path: &str,
) -> Result<(Opened, Option<Arc<User>>), Error> {
    let user = caller.session_user.clone();
    let directory = match (&user, caller.address) {
        (Some(user), Some(address)) => match share.admit(server, user, address) {
            Ok(admitted) => admitted.directory,
            Err(NotAdmitted::User(_)) => share.directory().cloned(),
            Err(_) => return Err(Error::AccessDenied),
        },
        _ => share.directory().cloned(),
    };
    let files = files(directory)?;
    Ok((open(backend(&files)?, &Actor::Process, &relative(path)?)?, user))
}

/// Opens the file, if the caller has this access to it through the share. Returns the user as the files see it.
fn open_with(
    server: &Server,
    caller: &Caller,
    share: &Share,
    path: &str,
    needed: AccessMask,
) -> Result<(Opened, Option<Arc<User>>), Error> {
    let user = caller.session_user.as_ref().ok_or(Error::AccessDenied)?;
    let address = caller.address.ok_or(Error::AccessDenied)?;
    // The share does not exist for users who cannot list it.
    let refused = if user.kind == IdentityKind::User { Error::AccessDenied } else { Error::NoSuchShare };
    let Admission { access, forced, directory } =
        share.admit(server, user, address).map_err(|_: NotAdmitted| refused)?;
    let user = match &forced {
        Some(forced) => forced.of_user(server, Arc::clone(user)),
        None => Arc::clone(user),
    };
    let files = files(directory)?;
    let backend = backend(&files)?;
    let path = relative(path)?;
    let opened = open(backend, &user.actor, &path)?;
    // This access is granted by the privilege only, not by descriptors.
    let system = needed & AccessMask::ACCESS_SYSTEM_SECURITY;
    if !system.is_none() && !user.token.privileges().contains(wire::security::Privileges::SECURITY) {
        return Err(Error::AccessDenied);
    }
    let needed = needed.without(system);
    let permitted =
        Subject::of(&user, backend).permitted(&path, &*opened.handle, &opened.stat, needed) & access;
    if permitted.contains(needed) { Ok((opened, Some(user))) } else { Err(Error::AccessDenied) }
}

fn open(backend: &dyn Backend, actor: &Actor, path: &RelativePath) -> Result<Opened, Error> {
    backend.open(actor, path, Wanted::NOTHING).map_err(|error| match error {
        vfs::Error::AccessDenied => Error::AccessDenied,
        _ => Error::FileNotFound,
    })
}

/// The current directory of the share.
fn files(directory: Option<Arc<Directory>>) -> Result<Arc<Files>, Error> {
    directory.ok_or(Error::NotSupported)?.find().map_err(|_| Error::FileNotFound)
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
            let address = Some([192, 0, 2, 1].into());
            let caller = Caller { address, session_user: Some(Arc::new(user)), ..Caller::default() };
            file_security(&server, &caller, share, "", AdditionalInformation::OWNER).map(drop)
        };
        for share in ["secret$", "away$", "none"] {
            for kind in [IdentityKind::Guest, IdentityKind::Anonymous] {
                assert_eq!(asked(kind, share), Err(Error::NoSuchShare), "{share} {kind:?}");
            }
        }
        assert_eq!(asked(IdentityKind::User, "secret$"), Err(Error::AccessDenied));
    }

    #[tokio::test]
    async fn addresses_that_the_share_does_not_admit_cannot_read_descriptors() {
        let directory = tempfile::tempdir().unwrap();
        let text = "[[share]]\nname = \"data\"\npath = \".\"\nhosts_deny = [\"192.0.2.1\"]\n";
        let defaults = Settings::conventional(false, |_| None);
        let settings = crate::core::config::parse(text, directory.path(), defaults).unwrap();
        let server = Server::new(settings, UserDb::default()).unwrap();
        let asked = |administrator, address: [u8; 4]| {
            let (actor, token) = (Actor::Process, Token::default());
            let kind = IdentityKind::User;
            let user = User { name: "bob".into(), kind, actor, domain: None, token, administrator };
            let (address, session_user) = (Some(address.into()), Some(Arc::new(user)));
            let caller = Caller { administrator, address, session_user, ..Caller::default() };
            file_security(&server, &caller, "data", "", AdditionalInformation::OWNER).map(drop)
        };
        for administrator in [false, true] {
            assert_eq!(asked(administrator, [192, 0, 2, 1]), Err(Error::AccessDenied), "{administrator}");
            assert_eq!(asked(administrator, [192, 0, 2, 2]), Ok(()), "{administrator}");
        }
    }
}
