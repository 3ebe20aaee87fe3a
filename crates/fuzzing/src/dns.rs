//! Answers of name servers about the controllers of a domain.

use domain::controllers::of_answer;

const REALM: &str = "CORP.EXAMPLE";

/// An answer, whose number is that of the question.
pub fn dns(data: &[u8]) {
    let Some(hosts) = of_answer(data, REALM) else { return };
    assert!(hosts.len() <= 32, "{}", hosts.len());
    for host in hosts {
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
        };
        assert!(host.len() <= 255 && host.split('.').all(is_label), "{host:?}");
    }
}

/// The seeds: no record, one, two with compressed names, one in another domain, and a refusal.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let question = [labels("_ldap._tcp.dc._msdcs.corp.example"), vec![0, 33, 0, 1]].concat();
    let answer = |flags: u16, records: &[Vec<u8>]| {
        let mut bytes = vec![0, 7];
        bytes.extend(flags.to_be_bytes());
        bytes.extend([0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        bytes.extend(&question);
        records.iter().for_each(|it| bytes.extend(it));
        bytes
    };
    // A record of the name in the question, which begins at 12.
    let record = |owner: &[u8], target: &[u8]| {
        let data = [&[0, 1, 0, 100, 1, 133], target].concat();
        let length = (data.len() as u16).to_be_bytes();
        [owner, &[0, 33, 0, 1, 0, 0, 2, 88], &length, &data].concat()
    };
    let pointer = [0xc0, 12];
    // Behind the four labels before it: corp.example.
    let corp = [3, b'd', b'c', b'2', 0xc0, 12 + 21];
    vec![
        ("none", answer(0x8183, &[])),
        ("one", answer(0x8180, &[record(&pointer, &labels("dc1.corp.example"))])),
        ("two", answer(0x8580, &[record(&pointer, &labels("dc1.corp.example")), record(&pointer, &corp)])),
        ("other", answer(0x8180, &[record(&labels("www.example"), &labels("dc1.corp.example"))])),
        ("gone", answer(0x8180, &[record(&pointer, &[0])])),
        ("refused", answer(0x8185, &[])),
    ]
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}
