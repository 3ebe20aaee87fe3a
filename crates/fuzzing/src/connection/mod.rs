//! Whole connections with the server, over files in memory and a simulated clock: several clients log on, sign,
//! encrypt and send the requests of a case, alone, in compounds, over pipes, and as arbitrary bytes.

mod parts;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use auth::{Cipher, Credentials};
use client::smb::{
    Break, Breaks, ClientConnection, ClientSession, ConnectOptions, InFlight, LogonOptions, Part, Scope,
    Signing,
};
use rpc::{ClientAssociation, InterfaceId};
use server::config::ShareSettings;
use server::testing::{Counts, TestServer};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::time::{sleep, timeout};
use vfs::faulty::{Faults, FaultyBackend, Rates};
use vfs::{Backend, MemBackend};
use wire::msg::*;
use wire::{Command, Dialect, FileId, Header, NtStatus, OplockLevel, SessionId, TreeId};

use crate::input::Input;
use parts::{Made, changed, guid, made};
use settings::{PASSWORD, accounts, settings};

/// Runs the operations of a case, a few bytes each, and checks the registry after each. At the end all clients are
/// gone, and after all deadlines also their state; a new client finds the server in order.
pub fn connection(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // One after another: a case does the same each time.
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(run(Input(data)));
}

async fn run(mut input: Input<'_>) {
    let mut world = World::new();
    world.connect(0).await;
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        world.operation(&mut input).await;
        world.check();
    }
    world.come_to_rest().await;
}

/// More than this only makes a case slow.
const OPERATIONS_MAX: usize = 120;

const CLIENTS_MAX: usize = 4;

/// Requests that may be waited for at a time.
const WAITING_MAX: usize = 64;

struct World {
    server: TestServer,
    faults: Arc<Faults>,
    clients: Vec<Client>,
    /// Streams that carry bytes instead of frames.
    strangers: Vec<DuplexStream>,
    /// The requests without an answer.
    waiting: Vec<(InFlight, usize)>,
    opens: Vec<Open>,
    /// The last resume key from the server.
    resume_key: Vec<u8>,
}

struct Client {
    connection: ClientConnection,
    breaks: Breaks,
    sessions: Vec<ClientSession>,
    trees: Vec<Tree>,
}

#[derive(Clone)]
struct Tree {
    scope: Scope,
    pipes: bool,
}

#[derive(Clone)]
struct Open {
    client: usize,
    scope: Scope,
    file_id: FileId,
    pipes: bool,
}

impl World {
    fn new() -> Self {
        let faults = Arc::new(Faults::new(7));
        let [data, other] = [(); 2].map(|()| {
            Arc::new(FaultyBackend::new(Arc::new(MemBackend::new()), Arc::clone(&faults))) as Arc<dyn Backend>
        });
        let open =
            move |share: &ShareSettings| Ok(Arc::clone(if share.name == "data" { &data } else { &other }));
        let server = TestServer::start(settings(0), accounts(), 7, open);
        Self {
            server,
            faults,
            clients: Vec::new(),
            strangers: Vec::new(),
            waiting: Vec::new(),
            opens: Vec::new(),
            resume_key: Vec::new(),
        }
    }

    async fn operation(&mut self, input: &mut Input<'_>) {
        self.renew().await;
        match input.byte() % 64 {
            0 => self.connect(input.byte()).await,
            1 => self.log_on(input).await,
            2 => self.tree_connect(input).await,
            3..19 => self.create(input).await,
            19..39 => self.on_open(input).await,
            39..44 => self.compound(input).await,
            44..48 => self.call(input).await,
            48..50 => self.acknowledge(input).await,
            50 => self.cancel(input).await,
            51 | 52 => self.raw(input).await,
            53 => self.end_something(input).await,
            54 | 55 => {
                let made = parts::anything(input);
                let Some((client, tree)) = self.tree(input) else { return };
                self.send(client, &tree.scope, made).await;
            }
            56 | 57 => {
                // Up to about eight minutes: beyond every timeout of a request.
                sleep(Duration::from_millis(u64::from(input.u16()) << 3)).await;
                self.collect().await;
            }
            58 => {
                let [fails, tears, shortens] = [(); 3].map(|()| u16::from(input.byte() >> 2));
                self.faults.set_rates(Rates { fails, tears, shortens, ..Rates::NONE });
            }
            59 => {
                self.server.reload(settings(input.byte()), accounts());
            }
            60 => {
                self.server.end_sessions_of(["alice", "bob", ""][usize::from(input.byte()) % 3]);
            }
            61 => {
                let client = usize::from(input.byte());
                if self.clients.len() > 1 {
                    let client = client % self.clients.len();
                    self.clients[client].connection.disconnect();
                    self.forget(client);
                }
            }
            62 => self.bytes(input).await,
            _ => self.collect().await,
        }
    }

