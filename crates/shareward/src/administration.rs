//! Access from a command to the servers that it asks.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use client::{
    Administration, ControlClient, HereClient, LocalServer, NamedServer, Remote, RemoteClient, ServerWord,
};
use parking_lot::Mutex;
use server::cluster_operator::{Operator, Refused};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::cli;
use crate::credentials::{self, Credentials, Protocol, Wanted};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line};
use crate::setup;

/// The servers that a command line names, and the credentials for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerTarget {
    /// `--socket`: the control socket of a server on this machine.
    pub(crate) socket: Option<PathBuf>,
    /// `--server`: other machines, as `[USER@]NAME[:PORT]` or `@FILE`, servers of other makes on this machine, as `samba:`,
    /// and the nodes of a cluster, as `cluster:`, separated by commas.
    pub(crate) server: Option<String>,
    /// The only one of these servers that is asked, by its name in lists: that of an id such as `b:17`.
    pub(crate) only: Option<String>,
    /// `--login`: the user to log on as, as `[DOMAIN\]USER`.
    pub(crate) login: Option<String>,
    /// `--credentials`: a file with user name and password.
    pub(crate) credentials: Option<PathBuf>,
    /// The password, if the program takes one on its command line; `*` asks for it.
    pub(crate) password: Option<Zeroizing<String>>,
    /// `--kerberos` or `--ntlm`: the only protocol for the logon.
    pub(crate) protocol: Protocol,
}

impl ServerTarget {
    /// Sets the server to the one that an operand names as `\\\\NAME`, instead of `--server`.
    pub(crate) fn named_by(&mut self, operands: &[String]) -> Result<(), Numbered> {
        match operands {
            [] => Ok(()),
            [operand] => {
                let computer = cli::computer(operand)?;
                if self.server.is_some() || self.socket.is_some() {
                    return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
                }
                self.server = Some(computer);
                Ok(())
            }
            _ => Err(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)),
        }
    }
}

impl ServerTarget {
    /// True if paths without a server are paths of this machine.
    pub(crate) fn is_here(&self) -> bool {
        let is_local = |word: &str| LocalName::parse(word).is_some();
        self.server.as_deref().is_none_or(|text| words(text).all(is_local))
    }
}

/// A server to ask.
pub(crate) struct Server {
    /// The server's name on the command line; `None` for this machine's server.
    pub(crate) name: Option<String>,
    /// True for a node of a cluster, whose shares others may own.
    pub(crate) is_node: bool,
    /// The client for its administration.
    pub(crate) administration: Box<dyn Administration>,
}

/// All servers that a command line names.
pub(crate) struct Servers {
    servers: Vec<Server>,
}

impl Servers {
    /// True if more than one server is named; answers then carry the server's name.
    pub(crate) fn are_several(&self) -> bool {
        self.servers.len() > 1
    }

    /// All servers, in the order of the command line.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    /// Asks all servers at the same time. The answers are in the order of the command line.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFn(&dyn Administration) -> Result<T, client::Error>,
    ) -> Vec<(&Server, Result<T, client::Error>)> {
        let asked = self.servers.iter().map(async |server| (server, question(&*server.administration).await));
        futures_util::future::join_all(asked).await
    }
}

