//! Several servers of this machine as one.

use control::{
    CloseFile, Connection, ConnectionQuery, Ended, FileQuery, OpenFile, Refusal, RefusalQuery, ServerInfo,
    Session, SessionQuery, Share, Who, WhoQuery, number,
};

use super::{LocalServer, Make};
use crate::srvs::unsupported;
use crate::srvs::who::QueriedPath;
use crate::{Administration, Answer, Error};

/// All servers of other makes that run on this machine. Lists are those of all, one after the other; an entry says
/// which it is of. If one of them fails, the list fails: a part would look like the whole.
pub struct AllLocal {
    servers: Vec<(Make, Box<dyn Administration>)>,
}

impl AllLocal {
    /// The usual servers of these makes.
    pub fn new(makes: &[Make]) -> Self {
        let server = |make: &Make| (*make, LocalServer::usual(*make).administration(None));
        Self { servers: makes.iter().map(server).collect() }
    }

    /// The server of an entry.
    fn of(&self, make: Option<&str>) -> Result<&dyn Administration, Error> {
        let server = self.servers.iter().find(|(it, _)| Some(it.name()) == make);
        let server = server.or_else(|| self.servers.first().filter(|_| self.servers.len() == 1));
        server
            .map(|(_, server)| &**server)
            .ok_or_else(|| Error::Nonsense("an entry does not say of which server it is".into()))
    }

    /// Adds the make to a failure, if there are several.
    fn of_make(&self, make: Make, error: Error) -> Error {
        match error {
            Error::Refused(error) if self.servers.len() > 1 => {
                let hint = error.hint.clone().unwrap_or_default();
                let apart = format!("'--server {make}:' asks this one alone, as do the names of the others");
                let hint =
                    if hint.is_empty() { format!("{make}: {apart}") } else { format!("{hint}; {apart}") };
                error.with_hint(hint).into()
            }
            error => error,
        }
    }
}

/// A list of all servers.
macro_rules! joined {
    ($self:ident, $query:ident, $call:ident) => {
        Box::pin(async move {
            let mut all = Vec::new();
            for (make, server) in &$self.servers {
                all.extend(server.$call($query).await.map_err(|error| $self.of_make(*make, error))?);
            }
            Ok(all)
        })
    };
}

impl Administration for AllLocal {
    /// The name is the machine's; the software is that of all.
    fn server(&self) -> Answer<'_, ServerInfo> {
        Box::pin(async {
            let mut whole: Option<ServerInfo> = None;
            for (make, server) in &self.servers {
                let info = server.server().await.map_err(|error| self.of_make(*make, error))?;
                whole = Some(match whole {
                    Some(whole) => {
                        ServerInfo { version: format!("{}, {}", whole.version, info.version), ..whole }
                    }
                    None => info,
                });
            }
            whole.ok_or_else(|| Error::NotStarted { sockets: Vec::new() })
        })
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Answer<'a, Vec<Session>> {
        joined!(self, query, sessions)
    }

    fn end_session<'a>(&'a self, session: &'a Session) -> Answer<'a, Ended> {
        Box::pin(async move { self.of(session.make.as_deref())?.end_session(session).await })
    }

    fn ending_warning(&self, sessions: &[Session]) -> Option<&'static str> {
        self.servers.iter().find_map(|(make, server)| {
            let of_it: Vec<Session> =
                sessions.iter().filter(|it| it.make.as_deref() == Some(make.name())).cloned().collect();
            server.ending_warning(&of_it).filter(|_| !of_it.is_empty())
        })
    }

    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>> {
        joined!(self, query, files)
    }

    /// The open of this id. Servers number their opens on their own.
    fn file(&self, id: u32) -> Answer<'_, OpenFile> {
        Box::pin(async move {
            let mut found: Option<OpenFile> = None;
            let mut missing = None;
            for (make, server) in &self.servers {
                match server.file(id).await {
                    Ok(file) if found.is_none() => found = Some(file),
                    Ok(_) => {
                        return Err(unsupported(format!(
                            "several servers have an open {id}: name one, as in '--server {make}:'"
                        )));
                    }
                    Err(error) if error.number() == number::FILE_ID_NOT_FOUND => missing = Some(error),
                    Err(error) => return Err(self.of_make(*make, error)),
                }
            }
            found.ok_or_else(|| missing.unwrap_or(Error::NotStarted { sockets: Vec::new() }))
        })
    }

    fn close_file<'a>(&'a self, id: u32, how: &'a CloseFile) -> Answer<'a, Ended> {
        Box::pin(async move {
            let file = self.file(id).await?;
            self.of(file.make.as_deref())?.close_file(id, how).await
        })
    }

    /// A share is one of SMB; the NFS server is asked about paths of this machine only.
    fn who<'a>(&'a self, query: &'a WhoQuery) -> Answer<'a, Who> {
        Box::pin(async move {
            let is_share = matches!(QueriedPath::of(query), QueriedPath::Below { .. });
            // With several servers, one that waits would keep the others from being asked.
            let query = &WhoQuery { wait: query.wait.filter(|_| self.servers.len() == 1), ..query.clone() };
            let mut whole: Option<Who> = None;
            for (make, server) in self.servers.iter().filter(|(make, _)| !is_share || *make != Make::Nfs) {
                let who = server.who(query).await.map_err(|error| self.of_make(*make, error))?;
                match &mut whole {
                    Some(whole) => whole.holders.extend(who.holders),
                    None => whole = Some(who),
                }
            }
            whole.ok_or_else(|| {
                unsupported(String::from("the NFS server has no shares; give a path on this machine"))
            })
        })
    }

    fn shares(&self) -> Answer<'_, Vec<Share>> {
        Box::pin(async {
            Err(unsupported(String::from("servers of other makes are not asked for their shares")))
        })
    }

    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for (make, server) in &self.servers {
                match server.connections(query).await {
                    Ok(connections) => all.extend(connections),
                    Err(error) if error.number() == number::NOT_SUPPORTED && *make == Make::Nfs => {}
                    Err(error) => return Err(self.of_make(*make, error)),
                }
            }
            Ok(all)
        })
    }

    fn refusals<'a>(&'a self, _query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>> {
        Box::pin(async { Err(unsupported(String::from("servers of other makes do not report refusals"))) })
    }
}
