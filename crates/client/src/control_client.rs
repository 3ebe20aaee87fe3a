//! The control API over a stream of bytes: a Unix socket, or a pipe over SMB.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use control::{
    AnnounceClose, Clock, CloseFile, Cluster, Connection, ConnectionQuery, Drain, EndDrain, Ended, Event,
    EventQuery, FileQuery, Group, GroupChange, History, HistoryQuery, HoldState, LeaveCluster, Logon,
    NewDrain, NewGroup, NewHold, NewShare, NewUser, OpenFile, Page, PasswordChange, Recheck, Rechecked,
    Refusal, RefusalQuery, ServerInfo, Service, ServiceAction, Session, SessionQuery, Settings,
    SettingsChange, Share, ShareChange, Statistics, StatisticsQuery, User, UserChange, Who, WhoQuery, number,
    route,
};
use futures_util::stream;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::limits::{LIST_ENTRIES_MAX, PAGE_ENTRIES, REQUEST_TIME_MAX};
use crate::{Administration, Answer, Error, Events, HoldStates, http};

/// The carrier of the control API: a stream of bytes to the server for each request.
pub trait Transport {
    /// The stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects.
    fn connect(&self) -> impl Future<Output = Result<Self::Stream, Error>>;

    /// True if nobody between the two ends can read the data of a stream.
    fn is_private(&self, stream: &Self::Stream) -> bool;
}

/// The first of these Unix sockets at which a server listens.
#[derive(Clone, Debug)]
pub struct Sockets(Vec<PathBuf>);

/// A client of our own server. It connects anew for every request, so nothing is held open while
/// a person thinks about a question.
#[derive(Clone, Debug)]
pub struct ControlClient<T = Sockets> {
    transport: T,
}

impl Sockets {
    /// The first of these sockets at which a server listens.
    pub(crate) fn new(sockets: Vec<PathBuf>) -> Self {
        Self(sockets)
    }
}

impl ControlClient {
    /// A client of the first of these sockets at which a server listens.
    pub fn new(sockets: Vec<PathBuf>) -> Self {
        Self::over(Sockets(sockets))
    }
}

impl Transport for Sockets {
    type Stream = UnixStream;

    async fn connect(&self) -> Result<UnixStream, Error> {
        let Self(sockets) = self;
        for socket in sockets {
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
        Err(Error::NotStarted { sockets: sockets.clone() })
    }

    /// The kernel carries it.
    fn is_private(&self, _stream: &UnixStream) -> bool {
        true
    }
}

impl<C: Transport> ControlClient<C> {
    /// A client that reaches its server this way.
    pub fn over(transport: C) -> Self {
        Self { transport }
    }

    async fn connect(&self) -> Result<C::Stream, Error> {
        self.transport.connect().await
    }

    async fn request<T: DeserializeOwned>(&self, method: Method, address: &str) -> Result<T, Error> {
        self.exchange(method, address, None, Content::Open).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        address: &str,
        body: &impl Serialize,
        content: Content,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Nonsense(error.to_string()))?;
        self.exchange(method, address, Some(body), content).await
    }

