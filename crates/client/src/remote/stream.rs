//! A pipe as a stream of bytes, like a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use wire::NtStatus;

use crate::limits::PIPE_STREAM_BYTES;
use crate::smb::{Error, File, read_data, read_part};

/// The byte stream through a pipe: each READ takes the available data, each WRITE sends some, and message boundaries
/// have no meaning. Dropping it closes the pipe.
#[derive(Debug)]
pub struct PipeStream {
    bytes: DuplexStream,
    sealed: bool,
}

impl PipeStream {
    /// The stream through an open pipe. To be called within a tokio runtime.
    pub fn new(file: File) -> Self {
        let (ours, theirs) = tokio::io::duplex(PIPE_STREAM_BYTES);
        let sealed = file.tree().scope().sealed;
        tokio::spawn(carry(file, theirs));
        Self { bytes: ours, sealed }
    }

    /// True if all data is encrypted.
    pub const fn is_sealed(&self) -> bool {
        self.sealed
    }
}

/// Carries bytes both ways until either end has no more.
async fn carry(file: File, stream: DuplexStream) {
    let (mut requests, mut answers) = tokio::io::split(stream);
    let outward = async {
        let mut buffer = vec![0; PIPE_STREAM_BYTES];
        while let Ok(got @ 1..) = requests.read(&mut buffer).await {
            let mut data = Bytes::copy_from_slice(buffer.get(..got).unwrap_or_default());
            while !data.is_empty() {
                match file.write(0, data.clone()).await {
                    // A server that takes none will take none the next time either.
                    Ok(0) | Err(_) => return true,
                    Ok(taken) => drop(data.split_to(data.len().min(taken as usize))),
                }
            }
        }
        false
    };
    let inward = async {
        while let Ok(data) = read(&file).await {
            if data.is_empty() || answers.write_all(&data).await.is_err() {
                return;
            }
        }
    };
    {
        tokio::pin!(outward, inward);
        let refused = tokio::select! {
            refused = &mut outward => refused,
            () = &mut inward => false,
        };
        // The server may have answered, with a refusal, a request that it did not read to its end.
        if refused {
            inward.await;
        }
    }
    // The reader may have dropped its end. A pipe that cannot be closed ended with its connection, and both ends have
    // noticed.
    answers.shutdown().await.ok();
    file.close().await.ok();
}

/// Reads the available data, and waits if there is none.
async fn read(file: &File) -> Result<Bytes, Error> {
    let length = u32::try_from(PIPE_STREAM_BYTES).unwrap_or(u32::MAX);
    let tree = file.tree();
    let waiting = tree.connection().submit(tree.scope(), read_part(file.id(), 0, length)).await?;
    let answer = waiting.response_within(Duration::MAX).await?.success_or(&[NtStatus::BUFFER_OVERFLOW])?;
    let data = read_data(&answer)?;
    if data.len() > PIPE_STREAM_BYTES {
        return Err(Error::Protocol("an answer brings more than was asked for"));
    }
    Ok(data)
}

impl AsyncRead for PipeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(context, buffer)
    }
}

impl AsyncWrite for PipeStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}
