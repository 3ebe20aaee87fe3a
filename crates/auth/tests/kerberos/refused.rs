//! Tickets that are whole, but not for this server, not now, or not of this client.

use auth::kerberos::testing::{Authorization, RequestSpec, TicketSpec, error_of};
use auth::kerberos::{Enctype, KerberosOptions, KerberosRefusal, KerberosTime};
use auth::{Refusal, Step};
use wire::FileTime;

use super::{
    NOW, Nobody, REALM, VERSION, accept, accept_at, acceptor, refusal, refusal_of, service, service_key,
    service_with, ticket,
};

const AES: Enctype = Enctype::Aes256Sha1;

fn later(seconds: i64) -> FileTime {
    let (now, nanoseconds) = NOW.to_unix();
    FileTime::from_unix(now + seconds, nanoseconds)
}

fn at(seconds: i64) -> KerberosTime {
    KerberosTime(NOW.to_unix().0 + seconds)
}

fn for_service(service: &[&str]) -> TicketSpec {
    TicketSpec { service: service.iter().map(|&it| it.to_owned()).collect(), ..ticket(AES) }
}

#[test]
fn ticket_for_another_service_is_refused() {
    for other in [
        &["HTTP", "files.corp.test"][..],
        &["ldap", "files.corp.test"],
        &["cifs", "other.corp.test"],
        &["cifs", "files.corp.test.evil.test"],
        &["cifs"],
        &["cifs", "files.corp.test", "corp.test"],
        &["krbtgt", "CORP.TEST"],
        &["FILES$"],
        &["cifs", ""],
    ] {
        assert!(matches!(refusal(&for_service(other)), KerberosRefusal::NotUs(..)), "{other:?}");
    }
    let elsewhere = TicketSpec { realm: String::from("OTHER.TEST"), ..ticket(AES) };
    assert!(matches!(refusal(&elsewhere), KerberosRefusal::NotUs(..)));
}

#[test]
fn names_of_the_host_are_accepted() {
    for name in [
        &["cifs", "files.corp.test"][..],
        &["cifs", "FILES"],
        &["cifs", "files"],
        &["CIFS", "Files.Corp.Test"],
        &["host", "files.corp.test"],
        &["host", "FILES"],
    ] {
        let issued = for_service(name).issue();
        let token = RequestSpec::new(&issued, NOW).token(&issued);
        assert!(accept(&service(), &token).is_ok(), "{name:?}");
    }
}

#[test]
fn key_versions_of_the_keytab_are_accepted_and_no_others() {
    let older = TicketSpec { service_key: service_key(AES, 0x22), version: Some(VERSION - 1), ..ticket(AES) };
    let unknown = TicketSpec { version: None, ..ticket(AES) };
    for spec in [older, unknown] {
        let issued = spec.issue();
        assert!(
            accept(&service(), &RequestSpec::new(&issued, NOW).token(&issued)).is_ok(),
            "{:?}",
            spec.version
        );
    }
    for version in [0, VERSION + 1, VERSION + 0x100, VERSION + 0x1_0000] {
        let spec = TicketSpec { version: Some(version), ..ticket(AES) };
        let reason = refusal(&spec);
        assert!(matches!(reason, KerberosRefusal::NoKey { .. }), "{reason:?}");
        assert!(reason.to_string().contains(&version.to_string()), "{reason}");
    }
    let wrong_version = TicketSpec { version: Some(VERSION - 1), ..ticket(AES) };
    assert!(matches!(refusal(&wrong_version), KerberosRefusal::TicketAltered(_)));
    let wrong_key = TicketSpec { service_key: service_key(AES, 0x44), ..ticket(AES) };
    assert!(matches!(refusal(&wrong_key), KerberosRefusal::TicketAltered(_)));
}

