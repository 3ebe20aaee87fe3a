//! One HTTP/1.1 exchange over a byte stream.

use std::io;

use bytes::Bytes;
use control::limits::ANSWER_BODY_MAX;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

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
