//! Trees as nfsd(7) and the kernel's `client_info_show` and `states_show` describe them, written for these tests.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use control::{FileQuery, SessionQuery, WhoQuery, number, permission};
use proptest::prelude::*;

use super::*;
use crate::Administration as _;
use crate::local::client::LocalClient;
use crate::local::source::Machine;

const INFO: &str = r#"clientid: 0x4f2a9c1163a1b2c4
address: "192.0.2.7:883"
status: confirmed
seconds from last renew: 12
name: "Linux NFSv4.2 desk7.example.org"
minor version: 2
Implementation domain: "kernel.org"
Implementation name: "Linux 6.1.0-18-amd64 #1 SMP x86_64"
Implementation time: [0, 0]
callback state: UP
callback address: "192.0.2.7:0"
admin-revoked states: 0
session slots: 30
"#;

const STATES: &str = r#"- 0x00000001c4b2a163119c2a4f01000000: { type: open, access: rw, deny: --, superblock: "fd:10:13649", filename: "plan/report.docx", owner: "open id:\x00\x00\x001" }
- 0x00000003c4b2a163119c2a4f02000000: { type: lock, superblock: "fd:10:13649", filename: "plan/report.docx", owner: "lock id:\x00\x01" }
- 0x00000001c4b2a163119c2a4f03000000: { type: deleg, access: w, superblock: "fd:10:13649", filename: "plan/report.docx" }
- 0x00000001c4b2a163119c2a4f04000000: { type: open, access: r-, deny: -w, superblock: "fd:10:13650", filename: "plan/say \"hi\", all.txt", owner: "open id:\x00" }
- 0x00000001c4b2a163119c2a4f05000000: { type: deleg, access: r, superblock: "fd:10:13651", filename: "plan/old.txt" }
- 0x00000001c4b2a163119c2a4f06000000: { type: layout, superblock: "fd:10:13652", filename: "plan/big.img" }
- 0x00000001c4b2a163119c2a4f07000000: { type: open, access: r-, deny: --, owner: "open id:\x02", admin-revoked }
"#;

fn tree(clients: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("clients")).unwrap();
    for (number, info, states) in clients {
        let directory = root.path().join("clients").join(number);
        fs::create_dir(&directory).unwrap();
        for (name, text) in [("info", *info), ("states", *states), ("ctl", "")] {
            fs::write(directory.join(name), text).unwrap();
        }
    }
    root
}

fn client(root: &Path) -> LocalClient<Nfs<Machine>> {
    LocalClient::new(Nfs::new(Machine, Some(root.to_owned())))
}

#[tokio::test]
async fn a_client_is_a_session() {
    let root = tree(&[("7", INFO, STATES), ("9", "address: \"[2001:db8::9]:1000\"\nminor version: 0\n", "")]);
    let sessions = client(root.path()).sessions(&SessionQuery::default()).await.unwrap();
    let [first, second] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((first.id, first.computer.as_str()), (Some(7), "192.0.2.7"));
    assert_eq!(first.computer_name.as_deref(), Some("desk7.example.org"));
    assert_eq!(first.client_type.as_deref(), Some("Linux NFSv4.2 desk7.example.org"));
    assert_eq!((first.opens, first.idle_seconds), (Some(3), Some(12)));
    assert_eq!(first.dialect.as_deref(), Some("NFS 4.2"));
    assert_eq!(first.make.as_deref(), Some("nfs"));
    assert_eq!((first.signed, first.connected_at, first.user.as_str()), (None, None, ""));
    assert_eq!((second.computer.as_str(), second.idle_seconds), ("2001:db8::9", None));
    assert_eq!(second.dialect.as_deref(), Some("NFS 4.0"));
}

