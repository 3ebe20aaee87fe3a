//! Security tokens, and logons made of them.

use auth::ntlm::av_pair::ClientChallenge;
use auth::ntlm::{Authenticate, AvPairs, Challenge, Negotiate, compute};
use auth::spnego::Token;
use auth::{
    Acceptor, AcceptorConfig, AccountRecord, Accounts, Credentials, IdentityKind, Initiator,
    InitiatorOptions, Random, RandomFailed, Step,
};
use wire::FileTime;

use crate::input::Input;

/// One token of SPNEGO or NTLM.
pub fn tokens(data: &[u8]) {
    match Token::decode(data) {
        Ok(Token::Init(init)) => {
            let mut again = init.clone();
            // The list has its original bytes, not those of the encoded token.
            if let Ok(Token::Init(read)) = Token::decode(&init.encode()) {
                again.mechanism_list = read.mechanism_list.clone();
                assert_eq!(read, again);
            }
        }
        Ok(Token::Response(response)) => {
            assert_eq!(Token::decode(&response.encode()), Ok(Token::Response(response)));
        }
        Err(_) => {}
    }
    if let Ok(negotiate) = Negotiate::decode(data) {
        assert_eq!(Negotiate::decode(&negotiate.encode()), Ok(negotiate));
    }
    if let Ok(challenge) = Challenge::decode(data) {
        let _ = Challenge::decode(&challenge.encode());
    }
    if let Ok(authenticate) = Authenticate::decode(data) {
        let _ = authenticate.is_anonymous();
        let _ = Authenticate::decode(&authenticate.encode());
    }
    if let Ok(pairs) = AvPairs::decode(data) {
        assert_eq!(AvPairs::decode(&pairs.encode()), Ok(pairs));
    }
    if let Ok(challenge) = ClientChallenge::decode(data) {
        assert_eq!(ClientChallenge::decode(&challenge.encode()).as_ref(), Ok(&challenge));
    }
}

/// A logon: a byte of settings, then a client's tokens. The same tokens are a server's for our client.
pub fn logon(data: &[u8]) {
    let mut input = Input(data);
    let settings = input.byte();
    let bit = |bit: u8| settings >> bit & 1 == 1;
    let config = AcceptorConfig { allow_anonymous: bit(0), guest_for_unknown: bit(1), ..config() };
    let mut acceptor = Acceptor::with_random(config, Box::new(Fixed));
    let options = InitiatorOptions {
        raw_ntlmssp: bit(2),
        offer_kerberos_first: bit(3),
        optimistic_token: !bit(4),
        now: NOW,
        ..InitiatorOptions::default()
    };
    let mut initiator = Initiator::new(Credentials::password("alice", "DOM", PASSWORD), "server")
        .with_options(options)
        .with_random(Box::new(Fixed));
    let mut client_goes_on = initiator.step(None).is_ok();
    let mut ended = false;
    for token in input.pieces().take(8) {
        match acceptor.step(token, &Table, NOW) {
            Step::Continue(_) | Step::Again { .. } => assert!(!ended, "a logon goes on after its end"),
            Step::Done(logon) => {
                assert!(!ended, "a logon ends twice");
                let kind = logon.identity.kind;
                assert!(kind != IdentityKind::Anonymous || bit(0));
                assert!(kind != IdentityKind::Guest || bit(1));
                // The challenge is the same for all cases, so that an answer with the right password can be
                // a seed; a wrong one cannot be an answer by chance.
                assert!(kind != IdentityKind::User || logon.identity.user == "Alice");
                ended = true;
            }
            Step::Refused { .. } | Step::PassThrough(_) => ended = true,
        }
        if client_goes_on {
            client_goes_on = initiator.step(Some(token)).is_ok();
        }
    }
}

pub(crate) const NOW: FileTime = FileTime::from_unix(1_700_000_000, 0);
pub(crate) const PASSWORD: &str = "right";

pub(crate) fn config() -> AcceptorConfig {
    AcceptorConfig {
        netbios_name: "SERVER".into(),
        dns_name: "server.example".into(),
        domain: "WORKGROUP".into(),
        ..AcceptorConfig::default()
    }
}

/// A fixed source of bytes, so that a case is reproducible.
pub(crate) struct Fixed;

impl Random for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        out.fill(0x5a);
        Ok(())
    }
}

pub(crate) struct Table;

impl Accounts for Table {
    fn nt_hash(&self, _domain: &str, user: &str) -> Option<AccountRecord> {
        let name = ["Alice", "disabled"].into_iter().find(|name| name.eq_ignore_ascii_case(user))?;
        Some(AccountRecord {
            name: name.to_owned(),
            nt_hash: Some(compute::nt_hash(PASSWORD)),
            disabled: name == "disabled",
            locked_out: false,
            outdated: None,
        })
    }
}
