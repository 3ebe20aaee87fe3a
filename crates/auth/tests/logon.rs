//! Logons end to end: every way a client may go about it, and every way it must not get in.

use auth::ntlm::av_pair::ClientChallenge;
use auth::ntlm::{
    Authenticate, AvFlags, AvId, AvPairs, Challenge, Negotiate, NegotiateFlags, NtlmSeal, Sender, compute,
    message::MIC_OFFSET,
};
use auth::spnego::{Mechanism, NegState, NegTokenInit, NegTokenResp, Token};
use auth::{
    Acceptor, AcceptorConfig, AccountRecord, Accounts, Claim, ClientStep, Credentials, Decided, DomainUser,
    IdentityKind, Initiator, InitiatorError, InitiatorOptions, KerberosError, KerberosExchange, KerberosStep,
    Logon, Outdated, PassThrough, Refusal, Step,
};
use proptest::prelude::*;
use wire::FileTime;
use wire::security::Sid;
use zeroize::Zeroizing;

const NOW: FileTime = FileTime::from_unix(1_700_000_000, 0);
const HOUR: u64 = 3600 * 10_000_000;

struct Table;

impl Accounts for Table {
    fn nt_hash(&self, _domain: &str, user: &str) -> Option<AccountRecord> {
        let name = ["Alice", "disabled", "locked", "passwordless", "expired", "aged", "fresh", "asleep"]
            .into_iter()
            .find(|name| name.eq_ignore_ascii_case(user))?;
        Some(AccountRecord {
            name: name.to_owned(),
            nt_hash: (name != "passwordless").then(|| compute::nt_hash("right")),
            disabled: name == "disabled",
            locked_out: name == "locked",
            outdated: match name {
                "expired" => Some(Outdated::Account),
                "asleep" => Some(Outdated::Hours),
                "aged" => Some(Outdated::Password),
                "fresh" => Some(Outdated::MustChange),
                _ => None,
            },
        })
    }
}

fn config() -> AcceptorConfig {
    AcceptorConfig {
        netbios_name: "SERVER".into(),
        dns_name: "server.example".into(),
        domain: "WORKGROUP".into(),
        ..AcceptorConfig::default()
    }
}

fn alice(password: &str) -> Credentials {
    Credentials::password("alice", "DOM", password)
}

/// Runs a logon to its end and returns the results of both sides.
fn run(
    acceptor: &mut Acceptor,
    initiator: &mut Initiator,
) -> Result<(Logon, Result<Vec<u8>, InitiatorError>), Refusal> {
    let mut answer: Option<Vec<u8>> = None;
    for _ in 0..5 {
        let token = match initiator.step(answer.as_deref()) {
            Ok(ClientStep::Token(token)) => token,
            other => panic!("the client stops: {other:?}"),
        };
        match acceptor.step(&token, &Table, NOW) {
            Step::Continue(token) | Step::Again { token, .. } => answer = Some(token),
            Step::Done(logon) => {
                let client = initiator.step(Some(&logon.token)).map(|step| match step {
                    ClientStep::Done { session_key } => session_key.to_vec(),
                    ClientStep::Token(_) => panic!("the client goes on"),
                });
                return Ok((*logon, client));
            }
            Step::Refused { reason, .. } => return Err(reason),
            Step::PassThrough(_) => panic!("there is no domain"),
        }
    }
    panic!("no end");
}

fn logon(
    credentials: Credentials,
    options: InitiatorOptions,
    config: AcceptorConfig,
) -> Result<Logon, Refusal> {
    let mut initiator = Initiator::new(credentials, "server").with_options(options);
    let (logon, client_key) = run(&mut Acceptor::new(config), &mut initiator)?;
    assert_eq!(client_key.unwrap(), logon.session_key.full());
    Ok(logon)
}

/// The kinds of clients, by their options.
fn habits() -> Vec<InitiatorOptions> {
    let mut all = Vec::new();
    for bits in 0..128_u8 {
        let bit = |n: u8| bits >> n & 1 == 1;
        let options = InitiatorOptions {
            raw_ntlmssp: bit(0),
            offer_kerberos_first: bit(1),
            optimistic_token: bit(2),
            send_mic: bit(3),
            send_mech_list_mic: bit(4),
            send_target_info: bit(5),
            key_exchange: bit(6),
            workstation: "DESK".into(),
            now: NOW,
        };
        let misses_due_mic =
            options.offer_kerberos_first && !options.send_mech_list_mic && !options.raw_ntlmssp;
        if !misses_due_mic {
            all.push(options);
        }
    }
    all
}