/// The servers that the command line names; without `--server`, the one on this machine.
pub(crate) fn all_of(target: &ServerTarget) -> Result<Servers, Failure> {
    let Some(text) = &target.server else {
        if target.login.is_some() || target.credentials.is_some() || target.protocol != Protocol::Any {
            return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)
                .hint("--login, --credentials, --kerberos and --ntlm require --server")
                .into());
        }
        return Ok(Servers {
            servers: vec![Server { name: None, is_node: false, administration: here(target) }],
        });
    };
    if target.socket.is_some() {
        return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER).into());
    }
    let asked_for = asked_for(target, text)?;
    // A second reader of standard input; the command's own has read nothing yet. Questions go to standard error,
    // since they are not output of the command.
    let mut console = Console::standard();
    console.set_json();
    let mut asked: HashMap<Option<String>, Credentials> = HashMap::new();
    let (mut servers, mut unreachable) = (Vec::new(), false);
    let mut obtain = |user: Option<String>, console: &mut Console| match asked.get(&user) {
        Some(credentials) => Ok(credentials.clone()),
        None => {
            let credentials = credentials::obtain(&wanted(target, user.as_deref()), console)?;
            asked.insert(user, credentials.clone());
            Ok::<_, Failure>(credentials)
        }
    };
    for asked_for in asked_for {
        let name = asked_for.name();
        let is_node = matches!(asked_for, AskedFor::Node { .. });
        let (name, administration): (String, Box<dyn Administration>) = match asked_for {
            AskedFor::Remote(NamedServer { user, place })
            | AskedFor::Node { server: NamedServer { user, place }, .. } => {
                let user = user.or_else(|| target.login.clone());
                let wanted = wanted(target, user.as_deref());
                let ticket = credentials::ticket(&wanted, place.host(), &mut unreachable, &mut console)?;
                let credentials = ticket.map_or_else(|| obtain(user, &mut console), Ok)?;
                let client = RemoteClient::new(place, credentials.logon());
                OPENED.lock().push(client.remote());
                (name, Box::new(client))
            }
            // Only some of its acts need a logon, so none is asked for without a user.
            AskedFor::Local(LocalName { user, server }) => {
                let user = user.or_else(|| target.login.clone());
                let is_wanted = user.is_some() || target.credentials.is_some();
                let logon = is_wanted.then(|| obtain(user, &mut console)).transpose()?;
                (name, server.administration(logon.map(|it| it.logon())))
            }
        };
        servers.push(Server { name: Some(name), is_node, administration });
    }
    Ok(Servers { servers })
}

/// The server that the command line names, without its user; `None` without `--server`.
pub(crate) fn shown_name(target: &ServerTarget) -> Option<String> {
    named(target.server.as_ref()?).ok()?.first().map(AskedFor::name)
}

/// The logon that the command line asks for, as this user.
fn wanted<'a>(target: &'a ServerTarget, user: Option<&'a str>) -> Wanted<'a> {
    Wanted {
        user,
        password: target.password.as_ref().map(|password| password.as_str()),
        file: target.credentials.as_deref(),
        protocol: target.protocol,
    }
}

/// The administration of the one server that the command line names, or of this machine's. Refuses several servers,
/// because the command acts on one object or shows one.
pub(crate) fn of(target: &ServerTarget) -> Result<Box<dyn Administration>, Failure> {
    if let Some(text) = &target.server
        && asked_for(target, text)?.len() > 1
    {
        return Err(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)
            .hint("this command accepts only one server")
            .into());
    }
    let server = all_of(target)?.servers.into_iter().next();
    Ok(server.map_or_else(|| here(target), |server| server.administration))
}

/// The server of this machine. A socket that is named is the only one; otherwise servers of other makes are asked if
/// ours does not run.
fn here(target: &ServerTarget) -> Box<dyn Administration> {
    use control::socket_paths::{SOCKET_VARIABLE, socket_candidates};
    if let Some(socket) = &target.socket {
        return Box::new(ControlClient::new(vec![socket.clone()]));
    }
    let sockets = socket_candidates(|name| std::env::var_os(name));
    if std::env::var_os(SOCKET_VARIABLE).is_some_and(|value| !value.is_empty()) {
        return Box::new(ControlClient::new(sockets));
    }
    Box::new(HereClient::new(sockets))
}

/// A server that `--server` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AskedFor {
    /// One on another machine.
    Remote(NamedServer),
    /// One of another make on this machine.
    Local(LocalName),
    /// A node of a cluster, by its name there.
    Node { name: String, server: NamedServer },
}

