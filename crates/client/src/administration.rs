//! The operations of an administrator on a server.

use std::future::Future;
use std::pin::Pin;

use control::{
    AnnounceClose, Clock, CloseFile, Cluster, Connection, ConnectionQuery, Drain, EndDrain, Ended, Event,
    EventQuery, FileQuery, Group, GroupChange, History, HistoryQuery, HoldState, Logon, NewDrain, NewGroup,
    NewHold, NewShare, NewUser, OpenFile, PasswordChange, Rechecked, Refusal, RefusalQuery, ServerInfo,
    Service, ServiceAction, Session, SessionQuery, Settings, SettingsChange, Share, ShareChange, Statistics,
    User, UserChange, Who, WhoQuery, number,
};
use futures_util::Stream;

use crate::Error;

/// A call under way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// Events as they happen; it ends with an error when the server goes.
pub type Events<'a> = Pin<Box<dyn Stream<Item = Result<Event, Error>> + 'a>>;

/// The states of a hold, as they change. The hold lasts until this is dropped or ends.
pub type HoldStates<'a> = Pin<Box<dyn Stream<Item = Result<HoldState, Error>> + 'a>>;

/// The operations of an administrator on a server of any make. Lists are complete and, if the entries have ids,
/// ordered by id; the pages of a server are hidden. The `after` and `limit` of a query are not used.
///
/// Information that a server does not provide about an entry is `None` in it. An operation that it does not support
/// fails with 50 (ERROR_NOT_SUPPORTED), as the default methods here do.
pub trait Administration {
    /// The server itself.
    fn server(&self) -> Answer<'_, ServerInfo>;

    /// The sessions that match.
    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Answer<'a, Vec<Session>>;

    /// Ends a session from an earlier list. Fails with 2312 if it has ended already.
    ///
    /// The parameter is the entry, not an id, because MS-SRVS identifies a session by computer and user (MS-SRVS
    /// 3.1.4.6); there, other sessions of that user from that computer end with it.
    fn end_session<'a>(&'a self, session: &'a Session) -> Answer<'a, Ended>;

