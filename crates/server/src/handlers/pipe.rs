//! READ, WRITE and FSCTL_PIPE_TRANSCEIVE on named pipes: MS-SMB2 3.3.5.12, 3.3.5.13, 3.3.5.15.10.

use wire::NtStatus;
use wire::msg::{ReadResponse, WriteResponse};

use crate::admin::Caller;
use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::open::Open;
use crate::pipes::Pipe;

/// Reads a message, waiting for one where there is none.
pub(crate) async fn read(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    length: u32,
) -> Outcome {
    let pipe = open.pipe().ok_or(NtStatus::FILE_CLOSED)?;
    let (bytes, more) = message(request, answer, pipe, length).await?;
    ReadResponse { data_remaining: 0, data: &bytes }.encode(answer.body(), 0);
    Ok(if more { NtStatus::BUFFER_OVERFLOW } else { NtStatus::SUCCESS })
}

/// Writes to a pipe.
pub(crate) async fn write(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    data: &[u8],
) -> Outcome {
    let pipe = open.pipe().ok_or(NtStatus::FILE_CLOSED)?;
    let caller = Caller::of_session(open.session(), request.connection.peer);
    pipe.write(data, &request.connection.server, &caller).await?;
    let count = u32::try_from(data.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    WriteResponse { count }.encode(answer.body(), 0);
    Ok(NtStatus::SUCCESS)
}

/// Writes a message and reads the answer to it; what was read, and whether there is more of it.
pub(crate) async fn transceive(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    data: &[u8],
    length: u32,
) -> Result<(Vec<u8>, bool), NtStatus> {
    let pipe = open.pipe().ok_or(NtStatus::NOT_SUPPORTED)?;
    if pipe.has_unread() {
        return Err(NtStatus::PIPE_BUSY);
    }
    let caller = Caller::of_session(open.session(), request.connection.peer);
    pipe.write(data, &request.connection.server, &caller).await?;
    message(request, answer, pipe, length).await
}

async fn message(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    pipe: &Pipe,
    length: u32,
) -> Result<(Vec<u8>, bool), NtStatus> {
    if let Some(message) = pipe.read(length as usize) {
        return Ok(message);
    }
    let pending = request.wait(answer)?;
    loop {
        let readable = pipe.readable();
        tokio::pin!(readable);
        readable.as_mut().enable();
        if let Some(message) = pipe.read(length as usize) {
            return Ok(message);
        }
        if pipe.is_closed() {
            return Err(NtStatus::PIPE_BROKEN);
        }
        tokio::select! {
            () = readable => {}
            () = pending.cancelled() => return Err(NtStatus::CANCELLED),
        }
    }
}