#[test]
fn the_right_password_logs_on_with_every_kind_of_client() {
    for options in habits() {
        let shown = format!("{options:?}");
        let logon = logon(alice("right"), options, config()).expect(&shown);
        assert_eq!(logon.identity.user, "Alice");
        assert_eq!(logon.identity.domain, "DOM");
        assert_eq!(logon.identity.kind, IdentityKind::User);
        assert_eq!(logon.identity.workstation.as_deref(), Some("DESK"));
        assert_ne!(logon.session_key.first_16(), [0; 16]);
    }
}

/// Kerberos of a client whose ticket no server here can read.
struct Unreadable;

impl KerberosExchange for Unreadable {
    fn step(&mut self, _token: &[u8]) -> Result<KerberosStep, KerberosError> {
        Err("no server answers".into())
    }

    fn session_key(&mut self) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        Err("no server answers".into())
    }

    fn get_mic(&mut self, _message: &[u8]) -> Result<Vec<u8>, KerberosError> {
        Err("no server answers".into())
    }

    fn verify_mic(&mut self, _message: &[u8], _mic: &[u8]) -> Result<(), KerberosError> {
        Err("no server answers".into())
    }
}

fn with_ticket(fallback: Option<Credentials>) -> Initiator {
    Initiator::with_kerberos(Box::new(Unreadable), b"a ticket".to_vec(), fallback, "server")
}

#[test]
fn a_server_without_kerberos_gets_ntlm_after_the_ticket_and_proves_its_choice() {
    let (logon, key) = run(&mut Acceptor::new(config()), &mut with_ticket(Some(alice("right")))).unwrap();
    assert_eq!(logon.identity.user, "Alice");
    assert_eq!(key.unwrap(), logon.session_key.full());
    let refused = run(&mut Acceptor::new(config()), &mut with_ticket(Some(alice("wrong"))));
    assert_eq!(refused.err(), Some(Refusal::WrongPassword));
}

#[test]
fn a_choice_of_ntlm_without_the_proof_of_the_server_is_refused() {
    let mut acceptor = Acceptor::new(config());
    let mut initiator = with_ticket(Some(alice("right")));
    let mut answer: Option<Vec<u8>> = None;
    for _ in 0..5 {
        let token = match initiator.step(answer.as_deref()) {
            Ok(ClientStep::Token(token)) => token,
            other => panic!("the client stops: {other:?}"),
        };
        match acceptor.step(&token, &Table, NOW) {
            Step::Continue(token) | Step::Again { token, .. } => answer = Some(token),
            Step::Done(_) => {
                let accepted =
                    NegTokenResp { state: Some(NegState::AcceptCompleted), ..NegTokenResp::default() };
                assert!(matches!(initiator.step(Some(&accepted.encode())), Err(InitiatorError::BadMic)));
                return;
            }
            other => panic!("the server stops: {other:?}"),
        }
    }
    panic!("no end");
}

#[test]
fn a_choice_of_ntlm_ends_the_logon_of_a_client_that_demands_kerberos() {
    let mut initiator = with_ticket(None);
    let Ok(ClientStep::Token(offer)) = initiator.step(None) else { panic!("an offer") };
    match Token::decode(&offer) {
        Ok(Token::Init(init)) => assert_eq!(init.mechanisms, [Mechanism::MsKerberos, Mechanism::Kerberos]),
        other => panic!("{other:?}"),
    }
    let choice = NegTokenResp {
        state: Some(NegState::RequestMic),
        mechanism: Some(Mechanism::NtlmSsp),
        ..NegTokenResp::default()
    };
    assert!(matches!(initiator.step(Some(&choice.encode())), Err(InitiatorError::NoCommonMechanism)));
}

#[test]
fn a_wrong_password_is_refused_with_every_kind_of_client() {
    for options in habits() {
        let shown = format!("{options:?}");
        assert_eq!(
            logon(alice("wrong"), options.clone(), config()).err(),
            Some(Refusal::WrongPassword),
            "{shown}"
        );
        let guests = AcceptorConfig { guest_for_unknown: true, allow_anonymous: true, ..config() };
        assert_eq!(logon(alice("wrong"), options, guests).err(), Some(Refusal::WrongPassword), "{shown}");
    }
}

#[test]
fn an_unknown_user_is_refused_with_every_kind_of_client() {
    for options in habits() {
        for password in ["", "right", "any"] {
            let nobody = Credentials::password("mallory", "", password);
            assert_eq!(
                logon(nobody, options.clone(), config()).err(),
                Some(Refusal::NoSuchUser),
                "{options:?}"
            );
        }
    }
}