    /// Replaces the objects that the server has ended, so that the case can continue.
    async fn renew(&mut self) {
        while let Some(ended) = self.clients.iter().position(|it| it.connection.has_ended()) {
            self.forget(ended);
        }
        if self.clients.is_empty() {
            self.connect(0).await;
        }
        for client in 0..self.clients.len() {
            if self.clients[client].trees.is_empty() {
                self.log_on_as(client, 0, SessionId(0)).await;
            }
        }
    }

    fn check(&self) {
        if let Err(message) = self.server.check() {
            panic!("{message}");
        }
        let Counts { opens, .. } = self.server.counts();
        // A pipe has no handle; an open that is being created or was just closed may have another one.
        assert!(self.server.busy().1 <= opens + WAITING_MAX * 2, "requests that nobody sent wait");
    }

    async fn connect(&mut self, choice: u8) {
        if self.clients.len() >= CLIENTS_MAX {
            return;
        }
        let dialects = [Dialect::SMB311, Dialect::SMB302, Dialect::SMB300, Dialect::SMB210, Dialect::SMB202];
        let options = ConnectOptions {
            client_guid: guid(choice & 3),
            signing: if choice & 4 == 4 { Signing::Required } else { Signing::IfRequired },
            seal_if_possible: choice & 8 == 8,
            posix: true,
            ciphers: if choice & 0x80 == 0 { vec![Cipher::Aes128Gcm] } else { vec![Cipher::Aes256Ccm] },
            ..ConnectOptions::with_guid(guid(0)).dialect(dialects[usize::from(choice >> 4 & 7) % 5])
        };
        let (from, to) = tokio::io::split(self.server.connect());
        let connection = ClientConnection::over(from, to, options);
        if connection.negotiate().await.is_err() {
            return;
        }
        let breaks = connection.breaks();
        self.clients.push(Client { connection, breaks, sessions: Vec::new(), trees: Vec::new() });
        self.log_on_as(self.clients.len() - 1, choice & 1, SessionId(0)).await;
    }

    async fn log_on(&mut self, input: &mut Input<'_>) {
        let [client, user, previous] = [(); 3].map(|()| input.byte());
        if self.clients.is_empty() {
            return;
        }
        let sessions: Vec<_> =
            self.clients.iter().flat_map(|it| &it.sessions).map(ClientSession::id).collect();
        let previous = sessions.get(usize::from(previous)).copied().unwrap_or_default();
        self.log_on_as(usize::from(client) % self.clients.len(), user, previous).await;
    }

    async fn log_on_as(&mut self, client: usize, user: u8, previous_session_id: SessionId) {
        let Some(client) = self.clients.get_mut(client) else { return };
        let credentials = match user % 6 {
            0 | 1 => Credentials::password("alice", "", PASSWORD),
            2 | 3 => Credentials::password("bob", "", PASSWORD),
            4 => Credentials::password("bob", "", "wrong"),
            _ => Credentials::password("nobody here", "", PASSWORD),
        };
        let options = LogonOptions { previous_session_id, ..LogonOptions::default() };
        let logon = if user == 0xff {
            client.connection.logon_anonymous().await
        } else {
            client.connection.logon_with(credentials, options).await
        };
        let Ok(session) = logon else { return };
        for (share, pipes) in [("data", false), ("IPC$", true)] {
            if let Ok(tree) = session.tree_connect(&format!(r"\\localhost\{share}")).await {
                client.trees.push(Tree { scope: tree.scope().clone(), pipes });
            }
        }
        client.sessions.push(session);
    }

    async fn tree_connect(&mut self, input: &mut Input<'_>) {
        let [client, session, share] = [(); 3].map(|()| usize::from(input.byte()));
        let count = self.clients.len().max(1);
        let Some(client) = self.clients.get_mut(client % count) else { return };
        let Some(session) = client.sessions.get(session % client.sessions.len().max(1)) else { return };
        let share = ["data", "sealed", "DATA", "guests", "IPC$", "none"][share % 6];
        if let Ok(tree) = session.tree_connect(&format!(r"\\localhost\{share}")).await {
            client.trees.push(Tree { scope: tree.scope().clone(), pipes: share == "IPC$" });
        }
    }