#[test]
fn ticket_is_valid_between_its_times_with_the_clock_skew() {
    let accepted = |spec: &TicketSpec, now: FileTime| {
        let issued = spec.issue();
        let token = RequestSpec::new(&issued, now).token(&issued);
        accept_at(&service(), &token, now).map(|logon| logon.expires)
    };
    let end = TicketSpec { end: at(600), ..ticket(AES) };
    assert_eq!(accepted(&end, NOW), Ok(Some(at(600).file_time())));
    // In the session that begins after the end, the client has the rest of the skew.
    assert_eq!(accepted(&end, later(900)), Ok(Some(at(900).file_time())));
    let now = at(901);
    assert_eq!(
        accepted(&end, later(901)),
        Err(Refusal::Kerberos(KerberosRefusal::Expired { end: at(600), now }))
    );
    let start = TicketSpec { start: Some(at(300)), ..ticket(AES) };
    assert!(accepted(&start, NOW).is_ok());
    let (now, start) = (at(0), Some(at(301)));
    let early = KerberosRefusal::NotYetValid { start: at(301), now };
    assert_eq!(refusal(&TicketSpec { start, ..ticket(AES) }), early);
    let by_auth_time = TicketSpec { start: None, auth_time: at(301), ..ticket(AES) };
    assert_eq!(refusal(&by_auth_time), early);
    let postdated = TicketSpec { flags: ticket(AES).flags | 0x0100_0000, ..ticket(AES) };
    assert_eq!(refusal(&postdated), KerberosRefusal::Postdated);
}

#[test]
fn clocks_may_differ_by_the_skew_and_clients_learn_the_servers_time() {
    let issued = ticket(AES).issue();
    for (seconds, is_right) in [(300, true), (-300, true), (301, false), (-301, false), (86_400, false)] {
        let request = RequestSpec { time: at(seconds), ..RequestSpec::new(&issued, NOW) };
        let service = service();
        let mut acceptor = acceptor(&service);
        match acceptor.step(&request.token(&issued), &Nobody, NOW) {
            Step::Done(_) => assert!(is_right, "{seconds}"),
            Step::Again { reason, token } => {
                assert!(!is_right, "{seconds}");
                let (client, server, allowed) = (at(seconds), at(0), 300);
                assert_eq!(reason, Refusal::Kerberos(KerberosRefusal::Skew { client, server, allowed }));
                assert_eq!(error_of(&token), Some((37, at(0))));
                let holder = acceptor.ticket_holder().unwrap();
                assert_eq!((holder.user.as_str(), holder.domain.as_str()), ("carol", REALM));
                // With the right time, the same exchange goes on; once.
                let corrected = RequestSpec::new(&issued, NOW).token(&issued);
                assert!(matches!(acceptor.step(&corrected, &Nobody, NOW), Step::Done(_)));
            }
            step => panic!("{step:?}"),
        }
    }
    let late = RequestSpec { time: at(1_000), ..RequestSpec::new(&issued, NOW) }.token(&issued);
    let mut acceptor = acceptor(&service());
    assert!(matches!(acceptor.step(&late, &Nobody, NOW), Step::Again { .. }));
    assert!(matches!(acceptor.step(&late, &Nobody, NOW), Step::Refused { .. }));
    let strict = service_with(KerberosOptions { clock_skew: 10, ..KerberosOptions::default() });
    let request = RequestSpec { time: at(11), ..RequestSpec::new(&issued, NOW) };
    assert!(accept(&strict, &request.token(&issued)).is_err());
}