    /// The warning to show before these sessions of the last list end, if others end with them on this server.
    fn ending_warning(&self, _sessions: &[Session]) -> Option<&'static str> {
        None
    }

    /// The opens that match.
    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>>;

    /// True if an open of the last list is a pipe of the caller that such requests are made over. Acts on several opens
    /// leave it out: it may be that of the list, and ends by itself.
    fn carries(&self, _file: &OpenFile) -> bool {
        false
    }

    /// One open. Fails with 2314 if no open has this id.
    fn file(&self, id: u32) -> Answer<'_, OpenFile>;

    /// Closes one open. Fails with 2314 if no open has this id, or if it is not the expected one. Servers of other
    /// makes close at once; a grace period fails with 50 there.
    fn close_file<'a>(&'a self, id: u32, how: &'a CloseFile) -> Answer<'a, Ended>;

    /// Announces the close of an open at a later time. Fails as [`Self::close_file`] does.
    fn announce_close<'a>(&'a self, _id: u32, _announced: &'a AnnounceClose) -> Answer<'a, OpenFile> {
        unsupported()
    }

    /// Cancels an announced close. Fails with 87 if there is none.
    fn cancel_close(&self, _id: u32) -> Answer<'_, OpenFile> {
        unsupported()
    }

    /// The drains in force.
    fn drains(&self) -> Answer<'_, Vec<Drain>> {
        unsupported()
    }

    /// Begins a drain, or changes the one of the same scope. Fails with 2310 if there is no such share.
    fn begin_drain<'a>(&'a self, _new: &'a NewDrain) -> Answer<'a, Drain> {
        unsupported()
    }

    /// Ends a drain and returns its last state. Fails with 87 if there is none.
    fn end_drain<'a>(&'a self, _which: &'a EndDrain) -> Answer<'a, Drain> {
        unsupported()
    }

    /// Waits until nobody has a path open, and then holds it.
    fn hold<'a>(&'a self, _new: &'a NewHold) -> Answer<'a, HoldStates<'a>> {
        unsupported()
    }

    /// Lists the connections of a share with more rights than the share gives their users now, and ends them if `end`
    /// is true. Fails with 2310 if there is no such share.
    fn recheck<'a>(&'a self, _share: &'a str, _end: bool) -> Answer<'a, Rechecked> {
        unsupported()
    }

    /// The cluster of which the server is a node.
    fn cluster(&self) -> Answer<'_, Cluster> {
        unsupported()
    }

    /// Ends the membership of the server in its cluster until it starts again. Fails with 170 if no other node can own its
    /// shares, unless `force` is true.
    fn leave_cluster(&self, _force: bool) -> Answer<'_, Cluster> {
        unsupported()
    }

    /// The opens of a file or below a directory, and the recent refusals.
    fn who<'a>(&'a self, _query: &'a WhoQuery) -> Answer<'a, Who> {
        unsupported()
    }

    /// The history: what was open, changed, refused and administered.
    fn history<'a>(&'a self, _query: &'a HistoryQuery) -> Answer<'a, History> {
        unsupported()
    }

    /// The stream of events from now on, or after a given one.
    fn events<'a>(&'a self, _query: &'a EventQuery) -> Answer<'a, Events<'a>> {
        unsupported()
    }

    /// The shares.
    fn shares(&self) -> Answer<'_, Vec<Share>>;

    /// One share. Fails with 2310 if none has this name.
    fn share<'a>(&'a self, name: &'a str) -> Answer<'a, Share> {
        Box::pin(async move {
            let mut shares = self.shares().await?.into_iter();
            let share = shares.find(|share| wire::eq_ignore_case(&share.name, name));
            share.ok_or_else(|| {
                control::Error::new(number::NET_NAME_NOT_FOUND, "This shared resource does not exist.").into()
            })
        })
    }

    /// Shares a directory. Fails with 2118 if the name is taken.
    fn add_share<'a>(&'a self, _share: &'a NewShare) -> Answer<'a, Share> {
        unsupported()
    }

    /// Changes a share. Fails with 2310 if none has this name.
    fn change_share<'a>(&'a self, _name: &'a str, _change: &'a ShareChange) -> Answer<'a, Share> {
        unsupported()
    }

    /// Deletes a share and closes its opens. Fails with 2310 if none has this name.
    fn delete_share<'a>(&'a self, _name: &'a str) -> Answer<'a, Ended> {
        unsupported()
    }

    /// The connections to shares that match.
    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>>;

    /// The recent refusals that match.
    fn refusals<'a>(&'a self, query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>>;

    /// The settings.
    fn settings(&self) -> Answer<'_, Settings> {
        unsupported()
    }

    /// Changes settings and returns the new ones.
    fn change_settings<'a>(&'a self, _change: &'a SettingsChange) -> Answer<'a, Settings> {
        unsupported()
    }

    /// The counters.
    fn statistics(&self) -> Answer<'_, Statistics> {
        unsupported()
    }

    /// The counters with the counts of requests by command and the numbers of sessions and opens, if the server
    /// reports them; otherwise, those of [`Self::statistics`].
    fn measurements(&self) -> Answer<'_, Statistics> {
        self.statistics()
    }

    /// The state of the Server service.
    fn service(&self) -> Answer<'_, Service> {
        unsupported()
    }

    /// Stops, pauses or continues the Server service.
    fn control_service(&self, _action: ServiceAction) -> Answer<'_, Service> {
        unsupported()
    }

    /// The server's clock.
    fn clock(&self) -> Answer<'_, Clock> {
        unsupported()
    }

    /// The accounts.
    fn users(&self) -> Answer<'_, Vec<User>> {
        unsupported()
    }

    /// Adds an account. Fails with 2224 if the account exists.
    fn add_user<'a>(&'a self, _user: &'a NewUser) -> Answer<'a, User> {
        unsupported()
    }

    /// Deletes an account, and returns its last state. Fails with 2221 if the account does not exist.
    fn delete_user<'a>(&'a self, _user: &'a str) -> Answer<'a, User> {
        unsupported()
    }

    /// Enables or disables an account or changes its rules; enabling also unlocks it. Fails with 2221 if the account does not exist.
    fn change_user<'a>(&'a self, _user: &'a str, _change: &'a UserChange) -> Answer<'a, User> {
        unsupported()
    }

    /// Changes a password. Fails with 2221 if the account does not exist, and with 86 if the old password is wrong.
    fn set_password<'a>(&'a self, _user: &'a str, _change: &'a PasswordChange) -> Answer<'a, User> {
        unsupported()
    }

    /// The local groups.
    fn groups(&self) -> Answer<'_, Vec<Group>> {
        unsupported()
    }

    /// Adds a local group. Fails with 1379 if there is one.
    fn add_group<'a>(&'a self, _group: &'a NewGroup) -> Answer<'a, Group> {
        unsupported()
    }

    /// Changes a local group and its members. Fails with 1376 if there is none.
    fn change_group<'a>(&'a self, _group: &'a str, _change: &'a GroupChange) -> Answer<'a, Group> {
        unsupported()
    }

    /// Deletes a local group, and returns its last state. Fails with 1376 if there is none.
    fn delete_group<'a>(&'a self, _group: &'a str) -> Answer<'a, Group> {
        unsupported()
    }

    /// The logons at the machine itself.
    fn logons(&self) -> Answer<'_, Vec<Logon>> {
        unsupported()
    }
}

fn unsupported<'a, T: 'a>() -> Answer<'a, T> {
    let error = control::Error::new(number::NOT_SUPPORTED, "The request is not supported.")
        .with_hint("servers of other makes have no call for this");
    Box::pin(async { Err(error.into()) })
}
