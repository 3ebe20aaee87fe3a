//! Reports of smbstatus in the forms of Samba 4.17 and 4.25 and as text, written for these tests.

use std::io;

use control::{ConnectionQuery, FileQuery, SessionQuery, ShareKind, Timestamp, WhoQuery, number, permission};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Administration as _;
use crate::local::client::LocalClient;

/// Samba's programs with canned output, for the words of their command line.
#[derive(Default)]
struct Canned {
    runs: Vec<(&'static str, Finished)>,
    /// The processes that smbcontrol ended.
    ended: Mutex<Vec<String>>,
}

impl Canned {
    fn with(mut self, words: &'static str, output: impl Into<Vec<u8>>) -> Self {
        self.runs.push((words, Finished { success: true, output: output.into(), messages: String::new() }));
        self
    }

    fn failing(mut self, words: &'static str, output: &str, messages: &str) -> Self {
        let finished = Finished { success: false, output: output.into(), messages: messages.to_owned() };
        self.runs.push((words, finished));
        self
    }
}

impl Source for Canned {
    /// The processes of smbd are children of process 10, and 13 is one of a shell.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = match path.to_str().unwrap() {
            "/proc/11/status" | "/proc/12/status" => "Name:\tsmbd\nPPid:\t10\n",
            "/proc/10/comm" => "smbd\n",
            "/proc/13/status" => "Name:\tsmbd\nPPid:\t1\n",
            "/proc/1/comm" => "sh\n",
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(content.into())
    }

