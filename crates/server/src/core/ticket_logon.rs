//! A logon with a Kerberos ticket that a browser presents by Negotiate (RFC 4559), as at the web console.

use std::net::SocketAddr;
use std::sync::Arc;

use auth::kerberos::{ChannelBindings, KerberosRefusal};
use auth::{Acceptor, AcceptorConfig, Refusal, Step};

use crate::core::audit::{Why, logon_refused};
use crate::core::limits;
use crate::core::password_logon::{LogonRefused, Visitor, admit};
use crate::core::server::Server;

/// A logon that waits for a token.
pub(crate) struct TicketLogon {
    acceptor: Acceptor,
}

/// The result of a token.
pub(crate) enum TicketStep {
    /// The user has logged on; this token proves the server to the browser.
    Done(Visitor, Vec<u8>),
    /// The browser has to answer this token. If there is a reason, its ticket was refused, and it may present another one.
    Continue(Box<TicketLogon>, Vec<u8>, Option<LogonRefused>),
    /// The logon has failed; this token may go with the answer.
    Refused(LogonRefused, Option<Vec<u8>>),
}

impl TicketLogon {
    /// Begins a logon on a connection with these channel bindings. Returns `None` if the server has no keys for tickets.
    /// Reads the keytab if it has changed.
    pub(crate) async fn begin(
        server: &Arc<Server>,
        channel: Option<ChannelBindings>,
    ) -> Result<Option<Box<Self>>, LogonRefused> {
        let of = Arc::clone(server);
        // The file system may hang.
        let bulkhead = Some(Arc::clone(&server.capacity.logons));
        let keys = crate::core::blocking::run_behind(bulkhead, move || of.kerberos());
        let Some(keys) = keys.await.map_err(|_| LogonRefused::Internal)? else { return Ok(None) };
        let config = AcceptorConfig { kerberos: Some(keys), ..server.settings().acceptor_config() };
        Ok(Some(Box::new(Self { acceptor: Acceptor::new(config).for_web(channel) })))
    }

    /// Takes the browser's next token. A refusal is delayed, as for clients of SMB.
    pub(crate) async fn advance(
        mut self: Box<Self>,
        server: &Arc<Server>,
        token: &[u8],
        peer: SocketAddr,
    ) -> TicketStep {
        let (accounts, now) = (server.accounts(), server.file_time());
        let step = self.acceptor.step(token, &accounts.at(now, server.password_age_max()), now);
        drop(accounts);
        match step {
            Step::Done(logon) => {
                let answer = logon.token.clone();
                match admit(server, &server.settings(), logon.identity, peer).await {
                    Ok(visitor) => TicketStep::Done(visitor, answer),
                    Err(LogonRefused::Wrong) => TicketStep::Refused(LogonRefused::Ticket, None),
                    Err(reason) => TicketStep::Refused(reason, None),
                }
            }
            Step::Continue(token) => TicketStep::Continue(self, token, None),
            Step::Again { reason, token } => {
                let refused = self.refuse(server, &reason, peer).await;
                TicketStep::Continue(self, token, Some(refused))
            }
            Step::Refused { reason, token } => {
                TicketStep::Refused(self.refuse(server, &reason, peer).await, token)
            }
            Step::PassThrough(_) => TicketStep::Refused(LogonRefused::Internal, None),
        }
    }

    /// Records a refusal, and returns when the answer may be sent.
    async fn refuse(&self, server: &Server, reason: &Refusal, peer: SocketAddr) -> LogonRefused {
        if server.logons.log.has_room(peer.ip(), server.now()) {
            logon_refused(server, &peer, self.acceptor.ticket_holder(), "Kerberos", &Why::from(reason));
        }
        tokio::time::sleep(limits::REFUSED_LOGON_DELAY).await;
        match reason {
            Refusal::Internal => LogonRefused::Internal,
            Refusal::Kerberos(KerberosRefusal::Skew { .. }) => LogonRefused::Clock,
            _ => LogonRefused::Ticket,
        }
    }
}
