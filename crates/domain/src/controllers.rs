//! The controllers of a domain, found by DNS (MS-ADTS 6.3.2.3, `_ldap._tcp.dc._msdcs`).
//!
//! The C library answers only questions for addresses, so the question for the SRV records (RFC 2782) is asked here:
//! of the name servers of `/etc/resolv.conf`, over UDP, and over TCP if the answer is too long for that. The addresses
//! of the controllers found are looked up by the system as usual.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use auth::{Random, SystemRandom};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use wire::eq_ignore_case;

/// The place of the list of name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The port of name servers.
const PORT: u16 = 53;

/// The name servers that are asked; the C library asks as many.
const SERVERS_MAX: usize = 3;

/// The time that a name server gets for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The rounds through the name servers: packets of UDP get lost.
const ROUNDS: usize = 2;

/// The longest answer over UDP without extensions is 512 (RFC 1035 4.2.1); some servers send more.
const UDP_ANSWER_MAX: usize = 4096;

/// The controllers that are used of an answer. Large domains have some hundreds; a member needs a few.
const CONTROLLERS_MAX: usize = 32;

/// The length of `/etc/resolv.conf` that is read.
const RESOLV_CONF_MAX: usize = 64 * 1024;

/// The controllers of a domain cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// The name is not one of DNS.
    #[error("{0:?} is not the DNS name of a domain")]
    Name(String),
    /// No name server answered.
    #[error("no name server of /etc/resolv.conf answers ({0})")]
    NoAnswer(String),
    /// The domain does not exist, or it is not one of Active Directory.
    #[error(
        "the DNS has no controllers of {0} (no record _ldap._tcp.dc._msdcs.{0}); /etc/resolv.conf should name a DNS \
         server that knows the domain"
    )]
    NoRecord(String),
}

/// The host names of the controllers of a domain, in the order in which they are to be tried (RFC 2782). Waits for the
/// name servers, at most [`ANSWER_TIME`] for each try.
pub async fn find(realm: &str) -> Result<Vec<String>, NotFound> {
    let text = tokio::fs::read(RESOLV_CONF).await.unwrap_or_default();
    let text =
        String::from_utf8_lossy(text.get(..RESOLV_CONF_MAX.min(text.len())).unwrap_or_default()).into_owned();
    let servers: Vec<_> = name_servers(&text).into_iter().map(|it| SocketAddr::new(it, PORT)).collect();
    find_at(&servers, realm).await
}

async fn find_at(servers: &[SocketAddr], realm: &str) -> Result<Vec<String>, NotFound> {
    let mut id = [0; 2];
    let mut error = String::from("none is listed");
    for _ in 0..ROUNDS {
        for server in servers {
            SystemRandom.fill(&mut id).map_err(|failed| NotFound::NoAnswer(failed.to_string()))?;
            let question = question(realm, u16::from_be_bytes(id))?;
            let asked = tokio::time::timeout(ANSWER_TIME, ask(*server, &question)).await;
            let answer = match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(answer) => answer,
                Err(failed) => {
                    error = format!("{}: {failed}", server.ip());
                    continue;
                }
            };
            match records(&answer, &question, realm) {
                Ok(records) if !records.is_empty() => {
                    return Ok(in_order(records, below));
                }
                Ok(_) => return Err(NotFound::NoRecord(realm.to_owned())),
                Err(wrong) => error = format!("{}: {wrong}", server.ip()),
            }
        }
    }
    Err(NotFound::NoAnswer(error))
}

fn question(realm: &str, id: u16) -> Result<Vec<u8>, NotFound> {
    let wrong = |_| NotFound::Name(realm.chars().take(256).collect());
    let name = format!("_ldap._tcp.dc._msdcs.{}", realm.trim_end_matches('.'));
    let name = Name::new(&name).map_err(wrong)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::SRV), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().map_err(wrong)
}

/// The answer of a name server. A connected socket takes packets of the server alone.
async fn ask(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let local: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; UDP_ANSWER_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        // Another id is the late answer to another question, or a forged one.
        if answer.get(..2) != question.get(..2) {
            continue;
        }
        // TC (RFC 1035 4.1.1): the rest did not fit.
        if answer.get(2).is_some_and(|flags| flags & 0x02 != 0) {
            return ask_over_tcp(server, question).await;
        }
        return Ok(answer.to_vec());
    }
}

