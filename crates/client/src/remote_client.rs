//! A server on another machine: over the control API if it is our own, otherwise over MS-SRVS.

use std::sync::Arc;

use control::{
    AnnounceClose, Clock, CloseFile, Cluster, Connection, ConnectionQuery, Drain, EndDrain, Ended,
    EventQuery, FileQuery, Group, GroupChange, History, HistoryQuery, Logon, NewDrain, NewGroup, NewHold,
    NewShare, NewUser, OpenFile, PasswordChange, Rechecked, Refusal, RefusalQuery, ServerInfo, Service,
    ServiceAction, Session, SessionQuery, Settings, SettingsChange, Share, ShareChange, Statistics, User,
    UserChange, Who, WhoQuery, number,
};
use tokio::sync::OnceCell;

use crate::remote::{Remote, ServerAddress};
use crate::smb::LogonCredentials;
use crate::{Administration, Answer, ControlClient, Error, Events, HoldStates, SrvsClient};

/// A server on another machine. The first question finds out which API it speaks.
pub struct RemoteClient {
    remote: Arc<Remote>,
    way: OnceCell<Box<dyn Administration>>,
}

impl RemoteClient {
    /// The server at that place, with those credentials.
    pub fn new(place: ServerAddress, credentials: impl Into<LogonCredentials>) -> Self {
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

/// The operations that are passed on as they are.
macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $name<'a>(&'a self, $($argument: $type),*) -> Answer<'a, $answer> {
            Box::pin(async move { self.way().await?.$name($($argument),*).await })
        }
    )*};
}

impl Administration for RemoteClient {
    pass_on! {
        server() -> ServerInfo;
        sessions(query: &'a SessionQuery) -> Vec<Session>;
        files(query: &'a FileQuery) -> Vec<OpenFile>;
        file(id: u32) -> OpenFile;
        announce_close(id: u32, announced: &'a AnnounceClose) -> OpenFile;
        cancel_close(id: u32) -> OpenFile;
        drains() -> Vec<Drain>;
        begin_drain(new: &'a NewDrain) -> Drain;
        end_drain(which: &'a EndDrain) -> Drain;
        hold(new: &'a NewHold) -> HoldStates<'a>;
        recheck(share: &'a str, end: bool) -> Rechecked;
        cluster() -> Cluster;
        leave_cluster(force: bool) -> Cluster;
        who(query: &'a WhoQuery) -> Who;
        history(query: &'a HistoryQuery) -> History;
        events(query: &'a EventQuery) -> Events<'a>;
        shares() -> Vec<Share>;
        share(name: &'a str) -> Share;
        add_share(share: &'a NewShare) -> Share;
        change_share(name: &'a str, change: &'a ShareChange) -> Share;
        delete_share(name: &'a str) -> Ended;
        connections(query: &'a ConnectionQuery) -> Vec<Connection>;
        refusals(query: &'a RefusalQuery) -> Vec<Refusal>;
        settings() -> Settings;
        change_settings(change: &'a SettingsChange) -> Settings;
        statistics() -> Statistics;
        measurements() -> Statistics;
        service() -> Service;
        control_service(action: ServiceAction) -> Service;
        clock() -> Clock;
        users() -> Vec<User>;
        add_user(user: &'a NewUser) -> User;
        delete_user(user: &'a str) -> User;
        change_user(user: &'a str, change: &'a UserChange) -> User;
        set_password(user: &'a str, change: &'a PasswordChange) -> User;
        groups() -> Vec<Group>;
        add_group(group: &'a NewGroup) -> Group;
        change_group(group: &'a str, change: &'a GroupChange) -> Group;
        delete_group(group: &'a str) -> Group;
        logons() -> Vec<Logon>;
    }

    fn ending_warning(&self, sessions: &[Session]) -> Option<&'static str> {
        self.way.get().and_then(|way| way.ending_warning(sessions))
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
}
