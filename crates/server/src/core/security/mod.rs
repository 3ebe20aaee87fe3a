//! Security descriptors of files: stored in Samba's format, inherited, and evaluated at every open.
//!
//! For a file without a stored descriptor, the operating system alone decides, and the descriptor that clients see is
//! derived from the owner and permission bits. A stored descriptor applies in addition: access that the kernel refuses
//! stays refused. If a stored descriptor cannot be read, access is refused to all except users that may replace the
//! descriptor: the owner and administrators.

mod change;
pub(crate) mod mode;
mod names;
pub(crate) mod nfs;
mod posix;
mod record;
mod sids;
mod token;

use std::cell::OnceCell;

use domain::ids::Kind;
use vfs::{Actor, Backend, Handle, NamedIn, Parent, Permits, RelativePath, Stat};
use wire::msg::AdditionalInformation;
use wire::security::{AceFlags, Privileges, SdControl, SecurityDescriptor, Sid, access_check, inherit};
use wire::{AccessMask, NtStatus};

use crate::core::domain::IdQuestion;
use crate::core::session::User;
use crate::core::status::OrStatus;
pub(crate) use change::{check_owner, decode, replace};
pub(crate) use names::{Names, Principal, PrincipalKind};
pub(crate) use sids::{UserSids, domain_users};
pub(crate) use token::{Machine, Token};

/// Checks the files of the state directory that this module reads; the error has a line for each fault.
pub(crate) fn check_state(directory: &std::path::Path) -> Result<(), String> {
    let wrong: Vec<_> =
        [Machine::check(directory), UserSids::check(directory)].into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The answers of the operating system about a file and its user when the file was opened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// The permissions that it has granted or refused.
    pub(crate) permits: Permits,
    /// The directory of the name.
    pub(crate) named: Option<&'a NamedIn>,
}

impl<'a> Known<'a> {
    pub(crate) fn of(opened: &'a vfs::Opened) -> Self {
        Self { permits: opened.permits, named: opened.named.as_ref() }
    }
}

/// A user that accesses files of a share.
pub(crate) struct Subject<'a> {
    pub(crate) backend: &'a dyn Backend,
    /// The user to whom the file system applies its permissions.
    pub(crate) actor: &'a Actor,
    /// The user to whom descriptors apply.
    pub(crate) token: &'a Token,
    /// True if the open requests the rights of backup and restore privileges (FILE_OPEN_FOR_BACKUP_INTENT).
    pub(crate) for_backup: bool,
}

impl<'a> Subject<'a> {
    /// The user of a session, for files of a share.
    pub(crate) fn of(user: &'a User, backend: &'a dyn Backend) -> Self {
        Self { backend, actor: &user.actor, token: &user.token, for_backup: false }
    }

    /// The rights of the subject to the file at `path`. They are correct for the rights in `interest`, and may be wrong
    /// for others. With MAXIMUM_ALLOWED in `interest`, all are correct.
    ///
    /// The stored descriptor is read only if the result depends on it.
    pub(crate) fn permitted(
        &self,
        path: &RelativePath,
        handle: &dyn Handle,
        stat: &Stat,
        interest: AccessMask,
    ) -> AccessMask {
        self.permitted_with(path, handle, stat, interest, Known::default())
    }

    /// The rights as in [`Self::permitted`], with what was learned about the file when it was opened.
    pub(crate) fn permitted_with(
        &self,
        path: &RelativePath,
        handle: &dyn Handle,
        stat: &Stat,
        interest: AccessMask,
        known: Known<'_>,
    ) -> AccessMask {
        let mut kernel = handle.granted_access(self.actor, stat, interest, known.permits);
        if self.token.privileges().contains(Privileges::TAKE_OWNERSHIP) {
            kernel |= AccessMask::WRITE_OWNER;
        }
        if interest.without(ALWAYS).is_none() {
            return kernel;
        }
        let wants_delete = interest.intersects(AccessMask::DELETE | AccessMask::MAXIMUM_ALLOWED);
        // The directory of this name, found once: its permissions and its descriptor decide about deletes of the name.
        let found = OnceCell::new();
        let named = || match known.named {
            Some(named) => Some(named),
            None => found.get_or_init(|| self.backend.directory_of(self.actor, path, handle).ok()).as_ref(),
        };
        if wants_delete
            && !kernel.contains(AccessMask::DELETE)
            && named().is_some_and(|named| named.is_removable)
        {
            kernel |= AccessMask::DELETE;
        }
        let parent_permits_delete = || named().is_some_and(|named| self.may_delete_in(&*named.directory));
        let descriptor = match stored(handle) {
            Stored::Descriptor(descriptor) => descriptor,
            Stored::Nothing => {
                if self.token.is(self.token.owner_of(stat)) {
                    return with_owners(kernel);
                }
                if wants_delete && kernel.contains(AccessMask::DELETE) && !parent_permits_delete() {
                    return kernel.without(AccessMask::DELETE);
                }
                return kernel;
            }
            Stored::Unreadable => return self.repair(stat),
        };
        // MS-FSA 2.1.5.1.2.1: a user that may list the directory may read the attributes, and a user that may delete in
        // the directory may delete the file.
        let mut granted = self.granted_by(&descriptor) | AccessMask::READ_ATTRIBUTES;
        if wants_delete && !granted.contains(AccessMask::DELETE) && parent_permits_delete() {
            granted |= AccessMask::DELETE;
        }
        granted.without(KERNELS) | (granted & kernel & KERNELS)
    }

