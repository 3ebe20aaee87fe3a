//! READ, WRITE and FSCTL_PIPE_TRANSCEIVE on named pipes: MS-SMB2 3.3.5.12, 3.3.5.13, 3.3.5.15.10.

use futures_util::FutureExt as _;
use wire::NtStatus;
use wire::msg::{ReadResponse, WriteResponse};

use crate::core::open::Open;
use crate::core::pipe::{PipeMode, Writer};
use crate::smb::connection::{AnswerBuilder, Outcome, Pending, Request};

/// Reads a message, or the available bytes; waits if there are none.
pub(crate) async fn read(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    length: u32,
) -> Outcome {
    let pipe = open.pipe().ok_or(NtStatus::FILE_CLOSED)?;
    let (bytes, more) = waited_for(request, answer, pipe.read(length as usize)).await?;
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
    let by = writer(request, open);
    let mut written = 0;
    match pipe.mode() {
        PipeMode::Message => pipe.write(data, &by, &mut written).await?,
        PipeMode::Byte => match waited_for(request, answer, pipe.write(data, &by, &mut written)).await {
            // Data that the server has accepted cannot be withdrawn.
            Err(NtStatus::CANCELLED) if written > 0 => {}
            outcome => outcome?,
        },
    }
    let count = u32::try_from(written).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    WriteResponse { count }.encode(answer.body(), 0);
    Ok(NtStatus::SUCCESS)
}

/// Writes a message and reads its answer; returns the data read, and true if there is more.
pub(crate) async fn transceive(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    data: &[u8],
    length: u32,
) -> Result<(Vec<u8>, bool), NtStatus> {
    let pipe = open.pipe().ok_or(NtStatus::NOT_SUPPORTED)?;
    if pipe.mode() == PipeMode::Byte {
        return Err(NtStatus::INVALID_READ_MODE);
    }
    if pipe.has_unread() {
        return Err(NtStatus::PIPE_BUSY);
    }
    pipe.write(data, &writer(request, open), &mut 0).await?;
    waited_for(request, answer, pipe.read(length as usize)).await
}

/// The client, in the form for the pipe.
fn writer<'a>(request: &Request<'a>, open: &'a Open) -> Writer<'a> {
    let connection = request.connection;
    Writer {
        server: &connection.server,
        session: open.session(),
        open: open.global_id(),
        peer: connection.peer,
        sealed: request.sealed,
    }
}

/// Runs work that may take a while: then the client receives an interim answer, and may cancel the request.
async fn waited_for<T>(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    work: impl Future<Output = Result<T, NtStatus>>,
) -> Result<T, NtStatus> {
    tokio::pin!(work);
    if let Some(done) = work.as_mut().now_or_never() {
        return done;
    }
    let pending: Pending<'_> = request.wait(answer)?;
    tokio::select! {
        done = work => done,
        () = pending.cancelled() => Err(NtStatus::CANCELLED),
    }
}
