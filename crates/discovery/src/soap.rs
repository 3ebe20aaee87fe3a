//! The messages of WS-Discovery and the metadata (WS-Discovery, April 2005; DPWS, February 2006; MS-PBSD).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use crate::limits::{DEPTH_MAX, MESSAGE_MAX, TEXT_MAX};
use crate::{Announced, Group};

/// A question that the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The id of the message, which the answer repeats.
    pub message_id: String,
    /// The content.
    pub kind: Kind,
}

/// The content of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A search for devices of these types, by local names; without any, for all devices.
    Probe(Vec<String>),
    /// A request for the place of the device with this address.
    Resolve(String),
    /// A request for the metadata of the device with this address.
    Get(String),
}

impl Question {
    /// Reads a message. Returns `None` for one that is no question to a device, or is malformed or too large.
    pub fn parse(message: &[u8]) -> Option<Self> {
        if message.len() > MESSAGE_MAX {
            return None;
        }
        let mut reader = NsReader::from_str(std::str::from_utf8(message).ok()?);
        let mut path: Vec<String> = Vec::new();
        let mut found = Found::default();
        loop {
            match reader.read_resolved_event().ok()? {
                (space, Event::Start(element)) => {
                    path.push(format!("{}{}", short(&space), element.local_name().as_ref()));
                    if path.len() > DEPTH_MAX {
                        return None;
                    }
                    found.begin(&path);
                }
                (space, Event::Empty(element)) => {
                    path.push(format!("{}{}", short(&space), element.local_name().as_ref()));
                    found.begin(&path);
                    path.pop();
                }
                (_, Event::End(_)) => {
                    path.pop()?;
                }
                (_, Event::Text(text)) => {
                    found.text(&path, text.trim())?;
                }
                (_, Event::Eof) => return if path.is_empty() { found.question() } else { None },
                (_, Event::Decl(_) | Event::Comment(_)) => {}
                // Document types, entities, instructions and CDATA have no place in these messages (SOAP 1.2, 5).
                _ => return None,
            }
        }
    }
}

#[derive(Default)]
struct Found {
    action: String,
    message_id: String,
    to: String,
    address: String,
    types: String,
    body: Option<Body>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Probe,
    Resolve,
}

impl Found {
    fn begin(&mut self, path: &[String]) {
        match joined(path).as_str() {
            "s:Envelope/s:Body/d:Probe" => self.body = Some(Body::Probe),
            "s:Envelope/s:Body/d:Resolve" => self.body = Some(Body::Resolve),
            _ => {}
        }
    }

    fn text(&mut self, path: &[String], text: &str) -> Option<()> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let place = match joined(path).as_str() {
            "s:Envelope/s:Header/a:Action" => &mut self.action,
            "s:Envelope/s:Header/a:MessageID" => &mut self.message_id,
            "s:Envelope/s:Header/a:To" => &mut self.to,
            "s:Envelope/s:Body/d:Probe/d:Types" => &mut self.types,
            "s:Envelope/s:Body/d:Resolve/a:EndpointReference/a:Address" => &mut self.address,
            _ => return Some(()),
        };
        text.clone_into(place);
        Some(())
    }

    fn question(self) -> Option<Question> {
        let types = || {
            let local = |name: &str| name.rsplit(':').next().unwrap_or_default().to_owned();
            self.types.split_whitespace().map(local).collect()
        };
        let kind = match (self.action.as_str(), self.body) {
            (PROBE, Some(Body::Probe)) => Kind::Probe(types()),
            (RESOLVE, Some(Body::Resolve)) => Kind::Resolve(self.address),
            (GET, None) => Kind::Get(self.to),
            _ => return None,
        };
        (!self.message_id.is_empty()).then_some(Question { message_id: self.message_id, kind })
    }
}

fn joined(path: &[String]) -> String {
    path.join("/")
}