async fn ask_over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// A record of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    target: String,
}

/// The controllers of an answer in the order in which they are to be tried, whatever the number of its question; `None` if
/// it is malformed or says that the server has failed.
#[cfg(feature = "testing")]
pub fn of_answer(answer: &[u8], realm: &str) -> Option<Vec<String>> {
    let id = u16::from_be_bytes(*answer.first_chunk()?);
    let records = records(answer, &question(realm, id).ok()?, realm).ok()?;
    Some(in_order(records, below))
}

/// The records of an answer; empty if the name does not exist.
fn records(answer: &[u8], question: &[u8], realm: &str) -> Result<Vec<Record>, String> {
    let packet = Packet::parse(answer).map_err(|error| format!("a malformed answer ({error})"))?;
    let asked = Packet::parse(question).map_err(|error| error.to_string())?;
    if packet.id() != asked.id() || !packet.has_flags(PacketFlag::RESPONSE) {
        return Err(String::from("not the answer to the question"));
    }
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        code => return Err(format!("refused with {code:?}")),
    }
    let wanted = format!("_ldap._tcp.dc._msdcs.{}", realm.trim_end_matches('.'));
    let mut records = Vec::new();
    for record in packet.answers.iter().filter(|record| eq_ignore_case(&record.name.to_string(), &wanted)) {
        if let RData::SRV(srv) = &record.rdata {
            let target = srv.target.to_string();
            // A target of "." means that there is no such service (RFC 2782).
            if is_host_name(&target) && records.len() < CONTROLLERS_MAX {
                records.push(Record { priority: srv.priority, weight: srv.weight, target });
            }
        }
    }
    Ok(records)
}

/// True for letters, digits and hyphens between dots (RFC 1123 2.1): a name goes into the names of services, and into
/// the look-up of addresses.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 255 && name.split('.').all(is_label)
}

/// The order of the targets: by priority, and at random by weight in each (RFC 2782). `below` gives a random number
/// below its argument.
fn in_order(mut records: Vec<Record>, below: impl Fn(u32) -> u32) -> Vec<String> {
    records.sort_by_key(|record| record.priority);
    let mut ordered = Vec::new();
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.iter().take_while(|record| record.priority == priority).count();
        let weights = |records: &[Record]| -> Vec<u32> {
            // One more, so that those with weight 0 are not left out.
            records.iter().take(same).map(|record| u32::from(record.weight).saturating_add(1)).collect()
        };
        let weights = weights(&records);
        let mut chosen = below(weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight)));
        let mut place = 0;
        for (index, weight) in weights.iter().enumerate() {
            place = index;
            match chosen.checked_sub(*weight) {
                Some(rest) => chosen = rest,
                None => break,
            }
        }
        ordered.push(records.remove(place).target);
    }
    ordered
}

/// A random number below `bound`; 0 if the system has no random bytes: the order is only there to spread the load.
fn below(bound: u32) -> u32 {
    let mut bytes = [0; 4];
    _ = SystemRandom.fill(&mut bytes);
    u32::from_ne_bytes(bytes).checked_rem(bound).unwrap_or(0)
}

