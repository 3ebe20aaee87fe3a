//! A server on another machine: over the control API if it is our own, otherwise over MS-SRVS.

use std::sync::Arc;

use auth::Credentials;
use control::{
    Clock, CloseFile, Connection, ConnectionQuery, Ended, EventQuery, FileQuery, Logon, NewShare, OpenFile,
    PasswordChange, Refusal, RefusalQuery, ServerInfo, Service, ServiceAction, Session, SessionQuery,
    Settings, SettingsChange, Share, ShareChange, Statistics, User, UserChange, Who, WhoQuery, number,
};
use tokio::sync::OnceCell;

use crate::remote::{Remote, ServerAddress};
use crate::{Administration, Answer, ControlClient, Error, Events, SrvsClient};

/// A server on another machine. The first question finds out which API it speaks.
pub struct RemoteClient {
    remote: Arc<Remote>,
    way: OnceCell<Box<dyn Administration>>,
}

impl RemoteClient {
    /// The server at that place, with those credentials.
    pub fn new(place: ServerAddress, credentials: Credentials) -> Self {
        Self { remote: Arc::new(Remote::new(place, credentials)), way: OnceCell::new() }
    }

    /// The connection, for logging off: [`Remote::log_off`].
    pub fn remote(&self) -> Arc<Remote> {
        Arc::clone(&self.remote)
    }

    /// Our own server is the one that has the pipe of the control API.
    async fn way(&self) -> Result<&dyn Administration, Error> {
        let way = self.way.get_or_try_init(async || {
            let own = self.remote.open_stream(control::socket_paths::PIPE).await?.is_some();
            let remote = Arc::clone(&self.remote);
            let way: Box<dyn Administration> =
                if own { Box::new(ControlClient::over(remote)) } else { Box::new(SrvsClient::new(remote)) };
            Ok::<_, Error>(way)
        });
        Ok(&**way.await?)
    }
}

impl Administration for RemoteClient {
    fn ending_warning(&self) -> Option<&'static str> {
        self.way.get().and_then(|way| way.ending_warning())
    }

    fn server(&self) -> Answer<'_, ServerInfo> {
        Box::pin(async move { self.way().await?.server().await })
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Answer<'a, Vec<Session>> {
        Box::pin(async move { self.way().await?.sessions(query).await })
    }

    /// The session may be the caller's own, which ends without an answer.
    fn end_session<'a>(&'a self, session: &'a Session) -> Answer<'a, Ended> {
        Box::pin(async move {
            let way = self.way().await?;
            let ended = way.end_session(session).await;
            let Err(Error::Broken(_)) = &ended else { return ended };
            let left = way.sessions(&SessionQuery::default()).await?;
            if session.id.is_none() || left.iter().any(|it| it.id == session.id) {
                return ended;
            }
            Ok(Ended { sessions: 1, files: session.opens.unwrap_or(0), outcome: None })
        })
    }

    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>> {
        Box::pin(async move { self.way().await?.files(query).await })
    }

    fn file(&self, id: u32) -> Answer<'_, OpenFile> {
        Box::pin(async move { self.way().await?.file(id).await })
    }

    /// The open may be that of the pipe that asks.
    fn close_file<'a>(&'a self, id: u32, how: &'a CloseFile) -> Answer<'a, Ended> {
        Box::pin(async move {
            let way = self.way().await?;
            let closed = way.close_file(id, how).await;
            let Err(Error::Broken(_)) = &closed else { return closed };
            match way.file(id).await {
                Err(error) if error.number() == number::FILE_ID_NOT_FOUND => {
                    Ok(Ended { files: 1, ..Ended::default() })
                }
                _ => closed,
            }
        })
    }

    fn who<'a>(&'a self, query: &'a WhoQuery) -> Answer<'a, Who> {
        Box::pin(async move { self.way().await?.who(query).await })
    }

    fn events<'a>(&'a self, query: &'a EventQuery) -> Answer<'a, Events<'a>> {
        Box::pin(async move { self.way().await?.events(query).await })
    }

    fn shares(&self) -> Answer<'_, Vec<Share>> {
        Box::pin(async move { self.way().await?.shares().await })
    }

    fn share<'a>(&'a self, name: &'a str) -> Answer<'a, Share> {
        Box::pin(async move { self.way().await?.share(name).await })
    }

    fn add_share<'a>(&'a self, share: &'a NewShare) -> Answer<'a, Share> {
        Box::pin(async move { self.way().await?.add_share(share).await })
    }

    fn change_share<'a>(&'a self, name: &'a str, change: &'a ShareChange) -> Answer<'a, Share> {
        Box::pin(async move { self.way().await?.change_share(name, change).await })
    }

    fn delete_share<'a>(&'a self, name: &'a str) -> Answer<'a, Ended> {
        Box::pin(async move { self.way().await?.delete_share(name).await })
    }

    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>> {
        Box::pin(async move { self.way().await?.connections(query).await })
    }

    fn refusals<'a>(&'a self, query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>> {
        Box::pin(async move { self.way().await?.refusals(query).await })
    }

    fn settings(&self) -> Answer<'_, Settings> {
        Box::pin(async move { self.way().await?.settings().await })
    }

    fn change_settings<'a>(&'a self, change: &'a SettingsChange) -> Answer<'a, Settings> {
        Box::pin(async move { self.way().await?.change_settings(change).await })
    }

    fn statistics(&self) -> Answer<'_, Statistics> {
        Box::pin(async move { self.way().await?.statistics().await })
    }

    fn service(&self) -> Answer<'_, Service> {
        Box::pin(async move { self.way().await?.service().await })
    }

    fn control_service(&self, action: ServiceAction) -> Answer<'_, Service> {
        Box::pin(async move { self.way().await?.control_service(action).await })
    }

    fn clock(&self) -> Answer<'_, Clock> {
        Box::pin(async move { self.way().await?.clock().await })
    }

    fn users(&self) -> Answer<'_, Vec<User>> {
        Box::pin(async move { self.way().await?.users().await })
    }

    fn change_user<'a>(&'a self, user: &'a str, change: &'a UserChange) -> Answer<'a, User> {
        Box::pin(async move { self.way().await?.change_user(user, change).await })
    }

    fn set_password<'a>(&'a self, user: &'a str, change: &'a PasswordChange) -> Answer<'a, User> {
        Box::pin(async move { self.way().await?.set_password(user, change).await })
    }

    fn logons(&self) -> Answer<'_, Vec<Logon>> {
        Box::pin(async move { self.way().await?.logons().await })
    }
}
