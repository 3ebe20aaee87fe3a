//! Queries to the history.

use std::sync::Arc;

use journal::{Answer, Query, Reader, Visible};

use super::{Caller, Error, Explained, Own, Right, scope};
use crate::core::history::Status;
use crate::core::server::Server;

/// The answer to a query, with the state of the history for a caller who may see everything.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) answer: Answer,
    pub(crate) status: Option<Status>,
}

/// The entries that match and that the caller may see: those of the shares of its roles, and its own. This waits for the
/// disk.
pub(crate) fn history(server: &Arc<Server>, caller: &Caller, query: Query) -> Result<Past, Explained> {
    let scope = scope(caller, Right::ReadFiles, Own::Too)?;
    let _place = server.history.reader_place().ok_or(Error::Busy)?;
    server.history.record_for_query(server);
    let status = server.history.status();
    let shares = server.shares();
    // Shares that other nodes of a cluster own may have been this server's.
    let of_cluster = if scope.is_everything() { Vec::new() } else { server.shares_of_cluster() };
    let names = shares.iter().map(|it| it.settings.name.clone());
    let names = names.chain(of_cluster.into_iter().map(|it| it.settings.name));
    let own = (!caller.user.is_empty()).then(|| (caller.user.clone(), caller.sid.map(|sid| sid.to_string())));
    let visible = Visible {
        everything: scope.is_everything(),
        shares: names.filter(|name| scope.has_share(name)).collect(),
        own,
    };
    let answer = Reader::open(&server.settings().state_directory)
        .and_then(|mut reader| reader.answer(&Query { visible, ..query }))
        .map_err(|error| refusal(&error, &status))?;
    Ok(Past { answer, status: scope.is_everything().then_some(status) })
}

/// The refusal of a query that the journal cannot answer.
fn refusal(error: &journal::Error, status: &Status) -> Explained {
    match error {
        journal::Error::Missing { .. } if !status.enabled => {
            Explained::new(Error::NotSupported, "the history is off; [history] in shareward.toml turns it on")
        }
        journal::Error::Missing { .. } => Explained::new(
            Error::NotSupported,
            status.failure.as_deref().unwrap_or("there is no history yet"),
        ),
        journal::Error::TooLong => Explained::new(Error::InvalidParameter, error),
        journal::Error::Newer { .. } => Explained::new(Error::NotSupported, error),
        _ => {
            tracing::warn!(%error, "cannot read the history; a query is refused");
            Explained::new(Error::Internal, "the history cannot be read; the server's log has the reason")
        }
    }
}
