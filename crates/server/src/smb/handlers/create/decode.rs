//! Decodes a CREATE and checks all that depends on the request alone (MS-SMB2 3.3.5.9).

use registry::{AppInstance, DurableRequest};
use std::borrow::Cow;

use vfs::RelativePath;
use vfs::stat::SETTABLE_ATTRIBUTES;
use wire::create_context::{AaplRequest, CreateContextsRequest, LeaseContext};
use wire::fscc::{PathError, SmbPath, StreamName};
use wire::msg::{CreateDisposition, CreateOptions, CreateRequest, GlobalCapabilities, ImpersonationLevel};
use wire::security::SecurityDescriptor;
use wire::{AccessMask, Dialect, FileAttributes, NtStatus, OplockLevel, ShareAccess};

use super::durable::{self, Durability, Reclaim};
use crate::core::security;
use crate::smb::connection::Request;
use crate::smb::handlers::ea::{self, EaChange};
use crate::smb::handlers::{malformed, posix};

/// A valid CREATE.
pub(super) struct Wish {
    pub(super) path: RelativePath,
    /// The name in the client's spelling.
    pub(super) written: String,
    /// The requested access with generic rights mapped, but still with MAXIMUM_ALLOWED.
    pub(super) access: AccessMask,
    pub(super) share_access: ShareAccess,
    pub(super) attributes: FileAttributes,
    /// FILE_ATTRIBUTE_ENCRYPTED: the file should be encrypted on the disk, which is not supported.
    pub(super) encrypted: bool,
    pub(super) disposition: CreateDisposition,
    pub(super) options: CreateOptions,
    pub(super) directory: Option<bool>,
    pub(super) delete_on_close: bool,
    pub(super) oplock: OplockLevel,
    pub(super) lease: Option<LeaseContext>,
    pub(super) allocation_size: Option<u64>,
    pub(super) query_maximal_access: bool,
    /// The descriptor for a new file (SMB2_CREATE_SD_BUFFER).
    pub(super) security: Option<SecurityDescriptor>,
    pub(super) query_disk_id: bool,
    pub(super) eas: Vec<EaChange>,
    pub(super) durable: Option<DurableRequest>,
    pub(super) app_instance: Option<AppInstance>,
    pub(super) apple: Option<AaplRequest>,
    /// The mode of what is made; only of a POSIX open.
    pub(super) posix: Option<u32>,
}

/// The purpose of a CREATE.
#[expect(
    clippy::large_enum_variant,
    reason = "it is made once for each CREATE, and nearly always of the large kind"
)]
pub(super) enum Asked {
    /// Opening a file.
    Open(Wish),
    /// Opening the file with which quotas are queried.
    QuotaFile(AccessMask),
    /// Reclaiming a durable open.
    Reclaim(Reclaim),
}

impl Wish {
    /// `FileModeInformation.Mode` (MS-FSCC 2.4.31).
    pub(super) fn mode(&self) -> u32 {
        (self.options & MODE_OPTIONS).0
    }

    /// True if a reparse point itself is opened.
    pub(super) fn opens_reparse_point(&self) -> bool {
        self.options.contains(CreateOptions::OPEN_REPARSE_POINT)
    }

    /// True if the disposition truncates an existing file.
    pub(super) fn overwrites(&self) -> bool {
        matches!(
            self.disposition,
            CreateDisposition::SUPERSEDE | CreateDisposition::OVERWRITE | CreateDisposition::OVERWRITE_IF
        )
    }
}