    /// True if the file is shown in a listing that leaves out files that the user cannot read.
    pub(crate) fn may_see(&self, handle: &dyn Handle) -> bool {
        let needed = AccessMask::READ_DATA
            | AccessMask::READ_EA
            | AccessMask::READ_ATTRIBUTES
            | AccessMask::READ_CONTROL;
        handle.maximal_access(self.actor).contains(AccessMask::READ_DATA)
            && match stored(handle) {
                Stored::Descriptor(descriptor) => self.granted_by(&descriptor).contains(needed),
                Stored::Nothing => true,
                Stored::Unreadable => handle.stat().is_ok_and(|stat| !self.repair(&stat).is_none()),
            }
    }

    /// Checks that stored descriptors allow the creation of a file in `parent`. Returns the directory's descriptor,
    /// from which the new file inherits.
    pub(crate) fn may_create(
        &self,
        parent: &Parent,
        is_directory: bool,
    ) -> vfs::Result<Option<SecurityDescriptor>> {
        let descriptor = descriptor_of(&*parent.handle)?;
        if parent.path.stream().is_some() {
            self.check(descriptor.as_ref(), AccessMask::WRITE_DATA)?;
            return Ok(None);
        }
        // FILE_ADD_SUBDIRECTORY, FILE_ADD_FILE.
        let right = if is_directory { AccessMask::APPEND_DATA } else { AccessMask::WRITE_DATA };
        self.check(descriptor.as_ref(), right)?;
        Ok(descriptor)
    }

    /// The rights that the DACL, ownership and privileges grant.
    pub(crate) fn granted_by(&self, descriptor: &SecurityDescriptor) -> AccessMask {
        let privileges = self.token.privileges();
        let privileges = if self.for_backup {
            privileges
        } else {
            privileges.without(Privileges::BACKUP | Privileges::RESTORE)
        };
        access_check(self.token.sids(), privileges, descriptor, AccessMask::MAXIMUM_ALLOWED)
            .unwrap_or(AccessMask::NONE)
    }

    /// The rights to a file whose stored descriptor cannot be read: users that may replace the descriptor may do so,
    /// and all others have no access. If all users act as one Unix user, no user owns its files here.
    fn repair(&self, stat: &Stat) -> AccessMask {
        let repair = ALWAYS | AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
        if self.token.privileges().contains(Privileges::TAKE_OWNERSHIP) {
            repair | AccessMask::WRITE_OWNER
        } else if self.token.is(Sid::unix_user(stat.uid)) {
            repair
        } else {
            AccessMask::NONE
        }
    }

    fn may_delete_in(&self, directory: &dyn Handle) -> bool {
        let descriptor = descriptor_of(directory);
        descriptor.is_ok_and(|found| self.check(found.as_ref(), AccessMask::DELETE_CHILD).is_ok())
    }

    /// Checks a right against a descriptor. Without a descriptor, the kernel decides.
    fn check(&self, descriptor: Option<&SecurityDescriptor>, right: AccessMask) -> vfs::Result<()> {
        let granted = descriptor.is_none_or(|descriptor| self.granted_by(descriptor).contains(right));
        if granted { Ok(()) } else { Err(vfs::Error::AccessDenied) }
    }
}

/// The descriptor of a file for `token`: the stored one, or one that is derived from the owner, permission bits and
/// ACLs.
pub(crate) fn descriptor(handle: &dyn Handle, token: &Token) -> Result<SecurityDescriptor, NtStatus> {
    match stored(handle) {
        Stored::Descriptor(descriptor) => Ok(descriptor),
        Stored::Nothing => made_up(handle, token),
        Stored::Unreadable => Err(NtStatus::INVALID_SECURITY_DESCR),
    }
}

