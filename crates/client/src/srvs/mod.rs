//! The administration of any server over MS-SRVS, MS-WKST and MS-SAMR: Windows, Samba, and our own if it offers nothing
//! else.
//!
//! Servers support some of the calls and some of their levels. Each list is requested at the most detailed level, and
//! at a lesser one if the server does not support or grant it. Information that is missing stays unknown; invented
//! information is dropped.

mod call;
mod connections;
mod files;
mod groups;
mod names;
mod permissions;
mod server;
mod sessions;
mod shares;
pub(crate) mod who;

#[cfg(test)]
mod tests;

use parking_lot::Mutex;

use control::{
    Clock, CloseFile, Connection, ConnectionQuery, Ended, FileQuery, Group, GroupChange, Logon, NewGroup,
    NewShare, OpenFile, Refusal, RefusalQuery, ServerInfo, Session, SessionQuery, Settings, SettingsChange,
    Share, ShareChange, Statistics, Who, WhoQuery, number,
};

pub use call::{CallError, Rpc};

use crate::{Administration, Answer, Error};

/// Any server over MS-SRVS.
#[derive(Debug)]
pub struct SrvsClient<R> {
    rpc: R,
    known: Mutex<Knowledge>,
}

/// The properties of the server that are known so far.
#[derive(Clone, Debug, Default)]
struct Knowledge {
    /// True if it ends single sessions without the others of their connection.
    single_sessions: Option<bool>,
    /// The shares, as of the first request.
    shares: Option<Vec<Share>>,
}

impl<R: Rpc> SrvsClient<R> {
    /// The server that `rpc` makes calls of.
    pub fn new(rpc: R) -> Self {
        Self { rpc, known: Mutex::default() }
    }

    /// The connection.
    pub(crate) fn rpc(&self) -> &R {
        &self.rpc
    }

    fn knowledge(&self) -> Knowledge {
        self.known.lock().clone()
    }

    fn learn(&self, change: impl FnOnce(Knowledge) -> Knowledge) {
        let mut known = self.known.lock();
        *known = change(std::mem::take(&mut known));
    }

    /// The user whose entries are the caller's own.
    fn own(&self) -> Result<String, Error> {
        self.rpc.user().ok_or_else(|| unsupported("it is not known as whom this server is asked".into()))
    }

    /// True unless the server has shown that it cannot end single sessions.
    fn can_end_single_sessions(&self) -> bool {
        self.knowledge().single_sessions != Some(false)
    }
}

/// The warning before a session ends on a server like Samba.
pub(crate) const ENDS_CONNECTIONS: &str =
    "This server ends whole connections: all sessions of that computer's connection end with this one.";

impl<R: Rpc> Administration for SrvsClient<R> {
    fn server(&self) -> Answer<'_, ServerInfo> {
        Box::pin(self.server_info())
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Answer<'a, Vec<Session>> {
        Box::pin(self.session_list(query))
    }

    fn end_session<'a>(&'a self, session: &'a Session) -> Answer<'a, Ended> {
        Box::pin(async move {
            self.session_end(session).await?;
            Ok(Ended { sessions: 1, files: session.opens.unwrap_or(0), outcome: None })
        })
    }

    fn ending_warning(&self, _sessions: &[Session]) -> Option<&'static str> {
        (!self.can_end_single_sessions()).then_some(ENDS_CONNECTIONS)
    }

    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>> {
        Box::pin(self.file_list(query))
    }

    fn carries(&self, file: &OpenFile) -> bool {
        self.is_own_pipe(file)
    }

    fn file(&self, id: u32) -> Answer<'_, OpenFile> {
        Box::pin(self.file_of_id(id))
    }

    fn close_file<'a>(&'a self, id: u32, how: &'a CloseFile) -> Answer<'a, Ended> {
        Box::pin(self.file_close(id, how))
    }

    fn who<'a>(&'a self, query: &'a WhoQuery) -> Answer<'a, Who> {
        Box::pin(self.holders(query))
    }

    fn shares(&self) -> Answer<'_, Vec<Share>> {
        Box::pin(self.share_list())
    }

    fn share<'a>(&'a self, name: &'a str) -> Answer<'a, Share> {
        Box::pin(self.share_of_name(name))
    }

    fn add_share<'a>(&'a self, share: &'a NewShare) -> Answer<'a, Share> {
        Box::pin(self.share_add(share))
    }

    fn change_share<'a>(&'a self, name: &'a str, change: &'a ShareChange) -> Answer<'a, Share> {
        Box::pin(self.share_change(name, change))
    }

    fn delete_share<'a>(&'a self, name: &'a str) -> Answer<'a, Ended> {
        Box::pin(self.share_delete(name))
    }

    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>> {
        Box::pin(self.connection_list(query))
    }

    fn refusals<'a>(&'a self, _query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>> {
        Box::pin(async { Err(unsupported("this server does not report refusals".into())) })
    }

    fn settings(&self) -> Answer<'_, Settings> {
        Box::pin(self.server_settings())
    }

    fn change_settings<'a>(&'a self, change: &'a SettingsChange) -> Answer<'a, Settings> {
        Box::pin(self.server_change(change))
    }

    fn statistics(&self) -> Answer<'_, Statistics> {
        Box::pin(self.server_statistics())
    }

    fn clock(&self) -> Answer<'_, Clock> {
        Box::pin(self.server_clock())
    }

    fn groups(&self) -> Answer<'_, Vec<Group>> {
        Box::pin(self.group_list())
    }

    fn add_group<'a>(&'a self, group: &'a NewGroup) -> Answer<'a, Group> {
        Box::pin(self.group_add(group))
    }

    fn change_group<'a>(&'a self, group: &'a str, change: &'a GroupChange) -> Answer<'a, Group> {
        Box::pin(self.group_change(group, change))
    }

    fn delete_group<'a>(&'a self, group: &'a str) -> Answer<'a, Group> {
        Box::pin(self.group_delete(group))
    }

    fn logons(&self) -> Answer<'_, Vec<Logon>> {
        Box::pin(self.logon_list())
    }
}

/// 50, and why.
pub(crate) fn unsupported(hint: String) -> Error {
    control::Error::new(number::NOT_SUPPORTED, "The request is not supported.").with_hint(hint).into()
}

/// Refuses a filter on information that no entry contains: an empty list would suggest that nothing matches.
fn check_supported<T>(
    asked: bool,
    entries: &[T],
    is_known: impl Fn(&T) -> bool,
    what: &str,
) -> Result<(), Error> {
    if asked && !entries.is_empty() && !entries.iter().any(is_known) {
        return Err(unsupported(format!("this server does not report {what}")));
    }
    Ok(())
}

/// A string that is not empty.
fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A computer as [`control::Session::computer`] has it.
fn computer(name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    match control::address::parse(&name) {
        Some(address) => address.to_string(),
        None => control::address::bare(&name).to_owned(),
    }
}