#[test]
fn disabled_accounts_are_reported_only_with_the_right_password() {
    for (user, reason) in [
        ("disabled", Refusal::Disabled),
        ("locked", Refusal::LockedOut),
        ("expired", Refusal::AccountExpired),
        ("asleep", Refusal::LogonHours),
        ("aged", Refusal::PasswordExpired),
        ("fresh", Refusal::MustChangePassword),
    ] {
        let try_with = |password: &str| {
            logon(Credentials::password(user, "", password), InitiatorOptions::default(), config()).err()
        };
        assert_eq!(try_with("right"), Some(reason));
        assert_eq!(try_with("wrong"), Some(Refusal::WrongPassword));
    }
}

#[test]
fn anonymous_logons_need_permission() {
    for options in habits() {
        let shown = format!("{options:?}");
        let refused = logon(Credentials::anonymous(), options.clone(), config());
        assert_eq!(refused.err(), Some(Refusal::AnonymousNotAllowed), "{shown}");
        let open = AcceptorConfig { allow_anonymous: true, ..config() };
        let logon = logon(Credentials::anonymous(), options, open).expect(&shown);
        assert_eq!(logon.identity.kind, IdentityKind::Anonymous);
        assert_eq!(logon.identity.user, "");
    }
}

#[test]
fn a_claim_is_available_only_before_it_is_checked() {
    for options in habits() {
        let shown = format!("{options:?}");
        let mut acceptor = Acceptor::new(config());
        let mut initiator = Initiator::new(alice("wrong"), "server").with_options(options);
        let mut answer: Option<Vec<u8>> = None;
        let claim = loop {
            let Ok(ClientStep::Token(token)) = initiator.step(answer.as_deref()) else { panic!("{shown}") };
            let claim = acceptor.claim(&token);
            match acceptor.step(&token, &Table, NOW) {
                Step::Continue(next) | Step::Again { token: next, .. } => {
                    assert_eq!(claim, None, "{shown}");
                    answer = Some(next);
                }
                Step::Refused { .. } | Step::PassThrough(_) => break claim,
                Step::Done(_) => panic!("{shown}"),
            }
        };
        assert_eq!(claim.map(|it| (it.user, it.domain)), Some(("alice".into(), "DOM".into())), "{shown}");
    }
}

#[test]
fn a_logon_in_progress_takes_little_memory() {
    let mut negotiate = Negotiate { flags: NegotiateFlags::UNICODE }.encode();
    assert!(matches!(Acceptor::new(config()).step(&negotiate, &Table, NOW), Step::Continue(_)));
    negotiate.resize(auth::limits::MAX_NEGOTIATE + 1, 0);
    let step = Acceptor::new(config()).step(&negotiate, &Table, NOW);
    assert!(matches!(step, Step::Refused { reason: Refusal::Malformed, .. }), "{step:?}");
}

#[test]
fn a_guest_logon_has_no_session_key() {
    let guests = AcceptorConfig { guest_for_unknown: true, ..config() };
    let mut initiator = Initiator::new(Credentials::password("mallory", "", "x"), "server");
    let (logon, _) = run(&mut Acceptor::new(guests), &mut initiator).unwrap();
    assert_eq!((logon.identity.kind, logon.identity.user.as_str()), (IdentityKind::Guest, "mallory"));
    assert_eq!(logon.session_key.first_16(), [0; 16]);
}

#[test]
fn kerberos_first_needs_the_mic_of_the_list() {
    let options = InitiatorOptions {
        offer_kerberos_first: true,
        send_mech_list_mic: false,
        ..InitiatorOptions::default()
    };
    assert_eq!(logon(alice("right"), options, config()).err(), Some(Refusal::BadMic));

    let mut acceptor = Acceptor::new(config());
    let offer =
        NegTokenInit::new(vec![Mechanism::MsKerberos, Mechanism::NtlmSsp], Some(b"AP-REQ".to_vec())).encode();
    let Step::Continue(answer) = acceptor.step(&offer, &Table, NOW) else { panic!("no answer") };
    let expected = NegTokenResp {
        state: Some(NegState::RequestMic),
        mechanism: Some(Mechanism::NtlmSsp),
        ..NegTokenResp::default()
    };
    assert_eq!(Token::decode(&answer), Ok(Token::Response(expected)));
}

#[test]
fn no_common_mechanism_is_rejected_with_a_token() {
    let offer = NegTokenInit::new(vec![Mechanism::Kerberos], Some(vec![1])).encode();
    let Step::Refused { reason, token } = Acceptor::new(config()).step(&offer, &Table, NOW) else {
        panic!("not refused")
    };
    assert_eq!(reason, Refusal::NoCommonMechanism);
    let Ok(Token::Response(reject)) = Token::decode(&token.unwrap()) else { panic!("no reject") };
    assert_eq!(reject.state, Some(NegState::Reject));
}

