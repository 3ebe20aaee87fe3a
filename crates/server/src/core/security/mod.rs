//! Security descriptors of files: kept as Samba keeps them, inherited, and asked at every open.
//!
//! A file without a stored descriptor is the operating system's alone to decide about, and shows what its
//! owner and permission bits say. Where a descriptor is stored, it decides in addition: what the kernel
//! refuses the user stays refused. A descriptor that is stored and cannot be read is not none: nobody gets to the
//! file but who may give it another descriptor, its owner and administrators.

mod change;
mod names;
pub(crate) mod nfs;
mod posix;
mod record;
mod sids;
mod token;

use std::cell::OnceCell;

use vfs::{Actor, Backend, Handle, Parent, RelativePath, Stat};
use wire::msg::AdditionalInformation;
use wire::security::{AceFlags, Privileges, SdControl, SecurityDescriptor, Sid, access_check, inherit};
use wire::{AccessMask, NtStatus};

use crate::core::session::User;
use crate::core::status::OrStatus;
pub(crate) use change::{check_owner, decode, replace};
pub(crate) use names::{Names, Principal, PrincipalKind};
pub(crate) use sids::{UserSids, domain_users};
pub(crate) use token::{Machine, Token};

/// Whether the files of the state directory that this reads are well formed; the error has a line for each fault.
pub(crate) fn check_state(directory: &std::path::Path) -> Result<(), String> {
    let wrong: Vec<_> =
        [Machine::check(directory), UserSids::check(directory)].into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Who wants something of a share's files.
pub(crate) struct Subject<'a> {
    pub(crate) backend: &'a dyn Backend,
    /// Whose permissions the file system applies.
    pub(crate) actor: &'a Actor,
    /// Whose rights descriptors tell.
    pub(crate) token: &'a Token,
    /// Whether the open asks for what backup and restore privileges give (FILE_OPEN_FOR_BACKUP_INTENT).
    pub(crate) for_backup: bool,
}

impl<'a> Subject<'a> {
    /// The user of a session, about files of a share.
    pub(crate) fn of(user: &'a User, backend: &'a dyn Backend) -> Self {
        Self { backend, actor: &user.actor, token: &user.token, for_backup: false }
    }

    /// What the subject may do with the file at `path`, as far as `interest` asks: rights outside it may be
    /// told wrongly. With MAXIMUM_ALLOWED in it, every right is looked at.
    ///
    /// The stored descriptor is only read where it matters.
    pub(crate) fn permitted(
        &self,
        path: &RelativePath,
        handle: &dyn Handle,
        stat: &Stat,
        interest: AccessMask,
    ) -> AccessMask {
        let mut kernel = handle.maximal_access(self.actor);
        if self.token.privileges().contains(Privileges::TAKE_OWNERSHIP) {
            kernel |= AccessMask::WRITE_OWNER;
        }
        if interest.without(ALWAYS).is_none() {
            return kernel;
        }
        let wants_delete = interest.intersects(AccessMask::DELETE | AccessMask::MAXIMUM_ALLOWED);
        // The directory that has the file by this name, found once: its permissions and its descriptor say what
        // may be done to the name.
        let found = OnceCell::new();
        let named =
            || found.get_or_init(|| self.backend.directory_of(self.actor, path, handle).ok()).as_ref();
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
        // MS-FSA 2.1.5.1.2.1: who lists the directory sees the attributes, and who may delete in it may
        // delete the file.
        let mut granted = self.granted_by(&descriptor) | AccessMask::READ_ATTRIBUTES;
        if wants_delete && !granted.contains(AccessMask::DELETE) && parent_permits_delete() {
            granted |= AccessMask::DELETE;
        }
        granted.without(KERNELS) | (granted & kernel & KERNELS)
    }

    /// Whether a listing that leaves out what cannot be read shows the file.
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

    /// Whether something may be created in `parent`, as far as stored descriptors tell; the directory's one,
    /// from which what is created inherits.
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

    /// What the DACL, ownership and privileges grant.
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

    /// What may be done with a file whose stored descriptor cannot be read: those who may write another one see that
    /// there is none to see, and write it. Where all users are one Unix user, its files are nobody's in particular.
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

    /// No descriptor leaves the decision to the kernel.
    fn check(&self, descriptor: Option<&SecurityDescriptor>, right: AccessMask) -> vfs::Result<()> {
        let granted = descriptor.is_none_or(|descriptor| self.granted_by(descriptor).contains(right));
        if granted { Ok(()) } else { Err(vfs::Error::AccessDenied) }
    }
}

/// The descriptor of a file as `token` sees it: the stored one, or what its owner, permission bits and ACLs say.
pub(crate) fn descriptor(handle: &dyn Handle, token: &Token) -> Result<SecurityDescriptor, NtStatus> {
    match stored(handle) {
        Stored::Descriptor(descriptor) => Ok(descriptor),
        Stored::Nothing => made_up(handle, token),
        Stored::Unreadable => Err(NtStatus::INVALID_SECURITY_DESCR),
    }
}

