//! `--acceptors`: the time that our acceptor and MIT's take for one AP-REQ with the same ticket of a real domain.
//!
//! Both get the same tokens, whose client is MIT's library, and the same keytab. Each accepts a token from the SPNEGO
//! message (ours) or the bare token (MIT's) to the AP-REP: it decrypts the ticket and the authenticator, verifies the
//! PAC's signature of the server, remembers the authenticator, and makes the answer.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use auth::kerberos::{KerberosOptions, KerberosService, Keytab, UsedAuthenticators};
use auth::{Acceptor, AcceptorConfig, AccountRecord, Accounts, Step};
use gss::{Credential, Initiator, Step as ClientStep};
use testkit::Domain;
use wire::FileTime;

use crate::{progress, say};

/// The variable that has the name of the host in the inner program.
const HOST: &str = "SHAREWARD_BENCH_ACCEPTOR";

/// Tokens for each acceptor.
const TOKENS: usize = 3000;

/// Measures both, in the domain.
pub(crate) fn main() -> ExitCode {
    match std::env::var(HOST) {
        Ok(host) => inside(&host).map_or_else(
            |reason| {
                say(&reason);
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        ),
        Err(_) => outside().unwrap_or_else(|| {
            say("there can be no domain here");
            ExitCode::FAILURE
        }),
    }
}

/// Makes the domain, and runs this program on a host with a keytab and tickets for it.
fn outside() -> Option<ExitCode> {
    progress("making an Active Directory domain");
    let domain = Domain::with(&["python3"])?;
    let host = domain.member();
    let tickets = host.log_on("carol");
    host.run_as(&tickets, &["kvno", "-q", &format!("cifs/{}", host.full_name())]).success();
    let program = std::env::current_exe().ok()?;
    let mut inner = host.command_as(&tickets, &program.to_string_lossy(), &["--acceptors"]);
    let status = inner.env(HOST, host.full_name()).status().ok()?;
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn inside(host: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let told = |name: &str, micros: f64| say(&format!("{name:<48} {micros:8.1} us for each AP-REQ"));
    let tokens = tokens(host)?;
    told("shareward, with its replay cache", ours(&tokens)?);
    for (name, cache) in
        [("MIT, with its replay cache", None), ("MIT, without a replay cache", Some("none:"))]
    {
        // Each acceptor that has a replay cache gets tokens that it has not seen.
        let file = directory.path().join("tokens");
        fs::write(&file, framed(&self::tokens(host)?)).map_err(|error| error.to_string())?;
        told(name, mit(&file, cache)?);
    }
    Ok(())
}

/// Tokens with one ticket and different authenticators.
fn tokens(host: &str) -> Result<Vec<Vec<u8>>, String> {
    let token = || {
        let credential = Credential::of_user().map_err(|error| error.to_string())?;
        let mut initiator = Initiator::new(credential, "cifs", host).map_err(|error| error.to_string())?;
        match initiator.step(None).map_err(|error| error.to_string())? {
            ClientStep::Token(token) => Ok(token),
            ClientStep::Done(_) => Err(String::from("the client did not wait for the server")),
        }
    };
    (0..TOKENS).map(|_| token()).collect()
}

fn framed(tokens: &[Vec<u8>]) -> Vec<u8> {
    let framed = |token: &Vec<u8>| {
        let length = u32::try_from(token.len()).unwrap_or_default().to_be_bytes();
        [&length[..], token].concat()
    };
    tokens.iter().flat_map(framed).collect()
}

/// Microseconds of our acceptor for each token.
fn ours(tokens: &[Vec<u8>]) -> Result<f64, String> {
    let keytab = fs::read("/etc/krb5.keytab").map_err(|error| format!("/etc/krb5.keytab: {error}"))?;
    let keytab = Keytab::parse(&keytab).map_err(|error| error.to_string())?;
    let service = KerberosService::new(keytab, KerberosOptions::default(), UsedAuthenticators::default());
    let config = Arc::new(AcceptorConfig {
        netbios_name: String::from("FILES"),
        domain: String::from("CORP"),
        kerberos: Some(Arc::new(service)),
        ..AcceptorConfig::default()
    });
    let messages: Vec<Vec<u8>> = tokens.iter().map(|token| spnego(token)).collect();
    let (warm_up, measured) = messages.split_at(messages.len() / 10);
    warm_up.iter().try_for_each(|message| accept(&config, message))?;
    let began = Instant::now();
    measured.iter().try_for_each(|message| accept(&config, message))?;
    Ok(began.elapsed().as_secs_f64() / measured.len() as f64 * 1e6)
}

fn accept(config: &Arc<AcceptorConfig>, message: &[u8]) -> Result<(), String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
    let now = FileTime::from_unix(seconds, now.subsec_nanos());
    match Acceptor::new(Arc::clone(config)).step(message, &NoAccounts, now) {
        Step::Done(_) => Ok(()),
        other => Err(format!("our acceptor did not accept a token: {other:?}")),
    }
}

/// A users file without accounts.
struct NoAccounts;

impl Accounts for NoAccounts {
    fn nt_hash(&self, _: &str, _: &str) -> Option<AccountRecord> {
        None
    }
}

/// A NegTokenInit that offers only Kerberos and has its token (RFC 4178 4.2.1).
fn spnego(token: &[u8]) -> Vec<u8> {
    const KERBEROS: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
    const SPNEGO: [u8; 8] = [0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
    let mechanisms = tagged(0xa0, &tagged(0x30, &KERBEROS));
    let token = tagged(0xa2, &tagged(0x04, token));
    let inner = tagged(0xa0, &tagged(0x30, &[mechanisms, token].concat()));
    tagged(0x60, &[&SPNEGO[..], &inner].concat())
}

/// DER: tag, length and content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., b2, b1, b0] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &[b0],
        0x80..0x100 => &[0x81, b0],
        0x100..0x1_0000 => &[0x82, b1, b0],
        _ => &[0x83, b2, b1, b0],
    };
    [&[tag], length, content].concat()
}

/// Microseconds of MIT's acceptor for each token of a file.
fn mit(file: &Path, replay_cache: Option<&str>) -> Result<f64, String> {
    let script = testkit::repository().join("bench/src/acceptors.py");
    let mut python = Command::new(testkit::peer::PYTHON);
    python.arg("-B").arg(script).arg(file);
    if let Some(cache) = replay_cache {
        python.env("KRB5RCACHENAME", cache);
    }
    let output = python.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
}
