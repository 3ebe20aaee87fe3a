//! CREATE of the file with which clients query quotas.

use std::sync::Arc;

use registry::{FileKey, OpenTarget};
use vfs::{Handle, RelativePath};
use wire::msg::{CreateAction, CreateResponse};
use wire::{AccessMask, NtStatus};

use super::special_file;
use crate::core::files::quota::{self, QuotaFile};
use crate::core::open::{Content, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Opens the quota file, for any user: it contains no information about others.
pub(super) fn open(request: &mut Request<'_>, answer: &mut AnswerBuilder, desired: AccessMask) -> Outcome {
    let access = match desired.contains(AccessMask::MAXIMUM_ALLOWED) {
        true => quota::ACCESS,
        false => desired,
    };
    if !quota::ACCESS.contains(access) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let stat = QuotaFile.stat().or_status()?;
    // No file on a disk has this key.
    let target = OpenTarget::File(FileKey { device: stat.device, inode: stat.inode, stream: 0 });
    let file = OpenFile::new(Arc::new(QuotaFile), RelativePath::default(), false, 0, Arc::default());
    let open = special_file::admit(request, target, quota::NAME, access, Content::File(file))?;
    let base = answer.base();
    CreateResponse {
        create_action: CreateAction::OPENED,
        file_attributes: stat.attributes,
        file_id: open.file_id(),
        ..CreateResponse::default()
    }
    .encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
