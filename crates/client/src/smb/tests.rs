//! The connection against a server that is a few lines of script.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use wire::header::{Compound, Header};
use wire::msg::{CancelRequest, EchoRequest, EchoResponse, NegotiateResponse, OplockBreak, ReadRequest};
use wire::{
    AsyncId, Command, Dialect, FileId, HeaderFlags, MessageId, NtStatus, OplockLevel, TreeOrAsync, frame,
};

use super::*;

mod tickets;

/// The server's end of a connection.
struct Script {
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
}

impl Script {
    async fn receive(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut prefix = [0; frame::PREFIX_SIZE];
        self.from.read_exact(&mut prefix).await.unwrap();
        let mut message = vec![0; frame::decode_prefix(prefix, 1 << 24).unwrap()];
        self.from.read_exact(&mut message).await.unwrap();
        Compound::new(&message).map(|part| part.unwrap()).map(|(h, bytes)| (h, bytes.to_vec())).collect()
    }

    async fn one(&mut self) -> (Header, Vec<u8>) {
        let mut all = self.receive().await;
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    async fn send(&mut self, header: Header, body: impl FnOnce(&mut Vec<u8>, usize)) {
        let mut message = Vec::new();
        header.encode(&mut message);
        body(&mut message, 0);
        self.to.write_all(&frame::encode_prefix(message.len()).unwrap()).await.unwrap();
        self.to.write_all(&message).await.unwrap();
    }

    async fn echo(&mut self, request: &Header, credits: u16) {
        let header = request.response(NtStatus::SUCCESS, credits);
        self.send(header, |out, base| EchoResponse.encode(out, base)).await;
    }

    /// Answers the NEGOTIATE and grants `credits`.
    async fn negotiate(&mut self, credits: u16) {
        let (request, _) = self.one().await;
        assert_eq!((request.command, request.message_id), (Command::NEGOTIATE, MessageId(0)));
        let body = NegotiateResponse {
            dialect_revision: Dialect::SMB210,
            capabilities: wire::msg::GlobalCapabilities::LARGE_MTU,
            ..NegotiateResponse::default()
        };
        self.send(request.response(NtStatus::SUCCESS, credits), |out, base| body.encode(out, base)).await;
    }
}

fn pair(timeout: Duration) -> (ClientConnection, Script) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (from, to) = tokio::io::split(ours);
    let options = ConnectOptions {
        request_timeout: timeout,
        ..ConnectOptions::with_guid(wire::Guid::default()).dialect(Dialect::SMB210)
    };
    let connection = ClientConnection::over(from, to, options);
    let (from, to) = tokio::io::split(theirs);
    (connection, Script { from, to })
}

async fn negotiated(credits: u16) -> (ClientConnection, Script) {
    let (connection, mut script) = pair(Duration::from_secs(5));
    let (answer, ()) = tokio::join!(connection.negotiate(), script.negotiate(credits));
    assert!(answer.unwrap().multi_credit);
    (connection, script)
}

fn echo() -> Part {
    Part::new(Command::ECHO, |out, base| EchoRequest.encode(out, base))
}

#[tokio::test]
async fn answers_find_their_requests_in_any_order() {
    let (connection, mut script) = negotiated(8).await;
    let scope = Scope::default();
    let first = connection.submit(&scope, echo()).await.unwrap();
    let second = connection.submit(&scope, echo()).await.unwrap();
    let (a, _) = script.one().await;
    let (b, _) = script.one().await;
    script.echo(&b, 1).await;
    script.echo(&a, 1).await;
    assert_eq!(first.response().await.unwrap().header.message_id, a.message_id);
    assert_eq!(second.response().await.unwrap().header.message_id, b.message_id);
}

