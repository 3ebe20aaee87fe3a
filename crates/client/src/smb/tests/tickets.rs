//! Logons with tickets: what follows if the server does not take them, and the renewal of a session.

use std::collections::VecDeque;
use std::sync::Arc;

use auth::spnego::{Mechanism, NegState, NegTokenResp, Token, server_offer};
use auth::{Credentials, InitiatorError, KerberosError, KerberosExchange, KerberosStep};
use parking_lot::Mutex;
use wire::SessionId;
use wire::msg::{SessionFlags, SessionSetupRequest, SessionSetupResponse};
use zeroize::Zeroizing;

use super::*;
use crate::tickets::{Begun, TicketError, TicketSource};

/// Tickets of a server that answers `reply`.
#[derive(Debug, Default)]
struct Fake {
    /// The next failures; `None` is a success, and so is everything after them.
    failures: Mutex<VecDeque<Option<TicketError>>>,
}

struct FakeExchange;

impl TicketSource for Fake {
    fn begin(&self, _host: &str) -> Result<Begun, TicketError> {
        match self.failures.lock().pop_front().flatten() {
            Some(error) => Err(error),
            None => Ok(Begun { exchange: Box::new(FakeExchange), token: b"ticket".to_vec() }),
        }
    }

    fn principal(&self) -> String {
        "carol@CORP.EXAMPLE".into()
    }
}

impl KerberosExchange for FakeExchange {
    fn step(&mut self, token: &[u8]) -> Result<KerberosStep, KerberosError> {
        if token == b"reply" { Ok(KerberosStep::Done(None)) } else { Err("a wrong reply".into()) }
    }

    fn session_key(&mut self) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        Ok(Zeroizing::new(vec![7; 32]))
    }

    fn get_mic(&mut self, message: &[u8]) -> Result<Vec<u8>, KerberosError> {
        Ok(message.iter().rev().copied().collect())
    }

    fn verify_mic(&mut self, message: &[u8], mic: &[u8]) -> Result<(), KerberosError> {
        if self.get_mic(message)? == mic { Ok(()) } else { Err("a wrong MIC".into()) }
    }
}

fn tickets() -> LogonCredentials {
    LogonCredentials::with_tickets(Arc::new(Fake::default()), None)
}

fn failing(failures: impl IntoIterator<Item = Option<TicketError>>) -> Arc<Fake> {
    Arc::new(Fake { failures: Mutex::new(failures.into_iter().collect()) })
}

/// A server that offers these mechanisms, and its client.
async fn offering(mechanisms: &[Mechanism]) -> (ClientConnection, Script) {
    let (connection, mut script) = pair(Duration::from_secs(5));
    let offer = server_offer(mechanisms);
    let serve = async {
        let (request, _) = script.one().await;
        let body = NegotiateResponse {
            dialect_revision: Dialect::SMB210,
            security_buffer: &offer,
            ..NegotiateResponse::default()
        };
        script.send(request.response(NtStatus::SUCCESS, 64), |out, base| body.encode(out, base)).await;
    };
    let (negotiated, ()) = tokio::join!(connection.negotiate(), serve);
    negotiated.unwrap();
    (connection, script)
}

const ALL: &[Mechanism] = &[Mechanism::MsKerberos, Mechanism::Kerberos, Mechanism::NtlmSsp];

impl Script {
    /// Receives a SESSION_SETUP: its header and token.
    async fn setup(&mut self) -> (Header, Token) {
        let (request, message) = self.one().await;
        assert_eq!(request.command, Command::SESSION_SETUP);
        let body = SessionSetupRequest::decode(&message).unwrap();
        (request, Token::decode(body.security_buffer).unwrap())
    }

    async fn answer(&mut self, request: &Header, status: NtStatus, flags: SessionFlags, token: &[u8]) {
        let header = Header { session_id: SessionId(5), ..request.response(status, 8) };
        let body = SessionSetupResponse { session_flags: flags, security_buffer: token };
        self.send(header, |out, base| body.encode(out, base)).await;
    }

    /// Accepts a ticket.
    async fn accept(&mut self) -> Header {
        let (request, token) = self.setup().await;
        assert!(matches!(token, Token::Init(init) if init.token.as_deref() == Some(b"ticket")));
        self.answer(&request, NtStatus::SUCCESS, SessionFlags::NONE, &accepted(Some(b"reply"))).await;
        request
    }
}

fn accepted(token: Option<&[u8]>) -> Vec<u8> {
    NegTokenResp {
        state: Some(NegState::AcceptCompleted),
        mechanism: Some(Mechanism::MsKerberos),
        token: token.map(<[u8]>::to_vec),
        mechanism_list_mic: None,
    }
    .encode()
}

/// The outcome of a logon with tickets alone, if the server answers the first token so.
async fn answered(status: NtStatus, flags: SessionFlags, token: Vec<u8>) -> Result<ClientSession, Error> {
    let (connection, mut script) = offering(ALL).await;
    let serve = async {
        let (request, first) = script.setup().await;
        let Token::Init(init) = first else { panic!("the first token is an offer") };
        assert_eq!(init.mechanisms, [Mechanism::MsKerberos, Mechanism::Kerberos]);
        script.answer(&request, status, flags, &token).await;
        script
    };
    tokio::join!(connection.logon(tickets()), serve).0
}

#[tokio::test]
async fn a_server_that_proves_itself_has_a_session() {
    let session = answered(NtStatus::SUCCESS, SessionFlags::NONE, accepted(Some(b"reply"))).await.unwrap();
    assert_eq!(session.id(), SessionId(5));
}

#[tokio::test]
async fn without_an_offer_of_kerberos_no_ticket_is_sent() {
    let (connection, script) = offering(&[Mechanism::NtlmSsp]).await;
    assert!(matches!(connection.logon(tickets()).await, Err(Error::NoKerberos)));
    drop(script);
}