/// A client that violates the protocol: it speaks raw NTLM, and `edit` changes its proofs and messages.
struct Forger {
    acceptor: Acceptor,
    negotiate: Vec<u8>,
    challenge_bytes: Vec<u8>,
    challenge: Challenge,
}

impl Forger {
    fn new() -> Self {
        Self::asking(
            NegotiateFlags::UNICODE | NegotiateFlags::EXTENDED_SESSION_SECURITY | NegotiateFlags::KEY_128,
        )
    }

    fn asking(flags: NegotiateFlags) -> Self {
        let mut acceptor = Acceptor::new(config());
        let negotiate = Negotiate { flags }.encode();
        let Step::Continue(challenge_bytes) = acceptor.step(&negotiate, &Table, NOW) else {
            panic!("no challenge")
        };
        let challenge = Challenge::decode(&challenge_bytes).unwrap();
        Self { acceptor, negotiate, challenge_bytes, challenge }
    }

    fn blob(&self) -> ClientChallenge {
        let pairs = self.challenge.target_info.clone().unwrap();
        ClientChallenge { timestamp: pairs.timestamp().unwrap(), challenge: [1; 8], pairs }
    }

    /// The message for `blob`, and the session key it leads to.
    fn message(&self, password: &str, blob: &[u8]) -> (Authenticate, [u8; 16]) {
        let key = compute::response_key(&compute::nt_hash(password), "alice", "DOM");
        let proof = compute::proof(&key, &self.challenge.challenge, blob);
        let message = Authenticate {
            flags: self.challenge.flags,
            user: "alice".into(),
            domain: "DOM".into(),
            nt_response: [proof.as_slice(), blob].concat(),
            ..Authenticate::default()
        };
        (message, compute::session_base_key(&key, &proof))
    }

