//! Tickets and keytabs, from the outermost bytes to those that only a controller or a client with a ticket can choose.

use auth::kerberos::testing::{PacSpec, RequestSpec, TicketSpec, keytab};
use auth::kerberos::{Enctype, KerberosOptions, KerberosService, Key, Keytab, UsedAuthenticators};
use auth::{Acceptor, AcceptorConfig, Step};

use crate::input::Input;
use crate::logon::{Fixed, NOW, Table, config};

const REALM: &str = "CORP.TEST";
const SERVICE: [&str; 2] = ["cifs", "files.corp.test"];

/// A byte that names the part, then the part: the token, a keytab, or what is in the encrypted parts of a token.
pub fn tickets(data: &[u8]) {
    let mut input = Input(data);
    let part = input.byte();
    let rest = input.0.to_vec();
    let spec = spec();
    match part % 5 {
        0 => accept(&rest),
        1 => {
            if let Ok(keytab) = Keytab::parse(&rest) {
                keytab.entries().iter().for_each(|it| assert!(it.principal().contains('@')));
            }
        }
        2 => {
            let pac = PacSpec { logon_info: Some(rest), ..PacSpec::carol() };
            present(&TicketSpec { pac: Some(pac), ..spec }, None);
        }
        3 => present(&TicketSpec { part: Some(rest), ..spec }, None),
        _ => present(&spec, Some(rest)),
    }
}

fn spec() -> TicketSpec {
    TicketSpec::new(&SERVICE, REALM, key(), 1, NOW)
}

fn key() -> Key {
    let enctype = Enctype::Aes128Sha256;
    Key::new(enctype, &[7; 16]).expect("the length of its keys")
}

fn present(spec: &TicketSpec, authenticator: Option<Vec<u8>>) {
    let issued = spec.issue();
    let request = RequestSpec { authenticator, ..RequestSpec::new(&issued, NOW) };
    accept(&request.token(&issued));
}

fn accept(token: &[u8]) {
    let key = key();
    let keytab = Keytab::parse(&keytab(&[(&SERVICE, REALM, 1, &key)])).expect("a keytab");
    let service = KerberosService::new(keytab, KerberosOptions::default(), UsedAuthenticators::default());
    let config = AcceptorConfig { kerberos: Some(service.into()), ..config() };
    let mut acceptor = Acceptor::with_random(config, Box::new(Fixed));
    if let Step::Done(logon) = acceptor.step(token, &Table, NOW)
        && let Some(user) = &logon.identity.domain_user
    {
        assert_eq!(logon.identity.user, user.qualified_name());
        assert!(user.groups.contains(&user.primary_group));
        assert!(!user.name.is_empty() && !user.name.contains('\\'));
        assert!(logon.expires.is_some_and(|end| end >= NOW));
    }
}

/// The seeds: a whole token, a keytab, and each encrypted part.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let spec = spec();
    let issued = spec.issue();
    let request = RequestSpec::new(&issued, NOW);
    let key = key();
    let with = |part: u8, bytes: Vec<u8>| [vec![part], bytes].concat();
    vec![
        ("token", with(0, request.token(&issued))),
        ("keytab", with(1, keytab(&[(&SERVICE, REALM, 1, &key), (&["FILES$"], REALM, 2, &key)]))),
        ("logon-information", with(2, PacSpec::carol().logon_info())),
        ("ticket", with(3, spec.part())),
        ("authenticator", with(4, request.authenticator(&issued))),
    ]
}