/// The descriptor that says what the owner, permission bits and ACLs of a file say.
fn made_up(handle: &dyn Handle, token: &Token) -> Result<SecurityDescriptor, NtStatus> {
    let stat = handle.stat().or_status()?;
    let permissions = handle.posix_permissions().or_status()?;
    let owners = (token.owner_of(&stat), token.group_of(&stat));
    Ok(posix::describe(&stat, owners, permissions.as_ref()))
}

/// Stores a file's descriptor.
pub(crate) fn store(handle: &dyn Handle, descriptor: &SecurityDescriptor) -> vfs::Result<()> {
    let hash = posix::hash(&handle.posix_permissions()?.unwrap_or_default());
    let record = record::encode(descriptor, &hash, auth::users::now()).map_err(|_| vfs::Error::NoSpace)?;
    handle.set_security_record(&record)
}

/// Stores the descriptor of what was just created: what it inherits from its directory and what the CREATE
/// brought with it. With neither, the operating system's permissions are all there is. `token` is its owner's.
pub(crate) fn endow(
    handle: &dyn Handle,
    stat: &Stat,
    token: &Token,
    parent: Option<&SecurityDescriptor>,
    creator: Option<&SecurityDescriptor>,
) -> vfs::Result<Option<SecurityDescriptor>> {
    let is_directory = stat.is_directory();
    let creator = creator.filter(|creator| says_something(creator));
    if creator.is_none() && !parent.is_some_and(|parent| passes_on(parent, is_directory)) {
        return Ok(None);
    }
    let descriptor = inherit(parent, creator, is_directory, token.owner_of(stat), token.group_of(stat));
    store(handle, &descriptor)?;
    Ok(Some(descriptor))
}

/// Makes a change to a file that may change its permission bits, after which its stored descriptor still
/// counts.
pub(crate) fn keeping(handle: &dyn Handle, change: impl FnOnce() -> vfs::Result<()>) -> vfs::Result<()> {
    let Stored::Descriptor(descriptor) = stored(handle) else { return change() };
    change()?;
    if stored(handle) == Stored::Nothing { store(handle, &descriptor) } else { Ok(()) }
}

/// What access a query or a change of these parts needs (MS-FSA 2.1.5.14, 2.1.5.17).
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

/// What is stored with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on the stack")]
enum Stored {
    /// No descriptor, or one that is older than a change of the permissions by somebody else, which then is what
    /// counts: a local `chmod`, as with Samba.
    Nothing,
    Descriptor(SecurityDescriptor),
    /// A record that cannot be read, or not be compared with the permissions.
    Unreadable,
}

/// The stored descriptor; none where there is nothing stored. One that cannot be read is an error: it grants nothing.
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
            tracing::warn!(%error, "cannot read a file's security descriptor; nobody gets to the file but to replace it");
            return Stored::Unreadable;
        }
    };
    let record = match record::decode(&record) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(%error, "a stored security descriptor is malformed; nobody gets to the file but to replace it");
            return Stored::Unreadable;
        }
    };
    let Some(hash) = record.system_hash else { return Stored::Descriptor(record.descriptor) };
    match handle.posix_permissions() {
        Ok(Some(permissions)) if !posix::is_hash_of(&hash, &permissions) => Stored::Nothing,
        Ok(_) => Stored::Descriptor(record.descriptor),
        Err(error) => {
            tracing::warn!(%error, "cannot read the permissions that a security descriptor is of; nobody gets to the file but to replace it");
            Stored::Unreadable
        }
    }
}

/// What an owner may beside what the kernel tells apart, who may read and write anyway.
fn with_owners(kernel: AccessMask) -> AccessMask {
    if kernel.contains(AccessMask::READ_DATA | AccessMask::WRITE_DATA) {
        kernel | AccessMask::FILE_ALL.without(KERNELS)
    } else {
        kernel
    }
}

fn says_something(creator: &SecurityDescriptor) -> bool {
    creator.owner.is_some() || creator.group.is_some() || creator.control.contains(SdControl::DACL_PRESENT)
}

/// Whether a child of a directory with this descriptor inherits anything.
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

/// What everyone may who gets to a file.
const ALWAYS: AccessMask = AccessMask(AccessMask::READ_ATTRIBUTES.0 | AccessMask::SYNCHRONIZE.0);

/// The rights that the kernel enforces itself: a descriptor cannot grant them against it. The server
/// enforces the others.
const KERNELS: AccessMask = AccessMask(
    AccessMask::READ_DATA.0 | AccessMask::WRITE_DATA.0 | AccessMask::APPEND_DATA.0 | AccessMask::DELETE.0,
);

const SYSTEMS: AdditionalInformation =
    AdditionalInformation(AdditionalInformation::SACL.0 | AdditionalInformation::BACKUP.0);

/// The parts of a descriptor that READ_CONTROL lets one see.
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