#[tokio::test]
async fn a_choice_of_ntlm_ends_a_logon_that_demands_kerberos() {
    for state in [NegState::AcceptIncomplete, NegState::RequestMic] {
        let choice = NegTokenResp {
            state: Some(state),
            mechanism: Some(Mechanism::NtlmSsp),
            ..NegTokenResp::default()
        };
        let outcome = answered(NtStatus::MORE_PROCESSING_REQUIRED, SessionFlags::NONE, choice.encode()).await;
        assert!(matches!(outcome, Err(Error::NoKerberos)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_challenge_of_ntlm_ends_a_logon_that_demands_kerberos() {
    let challenge = b"NTLMSSP\0\x02\0\0\0".to_vec();
    for mechanism in [None, Some(Mechanism::NtlmSsp), Some(Mechanism::Kerberos)] {
        let token = NegTokenResp {
            state: Some(NegState::AcceptIncomplete),
            mechanism,
            token: Some(challenge.clone()),
            mechanism_list_mic: None,
        };
        let outcome = answered(NtStatus::MORE_PROCESSING_REQUIRED, SessionFlags::NONE, token.encode()).await;
        let refused = matches!(
            outcome,
            Err(Error::NoKerberos | Error::Logon(InitiatorError::Kerberos(_) | InitiatorError::Malformed))
        );
        assert!(refused, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_guest_session_is_refused_although_the_ticket_was_sent() {
    for flags in [SessionFlags::IS_GUEST, SessionFlags::IS_NULL] {
        for token in [accepted(Some(b"reply")), accepted(None), Vec::new()] {
            let outcome = answered(NtStatus::SUCCESS, flags, token).await;
            assert!(matches!(outcome, Err(Error::MadeGuest)), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_refused() {
    for token in [accepted(None), accepted(Some(b"wrong")), Vec::new()] {
        let outcome = answered(NtStatus::SUCCESS, SessionFlags::NONE, token).await;
        assert!(matches!(outcome, Err(Error::Logon(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_refused_ticket_is_reported_with_its_principal() {
    let outcome = answered(NtStatus::LOGON_FAILURE, SessionFlags::NONE, Vec::new()).await;
    match outcome {
        Err(Error::TicketRefused(NtStatus::LOGON_FAILURE, principal)) => {
            assert_eq!(principal, "carol@CORP.EXAMPLE");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_ticket_ntlm_follows_only_if_it_may() {
    let (connection, mut script) = offering(ALL).await;
    let source = failing([Some(TicketError::TimedOut), Some(TicketError::TimedOut)]);
    let alone = LogonCredentials::with_tickets(source.clone(), None);
    assert!(matches!(connection.logon(alone).await, Err(Error::Ticket(TicketError::TimedOut))));
    let both = LogonCredentials::with_tickets(source, Some(Credentials::password("carol", "", "x")));
    let serve = async {
        let (request, token) = script.setup().await;
        let Token::Init(init) = token else { panic!("the first token is an offer") };
        assert_eq!(init.mechanisms, [Mechanism::NtlmSsp]);
        script.answer(&request, NtStatus::LOGON_FAILURE, SessionFlags::NONE, &[]).await;
    };
    let (outcome, ()) = tokio::join!(connection.logon(both), serve);
    assert!(matches!(outcome, Err(Error::Status(NtStatus::LOGON_FAILURE, _))), "{outcome:?}");
}

#[tokio::test]
async fn requests_of_an_expired_session_renew_it_once_and_are_sent_again() {
    let (connection, mut script) = offering(ALL).await;
    let (session, _) = tokio::join!(connection.logon(tickets()), script.accept());
    let session = session.unwrap();
    let asking = async {
        let ask = || connection.request(session.scope(), echo());
        tokio::join!(ask(), ask())
    };
    let serve = async {
        let (first, _) = script.one().await;
        let (second, _) = script.one().await;
        for request in [&first, &second] {
            script.echo_with(request, NtStatus::NETWORK_SESSION_EXPIRED).await;
        }
        let renewal = script.accept().await;
        assert_eq!(renewal.session_id, SessionId(5));
        for _ in 0..2 {
            let (again, _) = script.one().await;
            assert_eq!((again.command, again.session_id), (Command::ECHO, SessionId(5)));
            script.echo_with(&again, NtStatus::SUCCESS).await;
        }
    };
    let ((first, second), ()) = tokio::join!(asking, serve);
    assert!(first.unwrap().success().is_ok() && second.unwrap().success().is_ok());
    assert_eq!(session.trouble(), None);
}

#[tokio::test]
async fn without_new_tickets_requests_fail_and_the_session_stays() {
    let (connection, mut script) = offering(ALL).await;
    let source = failing([None, Some(TicketError::TimedOut)]);
    let credentials = LogonCredentials::with_tickets(source, None);
    let (session, _) = tokio::join!(connection.logon(credentials), script.accept());
    let session = session.unwrap();
    for _ in 0..2 {
        let serve = async {
            let (request, _) = script.one().await;
            script.echo_with(&request, NtStatus::NETWORK_SESSION_EXPIRED).await;
        };
        let (outcome, ()) = tokio::join!(connection.request(session.scope(), echo()), serve);
        let expected = matches!(outcome, Err(Error::Ticket(TicketError::TimedOut) | Error::SessionExpired));
        assert!(expected, "{outcome:?}");
        assert!(session.trouble().is_some_and(|trouble| trouble.contains("key distribution center")));
    }
    assert!(!connection.has_ended());
}

impl Script {
    async fn echo_with(&mut self, request: &Header, status: NtStatus) {
        self.send(request.response(status, 8), |out, base| EchoResponse.encode(out, base)).await;
    }
}