#[tokio::test]
async fn opens_have_the_locks_and_delegations_of_their_file() {
    let root = tree(&[("7", INFO, STATES)]);
    let files = client(root.path()).files(&FileQuery::default()).await.unwrap();
    let of =
        |path: &str| files.iter().find(|it| it.path == path).unwrap_or_else(|| panic!("{path}: {files:?}"));
    let report = of(r"plan\report.docx");
    assert_eq!(report.permissions, Some(permission::READ | permission::WRITE));
    assert_eq!((report.locks, report.oplock.as_deref()), (Some(1), Some("deleg w")));
    assert_eq!((report.session_id, report.computer.as_deref()), (Some(7), Some("192.0.2.7")));
    let quoted = of(r#"plan\say "hi", all.txt"#);
    assert_eq!(quoted.share_access.as_ref().unwrap().iter().map(|it| &**it).collect::<Vec<_>>(), ["read"]);
    assert_eq!((quoted.locks, quoted.oplock.as_deref()), (Some(0), Some("none")));
    assert_eq!(of(r"plan\old.txt").oplock.as_deref(), Some("deleg r"));
    assert_eq!(
        (of(r"plan\big.img").oplock.as_deref(), of(r"plan\big.img").permissions),
        (Some("layout"), None)
    );
    // The kernel has closed the file of a revoked state.
    assert_eq!((of("").locks, of("").oplock.as_deref()), (None, None));
    assert_eq!(files.len(), 5);
}

#[tokio::test]
async fn ids_stay_the_same_when_a_state_changes() {
    let later = STATES.replace("- 0x00000001", "- 0x00000002");
    let ids = async |states: &str| {
        let root = tree(&[("7", INFO, states)]);
        let files = client(root.path()).files(&FileQuery::default()).await.unwrap();
        files.iter().map(|it| (it.id, it.path.clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(STATES).await, ids(&later).await);
    let root = tree(&[("7", INFO, STATES)]);
    let id = ids(STATES).await[0].0;
    assert_eq!(client(root.path()).file(id).await.unwrap().id, id);
    assert_eq!(client(root.path()).file(id ^ 1).await.unwrap_err().number(), number::FILE_ID_NOT_FOUND);
}

#[tokio::test]
async fn the_opens_of_a_path_are_found_by_inode() {
    let files = tempfile::tempdir().unwrap();
    let (held, free) = (files.path().join("held.txt"), files.path().join("free.txt"));
    fs::write(&held, "").unwrap();
    fs::write(&free, "").unwrap();
    let inode = fs::metadata(&held).unwrap();
    let (major, minor) = (rustix::fs::major(inode.dev()), rustix::fs::minor(inode.dev()));
    let states = format!(
        "- 0x00000001aa: {{ type: open, access: r-, deny: --, superblock: \"{major:02x}:{minor:02x}:{}\", filename: \"x/held.txt\" }}\n",
        inode.ino()
    );
    let root = tree(&[("7", INFO, &states)]);
    let client = client(root.path());
    let holders = async |path: &Path| {
        let query = WhoQuery { path: path.to_string_lossy().into_owned(), ..WhoQuery::default() };
        client.who(&query).await.unwrap().holders.len()
    };
    assert_eq!(holders(&held).await, 1);
    assert_eq!(holders(&free).await, 0);
    assert_eq!(holders(files.path()).await, 1);
    assert_eq!(holders(&files.path().join("missing")).await, 0);
}

/// A server whose `ctl` works.
struct Expiring;

impl Source for Expiring {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Machine.read(path)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        Machine.names(directory)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(bytes, b"expire\n");
        fs::metadata(path)?;
        fs::remove_dir_all(path.parent().unwrap())
    }

    async fn run(
        &self,
        _program: &str,
        _arguments: &[&std::ffi::OsStr],
    ) -> io::Result<crate::local::source::Finished> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[tokio::test(start_paused = true)]
async fn ending_a_session_expires_the_client() {
    let root = tree(&[("7", INFO, STATES), ("8", INFO, "")]);
    let expiring = LocalClient::new(Nfs::new(Expiring, Some(root.path().to_owned())));
    let sessions = expiring.sessions(&SessionQuery::default()).await.unwrap();
    let ended = expiring.end_session(&sessions[0]).await.unwrap();
    assert_eq!((ended.sessions, ended.files), (1, 3));
    assert_eq!(expiring.end_session(&sessions[0]).await.unwrap_err().number(), number::CLIENT_NAME_NOT_FOUND);
    assert_eq!(expiring.sessions(&SessionQuery::default()).await.unwrap().len(), 1);
    // A kernel that took the word and kept the client is no success.
    let stuck = client(root.path()).end_session(&sessions[1]).await.unwrap_err();
    assert_eq!(stuck.number(), number::BUSY);
}

#[tokio::test]
async fn a_missing_server_and_unsupported_operations_are_reported() {
    let root = tempfile::tempdir().unwrap();
    let error = client(root.path()).sessions(&SessionQuery::default()).await.unwrap_err();
    assert_eq!(error.number(), number::SERVER_NOT_STARTED);
    let root = tree(&[("7", INFO, STATES)]);
    let client = client(root.path());
    let id = client.files(&FileQuery::default()).await.unwrap()[0].id;
    let error = client.close_file(id, &CloseFile::default()).await.unwrap_err();
    assert_eq!(error.number(), number::NOT_SUPPORTED);
    assert!(error.hint().unwrap().contains("/delete"));
    for query in [
        FileQuery { user: Some("alice".into()), ..FileQuery::default() },
        FileQuery { share: Some("data".into()), ..FileQuery::default() },
        FileQuery { mine: Some(true), ..FileQuery::default() },
    ] {
        assert_eq!(client.files(&query).await.unwrap_err().number(), number::NOT_SUPPORTED, "{query:?}");
    }
}

#[tokio::test]
async fn hostile_trees_are_read_without_harm() {
    let root = tree(&[
        ("1", "", ""),
        (
            "2",
            "address: \"\nname: \"\nminor version: -1\nseconds from last renew: -5\n",
            "- \n- 0x: {\n- : { type: open",
        ),
        ("4294967296", INFO, STATES),
        ("-3", INFO, STATES),
        ("..x", INFO, STATES),
        (
            "5",
            &"x:y\n".repeat(100_000),
            "- 0x1: { type: open, superblock: \"zz:1:-9\", filename: \"a\x1b[2J\" }",
        ),
    ]);
    fs::write(root.path().join("clients/2/states"), b"- 0x1: { type: open, filename: \"\xff\xfe\" }\n\xff")
        .unwrap();
    fs::write(root.path().join("clients/6"), "a file").unwrap();
    let client = client(root.path());
    let sessions = client.sessions(&SessionQuery::default()).await;
    // A file in the place of a directory is no tree of this server.
    assert!(sessions.is_err());
    fs::remove_file(root.path().join("clients/6")).unwrap();
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    assert_eq!(sessions.iter().filter_map(|it| it.id).collect::<Vec<_>>(), [1, 2, 5]);
    assert!(sessions.iter().all(|it| it.idle_seconds.is_none() && it.dialect.is_none()));
    let files = client.files(&FileQuery::default()).await.unwrap();
    assert_eq!(files.len(), 2);
}

#[tokio::test]
async fn ten_thousand_opens_are_listed() {
    let states: String = (0..10_000)
        .map(|it| format!("- 0x00000001{it:024x}: {{ type: open, access: rw, deny: --, superblock: \"fd:10:{it}\", filename: \"d/{it}\" }}\n"))
        .collect();
    let root = tree(&[("7", INFO, &states)]);
    assert_eq!(client(root.path()).files(&FileQuery::default()).await.unwrap().len(), 10_000);
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,200}", line in "- 0x[0-9a-f]{0,40}: \\{ (type: (open|lock|deleg|layout), )?(superblock: \"\\PC{0,12}\", )?(filename: \"\\PC{0,12}\"?)?( \\})?") {
        let client = parse::Client::parse(&text);
        let states = parse::states(&format!("{text}\n{line}\n"));
        client.session(1, &states);
        client.opens(1, &states);
    }
}
