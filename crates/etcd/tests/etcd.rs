//! The client against the real etcd.

use std::time::Duration;

use etcd::{
    Change, Client, Compare, Condition, Endpoint, Error, Login, Operation, Settings, TlsFiles,
    VALUE_BYTES_KEPT,
};
use testkit::{Etcd, EtcdTls, need};

fn settings(etcd: &Etcd) -> Settings {
    Settings {
        endpoints: etcd.endpoints().iter().map(|url| Endpoint::parse(url).unwrap()).collect(),
        tls: TlsFiles::default(),
        login: None,
        timeout: Duration::from_secs(5),
    }
}

fn client(etcd: &Etcd) -> Client {
    Client::new(settings(etcd)).unwrap()
}

fn put(key: &str, value: &[u8], lease: Option<i64>) -> Operation {
    Operation::Put { key: key.into(), value: value.to_vec(), lease }
}

fn compare(key: &str, condition: Condition) -> Compare {
    Compare { key: key.into(), condition }
}

#[tokio::test]
async fn transactions_write_all_or_nothing_and_ranges_are_read_at_one_revision() {
    if !need(&["etcd"]) {
        return;
    }
    let etcd = Etcd::start(1);
    let client = client(&etcd);
    let first =
        client.transact(&[compare("/s/a", Condition::Absent)], &[put("/s/a", b"1", None)]).await.unwrap();
    assert!(first.succeeded);
    let again =
        client.transact(&[compare("/s/a", Condition::Absent)], &[put("/s/a", b"2", None)]).await.unwrap();
    assert!(!again.succeeded && again.revision == first.revision, "{again:?}");
    let conditions = [
        compare("/s/a", Condition::Present),
        compare("/s/a", Condition::Created(first.revision)),
        compare("/s/a", Condition::Modified(first.revision)),
    ];
    let second =
        client.transact(&conditions, &[put("/s/a", b"3", None), put("/s/b", b"", None)]).await.unwrap();
    assert!(second.succeeded && second.revision > first.revision);
    let range = client.range(b"/s/").await.unwrap();
    assert_eq!(range.revision, second.revision);
    assert_ne!(range.cluster_id, 0);
    let found: Vec<_> = range.entries.iter().map(|it| (it.key.as_slice(), it.value.as_slice())).collect();
    assert_eq!(found, [(&b"/s/a"[..], &b"3"[..]), (b"/s/b", b"")]);
    let [a, _] = range.entries.as_slice() else { panic!() };
    assert_eq!((a.create_revision, a.mod_revision, a.lease), (first.revision, second.revision, 0));
    client.transact(&[], &[Operation::Delete { key: b"/s/a".to_vec() }]).await.unwrap();
    assert_eq!(client.get(b"/s/a").await.unwrap(), None);
    assert!(client.get(b"/s/b").await.unwrap().is_some());
}

#[tokio::test]
async fn ranges_of_many_and_of_large_values_are_read_in_pages() {
    if !need(&["etcd"]) {
        return;
    }
    let etcd = Etcd::start(1);
    let client = client(&etcd);
    for hundred in 0..12 {
        let writes: Vec<_> =
            (0..100).map(|it| put(&format!("/many/{hundred:02}{it:02}"), b"x", None)).collect();
        client.transact(&[], &writes).await.unwrap();
    }
    assert_eq!(client.range(b"/many/").await.unwrap().entries.len(), 1200);
    // Each is shorter than what etcd refuses, and all together are longer than one answer.
    let large = vec![b'x'; 1024 * 1024];
    for it in 0..40 {
        client.transact(&[], &[put(&format!("/large/{it:02}"), &large, None)]).await.unwrap();
    }
    let range = client.range(b"/large/").await.unwrap();
    assert_eq!(range.entries.len(), 40);
    assert!(range.entries.iter().all(|it| it.value.len() == VALUE_BYTES_KEPT));
    // The pages have grown with short keys when the large ones come.
    for hundred in 0..12 {
        let writes: Vec<_> =
            (0..100).map(|it| put(&format!("/before/{hundred:02}{it:02}"), b"x", None)).collect();
        client.transact(&[], &writes).await.unwrap();
    }
    let all = client.range(b"/").await.unwrap();
    assert!(all.entries.is_sorted_by(|a, b| a.key < b.key));
    assert_eq!(all.entries.len(), 2440);
}

#[tokio::test]
async fn keys_end_with_their_lease_and_the_watch_reports_it() {
    if !need(&["etcd"]) {
        return;
    }
    let etcd = Etcd::start(1);
    let client = client(&etcd);
    let granted = client.grant(Duration::from_secs(2)).await.unwrap();
    assert!(granted.ttl >= Duration::from_secs(2), "{granted:?}");
    let put = client.transact(&[], &[put("/w/a", b"1", Some(granted.lease))]).await.unwrap();
    let mut watch = client.watch(b"/w/", put.revision).await.unwrap();
    let batch = watch.next().await.unwrap();
    assert_eq!(batch.revision, put.revision);
    assert!(
        matches!(&batch.changes[..], [Change::Written(it)] if it.key == b"/w/a" && it.lease == granted.lease)
    );
    assert!(client.keep_alive(granted.lease).await.unwrap() >= Duration::from_secs(1));
    client.revoke(granted.lease).await.unwrap();
    let batch = watch.next().await.unwrap();
    assert_eq!(batch.changes, [Change::Deleted(b"/w/a".to_vec())]);
    assert_eq!(client.keep_alive(granted.lease).await.unwrap(), Duration::ZERO);
}