/// The descriptor that is derived from the owner, permission bits and ACLs of a file.
fn made_up(handle: &dyn Handle, token: &Token) -> Result<SecurityDescriptor, NtStatus> {
    let stat = handle.stat().or_status()?;
    let permissions = handle.posix_permissions().or_status()?;
    let owners = (token.owner_of(&stat), token.group_of(&stat));
    Ok(posix::describe(&stat, owners, token, permissions.as_ref()))
}

/// The questions for the Unix ids of the new owner and group of a file.
pub(crate) fn ids_to_set(which: AdditionalInformation, new: &SecurityDescriptor) -> Vec<IdQuestion> {
    let owner = new.owner.filter(|_| which.contains(AdditionalInformation::OWNER));
    let group = new.group.filter(|_| which.contains(AdditionalInformation::GROUP));
    let owner = owner.map(|owner| IdQuestion::OfSid(Kind::User, owner));
    owner.into_iter().chain(group.map(|group| IdQuestion::OfSid(Kind::Group, group))).collect()
}

/// The questions for the users and groups whose SIDs are in the descriptor that is derived from a file's permissions.
pub(crate) fn ids_to_show(handle: &dyn Handle) -> Vec<IdQuestion> {
    if stored(handle) != Stored::Nothing {
        return Vec::new();
    }
    let (Ok(stat), Ok(permissions)) = (handle.stat(), handle.posix_permissions()) else { return Vec::new() };
    let owners = [IdQuestion::OfId(Kind::User, stat.uid), IdQuestion::OfId(Kind::Group, stat.gid)];
    let named = permissions.as_ref().map(posix::named_ids).unwrap_or_default();
    owners.into_iter().chain(named).collect()
}

/// Stores a file's descriptor.
pub(crate) fn store(handle: &dyn Handle, descriptor: &SecurityDescriptor) -> vfs::Result<()> {
    let hash = posix::hash(&handle.posix_permissions()?.unwrap_or_default());
    let record = record::encode(descriptor, &hash, auth::users::now()).map_err(|_| vfs::Error::NoSpace)?;
    handle.set_security_record(&record)
}

/// Stores the descriptor of a file that was just created, if it inherits from its directory or the CREATE contains a
/// descriptor. Otherwise only the operating system's permissions apply. `token` is the token of the owner.
pub(crate) fn endow(
    handle: &dyn Handle,
    stat: &Stat,
    token: &Token,
    parent: Option<&SecurityDescriptor>,
    creator: Option<&SecurityDescriptor>,
) -> vfs::Result<Option<SecurityDescriptor>> {
    let is_directory = stat.is_directory();
    if !has_descriptor(parent, creator, is_directory) {
        return Ok(None);
    }
    let creator = creator.filter(|creator| says_something(creator));
    let descriptor = inherit(parent, creator, is_directory, token.owner_of(stat), token.group_of(stat));
    store(handle, &descriptor)?;
    Ok(Some(descriptor))
}

/// Makes a change to a file that may change its permission bits, and keeps its stored descriptor in force.
pub(crate) fn keeping(handle: &dyn Handle, change: impl FnOnce() -> vfs::Result<()>) -> vfs::Result<()> {
    let Stored::Descriptor(descriptor) = stored(handle) else { return change() };
    change()?;
    if stored(handle) == Stored::Nothing { store(handle, &descriptor) } else { Ok(()) }
}

/// The access that a query or a change of these parts requires (MS-FSA 2.1.5.14, 2.1.5.17).
pub(crate) fn needed(which: AdditionalInformation, change: bool) -> AccessMask {
    let mut needed = AccessMask::NONE;
    if which.intersects(SYSTEMS) {
        needed |= AccessMask::ACCESS_SYSTEM_SECURITY;
    }
    if !change {
        if which.intersects(READABLE) {
            needed |= AccessMask::READ_CONTROL;
        }
        return needed;
    }
    if which.intersects(AdditionalInformation::OWNER | AdditionalInformation::GROUP) {
        needed |= AccessMask::WRITE_OWNER;
    }
    if which.intersects(AdditionalInformation::DACL) {
        needed |= AccessMask::WRITE_DAC;
    }
    needed
}

