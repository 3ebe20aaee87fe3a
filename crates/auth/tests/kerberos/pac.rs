//! The user in the PAC, and PACs that are not the client's.

use auth::kerberos::testing::{PacSpec, RequestSpec, TicketSpec};
use auth::kerberos::{Enctype, KerberosRefusal};
use auth::{DomainUser, IdentityKind, Method};
use wire::FileTime;
use wire::security::Sid;

use super::{NOW, accept, refusal, service, service_key, ticket};

const AES: Enctype = Enctype::Aes128Sha256;

fn with(pac: PacSpec) -> TicketSpec {
    TicketSpec { pac: Some(pac), ..ticket(AES) }
}

fn user(pac: PacSpec) -> DomainUser {
    let issued = with(pac).issue();
    let logon = accept(&service(), &RequestSpec::new(&issued, NOW).token(&issued)).unwrap();
    assert_eq!((logon.identity.kind, logon.identity.method), (IdentityKind::User, Method::Kerberos));
    assert_eq!(logon.identity.user, "CORP\\carol");
    *logon.identity.domain_user.unwrap()
}

fn sid(rid: u32) -> Sid {
    Sid::of_domain([1, 2, 3], rid)
}

#[test]
fn user_and_groups_are_those_of_the_controller() {
    let known = user(PacSpec::carol());
    let expected = DomainUser {
        name: String::from("carol"),
        domain: String::from("CORP"),
        dns_domain: String::from("corp.test"),
        principal_name: None,
        full_name: String::from("Carol Jones"),
        sid: sid(1104),
        primary_group: sid(513),
        groups: vec![sid(513), sid(1201)],
    };
    assert_eq!(known, expected);
}

#[test]
fn extra_and_resource_groups_count_and_disabled_ones_do_not() {
    let (universal, asserted) = (Sid::of_domain([9, 9, 9], 1500), Sid::of(18, [1]));
    let resources = Sid::of(5, [21, 4, 5, 6]);
    let known = user(PacSpec {
        groups: vec![(1201, 7), (1202, 3), (1201, 7)],
        extra: vec![(universal, 7), (asserted, 7), (sid(1301), 0)],
        resources: Some((resources, vec![(1401, 0x2000_0007), (1402, 0x2000_0000)])),
        ..PacSpec::carol()
    });
    let expected = [sid(513), sid(1201), universal, asserted, Sid::of_domain([4, 5, 6], 1401)];
    assert_eq!(known.groups, expected);
}

#[test]
fn names_of_the_user_are_taken_if_they_are_of_its_sid() {
    let principal = |it| Some((String::from("carol.jones@corp.test"), it));
    for named in [None, Some(sid(1104))] {
        let known = user(PacSpec { principal: principal(named), ..PacSpec::carol() });
        assert_eq!(known.principal_name.as_deref(), Some("carol.jones@corp.test"));
        assert_eq!(known.dns_domain, "corp.test");
    }
    let other = PacSpec { principal: principal(Some(sid(500))), ..PacSpec::carol() };
    assert!(matches!(refusal(&with(other)), KerberosRefusal::PacOfAnother(_)));
    user(PacSpec { requestor: Some(sid(1104)), ..PacSpec::carol() });
    let other = PacSpec { requestor: Some(sid(500)), ..PacSpec::carol() };
    assert!(matches!(refusal(&with(other)), KerberosRefusal::PacOfAnother(_)));
}

#[test]
fn dns_domain_is_the_realm_of_the_client() {
    let named = |dns_domain: &str| PacSpec {
        principal: Some((String::from("carol.jones@corp.example"), None)),
        dns_domain: dns_domain.to_owned(),
        ..PacSpec::carol()
    };
    for its in ["", "corp.test", "CORP.TEST"] {
        assert!(user(named(its)).dns_domain.eq_ignore_ascii_case("corp.test"), "{its:?}");
    }
    let reason = refusal(&with(named("other.test")));
    assert!(matches!(reason, KerberosRefusal::PacOfAnother(_)), "{reason:?}");
}

#[test]
fn pac_of_another_client_or_ticket_is_refused() {
    let administrators = PacSpec {
        name: String::from("Administrator"),
        user: 500,
        client_info_name: Some(String::from("Administrator")),
        ..PacSpec::carol()
    };
    assert!(matches!(refusal(&with(administrators)), KerberosRefusal::PacOfAnother(_)));
    let older = PacSpec { client_info_time: Some(FileTime::from_unix(1_700_000_000, 0)), ..PacSpec::carol() };
    assert!(matches!(refusal(&with(older)), KerberosRefusal::PacOfAnother(_)));
}

#[test]
fn pac_that_another_key_has_signed_is_refused() {
    for signer in
        [service_key(AES, 1), service_key(Enctype::Rc4, 0x33), service_key(Enctype::Aes128Sha1, 0x33)]
    {
        let pac = PacSpec { signer: Some(signer), ..PacSpec::carol() };
        assert_eq!(refusal(&with(pac)), KerberosRefusal::PacSignature);
    }
}

#[test]
fn ticket_without_a_whole_pac_is_refused() {
    assert_eq!(refusal(&TicketSpec { pac: None, ..ticket(AES) }), KerberosRefusal::NoPac);
    for missing in [1, 6, 7, 10] {
        let pac = PacSpec { without: vec![missing], ..PacSpec::carol() };
        let reason = refusal(&with(pac));
        assert!(matches!(reason, KerberosRefusal::PacMalformed(_)), "{missing}: {reason:?}");
    }
    for name in ["", "a\\b", "a\nb"] {
        let pac = PacSpec { name: name.to_owned(), ..PacSpec::carol() };
        assert!(matches!(refusal(&with(pac)), KerberosRefusal::PacMalformed(_)), "{name:?}");
    }
    let nobody = PacSpec { user: 0, ..PacSpec::carol() };
    assert!(matches!(refusal(&with(nobody)), KerberosRefusal::PacMalformed(_)));
}
