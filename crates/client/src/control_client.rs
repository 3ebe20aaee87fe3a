//! The control API over a Unix socket.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use control::{
    Connection, ConnectionQuery, Ended, FileQuery, OpenFile, Page, Refusal, RefusalQuery, ServerInfo,
    Session, SessionQuery, Share, number, route,
};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::limits::{LIST_ENTRIES_MAX, PAGE_ENTRIES, REQUEST_TIME_MAX};
use crate::{Administration, Answer, Error, http};

/// A client of our own server. It connects anew for every request, so nothing is held open while
/// a person thinks about a question.
#[derive(Clone, Debug)]
pub struct ControlClient {
    sockets: Vec<PathBuf>,
}

impl ControlClient {
    /// A client of the first of these sockets at which a server listens.
    pub fn new(sockets: Vec<PathBuf>) -> Self {
        Self { sockets }
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        for socket in &self.sockets {
            match UnixStream::connect(socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::ConnectionRefused => {}
                    io::ErrorKind::PermissionDenied => {
                        return Err(Error::NotPermitted { socket: socket.clone() });
                    }
                    _ => return Err(Error::Broken(error)),
                },
            }
        }
        Err(Error::NotStarted { sockets: self.sockets.clone() })
    }

    async fn request<T: DeserializeOwned>(&self, method: Method, address: &str) -> Result<T, Error> {
        let exchange = async { http::exchange(self.connect().await?, method, address, None).await };
        let (status, body) =
            timeout(REQUEST_TIME_MAX, exchange).await.map_err(|_elapsed| Error::TimedOut)??;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| Error::Nonsense(error.to_string()))
    }

    async fn list<T: DeserializeOwned>(
        &self,
        address: impl Fn(Option<u64>, Option<u32>) -> String,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page: Page<T> = self.request(Method::GET, &address(after, Some(PAGE_ENTRIES))).await?;
            all.extend(page.items);
            if page.next.is_none() {
                return Ok(all);
            }
            if page.next <= after || all.len() > LIST_ENTRIES_MAX {
                return Err(Error::Nonsense("the pages of the list do not end".into()));
            }
            after = page.next;
        }
    }
}

impl Administration for ControlClient {
    fn server(&self) -> Answer<'_, ServerInfo> {
        Box::pin(self.request(Method::GET, route::SERVER))
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Answer<'a, Vec<Session>> {
        Box::pin(self.list(|after, limit| route::sessions(&SessionQuery { after, limit, ..query.clone() })))
    }

    fn end_session<'a>(&'a self, session: &'a Session) -> Answer<'a, Ended> {
        Box::pin(async move {
            let id = session.id.ok_or_else(|| Error::Nonsense("a session without an id".into()))?;
            self.request(Method::DELETE, &route::session(id)).await
        })
    }

    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>> {
        Box::pin(self.list(|after, limit| route::files(&FileQuery { after, limit, ..query.clone() })))
    }

    fn file(&self, id: u32) -> Answer<'_, OpenFile> {
        Box::pin(async move { self.request(Method::GET, &route::file(id)).await })
    }

    fn close_file(&self, id: u32) -> Answer<'_, Ended> {
        Box::pin(async move { self.request(Method::DELETE, &route::file(id)).await })
    }

    fn shares(&self) -> Answer<'_, Vec<Share>> {
        Box::pin(async move { Ok(self.request::<Page<Share>>(Method::GET, route::SHARES).await?.items) })
    }

    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>> {
        Box::pin(
            self.list(|after, limit| route::connections(&ConnectionQuery { after, limit, ..query.clone() })),
        )
    }

    fn refusals<'a>(&'a self, query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>> {
        Box::pin(self.list(|after, limit| route::refusals(&RefusalQuery { after, limit, ..query.clone() })))
    }
}

/// The refusal in an answer; what stands between us and the server may answer without our body.
fn refusal(status: StatusCode, body: &Bytes) -> Error {
    if let Ok(error) = serde_json::from_slice::<control::Error>(body) {
        return Error::Refused(error);
    }
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => number::ACCESS_DENIED,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            number::NOT_SUPPORTED
        }
        _ => return Error::Nonsense(format!("HTTP status {status}")),
    };
    Error::Refused(
        control::Error::new(code, "The server refused the request.")
            .with_hint(format!("it answered HTTP status {status}")),
    )
}
