//! Any server's administration over MS-SRVS and MS-WKST: Windows, Samba, and our own where it offers no more.
//!
//! Servers know some of the calls and some of their levels. Each list is asked for at the level that tells most, and
//! at a lesser one where the server does not know that or does not grant it. What it cannot tell stays unknown;
//! what it makes up is thrown away.

mod call;
mod connections;
mod files;
mod names;
mod permissions;
mod server;
mod sessions;
mod shares;
mod who;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use control::{
    Clock, CloseFile, Connection, ConnectionQuery, Ended, FileQuery, Logon, NewShare, OpenFile, Refusal,
    RefusalQuery, ServerInfo, Session, SessionQuery, Settings, SettingsChange, Share, ShareChange,
    Statistics, Who, WhoQuery, number,
};

pub use call::{CallError, Rpc};

use crate::{Administration, Answer, Error};

/// Any server over MS-SRVS.
#[derive(Debug)]
pub struct SrvsClient<R> {
    rpc: R,
    known: Mutex<Knowledge>,
}

/// What was learnt of the server so far.
#[derive(Clone, Debug, Default)]
struct Knowledge {
    /// Whether it ends one session without the others over its connection.
    single_sessions: Option<bool>,
    /// Its shares, as they were when first asked for.
    shares: Option<Vec<Share>>,
}

impl<R: Rpc> SrvsClient<R> {
    /// The server that `rpc` makes calls of.
    pub fn new(rpc: R) -> Self {
        Self { rpc, known: Mutex::default() }
    }

    fn knowledge(&self) -> Knowledge {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, change: impl FnOnce(Knowledge) -> Knowledge) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = change(std::mem::take(&mut known));
    }

    /// Whose entries are the caller's own.
    fn own(&self) -> Result<String, Error> {
        self.rpc.user().ok_or_else(|| unsupported("it is not known as whom this server is asked".into()))
    }

    /// Whether the server ends one session without the others; so unless it has shown that it does not.
    fn can_end_single_sessions(&self) -> bool {
        self.knowledge().single_sessions != Some(false)
    }
}

/// What to show before a session of a server like Samba is ended.
const ENDS_CONNECTIONS: &str =
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

    fn ending_warning(&self) -> Option<&'static str> {
        (!self.can_end_single_sessions()).then_some(ENDS_CONNECTIONS)
    }

    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>> {
        Box::pin(self.file_list(query))
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
        Box::pin(async { Err(unsupported("this server does not tell whom it refused".into())) })
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

    fn logons(&self) -> Answer<'_, Vec<Logon>> {
        Box::pin(self.logon_list())
    }
}

/// 50, and why.
fn unsupported(hint: String) -> Error {
    control::Error::new(number::NOT_SUPPORTED, "The request is not supported.").with_hint(hint).into()
}

/// Refuses a filter by what the server tells of no entry: an empty list would look as if there were none.
fn told<T>(asked: bool, entries: &[T], is_told: impl Fn(&T) -> bool, what: &str) -> Result<(), Error> {
    if asked && !entries.is_empty() && !entries.iter().any(is_told) {
        return Err(unsupported(format!("this server does not tell {what}")));
    }
    Ok(())
}

/// A string that says something.
fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A computer as [`control::Session::computer`] has it.
fn computer(name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    match control::address::parse(&name) {
        Some(address) => address.to_string(),
        None => name.trim_start_matches('\\').to_owned(),
    }
}
