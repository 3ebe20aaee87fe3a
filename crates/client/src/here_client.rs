//! The server of this machine: ours at its control socket, or else those of other makes that run here.

use std::path::PathBuf;

use control::{
    AnnounceClose, Clock, CloseFile, Cluster, Connection, ConnectionQuery, Drain, EndDrain, Ended,
    EventQuery, FileQuery, Group, GroupChange, History, HistoryQuery, Logon, NewDrain, NewGroup, NewHold,
    NewShare, NewUser, OpenFile, PasswordChange, Rechecked, Refusal, RefusalQuery, ServerInfo, Service,
    ServiceAction, Session, SessionQuery, Settings, SettingsChange, Share, ShareChange, Statistics, User,
    UserChange, Who, WhoQuery,
};
use tokio::sync::OnceCell;

use crate::control_client::{Sockets, Transport as _};
use crate::local::{AllLocal, running_makes};
use crate::{Administration, Answer, ControlClient, Error, Events, HoldStates};

/// The server of this machine. The first question about sessions and opens finds out which it is; all other operations
/// are those of our own server.
pub struct HereClient {
    sockets: Vec<PathBuf>,
    own: ControlClient,
    way: OnceCell<Box<dyn Administration>>,
}

impl HereClient {
    /// The server at the first of these sockets at which one listens, or else those of other makes.
    pub fn new(sockets: Vec<PathBuf>) -> Self {
        Self { own: ControlClient::new(sockets.clone()), sockets, way: OnceCell::new() }
    }

    /// Our own server, unless none listens and others run.
    async fn way(&self) -> &dyn Administration {
        let way = self.way.get_or_init(async || {
            let own = || -> Box<dyn Administration> { Box::new(self.own.clone()) };
            match Sockets::new(self.sockets.clone()).connect().await {
                Err(Error::NotStarted { .. }) => {}
                _ => return own(),
            }
            match running_makes() {
                makes if makes.is_empty() => own(),
                makes => Box::new(AllLocal::new(&makes)),
            }
        });
        &**way.await
    }
}

/// The operations that every make has.
macro_rules! of_any {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $name<'a>(&'a self, $($argument: $type),*) -> Answer<'a, $answer> {
            Box::pin(async move { self.way().await.$name($($argument),*).await })
        }
    )*};
}

/// The operations of our own server only.
macro_rules! of_own {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $name<'a>(&'a self, $($argument: $type),*) -> Answer<'a, $answer> {
            self.own.$name($($argument),*)
        }
    )*};
}

impl Administration for HereClient {
    of_any! {
        sessions(query: &'a SessionQuery) -> Vec<Session>;
        end_session(session: &'a Session) -> Ended;
        files(query: &'a FileQuery) -> Vec<OpenFile>;
        file(id: u32) -> OpenFile;
        close_file(id: u32, how: &'a CloseFile) -> Ended;
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
        events(query: &'a EventQuery) -> Events<'a>;
        connections(query: &'a ConnectionQuery) -> Vec<Connection>;
    }

    of_own! {
        history(query: &'a HistoryQuery) -> History;
        server() -> ServerInfo;
        shares() -> Vec<Share>;
        share(name: &'a str) -> Share;
        add_share(share: &'a NewShare) -> Share;
        change_share(name: &'a str, change: &'a ShareChange) -> Share;
        delete_share(name: &'a str) -> Ended;
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
}
