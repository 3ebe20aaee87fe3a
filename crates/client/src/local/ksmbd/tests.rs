//! Trees in both forms of the kernel, written for these tests from its source.

use std::fs;

use control::{ConnectionQuery, FileQuery, SessionQuery, WhoQuery, number, permission};
use proptest::prelude::*;

use super::*;
use crate::Administration as _;
use crate::local::client::LocalClient;
use crate::local::source::Machine;

/// A session of the first form.
const COLUMNS: &str = "client              \t192.0.2.7\n\
    user                \talice\n\
    id                  \t3\n\
    state               \tvalid\n\
    capabilities        \t0x00000002\t0x00000004\t\n\
    signing             \taes-gmac\t\n\
    channels            \t1\n\
    share               \tdata\t       2 disk \n\
    share               \tIPC$\t       1 pipe \n";

const ENCRYPTED: &str = "client              \t2001:db8::9\n\
    user                \t(Guest)\n\
    id                  \t5\n\
    encryption          \taes128-gcm\t\n\
    share               \ta share\t       7 disk \n\
    share               \tIPC$\t       1 pipe \n";

/// Opens of the first form: with and without the line break behind the oplock.
const TABLE: &str = "#<tree id>  <pid>      <vid>      <refcnt>   <oplock>        <daccess>  <saccess>  <name>\n\
    0x2        0         0         0x1        LEASE_R         LEASE_H         LEASE_RH       \n 0x00120089 0x00000007 report of may.docx\n\
    0x1        0x1        0x1        0x1                         0x0012019f 0x00000003 srvsvc\n\
    0x7        0x2        0         0x1        OPLOCK_BATCH   \n 0x0012019f 0 x.txt\n\
    0          0x3        0         0x1        OPLOCK_EXECL   \n 0x00100001 0x00000001 kept.txt\n";

/// A session of the later form.
const FIELDS: &str = "user:\tbob\n\
    account_type:\tuser\n\
    id:\t12\n\
    state:\tvalid\n\
    dialect:\t0x0311\n\
    last_active_seconds:\t44\n\
    open_files:\t2\n\
    client:\t198.51.100.4\n\
    capabilities:\tlease,large-mtu\n\
    posix_extensions:\tno\n\
    channels:\t1\n";

const BLOCKS: &str = "tree_id:\t0x2\n\
    persistent_id:\t0x9\n\
    volatile_id:\t0x0\n\
    refcount:\t1\n\
    oplock:\tLEASE_RWH\n\
    state:\topen\n\
    durable_timeout:\t60000\n\
    create_options:\t0x00000040\n\
    desired_access:\t0x0013019f\n\
    share_access:\t0x00000007\n\
    flags:\tdurable,delete-on-close\n\
    name:\tplan.txt\n\
    \n\
    tree_id:\t0x0\n\
    persistent_id:\t0xa\n\
    oplock:\tnone\n\
    desired_access:\t0x00000080\n\
    flags:\tnone\n\
    name:\tother.txt\n\
    \n";

fn tree(sessions: &[(&str, &str)], files: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("sessions")).unwrap();
    fs::write(root.path().join("sessions/sessions"), "#<client> <user> <sess_id> <state>\n").unwrap();
    for (id, text) in sessions {
        fs::write(root.path().join("sessions").join(id), text).unwrap();
    }
    fs::write(root.path().join("files"), files).unwrap();
    root
}

fn client(root: &Path) -> LocalClient<Ksmbd<Machine>> {
    LocalClient::new(Ksmbd::new(Machine, Some(root.to_owned())))
}

#[tokio::test]
async fn sessions_of_the_first_form() {
    let root = tree(&[("3", COLUMNS), ("5", ENCRYPTED)], TABLE);
    let client = client(root.path());
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    let [alice, guest] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((alice.id, &*alice.computer, &*alice.user), (Some(3), "192.0.2.7", "alice"));
    assert_eq!((alice.signed, alice.signing.as_deref()), (Some(true), Some("AES-128-GMAC")));
    assert_eq!((alice.encrypted, alice.guest, alice.dialect.as_deref()), (Some(false), Some(false), None));
    let shares: Vec<_> = alice.shares.iter().flatten().map(|it| (&*it.name, it.kind, it.opens)).collect();
    assert_eq!(shares, [("data", ShareKind::Disk, None), ("IPC$", ShareKind::Ipc, None)]);
    assert_eq!(
        (&*guest.computer, guest.guest, guest.cipher.as_deref()),
        ("2001:db8::9", Some(true), Some("AES-128-GCM"))
    );
    let connections = client.connections(&ConnectionQuery::default()).await.unwrap();
    assert_eq!(connections.len(), 4);
    assert!(connections.iter().any(|it| it.share == "a share" && it.session_id == Some(5)));
}

#[tokio::test]
async fn opens_of_the_first_form() {
    let root = tree(&[("3", COLUMNS), ("5", ENCRYPTED)], TABLE);
    let files = client(root.path()).files(&FileQuery::default()).await.unwrap();
    let [report, pipe, batch, kept] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!((report.id, &*report.path, &*report.user), (0, "report of may.docx", "alice"));
    assert_eq!((report.share.as_deref(), report.session_id), (Some("data"), Some(3)));
    assert_eq!((report.oplock.as_deref(), report.lease.as_deref()), (Some("lease"), Some("RH")));
    assert_eq!(report.permissions, Some(permission::READ));
    // Both sessions have a tree of this id.
    assert_eq!(
        (&*pipe.user, pipe.share.as_deref(), pipe.session_id, pipe.oplock.as_deref()),
        ("", None, None, None)
    );
    assert_eq!((batch.oplock.as_deref(), batch.share.as_deref()), (Some("batch"), Some("a share")));
    assert_eq!(batch.share_access.as_deref(), Some([].as_slice()));
    assert_eq!(
        (kept.oplock.as_deref(), kept.durable, &*kept.path),
        (Some("exclusive"), Some(true), "kept.txt")
    );
}