/// The usual prefix of a namespace.
fn short(space: &ResolveResult<'_>) -> &'static str {
    let ResolveResult::Bound(space) = space else { return "" };
    match space.as_ref() {
        "http://www.w3.org/2003/05/soap-envelope" => "s:",
        "http://schemas.xmlsoap.org/ws/2004/08/addressing" => "a:",
        "http://schemas.xmlsoap.org/ws/2005/04/discovery" => "d:",
        _ => "?:",
    }
}

impl Announced {
    /// The server's answer to a question that was sent to all, where `host` is its address for the client ([`host`]). Returns `None`
    /// if the question is not about it.
    pub fn answer(&self, question: &Question, host: &str) -> Option<String> {
        let related =
            format!("<a:RelatesTo>{}</a:RelatesTo><a:To>{ANONYMOUS}</a:To>", escape(&question.message_id));
        match &question.kind {
            Kind::Probe(types) if types.is_empty() || types.iter().any(|it| TYPES.contains(&it.as_str())) => {
                let body = format!(
                    "<d:ProbeMatches><d:ProbeMatch>{}</d:ProbeMatch></d:ProbeMatches>",
                    self.about(None)
                );
                Some(envelope(PROBE_MATCHES, &related, &body))
            }
            Kind::Resolve(address) if *address == self.address() => {
                let about = self.about(Some(host));
                let body =
                    format!("<d:ResolveMatches><d:ResolveMatch>{about}</d:ResolveMatch></d:ResolveMatches>");
                Some(envelope(RESOLVE_MATCHES, &related, &body))
            }
            _ => None,
        }
    }

    /// The metadata. Returns `None` if another device is asked.
    pub fn metadata(&self, question: &Question) -> Option<String> {
        let Kind::Get(to) = &question.kind else { return None };
        if *to != self.address() {
            return None;
        }
        let related =
            format!("<a:RelatesTo>{}</a:RelatesTo><a:To>{ANONYMOUS}</a:To>", escape(&question.message_id));
        let (name, address) = (escape(&self.name), self.address());
        let computer = match &self.group {
            Group::Workgroup(group) => format!("{name}/Workgroup:{}", escape(group)),
            Group::Domain(domain) => format!("{name}/Domain:{}", escape(domain)),
        };
        let section = |dialect: &str, content: &str| {
            format!("<x:MetadataSection Dialect=\"{DEVPROF}/{dialect}\">{content}</x:MetadataSection>")
        };
        let device = format!(
            "<p:ThisDevice><p:FriendlyName>{name}</p:FriendlyName><p:FirmwareVersion>1.0</p:FirmwareVersion>\
             <p:SerialNumber>1</p:SerialNumber></p:ThisDevice>"
        );
        let model = "<p:ThisModel><p:Manufacturer>Shareward</p:Manufacturer><p:ModelName>Shareward</p:ModelName>\
                     <n:DeviceCategory>Computers</n:DeviceCategory></p:ThisModel>";
        let host = format!(
            "<p:Relationship Type=\"{DEVPROF}/host\"><p:Host><a:EndpointReference><a:Address>{address}</a:Address>\
             </a:EndpointReference><p:Types>c:Computer</p:Types><p:ServiceId>{address}</p:ServiceId>\
             <c:Computer>{computer}</c:Computer></p:Host></p:Relationship>"
        );
        let sections =
            [section("ThisDevice", &device), section("ThisModel", model), section("Relationship", &host)]
                .concat();
        Some(envelope(GET_RESPONSE, &related, &format!("<x:Metadata>{sections}</x:Metadata>")))
    }

    /// The message that says that the server is there.
    pub fn hello(&self, host: &str) -> String {
        let body = format!("<d:Hello>{}</d:Hello>", self.about(Some(host)));
        envelope(HELLO, &format!("<a:To>{ALL}</a:To>"), &body)
    }

    /// The message that says that the server is going.
    pub fn bye(&self) -> String {
        let reference =
            format!("<a:EndpointReference><a:Address>{}</a:Address></a:EndpointReference>", self.address());
        envelope(BYE, &format!("<a:To>{ALL}</a:To>"), &format!("<d:Bye>{reference}</d:Bye>"))
    }

    /// The server's address, which does not depend on the network.
    pub fn address(&self) -> String {
        format!("urn:uuid:{}", self.uuid)
    }

    fn about(&self, host: Option<&str>) -> String {
        let location = host.map(|host| {
            format!("<d:XAddrs>http://{host}:{}/{}</d:XAddrs>", crate::limits::METADATA_PORT, self.uuid)
        });
        format!(
            "<a:EndpointReference><a:Address>{}</a:Address></a:EndpointReference><d:Types>p:Device c:Computer</d:Types>\
             {}<d:MetadataVersion>1</d:MetadataVersion>",
            self.address(),
            location.unwrap_or_default()
        )
    }
}

fn envelope(action: &str, header: &str, body: &str) -> String {
    // Messages of a server that was started later have a higher instance (WS-Discovery, 6).
    static STARTED: AtomicU64 = AtomicU64::new(0);
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let _ = STARTED.compare_exchange(0, now.as_secs(), Ordering::Relaxed, Ordering::Relaxed);
    let started = STARTED.load(Ordering::Relaxed);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id =
        format!("{:08x}-{:04x}-4000-8000-{number:012x}", started & 0xffff_ffff, std::process::id() & 0xffff);
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" \
         xmlns:p=\"{DEVPROF}\" xmlns:x=\"http://schemas.xmlsoap.org/ws/2004/09/mex\" \
         xmlns:c=\"http://schemas.microsoft.com/windows/pub/2005/07\" \
         xmlns:n=\"http://schemas.microsoft.com/windows/pnpx/2005/10\">\
         <s:Header><a:Action>{action}</a:Action><a:MessageID>urn:uuid:{id}</a:MessageID>{header}\
         <d:AppSequence InstanceId=\"{started}\" MessageNumber=\"{number}\"/></s:Header>\
         <s:Body>{body}</s:Body></s:Envelope>"
    )
}

