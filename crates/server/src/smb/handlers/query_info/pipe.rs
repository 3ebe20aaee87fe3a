//! SMB2_0_INFO_FILE of named pipes: MS-SMB2 3.3.5.20.1, MS-FSCC 2.4.

use wire::fscc::file_info::{
    AccessInfo, AlignmentInfo, BasicInfo, EaInfo, InternalInfo, ModeInfo, PipeInfo, PipeLocalInfo,
    PositionInfo, StandardInfo,
};
use wire::fscc::named_info::AllInfo;
use wire::fscc::{FileInfoClass, Fit, encode_fixed};
use wire::msg::QueryInfoRequest;
use wire::{FileAttributes, NtStatus};

use crate::core::open::Open;
use crate::core::pipe::PipeMode;
use crate::smb::connection::{AnswerBuilder, Outcome};
use crate::smb::handlers::put_output;

/// Answers with one class of a named pipe.
pub(super) fn answer(open: &Open, query: &QueryInfoRequest<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let class = FileInfoClass(query.file_info_class);
    let fit = put_output(answer, |out| encode(open, class, out, query.output_buffer_length as usize))?;
    super::status(fit)
}

fn encode(open: &Open, class: FileInfoClass, out: &mut Vec<u8>, max: usize) -> Result<Fit, NtStatus> {
    let pipe = open.pipe().ok_or(NtStatus::INVALID_HANDLE)?;
    let basic = BasicInfo { attributes: FileAttributes::NORMAL, ..BasicInfo::default() };
    // A pipe is removed with its last handle; Windows sets this as well.
    let standard = StandardInfo {
        allocation_size: ALLOCATION,
        number_of_links: 1,
        delete_pending: true,
        ..StandardInfo::default()
    };
    let kind = match pipe.mode() {
        PipeMode::Message => MESSAGE,
        PipeMode::Byte => BYTES,
    };
    let internal = InternalInfo { index_number: open.file_id().volatile };
    let access = AccessInfo { access: open.access() };
    Ok(match class {
        FileInfoClass::BASIC => encode_fixed(&basic, out, max),
        FileInfoClass::STANDARD => encode_fixed(&standard, out, max),
        FileInfoClass::INTERNAL => encode_fixed(&internal, out, max),
        FileInfoClass::EA => encode_fixed(&EaInfo::default(), out, max),
        FileInfoClass::ACCESS => encode_fixed(&access, out, max),
        FileInfoClass::POSITION => encode_fixed(&PositionInfo::default(), out, max),
        FileInfoClass::MODE => encode_fixed(&ModeInfo::default(), out, max),
        FileInfoClass::ALIGNMENT => encode_fixed(&AlignmentInfo::default(), out, max),
        FileInfoClass::ALL => {
            let all = AllInfo { basic, standard, internal, access, ..AllInfo::default() };
            all.encode_with_name(&format!("\\{}", pipe.name()), out, max)
        }
        FileInfoClass::PIPE => encode_fixed(&PipeInfo { read_mode: kind, completion_mode: 0 }, out, max),
        FileInfoClass::PIPE_LOCAL => encode_fixed(
            &PipeLocalInfo {
                pipe_type: kind,
                configuration: BOTH_WAYS,
                maximum_instances: u32::MAX,
                current_instances: 1,
                inbound_quota: QUOTA,
                read_data_available: 0,
                outbound_quota: QUOTA,
                write_quota_available: QUOTA,
                state: CONNECTED,
                end: 0,
            },
            out,
            max,
        ),
        _ => return Err(NtStatus::NOT_SUPPORTED),
    })
}

/// `AllocationSize` of a pipe in bytes, as in Windows.
const ALLOCATION: u64 = 4096;

/// FILE_PIPE_MESSAGE_TYPE and FILE_PIPE_MESSAGE_MODE (MS-FSCC 2.4.35, 2.4.36).
const MESSAGE: u32 = 1;

/// FILE_PIPE_BYTE_STREAM_TYPE and FILE_PIPE_BYTE_STREAM_MODE (MS-FSCC 2.4.35, 2.4.36).
const BYTES: u32 = 0;

/// FILE_PIPE_FULL_DUPLEX (MS-FSCC 2.4.36).
const BOTH_WAYS: u32 = 2;

/// FILE_PIPE_CONNECTED_STATE (MS-FSCC 2.4.36).
const CONNECTED: u32 = 3;

/// `InboundQuota` and `OutboundQuota` in bytes, as in Windows.
const QUOTA: u32 = 4096;
