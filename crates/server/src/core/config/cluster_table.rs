//! `[cluster]`: the membership of this server in a cluster (`docs/cluster.md`).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use cluster::ids::NodeName;
use cluster::settings::Timing;
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::parse::{Reader, addresses_with_port};

/// The settings of a member.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The name of the cluster, below which its keys are.
    pub name: NodeName,
    /// The name of this server in the cluster.
    pub node: NodeName,
    /// The endpoints of etcd, the files for TLS and the login.
    pub etcd: etcd::Settings,
    /// The addresses under which clients reach this server.
    pub addresses: Vec<IpAddr>,
    /// The directories below which shares of the cluster may be on this server.
    pub paths: Vec<PathBuf>,
    /// The server's part of the shares, in proportion to the weights of the others.
    pub weight: u32,
    /// True if users are added to those of the cluster, and users of the cluster can log on.
    pub users: bool,
    /// Times. The time of leases is that of the cluster, if that has one.
    pub timing: Timing,
    /// The program that cuts off a server which holds a storage and does not let go. Empty if there is none.
    pub fence_command: Vec<String>,
    /// The networks in which addresses of shares may be, which this server holds while it owns the share. Whoever can write
    /// to etcd must not make a server take any address.
    pub share_addresses: Vec<IpNet>,
    /// The interface for these. `None` for the one in whose network an address is.
    pub interface: Option<String>,
    /// The program that assigns these to this server, instead of the server itself. Empty if there is none.
    pub address_command: Vec<String>,
    /// The addresses on which the witness service listens, and the endpoint mapper that leads to it. Empty without.
    pub witness: Vec<SocketAddr>,
}

/// The table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterTable {
    name: Spanned<String>,
    node: Option<Spanned<String>>,
    endpoints: Spanned<Vec<Spanned<String>>>,
    ca_file: Option<Spanned<PathBuf>>,
    certificate: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    user: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
    paths: Spanned<Vec<Spanned<PathBuf>>>,
    weight: Option<Spanned<i64>>,
    lease_seconds: Option<Spanned<i64>>,
    #[serde(default)]
    users: bool,
    #[serde(default)]
    allow_http: bool,
    fence_command: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    share_addresses: Vec<Spanned<String>>,
    interface: Option<Spanned<String>>,
    address_command: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    witness: Vec<Spanned<String>>,
}