    fn tree(&self, input: &mut Input<'_>) -> Option<(usize, Tree)> {
        let [client, tree] = [(); 2].map(|()| usize::from(input.byte()));
        let client = client % self.clients.len().max(1);
        let trees = &self.clients.get(client)?.trees;
        // Mostly files.
        let kind: Vec<_> = trees.iter().filter(|it| it.pipes == (tree & 7 == 7)).collect();
        Some((client, Tree::clone(kind.get((tree >> 3) % kind.len().max(1))?)))
    }

    fn open(&self, input: &mut Input<'_>) -> Option<Open> {
        let choice = usize::from(input.byte());
        self.opens.get(choice % self.opens.len().max(1)).cloned()
    }

    async fn create(&mut self, input: &mut Input<'_>) {
        let Some((client, tree)) = self.tree(input) else { return };
        let known = self.open(input).map_or(FileId::RELATED, |open| open.file_id);
        let made = parts::create(input, tree.pipes, known);
        let made = changed(input, made);
        self.send(client, &tree.scope, made).await;
    }

    async fn on_open(&mut self, input: &mut Input<'_>) {
        let Some(open) = self.open(input) else { return };
        let made = parts::on_open(input, open.file_id, &self.resume_key);
        let made = changed(input, made);
        let closes = made.command == Command::CLOSE;
        let status = self.send(open.client, &open.scope, made).await;
        if status == Some(NtStatus::FILE_CLOSED) || closes && status == Some(NtStatus::SUCCESS) {
            self.opens.retain(|it| it.file_id != open.file_id);
        }
    }

    async fn compound(&mut self, input: &mut Input<'_>) {
        let Some((client, tree)) = self.tree(input) else { return };
        let choice = input.byte();
        let mut made = vec![parts::create(input, tree.pipes, FileId::RELATED)];
        for _ in 0..1 + choice % 5 {
            let next = parts::on_open(input, FileId::RELATED, &self.resume_key);
            made.push(changed(input, next));
        }
        let parts = made.into_iter().map(part).collect();
        let connection = self.clients[client].connection.clone();
        let sent = connection.submit_compound(&tree.scope, parts, choice & 0x80 == 0);
        let Ok(Ok(sent)) = timeout(PATIENCE, sent).await else { return };
        for in_flight in sent {
            self.settle(in_flight, client, &tree.scope, tree.pipes).await;
        }
    }

