//! The effects of changed settings on existing connections.

use std::fs;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::CreateParameters;
use client::{Administration as _, ControlClient, RemoteClient};
use control::{Event, EventQuery, FileQuery};
use futures_util::StreamExt as _;
use testkit::{Setup, Shareward, Subject};
use wire::msg::{EchoRequest, SecurityMode, SessionFlags};
use wire::{AccessMask, Command, Dialect, NtStatus, SessionId, TreeId};

use crate::control_pipe::{answer, get, pipe, tree};
use crate::raw::{Protection, Raw};

const MODE: SecurityMode = SecurityMode::SIGNING_ENABLED;

/// Changes the configuration and has it read again.
pub(crate) fn reconfigure(server: &Shareward, from: &str, to: &str) {
    const READ_AGAIN: &str = "configuration read again";
    let text = fs::read_to_string(server.config()).expect("the configuration");
    assert!(text.contains(from), "{text}");
    fs::write(server.config(), text.replace(from, to)).expect("write the configuration");
    let read_before = server.log().matches(READ_AGAIN).count();
    server.signal("HUP");
    let asked = Instant::now();
    while server.log().matches(READ_AGAIN).count() == read_before {
        assert!(asked.elapsed() < Duration::from_secs(20), "{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stranger(name: &str) -> Credentials {
    Credentials::password(name, "", "whatever")
}

#[tokio::test]
async fn rights_on_an_open_pipe_follow_the_current_settings() {
    const ROLE: &str = "[[role]]\nallow = \"view\"\nusers = [\"alice\"]\n";
    let setup = Setup { extra: format!("\n{ROLE}"), ..Setup::default() };
    let server = Shareward::start(&setup);
    for (user, from, to) in
        [("admin", "administrators = [\"admin\"]", "administrators = []"), ("alice", ROLE, "")]
    {
        let (_connection, tree) = tree(server.address(), &setup, user, "IPC$").await;
        let pipe = pipe(&tree).await;
        let status = async || {
            pipe.write(0, get("/v1/sessions")).await.expect("write");
            answer(&pipe).await.0
        };
        assert_eq!(status().await, 200, "{user}");
        reconfigure(&server, from, to);
        assert_eq!(status().await, 403, "{user}");
        assert_eq!(status().await, 403, "{user}");
    }
}

/// The next event of a changed share. The stream ends when the settings change, and goes on after the last event.
async fn next_changed_share(control: &ControlClient, query: &mut EventQuery) -> Event {
    let changed = async {
        loop {
            let from = query.clone();
            let mut events = control.events(&from).await.expect("events");
            while let Some(event) = events.next().await {
                let event = event.expect("an event");
                assert_ne!(event.kind, "lost");
                query.after = Some(event.id);
                query.epoch = query.epoch.or(event.epoch);
                if event.kind == "share_changed" {
                    return event;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("an event in time")
}

#[tokio::test]
async fn events_tell_of_changed_shares_and_go_on_after_a_reload_without_a_gap() {
    let setup = Setup { extra: String::from("\n# a comment\n"), ..Setup::default() };
    let server = Shareward::start(&setup);
    let control = ControlClient::new(vec![server.config().with_file_name("run").join("control.sock")]);
    let mut query = EventQuery { after: Some(0), ..EventQuery::default() };
    reconfigure(&server, "name = \"data\"", "name = \"data\"\nread_only = true");
    let first = next_changed_share(&control, &mut query).await;
    assert_eq!(first.share.as_deref(), Some("data"));
    reconfigure(&server, "# a comment", "# another comment");
    reconfigure(&server, "read_only = true", "read_only = false");
    let second = next_changed_share(&control, &mut query).await;
    assert_eq!(second.share.as_deref(), Some("data"));
    assert_eq!(second.id, first.id + 1, "a share that has not changed is no event");
}

#[tokio::test]
async fn privileges_of_a_session_follow_the_current_settings() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (_connection, tree) = tree(server.address(), &setup, "admin", "data").await;
    let file = CreateParameters::read_write("audited.txt");
    tree.create(&file).await.expect("create");
    // The system ACL takes a privilege that administrators have.
    let system = CreateParameters {
        access: AccessMask::READ_DATA | AccessMask::ACCESS_SYSTEM_SECURITY,
        ..CreateParameters::open("audited.txt")
    };
    tree.create(&system).await.expect("an administrator may");
    let (with, without) = ("administrators = [\"admin\"]", "administrators = []");
    reconfigure(&server, with, without);
    let refused = tree.create(&system).await.expect_err("a refusal");
    assert!(refused.is(NtStatus::PRIVILEGE_NOT_HELD), "{refused}");
    tree.create(&file).await.expect("a user may open the file");
    reconfigure(&server, without, with);
    tree.create(&system).await.expect("an administrator may again");
}

#[test]
fn guests_follow_the_current_settings() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let Subject::Shareward(server) = &subject else { panic!("not ours") };
    let logon = || {
        let mut raw = Raw::speaking(&subject, Dialect::SMB311, MODE);
        raw.logon(stranger("stranger"), MODE).map(|keys| keys.flags)
    };
    assert_eq!(logon(), Err(NtStatus::LOGON_FAILURE));
    let (without, with) = ("name = \"data\"\n", "name = \"data\"\nguest = true\n");
    reconfigure(server, without, with);
    assert_eq!(logon(), Ok(SessionFlags::IS_GUEST));
    reconfigure(server, with, without);
    assert_eq!(logon(), Err(NtStatus::LOGON_FAILURE));
}

/// A guest stays one when there is an account of the name that it gave itself.
#[tokio::test]
async fn a_guest_is_not_the_account_of_its_name() {
    let setup = Setup::default();
    let subject = Subject::Shareward(Shareward::start(&setup));
    let Subject::Shareward(server) = &subject else { panic!("not ours") };
    reconfigure(server, "name = \"data\"\n", "name = \"data\"\nguest = true\n");
    let mut guests = Raw::speaking(&subject, Dialect::SMB311, MODE);
    let guest = guests.logon(stranger("carol"), MODE).expect("a guest");
    assert_eq!(guest.flags, SessionFlags::IS_GUEST);

    server.user(&["add", "carol"], "Carols Secret 1\n").success();
    reconfigure(server, "name = \"TESTED\"", "name = \"TESTED\"");
    let password = Credentials::password("carol", "", "Carols Secret 1");
    let mut accounts = Raw::speaking(&subject, Dialect::SMB311, MODE);
    let account = accounts.logon_instead_of(password.clone(), MODE, guest.id).expect("carol");
    assert_eq!(account.flags, SessionFlags::NONE);
    let alive = |raw: &mut Raw, id: SessionId| {
        let message = raw.message(Command::ECHO, id, TreeId(0), |out, base| EchoRequest.encode(out, base));
        raw.ask(message, Protection::Clear).header.status
    };
    assert_eq!(
        alive(&mut guests, guest.id),
        NtStatus::SUCCESS,
        "a guest's session is not the account's to replace"
    );

    // The guest has no access to carol's own opens.
    let with_carol = Setup {
        users: vec![testkit::User {
            name: "carol".into(),
            password: "Carols Secret 1".into(),
            administrator: false,
        }],
        ..setup
    };
    let (_connection, tree) = tree(server.address(), &with_carol, "carol", "IPC$").await;
    let pipe = pipe(&tree).await;
    pipe.write(0, get("/v1/sessions?mine=true")).await.expect("write");
    let (status, body) = answer(&pipe).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body.matches("\"user\":\"carol\"").count(), 2, "{body}");
    assert!(!body.contains("\"guest\":true"), "{body}");

    // Nor is it shown as hers.
    let data = guests.tree(&guest, "data", Protection::Clear);
    guests.open(&guest, data, &CreateParameters::directory(""), Protection::Clear);
    let place = server.address().to_string().parse().expect("a place");
    let admin = &server.setup().user("admin");
    let admin = RemoteClient::new(place, Credentials::password(&admin.name, "", &admin.password));
    let shown = admin.files(&FileQuery::default()).await.expect("files");
    let rows: Vec<_> = shown.iter().filter(|row| row.user == "carol").collect();
    let rows: Vec<_> = rows.iter().map(|row| (row.share.as_deref(), row.guest)).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    for row in [(Some("data"), Some(true)), (Some("IPC$"), Some(false))] {
        assert!(rows.contains(&row), "{rows:?}");
    }

    // A session that is replaced is the account's own.
    let mut again = Raw::speaking(&subject, Dialect::SMB311, MODE);
    again.logon_instead_of(password, MODE, account.id).expect("carol");
    assert_eq!(alive(&mut accounts, account.id), NtStatus::USER_SESSION_DELETED);
}

#[tokio::test]
async fn a_change_of_follow_symlinks_applies_to_new_tree_connects() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let directory = server.share_dir("data");
    fs::write(directory.join("target.txt"), "here").expect("write");
    std::os::unix::fs::symlink("target.txt", directory.join("link.txt")).expect("symlink");
    let link = CreateParameters::open("link.txt");
    let (_connection, before) = tree(server.address(), &setup, "alice", "data").await;
    before.create(&link).await.expect("followed");
    reconfigure(&server, "name = \"data\"\n", "name = \"data\"\nfollow_symlinks = false\n");
    let (_connection, after) = tree(server.address(), &setup, "alice", "data").await;
    let refused = after.create(&link).await.expect_err("a refusal");
    assert!(refused.is(NtStatus::STOPPED_ON_SYMLINK), "{refused}");
    before.create(&link).await.expect("the tree connect was made before");
}