/// An address as the host of a URL. One of IPv6 has no name of an interface, which means something on this machine only.
pub fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The local names of the types of the server.
const TYPES: [&str; 2] = ["Device", "Computer"];

const ALL: &str = "urn:schemas-xmlsoap-org:ws:2005:04:discovery";
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
const DEVPROF: &str = "http://schemas.xmlsoap.org/ws/2006/02/devprof";
const PROBE: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe";
const PROBE_MATCHES: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches";
const RESOLVE: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/Resolve";
const RESOLVE_MATCHES: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/ResolveMatches";
const HELLO: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/Hello";
const BYE: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/Bye";
const GET: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get";
const GET_RESPONSE: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/GetResponse";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files() -> Announced {
        Announced {
            name: "FILES".into(),
            group: Group::Workgroup("R&D".into()),
            port: 445,
            listening: vec![std::net::Ipv4Addr::UNSPECIFIED.into()],
            uuid: "11111111-2222-4333-8444-555555555555".into(),
            leave_out: Vec::new(),
            disks: Vec::new(),
        }
    }

    /// A message as Windows sends it.
    fn message(action: &str, to: &str, body: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<soap:Envelope \
             xmlns:soap=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:wsa=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
             xmlns:wsd=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\"><soap:Header>\
             <wsa:To>{to}</wsa:To><wsa:Action>{action}</wsa:Action>\
             <wsa:MessageID>urn:uuid:c0ffee</wsa:MessageID></soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
        )
    }

    fn probe(types: &str) -> Question {
        let body = format!("<wsd:Probe><wsd:Types>{types}</wsd:Types></wsd:Probe>");
        Question::parse(message(PROBE, ALL, &body).as_bytes()).unwrap()
    }

    #[test]
    fn probe_for_devices_is_answered_and_one_for_printers_is_not() {
        let question = probe("wsdp:Device");
        assert_eq!(question.kind, Kind::Probe(vec!["Device".into()]));
        let answer = files().answer(&question, "192.0.2.1").unwrap();
        assert!(answer.contains("<a:RelatesTo>urn:uuid:c0ffee</a:RelatesTo>"), "{answer}");
        assert!(answer.contains("urn:uuid:11111111-2222-4333-8444-555555555555"), "{answer}");
        assert_eq!(files().answer(&probe("wprt:PrintDeviceType"), "192.0.2.1"), None);
        let all = Question::parse(message(PROBE, ALL, "<wsd:Probe/>").as_bytes()).unwrap();
        assert!(files().answer(&all, "192.0.2.1").is_some());
    }

    #[test]
    fn resolve_and_get_are_answered_for_the_own_address_only() {
        let resolve = |address: &str| {
            let body = format!(
                "<wsd:Resolve><wsa:EndpointReference><wsa:Address>{address}</wsa:Address></wsa:EndpointReference></wsd:Resolve>"
            );
            Question::parse(message(RESOLVE, ALL, &body).as_bytes()).unwrap()
        };
        let answer = files().answer(&resolve(&files().address()), "192.0.2.1").unwrap();
        assert!(answer.contains("http://192.0.2.1:5357/11111111-2222-4333-8444-555555555555"), "{answer}");
        assert_eq!(files().answer(&resolve("urn:uuid:other"), "192.0.2.1"), None);

        let get = Question::parse(message(GET, &files().address(), "").as_bytes()).unwrap();
        let metadata = files().metadata(&get).unwrap();
        assert!(metadata.contains("<c:Computer>FILES/Workgroup:R&amp;D</c:Computer>"), "{metadata}");
        let other = Question::parse(message(GET, "urn:uuid:other", "").as_bytes()).unwrap();
        assert_eq!(files().metadata(&other), None);
    }

    #[test]
    fn malformed_and_large_messages_are_no_questions() {
        let good = message(PROBE, ALL, "<wsd:Probe/>");
        assert!(Question::parse(good.as_bytes()).is_some());
        let entity = good.replace("<soap:Envelope", "<!DOCTYPE x [<!ENTITY e \"e\">]><soap:Envelope");
        assert_eq!(Question::parse(entity.as_bytes()), None);
        assert_eq!(Question::parse(good.replace("</soap:Envelope>", "").as_bytes()), None);
        assert_eq!(Question::parse(good.replace("soap-envelope", "other").as_bytes()), None);
        let long = good.replace("urn:uuid:c0ffee", &"x".repeat(TEXT_MAX + 1));
        assert_eq!(Question::parse(long.as_bytes()), None);
        assert_eq!(Question::parse(&[b' '; MESSAGE_MAX + 1]), None);
        let deep = "<x>".repeat(DEPTH_MAX + 1);
        assert_eq!(Question::parse(deep.as_bytes()), None);
        for own in [files().hello("192.0.2.1"), files().bye()] {
            assert_eq!(Question::parse(own.as_bytes()), None, "{own}");
        }
    }

    #[test]
    fn address_of_ipv6_is_the_host_of_a_url() {
        let address: IpAddr = "fe80::1".parse().unwrap();
        assert!(files().hello(&host(address)).contains("<d:XAddrs>http://[fe80::1]:5357/11111111-"));
    }

    #[test]
    fn message_ids_differ() {
        let id = |message: String| {
            message.split("<a:MessageID>").nth(1).unwrap().split('<').next().unwrap().to_owned()
        };
        let (one, other) = (id(files().bye()), id(files().bye()));
        assert_ne!(one, other);
        assert_eq!(one.len(), "urn:uuid:".len() + 36, "{one}");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Question::parse(&bytes);
        }

        #[test]
        fn answers_are_well_formed(id in "[ -~]{1,40}") {
            let question = Question { message_id: id, kind: Kind::Probe(Vec::new()) };
            let answer = files().answer(&question, "192.0.2.1").unwrap();
            let mut reader = quick_xml::Reader::from_str(&answer);
            while reader.read_event().unwrap() != Event::Eof {}
        }
    }
}
