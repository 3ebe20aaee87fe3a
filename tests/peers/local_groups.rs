//! Groups of the server: changed by `net localgroup`, listed by Samba's programs, and counted in grants, roles and
//! descriptors.

use std::fs;

use auth::Credentials;
use client::smb::{ConnectOptions, CreateParameters};
use client::{Administration, Error, RemoteClient};
use control::{FileQuery, GroupChange, NewGroup};
use testkit::peer::rpcclient;
use testkit::{Setup, Shareward, Subject, need};

use crate::scripted::{logged_on, tree};

const SETTINGS: &str = "\n[[role]]\nallow = \"view\"\ngroups = [\"watchers\"]\n\n\
    # The paper.\n[[group]]\nname = \"watchers\" # of files\nusers = [\"bob\"]\n\n";

fn remote(subject: &Subject, name: &str) -> RemoteClient {
    let place = subject.address().to_string().parse().expect("a place");
    RemoteClient::new(place, Credentials::password(name, "", &subject.user(name).password))
}

fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> u32 {
    match answer {
        Err(Error::Refused(error)) => error.code,
        other => panic!("no refusal: {other:?}"),
    }
}

/// True if the caller may see the file that another user has open.
async fn sees(caller: &RemoteClient) -> bool {
    let files = caller.files(&FileQuery::default()).await.unwrap_or_default();
    files.iter().any(|file| file.path.ends_with("held.txt"))
}

/// True if the user can connect to the share and write in it.
async fn writes(subject: &Subject, user: &str, share: &str) -> bool {
    let session = logged_on(subject, user, ConnectOptions::new().expect("options")).await;
    let Ok(tree) = session.tree_connect(&format!(r"\\127.0.0.1\{share}")).await else { return false };
    tree.create(&CreateParameters::read_write("by-members.txt")).await.is_ok()
}

#[tokio::test]
async fn members_of_groups_have_the_rights_of_grants_roles_and_descriptors() {
    let setup = Setup { extra: SETTINGS.into(), ..Setup::default() };
    let subject = Subject::Shareward(Shareward::start(&setup));
    let Subject::Shareward(server) = &subject else { unreachable!("ours") };
    let net = |words: &[&str]| server.net(words);

    // bob is in the group of a role from the configuration, alice is not.
    let data = tree(&subject, "admin", "data").await;
    let held = data.create(&CreateParameters::read_write("held.txt")).await.expect("create");
    let (alice, bob) = (remote(&subject, "alice"), remote(&subject, "bob"));
    assert!(sees(&bob).await && !sees(&alice).await);
    assert_eq!(code(remote(&subject, "alice").groups().await), 5);

    net(&["localgroup", "editors", "/add", "/comment:People who write"]).success();
    net(&["localgroup", "Editors", "alice", "bob", "/add"]).success();
    net(&["localgroup", "EDITORS", "bob", "/delete"]).success();
    net(&["share", "other", "/grant:@editors,CHANGE"]).success();
    assert!(writes(&subject, "alice", "other").await);
    assert!(!writes(&subject, "bob", "other").await);

    // The file has the change and what was there before.
    let text = fs::read_to_string(server.config()).expect("the configuration");
    assert!(
        text.contains("# The paper.\n[[group]]\nname = \"watchers\" # of files\nusers = [\"bob\"]\n"),
        "{text}"
    );
    assert!(
        text.contains("[[group]]\nname = \"editors\"\ncomment = \"People who write\"\nusers = [\"alice\"]\n"),
        "{text}"
    );

    if need(&["rpcclient"]) {
        let admin = subject.user("admin");
        let listed = rpcclient(&subject, admin, "enumalsgroups domain").success().text();
        let rid = |name: &str| {
            let line =
                listed.lines().find(|line| line.contains(&format!("group:[{name}]"))).expect("the group");
            line.split("rid:[").nth(1).and_then(|rest| rest.split(']').next()).expect("a RID").to_owned()
        };
        let (editors, watchers) = (rid("editors"), rid("watchers"));
        assert!(editors != watchers && editors.len() == "0x80000000".len(), "{listed}");
        let alice = rpcclient(&subject, admin, "lookupnames alice").success().text();
        let sid = alice.split(' ').nth(1).expect("a SID");
        rpcclient(&subject, admin, &format!("queryaliasmem domain {editors}")).success().says(sid);
        rpcclient(&subject, admin, &format!("queryuseraliases domain {sid}")).success().says(&editors);
        rpcclient(&subject, admin, "lookupnames TESTED\\\\editors").success().says("(Local Group: 4)");
    }

    // A session that began before gets the role.
    net(&["localgroup", "watchers", "alice", "/add"]).success();
    assert!(sees(&alice).await);
    held.close().await.expect("close");

    // Other names.
    let admin = remote(&subject, "admin");
    let new = |name: &str| NewGroup { name: name.into(), comment: String::new() };
    assert_eq!(code(admin.add_group(&new("editors")).await), 1379);
    assert_eq!(code(admin.add_group(&new("root")).await), 1379, "a Unix group");
    assert_eq!(code(admin.add_group(&new("alice")).await), 2224);
    assert_eq!(code(admin.add_group(&new("a/b")).await), 123);
    let add = |name: &str| GroupChange { add: vec![name.into()], ..GroupChange::default() };
    assert_eq!(code(admin.change_group("editors", &add("alice")).await), 1378);
    assert_eq!(code(admin.change_group("editors", &add("nobody at all")).await), 1387);
    assert_eq!(code(admin.change_group("editors", &add("watchers")).await), 1388);
    assert_eq!(code(admin.change_group("nothing", &add("bob")).await), 1376);
    assert_eq!(code(admin.change_group("Administrators", &add("bob")).await), 1371);
    let remove = GroupChange { remove: vec![String::from("bob")], ..GroupChange::default() };
    assert_eq!(code(admin.change_group("editors", &remove).await), 1377);
    assert_eq!(code(remote(&subject, "alice").add_group(&new("mine")).await), 5);
    admin.change_group("editors", &add("root")).await.expect_err("a Unix user without an account");
    let with_unix = admin.change_group("editors", &add("Unix Group\\daemon")).await.expect("a Unix group");
    assert!(with_unix.members.iter().any(|it| it.group && it.name == "daemon"), "{with_unix:?}");

    net(&["localgroup", "editors", "/delete"]).success();
    assert!(!writes(&subject, "alice", "other").await);
}
