//! IOCTL: MS-SMB2 3.3.5.15.

mod clone;
mod copy;
mod copy_file;
mod dfs;
mod network;
mod ranges;
mod reparse;
mod stream;

use std::sync::Arc;

use wire::ioctl::{CompressionFormat, FsctlCode, ObjectIdBuffer, PipeWait, encode_snapshots};
use wire::layout::FixedLayout;
use wire::msg::{IoctlFlags, IoctlRequest, IoctlResponse};
use wire::{AccessMask, Dialect, FileId, Guid, NtStatus};

use super::{check_transact, flush, malformed, pipe};
use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::fronts::pipes;
use crate::smb::connection::{AnswerBuilder, Refusal, Request};

/// The result of a control code: a status and the output.
type Answer = Result<(NtStatus, Vec<u8>), NtStatus>;

/// Handles IOCTL.
pub(crate) async fn handle(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
) -> Result<NtStatus, Refusal> {
    let ioctl = IoctlRequest::decode(request.message).map_err(malformed)?;
    if !ioctl.flags.contains(IoctlFlags::IS_FSCTL) {
        return Err(NtStatus::NOT_SUPPORTED.into());
    }
    let length = |part: &[u8]| u32::try_from(part.len()).map_err(|_| NtStatus::INVALID_PARAMETER);
    let sent = length(ioctl.input)?.saturating_add(length(ioctl.output)?);
    let wanted = ioctl.max_input_response.saturating_add(ioctl.max_output_response);
    check_transact(request, &[sent, wanted])?;
    let code = FsctlCode(ioctl.ctl_code);
    let (file_id, (status, output)) = if code.is_without_file() {
        if ioctl.file_id != FileId::RELATED {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        (FileId::RELATED, without_file(request, code, &ioctl)?)
    } else {
        let open = request.open(ioctl.file_id)?;
        let changed = open.file().filter(|_| changes_file(code));
        let change = changed.map(|file| file.begin_change());
        let answered = on_open(request, answer, &open, code, &ioctl).await?;
        drop(change);
        if let Some(file) = changed {
            flush::through(&open, file).await?;
        }
        (open.file_id(), answered)
    };
    let base = answer.base();
    IoctlResponse { ctl_code: ioctl.ctl_code, file_id, output: &output, ..IoctlResponse::default() }
        .encode(answer.body(), base);
    Ok(status)
}

/// The codes that concern the connection or the server.
fn without_file(
    request: &mut Request<'_>,
    code: FsctlCode,
    ioctl: &IoctlRequest<'_>,
) -> Result<(NtStatus, Vec<u8>), Refusal> {
    Ok(match code {
        FsctlCode::VALIDATE_NEGOTIATE_INFO => network::validate_negotiation(request, ioctl)?,
        FsctlCode::QUERY_NETWORK_INTERFACE_INFO => network::interfaces(request, ioctl)?,
        FsctlCode::PIPE_WAIT => wait_for_pipe(request, ioctl)?,
        FsctlCode::DFS_GET_REFERRALS => dfs::referrals(request, ioctl)?,
        // 3.3.5.15.2: sites are not supported.
        FsctlCode::DFS_GET_REFERRALS_EX => return Err(FS_DRIVER_REQUIRED.into()),
        _ => return Err(NtStatus::INVALID_DEVICE_REQUEST.into()),
    })
}

/// The codes that concern an open.
async fn on_open(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Arc<Open>,
    code: FsctlCode,
    ioctl: &IoctlRequest<'_>,
) -> Answer {
    let Some(file) = open.file() else {
        return match code {
            FsctlCode::PIPE_TRANSCEIVE => transceive(request, answer, open, ioctl).await,
            FsctlCode::PIPE_PEEK => Err(NtStatus::NOT_SUPPORTED),
            _ => Err(NtStatus::INVALID_DEVICE_REQUEST),
        };
    };
    match code {
        FsctlCode::LMR_REQUEST_RESILIENCY => make_resilient(request, open, ioctl).await,
        FsctlCode::SRV_ENUMERATE_SNAPSHOTS => snapshots(ioctl),
        FsctlCode::SRV_REQUEST_RESUME_KEY => copy::resume_key(open, ioctl),
        FsctlCode::SRV_COPYCHUNK | FsctlCode::SRV_COPYCHUNK_WRITE => {
            copy::copy(request, open, file, code, ioctl).await
        }
        FsctlCode::DUPLICATE_EXTENTS_TO_FILE => clone::duplicate(request, open, file, ioctl).await,
        FsctlCode::QUERY_FILE_REGIONS => ranges::regions(open, file, ioctl),
        FsctlCode::CREATE_OR_GET_OBJECT_ID => object_id(open, file, ioctl),
        FsctlCode::QUERY_ALLOCATED_RANGES => ranges::allocated(open, file, ioctl),
        FsctlCode::SET_SPARSE => ranges::set_sparse(open, file, ioctl),
        FsctlCode::SET_ZERO_DATA => ranges::zero(request, open, file, ioctl).await,
        FsctlCode::GET_COMPRESSION => {
            if ioctl.max_output_response < 2 {
                return Err(NtStatus::INVALID_PARAMETER);
            }
            done(CompressionFormat::NONE.0.to_le_bytes().to_vec())
        }
        FsctlCode::SET_COMPRESSION => set_compression(open, ioctl),
        FsctlCode::GET_REPARSE_POINT => reparse::get(file, ioctl),
        FsctlCode::SET_REPARSE_POINT => reparse::set(request, open, file, ioctl),
        FsctlCode::DELETE_REPARSE_POINT => reparse::delete(request, open, file, ioctl),
        _ => Err(NtStatus::INVALID_DEVICE_REQUEST),
    }
}

/// The codes that change the file of their open.
fn changes_file(code: FsctlCode) -> bool {
    matches!(
        code,
        FsctlCode::SRV_COPYCHUNK
            | FsctlCode::SRV_COPYCHUNK_WRITE
            | FsctlCode::DUPLICATE_EXTENTS_TO_FILE
            | FsctlCode::SET_SPARSE
            | FsctlCode::SET_ZERO_DATA
            | FsctlCode::SET_REPARSE_POINT
            | FsctlCode::DELETE_REPARSE_POINT
    )
}

fn done(output: Vec<u8>) -> Answer {
    Ok((NtStatus::SUCCESS, output))
}

/// 3.3.5.15.9.
async fn make_resilient(request: &Request<'_>, open: &Open, ioctl: &IoctlRequest<'_>) -> Answer {
    if request.connection.negotiated.get().is_none_or(|it| it.dialect < Dialect::SMB210) {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let asked = ioctl.input.first_chunk::<RESILIENCY_REQUEST_BYTES>().ok_or(NtStatus::INVALID_PARAMETER)?;
    let [a, b, c, d, ..] = *asked;
    let timeout_ms = u32::from_le_bytes([a, b, c, d]);
    let server = &request.connection.server;
    {
        let mut registry = server.registry.lock("make_resilient");
        if u64::from(timeout_ms) > registry.limits().durable_v2_timeout_max_ms {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        registry.make_resilient(open.file_id(), timeout_ms).map_err(|_| NtStatus::FILE_CLOSED)?;
    }
    open.set_durable();
    server.commit_open(open).await?;
    done(Vec::new())
}

/// 3.3.5.15.10.
async fn transceive(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    ioctl: &IoctlRequest<'_>,
) -> Answer {
    let (output, more) =
        pipe::transceive(request, answer, open, ioctl.input, ioctl.max_output_response).await?;
    Ok((if more { NtStatus::BUFFER_OVERFLOW } else { NtStatus::SUCCESS }, output))
}

/// 3.3.5.15.4: pipes have an unlimited number of instances, so there is nothing to wait for.
fn wait_for_pipe(request: &Request<'_>, ioctl: &IoctlRequest<'_>) -> Answer {
    if request.tree()?.backend().is_some() {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let wait = PipeWait::decode(ioctl.input).map_err(malformed)?;
    let name = wait.name.to_text();
    if !pipes::exists(&name) {
        return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    done(Vec::new())
}

/// MS-FSCC 2.3.1: the id of a file is derived from its file system, and never changes.
fn object_id(open: &Open, file: &OpenFile, ioctl: &IoctlRequest<'_>) -> Answer {
    if (ioctl.max_output_response as usize) < ObjectIdBuffer::SIZE {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    let stat = file.handle.stat().or_status()?;
    let pair = |low: u64, high: u64| Guid((u128::from(high) << 64 | u128::from(low)).to_le_bytes());
    let volume = backend.volume(&*file.handle).or_status()?;
    let birth_volume_id = pair(volume.serial.into(), volume.created.0);
    let object_id = pair(backend.file_id(&*file.handle, &stat), volume.serial.into());
    let mut output = Vec::new();
    ObjectIdBuffer { object_id, birth_volume_id, birth_object_id: object_id, domain_id: Guid::default() }
        .encode(&mut output);
    done(output)
}

/// 3.3.5.15.1: there are no snapshots.
fn snapshots(ioctl: &IoctlRequest<'_>) -> Answer {
    let mut output = Vec::new();
    if !encode_snapshots(&[], &mut output, ioctl.max_output_response as usize) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    done(output)
}

/// MS-FSA 2.1.5.10: files are never compressed, so only turning compression off succeeds.
fn set_compression(open: &Open, ioctl: &IoctlRequest<'_>) -> Answer {
    let format = ioctl.input.first_chunk().map(|bytes| CompressionFormat(u16::from_le_bytes(*bytes)));
    let format = format.ok_or(NtStatus::INVALID_PARAMETER)?;
    if !open.access().contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    match format {
        CompressionFormat::NONE => done(Vec::new()),
        CompressionFormat::DEFAULT | CompressionFormat::LZNT1 => Err(NtStatus::NOT_SUPPORTED),
        _ => Err(NtStatus::INVALID_PARAMETER),
    }
}

/// Length of NETWORK_RESILIENCY_REQUEST (MS-SMB2 2.2.31.3).
const RESILIENCY_REQUEST_BYTES: usize = 8;

/// STATUS_FS_DRIVER_REQUIRED (MS-ERREF 2.3.1).
const FS_DRIVER_REQUIRED: NtStatus = NtStatus(0xc000_019c);