#[tokio::test]
async fn the_later_form() {
    let root = tree(&[("12", FIELDS)], BLOCKS);
    let client = client(root.path());
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    let [bob] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((bob.id, &*bob.user, &*bob.computer), (Some(12), "bob", "198.51.100.4"));
    assert_eq!((bob.opens, bob.idle_seconds, bob.dialect.as_deref()), (Some(2), Some(44), Some("3.1.1")));
    assert_eq!((bob.signed, bob.encrypted, bob.make.as_deref()), (None, None, Some("ksmbd")));
    let files = client.files(&FileQuery::default()).await.unwrap();
    let [plan, other] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(
        (plan.id, plan.lease.as_deref(), plan.durable, plan.delete_pending),
        (9, Some("RWH"), Some(true), Some(true))
    );
    assert_eq!((other.id, other.oplock.as_deref(), other.permissions), (10, Some("none"), Some(0)));
}

#[tokio::test]
async fn names_alone_do_not_tell_who_has_a_file_open() {
    let root = tree(&[("3", COLUMNS)], TABLE);
    let client = client(root.path());
    let ask = async |path: &str| {
        let who = client.who(&WhoQuery { path: path.into(), ..WhoQuery::default() }).await;
        who.map(|who| who.holders.len()).map_err(|error| error.number())
    };
    assert_eq!(ask("/srv/nothing of this name").await, Ok(0));
    assert_eq!(ask("/srv/x.txt").await, Err(number::NOT_SUPPORTED));
    assert_eq!(ask("/").await, Err(number::NOT_SUPPORTED));
}

#[tokio::test]
async fn nothing_can_be_ended_and_a_missing_server_is_reported() {
    let root = tree(&[("3", COLUMNS)], TABLE);
    let client_of_tree = client(root.path());
    let sessions = client_of_tree.sessions(&SessionQuery::default()).await.unwrap();
    assert_eq!(client_of_tree.end_session(&sessions[0]).await.unwrap_err().number(), number::NOT_SUPPORTED);
    assert_eq!(
        client_of_tree.close_file(2, &CloseFile::default()).await.unwrap_err().number(),
        number::NOT_SUPPORTED
    );
    let empty = tempfile::tempdir().unwrap();
    for error in [
        client(empty.path()).sessions(&SessionQuery::default()).await.unwrap_err(),
        client(empty.path()).files(&FileQuery::default()).await.unwrap_err(),
    ] {
        assert_eq!(error.number(), number::SERVER_NOT_STARTED);
    }
}

#[test]
fn kernels_that_crash_are_known_by_their_release() {
    for (release, crashes) in [
        ("7.0.0", true),
        ("7.0.10-generic", true),
        ("7.0-rc3", true),
        ("7.0.11", false),
        ("7.0.11-1-arch", false),
        ("7.1.0", false),
        ("6.18.44", false),
        ("70.0.1", false),
        ("", false),
    ] {
        assert_eq!(crashes_on_files(release), crashes, "{release}");
    }
}

#[tokio::test]
async fn hostile_trees_are_read_without_harm() {
    let huge = format!("share\t{}\n", "x".repeat(100_000)).repeat(20);
    for (session, files) in [
        ("", ""),
        (
            "user:\t\u{1b}[2J\nid:\t-1\nopen_files:\t-7\ndialect:\t0xffffffffffff\n",
            "#\n0x1\n-5 -6 -7 -8 LEASE_\n",
        ),
        (huge.as_str(), "tree_id:\t0x1\ntree_id:\t\npersistent_id:\t0x1ffffffff\nname:\n"),
        ("\0\0\0", "#x\n\n\n\n0x1 0x2 0x3 0x4 LEASE_RWH"),
    ] {
        let root = tree(&[("1", session), ("18446744073709551615", session), ("-4", session)], files);
        let client = client(root.path());
        let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
        assert_eq!(sessions.len(), 2);
        assert!(sessions.iter().all(|it| it.opens.is_none()));
        client.files(&FileQuery::default()).await.unwrap();
    }
    let root = tree(&[], "");
    fs::write(root.path().join("sessions/4"), b"user:\t\xff\xfe\nclient:\t\xff\n").unwrap();
    fs::write(root.path().join("files"), b"#\n0x1 0x2 0x3 0x4 0x1 0x1 \xff\xfe\n").unwrap();
    let client = client(root.path());
    assert_eq!(client.sessions(&SessionQuery::default()).await.unwrap()[0].user, "\u{fffd}\u{fffd}");
    assert_eq!(client.files(&FileQuery::default()).await.unwrap()[0].path, "\u{fffd}\u{fffd}");
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[#0-9a-fx:\\t\\n LEASE_RWHOPK]{0,300}", more in "\\PC{0,100}") {
        let session = SessionText::parse("1", &format!("{text}{more}"));
        session.session();
        for file in parse::files(&format!("{more}{text}")).iter().chain(&parse::files(&text)) {
            file.found(std::slice::from_ref(&session));
        }
    }
}
