//! Both servers as members of an Active Directory domain, for the cases with Kerberos.
//!
//! The domain's hosts are network namespaces, and the load generator is a client on one of them: it is started a second
//! time there, with the user's tickets, and told where the servers are. Both servers are one hop away from it.

use std::process::{Command, ExitCode};
use std::sync::Arc;

use testkit::{Domain, FIRST_ID, Host, RunAs, SambaMember, Setup, Shareward};

use crate::progress;

/// The places of both servers, ours first, as the outer program passes them on.
#[derive(Clone, Debug)]
pub(crate) struct Members(pub(crate) [Place; 2]);

/// The place of a server.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The full name of its host, which tickets are for.
    pub(crate) host: String,
    /// The address of its host.
    pub(crate) address: std::net::Ipv4Addr,
    /// The id of its first process.
    pub(crate) pid: u32,
    /// A path in the command lines of its processes.
    pub(crate) mark: Arc<str>,
}

/// The variable that has the places of the servers in the inner program.
const PLACES: &str = "SHAREWARD_BENCH_MEMBERS";

/// The user of the load.
const USER: &str = "carol";

impl Members {
    /// The places that the outer program passed on; `None` in the outer program.
    pub(crate) fn given() -> Option<Self> {
        let text = std::env::var(PLACES).ok()?;
        let places: Vec<Place> = text.split(';').filter_map(Place::parse).collect();
        Some(Self(places.try_into().ok()?))
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(',');
        Some(Self {
            host: words.next()?.to_owned(),
            address: words.next()?.parse().ok()?,
            pid: words.next()?.parse().ok()?,
            mark: Arc::from(words.next()?),
        })
    }
}

/// Starts the domain and both servers, and runs this program with the same arguments on a host of the domain.
///
/// Returns `None` if there can be no domain here, after a message with the reason.
pub(crate) fn run_inside(arguments: &[String]) -> Option<ExitCode> {
    progress("making an Active Directory domain");
    let domain = Domain::with(&[])?;
    let (ours, samba) = (domain.member(), SambaMember::start(domain.samba_member(), SAMBA_SHARE));
    let table = format!(
        "\n[domain]\nrealm = \"CORP.TEST\"\nids = \"rid\"\n\
         id_ranges = [{{ domain = \"CORP\", first = {FIRST_ID}, last = 999999 }}]\n"
    );
    let setup =
        Setup { run_as: RunAs::Root, host: Some(Arc::clone(&ours)), extra: table, ..Setup::default() };
    let shareward = Shareward::start(&setup);
    let client = domain.member();
    client.knows(samba.host());
    client.knows(&ours);
    let tickets = client.log_on(USER);
    for host in [&ours, samba.host()] {
        client.run_as(&tickets, &["kvno", "-q", &format!("cifs/{}", host.full_name())]).success();
    }
    let place =
        |host: &Host, pid: u32, mark: &str| format!("{},{},{pid},{mark}", host.full_name(), host.address());
    let config = shareward.config();
    let places = [
        place(&ours, shareward.pid(), &config.to_string_lossy()),
        place(samba.host(), samba.pid(), SambaMember::CONFIG),
    ];
    let program = std::env::current_exe().ok()?;
    let mut inner: Command = client.command_as(&tickets, &program.to_string_lossy(), &[]);
    inner.args(arguments).env(PLACES, places.join(";"));
    let status = inner.status().ok()?;
    Some(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The share of Samba's member server, for a server that has none does not answer.
const SAMBA_SHARE: &str = "[bench]\npath = /var/lib\nlog level = 0\n";
