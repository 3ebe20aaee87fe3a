//! Waits until other clients have given up cached handles (MS-SMB2 3.3.5.21.1; MS-FSA 2.1.5.15.3,
//! 2.1.5.15.11): the common part of renames, links that replace a name, and pending deletes.

use registry::{Effects, Readiness, RequestKey, State, Time};
use wire::NtStatus;

use crate::core::effects::SmbShell;
use crate::core::limits;
use crate::core::waiting::{Ticket, Wake};
use crate::smb::connection::{Pending, Request};

/// The registry's answer whether the operation can continue.
pub(crate) type Asked = Result<(Readiness, Effects<SmbShell>), NtStatus>;

/// Queries the registry until the operation can continue, and waits each time for the breaks that it has
/// sent. Returns true if it has waited. No interim answer is sent: Windows sends none, and smbtorture's smb2.compound_async requires that.
pub(crate) async fn wait<'a>(
    request: &mut Request<'a>,
    mut ask: impl FnMut(&mut State<SmbShell>, RequestKey, Time) -> Asked + Send,
) -> Result<bool, NtStatus> {
    let connection = request.connection;
    let server = &connection.server;
    let key = server.waiters.new_key(connection.id);
    let mut pending: Option<Pending<'a>> = None;
    for _ in 0..limits::MAX_CREATE_ATTEMPTS {
        let mut ticket = Ticket::take(server, key);
        let asked = ask(&mut server.registry.lock("break_handles"), key, server.now());
        let (readiness, effects) = asked?;
        server.apply(effects);
        if readiness == Readiness::Ready {
            ticket.give_back();
            return Ok(pending.is_some());
        }
        if pending.is_none() {
            pending = Some(request.wait_untold()?);
        }
        let pending = pending.as_ref().ok_or(NtStatus::INTERNAL_ERROR)?;
        tokio::select! {
            woken = ticket.woken() => match woken {
                Some(Wake::Retry | Wake::Granted) => {}
                Some(Wake::Ended(_)) | None => return Err(NtStatus::CANCELLED),
            },
            () = pending.cancelled() => return Err(NtStatus::CANCELLED),
        }
    }
    Err(NtStatus::SHARING_VIOLATION)
}
