//! What administrators may ask of the server, whatever way they come in.

use std::net::SocketAddr;
use crate::session::Session;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user's name.
    pub(crate) user: String,
    /// Whether the user may administer the server.
    pub(crate) administrator: bool,
    /// Where the request comes from.
    pub(crate) from: String,
}

impl Caller {
    /// The user of an SMB session.
    pub(crate) fn of_session(session: &Session, peer: SocketAddr) -> Self {
        let user = session.user();
        Self {
            administrator: user.as_ref().is_some_and(|user| user.administrator),
            user: user.map(|user| user.name.clone()).unwrap_or_default(),
            from: peer.ip().to_canonical().to_string(),
        }
    }
}