impl Reader<'_> {
    /// Reads the table. `server` is the server's name.
    pub(super) fn cluster(&mut self, table: ClusterTable, server: &str) -> Option<ClusterSettings> {
        let name = self.label("name", &table.name);
        let node = match &table.node {
            Some(node) => self.label("node", node),
            None => {
                let node = NodeName::new(&server.to_ascii_lowercase());
                if node.is_err() {
                    let message = "the server's name is no name of a node: set node";
                    self.error(&table.name, String::from(message));
                }
                node.ok()
            }
        };
        let mut endpoints = Vec::new();
        for url in table.endpoints.get_ref() {
            match etcd::Endpoint::parse(url.get_ref()) {
                Ok(endpoint) => {
                    let is_here = endpoint.host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
                    if !endpoint.tls && !is_here && endpoint.host != "localhost" && !table.allow_http {
                        let message = "etcd without TLS on another machine can be read and changed on the way: \
                                       use https, or set allow_http";
                        self.error(url, String::from(message));
                    }
                    endpoints.push(endpoint);
                }
                Err(error) => self.error(url, error.to_string()),
            }
        }
        if !(1..=ENDPOINTS_MAX).contains(&table.endpoints.get_ref().len()) {
            self.error(&table.endpoints, format!("endpoints has 1 to {ENDPOINTS_MAX} URLs"));
        }
        let has_tls = endpoints.iter().any(|it| it.tls);
        if has_tls && endpoints.iter().any(|it| !it.tls) {
            self.error(&table.endpoints, String::from("either all endpoints have https or none has"));
        }
        let client = match (table.certificate, table.key) {
            (Some(certificate), Some(key)) => Some((self.path(certificate), self.path(key))),
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                self.error(&one, String::from("certificate and key belong together"));
                None
            }
        };
        if has_tls && table.ca_file.is_none() {
            self.error(&table.endpoints, String::from("endpoints with https need ca_file"));
        }
        let tls = etcd::TlsFiles { ca_file: table.ca_file.map(|it| self.path(it)), client };
        let login = match (table.user, table.password_file) {
            (Some(user), Some(file)) => {
                Some(etcd::Login { user: user.into_inner(), password_file: self.path(file) })
            }
            (None, None) => None,
            (Some(user), None) => {
                self.error(&user, String::from("user needs password_file"));
                None
            }
            (None, Some(file)) => {
                self.error(&file, String::from("password_file needs user"));
                None
            }
        };
        let mut addresses = Vec::new();
        for address in &table.addresses {
            match address.get_ref().parse::<IpAddr>() {
                Ok(address) if !address.is_unspecified() => addresses.push(address),
                _ => self
                    .error(address, String::from("addresses has the addresses of this server for clients")),
            }
        }
        if let Some(one_more) = table.addresses.get(cluster::records::ADDRESSES_MAX) {
            self.error(
                one_more,
                format!("there are more than {} addresses", cluster::records::ADDRESSES_MAX),
            );
        }
        if table.paths.get_ref().is_empty() {
            let message = "paths has the directories below which shares of the cluster may be";
            self.error(&table.paths, String::from(message));
        }
        let mut paths = Vec::new();
        for path in table.paths.into_inner() {
            if !path.get_ref().is_absolute() {
                self.error(&path, String::from("paths are absolute"));
            }
            paths.push(path.into_inner());
        }
        let weight = self.bounded("weight", table.weight, (1, cluster::records::WEIGHT_MAX), 1);
        let lease = self.bounded("lease_seconds", table.lease_seconds, LEASE_SECONDS, 3);
        let mut timing = Timing::default();
        timing.set_lease(Duration::from_secs(lease.into()));
        let fence_command = self.program("fence_command", table.fence_command);
        let address_command = self.program("address_command", table.address_command);
        let share_addresses = self.networks(&table.share_addresses);
        let mut witness = Vec::new();
        for text in &table.witness {
            match addresses_with_port(text.get_ref(), WITNESS_PORT) {
                Ok(addresses) => witness.extend(addresses),
                Err(message) => self.error(text, message),
            }
        }
        if let Some(interface) = &table.interface
            && !(1..=INTERFACE_CHARS_MAX).contains(&interface.get_ref().len())
        {
            self.error(interface, String::from("interface is the name of a network interface"));
        }
        let etcd = etcd::Settings { endpoints, tls, login, timeout: CALL_MAX };
        Some(ClusterSettings {
            name: name?,
            node: node?,
            etcd,
            addresses,
            paths,
            weight,
            users: table.users,
            timing,
            fence_command,
            share_addresses,
            interface: table.interface.map(Spanned::into_inner),
            address_command,
            witness,
        })
    }

    /// A program with its arguments. Empty if there is none.
    fn program(&mut self, key: &str, command: Option<Spanned<Vec<String>>>) -> Vec<String> {
        let Some(command) = command else { return Vec::new() };
        if command.get_ref().first().is_none_or(|it| !it.starts_with('/')) {
            let message = format!("{key} is a list: the absolute path of a program, and its arguments");
            self.error(&command, message);
        }
        command.into_inner()
    }

    fn networks(&mut self, list: &[Spanned<String>]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for text in list {
            let of_address = || text.get_ref().parse::<IpAddr>().ok().map(IpNet::from);
            match text.get_ref().parse::<IpNet>().ok().or_else(of_address) {
                Some(network) if !network.addr().is_unspecified() => networks.push(network),
                _ => self.error(
                    text,
                    String::from("share_addresses has networks like 192.0.2.64/28, in which addresses of shares may be"),
                ),
            }
        }
        networks
    }

    fn label(&mut self, key: &str, text: &Spanned<String>) -> Option<NodeName> {
        let name = NodeName::new(text.get_ref());
        if name.is_err() {
            self.error(text, format!("{key} has small letters, digits and hyphens, 63 at most"));
        }
        name.ok()
    }

    fn bounded(&mut self, key: &str, given: Option<Spanned<i64>>, bounds: (u32, u32), usual: u32) -> u32 {
        let Some(given) = given else { return usual };
        match u32::try_from(*given.get_ref()) {
            Ok(number) if (bounds.0..=bounds.1).contains(&number) => number,
            _ => {
                self.error(&given, format!("{key} is {} to {}", bounds.0, bounds.1));
                usual
            }
        }
    }
}