/// The name servers of a `resolv.conf` (resolv.conf(5)); that of this machine if it names none.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let mut servers: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())??.parse().ok()
        })
        .collect();
    servers.truncate(SERVERS_MAX);
    if servers.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { servers }
}

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::SRV;

    use super::*;

    const NAME: &str = "_ldap._tcp.dc._msdcs.CORP.EXAMPLE";

    fn answer_to(question: &[u8], targets: &[(u16, u16, &'static str)]) -> Vec<u8> {
        let asked = Packet::parse(question).unwrap();
        let mut packet = Packet::new_reply(asked.id());
        for (priority, weight, target) in targets {
            let target = Name::new(target).unwrap();
            let srv = SRV { priority: *priority, weight: *weight, port: 389, target };
            packet.answers.push(ResourceRecord::new(
                Name::new("_ldap._tcp.dc._msdcs.corp.example").unwrap(),
                CLASS::IN,
                60,
                RData::SRV(srv),
            ));
        }
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn name_servers_are_those_of_resolv_conf() {
        let text =
            "# x\nsearch a.example\nnameserver 10.0.0.1\n nameserver ::1\nnameserver x\noptions ndots:1\n";
        assert_eq!(name_servers(text), ["10.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(name_servers(""), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
        assert_eq!(name_servers(&"nameserver 10.0.0.1\n".repeat(9)).len(), SERVERS_MAX);
    }

    #[test]
    fn order_is_that_of_priorities_and_weights() {
        let record = |priority, weight, target: &str| Record { priority, weight, target: target.to_owned() };
        let records = vec![record(1, 0, "late"), record(0, 10, "a"), record(0, 90, "b")];
        assert_eq!(in_order(records.clone(), |_| 0), ["a", "b", "late"]);
        assert_eq!(in_order(records, |bound| bound - 1), ["b", "a", "late"]);
        assert!(in_order(Vec::new(), |_| 0).is_empty());
    }

    #[test]
    fn answers_to_other_questions_and_strange_names_are_left_out() {
        let question = question("CORP.EXAMPLE", 7).unwrap();
        assert!(Packet::parse(&question).unwrap().questions[0].qname.to_string().eq_ignore_ascii_case(NAME));
        let answer = answer_to(&question, &[(0, 1, "dc1.corp.example"), (0, 1, "d c.example")]);
        let found = records(&answer, &question, "CORP.EXAMPLE").unwrap();
        assert_eq!(found, [Record { priority: 0, weight: 1, target: String::from("dc1.corp.example") }]);
        assert_eq!(records(&answer, &question, "OTHER.EXAMPLE").unwrap(), []);
        let other = super::question("CORP.EXAMPLE", 8).unwrap();
        records(&answer, &other, "CORP.EXAMPLE").unwrap_err();
        records(&question, &question, "CORP.EXAMPLE").unwrap_err();
        for length in 0..answer.len() {
            _ = records(&answer[..length], &question, "CORP.EXAMPLE");
        }
    }

    proptest::proptest! {
        #[test]
        fn forged_answers_are_read_or_refused(
            places in proptest::collection::vec((0..200usize, 0..=255u8), 1..12),
            tail in proptest::collection::vec(0..=255u8, 0..40),
        ) {
            let question = question("CORP.EXAMPLE", 7).unwrap();
            let mut answer = answer_to(&question, &[(0, 1, "dc1.corp.example"), (1, 2, "dc2.corp.example")]);
            answer.extend(tail);
            for (place, value) in places {
                if let Some(byte) = answer.get_mut(place) {
                    *byte = value;
                }
            }
            for record in records(&answer, &question, "CORP.EXAMPLE").unwrap_or_default() {
                proptest::prop_assert!(is_host_name(&record.target));
            }
        }
    }

    #[tokio::test]
    async fn long_answers_come_over_tcp_and_silent_servers_are_left() {
        // A port that is free for both.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(tcp) = tokio::net::TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let server = udp.local_addr().unwrap();
        let serve = async move {
            let mut buffer = [0; 512];
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let mut short = answer_to(&buffer[..length], &[]);
            // A forged answer, then the true one, which is cut off.
            let mut forged = answer_to(&buffer[..length], &[(0, 0, "evil.example")]);
            forged[0] ^= 1;
            udp.send_to(&forged, from).await.unwrap();
            short[2] |= 2;
            udp.send_to(&short, from).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            let answer = answer_to(&question, &[(0, 0, "dc2.corp.example"), (0, 100, "dc1.corp.example")]);
            stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).await.unwrap();
        };
        // Nobody listens at the first one's port.
        let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let servers = [gone, server];
        let (found, ()) = tokio::join!(find_at(&servers, "corp.example"), serve);
        let mut found = found.unwrap();
        found.sort();
        assert_eq!(found, ["dc1.corp.example", "dc2.corp.example"]);
        assert!(matches!(find_at(&[], "corp.example").await, Err(NotFound::NoAnswer(_))));
        assert!(matches!(find_at(&[server], &"x".repeat(300)).await, Err(NotFound::Name(_))));
    }
}
