//! SMB2_0_INFO_SECURITY: MS-SMB2 3.3.5.20.3.
//!
//! The descriptor says what the POSIX owner, group and permission bits say: the owner's entries come
//! first, then the group's, then everyone's, and each is preceded by a denial of what only a later
//! one would grant, since POSIX stops at the first that applies.

use vfs::Stat;
use wire::msg::{AdditionalInformation, ErrorContext, ErrorId, ErrorResponse, QueryInfoRequest};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, Dialect, NtStatus};

use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::handlers::put_output;
use crate::open::{Open, OpenFile};

/// Answers with the parts of a file's security descriptor that are asked for.
pub(super) fn answer(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    query: &QueryInfoRequest<'_>,
    answer: &mut AnswerBuilder,
) -> Outcome {
    let which = query.additional_information;
    if !open.access().contains(needed(which)) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let stat = file.handle.stat().map_err(|error| crate::status::of_vfs(&error))?;
    let mut descriptor = Vec::new();
    describe(&stat).selected(which).encode(&mut descriptor).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    if descriptor.len() > query.output_buffer_length as usize {
        put_length_needed(request, descriptor.len(), answer);
        return Ok(NtStatus::BUFFER_TOO_SMALL);
    }
    put_output(answer, |out| out.extend_from_slice(&descriptor));
    Ok(NtStatus::SUCCESS)
}

/// MS-FSA 2.1.5.14.
fn needed(which: AdditionalInformation) -> AccessMask {
    let mut needed = AccessMask::NONE;
    if which.intersects(BY_READ_CONTROL) {
        needed |= AccessMask::READ_CONTROL;
    }
    if which.intersects(AdditionalInformation::SACL | AdditionalInformation::BACKUP) {
        needed |= AccessMask::ACCESS_SYSTEM_SECURITY;
    }
    needed
}

/// 3.3.5.20.3: how much room the descriptor takes, as the error's data.
fn put_length_needed(request: &Request<'_>, length: usize, answer: &mut AnswerBuilder) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let base = answer.base();
    let has_contexts = request.connection.negotiated.get().is_some_and(|it| it.dialect >= Dialect::SMB311);
    if has_contexts {
        let mut contexts = Vec::new();
        ErrorContext { error_id: ErrorId::DEFAULT, data: &length }.append(&mut contexts, 0);
        ErrorResponse { error_context_count: 1, error_data: &contexts }.encode(answer.body(), base);
    } else {
        ErrorResponse { error_context_count: 0, error_data: &length }.encode(answer.body(), base);
    }
}

/// The descriptor that says what the permission bits say.
fn describe(stat: &Stat) -> SecurityDescriptor {
    let (owner, group) = (Sid::unix_user(stat.uid), Sid::unix_group(stat.gid));
    let directory = stat.is_directory();
    let [user, members, others] = [6, 3, 0].map(|shift| rights(stat.mode >> shift, directory));
    let mut aces = Vec::with_capacity(5);
    let mut grant = |sid, allowed: AccessMask, later: AccessMask| {
        let denied = later.without(allowed);
        if !denied.is_none() {
            aces.push(Ace::deny(sid, denied, AceFlags::NONE));
        }
        aces.push(Ace::allow(sid, allowed, AceFlags::NONE));
    };
    grant(owner, user | OWNERS, members | others);
    grant(group, members | EVERYONES, others);
    grant(Sid::WORLD, others | EVERYONES, AccessMask::NONE);
    SecurityDescriptor::new(owner, group, Acl { aces })
}

/// What three permission bits allow.
fn rights(mode: u32, directory: bool) -> AccessMask {
    let mut rights = AccessMask::NONE;
    if mode & 4 != 0 {
        rights |= AccessMask::READ_DATA | AccessMask::READ_EA;
    }
    if mode & 2 != 0 {
        rights |= AccessMask::WRITE_DATA | AccessMask::APPEND_DATA | AccessMask::WRITE_EA;
        rights |= AccessMask::WRITE_ATTRIBUTES;
        if directory {
            rights |= AccessMask::DELETE_CHILD;
        }
    }
    if mode & 1 != 0 {
        rights |= AccessMask::EXECUTE;
    }
    rights
}

/// What an owner may in any case.
const OWNERS: AccessMask = AccessMask(
    EVERYONES.0
        | AccessMask::WRITE_ATTRIBUTES.0
        | AccessMask::READ_EA.0
        | AccessMask::WRITE_EA.0
        | AccessMask::WRITE_DAC.0
        | AccessMask::WRITE_OWNER.0,
);

/// What everyone may who gets to the file.
const EVERYONES: AccessMask =
    AccessMask(AccessMask::READ_ATTRIBUTES.0 | AccessMask::READ_CONTROL.0 | AccessMask::SYNCHRONIZE.0);

/// The parts of a descriptor that READ_CONTROL lets one see.
const BY_READ_CONTROL: AdditionalInformation = AdditionalInformation(
    AdditionalInformation::OWNER.0
        | AdditionalInformation::GROUP.0
        | AdditionalInformation::DACL.0
        | AdditionalInformation::LABEL.0
        | AdditionalInformation::ATTRIBUTE.0
        | AdditionalInformation::SCOPE.0
        | AdditionalInformation::BACKUP.0,
);

#[cfg(test)]
mod tests {
    use super::*;
    use vfs::Kind;
    use wire::security::{Privileges, access_check};
    use wire::{FileAttributes, FileTime};

    fn stat(mode: u32) -> Stat {
        Stat {
            device: 1,
            inode: 2,
            size: 0,
            allocation: 0,
            links: 1,
            kind: Kind::File,
            created: FileTime::NONE,
            accessed: FileTime::NONE,
            modified: FileTime::NONE,
            changed: FileTime::NONE,
            attributes: FileAttributes::NORMAL,
            mode,
            uid: 1000,
            gid: 100,
        }
    }

    /// For all permission bits and everyone who may come: the descriptor grants what POSIX grants.
    #[test]
    fn the_descriptor_says_what_the_bits_say() {
        let data = AccessMask::READ_DATA | AccessMask::WRITE_DATA | AccessMask::EXECUTE;
        for mode in 0..0o1000 {
            let descriptor = describe(&stat(mode));
            for (sids, shift) in [
                (vec![Sid::unix_user(1000), Sid::unix_group(100), Sid::WORLD], 6),
                (vec![Sid::unix_user(1000), Sid::WORLD], 6),
                (vec![Sid::unix_user(1), Sid::unix_group(100), Sid::WORLD], 3),
                (vec![Sid::unix_user(1), Sid::unix_group(1), Sid::WORLD], 0),
            ] {
                let granted =
                    access_check(&sids, Privileges::NONE, &descriptor, AccessMask::MAXIMUM_ALLOWED).unwrap();
                assert_eq!(granted & data, rights(mode >> shift, false) & data, "{mode:o} {sids:?}");
            }
        }
    }
}