/// The descriptor that is stored with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "only one exists at a time, on the stack")]
enum Stored {
    /// No descriptor, or one that is older than a change of the permissions by another program: then the permissions
    /// apply, as with Samba after a local `chmod`.
    Nothing,
    Descriptor(SecurityDescriptor),
    /// A record that cannot be read, or cannot be compared with the permissions.
    Unreadable,
}

/// The stored descriptor; `None` if there is no descriptor. One that cannot be read is an error, so it grants no
/// access.
fn descriptor_of(handle: &dyn Handle) -> vfs::Result<Option<SecurityDescriptor>> {
    match stored(handle) {
        Stored::Descriptor(descriptor) => Ok(Some(descriptor)),
        Stored::Nothing => Ok(None),
        Stored::Unreadable => Err(vfs::Error::AccessDenied),
    }
}

fn stored(handle: &dyn Handle) -> Stored {
    let record = match handle.security_record() {
        Ok(Some(record)) => record,
        Ok(None) => return Stored::Nothing,
        Err(error) => {
            tracing::warn!(%error, "cannot read a file's security descriptor; access to the file is refused except to replace the descriptor");
            return Stored::Unreadable;
        }
    };
    let record = match record::decode(&record) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(%error, "a stored security descriptor is malformed; access to the file is refused except to replace the descriptor");
            return Stored::Unreadable;
        }
    };
    let Some(hash) = record.system_hash else { return Stored::Descriptor(record.descriptor) };
    match handle.posix_permissions() {
        Ok(Some(permissions)) if !posix::is_hash_of(&hash, &permissions) => Stored::Nothing,
        Ok(_) => Stored::Descriptor(record.descriptor),
        Err(error) => {
            tracing::warn!(%error, "cannot compare a security descriptor with the file's permissions; access to the file is refused except to replace the descriptor");
            Stored::Unreadable
        }
    }
}

/// Adds the rights of an owner that the kernel does not distinguish, if the owner may read and write.
fn with_owners(kernel: AccessMask) -> AccessMask {
    if kernel.contains(AccessMask::READ_DATA | AccessMask::WRITE_DATA) {
        kernel | AccessMask::FILE_ALL.without(KERNELS)
    } else {
        kernel
    }
}

/// True if [`endow`] stores a descriptor: the CREATE contains one, or entries are inherited.
fn has_descriptor(
    parent: Option<&SecurityDescriptor>,
    creator: Option<&SecurityDescriptor>,
    is_directory: bool,
) -> bool {
    creator.is_some_and(says_something) || parent.is_some_and(|parent| passes_on(parent, is_directory))
}

fn says_something(creator: &SecurityDescriptor) -> bool {
    creator.owner.is_some() || creator.group.is_some() || creator.control.contains(SdControl::DACL_PRESENT)
}

/// True if a child of a directory with this descriptor inherits entries.
fn passes_on(parent: &SecurityDescriptor, to_directory: bool) -> bool {
    let lists = [&parent.dacl, &parent.sacl];
    lists.into_iter().flatten().flat_map(|list| &list.aces).any(|ace| {
        let onward = !ace.flags.contains(AceFlags::NO_PROPAGATE_INHERIT);
        if to_directory {
            ace.flags.contains(AceFlags::CONTAINER_INHERIT)
                || (onward && ace.flags.contains(AceFlags::OBJECT_INHERIT))
        } else {
            ace.flags.contains(AceFlags::OBJECT_INHERIT)
        }
    })
}

/// The rights of every user that can reach a file.
const ALWAYS: AccessMask = AccessMask(AccessMask::READ_ATTRIBUTES.0 | AccessMask::SYNCHRONIZE.0);

/// The rights that the kernel enforces itself: a descriptor cannot grant them if the kernel refuses them. The server
/// enforces the others.
const KERNELS: AccessMask = AccessMask(
    AccessMask::READ_DATA.0 | AccessMask::WRITE_DATA.0 | AccessMask::APPEND_DATA.0 | AccessMask::DELETE.0,
);

const SYSTEMS: AdditionalInformation =
    AdditionalInformation(AdditionalInformation::SACL.0 | AdditionalInformation::BACKUP.0);

/// The parts of a descriptor that READ_CONTROL makes readable.
const READABLE: AdditionalInformation = AdditionalInformation(
    AdditionalInformation::OWNER.0
        | AdditionalInformation::GROUP.0
        | AdditionalInformation::DACL.0
        | AdditionalInformation::LABEL.0
        | AdditionalInformation::ATTRIBUTE.0
        | AdditionalInformation::SCOPE.0
        | AdditionalInformation::BACKUP.0,
);

#[cfg(test)]
mod tests;
