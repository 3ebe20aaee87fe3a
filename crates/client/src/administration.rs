//! What an administrator may ask of a server.

use std::future::Future;
use std::pin::Pin;

use control::{
    Connection, ConnectionQuery, Ended, FileQuery, OpenFile, Refusal, RefusalQuery, ServerInfo, Session,
    SessionQuery, Share,
};

use crate::Error;

/// A call under way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// What an administrator may ask of a server, of whatever make. Lists are complete and ordered by id;
/// how a server pages them is hidden. The `after` and `limit` of a query are not used.
///
/// What a server cannot tell about an entry is `None` in it; what it cannot do at all is
/// refused with 50 (ERROR_NOT_SUPPORTED).
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

    /// The opens that match; an empty list where none does.
    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>>;

    /// One open. 2314 where there is none with this id.
    fn file(&self, id: u32) -> Answer<'_, OpenFile>;

    /// Closes one open. 2314 where there is none with this id.
    fn close_file(&self, id: u32) -> Answer<'_, Ended>;

    /// The shares.
    fn shares(&self) -> Answer<'_, Vec<Share>>;

    /// The connections to shares that match.
    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>>;

    /// The recent refusals that match.
    fn refusals<'a>(&'a self, query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>>;
}
