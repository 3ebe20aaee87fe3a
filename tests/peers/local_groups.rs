//! Groups of the server: changed by `net localgroup`, listed by Samba's programs, and counted in grants, roles and
//! descriptors.

use std::fs;

use auth::Credentials;
use client::smb::{ConnectOptions, CreateParameters, Error as SmbError};
use client::{Administration, Error, Remote, RemoteClient, SrvsClient};
use control::{FileQuery, Group, GroupChange, NewGroup};
use testkit::peer::rpcclient;
use testkit::{Samba, Setup, Shareward, Subject, User, need};
use wire::msg::{AdditionalInformation, InfoType};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor};
use wire::{AccessMask, NtStatus, ShareAccess};

use crate::remote::{ALICE, ROOT, setup};
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

/// The list of a file has nothing but an entry for a group of the server.
#[tokio::test]
async fn a_descriptor_for_a_group_admits_its_members_and_nobody_else() {
    let mut setup = Setup { extra: SETTINGS.into(), ..Setup::default() };
    setup.users.push(User { name: "carol".into(), password: "C4rol-secret".into(), administrator: false });
    let subject = Subject::Shareward(Shareward::start(&setup));
    let Subject::Shareward(server) = &subject else { unreachable!("ours") };

    let session = logged_on(&subject, "alice", ConnectOptions::new().expect("options")).await;
    let watchers = session.sid_of(r"TESTED\watchers").await.expect("look up").expect("the group");
    let access = AccessMask(AccessMask::FILE_GENERIC_READ.0 | AccessMask::WRITE_DAC.0);
    let data = session.tree_connect(r"\\127.0.0.1\data").await.expect("tree connect");
    let parameters = CreateParameters { access, ..CreateParameters::read_write("for-watchers") };
    let file = data.create(&parameters).await.expect("create");
    let aces = vec![Ace::allow(watchers, AccessMask::FILE_GENERIC_READ, AceFlags::NONE)];
    let mut descriptor = Vec::new();
    SecurityDescriptor::new(watchers, watchers, Acl { aces }).encode(&mut descriptor).expect("small");
    file.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, &descriptor)
        .await
        .expect("set the DACL");
    file.close().await.expect("close");

    let opened = async |user: &str, access: AccessMask| {
        let share = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE;
        let parameters = CreateParameters { access, share, ..CreateParameters::read_write("for-watchers") };
        match tree(&subject, user, "data").await.create(&parameters).await {
            Ok(_) => NtStatus::SUCCESS,
            Err(SmbError::Status(status, _)) => status,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(opened("bob", AccessMask::READ_DATA).await, NtStatus::SUCCESS);
    assert_eq!(opened("bob", AccessMask::WRITE_DATA).await, NtStatus::ACCESS_DENIED);
    assert_eq!(opened("carol", AccessMask::READ_DATA).await, NtStatus::ACCESS_DENIED);

    server.net(&["localgroup", "watchers", "carol", "/add"]).success();
    server.net(&["localgroup", "watchers", "bob", "/delete"]).success();
    assert_eq!(opened("carol", AccessMask::READ_DATA).await, NtStatus::SUCCESS);
    assert_eq!(opened("bob", AccessMask::READ_DATA).await, NtStatus::ACCESS_DENIED);
}

/// The names of the members.
fn members(group: &Group) -> Vec<&str> {
    group.members.iter().map(|member| member.name.as_str()).collect()
}

/// Lists and changes groups over MS-SAMR.
async fn change_groups(server: &dyn Administration) {
    let new = |name: &str| NewGroup { name: name.into(), comment: String::from("People who write") };
    let add = |name: &str| GroupChange { add: vec![name.into()], ..GroupChange::default() };
    let remove = |name: &str| GroupChange { remove: vec![name.into()], ..GroupChange::default() };

    let added = server.add_group(&new("editors")).await.expect("added");
    assert_eq!((added.name.as_str(), added.comment.as_str()), ("editors", "People who write"));
    assert!(!added.built_in && added.members.is_empty(), "{added:?}");
    assert_eq!(code(server.add_group(&new("Editors")).await), 1379);
    assert_eq!(code(server.add_group(&new("administrators")).await), 1379);

    let both = GroupChange { add: vec!["bob".into(), "alice".into()], ..GroupChange::default() };
    let changed = server.change_group("EDITORS", &both).await.expect("changed");
    assert_eq!(members(&changed), ["alice", "bob"]);
    assert!(changed.members.iter().all(|member| !member.group), "{changed:?}");
    let commented = GroupChange { comment: Some(String::from("Writers")), ..GroupChange::default() };
    let changed = server.change_group("editors", &commented).await.expect("changed");
    assert_eq!(changed.comment, "Writers");
    assert_eq!(code(server.change_group("editors", &add("alice")).await), 1378);
    assert_eq!(code(server.change_group("editors", &add("nobody-here")).await), 1387);
    assert_eq!(code(server.change_group("nothing", &add("alice")).await), 1376);
    let changed = server.change_group("editors", &remove("bob")).await.expect("changed");
    assert_eq!(members(&changed), ["alice"]);
    assert_eq!(code(server.change_group("editors", &remove("bob")).await), 1377);

    let all = server.groups().await.expect("groups");
    let of_name = |name: &str| {
        all.iter().find(|group| group.name == name).unwrap_or_else(|| panic!("no {name}: {all:?}"))
    };
    assert!(of_name("Administrators").built_in && !of_name("editors").built_in);
    assert_eq!(members(of_name("editors")), ["alice"]);
    assert!(all.is_sorted_by_key(|group| group.name.to_lowercase()), "{all:?}");

    assert_eq!(code(server.delete_group("Administrators").await), 1371);
    let last = server.delete_group("editors").await.expect("deleted");
    assert_eq!((last.comment.as_str(), members(&last)), ("Writers", vec!["alice"]));
    assert_eq!(code(server.delete_group("editors").await), 1376);
}

/// Our own server as one that has only MS-SAMR.
#[tokio::test]
async fn our_own_server_changes_groups_over_ms_samr() {
    let server = Shareward::start(&setup());
    let place = || server.address().to_string().parse().expect("a place");
    let by = |(name, password): (&str, &str)| {
        SrvsClient::new(Remote::new(place(), Credentials::password(name, "", password)))
    };
    change_groups(&by(ROOT)).await;
    let admin = by(ROOT);
    let new = |name: &str| NewGroup { name: name.into(), comment: String::new() };
    assert_eq!(code(admin.add_group(&new("alice")).await), 2224);
    assert_eq!(code(admin.add_group(&new("a/b")).await), 123);
    let to_builtin = GroupChange { add: vec![String::from("bob")], ..GroupChange::default() };
    assert_eq!(code(admin.change_group("Administrators", &to_builtin).await), 1371);
    assert_eq!(code(by(ALICE).groups().await), 5);
    assert_eq!(code(by(ALICE).add_group(&new("mine")).await), 5);
}

fn of_samba(samba: &Samba, (name, password): (&str, &str)) -> RemoteClient {
    let place = samba.address().to_string().parse().expect("a place");
    RemoteClient::new(place, Credentials::password(name, "", password))
}

#[tokio::test]
async fn groups_of_samba_are_listed_and_changed() {
    if !need(&["root", "smbd", "winbindd", "wbinfo", "net", "pdbedit", "unshare"]) {
        return;
    }
    let extra_samba = "idmap config * : backend = tdb\nidmap config * : range = 70000-79999".into();
    let samba = Samba::start(&Setup { extra_samba, ..setup() });
    samba.start_winbindd();
    change_groups(&of_samba(&samba, ROOT)).await;
    let new = NewGroup { name: "mine".into(), comment: String::new() };
    assert_eq!(code(of_samba(&samba, ALICE).add_group(&new).await), 5);
}

#[tokio::test]
async fn samba_without_winbindd_adds_no_group_and_the_hint_says_why() {
    if !need(&["root", "smbd", "pdbedit", "unshare"]) {
        return;
    }
    let samba = Samba::start(&setup());
    let new = NewGroup { name: "editors".into(), comment: String::new() };
    let Err(Error::Refused(refused)) = of_samba(&samba, ROOT).add_group(&new).await else {
        panic!("without ids")
    };
    assert_eq!(refused.code, 5);
    assert!(refused.hint.as_ref().is_some_and(|hint| hint.contains("winbindd")), "{refused:?}");
}
