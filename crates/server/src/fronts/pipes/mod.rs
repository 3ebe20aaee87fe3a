//! Named pipes of IPC$: each open is an RPC association (MS-RPCE 2.1.1.2), or a connection to the
//! control API.

mod api;
mod listing;
mod lsarpc;
mod samr;
pub(in crate::fronts) mod secured;
mod srvsvc;
mod wkssvc;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use rpc::{Broken, Endpoint, Fault, IncomingCall, ReadOutcome};
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::NtStatus;

use crate::admin::Caller;
use crate::core::limits::{GUESS_PATIENCE, PIPE_ANSWER_BYTES, REFUSED_LOGON_DELAY};
use crate::core::pipe::{Pipe, PipeMode, Writer};
use crate::core::pipe_usage::Charge;
use crate::core::server::Server;
use api::ApiPipe;
use lsarpc::Policies;
use secured::Secured;

/// An open named pipe that carries RPC.
struct RpcPipe {
    name: &'static str,
    charge: Charge,
    association: Arc<Mutex<Secured>>,
    /// Has the data of several writes processed in the order of their arrival.
    turn: Arc<tokio::sync::Mutex<()>>,
    handles: Arc<Handles>,
    /// Notified of every answer, and of the end.
    readable: Notify,
    closed: std::sync::atomic::AtomicBool,
}

/// The handles that a client has opened on one pipe.
#[derive(Debug, Default)]
struct Handles {
    policies: Policies,
    accounts: samr::Objects,
}

/// The result of a call.
enum Called {
    /// The answer.
    Answer(Vec<u8>),
    /// The answer, a refusal that is delayed because the client may be guessing passwords.
    DelayedLogon(Vec<u8>),
    /// No result yet: the call is to be repeated after this time, or refused with this answer if that is too long.
    NotYet(Duration, Vec<u8>),
}

/// True if the message with the call was encrypted.
#[derive(Clone, Copy, Debug)]
struct Sealed(bool);

/// The RPC pipes.
const ENDPOINTS: [Endpoint; 4] =
    [rpc::srvsvc::ENDPOINT, rpc::wkssvc::ENDPOINT, rpc::lsarpc::ENDPOINT, rpc::samr::ENDPOINT];

/// True if there is a pipe with this name, in any case.
pub(crate) fn exists(name: &str) -> bool {
    control::socket_paths::PIPE.eq_ignore_ascii_case(name) || endpoint(name).is_some()
}

/// True if the pipe with this name lists shares.
pub(crate) fn lists_shares(name: &str) -> bool {
    rpc::srvsvc::ENDPOINT.pipe.eq_ignore_ascii_case(name)
}

/// True if the pipe with this name allows a client to change a password that it can no longer log on with.
pub(crate) fn changes_passwords(name: &str) -> bool {
    rpc::samr::ENDPOINT.pipe.eq_ignore_ascii_case(name)
}

/// Opens the pipe with this name, in any case.
pub(crate) fn open(name: &str, charge: Charge) -> Result<Box<dyn Pipe>, NtStatus> {
    if control::socket_paths::PIPE.eq_ignore_ascii_case(name) {
        return Ok(Box::new(ApiPipe::new(charge)?));
    }
    let endpoint = endpoint(name).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
    Ok(Box::new(RpcPipe {
        name: endpoint.pipe,
        charge,
        association: Arc::new(Mutex::new(Secured::new(endpoint))),
        turn: Arc::default(),
        handles: Arc::default(),
        readable: Notify::new(),
        closed: std::sync::atomic::AtomicBool::new(false),
    }))
}

fn endpoint(name: &str) -> Option<Endpoint> {
    ENDPOINTS.into_iter().find(|endpoint| endpoint.pipe.eq_ignore_ascii_case(name))
}