#[tokio::test]
async fn compacted_revisions_end_a_watch() {
    if !need(&["etcd"]) {
        return;
    }
    let etcd = Etcd::start(1);
    let client = client(&etcd);
    for _ in 0..3 {
        client.transact(&[], &[put("/c", b"1", None)]).await.unwrap();
    }
    let last = client.transact(&[], &[put("/c", b"2", None)]).await.unwrap();
    etcd.ctl(&["compact", &last.revision.to_string()]).success();
    let mut watch = client.watch(b"/c", 1).await.unwrap();
    assert!(matches!(watch.next().await, Err(Error::Compacted)));
}

/// A call that a member may have received is not repeated, so one fails; the next uses another member.
#[tokio::test]
async fn another_member_is_used_when_one_dies() {
    if !need(&["etcd"]) {
        return;
    }
    let mut etcd = Etcd::start(3);
    let client = client(&etcd);
    let written = client.transact(&[], &[put("/f", b"1", None)]).await.unwrap();
    let mut watch = client.watch(b"/f", written.revision + 1).await.unwrap();
    etcd.kill(0);
    let ended = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap();
    assert!(matches!(ended, Err(Error::Lost(_))), "{ended:?}");
    let mut attempts = 0;
    while let Err(error) = client.transact(&[], &[put("/f", b"2", None)]).await {
        attempts += 1;
        assert!(attempts < 10, "{error}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(client.get(b"/f").await.unwrap().unwrap().value, b"2");
    etcd.kill(1);
    etcd.kill(2);
    // The first call may find a connection whose end it only notices when it has sent something.
    let _ = client.get(b"/f").await;
    let error = client.get(b"/f").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)) && error.is_undone(), "{error}");
}

#[tokio::test]
async fn users_log_on_with_a_password_and_again_when_the_token_has_ended() {
    if !need(&["etcd"]) {
        return;
    }
    let etcd = Etcd::start(1);
    for arguments in
        [&["user", "add", "root:secret"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]]
    {
        etcd.ctl(arguments).success();
    }
    let stranger = client(&etcd);
    assert!(matches!(stranger.get(b"/a").await, Err(Error::Refused { .. })));
    let scratch = tempfile::tempdir().unwrap();
    let password_file = scratch.path().join("password");
    std::fs::write(&password_file, "wrong\n").unwrap();
    let login = Some(Login { user: String::from("root"), password_file: password_file.clone() });
    let client = Client::new(Settings { login, ..settings(&etcd) }).unwrap();
    let refused = client.get(b"/a").await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }) && refused.is_undone(), "{refused:?}");
    std::fs::write(&password_file, "secret\n").unwrap();
    assert_eq!(client.get(b"/a").await.unwrap(), None);
    client.watch(b"/a", 1).await.unwrap();
    // A change of the users makes tokens of before invalid.
    etcd.ctl(&["--user=root:secret", "user", "add", "ann:x"]).success();
    client.transact(&[], &[put("/a", b"1", None)]).await.unwrap();
    std::fs::remove_file(&password_file).unwrap();
    let client = Client::new(Settings {
        login: Some(Login { user: String::from("root"), password_file }),
        ..settings(&etcd)
    });
    assert!(matches!(client.unwrap().get(b"/a").await, Err(Error::Password { .. })));
}

#[tokio::test]
async fn tls_trusts_the_configured_authority_and_shows_the_clients_certificate() {
    if !need(&["etcd"]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let own = rcgen::generate_simple_self_signed([String::from("127.0.0.1")]).unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = parameters.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new([String::from("127.0.0.1")]).unwrap();
    parameters.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let authority = file("ca", ca.pem());
    let (certificate, key) = (file("cert", certificate.pem()), file("key", key.serialize_pem()));
    let tls = EtcdTls { certificate: certificate.clone(), key: key.clone(), authority: authority.clone() };
    let etcd = Etcd::start_with_tls(tls);
    let with = |tls: TlsFiles| Client::new(Settings { tls, ..settings(&etcd) }).unwrap();
    let known = with(TlsFiles { ca_file: Some(authority.clone()), client: Some((certificate, key)) });
    known.transact(&[], &[put("/t", b"1", None)]).await.unwrap();
    let nobody = with(TlsFiles { ca_file: Some(authority), client: None });
    assert!(nobody.get(b"/t").await.is_err());
    let wrong = with(TlsFiles { ca_file: Some(file("other", own.cert.pem())), client: None });
    let error = wrong.get(b"/t").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");

    // A certificate that has expired is refused, and one that replaces it is used without a restart.
    let mut parameters = rcgen::CertificateParams::new([String::from("127.0.0.1")]).unwrap();
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let expired = parameters.signed_by(&key, &issuer).unwrap();
    let files = (file("client", expired.pem()), file("client-key", key.serialize_pem()));
    let client = with(TlsFiles { ca_file: Some(file("again", ca.pem())), client: Some(files) });
    assert!(client.get(b"/t").await.is_err());
    parameters.not_after = rcgen::date_time_ymd(4000, 1, 1);
    file("client", parameters.signed_by(&key, &issuer).unwrap().pem());
    assert!(client.get(b"/t").await.unwrap().is_some());
    // A file that is being replaced is no reason to stop.
    file("client", String::from("unfinished"));
    assert!(client.get(b"/t").await.unwrap().is_some());
}
