//! One HTTP/1.1 exchange over a byte stream.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use control::limits::{ANSWER_BODY_MAX, EVENT_LINE_MAX};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::Error;

/// Sends a request on its own connection and takes the whole answer in.
pub(crate) async fn exchange<S>(
    stream: S,
    method: Method,
    address: &str,
    body: Option<Vec<u8>>,
) -> Result<(StatusCode, Bytes), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(method, address, body)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, ANSWER_BODY_MAX).collect().await;
        let body = body.map_err(|error| Error::Broken(io::Error::other(error)))?;
        Ok((parts.status, body.to_bytes()))
    };
    let answer = answer.await;
    driver.abort();
    answer
}

/// An answer of lines, which ends when the server ends it.
pub(crate) struct Lines {
    body: Incoming,
    buffered: BytesMut,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Lines {
    /// The next line without its end; `None` at the end of the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(end) = self.buffered.iter().position(|byte| *byte == b'\n') {
                let line = self.buffered.split_to(end).freeze();
                self.buffered.advance(1);
                if line.is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            if self.buffered.len() > EVENT_LINE_MAX {
                return Err(Error::Nonsense("a line of the answer does not end".into()));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// The rest of the answer, which is a refusal.
    pub(crate) async fn rest(&mut self) -> Result<Bytes, Error> {
        while self.buffered.len() <= EVENT_LINE_MAX && self.more().await? {}
        Ok(self.buffered.split().freeze())
    }

    async fn more(&mut self) -> Result<bool, Error> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            self.buffered.extend_from_slice(&data);
        }
        Ok(true)
    }
}

/// Sends a request on its own connection and takes the answer in line by line.
pub(crate) async fn lines<S>(
    stream: S,
    method: Method,
    address: &str,
    body: Option<Vec<u8>>,
) -> Result<(StatusCode, Lines), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(method, address, body)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    Ok((parts.status, Lines { body, buffered: BytesMut::new(), driver }))
}

fn request(method: Method, address: &str, body: Option<Vec<u8>>) -> Result<Request<Full<Bytes>>, Error> {
    let mut request = Request::builder()
        .method(method)
        .uri(address)
        .header(HOST, "shareward")
        .header(ACCEPT, control::MEDIA_TYPE)
        .header(CONNECTION, "close");
    if body.is_some() {
        request = request.header(CONTENT_TYPE, control::MEDIA_TYPE);
    }
    request.body(Full::new(body.map_or_else(Bytes::new, Bytes::from))).map_err(|error| {
        Error::Refused(control::Error::new(control::number::INVALID_PARAMETER, error.to_string()))
    })
}

fn broken(error: hyper::Error) -> Error {
    Error::Broken(io::Error::other(error))
}
