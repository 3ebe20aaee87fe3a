//! The witness service (MS-SWN) and the endpoint mapper that leads to it, both on one TCP port: RPC without SMB. Each user can
//! register, after a logon with NTLM or Kerberos whose keys sign all messages (MS-SWN 2.1).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rpc::association::Ticket;
use rpc::epm::{self, Mapping};
use rpc::ndr::ContextHandle;
use rpc::witness::{
    AddressInfo, AsyncNotifyRequest, AsyncNotifyResponse, GetInterfaceListResponse, INVALID_STATE,
    InterfaceInfo, InterfaceList, Message, NO_SYSTEM_RESOURCES, NOT_FOUND, REGISTER_IP_NOTIFICATION,
    REVISION_MISMATCH, RegisterExResponse, RegisterResponse, Request, Response, TIMEOUT, UnRegisterResponse,
    VERSION_1, VERSION_2,
};
use rpc::{Fault, IncomingCall, ReadOutcome, Stub as _, Win32Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::pipes::secured::Secured;
use super::places::{Place, Places, WITNESS_STRANGERS};
use crate::admin::Caller;
use crate::core::bulkhead;
use crate::core::cluster::{NewRegistration, NotRegistered, WitnessKey, WitnessNotice, WitnessWait};
use crate::core::limits::MAX_FRAME_UNAUTHENTICATED;
use crate::core::server::Server;

/// Serves the connections of a port.
pub(crate) async fn serve(server: Arc<Server>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let strangers = Places::new(WITNESS_STRANGERS);
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => {
                let Some(stranger) = strangers.take(peer.ip()) else {
                    tracing::debug!(%peer, "too many connections to the witness service without a logon from this address");
                    continue;
                };
                let server = Arc::clone(&server);
                bulkhead::spawn(async move {
                    Connection::new(server, &socket, peer, stranger).run(socket).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the witness service; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

type Answered = (Ticket, Result<Vec<u8>, Fault>);

struct Connection {
    server: Arc<Server>,
    caller: Caller,
    mapping: Mapping,
    secured: Option<Secured>,
    /// The registrations that end with the connection, with their users.
    registrations: Vec<(WitnessKey, String)>,
    waiting: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// The place among those who have not logged on.
    stranger: Option<Place>,
}

impl Connection {
    fn new(server: Arc<Server>, socket: &TcpStream, peer: SocketAddr, stranger: Place) -> Self {
        let local = socket.local_addr().ok();
        let port = local.map_or(0, |it| it.port());
        let address = match local.map(|it| it.ip().to_canonical()) {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let caller = Caller {
            from: peer.ip().to_canonical().to_string(),
            address: Some(peer.ip()),
            ..Caller::default()
        };
        Self {
            server,
            caller,
            mapping: Mapping { interface: rpc::witness::INTERFACE, address, port },
            secured: Some(Secured::on_port(rpc::witness::ENDPOINT, port)),
            registrations: Vec::new(),
            waiting: FuturesUnordered::new(),
            stranger: Some(stranger),
        }
    }

    async fn run(mut self, mut socket: TcpStream) {
        if self.server.settings().hosts.admit(self.caller.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())) {
            // The end of the connection is no event that anybody acts on.
            let _ = self.converse(&mut socket).await;
        }
    }

    fn user(&self) -> Option<String> {
        self.secured.as_ref().and_then(Secured::user).map(str::to_owned)
    }

    /// Takes requests and writes answers. `None` when the connection has ended.
    async fn converse(&mut self, socket: &mut TcpStream) -> Option<()> {
        let mut buffer = vec![0; READ_BYTES];
        let begun = Instant::now();
        loop {
            self.write(socket).await?;
            let has_work = !self.registrations.is_empty() || !self.waiting.is_empty();
            let deadline = match self.user() {
                None => begun + LOGON_MAX,
                Some(_) if has_work => Instant::now() + FOR_EVER,
                Some(_) => Instant::now() + IDLE_MAX,
            };
            tokio::select! {
                answered = self.waiting.next(), if !self.waiting.is_empty() => {
                    let (ticket, result) = answered?;
                    self.secured.as_mut()?.answer(ticket, result);
                }
                read = socket.read(&mut buffer) => {
                    let read = read.ok().filter(|it| *it > 0)?;
                    self.take(buffer.get(..read)?.to_vec()).await?;
                }
                () = tokio::time::sleep_until(deadline) => return None,
            }
        }
    }

    async fn write(&mut self, socket: &mut TcpStream) -> Option<()> {
        while let ReadOutcome::Data { bytes, .. } = self.secured.as_mut()?.read(usize::MAX) {
            tokio::time::timeout(WRITE_MAX, socket.write_all(&bytes)).await.ok()?.ok()?;
        }
        Some(())
    }

    /// Takes data of the client. `None` if it breaks the protocol.
    async fn take(&mut self, bytes: Vec<u8>) -> Option<()> {
        let mut secured = self.secured.take()?;
        if secured.may_log_on(&bytes) {
            // A logon with a ticket waits for the file system.
            let (server, caller) = (Arc::clone(&self.server), self.caller.clone());
            let receive = move || {
                let received = secured.receive(&bytes, &server, &caller);
                (secured, received)
            };
            let (back, received) = crate::core::blocking::run(receive).await.ok()?;
            self.secured = Some(back);
            received.ok()?;
        } else {
            let received = secured.receive(&bytes, &self.server, &self.caller);
            self.secured = Some(secured);
            received.ok()?;
        }
        if self.user().is_some() {
            self.stranger = None;
        }
        while let Some(call) = self.secured.as_mut()?.next_call().ok()? {
            self.call(call);
        }
        let most = if self.user().is_some() { KEPT_MAX } else { KEPT_OF_STRANGER_MAX };
        (self.secured.as_ref()?.kept() <= most && self.waiting.len() <= WAITING_MAX).then_some(())
    }

    /// Executes a call, or begins to wait for its answer.
    fn call(&mut self, call: IncomingCall) {
        let IncomingCall { ticket, interface, opnum, stub } = call;
        let result = match (interface == rpc::witness::INTERFACE, self.user()) {
            (false, _) => epm::call(opnum, &stub, &self.mapping),
            (true, None) => Err(Fault::ACCESS_DENIED),
            (true, Some(user)) => match Request::decode(opnum, &stub) {
                Err(error) => Err(error.into()),
                Ok(Request::AsyncNotify(request)) => {
                    let server = Arc::clone(&self.server);
                    self.waiting.push(Box::pin(async move {
                        (ticket, Ok(notify(&server, &user, &request).await.encode()))
                    }));
                    return;
                }
                Ok(request) => Ok(self.answer(&user, &request).encode()),
            },
        };
        if let Some(secured) = &mut self.secured {
            secured.answer(ticket, result);
        }
    }

    fn answer(&mut self, user: &str, request: &Request) -> Response {
        let registered = match request {
            Request::GetInterfaceList(_) => return self.interfaces().into(),
            Request::UnRegister(it) => {
                let known = self.server.cluster.unregister_witness(&it.handle.uuid, user);
                self.registrations.retain(|(key, _)| *key != it.handle.uuid);
                let status = if known { Win32Error::SUCCESS } else { NOT_FOUND };
                return UnRegisterResponse { status }.into();
            }
            Request::Register(it) if it.version != VERSION_1 => Err(REVISION_MISMATCH),
            Request::Register(it) => {
                self.register(user, (&it.net_name, &it.address, &it.client), None, false, None)
            }
            Request::RegisterEx(it) if it.version != VERSION_2 => Err(REVISION_MISMATCH),
            Request::RegisterEx(it) => {
                let wants_addresses = it.flags & REGISTER_IP_NOTIFICATION != 0;
                let names = (&it.net_name, &it.address, &it.client);
                let keep_alive = match it.keep_alive_timeout {
                    0 => KEEP_ALIVE_USUAL,
                    seconds => Duration::from_secs(seconds.into()).min(KEEP_ALIVE_MAX),
                };
                self.register(user, names, it.share_name.as_deref(), wants_addresses, Some(keep_alive))
            }
            // It has its answer elsewhere.
            Request::AsyncNotify(_) => Err(NOT_FOUND),
        };
        match registered {
            Err(status) => request.refuse(status),
            Ok(uuid) => {
                let (handle, status) = (ContextHandle { attributes: 0, uuid }, Win32Error::SUCCESS);
                match request {
                    Request::Register(_) => RegisterResponse { handle, status }.into(),
                    _ => RegisterExResponse { handle, status }.into(),
                }
            }
        }
    }

    /// WitnessrGetInterfaceList (MS-SWN 3.1.4.1).
    fn interfaces(&self) -> GetInterfaceListResponse {
        let all = self.server.cluster.witness_interfaces().into_iter().map(|it| {
            let (ipv4, ipv6, flag) = match it.address {
                IpAddr::V4(address) => (address.octets(), [0; 16], InterfaceInfo::IPV4),
                IpAddr::V6(address) => ([0; 4], address.octets(), InterfaceInfo::IPV6),
            };
            InterfaceInfo {
                group_name: it.node.to_ascii_uppercase(),
                version: VERSION_2,
                state: InterfaceInfo::AVAILABLE,
                ipv4,
                ipv6,
                flags: if it.is_witness { flag | InterfaceInfo::WITNESS } else { flag },
            }
        });
        let list = Some(InterfaceList { interfaces: all.collect() });
        GetInterfaceListResponse { list, status: Win32Error::SUCCESS }
    }

    /// WitnessrRegister and WitnessrRegisterEx (MS-SWN 3.1.4.2, 3.1.4.5). All names of the cluster are admitted as `NetName`:
    /// its nodes are servers with names of their own, and clients come by names of the DNS.
    fn register(
        &mut self,
        user: &str,
        (net_name, address, client): (&Option<String>, &Option<String>, &Option<String>),
        share: Option<&str>,
        wants_addresses: bool,
        keep_alive: Option<Duration>,
    ) -> Result<WitnessKey, Win32Error> {
        let (Some(_), Some(address), Some(_)) = (net_name, address, client) else {
            return Err(Win32Error::INVALID_PARAMETER);
        };
        if self.registrations.len() >= REGISTRATIONS_MAX {
            return Err(NO_SYSTEM_RESOURCES);
        }
        let address = address.parse().map_err(|_| Win32Error::INVALID_PARAMETER)?;
        let new = NewRegistration { user, share, address, wants_addresses, keep_alive };
        let key = self.server.cluster.register_witness(&new).map_err(|refused| match refused {
            NotRegistered::State => INVALID_STATE,
            NotRegistered::Full => NO_SYSTEM_RESOURCES,
        })?;
        self.registrations.push((key, user.to_owned()));
        Ok(key)
    }
}

/// However the connection ends: a task that panics leaves no registrations behind, which count for their user.
impl Drop for Connection {
    fn drop(&mut self) {
        for (key, user) in &self.registrations {
            self.server.cluster.unregister_witness(key, user);
        }
    }
}

/// WitnessrAsyncNotify (MS-SWN 3.1.4.4).
async fn notify(server: &Server, user: &str, request: &AsyncNotifyRequest) -> AsyncNotifyResponse {
    let refused = |status| AsyncNotifyResponse { notification: None, status };
    let info = |address, is_online| AddressInfo { address, is_online };
    let message = match server.cluster.wait_for_witness(&request.handle.uuid, user).await {
        WitnessWait::NotFound => return refused(NOT_FOUND),
        WitnessWait::Timeout => return refused(TIMEOUT),
        WitnessWait::Notice(WitnessNotice::Resource { address, is_available }) => {
            Message::ResourceChange { name: address.to_string(), is_available }
        }
        WitnessWait::Notice(WitnessNotice::ShareMove(addresses)) => {
            Message::ShareMove(addresses.into_iter().map(|it| info(it, true)).collect())
        }
        WitnessWait::Notice(WitnessNotice::Addresses(changes)) => {
            Message::IpChange(changes.iter().map(|(it, is_online)| info(*it, *is_online)).collect())
        }
    };
    let notification = Some(message.to_notification());
    AsyncNotifyResponse { notification, status: Win32Error::SUCCESS }
}

/// Clients of other nodes keep one connection each.
const CONNECTIONS_MAX: usize = 4_096;

/// The registrations of one connection.
const REGISTRATIONS_MAX: usize = 256;

/// The calls of one connection that wait, one for each registration.
const WAITING_MAX: usize = REGISTRATIONS_MAX;

/// The time until a user has logged on; the endpoint mapper is asked within it, too.
const LOGON_MAX: Duration = Duration::from_secs(15);

/// The time without a request, for a user without registrations.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// The deadline of a registered client, whose end the kernel finds.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The time for an answer to leave.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// `KeepAliveTimeout` of a client that leaves it to the server, in version 2, and the longest.
const KEEP_ALIVE_USUAL: Duration = Duration::from_secs(120);
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(3600);

const READ_BYTES: usize = 8 * 1024;

/// Incomplete requests and answers of one connection in memory. A list of 1,000 interfaces fits.
const KEPT_MAX: usize = 1024 * 1024;

/// [`KEPT_MAX`] of a connection before its logon: a ticket in one PDU, and the answer to it, fit.
const KEPT_OF_STRANGER_MAX: usize = MAX_FRAME_UNAUTHENTICATED;

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use auth::UserDb;

    use super::*;
    use crate::core::config::Settings;

    /// A PDU of version 5.0 in little-endian order.
    fn pdu(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(16 + body.len()).unwrap().to_le_bytes();
        let header = [5, 0, kind, flags, 0x10, 0, 0, 0, length[0], length[1], 0, 0, 1, 0, 0, 0];
        [&header[..], body].concat()
    }

    /// A bind of the endpoint mapper, without a logon.
    fn bind() -> Vec<u8> {
        let mut body = vec![0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
        body.extend_from_slice(&epm::INTERFACE.uuid.0);
        body.extend_from_slice(&[3, 0, 0, 0]);
        body.extend_from_slice(&rpc::uuid::InterfaceId::NDR20.uuid.0);
        body.extend_from_slice(&[2, 0, 0, 0]);
        pdu(11, 3, &body)
    }

    #[tokio::test]
    async fn a_stranger_cannot_have_a_long_request_kept() {
        let server = Server::new(Settings::conventional(false, |_| None), UserDb::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (mut client, (socket, peer)) = (client.unwrap(), accepted.unwrap());
        let stranger = Places::new(WITNESS_STRANGERS).take(peer.ip()).unwrap();
        let serving = tokio::spawn(Connection::new(server, &socket, peer, stranger).run(socket));
        client.write_all(&bind()).await.unwrap();
        let mut answer = [0; 16];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[2], 12, "the bind is acknowledged");
        // Fragments of one request, of which none is the last.
        let fragments = KEPT_OF_STRANGER_MAX / 5000 + 2;
        for number in 0..fragments {
            let fragment =
                pdu(0, u8::from(number == 0), &[&[0, 0, 0, 0, 0, 0, 3, 0][..], &[7; 5000]].concat());
            if client.write_all(&fragment).await.is_err() {
                break;
            }
        }
        let ended = tokio::time::timeout(LOGON_MAX / 2, serving).await;
        ended.expect("the connection ends before the time for the logon is over").unwrap();
    }

    #[tokio::test]
    async fn an_address_takes_only_some_places_of_strangers() {
        let server = Server::new(Settings::conventional(false, |_| None), UserDb::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(server, listener));
        let mut clients = Vec::new();
        for _ in 0..WITNESS_STRANGERS.per_address {
            clients.push(TcpStream::connect(at).await.unwrap());
        }
        let mut one_more = TcpStream::connect(at).await.unwrap();
        let read = tokio::time::timeout(LOGON_MAX / 2, one_more.read(&mut [0; 1])).await;
        assert!(!read.expect("it is closed at once").is_ok_and(|it| it > 0));
        for client in &mut clients {
            client.write_all(&bind()).await.unwrap();
            let mut answer = [0; 16];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer[2], 12, "the others are served");
        }
        serving.abort();
    }
}
