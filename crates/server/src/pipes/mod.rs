//! Named pipes of IPC$: each open is an RPC association (MS-RPCE 2.1.1.2), or a connection to the
//! control API.

mod api;
mod deletions;
mod listing;
mod lsarpc;
mod srvsvc;
mod usage;
mod wkssvc;

pub(crate) use deletions::Deletions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc::{Association, Broken, Endpoint, Fault, InterfaceId, ReadOutcome};
use tokio::sync::Notify;
use wire::NtStatus;

use crate::admin::Caller;
use crate::limits::PIPE_ANSWER_BYTES;
use crate::server::Server;
pub(crate) use api::ApiPipe;
use lsarpc::Policies;
use usage::Charge;
pub(crate) use usage::PipeUsage;

/// An open named pipe.
pub(crate) enum Pipe {
    /// RPC, in messages.
    Rpc(RpcPipe),
    /// The control API, in bytes.
    Api(ApiPipe),
}

/// An open named pipe that carries RPC.
pub(crate) struct RpcPipe {
    name: &'static str,
    charge: Charge,
    association: Mutex<Association>,
    policies: Arc<Policies>,
    /// Told of every answer, and of the end.
    readable: Notify,
    closed: std::sync::atomic::AtomicBool,
}

/// The pipes there are.
const ENDPOINTS: [Endpoint; 3] = [rpc::srvsvc::ENDPOINT, rpc::wkssvc::ENDPOINT, rpc::lsarpc::ENDPOINT];

impl Pipe {
    /// Whether there is a pipe called so, in any case.
    pub(crate) fn exists(name: &str) -> bool {
        control::places::PIPE.eq_ignore_ascii_case(name) || endpoint(name).is_some()
    }

    /// Whether the pipe called so has the list of shares.
    pub(crate) fn lists_shares(name: &str) -> bool {
        rpc::srvsvc::ENDPOINT.pipe.eq_ignore_ascii_case(name)
    }

    /// Opens the pipe called so, in any case.
    pub(crate) fn open(
        name: &str,
        session: &Arc<PipeUsage>,
        server: &Arc<PipeUsage>,
    ) -> Result<Self, NtStatus> {
        let charge = || Charge::new(session, server).ok_or(NtStatus::PIPE_NOT_AVAILABLE);
        if control::places::PIPE.eq_ignore_ascii_case(name) {
            return Ok(Self::Api(ApiPipe::new(charge()?)?));
        }
        let endpoint = endpoint(name).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        Ok(Self::Rpc(RpcPipe {
            name: endpoint.pipe,
            charge: charge()?,
            association: Mutex::new(Association::new(endpoint)),
            policies: Arc::default(),
            readable: Notify::new(),
            closed: std::sync::atomic::AtomicBool::new(false),
        }))
    }

    /// The pipe's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rpc(pipe) => pipe.name,
            Self::Api(_) => control::places::PIPE,
        }
    }

    /// Wakes who waits for an answer that will not come.
    pub(crate) fn close(&self) {
        match self {
            Self::Rpc(pipe) => pipe.close(),
            Self::Api(pipe) => pipe.close(),
        }
    }
}

fn endpoint(name: &str) -> Option<Endpoint> {
    ENDPOINTS.into_iter().find(|endpoint| endpoint.pipe.eq_ignore_ascii_case(name))
}

impl RpcPipe {
    /// Takes what a client wrote, makes the calls that are whole, and keeps their answers. Calls run
    /// on the blocking pool: a long list is no reason for the connection to stand still.
    pub(crate) async fn write(
        &self,
        bytes: &[u8],
        server: &Arc<Server>,
        caller: &Caller,
    ) -> Result<(), NtStatus> {
        let broken = |Broken| NtStatus::PIPE_DISCONNECTED;
        if !self.charge.reserve(bytes.len()) {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let received = self.association().receive(bytes);
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
            let (server, caller) = (Arc::clone(server), caller.clone());
            let policies = Arc::clone(&self.policies);
            let result = crate::blocking::run(move || {
                dispatch(&server, &caller, &policies, call.interface, call.opnum, &call.stub)
            })
            .await
            .inspect_err(|_| self.settle())?;
            let result = result.and_then(|answer| {
                let more = answer.len().saturating_sub(PIPE_ANSWER_BYTES);
                if self.charge.reserve(more) { Ok(answer) } else { Err(Fault::REMOTE_NO_MEMORY) }
            });
            self.association().answer(call.ticket, result);
            self.settle();
            self.readable.notify_waiters();
        }
    }

    /// Takes the next message, or the part of it that fits; none if there is nothing to read.
    pub(crate) fn read(&self, max: usize) -> Option<(Vec<u8>, bool)> {
        let read = self.association().read(max);
        self.settle();
        match read {
            ReadOutcome::Data { bytes, more } => Some((bytes, more)),
            ReadOutcome::Empty => None,
        }
    }

    /// Gives back what is not kept any more.
    fn settle(&self) {
        let association = self.association();
        self.charge.settle(association.kept());
    }

    /// Whether something waits to be read.
    pub(crate) fn has_unread(&self) -> bool {
        self.association().has_unread()
    }

    /// Returns when there may be something to read, or the pipe is closed.
    pub(crate) fn readable(&self) -> tokio::sync::futures::Notified<'_> {
        self.readable.notified()
    }

    /// Whether the pipe is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(std::sync::atomic::Ordering::Acquire)
    }

    fn close(&self) {
        self.closed.store(true, std::sync::atomic::Ordering::Release);
        self.readable.notify_waiters();
    }

    fn association(&self) -> MutexGuard<'_, Association> {
        self.association.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dispatch(
    server: &Server,
    caller: &Caller,
    policies: &Policies,
    interface: InterfaceId,
    opnum: u16,
    stub: &[u8],
) -> Result<Vec<u8>, Fault> {
    if interface == rpc::srvsvc::INTERFACE {
        srvsvc::call(server, caller, opnum, stub)
    } else if interface == rpc::wkssvc::INTERFACE {
        wkssvc::call(server, caller, opnum, stub)
    } else if interface == rpc::lsarpc::INTERFACE {
        lsarpc::call(server, caller, policies, opnum, stub)
    } else {
        Err(Fault::UNKNOWN_INTERFACE)
    }
}