/// The least and the longest time of a lease, in seconds.
pub(super) const LEASE_SECONDS: (u32, u32) = (2, 60);

/// Clusters of etcd have 3 or 5 members.
const ENDPOINTS_MAX: usize = 16;

/// The port of the endpoint mapper, where clients look for the witness service.
const WITNESS_PORT: u16 = 135;

/// IFNAMSIZ of Linux, without the zero at the end.
const INTERFACE_CHARS_MAX: usize = 15;

/// A renewal without an answer is given up before the permission of the one before has ended.
const CALL_MAX: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Settings, parse};
    use super::*;

    fn of(lines: &str) -> Result<ClusterSettings, Vec<String>> {
        let text = format!("[server]\nname = 'FS1'\n[cluster]\n{lines}");
        let settings = parse(&text, Path::new("/etc/shareward"), Settings::conventional(false, |_| None));
        settings
            .map(|it| it.cluster.unwrap())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_member_needs_a_cluster_endpoints_and_paths() {
        let read = of("name = 'office'\nendpoints = ['http://127.0.0.1:2379']\npaths = ['/srv']").unwrap();
        assert_eq!((read.name.as_str(), read.node.as_str(), read.weight), ("office", "fs1", 1));
        assert_eq!(read.timing.check(), Ok(()));
        let read = of("name = 'office'\nnode = 'a'\nendpoints = ['https://e1:2379', 'https://e2:2379']\n\
                       ca_file = 'ca.pem'\ncertificate = 'c.pem'\nkey = 'k.pem'\nuser = 'u'\npassword_file = 'p'\n\
                       addresses = ['192.0.2.1', '2001:db8::1']\npaths = ['/srv']\nweight = 3\nlease_seconds = 5\n\
                       fence_command = ['/bin/fence', 'x']\nshare_addresses = ['192.0.2.64/28', '2001:db8::7']\n\
                       interface = 'eth0'\nwitness = ['192.0.2.1']")
        .unwrap();
        assert_eq!(read.etcd.tls.ca_file.as_deref(), Some(Path::new("/etc/shareward/ca.pem")));
        assert_eq!(read.addresses.len(), 2);
        assert_eq!(read.witness, [SocketAddr::from(([192, 0, 2, 1], 135))]);
        assert_eq!(read.share_addresses[1].to_string(), "2001:db8::7/128");
        assert_eq!(read.timing.check(), Ok(()));
    }

    #[test]
    fn wrong_settings_are_reported_with_their_place() {
        let errors = of("name = 'Office'\nendpoints = ['http://e1', 'e2', 'https://e3']\npaths = ['srv']\n\
                         certificate = 'c'\nuser = 'u'\naddresses = ['0.0.0.0', 'x']\nweight = 0\n\
                         lease_seconds = 1\nfence_command = ['fence']\naddress_command = []\n\
                         share_addresses = ['0.0.0.0/0', '1.2.3.4/33']\ninterface = ''")
        .unwrap_err();
        assert_eq!(
            errors,
            [
                "4:8: name has small letters, digits and hyphens, 63 at most",
                "5:14: etcd without TLS on another machine can be read and changed on the way: use https, or set \
                 allow_http",
                "5:27: \"e2\" is not an endpoint: http://HOST:PORT or https://HOST:PORT",
                "5:13: either all endpoints have https or none has",
                "7:15: certificate and key belong together",
                "5:13: endpoints with https need ca_file",
                "8:8: user needs password_file",
                "9:14: addresses has the addresses of this server for clients",
                "9:25: addresses has the addresses of this server for clients",
                "6:10: paths are absolute",
                "10:10: weight is 1 to 1000000",
                "11:17: lease_seconds is 2 to 60",
                "12:17: fence_command is a list: the absolute path of a program, and its arguments",
                "13:19: address_command is a list: the absolute path of a program, and its arguments",
                "14:20: share_addresses has networks like 192.0.2.64/28, in which addresses of shares may be",
                "14:33: share_addresses has networks like 192.0.2.64/28, in which addresses of shares may be",
                "15:13: interface is the name of a network interface",
            ]
        );
    }
}