/// Decodes and checks a CREATE on a disk share.
pub(super) fn decode(request: &Request<'_>) -> Result<Asked, NtStatus> {
    let create = CreateRequest::decode(request.message).map_err(malformed)?;
    let negotiated = request.connection.negotiated.get();
    let dialect = negotiated.map(|it| it.dialect).unwrap_or_default();
    let contexts = CreateContextsRequest::decode(create.contexts).map_err(malformed)?;
    let posix = contexts.posix_mode.filter(|_| negotiated.is_some_and(|it| it.posix));
    // MS-SMB2 3.3.5.9.10, 3.3.5.9.12.
    let may_persist = request.tree()?.is_continuous()
        && negotiated.is_some_and(|it| it.capabilities.contains(GlobalCapabilities::PERSISTENT_HANDLES));
    let durable = match Durability::of(&create, &contexts, (dialect, posix.is_some(), may_persist))? {
        Durability::Request(durable) => durable,
        Durability::Reclaim(reclaim) => return Ok(Asked::Reclaim(reclaim)),
    };
    let (access, directory) = checked(&create)?;
    if contexts.timewarp.is_some_and(|time| time != wire::FileTime::NONE) {
        // There are no snapshots.
        return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    let (security, mode) = match contexts.security_descriptor.clone() {
        Some(creator) if posix.is_some() => {
            let (creator, mode) = security::mode::of_creator(creator);
            (Some(creator), mode)
        }
        creator => (creator, None),
    };
    let written = written(&create, posix.is_some());
    let name = canonical(&written)?;
    if name.eq_ignore_ascii_case(crate::core::files::quota::NAME) {
        return match create.create_disposition {
            CreateDisposition::OPEN | CreateDisposition::OPEN_IF => Ok(Asked::QuotaFile(access)),
            _ => Err(NtStatus::ACCESS_DENIED),
        };
    }
    let smb_path = SmbPath::parse(&name).map_err(path_status)?;
    let leases = dialect >= Dialect::SMB210;
    let wants_lease = create.requested_oplock_level == OplockLevel::LEASE && leases;
    let oplock = match create.requested_oplock_level {
        OplockLevel::LEASE => OplockLevel::NONE,
        level if level.name().is_some() => level,
        _ => OplockLevel::NONE,
    };
    let directory = match smb_path.stream() {
        // A stream cannot be a directory, and a directory has no unnamed stream (MS-FSA 2.1.5.1).
        StreamName::Data | StreamName::Named(_) if directory == Some(true) => {
            return Err(NtStatus::NOT_A_DIRECTORY);
        }
        StreamName::Data => Some(false),
        _ => directory,
    };
    let must_be_directory = smb_path.must_be_directory();
    if must_be_directory && directory == Some(false) {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    let path = relative_path(smb_path)?;
    Ok(Asked::Open(Wish {
        path,
        written,
        access,
        share_access: create.share_access,
        attributes: create.file_attributes & SETTABLE_ATTRIBUTES,
        encrypted: create.file_attributes.contains(FileAttributes::ENCRYPTED),
        disposition: create.create_disposition,
        options: create.create_options,
        directory: if must_be_directory { Some(true) } else { directory },
        delete_on_close: create.create_options.contains(CreateOptions::DELETE_ON_CLOSE),
        oplock,
        lease: contexts.lease.filter(|_| wants_lease).map(|lease| LeaseContext {
            // The second version exists in SMB 3 only (MS-SMB2 3.3.5.9.11).
            v2: lease.v2.filter(|_| dialect >= Dialect::SMB300),
            ..lease
        }),
        allocation_size: contexts.allocation_size,
        query_maximal_access: contexts.maximal_access.is_some(),
        security,
        query_disk_id: contexts.query_on_disk_id,
        eas: contexts.extended_attributes.map(ea::decode).transpose()?.unwrap_or_default(),
        durable,
        apple: contexts.aapl,
        posix: posix.map(|asked| mode.unwrap_or(asked)),
        app_instance: durable::app_instance(&contexts, durable, dialect),
    }))
}

/// The name in the characters of Windows.
pub(super) fn written(create: &CreateRequest<'_>, is_posix: bool) -> String {
    let name = create.name.to_text();
    if is_posix { posix::windows_path(&name) } else { name }
}

/// Checks the fields of a CREATE on a disk share other than the name (MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1);
/// returns the access, and whether a directory is required or excluded.
fn checked(create: &CreateRequest<'_>) -> Result<(AccessMask, Option<bool>), NtStatus> {
    if create.impersonation_level.0 > ImpersonationLevel::DELEGATE.0 {
        return Err(NtStatus::BAD_IMPERSONATION_LEVEL);
    }
    let options = create.create_options;
    if options.intersects(INVALID_OPTIONS) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if options.intersects(UNSUPPORTED_OPTIONS) {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    let has = |option| options.contains(option);
    let directory = match (has(CreateOptions::DIRECTORY_FILE), has(CreateOptions::NON_DIRECTORY_FILE)) {
        (true, true) => return Err(NtStatus::INVALID_PARAMETER),
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    let disposition = create.create_disposition;
    if disposition.name().is_none() || create.share_access.0 & !SHARE_ALL.0 != 0 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    // A directory cannot be overwritten (MS-FSA 2.1.5.1).
    let keeps = matches!(
        disposition,
        CreateDisposition::OPEN | CreateDisposition::CREATE | CreateDisposition::OPEN_IF
    );
    if directory == Some(true) && !keeps {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let access = access(create.desired_access)?;
    if create.file_attributes.intersects(INVALID_ATTRIBUTES) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if has(CreateOptions::DELETE_ON_CLOSE)
        && !access.intersects(AccessMask::DELETE | AccessMask::MAXIMUM_ALLOWED)
    {
        return Err(NtStatus::ACCESS_DENIED);
    }
    Ok((access, directory))
}

/// Decodes a CREATE on IPC$: the pipe's name and the access to it.
pub(super) fn pipe(request: &Request<'_>) -> Result<(String, AccessMask), NtStatus> {
    let create = CreateRequest::decode(request.message).map_err(malformed)?;
    // 3.3.5.9: delegation is not supported.
    if create.impersonation_level.0 >= ImpersonationLevel::DELEGATE.0 {
        return Err(NtStatus::BAD_IMPERSONATION_LEVEL);
    }
    let name = create.name.to_text();
    // Some clients send the name in the form of a path.
    let name = name.trim_start_matches('\\').to_owned();
    let access = access(create.desired_access)?;
    if access.contains(AccessMask::ACCESS_SYSTEM_SECURITY) {
        return Err(NtStatus::PRIVILEGE_NOT_HELD);
    }
    Ok((name, if access.contains(AccessMask::MAXIMUM_ALLOWED) { AccessMask::FILE_ALL } else { access }))
}

/// Converts a path on the wire to a path in a share.
pub(crate) fn relative_path(path: SmbPath<'_>) -> Result<RelativePath, NtStatus> {
    let relative =
        RelativePath::new(path.path().replace('\\', "/")).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
    match path.stream() {
        StreamName::None | StreamName::Data | StreamName::Index => Ok(relative),
        StreamName::Named(name) => relative.with_stream(name).map_err(|_| NtStatus::OBJECT_NAME_INVALID),
    }
}

/// The canonical form of a name: one separator between components, and each `..` resolved against the
/// component before it; an error if one leads out of the share. Names that begin with a separator, and
/// streams, are unchanged (`docs/names.md`).
pub(crate) fn canonical(name: &str) -> Result<Cow<'_, str>, NtStatus> {
    let (path, stream) = name.split_at(name.find(':').unwrap_or(name.len()));
    let is_plain = !path.contains(r"\\") && path.split('\\').all(|component| component != "..");
    if is_plain || path.starts_with('\\') {
        return Ok(Cow::Borrowed(name));
    }
    let mut folded = Vec::new();
    for component in path.split('\\').filter(|component| !component.is_empty()) {
        if component == ".." {
            folded.pop().ok_or(NtStatus::OBJECT_PATH_SYNTAX_BAD)?;
        } else {
            folded.push(component);
        }
    }
    let mut canonical = folded.join("\\");
    if path.ends_with('\\') && !canonical.is_empty() {
        canonical.push('\\');
    }
    canonical.push_str(stream);
    Ok(Cow::Owned(canonical))
}

/// The status for an invalid path (MS-FSCC 2.1.5).
pub(crate) fn path_status(error: PathError) -> NtStatus {
    match error {
        PathError::LeadingSeparator => NtStatus::INVALID_PARAMETER,
        PathError::DotDot => NtStatus::OBJECT_PATH_SYNTAX_BAD,
        PathError::ComponentTooLong
        | PathError::Dot
        | PathError::EmptyComponent
        | PathError::PathTooLong
        | PathError::ReservedCharacter
        | PathError::StreamSyntax => NtStatus::OBJECT_NAME_INVALID,
    }
}

/// Checks `DesiredAccess` (MS-SMB2 3.3.5.9): it must not be empty, and contain only defined bits.
fn access(desired: AccessMask) -> Result<AccessMask, NtStatus> {
    if desired.is_none() || desired.intersects(INVALID_ACCESS) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    Ok(desired.map_generic())
}

const SHARE_ALL: ShareAccess =
    ShareAccess(ShareAccess::READ.0 | ShareAccess::WRITE.0 | ShareAccess::DELETE.0);

/// The undefined bits of `DesiredAccess`.
const INVALID_ACCESS: AccessMask = AccessMask(0x0ce0_fe00);

/// The undefined bits of `CreateOptions` (MS-SMB2 2.2.13).
const INVALID_OPTIONS: CreateOptions = CreateOptions(0xff00_0000);

/// FILE_OPEN_BY_FILE_ID, FILE_RESERVE_OPFILTER and FILE_CREATE_TREE_CONNECTION, which Windows refuses over
/// SMB2 (MS-SMB2 3.3.5.9, note on CreateOptions).
const UNSUPPORTED_OPTIONS: CreateOptions = CreateOptions(0x0010_2080);

/// The undefined bits of `FileAttributes` (MS-FSCC 2.6).
const INVALID_ATTRIBUTES: FileAttributes = FileAttributes(0xffff_8048);

/// The options that `FileModeInformation` shows (MS-FSCC 2.4.31).
const MODE_OPTIONS: CreateOptions = CreateOptions(
    CreateOptions::WRITE_THROUGH.0
        | CreateOptions::SEQUENTIAL_ONLY.0
        | CreateOptions::NO_INTERMEDIATE_BUFFERING.0
        | CreateOptions::SYNCHRONOUS_IO_ALERT.0
        | CreateOptions::SYNCHRONOUS_IO_NONALERT.0
        | CreateOptions::DELETE_ON_CLOSE.0,
);