impl RpcPipe {
    /// Processes the data that a client has written: executes the complete calls, and keeps their answers. Calls run on
    /// the blocking pool, so that a long list does not delay the connection.
    async fn take(
        &self,
        bytes: &[u8],
        server: &Arc<Server>,
        caller: &Caller,
        sealed: Sealed,
    ) -> Result<(), NtStatus> {
        let broken = |Broken| NtStatus::PIPE_DISCONNECTED;
        if !self.charge.reserve(bytes.len()) {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let received = if self.association().may_log_on(bytes) {
            // A logon with a ticket waits for the file system. The turn lasts until the end of that, also if nobody waits
            // for it any more.
            let association = Arc::clone(&self.association);
            let (bytes, server, caller) = (bytes.to_vec(), Arc::clone(server), caller.clone());
            let receive = move || {
                let received = association.lock().receive(&bytes, &server, &caller);
                drop(turn);
                received
            };
            crate::core::blocking::run(receive).await?
        } else {
            let received = self.association().receive(bytes, server, caller);
            drop(turn);
            received
        };
        self.settle();
        received.map_err(broken)?;
        loop {
            let call = self.association().next_call();
            self.settle();
            self.readable.notify_waiters();
            let Some(call) = call.map_err(broken)? else { return Ok(()) };
            if !self.charge.reserve(PIPE_ANSWER_BYTES) {
                self.association().answer(call.ticket, Err(Fault::SERVER_TOO_BUSY));
                self.settle();
                continue;
            }
            let ticket = call.ticket;
            let result = self.made(call, server, caller, sealed).await.inspect_err(|_| self.settle())?;
            let result = result.and_then(|answer| {
                let more = answer.len().saturating_sub(PIPE_ANSWER_BYTES);
                if self.charge.reserve(more) { Ok(answer) } else { Err(Fault::REMOTE_NO_MEMORY) }
            });
            self.association().answer(ticket, result);
            self.settle();
            self.readable.notify_waiters();
        }
    }

    /// Executes a call when it may be executed, and delays its answer if necessary.
    async fn made(
        &self,
        call: IncomingCall,
        server: &Arc<Server>,
        caller: &Caller,
        sealed: Sealed,
    ) -> Result<Result<Vec<u8>, Fault>, NtStatus> {
        let patience = Instant::now() + GUESS_PATIENCE;
        let call = Arc::new(call);
        loop {
            let (server, caller, call) = (Arc::clone(server), caller.clone(), Arc::clone(&call));
            let handles = Arc::clone(&self.handles);
            let called =
                crate::core::blocking::run(move || dispatch(&server, &caller, &handles, &call, sealed))
                    .await?;
            let (wait, answer) = match called {
                Ok(Called::Answer(answer)) => return Ok(Ok(answer)),
                Ok(Called::DelayedLogon(answer)) => (REFUSED_LOGON_DELAY, Some(answer)),
                Ok(Called::NotYet(wait, refusal)) if Instant::now() + wait > patience => {
                    (patience.saturating_duration_since(Instant::now()), Some(refusal))
                }
                Ok(Called::NotYet(wait, _)) => (wait, None),
                Err(fault) => return Ok(Err(fault)),
            };
            tokio::time::sleep(wait).await;
            if self.is_closed() {
                return Err(NtStatus::PIPE_BROKEN);
            }
            if let Some(answer) = answer {
                return Ok(Ok(answer));
            }
        }
    }

    /// The next message, or the part of it that fits; `None` if there is nothing to read.
    fn next_message(&self, max: usize) -> Option<(Vec<u8>, bool)> {
        let read = self.association().read(max);
        self.settle();
        match read {
            ReadOutcome::Data { bytes, more } => Some((bytes, more)),
            ReadOutcome::Empty => None,
        }
    }

    /// Releases memory that is no longer needed.
    fn settle(&self) {
        let association = self.association();
        self.charge.settle(association.kept());
    }

    fn is_closed(&self) -> bool {
        self.closed.load(std::sync::atomic::Ordering::Acquire)
    }

    fn association(&self) -> MutexGuard<'_, Secured> {
        self.association.lock()
    }
}

impl Pipe for RpcPipe {
    fn name(&self) -> &'static str {
        self.name
    }

    fn mode(&self) -> PipeMode {
        PipeMode::Message
    }

    fn write<'a>(
        &'a self,
        data: &'a [u8],
        by: &'a Writer<'a>,
        written: &'a mut usize,
    ) -> BoxFuture<'a, Result<(), NtStatus>> {
        Box::pin(async move {
            let caller = Caller::of_session(by.server, by.session, by.peer);
            self.take(data, by.server, &caller, Sealed(by.sealed)).await?;
            *written = data.len();
            Ok(())
        })
    }

    fn read(&self, max: usize) -> BoxFuture<'_, Result<(Vec<u8>, bool), NtStatus>> {
        Box::pin(async move {
            loop {
                let readable = self.readable.notified();
                tokio::pin!(readable);
                readable.as_mut().enable();
                if let Some(message) = self.next_message(max) {
                    return Ok(message);
                }
                if self.is_closed() {
                    return Err(NtStatus::PIPE_BROKEN);
                }
                readable.await;
            }
        })
    }

    fn has_unread(&self) -> bool {
        self.association().has_unread()
    }

    fn close(&self) {
        self.closed.store(true, std::sync::atomic::Ordering::Release);
        self.readable.notify_waiters();
    }
}

fn dispatch(
    server: &Arc<Server>,
    caller: &Caller,
    handles: &Handles,
    call: &IncomingCall,
    sealed: Sealed,
) -> Result<Called, Fault> {
    let IncomingCall { interface, opnum, stub, .. } = call;
    if *interface == rpc::samr::INTERFACE {
        return samr::call(server, caller, &handles.accounts, *opnum, stub, sealed);
    }
    let answer = if *interface == rpc::srvsvc::INTERFACE {
        srvsvc::call(server, caller, *opnum, stub)
    } else if *interface == rpc::wkssvc::INTERFACE {
        wkssvc::call(server, caller, *opnum, stub)
    } else if *interface == rpc::lsarpc::INTERFACE {
        lsarpc::call(server, caller, &handles.policies, *opnum, stub)
    } else {
        Err(Fault::UNKNOWN_INTERFACE)
    };
    answer.map(Called::Answer)
}