    fn names(&self, _directory: &Path) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn write(&self, _path: &Path, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    async fn run(&self, program: &str, arguments: &[&OsStr]) -> io::Result<Finished> {
        let words = arguments.iter().map(|it| it.to_string_lossy().into_owned());
        let words = [vec![program.to_owned()], words.collect()].concat().join(" ");
        if program == "smbcontrol" {
            self.ended.lock().push(words.clone());
            return Ok(Finished { success: true, ..Finished::default() });
        }
        let run = self.runs.iter().find(|(known, _)| *known == words);
        let mut finished = run.map(|(_, finished)| finished.clone()).ok_or(io::ErrorKind::NotFound)?;
        // A process that smbcontrol ended has no sessions.
        for ended in self.ended.lock().iter() {
            let process = ended.split(' ').nth(1).unwrap();
            if let Ok(Value::Object(mut report)) = serde_json::from_slice(&finished.output) {
                for key in ["sessions", "tcons"] {
                    if let Some(entries) = report.get_mut(key).and_then(Value::as_object_mut) {
                        entries.retain(|_, it| it["server_id"]["pid"] != process);
                    }
                }
                finished.output = Value::Object(report).to_string().into();
            }
        }
        Ok(finished)
    }
}

const JSON: &str = "smbstatus --json --byterange --resolve-uids";

fn client(canned: Canned) -> LocalClient<Samba<Canned>> {
    LocalClient::new(Samba::new(canned, None, None))
}

fn process(number: &str) -> Value {
    json!({ "pid": number, "task_id": "0", "vnn": "4294967295", "unique_id": "371137588902142522" })
}

/// Two sessions in one process and one in another, as Samba 4.17 writes them.
fn report() -> Value {
    let session = |id: &str, pid: &str, uid: u32, user: &str, machine: &str, socket: &str| {
        json!({
            "session_id": id, "server_id": process(pid), "uid": uid, "gid": uid, "username": user,
            "groupname": user, "remote_machine": machine, "hostname": socket, "session_dialect": "SMB3_11",
            "encryption": { "cipher": "-", "degree": "none" },
            "signing": { "cipher": "AES-128-GMAC", "degree": "partial" }
        })
    };
    let tree = |id: &str, share: &str, pid: &str, session: &str| {
        json!({
            "service": share, "server_id": process(pid), "tcon_id": id, "session_id": session,
            "machine": "192.0.2.7", "connected_at": "2026-03-01T09:30:00.453939+01:00"
        })
    };
    let open = |pid: &str, uid: u32, number: &str, access: &str, opened: &str| {
        json!({
            "server_id": process(pid), "uid": uid, "username": "from-uid", "share_file_id": number,
            "sharemode": { "hex": "0x00000003", "READ": true, "WRITE": true, "DELETE": false, "text": "RW" },
            "access_mask": { "hex": access, "text": "RW" },
            "oplock": {}, "lease": {}, "opened_at": opened
        })
    };
    let mut leased = open("12", 64102, "70000", "0x0012019f", "2026-03-01T09:30:01.000000+00:00");
    leased["oplock"] =
        json!({ "EXCLUSIVE": false, "BATCH": false, "LEVEL_II": false, "LEASE": true, "text": "LEASE(RWH)" });
    leased["lease"] = json!({ "lease_key": "x", "hex": "0x00000007", "text": "RWH" });
    let mut batch = open("18446744073709551615", 64102, "9", "0x00000001", "not a time");
    batch["oplock"] =
        json!({ "EXCLUSIVE": true, "BATCH": true, "LEVEL_II": false, "LEASE": false, "text": "BATCH" });
    let file = |name: &str, directory: &str, opens: Value| {
        json!({
            "service_path": directory, "filename": name, "num_pending_deletes": 0,
            "fileid": { "devid": 65024, "inode": 10060523, "extid": 0 }, "opens": opens
        })
    };
    json!({
        "timestamp": "2026-03-01T09:31:00.447197+0000", "version": "4.17.12-Debian", "smb_conf": "/etc/samba/smb.conf",
        "sessions": {
            "101": session("101", "11", 64100, "alice", "192.0.2.7", "ipv4:192.0.2.7:41772"),
            "102": session("102", "11", 64101, "OFFICE\\bob", "192.0.2.7", "ipv4:192.0.2.7:41772"),
            "103": session("103", "12", 64102, "carol", "desk9", "ipv6:2001:db8::9:41000"),
        },
        "tcons": {
            "201": tree("201", "data", "11", "101"),
            "202": tree("202", "IPC$", "11", "101"),
            "203": tree("203", "Projects", "12", "103"),
            "204": tree("204", "data", "12", "103"),
        },
        "open_files": {
            "/srv/data/plan/report.docx": file("plan/report.docx", "/srv/data", json!({
                "11/3": open("11", 64100, "3", "0x0012019f", "2026-03-01T09:30:00.454275+00:00"),
                "11/4": open("11", 64101, "4", "0x00120089", "2026-03-01T09:30:00.454275+00:00"),
            })),
            "/srv/projects/a.txt": file("a.txt", "/srv/projects", json!({ "12/70000": leased })),
            "/srv/data/.": file(".", "/srv/data", json!({ "9/9": batch })),
        },
        "byte_range_locks": {
            "/srv/projects/a.txt": {
                "file_name": "a.txt", "share_path": "/srv/projects", "server_id": process("12"),
                "locks": [
                    { "server_id": process("12"), "type": "W", "flavour": "Windows", "start": 0, "size": 10 },
                    { "server_id": process("12"), "type": "R", "flavour": "Windows", "start": -1, "size": 1 },
                    { "server_id": process("12"), "type": "U", "flavour": "Windows", "start": 5, "size": 1 },
                ]
            },
            "/srv/data/plan/report.docx": {
                "file_name": "plan/report.docx", "share_path": "/srv/data",
                "locks": [{ "server_id": process("11"), "type": "W", "flavour": "Windows", "start": 0, "size": 1 }]
            }
        }
    })
}

const TESTPARM: &str = "[global]\n\tworkgroup = X\n\n[data]\n\tpath = /srv/data\n[Projects]\n\tPATH = \"/srv/projects\"\n\
    [home]\n\tpath = /home/%U\n[twin]\n\tpath = /srv/data\n";

fn canned(report: &Value) -> Canned {
    Canned::default().with(JSON, report.to_string()).with("testparm -s", TESTPARM)
}

#[tokio::test]
async fn sessions_of_samba_4_17() {
    let client = client(canned(&report()));
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    let [alice, bob, carol] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(
        (alice.id, &*alice.user, &*alice.computer, alice.opens),
        (Some(101), "alice", "192.0.2.7", Some(1))
    );
    assert_eq!((alice.signed, alice.signing.as_deref()), (Some(true), Some("AES-128-GMAC")));
    assert_eq!(
        (alice.encrypted, alice.cipher.as_deref(), alice.dialect.as_deref()),
        (Some(false), None, Some("3.1.1"))
    );
    // Samba 4.17 reports neither.
    assert_eq!((alice.connected_at, alice.idle_seconds, alice.guest), (None, None, None));
    assert_eq!((bob.domain.as_deref(), &*bob.user), (Some("OFFICE"), "bob"));
    assert_eq!((&*carol.computer, carol.computer_name.as_deref()), ("2001:db8::9", Some("desk9")));
    let shares = |session: &Session| {
        let all = session.shares.iter().flatten();
        all.map(|it| (it.name.clone(), it.kind, it.opens)).collect::<Vec<_>>()
    };
    assert_eq!(
        shares(alice),
        [("data".into(), ShareKind::Disk, Some(1)), ("IPC$".into(), ShareKind::Ipc, None)]
    );
    assert_eq!(
        shares(carol),
        [("Projects".into(), ShareKind::Disk, Some(1)), ("data".into(), ShareKind::Disk, Some(0))]
    );
    let query = SessionQuery { share: Some("PROJECTS".into()), ..SessionQuery::default() };
    assert_eq!(client.sessions(&query).await.unwrap().len(), 1);
    let query = SessionQuery { idle: Some("1h".parse().unwrap()), ..SessionQuery::default() };
    assert_eq!(client.sessions(&query).await.unwrap_err().number(), number::NOT_SUPPORTED);
}

#[tokio::test]
async fn sessions_of_samba_4_25_have_times_and_channels() {
    let mut report = report();
    let carol = &mut report["sessions"]["103"];
    carol["creation_time"] = json!("2026-03-01T08:00:00.000000+00:00");
    carol["auth_time"] = json!("2026-03-01T08:00:01.500000+00:00");
    carol["expiration_time"] = json!("30828-09-14T02:48:05.477580+00:00");
    carol["channels"] = json!({ "1": {
        "channel_id": "1", "creation_time": "2026-03-01T08:00:00.000000+00:00",
        "local_address": "ipv4:192.0.2.1:445", "remote_address": "ipv4:192.0.2.99:50000", "transport": "tcp"
    } });
    let sessions = client(canned(&report)).sessions(&SessionQuery::default()).await.unwrap();
    let carol = &sessions[2];
    assert_eq!(carol.connected_at, Timestamp::parse("2026-03-01T08:00:01.500Z"));
    assert!(carol.active_seconds.is_some());
    assert_eq!((&*carol.computer, carol.transport.as_deref()), ("192.0.2.99", Some("tcp")));
}

#[tokio::test]
async fn opens_and_their_locks() {
    let client = client(canned(&report()));
    let files = client.files(&FileQuery::default()).await.unwrap();
    let of =
        |user: &str| files.iter().find(|it| it.user == user).unwrap_or_else(|| panic!("{user}: {files:?}"));
    let alice = of("alice");
    assert_eq!((alice.id, &*alice.path), (11 << 16 | 3, r"plan\report.docx"));
    assert_eq!(alice.server_path.as_deref(), Some("/srv/data/plan/report.docx"));
    assert_eq!((alice.share.as_deref(), alice.session_id), (Some("data"), Some(101)));
    assert_eq!(alice.permissions, Some(permission::READ | permission::WRITE | permission::ATTRIBUTES));
    assert_eq!(alice.opened_at, Timestamp::parse("2026-03-01T09:30:00.454Z"));
    // The lock is alice's or bob's: both have the file open in one process.
    assert_eq!((alice.locks, of("OFFICE\\bob").locks), (None, None));
    let carol = of("carol");
    assert_eq!(
        (carol.share.as_deref(), carol.lease.as_deref(), carol.locks),
        (Some("Projects"), Some("RWH"), Some(2))
    );
    assert_eq!(carol.lock_ranges[1].offset, u64::MAX);
    assert_eq!((carol.computer.as_deref(), carol.oplock.as_deref()), (Some("2001:db8::9"), Some("lease")));
    // A number beyond 16 bits overlaps the process, as in MS-SRVS.
    assert_eq!(carol.id, 12 << 16 | 70_000);
    let kept = of("from-uid");
    assert_eq!((kept.durable, kept.session_id, kept.computer.as_deref()), (Some(true), None, None));
    assert_eq!(
        (&*kept.path, kept.server_path.as_deref(), kept.oplock.as_deref()),
        ("", Some("/srv/data"), Some("batch"))
    );
    // Two shares have this directory, and no process says which it was.
    assert_eq!((kept.share.as_deref(), kept.opened_at), (None, None));
    let query = FileQuery { locked: Some(true), ..FileQuery::default() };
    assert_eq!(client.files(&query).await.unwrap().len(), 1);
    assert_eq!(client.file(alice.id).await.unwrap().user, "alice");
    assert_eq!(client.file(7).await.unwrap_err().number(), number::FILE_ID_NOT_FOUND);
}

#[tokio::test]
async fn connections_are_those_of_sessions() {
    let connections = client(canned(&report())).connections(&ConnectionQuery::default()).await.unwrap();
    assert_eq!(connections.len(), 4);
    assert_eq!(
        (&*connections[0].share, &*connections[0].user, connections[0].session_id),
        ("data", "alice", Some(101))
    );
    assert_eq!(connections[1].kind, ShareKind::Ipc);
}

#[tokio::test]
async fn the_opens_of_a_path() {
    let client = client(canned(&report()));
    let ask = async |path: &str, share: Option<&str>| {
        let query = WhoQuery { path: path.into(), share: share.map(str::to_owned), wait: None };
        client.who(&query).await.map(|who| who.holders.len()).map_err(|error| error.number())
    };
    assert_eq!(ask("/srv/data/plan", None).await, Ok(2));
    assert_eq!(ask("/srv/data", None).await, Ok(3));
    assert_eq!(ask("/srv/elsewhere", None).await, Ok(0));
    assert_eq!(ask("a.txt", Some("projects")).await, Ok(1));
    assert_eq!(ask("//host/projects/a.txt", None).await, Ok(1));
    // The share of one open is unknown.
    assert_eq!(ask("b.txt", Some("projects")).await, Err(number::NOT_SUPPORTED));
}

#[tokio::test(start_paused = true)]
async fn ending_a_session_ends_its_process_and_warns_of_others() {
    let client = client(canned(&report()));
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    assert!(client.ending_warning(&sessions[..1]).is_some());
    assert!(client.ending_warning(&sessions[..2]).is_none());
    assert!(client.ending_warning(&sessions[2..]).is_none());
    let ended = client.end_session(&sessions[0]).await.unwrap();
    assert_eq!((ended.sessions, ended.files), (2, 2));
    assert_eq!(client.end_session(&sessions[1]).await.unwrap_err().number(), number::CLIENT_NAME_NOT_FOUND);
    assert_eq!(client.sessions(&SessionQuery::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_process_that_is_no_child_of_smbd_is_not_ended() {
    let mut report = report();
    report["sessions"]["103"]["server_id"] = process("13");
    let client = client(canned(&report));
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    let error = client.end_session(&sessions[2]).await.unwrap_err();
    assert_eq!(error.number(), number::NOT_SUPPORTED);
    assert_eq!(client.sessions(&SessionQuery::default()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn closing_needs_a_logon() {
    let client = client(canned(&report()));
    let error = client.close_file(11 << 16 | 3, &CloseFile::default()).await.unwrap_err();
    assert_eq!(error.number(), number::ACCESS_DENIED);
    let hint = error.hint().unwrap();
    assert!(hint.contains("--server samba: --login USER") && hint.contains("--id 101"), "{hint}");
    let how = CloseFile { expect_user: Some("carol".into()), ..CloseFile::default() };
    assert_eq!(client.close_file(11 << 16 | 3, &how).await.unwrap_err().number(), number::FILE_ID_NOT_FOUND);
    let how = CloseFile { grace: Some(5), ..CloseFile::default() };
    assert_eq!(client.close_file(11 << 16 | 3, &how).await.unwrap_err().number(), number::NOT_SUPPORTED);
}

const TEXT: &str = "\nSamba version 4.13.13-Debian\n\
PID     Username     Group        Machine                                   Protocol Version  Encryption           Signing              \n\
----------------------------------------------------------------------------------------------------------------------------------------\n\
12      carol        domain users desk9 (ipv6:2001:db8::9:41000)            SMB3_11           -                    partial(AES-128-CMAC)\n\
11      OFFICE\\bob   OFFICE\\all   192.0.2.7 (ipv4:192.0.2.7:41772)          SMB3_11           partial(AES-128-GCM) AES-128-GMAC         \n\
\n\
Service      pid     Machine       Connected at                     Encryption   Signing     \n\
---------------------------------------------------------------------------------------------\n\
my share     12      desk9         Sun Mar  1 09:30:00 2026 CET     -            -           \n\
data         11      192.0.2.7     Sun Mar  1 09:30:00 2026 CET     -            -           \n\
\n\
Locked files:\n\
Pid          User(ID)   DenyMode   Access      R/W        Oplock           SharePath   Name   Time\n\
--------------------------------------------------------------------------------------------------\n\
12           64102      DENY_NONE  0x12019f    RDWR       LEASE(RWH)       /srv/my share   plan/a  b.txt   Sun Mar  1 09:30:00 2026\n\
11           64101      DENY_NONE  0x120089    RDONLY     NONE             /srv/data   .   Sun Mar  1 09:30:00 2026\n\
\n";

#[tokio::test]
async fn versions_without_json_are_read_as_text() {
    let old = Canned::default()
        .failing(JSON, "Usage: [OPTION...]\n", "Invalid option --json: unknown option\n")
        .failing("smbstatus --json", "Usage: [OPTION...]\n", "Invalid option --json: unknown option\n")
        .with("smbstatus", TEXT)
        .with("testparm -s", TESTPARM);
    let client = client(old);
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    let [bob, carol] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(
        (bob.id, &*bob.user, bob.domain.as_deref(), &*bob.computer),
        (None, "bob", Some("OFFICE"), "192.0.2.7")
    );
    assert_eq!(
        (bob.encrypted, bob.cipher.as_deref(), bob.signing.as_deref()),
        (Some(true), Some("AES-128-GCM"), Some("AES-128-GMAC"))
    );
    assert_eq!((&*carol.user, &*carol.computer, carol.encrypted), ("carol", "2001:db8::9", Some(false)));
    assert_eq!(carol.opens, Some(1));
    let files = client.files(&FileQuery::default()).await.unwrap();
    let plan = files.iter().find(|it| it.user == "carol").unwrap();
    assert_eq!(
        (&*plan.path, plan.server_path.as_deref()),
        (r"plan\a  b.txt", Some("/srv/my share/plan/a  b.txt"))
    );
    assert_eq!(
        (plan.share.as_deref(), plan.lease.as_deref(), plan.locks),
        (Some("my share"), Some("RWH"), None)
    );
    assert_eq!(plan.opened_at, None);
    let error = client.close_file(plan.id, &CloseFile::default()).await.unwrap_err();
    assert_eq!(error.number(), number::ACCESS_DENIED);
    assert!(client.ending_warning(&sessions[..1]).is_some());
}

#[tokio::test]
async fn opens_that_the_json_omits_are_taken_from_the_text() {
    let mut report = report();
    report["open_files"] = json!({});
    let partial = Finished {
        success: true,
        output: report.to_string().into(),
        messages: "json_add_string: Unable to add string [filename], could not create string object\n"
            .to_owned(),
    };
    let text = TEXT.replace("plan/a  b.txt", "\u{0}").into_bytes();
    let text: Vec<u8> = text.into_iter().map(|byte| if byte == 0 { 0xe4 } else { byte }).collect();
    let mut canned = Canned::default().with("smbstatus", text).with("testparm -s", TESTPARM);
    canned.runs.push((JSON, partial));
    let client = client(canned);
    assert_eq!(client.sessions(&SessionQuery::default()).await.unwrap().len(), 3);
    let files = client.files(&FileQuery::default()).await.unwrap();
    assert_eq!(files.len(), 2);
    assert!(files.iter().any(|it| it.path == "\u{fffd}" && it.user == "carol" && it.locks.is_none()));
}

#[tokio::test]
async fn missing_rights_and_programs_are_reported() {
    let not_root =
        Canned::default().failing(JSON, r#"{"version": "4.17.12"}"#, "smbstatus only works as root!\n");
    let error = client(not_root).sessions(&SessionQuery::default()).await.unwrap_err();
    assert_eq!(error.number(), number::ACCESS_DENIED);
    assert!(error.hint().unwrap().contains("as root"));
    let error = client(Canned::default()).files(&FileQuery::default()).await.unwrap_err();
    assert_eq!(error.number(), number::SERVER_NOT_STARTED);
    assert!(error.hint().unwrap().contains("not installed"));
    let broken = Canned::default().with(JSON, "{").failing("smbstatus", "", "Can't open a database\n");
    let error = client(broken).files(&FileQuery::default()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("Can't open a database"));
    let missing = Samba::new(Canned::default(), Some("/no/such/smb.conf".into()), None);
    let error = LocalClient::new(missing).files(&FileQuery::default()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("/no/such/smb.conf"));
}

#[tokio::test]
async fn a_report_without_some_keys_leaves_them_unknown() {
    let bare = json!({
        "sessions": { "1": {} },
        "tcons": { "2": { "service": 7 } },
        "open_files": { "/srv/x/y.txt": { "opens": { "17/5": { "server_id": { "pid": 17 } } } } }
    });
    let client = client(canned(&bare));
    let sessions = client.sessions(&SessionQuery::default()).await.unwrap();
    assert_eq!((sessions[0].id, sessions[0].signed, sessions[0].dialect.as_deref()), (None, None, None));
    let file = &client.files(&FileQuery::default()).await.unwrap()[0];
    assert_eq!((file.id, file.server_path.as_deref()), (17 << 16 | 5, Some("/srv/x/y.txt")));
    assert_eq!((file.locks, file.permissions, file.oplock.as_deref(), &*file.user), (None, None, None, ""));
}

#[tokio::test]
async fn hostile_reports_are_read_without_harm() {
    let negative = json!({
        "sessions": { "-1": { "session_id": "-1", "uid": -1, "server_id": { "pid": "-7" }, "session_dialect": "\u{1b}[2J" } },
        "open_files": { "": { "opens": { "/": { "share_file_id": "-1", "access_mask": { "hex": "0xfffffffff" } } } } },
        "byte_range_locks": { "x": { "locks": [{ "type": "W" }, 7, null, { "type": "W", "start": "x", "size": {} }] } }
    });
    for text in [
        negative.to_string(),
        "[]".to_owned(),
        "null".to_owned(),
        r#"{"sessions": [], "tcons": 7, "open_files": null, "byte_range_locks": "x"}"#.to_owned(),
    ] {
        let canned = Canned::default()
            .with(JSON, text.clone())
            .with("smbstatus", TEXT)
            .with("testparm -s", "[[]\npath=\n=\n");
        let client = client(canned);
        client.sessions(&SessionQuery::default()).await.unwrap();
        client.files(&FileQuery::default()).await.unwrap();
        client.connections(&ConnectionQuery::default()).await.unwrap();
    }
    let whole = report().to_string();
    for end in [1, whole.len() / 3, whole.len() - 1] {
        let canned =
            Canned::default().with(JSON, &whole[..end]).with("smbstatus", &TEXT[..end.min(TEXT.len())]);
        // A cut report is not JSON, so the reader falls back to the text.
        let _ = client(canned).files(&FileQuery::default()).await;
    }
}

#[tokio::test]
async fn ten_thousand_opens_and_sessions_are_joined() {
    let mut report = report();
    let session = report["sessions"]["101"].clone();
    let file = report["open_files"]["/srv/projects/a.txt"].clone();
    for number in 0..10_000 {
        let mut session = session.clone();
        session["session_id"] = json!((1000 + number).to_string());
        session["server_id"] = process(&(20_000 + number).to_string());
        report["sessions"][(1000 + number).to_string()] = session;
        let mut file = file.clone();
        file["filename"] = json!(number.to_string());
        report["open_files"][format!("/srv/projects/{number}")] = file;
    }
    let client = client(canned(&report));
    assert_eq!(client.sessions(&SessionQuery::default()).await.unwrap().len(), 10_003);
    assert_eq!(client.files(&FileQuery::default()).await.unwrap().len(), 10_004);
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,200}", row in "[0-9]{1,3} +[a-z]+ +[a-z]+ +(0x)?[0-9a-f]{0,9} +R +(NONE|LEASE\\([RWH]*\\)?) +/\\PC{0,20}(Sun Mar  1 09:30:00 2026)?") {
        for heading in ["PID     Username     Group\n", "Service      pid     Machine\n", "Pid          User(ID)   DenyMode\n"] {
            let status = text::parse(format!("{heading}{text}\n{row}\n").as_bytes());
            let joined = Joined::new(&status, &Shares::new()).files();
            prop_assert!(joined.len() <= 2);
        }
    }

    #[test]
    fn any_json_is_read(key in "(sessions|tcons|open_files|byte_range_locks)", text in "[\\{\\}\\[\\]\",:a-z0-9-]{0,80}") {
        let _ = json::parse(format!("{{\"{key}\": {text}}}").as_bytes());
    }
}