/// The codes are those of RFC 4120 7.5.9.
#[test]
fn client_learns_why_its_ticket_is_refused_and_may_bring_another_one() {
    const EXPIRED: i32 = 32;
    const NOT_YET_VALID: i32 = 33;
    const REPEAT: i32 = 34;
    const MODIFIED: i32 = 41;
    let good = ticket(AES);
    let early = TicketSpec { start: Some(at(301)), ..good.clone() };
    let postdated = TicketSpec { flags: good.flags | 0x0100_0000, ..good.clone() };
    let ended = TicketSpec { end: at(-301), ..good.clone() };
    let wrong_key = TicketSpec { service_key: service_key(AES, 0x44), ..good.clone() };
    let wrong_version = TicketSpec { version: Some(VERSION + 1), ..good.clone() };
    let mut wrong_session_key = good.issue();
    wrong_session_key.session_key = service_key(AES, 0x77);
    for (issued, code) in [
        (early.issue(), NOT_YET_VALID),
        (postdated.issue(), NOT_YET_VALID),
        (ended.issue(), EXPIRED),
        (wrong_key.issue(), MODIFIED),
        (wrong_version.issue(), MODIFIED),
        (wrong_session_key, MODIFIED),
        (good.issue(), REPEAT),
    ] {
        let service = service();
        let token = RequestSpec::new(&issued, NOW).token(&issued);
        if code == REPEAT {
            accept(&service, &token).expect("the first time");
        }
        let mut acceptor = acceptor(&service);
        let step = acceptor.step(&token, &Nobody, NOW);
        let Step::Again { token, .. } = step else { panic!("{code}: {step:?}") };
        assert_eq!(error_of(&token), Some((code, at(0))));
        let another = good.issue();
        let request = RequestSpec { microseconds: 7, ..RequestSpec::new(&another, NOW) };
        assert!(matches!(acceptor.step(&request.token(&another), &Nobody, NOW), Step::Done(_)), "{code}");
    }
    // A new ticket does not help here.
    for other in [for_service(&["HTTP", "files.corp.test"]), TicketSpec { pac: None, ..good }] {
        let issued = other.issue();
        let token = RequestSpec::new(&issued, NOW).token(&issued);
        assert!(matches!(acceptor(&service()).step(&token, &Nobody, NOW), Step::Refused { .. }));
    }
}

#[test]
fn unknown_restrictions_of_a_ticket_refuse_it_unless_they_may_be_ignored() {
    let with = |kind, if_relevant| Authorization { kind, contents: vec![4, 0], if_relevant };
    let accepted = |ticket_data: Vec<_>, clients_data: Vec<_>| {
        let issued = TicketSpec { authorization: ticket_data, ..ticket(AES) }.issue();
        let request = RequestSpec { authorization: clients_data, ..RequestSpec::new(&issued, NOW) };
        accept(&service(), &request.token(&issued)).map(drop)
    };
    let critical = |kind| Err(Refusal::Kerberos(KerberosRefusal::CriticalData(kind)));
    for kind in [4, 5, 96, 4711, -1] {
        assert_eq!(accepted(vec![with(kind, true)], vec![with(kind, true)]), Ok(()), "{kind}");
        assert_eq!(accepted(vec![with(kind, false)], vec![]), critical(kind));
        assert_eq!(accepted(vec![], vec![with(kind, false)]), critical(kind));
    }
    // AD-MANDATORY-FOR-KDC is for controllers, and Windows does not mark all that its clients say.
    assert_eq!(accepted(vec![with(8, false)], vec![]), Ok(()));
    for kind in [129, 141, 142, 143] {
        assert_eq!(accepted(vec![], vec![with(kind, false)]), Ok(()), "{kind}");
        assert_eq!(accepted(vec![with(kind, false)], vec![]), critical(kind));
    }
}

/// The service's name in the ticket is not protected, but the one that the client says it wants is.
#[test]
fn request_for_another_service_of_the_machine_is_refused() {
    let issued = ticket(AES).issue();
    let wanting = |target: Authorization| {
        let request = RequestSpec { authorization: vec![target], ..RequestSpec::new(&issued, NOW) };
        accept(&service(), &request.token(&issued)).map(drop)
    };
    for name in [
        "cifs/files.corp.test",
        "cifs/files.corp.test@CORP.TEST",
        "cifs/FILES@corp.test",
        "CIFS/Files/corp.test@CORP.TEST",
        "host/files.corp.test",
    ] {
        assert_eq!(wanting(Authorization::target(name)), Ok(()), "{name}");
    }
    for name in ["HTTP/files.corp.test@CORP.TEST", "cifs/other.corp.test", "ldap/FILES", "cifs", "FILES$", ""]
    {
        let reason = wanting(Authorization::target(name));
        let is_refused = matches!(reason, Err(Refusal::Kerberos(KerberosRefusal::AnotherTarget(..))));
        assert!(is_refused, "{name}: {reason:?}");
    }
    let odd = Authorization { contents: vec![b'c', 0, b'i'], ..Authorization::target("") };
    assert_eq!(wanting(odd), Err(Refusal::Kerberos(KerberosRefusal::TokenMalformed)));
}