impl AskedFor {
    /// The name in lists.
    fn name(&self) -> String {
        match self {
            Self::Remote(it) => it.place.to_string(),
            Self::Local(it) => it.server.to_string(),
            Self::Node { name, .. } => name.clone(),
        }
    }
}

/// The servers of a list, or the only one of them that is asked.
fn asked_for(target: &ServerTarget, text: &str) -> Result<Vec<AskedFor>, Failure> {
    let mut all = named(text)?;
    if let Some(only) = &target.only {
        all.retain(|it| it.name().eq_ignore_ascii_case(only));
        if all.is_empty() {
            return Err(Failure::Plain(format!("--server names no server {only}")));
        }
    }
    Ok(all)
}

/// The nodes of the cluster of a word `[USER@]cluster:[FILE]`, where the file is the configuration of a node. `None` if it
/// is another word.
fn nodes(word: &str) -> Option<Result<Vec<AskedFor>, Failure>> {
    let (user, config) = match word.split_once("cluster:")? {
        ("", config) => (None, config),
        (user, config) => (Some(user.strip_suffix('@').filter(|it| !it.is_empty())?.to_owned()), config),
    };
    Some(nodes_of(user.as_ref(), (!config.is_empty()).then_some(config)))
}

fn nodes_of(user: Option<&String>, config: Option<&str>) -> Result<Vec<AskedFor>, Failure> {
    let settings = setup::read(&setup::config_path(config))?;
    // All nodes listen on the same port: clients are led from one to the other without it.
    let port = settings.listen.first().map_or(SMB_PORT, |it| it.port());
    let refused = |error: Refused| Failure::Plain(clean_line(&error.to_string()));
    let operator = Operator::new(settings).map_err(refused)?;
    let overview = run(async { operator.overview().await.map_err(refused) })?;
    let members = overview.nodes.into_iter().filter(|it| it.joined);
    let all = members.map(|node| {
        let address = node.addresses.first().and_then(|it| it.parse::<IpAddr>().ok());
        let Some(address) = address else {
            return Err(Failure::Plain(format!("the node {} has no address", clean_line(&node.name))));
        };
        let place = SocketAddr::new(address, port).to_string();
        let server = remote(&place)?.into_iter().next().ok_or_else(|| not_a_server(&place))?;
        let server = NamedServer { user: user.cloned(), ..server };
        Ok(AskedFor::Node { name: node.name, server })
    });
    let all = all.collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(Failure::Plain(String::from("no node is a member of the cluster at present")));
    }
    Ok(all)
}

/// The port of SMB over TCP.
const SMB_PORT: u16 = 445;

/// `[USER@]samba:`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LocalName {
    user: Option<String>,
    server: LocalServer,
}

impl LocalName {
    fn parse(word: &str) -> Option<Self> {
        if let Ok(server) = word.parse() {
            return Some(Self { user: None, server });
        }
        let (user, server) = word.rsplit_once('@').filter(|(user, _)| !user.is_empty())?;
        Some(Self { user: Some(user.to_owned()), server: server.parse().ok()? })
    }
}

/// The words of a comma-separated list.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// The servers of a comma-separated list of names and `@FILE`s.
fn named(text: &str) -> Result<Vec<AskedFor>, Failure> {
    let mut all: Vec<AskedFor> = Vec::new();
    for word in words(text) {
        let found: Vec<AskedFor> = match (LocalName::parse(word), nodes(word)) {
            (Some(local), _) => vec![AskedFor::Local(local)],
            (None, Some(nodes)) => nodes?,
            (None, None) => remote(word)?.into_iter().map(AskedFor::Remote).collect(),
        };
        for server in found {
            if !all.contains(&server) {
                all.push(server);
            }
        }
    }
    if all.is_empty() {
        return Err(not_a_server(text));
    }
    if all.len() > SERVERS_MAX {
        return Err(Failure::Plain(format!("--server names more than {SERVERS_MAX} servers")));
    }
    Ok(all)
}

