//! READ, WRITE and FSCTL_PIPE_TRANSCEIVE on named pipes: MS-SMB2 3.3.5.12, 3.3.5.13, 3.3.5.15.10.

use futures_util::FutureExt as _;
use wire::NtStatus;
use wire::msg::{ReadResponse, WriteResponse};

use crate::admin::Caller;
use crate::core::open::Open;
use crate::fronts::pipes::{ApiPipe, Pipe, RpcPipe, Sealed};
use crate::smb::connection::{AnswerBuilder, Outcome, Pending, Request};

/// Reads a message, or what bytes there are, waiting where there is nothing.
pub(crate) async fn read(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    length: u32,
) -> Outcome {
    let (bytes, more) = match open.pipe().ok_or(NtStatus::FILE_CLOSED)? {
        Pipe::Rpc(pipe) => message(request, answer, pipe, length).await?,
        Pipe::Api(pipe) => (waited_for(request, answer, pipe.read(length as usize)).await?, false),
    };
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
    let (server, peer) = (&request.connection.server, request.connection.peer);
    let written = match open.pipe().ok_or(NtStatus::FILE_CLOSED)? {
        Pipe::Rpc(pipe) => {
            let caller = Caller::of_session(server, open.session(), peer);
            pipe.write(data, server, &caller, Sealed(request.sealed)).await?;
            data.len()
        }
        Pipe::Api(pipe) => {
            pipe.connect(server, open.session(), peer)?;
            let mut written = 0;
            match waited_for(request, answer, pipe.write(data, &mut written)).await {
                // What the server has taken cannot be taken back.
                Err(NtStatus::CANCELLED) if written > 0 => {}
                outcome => outcome?,
            }
            written
        }
    };
    let count = u32::try_from(written).map_err(|_| NtStatus::INVALID_PARAMETER)?;
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
    let pipe = match open.pipe().ok_or(NtStatus::NOT_SUPPORTED)? {
        Pipe::Rpc(pipe) => pipe,
        Pipe::Api(ApiPipe { .. }) => return Err(NtStatus::INVALID_READ_MODE),
    };
    if pipe.has_unread() {
        return Err(NtStatus::PIPE_BUSY);
    }
    let caller = Caller::of_session(&request.connection.server, open.session(), request.connection.peer);
    pipe.write(data, &request.connection.server, &caller, Sealed(request.sealed)).await?;
    message(request, answer, pipe, length).await
}

async fn message(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    pipe: &RpcPipe,
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

/// Does what may take a while: then the client hears so, and may cancel it.
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