#[test]
fn request_is_accepted_once() {
    let issued = ticket(AES).issue();
    let service = service();
    let request = RequestSpec::new(&issued, NOW);
    assert!(accept(&service, &request.token(&issued)).is_ok());
    let again = Err(Refusal::Kerberos(KerberosRefusal::Replayed));
    assert_eq!(accept(&service, &request.token(&issued)).map(drop), again);
    assert_eq!(accept_at(&service, &request.token(&issued), later(299)).map(drop), again);
    let next = RequestSpec { microseconds: 1, ..request.clone() };
    assert!(accept(&service, &next.token(&issued)).is_ok());
    // Other options leave the table as it is.
    let relaxed = service.with_options(KerberosOptions { clock_skew: 600, ..service.options() }).into();
    assert_eq!(accept(&relaxed, &request.token(&issued)).map(drop), again);
}

#[test]
fn request_of_another_client_is_refused() {
    let issued = ticket(AES).issue();
    let request = RequestSpec { client: Some(String::from("dave")), ..RequestSpec::new(&issued, NOW) };
    assert_eq!(refusal_of(&issued, &request), KerberosRefusal::NotTheClient);
    // The ticket of one client with the session key of another.
    let mut stolen = ticket(AES).issue();
    stolen.session_key = service_key(AES, 0x77);
    assert_eq!(refusal_of(&stolen, &RequestSpec::new(&stolen, NOW)), KerberosRefusal::AuthenticatorAltered);
}

#[test]
fn rc4_is_accepted_only_if_it_is_allowed() {
    let rc4 = Enctype::Rc4;
    let strict = service_with(KerberosOptions::default());
    let is_refused = |spec: &TicketSpec, subkey: Option<auth::kerberos::Key>| {
        let issued = spec.issue();
        let mut request = RequestSpec::new(&issued, NOW);
        request.subkey = subkey.or(request.subkey);
        assert!(accept(&service(), &request.token(&issued)).is_ok());
        matches!(
            accept(&strict, &request.token(&issued)),
            Err(Refusal::Kerberos(KerberosRefusal::Enctype(_)))
        )
    };
    assert!(is_refused(&ticket(rc4), None));
    assert!(is_refused(&TicketSpec { session_enctype: rc4, ..ticket(AES) }, None));
    assert!(is_refused(&ticket(AES), Some(service_key(rc4, 1))));
}

#[test]
fn demands_that_the_server_cannot_meet_are_refused() {
    let issued = ticket(AES).issue();
    let request = RequestSpec::new(&issued, NOW);
    let bound = RequestSpec { bindings: [7; 16], ..request.clone() };
    assert_eq!(refusal_of(&issued, &bound), KerberosRefusal::Demands("a channel"));
    let dce_style = RequestSpec { gss_flags: Some(0x103e), ..request.clone() };
    assert_eq!(refusal_of(&issued, &dce_style), KerberosRefusal::Demands("the DCE style"));
    let contradicts = RequestSpec { gss_flags: Some(0x3c), ..request };
    assert_eq!(refusal_of(&issued, &contradicts), KerberosRefusal::TokenMalformed);
}

/// `krb5_mk_req` makes a checksum of the application's data, which are none here.
#[test]
fn checksum_of_no_data_is_accepted_and_one_of_others_refused() {
    for enctype in Enctype::ALL {
        let issued = ticket(enctype).issue();
        let empty = RequestSpec { application_data: Some(Vec::new()), ..RequestSpec::new(&issued, NOW) };
        assert!(accept(&service(), &empty.token(&issued)).is_ok(), "{enctype}");
        let other = RequestSpec { application_data: Some(vec![1]), ..empty };
        let expected = KerberosRefusal::Demands("a checksum of unknown data");
        assert_eq!(refusal_of(&issued, &other), expected, "{enctype}");
    }
}

#[test]
fn server_without_keys_has_no_kerberos() {
    let issued = ticket(AES).issue();
    let token = RequestSpec::new(&issued, NOW).token(&issued);
    let mut acceptor = auth::Acceptor::new(auth::AcceptorConfig::default());
    let step = acceptor.step(&token, &Nobody, NOW);
    assert!(matches!(step, Step::Refused { reason: Refusal::NoCommonMechanism, .. }), "{step:?}");
}