    fn send(&mut self, message: &Authenticate) -> Result<Logon, Refusal> {
        self.send_bytes(&message.encode())
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Result<Logon, Refusal> {
        self.send_at(bytes, NOW)
    }

    fn send_at(&mut self, bytes: &[u8], now: FileTime) -> Result<Logon, Refusal> {
        match self.acceptor.step(bytes, &Table, now) {
            Step::Done(logon) => Ok(*logon),
            Step::Refused { reason, token: None } => Err(reason),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn users_of_other_domains_do_not_become_guests() {
    let attempt = |domain: &str, user: &str, workstation: &str, guest_domains: &[&str]| {
        let guest_domains = guest_domains.iter().map(ToString::to_string).collect();
        let config = AcceptorConfig { guest_for_unknown: true, guest_domains, ..config() };
        let mut forger = Forger { acceptor: Acceptor::new(config), ..Forger::new() };
        let Step::Continue(challenge) = forger.acceptor.step(&forger.negotiate, &Table, NOW) else {
            panic!("no challenge")
        };
        forger.challenge = Challenge::decode(&challenge).unwrap();
        let (message, _) = forger.message("whatever", &forger.blob().encode());
        let (user, domain, workstation) = (user.to_owned(), domain.to_owned(), workstation.to_owned());
        forger.send(&Authenticate { user, domain, workstation, ..message }).map(|logon| logon.identity.kind)
    };
    let guest = Ok(IdentityKind::Guest);
    for domain in ["", ".", "workgroup", "SERVER", "server.example", "laptop"] {
        assert_eq!(attempt(domain, "stranger", "LAPTOP", &[]), guest, "{domain:?}");
    }
    for (domain, user) in [
        ("OTHER", "stranger"),
        ("", "stranger@OTHER"),
        ("MicrosoftAccount", "a@example.com"),
        ("", "OTHER\\a"),
    ] {
        assert_eq!(attempt(domain, user, "LAPTOP", &[]), Err(Refusal::NotAGuest), "{domain:?} {user:?}");
        assert_eq!(attempt(domain, user, "LAPTOP", &["*"]), guest, "{domain:?} {user:?}");
    }
    assert_eq!(attempt("", "stranger@SERVER", "LAPTOP", &[]), guest);
    assert_eq!(attempt("Other", "stranger", "LAPTOP", &["HOME", "OTHER"]), guest);
    // Accounts are never guests.
    for (domain, user) in [("", "alice"), ("OTHER", "alice"), ("", "passwordless")] {
        assert_eq!(attempt(domain, user, "LAPTOP", &["*"]), Err(Refusal::WrongPassword), "{user}");
    }
}

#[test]
fn a_guest_needs_no_response() {
    let attempt = |user: &str| {
        let guests = AcceptorConfig { guest_for_unknown: true, ..config() };
        let mut forger = Forger { acceptor: Acceptor::new(guests), ..Forger::new() };
        let Step::Continue(_) = forger.acceptor.step(&forger.negotiate, &Table, NOW) else {
            panic!("no challenge")
        };
        let (message, _) = forger.message("", &[]);
        let message = Authenticate {
            user: user.to_owned(),
            domain: String::new(),
            lm_response: vec![0],
            nt_response: Vec::new(),
            ..message
        };
        forger.send(&message).map(|logon| logon.identity.kind)
    };
    assert_eq!(attempt("stranger"), Ok(IdentityKind::Guest));
    assert_eq!(attempt("alice"), Err(Refusal::NotNtlmV2));
}

#[test]
fn a_declared_mic_is_required_and_checked() {
    let promise = |forger: &Forger| {
        let mut blob = forger.blob();
        blob.pairs.set(AvId::FLAGS, AvFlags::MIC_PRESENT.0.to_le_bytes().to_vec());
        blob.encode()
    };
    let mut forger = Forger::new();
    let (message, _) = forger.message("right", &promise(&forger));
    assert_eq!(forger.send(&message).err(), Some(Refusal::BadMic), "left out");

    let mut forger = Forger::new();
    let (mut message, _) = forger.message("right", &promise(&forger));
    message.mic = Some([0; 16]);
    assert_eq!(forger.send(&message).err(), Some(Refusal::BadMic), "zeros");

    let sent_with_mic = |tamper: fn(&mut Vec<u8>)| {
        let mut forger = Forger::new();
        let (mut message, key) = forger.message("right", &promise(&forger));
        message.mic = Some([0; 16]);
        let mut bytes = message.encode();
        let mic = compute::mic(&key, &forger.negotiate, &forger.challenge_bytes, &bytes);
        bytes[MIC_OFFSET..MIC_OFFSET + 16].copy_from_slice(&mic);
        tamper(&mut bytes);
        forger.send_bytes(&bytes).map(|logon| logon.identity.user)
    };
    assert_eq!(sent_with_mic(|_| ()), Ok("Alice".to_owned()));
    assert_eq!(sent_with_mic(|bytes| bytes[60] ^= 0x10), Err(Refusal::BadMic), "a flag taken away");
}

#[test]
fn a_changed_challenge_fails_the_mic() {
    let mut acceptor = Acceptor::new(config());
    let mut initiator = Initiator::new(alice("right"), "server")
        .with_options(InitiatorOptions { raw_ntlmssp: true, ..InitiatorOptions::default() });
    let Ok(ClientStep::Token(negotiate)) = initiator.step(None) else { panic!("no token") };
    let Step::Continue(mut challenge) = acceptor.step(&negotiate, &Table, NOW) else {
        panic!("no challenge")
    };
    challenge[20] ^= 0x20;
    let Ok(ClientStep::Token(authenticate)) = initiator.step(Some(&challenge)) else { panic!("no token") };
    let Step::Refused { reason, .. } = acceptor.step(&authenticate, &Table, NOW) else { panic!("accepted") };
    assert_eq!(reason, Refusal::BadMic);
}

#[test]
fn old_responses_are_refused() {
    let responses = [("NTLMv1", vec![7; 24], vec![7; 24]), ("LM or LMv2 only", vec![7; 24], vec![])];
    for (what, lm_response, nt_response) in responses {
        let mut forger = Forger::new();
        let (message, _) = forger.message("right", &[]);
        let message = Authenticate { lm_response, nt_response, ..message };
        assert_eq!(forger.send(&message).err(), Some(Refusal::NotNtlmV2), "{what}");
    }
    let mut forger = Forger::new();
    let message =
        Authenticate { flags: forger.challenge.flags, lm_response: vec![7; 24], ..Authenticate::default() };
    assert_eq!(forger.send(&message).err(), Some(Refusal::NotNtlmV2), "no user, but an LM response");
}

#[test]
fn the_clients_clock_is_ignored() {
    let send = |change: fn(&mut ClientChallenge), later: u64| {
        let mut forger = Forger::new();
        let mut blob = forger.blob();
        change(&mut blob);
        let (message, _) = forger.message("right", &blob.encode());
        let sent = forger.send_at(&message.encode(), FileTime(NOW.0 + later));
        sent.map(|logon| (logon.identity.user, logon.client_time))
    };
    let accepted = |time| Ok(("Alice".to_owned(), Some(FileTime(time))));
    assert_eq!(send(|_| (), 0), accepted(NOW.0));
    assert_eq!(send(|_| (), 100 * HOUR), accepted(NOW.0));
    let own_clock = |blob: &mut ClientChallenge| {
        blob.timestamp.0 -= 1000 * HOUR;
        blob.pairs = AvPairs::default();
    };
    assert_eq!(send(own_clock, 0), accepted(NOW.0 - 1000 * HOUR), "and without target information");
    assert_eq!(send(|blob| blob.timestamp.0 += 1000 * HOUR, 0), accepted(NOW.0 + 1000 * HOUR));
    assert_eq!(send(|blob| blob.timestamp = FileTime::NONE, 0), accepted(0), "no time at all");
    let other_echo =
        |blob: &mut ClientChallenge| blob.pairs.set(AvId::TIMESTAMP, (NOW.0 - 1).to_le_bytes().to_vec());
    assert_eq!(send(other_echo, 0), accepted(NOW.0), "its own time in place of the challenge's");
}

/// MS-NLMP 2.2.2.1: zeros, or no value, mean that there is no channel. A response with a channel was made for another
/// connection.
#[test]
fn a_response_is_not_bound_to_another_channel() {
    for (bindings, outcome) in [
        (None, None),
        (Some([0; 16]), None),
        (Some([7; 16]), Some(Refusal::BadBindings)),
        (Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), Some(Refusal::BadBindings)),
    ] {
        let mut forger = Forger::new();
        let mut blob = forger.blob();
        if let Some(bindings) = bindings {
            blob.pairs.set(AvId::CHANNEL_BINDINGS, bindings.to_vec());
        }
        let (message, _) = forger.message("right", &blob.encode());
        assert_eq!(forger.send(&message).err(), outcome, "{bindings:?}");
        let mut forger = Forger::new();
        let (message, _) = forger.message("wrong", &blob.encode());
        assert_eq!(forger.send(&message).err(), Some(Refusal::WrongPassword), "that tells nothing");
    }
}

#[test]
fn a_response_is_valid_for_one_challenge_only() {
    let forger = Forger::new();
    let (message, _) = forger.message("right", &forger.blob().encode());
    let mut other = Forger::new();
    assert_eq!(other.send(&message).err(), Some(Refusal::WrongPassword));
    assert_eq!(other.send(&message).err(), Some(Refusal::OutOfOrder), "one attempt for each exchange");
}

#[test]
fn a_key_exchange_needs_its_key() {
    let mut forger = Forger::asking(NegotiateFlags::UNICODE | NegotiateFlags::KEY_EXCHANGE);
    let (mut message, _) = forger.message("right", &forger.blob().encode());
    message.encrypted_session_key = vec![0; 15];
    assert_eq!(forger.send(&message).err(), Some(Refusal::Malformed));
}

#[test]
fn a_wrong_mechanism_list_mic_is_refused_and_the_servers_is_right() {
    for tampered in [false, true] {
        let mut acceptor = Acceptor::new(config());
        let mut initiator = Initiator::new(alice("right"), "server");
        let Ok(ClientStep::Token(offer)) = initiator.step(None) else { panic!("no token") };
        let Step::Continue(challenge) = acceptor.step(&offer, &Table, NOW) else { panic!("no challenge") };
        let Ok(ClientStep::Token(token)) = initiator.step(Some(&challenge)) else { panic!("no token") };
        let Ok(Token::Response(mut response)) = Token::decode(&token) else { panic!("no response") };
        if tampered {
            response.mechanism_list_mic.as_mut().unwrap()[5] ^= 1;
        }
        let step = acceptor.step(&response.encode(), &Table, NOW);
        if tampered {
            assert!(matches!(step, Step::Refused { reason: Refusal::BadMic, token: Some(_) }));
            continue;
        }
        let Step::Done(logon) = step else { panic!("refused") };
        let Ok(Token::Response(last)) = Token::decode(&logon.token) else { panic!("no response") };
        assert_eq!(last.state, Some(NegState::AcceptCompleted));
        let Ok(Token::Init(init)) = Token::decode(&offer) else { panic!("no offer") };
        let flags = NegotiateFlags::EXTENDED_SESSION_SECURITY
            | NegotiateFlags::KEY_128
            | NegotiateFlags::KEY_EXCHANGE;
        let mut server = NtlmSeal::new(flags, &logon.session_key.first_16(), Sender::Server).unwrap();
        assert!(server.verify(&init.mechanism_list, &last.mechanism_list_mic.clone().unwrap()));
        let forged = NegTokenResp { mechanism_list_mic: Some(vec![1; 16]), ..last };
        assert!(matches!(initiator.step(Some(&forged.encode())).err(), Some(InitiatorError::BadMic)));
    }
}

#[test]
fn the_client_reports_a_reject() {
    let mut initiator = Initiator::new(alice("right"), "server");
    initiator.step(None).unwrap();
    let reject = NegTokenResp { state: Some(NegState::Reject), ..NegTokenResp::default() }.encode();
    assert!(matches!(initiator.step(Some(&reject)).err(), Some(InitiatorError::Rejected)));
    assert!(matches!(initiator.step(Some(&reject)).err(), Some(InitiatorError::OutOfOrder)));
}

/// The config of a member of a domain.
fn member() -> AcceptorConfig {
    AcceptorConfig {
        domain: "CORP".into(),
        dns_name: "server.corp.test".into(),
        dns_domain: "corp.test".into(),
        pass_through: true,
        ..config()
    }
}

fn carol() -> DomainUser {
    let sid = |rid| Sid::of_domain([1, 2, 3], rid);
    DomainUser {
        name: "carol".into(),
        domain: "CORP".into(),
        dns_domain: String::new(),
        principal_name: None,
        full_name: String::new(),
        sid: sid(1104),
        primary_group: sid(513),
        groups: vec![sid(513)],
    }
}

/// The session base key for the right password, as a controller computes it.
fn base_key(request: &PassThrough) -> Option<[u8; 16]> {
    let (proof, blob) = request.nt_response.split_first_chunk::<16>()?;
    let key = compute::response_key(&compute::nt_hash("secret"), &request.user, &request.domain);
    let right = compute::proof(&key, &request.challenge, blob);
    (right == *proof).then(|| compute::session_base_key(&key, proof))
}

fn logon_of_member(
    credentials: Credentials,
    options: InitiatorOptions,
    config: AcceptorConfig,
) -> Result<(Logon, bool), Refusal> {
    let mut acceptor = Acceptor::new(config);
    let mut initiator = Initiator::new(credentials, "server").with_options(options);
    let (mut answer, mut passed) = (None::<Vec<u8>>, false);
    loop {
        let Ok(ClientStep::Token(token)) = initiator.step(answer.as_deref()) else {
            panic!("the client stops")
        };
        let step = match acceptor.step(&token, &Table, NOW) {
            Step::PassThrough(request) => {
                passed = true;
                assert!(acceptor.awaits_decision(&request.challenge));
                assert!(!acceptor.awaits_decision(&request.challenge.map(|byte| !byte)));
                let decided = base_key(&request).ok_or(Refusal::WrongPassword);
                let decided = decided.map(|key| Decided { session_base_key: key.into(), user: carol() });
                acceptor.passed_through(if request.user == "nobody" {
                    Err(Refusal::NoSuchUser)
                } else {
                    decided
                })
            }
            step => step,
        };
        match step {
            Step::Continue(token) => answer = Some(token),
            Step::Done(logon) => {
                let Ok(ClientStep::Done { session_key }) = initiator.step(Some(&logon.token)) else {
                    panic!("the client does not accept the answer")
                };
                if logon.identity.kind == IdentityKind::User {
                    assert_eq!(*session_key, logon.session_key.full());
                }
                return Ok((*logon, passed));
            }
            Step::Refused { reason, .. } => return Err(reason),
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn users_of_a_domain_are_passed_to_a_controller_with_every_kind_of_client() {
    for options in habits() {
        let shown = format!("{options:?}");
        let of = |user: &str, domain: &str, password: &str| {
            let credentials = Credentials::password(user, domain, password);
            logon_of_member(credentials, options.clone(), member())
        };
        for (user, domain) in [
            ("carol", "CORP"),
            ("carol", "corp.test"),
            ("carol@corp.test", ""),
            ("carol", ""),
            ("carol", "EU"),
        ] {
            let (logon, passed) = of(user, domain, "secret").expect(&shown);
            assert!(passed, "{shown}");
            assert_eq!(logon.identity.user, "CORP\\carol");
            assert_eq!((logon.identity.kind, logon.identity.domain.as_str()), (IdentityKind::User, "CORP"));
            assert_eq!(logon.identity.domain_user.as_deref(), Some(&carol()));
            assert_eq!(of(user, domain, "wrong").err(), Some(Refusal::WrongPassword), "{shown}");
        }
    }
}

#[test]
fn local_accounts_of_a_member_are_not_passed_on() {
    let of = |user: &str, domain: &str, password: &str| {
        logon_of_member(Credentials::password(user, domain, password), InitiatorOptions::default(), member())
    };
    for domain in ["SERVER", "server.corp.test", ".", "WORKGROUP", "", "EU"] {
        let (logon, passed) = of("alice", domain, "right").unwrap();
        assert_eq!((logon.identity.user.as_str(), passed), ("Alice", false), "{domain}");
        assert_eq!(logon.identity.domain_user, None);
    }
    // The user of the domain has the same name, and another password.
    for (user, domain) in [("alice", "CORP"), ("alice", "corp.test"), ("alice@corp.test", "")] {
        assert_eq!(of(user, domain, "right").err(), Some(Refusal::WrongPassword), "{domain}");
    }
    for domain in ["SERVER", ".", "WORKGROUP"] {
        assert_eq!(of("carol", domain, "secret").err(), Some(Refusal::NoSuchUser), "{domain}");
    }
}

#[test]
fn attempts_at_accounts_of_a_domain_are_counted_for_these() {
    let of = |user: &str, domain: &str| {
        let claim = Claim { user: user.into(), domain: domain.into(), workstation: "DESK".into() };
        member().domain_account(&claim, &Table)
    };
    for (user, domain) in [("carol", "CORP"), ("carol", "corp.test"), ("carol@corp.test", ""), ("carol", "")]
    {
        assert_eq!(of(user, domain).as_deref(), Some("CORP\\carol"), "{domain}");
    }
    assert_eq!(of("alice", "CORP").as_deref(), Some("CORP\\alice"));
    for domain in ["", "SERVER", ".", "DESK", "EU"] {
        assert_eq!(of("alice", domain), None, "{domain}");
    }
}

#[test]
fn unknown_users_of_a_domain_become_guests_where_unknown_users_do() {
    let of = |domain: &str, config: AcceptorConfig| {
        logon_of_member(Credentials::password("nobody", domain, "x"), InitiatorOptions::default(), config)
            .map(|(logon, _)| logon.identity.kind)
    };
    let guests = || AcceptorConfig { guest_for_unknown: true, ..member() };
    assert_eq!(of("", guests()), Ok(IdentityKind::Guest));
    assert_eq!(of("CORP", guests()), Err(Refusal::NotAGuest));
    assert_eq!(of("", member()), Err(Refusal::NoSuchUser));
    let without_ntlm = AcceptorConfig { pass_through: false, ..member() };
    assert_eq!(of("CORP", without_ntlm), Err(Refusal::DomainNtlm));
}

proptest! {
    #[test]
    fn arbitrary_tokens_never_panic_the_server(
        leg in 0_u8..2, raw: bool, cut: prop::sample::Index,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let options = InitiatorOptions { raw_ntlmssp: raw, ..InitiatorOptions::default() };
        let mut initiator = Initiator::new(alice("wrong"), "server").with_options(options);
        let mut acceptor = Acceptor::new(config());
        let mut answer = None;
        for number in 0..2 {
            let Ok(ClientStep::Token(mut token)) = initiator.step(answer.as_deref()) else { break };
            if number == leg {
                for (at, value) in &changes {
                    let at = at.index(token.len());
                    token[at] = *value;
                }
                token.truncate(cut.index(token.len()) + 1);
            }
            match acceptor.step(&token, &Table, NOW) {
                Step::Continue(token) | Step::Again { token, .. } => answer = Some(token),
                Step::Done(_) => prop_assert!(false, "a wrong password is accepted"),
                Step::Refused { .. } | Step::PassThrough(_) => break,
            }
        }
    }

    #[test]
    fn arbitrary_tokens_never_panic_the_client(
        leg in 0_u8..2, raw: bool,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let options = InitiatorOptions { raw_ntlmssp: raw, ..InitiatorOptions::default() };
        let mut initiator = Initiator::new(alice("right"), "server").with_options(options);
        let mut acceptor = Acceptor::new(config());
        let mut answer: Option<Vec<u8>> = None;
        for number in 0..2 {
            let Ok(ClientStep::Token(token)) = initiator.step(answer.as_deref()) else { break };
            let mut next = match acceptor.step(&token, &Table, NOW) {
                Step::Continue(token) | Step::Again { token, .. } => token,
                Step::Done(logon) => logon.token,
                Step::Refused { .. } | Step::PassThrough(_) => break,
            };
            if number == leg && !next.is_empty() {
                for (at, value) in &changes {
                    let at = at.index(next.len());
                    next[at] = *value;
                }
            }
            answer = Some(next);
        }
        let _ = initiator.step(answer.as_deref());
    }
}