/// The servers of one word.
fn remote(word: &str) -> Result<Vec<NamedServer>, Failure> {
    let mut all = Vec::new();
    for word in client::servers_of_list(word).map_err(not_a_server)? {
        match word {
            ServerWord::File(file) => all.extend(in_file(Path::new(file))?),
            ServerWord::Named(server) => all.push(server),
        }
    }
    Ok(all)
}

fn in_file(path: &Path) -> Result<Vec<NamedServer>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Plain(format!("cannot read {}: {error}", path.display())))?;
    client::servers_of_file(&text).map_err(not_a_server)
}

fn not_a_server(word: &str) -> Failure {
    Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
        .about("--server")
        .hint(format!("'{word}' is not a server name: {}", client::NotAServerAddress))
        .into()
}

/// The most servers that one command asks; each is a connection.
const SERVERS_MAX: usize = 256;

/// The connections to other machines that the command has opened.
static OPENED: Mutex<Vec<Arc<Remote>>> = Mutex::new(Vec::new());

/// Logs off from all servers, so that none of them counts a lost connection. Gives up after [`LEAVE_TIME_MAX`].
pub(crate) fn leave() {
    let opened = std::mem::take(&mut *OPENED.lock());
    if opened.is_empty() {
        return;
    }
    let log_off = futures_util::future::join_all(opened.iter().map(|remote| remote.log_off()));
    // The command is done; a failed logoff changes nothing.
    let _ = run(async { Ok(tokio::time::timeout(LEAVE_TIME_MAX, log_off).await) });
}

/// The time that all servers together may take to answer the logoffs.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// Runs a future that talks to servers. Connections stay open between two runs.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_all().build());
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            let number = error
                .raw_os_error()
                .map_or(control::number::NOT_ENOUGH_MEMORY, |_errno| control::number::NO_SYSTEM_RESOURCES);
            Err(Numbered::new(number).hint(error.to_string()).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let named = named(text).unwrap().into_iter();
        let shown = named.map(|it| match it {
            AskedFor::Remote(it) => format!("{}|{}", it.user.unwrap_or_default(), it.place),
            AskedFor::Local(it) => format!("{}|{}", it.user.unwrap_or_default(), it.server),
            AskedFor::Node { name, .. } => name,
        });
        shown.collect()
    }

    #[test]
    fn servers_of_a_list() {
        assert_eq!(shown("files"), ["|files"]);
        assert_eq!(
            shown(r"\\FILES,alice@nas:1445 ,, [::1],files"),
            ["|FILES", "alice|nas:1445", "|[::1]", "|files"]
        );
        assert_eq!(shown(r"LAB\bob@example.org@nas,a,a"), [r"LAB\bob@example.org|nas", "|a"]);
        assert_eq!(
            shown("samba:,NFS:,nas,root@samba:/etc/other.conf, nfs:"),
            ["|samba:", "|nfs:", "|nas", "root|samba:/etc/other.conf"]
        );
        for text in ["", ",", "a b", "alice@", "a:b", "samba:445:", "tomba:", "samba:relative"] {
            assert!(named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_this_machines_unless_another_is_asked() {
        for (server, is_here) in [
            (None, true),
            (Some("samba:"), true),
            (Some("nfs:,a@samba:"), true),
            (Some("nas"), false),
            (Some("nfs:,nas"), false),
        ] {
            let target = ServerTarget { server: server.map(str::to_owned), ..ServerTarget::default() };
            assert_eq!(target.is_here(), is_here, "{server:?}");
        }
    }

    #[test]
    fn servers_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("servers");
        std::fs::write(&path, "# ours\n\nfiles # the old one\nalice@nas:1445\n").unwrap();
        assert_eq!(shown(&format!("@{},last", path.display())), ["|files", "alice|nas:1445", "|last"]);
        std::fs::write(&path, "files\ntwo words\n").unwrap();
        assert!(named(&format!("@{}", path.display())).is_err());
        assert!(matches!(named("@/nonexistent/servers"), Err(Failure::Plain(_))));
    }
}
