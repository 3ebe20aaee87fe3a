//! Logons with tickets: the ones that are accepted, and everything that must not be.

mod altered;
mod negotiation;
mod pac;
mod refused;
mod rpc;
mod web;

use std::sync::Arc;

use auth::kerberos::testing::{Counting, Issued, RequestSpec, TicketSpec, keytab};
use auth::kerberos::{
    Enctype, KerberosOptions, KerberosRefusal, KerberosService, Key, Keytab, UsedAuthenticators,
};
use auth::{Acceptor, AcceptorConfig, AccountRecord, Accounts, Logon, Refusal, Step};
use wire::FileTime;

const NOW: FileTime = FileTime::from_unix(1_795_990_385, 5_000_000);
const REALM: &str = "CORP.TEST";
const VERSION: u32 = 3;
const CIFS: [&str; 2] = ["cifs", "files.corp.test"];

struct Nobody;

impl Accounts for Nobody {
    fn nt_hash(&self, _domain: &str, _user: &str) -> Option<AccountRecord> {
        None
    }
}

fn service_key(enctype: Enctype, number: u8) -> Key {
    Key::new(enctype, &vec![number; enctype.key_len()]).unwrap()
}

/// A service whose keytab has the keys of the machine's account in two versions, under the names that `net ads` gives.
fn service_with(options: KerberosOptions) -> Arc<KerberosService> {
    let mut bytes = vec![5, 2];
    for enctype in Enctype::ALL {
        for (version, number) in [(VERSION - 1, 0x22), (VERSION, 0x33)] {
            let key = service_key(enctype, number);
            let names: [&[&str]; 3] = [&["FILES$"], &["host", "files.corp.test"], &["host", "FILES"]];
            let entries = names.map(|name| (name, REALM, version, &key));
            bytes.extend_from_slice(&keytab(&entries)[2..]);
        }
    }
    Arc::new(KerberosService::new(Keytab::parse(&bytes).unwrap(), options, UsedAuthenticators::default()))
}

fn service() -> Arc<KerberosService> {
    service_with(KerberosOptions { rc4: true, ..KerberosOptions::default() })
}

fn acceptor(service: &Arc<KerberosService>) -> Acceptor {
    let config = AcceptorConfig { kerberos: Some(Arc::clone(service)), ..AcceptorConfig::default() };
    Acceptor::with_random(config, Box::new(Counting(100)))
}

/// The ticket of carol for this host.
fn ticket(enctype: Enctype) -> TicketSpec {
    TicketSpec::new(&CIFS, REALM, service_key(enctype, 0x33), VERSION, NOW)
}

fn accept_at(service: &Arc<KerberosService>, token: &[u8], now: FileTime) -> Result<Logon, Refusal> {
    match acceptor(service).step(token, &Nobody, now) {
        Step::Done(logon) => Ok(*logon),
        Step::Refused { reason, .. } | Step::Again { reason, .. } => Err(reason),
        step => panic!("{step:?}"),
    }
}

fn accept(service: &Arc<KerberosService>, token: &[u8]) -> Result<Logon, Refusal> {
    accept_at(service, token, NOW)
}

/// Presents a ticket, and returns the reason of the refusal.
fn refusal(spec: &TicketSpec) -> KerberosRefusal {
    let issued = spec.issue();
    refusal_of(&issued, &RequestSpec::new(&issued, NOW))
}

fn refusal_of(issued: &Issued, request: &RequestSpec) -> KerberosRefusal {
    match accept(&service(), &request.token(issued)) {
        Err(Refusal::Kerberos(reason)) => reason,
        other => panic!("{other:?}"),
    }
}