    /// A call over a pipe, of any interface, or a request to the control API.
    async fn call(&mut self, input: &mut Input<'_>) {
        let pipes: Vec<_> = self.opens.iter().filter(|open| open.pipes).cloned().collect();
        let [pipe, kind, opnum] = [(); 3].map(|()| input.byte());
        let Some(open) = pipes.get(usize::from(pipe) % pipes.len().max(1)) else { return };
        let interfaces: [InterfaceId; 3] =
            [rpc::srvsvc::INTERFACE, rpc::wkssvc::INTERFACE, rpc::lsarpc::INTERFACE];
        let mut association = ClientAssociation::new(interfaces[usize::from(kind) % 3]);
        let stub = input.short_piece();
        let written = match kind >> 2 & 7 {
            0 | 1 => vec![association.bind()],
            2 => {
                const LINES: [&str; 10] = [
                    "GET /v1/sessions",
                    "GET /v1/files",
                    "GET /v1/shares",
                    "GET /v1/connections",
                    "GET /v1/server",
                    "DELETE /v1/files/1",
                    "DELETE /v1/files/2",
                    "DELETE /v1/sessions/1",
                    "GET /v1/events",
                    "DELETE /v1/shares/data",
                ];
                let line = LINES[usize::from(opnum) % LINES.len()];
                vec![format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").into_bytes()]
            }
            3 => vec![stub.to_vec()],
            _ => {
                let all = [
                    rpc::srvsvc::Request::OPNUMS,
                    rpc::wkssvc::Request::OPNUMS,
                    rpc::lsarpc::Request::OPNUMS,
                ];
                let opnums = all[usize::from(kind) % 3];
                association.request_stub(opnums[usize::from(opnum) % opnums.len()], stub)
            }
        };
        for bytes in written {
            let request = if kind & 0x80 == 0 {
                Request::Ioctl(IoctlRequest {
                    ctl_code: wire::ioctl::FsctlCode::PIPE_TRANSCEIVE.0,
                    file_id: open.file_id,
                    max_output_response: 4096,
                    flags: IoctlFlags::IS_FSCTL,
                    input: &bytes,
                    ..IoctlRequest::default()
                })
            } else {
                Request::Write(WriteRequest {
                    file_id: open.file_id,
                    data: &bytes,
                    ..WriteRequest::default()
                })
            };
            self.send(open.client, &open.scope, made(request, 4096)).await;
        }
    }

    async fn acknowledge(&mut self, input: &mut Input<'_>) {
        let Some((client, tree)) = self.tree(input) else { return };
        let choice = input.byte();
        let notice = self.clients[client].breaks.try_next();
        let request = match notice {
            Ok(Some(Break::Oplock(notice))) => OplockBreakRequest::Oplock(OplockBreak {
                oplock_level: if choice & 1 == 0 { notice.oplock_level } else { OplockLevel(choice >> 4) },
                file_id: notice.file_id,
            }),
            Ok(Some(Break::Lease(notice))) => OplockBreakRequest::Lease(LeaseBreak {
                lease_key: notice.lease_key,
                lease_state: if choice & 1 == 0 {
                    notice.new_lease_state
                } else {
                    wire::LeaseState(u32::from(choice >> 4))
                },
                ..LeaseBreak::default()
            }),
            _ => return,
        };
        self.send(client, &tree.scope, made(Request::OplockBreak(request), 0)).await;
    }

    async fn cancel(&mut self, input: &mut Input<'_>) {
        let choice = usize::from(input.byte());
        let Some((in_flight, client)) = self.waiting.get(choice % self.waiting.len().max(1)) else { return };
        let connection = self.clients[*client].connection.clone();
        let _ = timeout(PATIENCE, connection.cancel(in_flight)).await;
        sleep(MOMENT).await;
        self.collect().await;
    }

    /// Bytes as one frame: a request with a header that is changed, or no request at all.
    async fn raw(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let Some((client, tree)) = self.tree(input) else { return };
        let connection = self.clients[client].connection.clone();
        let mut message = input.short_piece().to_vec();
        if choice & 1 == 0 {
            let Ok(Ok(message_id)) = timeout(PATIENCE, connection.take_message_ids(1)).await else { return };
            let made = match self.open(input) {
                Some(open) if choice & 2 == 0 => parts::on_open(input, open.file_id, &self.resume_key),
                _ => parts::create(input, tree.pipes, FileId::RELATED),
            };
            let header = Header {
                command: made.command,
                credit_charge: 1,
                credits: 1,
                message_id,
                session_id: tree.scope.session_id,
                tree: wire::TreeOrAsync::Tree { process_id: 0, tree_id: TreeId(tree.scope.tree_id.0) },
                ..Header::default()
            };
            message = [&header.to_bytes()[..], &made.body].concat();
            for _ in 0..choice >> 4 {
                let [at, value] = [input.byte(), input.byte()];
                if let Some(byte) = message.get_mut(usize::from(at)) {
                    *byte = value;
                }
            }
        }
        let _ = timeout(PATIENCE, connection.raw_send(&message)).await;
        sleep(MOMENT).await;
    }

    /// LOGOFF or TREE_DISCONNECT.
    async fn end_something(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let Some((client, tree)) = self.tree(input) else { return };
        let request = match choice & 1 {
            0 => Request::TreeDisconnect(TreeDisconnectRequest),
            _ => Request::Logoff(LogoffRequest),
        };
        self.send(client, &tree.scope, made(request, 0)).await;
        if choice & 2 == 0 {
            self.clients[client].trees.retain(|other| match choice & 1 {
                0 => other.scope.tree_id != tree.scope.tree_id,
                _ => other.scope.session_id != tree.scope.session_id,
            });
        }
    }

    /// Bytes on a connection of their own, which are not frames by anybody's care.
    async fn bytes(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        if choice & 1 == 0 || self.strangers.is_empty() {
            if self.strangers.len() >= CLIENTS_MAX {
                self.strangers.remove(0);
            }
            self.strangers.push(self.server.connect());
        }
        let bytes = input.short_piece();
        if let Some(stranger) = self.strangers.last_mut() {
            let _ = timeout(PATIENCE, stranger.write_all(bytes)).await;
        }
        sleep(MOMENT).await;
    }

    async fn send(&mut self, client: usize, scope: &Scope, made: Made) -> Option<NtStatus> {
        let connection = self.clients.get(client)?.connection.clone();
        let submitted = timeout(PATIENCE, connection.submit(scope, part(made))).await;
        let in_flight = submitted.ok()?.ok()?;
        let pipes = self.clients[client].trees.iter().any(|it| it.pipes && it.scope.tree_id == scope.tree_id);
        self.settle(in_flight, client, scope, pipes).await
    }

    /// Lets the server do all it can, and takes the answer if there is one.
    async fn settle(
        &mut self,
        in_flight: InFlight,
        client: usize,
        scope: &Scope,
        pipes: bool,
    ) -> Option<NtStatus> {
        sleep(MOMENT).await;
        if !matches!(timeout(Duration::ZERO, in_flight.pending()).await, Ok(None)) {
            if self.waiting.len() >= WAITING_MAX {
                self.waiting.remove(0);
            }
            self.waiting.push((in_flight, client));
            return None;
        }
        let Ok(answer) = in_flight.response_within(MOMENT).await else { return None };
        match answer.status() {
            NtStatus::USER_SESSION_DELETED => {
                let gone = |it: &Scope| it.session_id == scope.session_id;
                self.clients[client].trees.retain(|it| !gone(&it.scope));
                self.opens.retain(|it| it.client != client || !gone(&it.scope));
            }
            NtStatus::NETWORK_NAME_DELETED => {
                let gone = |it: &Scope| it.session_id == scope.session_id && it.tree_id == scope.tree_id;
                self.clients[client].trees.retain(|it| !gone(&it.scope));
                self.opens.retain(|it| it.client != client || !gone(&it.scope));
            }
            _ => {}
        }
        if answer.status() == NtStatus::SUCCESS && answer.header.command == Command::CREATE {
            let body = CreateResponse::decode(&answer.message).expect("an answer that can be read");
            if self.opens.len() < OPENS_MAX {
                self.opens.push(Open { client, scope: scope.clone(), file_id: body.file_id, pipes });
            }
        }
        if answer.status() == NtStatus::SUCCESS && answer.header.command == Command::IOCTL {
            let body = IoctlResponse::decode(&answer.message).expect("an answer that can be read");
            if body.ctl_code == wire::ioctl::FsctlCode::SRV_REQUEST_RESUME_KEY.0 {
                self.resume_key = body.output.get(..24).unwrap_or_default().to_vec();
            }
        }
        Some(answer.status())
    }

    /// Forgets the requests that were answered late.
    async fn collect(&mut self) {
        for (in_flight, client) in std::mem::take(&mut self.waiting) {
            if !matches!(timeout(Duration::ZERO, in_flight.pending()).await, Ok(None)) {
                self.waiting.push((in_flight, client));
            }
        }
    }

    fn forget(&mut self, client: usize) {
        self.clients.remove(client);
        let moved = |number: &mut usize| {
            let stays = *number != client;
            *number -= usize::from(*number > client);
            stays
        };
        self.opens.retain_mut(|open| moved(&mut open.client));
        self.waiting.retain_mut(|(_, number)| moved(number));
    }

    async fn come_to_rest(mut self) {
        self.faults.set_rates(Rates::NONE);
        self.strangers.clear();
        for client in &self.clients {
            client.connection.disconnect();
        }
        self.waiting.clear();
        self.opens.clear();
        self.clients.clear();
        let mut left = Counts::default();
        for _ in 0..REST_STEPS {
            sleep(REST_STEP).await;
            self.check();
            left = self.server.counts();
            if left == Counts::default() && self.server.busy() == (0, 0) {
                break;
            }
        }
        assert_eq!(left, Counts::default(), "the clients are gone");
        assert_eq!(self.server.busy(), (0, 0), "connections or requests without a client");
        assert_eq!(self.faults.handles(), 0, "files that are open for nobody");
        self.server.reload(settings(0), accounts());
        self.connect(0).await;
        let tree = self.clients.last().and_then(|it| it.sessions.last()).expect("a logon as always");
        let tree = tree.tree_connect(r"\\localhost\data").await.expect("a tree connect as always");
        let name = client::smb::CreateParameters::read_write("a new file at the end");
        let file = tree.create(&name).await.expect("a file as always");
        assert_eq!(file.write(0, b"written".to_vec()).await.ok(), Some(7));
        assert_eq!(file.read(0, 100).await.as_deref().ok(), Some(&b"written"[..]));
        file.close().await.expect("a close as always");
        // Opens that remain at the server's end are released as well.
        tree.create(&name).await.expect("an open as always");
        self.server.shut_down().await;
        self.check();
        assert_eq!(self.server.counts().opens, 0, "opens outlive the server");
        assert_eq!(self.faults.handles(), 0, "files are open that no open is of");
    }
}

fn part(made: Made) -> Part {
    Part::new(made.command, |out, _| out.extend_from_slice(&made.body)).carrying(made.carries)
}

/// The time until all tasks are idle: the clock advances only then.
const MOMENT: Duration = Duration::from_millis(1);

/// The time that a client waits for credits.
const PATIENCE: Duration = Duration::from_millis(10);

const OPENS_MAX: usize = 64;

/// Together longer than anything that a lost client leaves behind may stay.
const REST_STEPS: usize = 120;
const REST_STEP: Duration = Duration::from_secs(60);