#[tokio::test]
async fn requests_wait_for_credits_and_cost_their_size() {
    let (connection, mut script) = negotiated(3).await;
    let scope = Scope::default();
    let read = file::read_part(FileId::default(), 0, 3 << 16);
    let big = connection.submit(&scope, read).await.unwrap();
    let (request, body) = script.one().await;
    assert_eq!((request.message_id, request.credit_charge), (MessageId(1), 3));
    assert_eq!(ReadRequest::decode(&body).unwrap().length, 3 << 16);
    assert_eq!(connection.credits(), 0);

    let waiting = {
        let connection = connection.clone();
        tokio::spawn(async move { connection.echo().await })
    };
    script
        .send(request.response(NtStatus::END_OF_FILE, 1), |out, _| out.extend([9, 0, 0, 0, 0, 0, 0, 0, 0]))
        .await;
    assert!(big.response().await.unwrap().success().unwrap_err().is(NtStatus::END_OF_FILE));
    let (request, _) = script.one().await;
    assert_eq!(request.message_id, MessageId(4));
    script.echo(&request, 1).await;
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn interim_responses_are_reported_and_cancelled_by_id() {
    let (connection, mut script) = negotiated(4).await;
    let waiting = connection.submit(&Scope::default(), echo()).await.unwrap();
    let (request, _) = script.one().await;
    let interim = Header { tree: TreeOrAsync::Async(AsyncId(77)), ..request.response(NtStatus::PENDING, 1) };
    script.send(interim, |out, _| out.extend([9, 0, 0, 0, 0, 0, 0, 0, 0])).await;
    assert_eq!(waiting.pending().await, Some(AsyncId(77)));

    connection.cancel(&waiting).await.unwrap();
    let (cancel, body) = script.one().await;
    assert_eq!((cancel.command, cancel.message_id), (Command::CANCEL, request.message_id));
    assert_eq!(cancel.async_id(), Some(AsyncId(77)));
    CancelRequest::decode(&body).unwrap();

    let last = Header { status: NtStatus::CANCELLED, credits: 0, ..interim };
    script.send(last, |out, _| out.extend([9, 0, 0, 0, 0, 0, 0, 0, 0])).await;
    assert_eq!(waiting.response().await.unwrap().status(), NtStatus::CANCELLED);
}

#[tokio::test]
async fn breaks_reach_all_listeners() {
    let (connection, mut script) = negotiated(1).await;
    let mut breaks = connection.breaks();
    let said =
        OplockBreak { oplock_level: OplockLevel::LEVEL_II, file_id: FileId { persistent: 1, volatile: 2 } };
    let header = Header {
        command: Command::OPLOCK_BREAK,
        flags: HeaderFlags::SERVER_TO_REDIR,
        message_id: MessageId(u64::MAX),
        ..Header::default()
    };
    script.send(header, |out, base| said.encode(out, base)).await;
    assert_eq!(breaks.next().await.unwrap(), Some(Break::Oplock(said)));
    drop(script);
    assert_eq!(breaks.next().await.unwrap(), None);
}

#[tokio::test]
async fn compounds_are_aligned_related_and_answered_part_by_part() {
    let (connection, mut script) = negotiated(4).await;
    let requests = connection.submit_compound(&Scope::default(), vec![echo(), echo()], true).await.unwrap();
    let parts = script.receive().await;
    assert!(!parts[0].0.is_related() && parts[1].0.is_related());
    assert_eq!((parts[0].0.message_id, parts[1].0.message_id), (MessageId(1), MessageId(2)));
    script.echo(&parts[1].0, 0).await;
    script.echo(&parts[0].0, 0).await;
    for request in requests {
        request.response().await.unwrap().success().unwrap();
    }
}

#[tokio::test]
async fn raw_bytes_get_raw_answers() {
    let (connection, mut script) = negotiated(2).await;
    let message_id = connection.take_message_ids(1).await.unwrap();
    let mut message = Header { command: Command::ECHO, message_id, ..Header::default() }.to_bytes().to_vec();
    EchoRequest.encode(&mut message, 0);
    connection.raw_send(&message).await.unwrap();
    let (request, _) = script.one().await;
    script.echo(&request, 1).await;
    assert_eq!(connection.raw_recv().await.unwrap().header.message_id, message_id);
}

#[tokio::test]
async fn waiting_requests_fail_when_the_connection_ends() {
    let (connection, script) = negotiated(2).await;
    let waiting = connection.submit(&Scope::default(), echo()).await.unwrap();
    drop(script);
    assert!(matches!(waiting.response().await, Err(Error::Io(_))));
    assert!(matches!(connection.echo().await, Err(Error::Io(_))));
    assert!(matches!(connection.raw_recv().await, Err(Error::Io(_))));
    assert!(connection.has_ended());
}

#[tokio::test]
async fn a_request_from_the_server_ends_the_connection() {
    let (connection, mut script) = negotiated(2).await;
    let waiting = connection.submit(&Scope::default(), echo()).await.unwrap();
    let (request, _) = script.one().await;
    script.send(request, |out, base| EchoRequest.encode(out, base)).await;
    assert!(matches!(waiting.response().await, Err(Error::Protocol(_))));
}

#[tokio::test(start_paused = true)]
async fn a_request_times_out_and_its_late_answer_grants_credits() {
    let (connection, mut script) = pair(Duration::from_secs(5));
    let (answer, ()) = tokio::join!(connection.negotiate(), script.negotiate(1));
    answer.unwrap();
    assert!(matches!(connection.echo().await, Err(Error::TimedOut(Command::ECHO))));
    let (request, _) = script.one().await;
    script.echo(&request, 5).await;
    let again = connection.submit(&Scope::default(), echo()).await.unwrap();
    let (request, _) = script.one().await;
    assert_eq!(request.message_id, MessageId(2));
    script.echo(&request, 1).await;
    again.response().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sending_to_a_server_that_reads_nothing_times_out() {
    let (connection, _script) = pair(Duration::from_secs(5));
    let message = vec![0xfe; 4096];
    let outcome = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Err(error) = connection.raw_send(&message).await {
                return error;
            }
        }
    });
    assert!(matches!(outcome.await.expect("each message has its limit"), Error::TimedOut(_)));
}
