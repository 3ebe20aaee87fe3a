//! What an administrator may ask of a server.

use std::future::Future;
use std::pin::Pin;

use control::{
    Clock, CloseFile, Connection, ConnectionQuery, Ended, Event, EventQuery, FileQuery, Logon, NewShare,
    OpenFile, PasswordChange, Refusal, RefusalQuery, ServerInfo, Service, ServiceAction, Session,
    SessionQuery, Settings, SettingsChange, Share, ShareChange, Statistics, User, UserChange, Who, WhoQuery,
    number,
};
use futures_util::Stream;

use crate::Error;

/// A call under way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// Events as they happen; it ends with an error when the server goes.
pub type Events<'a> = Pin<Box<dyn Stream<Item = Result<Event, Error>> + 'a>>;

/// What an administrator may ask of a server, of whatever make. Lists are complete and ordered by id, where there are
/// ids; how a server pages them is hidden. The `after` and `limit` of a query are not used.
///
/// What a server cannot tell about an entry is `None` in it; what it cannot do at all is
/// refused with 50 (ERROR_NOT_SUPPORTED), which is what a method here answers that is not overridden.
pub trait Administration {
    /// The server itself.
    fn server(&self) -> Answer<'_, ServerInfo>;

    /// The sessions that match; an empty list where none does.
    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Answer<'a, Vec<Session>>;

    /// Ends the session that an earlier list told of. 2312 where it is gone already.
    ///
    /// It takes the entry and not an id because MS-SRVS names a session by computer and user (MS-SRVS
    /// 3.1.4.6); there, other sessions of that user from that computer end with it.
    fn end_session<'a>(&'a self, session: &'a Session) -> Answer<'a, Ended>;

    /// What else ends with a session on this server, as a sentence to show before it is done; none for nothing.
    fn ending_warning(&self) -> Option<&'static str> {
        None
    }

    /// The opens that match; an empty list where none does.
    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>>;

    /// One open. 2314 where there is none with this id.
    fn file(&self, id: u32) -> Answer<'_, OpenFile>;

    /// Closes one open. 2314 where there is none with this id, or not the one expected. A server of another make closes
    /// at once, whatever `how` says of grace; it is refused with 50 where it is asked for.
    fn close_file<'a>(&'a self, id: u32, how: &'a CloseFile) -> Answer<'a, Ended>;

    /// Who has a file or a directory's files open, and who was refused.
    fn who<'a>(&'a self, _query: &'a WhoQuery) -> Answer<'a, Who> {
        unsupported()
    }

    /// What happens from now on, or after an event.
    fn events<'a>(&'a self, _query: &'a EventQuery) -> Answer<'a, Events<'a>> {
        unsupported()
    }

    /// The shares.
    fn shares(&self) -> Answer<'_, Vec<Share>>;

    /// One share. 2310 where there is none of this name.
    fn share<'a>(&'a self, name: &'a str) -> Answer<'a, Share> {
        Box::pin(async move {
            let mut shares = self.shares().await?.into_iter();
            let share = shares.find(|share| share.name.to_lowercase() == name.to_lowercase());
            share.ok_or_else(|| {
                control::Error::new(number::NET_NAME_NOT_FOUND, "This shared resource does not exist.").into()
            })
        })
    }

    /// Shares a directory. 2118 where the name is taken.
    fn add_share<'a>(&'a self, _share: &'a NewShare) -> Answer<'a, Share> {
        unsupported()
    }

    /// Changes a share. 2310 where there is none of this name.
    fn change_share<'a>(&'a self, _name: &'a str, _change: &'a ShareChange) -> Answer<'a, Share> {
        unsupported()
    }

    /// Shares a directory no longer; what is open through the share is closed. 2310 where there is none of this name.
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

    /// Changes settings, and returns what they are then.
    fn change_settings<'a>(&'a self, _change: &'a SettingsChange) -> Answer<'a, Settings> {
        unsupported()
    }

    /// The counters.
    fn statistics(&self) -> Answer<'_, Statistics> {
        unsupported()
    }

    /// What the Server service is doing.
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

    /// Enables or disables an account; to enable it unlocks it too. 2221 where there is no such account.
    fn change_user<'a>(&'a self, _user: &'a str, _change: &'a UserChange) -> Answer<'a, User> {
        unsupported()
    }

    /// Changes a password. 2221 where there is no such account, 86 where the old password is wrong.
    fn set_password<'a>(&'a self, _user: &'a str, _change: &'a PasswordChange) -> Answer<'a, User> {
        unsupported()
    }

    /// Who is logged on at the machine itself.
    fn logons(&self) -> Answer<'_, Vec<Logon>> {
        unsupported()
    }
}

fn unsupported<'a, T: 'a>() -> Answer<'a, T> {
    let error = control::Error::new(number::NOT_SUPPORTED, "The request is not supported.")
        .with_hint("servers of other makes have no call for this");
    Box::pin(async { Err(error.into()) })
}