    /// Sends a request and returns the answer. Secret content is sent only over a private stream.
    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        address: &str,
        body: Option<Vec<u8>>,
        content: Content,
    ) -> Result<T, Error> {
        let exchange = async {
            let stream = self.connect().await?;
            if content == Content::Secret && !self.transport.is_private(&stream) {
                return Err(readable());
            }
            http::exchange(stream, method, address, body).await
        };
        let (status, body) =
            timeout(REQUEST_TIME_MAX, exchange).await.map_err(|_elapsed| Error::TimedOut)??;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| Error::Nonsense(error.to_string()))
    }

    /// Sends a request whose answer is lines.
    async fn lines(
        &self,
        method: Method,
        address: &str,
        body: Option<Vec<u8>>,
    ) -> Result<http::Lines, Error> {
        let opened = async { http::lines(self.connect().await?, method, address, body).await };
        let (status, mut lines) =
            timeout(REQUEST_TIME_MAX, opened).await.map_err(|_elapsed| Error::TimedOut)??;
        if !status.is_success() {
            let body = timeout(REQUEST_TIME_MAX, lines.rest()).await;
            return Err(refusal(status, &body.map_err(|_elapsed| Error::TimedOut)??));
        }
        Ok(lines)
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

impl<C: Transport> Administration for ControlClient<C> {
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

    fn close_file<'a>(&'a self, id: u32, how: &'a CloseFile) -> Answer<'a, Ended> {
        Box::pin(async move { self.request(Method::DELETE, &route::close_file(id, how)).await })
    }

    fn announce_close<'a>(&'a self, id: u32, announced: &'a AnnounceClose) -> Answer<'a, OpenFile> {
        Box::pin(
            async move { self.send(Method::PUT, &route::file_closing(id), announced, Content::Open).await },
        )
    }

    fn cancel_close(&self, id: u32) -> Answer<'_, OpenFile> {
        Box::pin(async move { self.request(Method::DELETE, &route::file_closing(id)).await })
    }

    fn drains(&self) -> Answer<'_, Vec<Drain>> {
        Box::pin(async move { Ok(self.request::<Page<Drain>>(Method::GET, route::DRAINS).await?.items) })
    }

    fn begin_drain<'a>(&'a self, new: &'a NewDrain) -> Answer<'a, Drain> {
        Box::pin(self.send(Method::POST, route::DRAINS, new, Content::Open))
    }

    fn end_drain<'a>(&'a self, which: &'a EndDrain) -> Answer<'a, Drain> {
        Box::pin(self.send(Method::POST, route::DRAINS_END, which, Content::Open))
    }

    fn hold<'a>(&'a self, new: &'a NewHold) -> Answer<'a, HoldStates<'a>> {
        Box::pin(async move {
            let body = serde_json::to_vec(new).map_err(|error| Error::Nonsense(error.to_string()))?;
            let lines = self.lines(Method::POST, route::HOLDS, Some(body)).await?;
            let states: HoldStates<'a> = Box::pin(stream::try_unfold(lines, async |mut lines| {
                let Some(line) = lines.next().await? else { return Ok(None) };
                let state: HoldState =
                    serde_json::from_slice(&line).map_err(|error| Error::Nonsense(error.to_string()))?;
                Ok(Some((state, lines)))
            }));
            Ok(states)
        })
    }

    fn recheck<'a>(&'a self, share: &'a str, end: bool) -> Answer<'a, Rechecked> {
        Box::pin(async move {
            let address = route::share_recheck(share);
            self.send(Method::POST, &address, &Recheck { end }, Content::Open).await
        })
    }

    fn cluster(&self) -> Answer<'_, Cluster> {
        Box::pin(async move { self.request(Method::GET, route::CLUSTER).await })
    }

    fn leave_cluster(&self, force: bool) -> Answer<'_, Cluster> {
        Box::pin(async move {
            self.send(Method::POST, route::CLUSTER_LEAVE, &LeaveCluster { force }, Content::Open).await
        })
    }

    fn who<'a>(&'a self, query: &'a WhoQuery) -> Answer<'a, Who> {
        Box::pin(async move { self.request(Method::GET, &route::who(query)).await })
    }

    fn history<'a>(&'a self, query: &'a HistoryQuery) -> Answer<'a, History> {
        Box::pin(async move { self.request(Method::GET, &route::history(query)).await })
    }

    fn events<'a>(&'a self, query: &'a EventQuery) -> Answer<'a, Events<'a>> {
        Box::pin(async move {
            let lines = self.lines(Method::GET, &route::events(query), None).await?;
            let events: Events<'a> = Box::pin(stream::try_unfold(lines, async |mut lines| {
                let Some(line) = lines.next().await? else { return Ok(None) };
                let event: Event =
                    serde_json::from_slice(&line).map_err(|error| Error::Nonsense(error.to_string()))?;
                Ok(Some((event, lines)))
            }));
            Ok(events)
        })
    }

    fn shares(&self) -> Answer<'_, Vec<Share>> {
        Box::pin(async move { Ok(self.request::<Page<Share>>(Method::GET, route::SHARES).await?.items) })
    }

    fn share<'a>(&'a self, name: &'a str) -> Answer<'a, Share> {
        Box::pin(async move { self.request(Method::GET, &route::share(name)).await })
    }

    fn add_share<'a>(&'a self, share: &'a NewShare) -> Answer<'a, Share> {
        Box::pin(self.send(Method::POST, route::SHARES, share, Content::Open))
    }

    fn change_share<'a>(&'a self, name: &'a str, change: &'a ShareChange) -> Answer<'a, Share> {
        Box::pin(async move { self.send(Method::PATCH, &route::share(name), change, Content::Open).await })
    }

    fn delete_share<'a>(&'a self, name: &'a str) -> Answer<'a, Ended> {
        Box::pin(async move { self.request(Method::DELETE, &route::share(name)).await })
    }

    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>> {
        Box::pin(
            self.list(|after, limit| route::connections(&ConnectionQuery { after, limit, ..query.clone() })),
        )
    }

    fn refusals<'a>(&'a self, query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>> {
        Box::pin(self.list(|after, limit| route::refusals(&RefusalQuery { after, limit, ..query.clone() })))
    }

    fn settings(&self) -> Answer<'_, Settings> {
        Box::pin(self.request(Method::GET, route::SETTINGS))
    }

    fn change_settings<'a>(&'a self, change: &'a SettingsChange) -> Answer<'a, Settings> {
        Box::pin(self.send(Method::PATCH, route::SETTINGS, change, Content::Open))
    }

    fn statistics(&self) -> Answer<'_, Statistics> {
        Box::pin(self.request(Method::GET, route::STATISTICS))
    }

    fn measurements(&self) -> Answer<'_, Statistics> {
        Box::pin(async {
            let query = StatisticsQuery { detail: Some(true) };
            self.request(Method::GET, &route::statistics(&query)).await
        })
    }

    fn service(&self) -> Answer<'_, Service> {
        Box::pin(self.request(Method::GET, route::SERVICE))
    }

    fn control_service(&self, action: ServiceAction) -> Answer<'_, Service> {
        Box::pin(async move { self.send(Method::POST, route::SERVICE, &action, Content::Open).await })
    }

    fn clock(&self) -> Answer<'_, Clock> {
        Box::pin(self.request(Method::GET, route::CLOCK))
    }

    fn users(&self) -> Answer<'_, Vec<User>> {
        Box::pin(async move { Ok(self.request::<Page<User>>(Method::GET, route::USERS).await?.items) })
    }

    fn add_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, User> {
        Box::pin(self.send(Method::POST, route::USERS, user, Content::Secret))
    }

    fn delete_user<'a>(&'a self, user: &'a str) -> Answer<'a, User> {
        Box::pin(async move { self.request(Method::DELETE, &route::user(user)).await })
    }

    fn change_user<'a>(&'a self, user: &'a str, change: &'a UserChange) -> Answer<'a, User> {
        Box::pin(async move { self.send(Method::PATCH, &route::user(user), change, Content::Open).await })
    }

    fn set_password<'a>(&'a self, user: &'a str, change: &'a PasswordChange) -> Answer<'a, User> {
        Box::pin(
            async move { self.send(Method::PUT, &route::user_password(user), change, Content::Secret).await },
        )
    }

    fn groups(&self) -> Answer<'_, Vec<Group>> {
        Box::pin(async move { Ok(self.request::<Page<Group>>(Method::GET, route::GROUPS).await?.items) })
    }

    fn add_group<'a>(&'a self, group: &'a NewGroup) -> Answer<'a, Group> {
        Box::pin(self.send(Method::POST, route::GROUPS, group, Content::Open))
    }

    fn change_group<'a>(&'a self, group: &'a str, change: &'a GroupChange) -> Answer<'a, Group> {
        Box::pin(async move { self.send(Method::PATCH, &route::group(group), change, Content::Open).await })
    }

    fn delete_group<'a>(&'a self, group: &'a str) -> Answer<'a, Group> {
        Box::pin(async move { self.request(Method::DELETE, &route::group(group)).await })
    }

    fn logons(&self) -> Answer<'_, Vec<Logon>> {
        Box::pin(async move { Ok(self.request::<Page<Logon>>(Method::GET, route::LOGONS).await?.items) })
    }
}

/// The confidentiality of a request's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Not confidential.
    Open,
    /// The server only.
    Secret,
}

fn readable() -> Error {
    Error::Refused(
        control::Error::new(number::NOT_SUPPORTED, "The request is not supported.").with_hint(
            "a password is sent over an encrypted connection only, and this server does not encrypt",
        ),
    )
}

/// The refusal in an answer; a proxy may answer without the body of this API.
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
