//! Settings of shares that Samba has as well, on both servers at the same time: the same clients do the same, and the
//! files on the disk are the same afterwards.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use client::smb::CreateParameters;
use testkit::peer::smbclient;
use testkit::{Output, RunAs, Samba, Setup, Shareward, Subject, need};
use wire::NtStatus;

/// Both servers, with lines for each share of theirs.
fn both(ours: &str, sambas: &str) -> Option<[Subject; 2]> {
    if !need(&["root", "smbd", "smbclient", "pdbedit", "unshare"]) {
        return None;
    }
    let setup = Setup {
        run_as: RunAs::Root,
        extra_share: ours.to_owned(),
        // acl_xattr would replace the modes by those of the Windows ACL that a file inherits, and `map archive` makes
        // files executable for their owners.
        extra_samba: format!("vfs objects = streams_xattr\nmap archive = no\n{sambas}"),
        ..Setup::default()
    };
    Some([Subject::Shareward(Shareward::start(&setup)), Subject::Samba(Samba::start(&setup))])
}

fn act(subject: &Subject, user: &str, commands: &str) -> Output {
    smbclient(subject, subject.user(user), "data", &[], commands)
}

/// The directory of the share `data`.
fn data(subject: &Subject) -> PathBuf {
    subject.share_dir("data")
}

/// The mode of a file in the share, and the names of its owner and group, as far as they are users of the test.
fn on_disk(subject: &Subject, name: &str) -> (u32, String, String) {
    let file = fs::symlink_metadata(data(subject).join(name)).expect(name);
    let known = |id: u32| match id {
        0 => String::from("root"),
        64_100 => String::from("alice"),
        64_101 => String::from("bob"),
        2 => String::from("bin"),
        other => other.to_string(),
    };
    (file.mode() & 0o7777, known(file.uid()), known(file.gid()))
}

fn owned(mode: u32, owner: &str, group: &str) -> (u32, String, String) {
    (mode, owner.to_owned(), group.to_owned())
}

fn is_ours(subject: &Subject) -> bool {
    matches!(subject, Subject::Shareward(_))
}

#[test]
fn new_files_have_the_modes_of_the_share() {
    let ours = "file_mode = \"0660\"\ndirectory_mode = \"2770\"";
    let sambas =
        "create mask = 0660\nforce create mode = 0660\ndirectory mask = 0770\nforce directory mode = 2770";
    let Some(servers) = both(ours, sambas) else { return };
    for subject in &servers {
        fs::write(subject.scratch().join("f"), "x").expect("write a local file");
        act(subject, "alice", "put f a; mkdir d; put f d/b; mkdir d/e").success();
        assert_eq!(on_disk(subject, "a"), owned(0o660, "alice", "alice"));
        assert_eq!(on_disk(subject, "d"), owned(0o2770, "alice", "alice"));
        assert_eq!(on_disk(subject, "d/b"), owned(0o660, "alice", "alice"));
        assert_eq!(on_disk(subject, "d/e"), owned(0o2770, "alice", "alice"));
    }
}

#[test]
fn new_files_inherit_the_mode_of_their_directory() {
    let Some(servers) = both("inherit_permissions = true", "inherit permissions = yes") else { return };
    for subject in &servers {
        let directory = data(subject).join("d");
        fs::create_dir(&directory).expect("a directory");
        chown(&directory, Some(64_100), Some(2)).expect("chown");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o2753)).expect("chmod");
        fs::write(subject.scratch().join("f"), "x").expect("write a local file");
        act(subject, "alice", "put f d/a; mkdir d/e; put f d/e/b").success();
        assert_eq!(on_disk(subject, "d/a"), owned(0o642, "alice", "bin"));
        assert_eq!(on_disk(subject, "d/e"), owned(0o2753, "alice", "bin"));
        assert_eq!(on_disk(subject, "d/e/b"), owned(0o642, "alice", "bin"));
    }
}

/// Samba's modes need a setting for this, ours the directory's bits alone.
#[test]
fn members_of_a_directorys_group_edit_each_others_files() {
    let sambas =
        "create mask = 0664\nforce create mode = 0664\ndirectory mask = 0775\nforce directory mode = 2775";
    let Some(servers) = both("force_group = \"bin\"", &format!("{sambas}\nforce group = bin")) else {
        return;
    };
    for subject in &servers {
        let directory = data(subject).join("d");
        fs::create_dir(&directory).expect("a directory");
        chown(&directory, Some(0), Some(2)).expect("chown");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o2775)).expect("chmod");
        fs::write(subject.scratch().join("f"), "x").expect("write a local file");
        act(subject, "alice", "put f d/a; mkdir d/e; put f d/e/b").success();
        assert_eq!(on_disk(subject, "d/a"), owned(0o664, "alice", "bin"));
        assert_eq!(on_disk(subject, "d/e"), owned(0o2775, "alice", "bin"));
        act(subject, "bob", "put f d/a; put f d/e/b; rename d/e/b d/e/c").success();
        assert_eq!(on_disk(subject, "d/e/c"), owned(0o664, "alice", "bin"));
        if is_ours(subject) {
            // Outside of such a directory, only the owner writes.
            act(subject, "alice", "put f plain").success();
            assert_eq!(on_disk(subject, "plain"), owned(0o644, "alice", "bin"));
            act(subject, "bob", "put f plain").failure().says("NT_STATUS_ACCESS_DENIED");
        }
    }
}

#[test]
fn a_default_acl_decides_about_new_files() {
    let Some([subject, _samba]) = both("", "") else { return };
    if !need(&["setfacl", "getfacl"]) {
        return;
    }
    let directory = data(&subject).join("d");
    fs::create_dir(&directory).expect("a directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("chmod");
    let mut set = std::process::Command::new("setfacl");
    set.args(["-d", "-m", "u::rwX,g::rwX,o::-,g:bin:rwX"]).arg(&directory);
    assert!(set.status().expect("setfacl").success());
    fs::write(subject.scratch().join("f"), "x").expect("write a local file");
    act(&subject, "alice", "put f d/a; mkdir d/e").success();
    assert_eq!(on_disk(&subject, "d/a").0, 0o660);
    assert_eq!(on_disk(&subject, "d/e").0, 0o770);
}

#[test]
fn files_belong_to_the_forced_user() {
    let Some(servers) = both("force_user = \"bob\"", "force user = bob") else { return };
    for subject in &servers {
        fs::write(subject.scratch().join("f"), "x").expect("write a local file");
        let secret = data(subject).join("secret");
        fs::write(&secret, "x").expect("write");
        chown(&secret, Some(64_101), Some(64_101)).expect("chown");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("chmod");
        act(subject, "alice", "put f a; mkdir d; put f d/b; get secret got; rename secret s2; del s2")
            .success();
        for (name, mode) in [("a", 0o644), ("d", 0o755), ("d/b", 0o644)] {
            assert_eq!(on_disk(subject, name), owned(mode, "bob", "bob"), "{name}");
        }
        // An administrator is bob there as well.
        act(subject, "alice", "put f a; del d\\b; rmdir d").success();
        let roots = data(subject).join("roots");
        fs::write(&roots, "x").expect("write");
        fs::set_permissions(&roots, fs::Permissions::from_mode(0o600)).expect("chmod");
        act(subject, "alice", "get roots got").failure().says("NT_STATUS_ACCESS_DENIED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_see_the_users_of_a_forced_user() {
    if !need(&["root", "unshare"]) {
        return;
    }
    let extra_share = String::from("force_user = \"bob\"");
    let setup = Setup { run_as: RunAs::Root, extra_share, ..Setup::default() };
    let server = Shareward::start(&setup);
    let subject = Subject::Shareward(server);
    fs::write(data(&subject).join("held"), "x").expect("write");
    fs::set_permissions(data(&subject).join("held"), fs::Permissions::from_mode(0o644)).expect("chmod");
    let tree = crate::scripted::tree(&subject, "alice", "data").await;
    let _held = tree.create(&CreateParameters::open("held")).await.expect("open");
    let Subject::Shareward(server) = &subject else { return };
    let listed = server.net(&["file"]).success().stdout;
    let line = listed.lines().find(|line| line.contains("held")).expect("the file");
    assert!(line.contains("alice") && !line.contains("bob"), "{line}");
}

#[test]
fn a_forced_identity_that_does_not_exist_admits_nobody() {
    let Some([subject, _samba]) = both("force_group = \"nobody of this name\"", "") else { return };
    act(&subject, "alice", "ls").failure().says("NT_STATUS_ACCESS_DENIED");
    let Subject::Shareward(server) = &subject else { return };
    assert!(server.log().contains("there is no Unix group nobody of this name"), "{}", server.log());
}

#[test]
fn vetoed_names_do_not_exist_for_clients() {
    let Some(servers) = both("veto_files = [\"*.exe\", \"hidden\"]", "veto files = /*.exe/hidden/") else {
        return;
    };
    for subject in &servers {
        let directory = data(subject);
        fs::write(subject.scratch().join("f"), "x").expect("write a local file");
        for name in ["hidden", "d"] {
            fs::create_dir(directory.join(name)).expect("a directory");
            fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o777)).expect("chmod");
        }
        for name in ["a.exe", "ok", "hidden/inner", "d/x.exe"] {
            fs::write(directory.join(name), "x").expect("write");
        }
        act(subject, "alice", "put f mine").success();
        let listed = act(subject, "alice", "ls").success().stdout;
        assert!(listed.contains("ok") && !listed.contains("a.exe") && !listed.contains("hidden"), "{listed}");
        for name in ["a.exe", "A.EXE", "none"] {
            act(subject, "alice", &format!("get {name} got"))
                .failure()
                .says("NT_STATUS_OBJECT_NAME_NOT_FOUND");
        }
        for commands in [
            "get hidden/inner got",
            "put f b.exe",
            "put f hidden/new",
            "mkdir c.exe",
            "rename mine b.exe",
            "hardlink mine b.exe",
        ] {
            act(subject, "alice", commands).says("NT_STATUS_");
        }
        for name in ["b.exe", "hidden/new", "c.exe"] {
            assert!(!directory.join(name).exists(), "{name}");
        }
        assert!(directory.join("mine").exists());
        chown(directory.join("d"), Some(64_100), None).expect("chown");
        act(subject, "alice", "rmdir d").says("NT_STATUS_DIRECTORY_NOT_EMPTY");
        assert!(directory.join("d/x.exe").exists());
    }
}

#[test]
fn vetoed_files_are_removed_with_their_directory_if_the_share_says_so() {
    let ours = "veto_files = [\".junk*\"]\ndelete_veto_files = true";
    let sambas = "veto files = /.junk*/\ndelete veto files = yes";
    let Some(servers) = both(ours, sambas) else { return };
    for subject in &servers {
        let directory = data(subject);
        act(subject, "alice", "mkdir d; mkdir e").success();
        for name in ["d/.junk", "d/.junk.d/inner", "e/.junk", "e/kept"] {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(&path, "x").expect("write");
        }
        chown(directory.join("d/.junk.d"), Some(64_100), None).expect("chown");
        act(subject, "alice", "rmdir d").success();
        assert!(!directory.join("d").exists());
        act(subject, "alice", "rmdir e").says("NT_STATUS_DIRECTORY_NOT_EMPTY");
        assert!(directory.join("e/.junk").exists() && directory.join("e/kept").exists());
    }
}

#[test]
fn names_of_the_patterns_are_hidden() {
    let ours = "hide_dot_files = true\nhide_files = [\"*.bak\"]";
    let Some(servers) = both(ours, "hide dot files = yes\nhide files = /*.bak/") else { return };
    for subject in &servers {
        fs::write(subject.scratch().join("f"), "x").expect("write a local file");
        act(subject, "alice", "put f .profile; put f a.bak; put f plain").success();
        let listed = act(subject, "alice", "ls").success().stdout;
        let is_hidden = |name: &str| {
            let line = listed.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
            line.split_whitespace().nth(1).is_some_and(|attributes| attributes.contains('H'))
        };
        assert!(is_hidden(".profile") && is_hidden("a.bak") && !is_hidden("plain"), "{listed}");
        act(subject, "alice", "allinfo .profile").success().says("attributes: HA");
        if is_ours(subject) {
            // A name hides a file, but does not protect it.
            act(subject, "alice", "put f .profile").success();
        }
    }
}

#[test]
fn deleted_files_are_in_the_bin_of_their_user() {
    let ours = "[share.recycle]\nexclude = [\"*.tmp\"]";
    let sambas = "vfs objects = recycle streams_xattr\nrecycle:repository = .recycle/%U\nrecycle:keeptree = yes\n\
                  recycle:versions = yes\nrecycle:exclude = *.tmp\nrecycle:directory_mode = 0755\n\
                  recycle:subdir_mode = 0700";
    let Some(servers) = both(ours, sambas) else { return };
    for subject in &servers {
        let directory = data(subject);
        fs::write(subject.scratch().join("f"), "first").expect("write a local file");
        act(
            subject,
            "alice",
            "put f a; mkdir d; put f d/b; put f c.tmp; del a; del d\\b; del c.tmp; rmdir d",
        )
        .success();
        assert!(!directory.join("a").exists() && !directory.join("d").exists());
        assert_eq!(fs::read_to_string(directory.join(".recycle/alice/a")).expect("a kept file"), "first");
        assert!(directory.join(".recycle/alice/d/b").exists());
        assert!(!directory.join(".recycle/alice/c.tmp").exists());
        fs::write(subject.scratch().join("f"), "second").expect("write a local file");
        act(subject, "alice", "put f a; del a").success();
        assert_eq!(fs::read_to_string(directory.join(".recycle/alice/a")).expect("a kept file"), "first");
        if is_ours(subject) {
            let second = directory.join(".recycle/alice/a (2)");
            assert_eq!(fs::read_to_string(second).expect("the second"), "second");
            assert_eq!(on_disk(subject, ".recycle").0, 0o755);
            let (mode, owner, _) = on_disk(subject, ".recycle/alice");
            assert_eq!((mode, owner.as_str()), (0o700, "alice"));
        }
        act(subject, "bob", "ls .recycle\\alice\\*").failure().says("NT_STATUS_ACCESS_DENIED");
        // Taken back, and deleted for good.
        act(subject, "alice", "rename .recycle\\alice\\a back; del .recycle\\alice\\d\\b").success();
        assert!(directory.join("back").exists());
        assert!(!directory.join(".recycle/alice/d/b").exists());
    }
}

#[test]
fn replaced_files_are_kept_and_the_oldest_leave_a_full_bin() {
    let ours = "[share.recycle]\noverwritten = true\nmax_total_mib = 2";
    let Some([subject, _samba]) = both(ours, "") else { return };
    let directory = data(&subject);
    let bin = directory.join(".recycle/alice");
    fs::write(subject.scratch().join("f"), "first").expect("write a local file");
    fs::write(subject.scratch().join("g"), "second").expect("write a local file");
    act(&subject, "alice", "put f a; put g b; rename b a -f").success();
    assert_eq!(fs::read_to_string(directory.join("a")).expect("the new file"), "second");
    assert_eq!(fs::read_to_string(bin.join("a")).expect("the replaced file"), "first");
    fs::write(subject.scratch().join("large"), vec![0; 1 << 20]).expect("write a local file");
    act(&subject, "alice", "put large c; del c; put large d; del d").success();
    // The file that was kept first leaves first.
    let began = std::time::Instant::now();
    while bin.join("a").exists() || bin.join("c").exists() {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "the bin is not trimmed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(bin.join("d").exists());
    fs::write(subject.scratch().join("larger"), vec![0; (2 << 20) + 1]).expect("write a local file");
    act(&subject, "alice", "put larger e; del e").success();
    assert!(!bin.join("e").exists() && bin.join("d").exists());
}

#[test]
fn a_bin_that_is_another_users_is_not_used() {
    let Some([subject, _samba]) = both("[share.recycle]", "") else { return };
    let directory = data(&subject);
    fs::create_dir(directory.join(".recycle")).expect("a directory");
    chown(directory.join(".recycle"), Some(64_101), None).expect("chown");
    fs::write(subject.scratch().join("f"), "x").expect("write a local file");
    act(&subject, "alice", "put f a; del a").success();
    assert!(!directory.join("a").exists() && !directory.join(".recycle/alice").exists());
    let Subject::Shareward(server) = &subject else { return };
    assert!(server.log().contains("cannot be moved to the recycle bin"), "{}", server.log());
}

#[test]
fn users_have_directories_of_their_own() {
    if !need(&["root", "smbd", "smbclient", "pdbedit", "unshare"]) {
        return;
    }
    let homes =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().expect("homes");
    for (name, id) in [("alice", 64_100), ("bob", 64_101)] {
        let home = homes.path().join(name);
        fs::create_dir(&home).expect("a home");
        chown(&home, Some(id), Some(id)).expect("chown");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("chmod");
    }
    let at = homes.path().display();
    let extra = format!("\n[[share]]\nname = \"homes\"\npath = \"{at}/%U\"\nhomes = true\nhidden = true\n");
    let extra_samba =
        format!("vfs objects = streams_xattr\n[homes]\npath = {at}/%S\nread only = no\nbrowseable = no\n");
    let setup = Setup { run_as: RunAs::Root, extra, extra_samba, ..Setup::default() };
    let servers = [Subject::Shareward(Shareward::start(&setup)), Subject::Samba(Samba::start(&setup))];
    for subject in &servers {
        fs::write(subject.scratch().join("f"), "x").expect("write a local file");
        for (user, name) in [("alice", "alice"), ("alice", "homes"), ("bob", "BOB")] {
            let file = format!("of-{name}");
            let put = format!("put f {file}");
            smbclient(subject, subject.user(user), name, &[], &put).success();
            assert!(homes.path().join(user).join(&file).exists(), "{user} {name}");
            fs::remove_file(homes.path().join(user).join(&file)).expect("remove");
        }
        smbclient(subject, subject.user("alice"), "bob", &[], "ls").failure();
        // There is no directory of this name.
        smbclient(subject, subject.user("admin"), "admin", &[], "ls").failure();
        smbclient(subject, subject.user("admin"), "data", &[], "ls").success();
    }
    // A user who can write beside the directories could make a link to anywhere.
    std::os::unix::fs::symlink("/etc", homes.path().join("admin")).expect("a link");
    let [subject, _] = &servers;
    smbclient(subject, subject.user("admin"), "admin", &[], "ls").failure();
    let Subject::Shareward(server) = subject else { return };
    assert!(server.log().contains("a symbolic link in the part of the path"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn opens_in_a_users_directory_have_its_path() {
    let mut setup = Setup::default();
    let homes =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().expect("homes");
    let home = homes.path().join("alice");
    fs::create_dir(&home).expect("a home");
    fs::write(home.join("held"), "x").expect("write");
    fs::set_permissions(home.join("held"), fs::Permissions::from_mode(0o644)).expect("chmod");
    setup.extra = format!("\n[[share]]\nname = \"homes\"\npath = \"{}/%U\"\n", homes.path().display());
    let subject = Subject::Shareward(Shareward::start(&setup));
    let tree = crate::scripted::tree(&subject, "alice", "homes").await;
    let _held = tree.create(&CreateParameters::open("held")).await.expect("open");
    let Subject::Shareward(server) = &subject else { return };
    let listed = server.net(&["file", "--json"]).success().stdout;
    assert!(listed.contains(&format!("{}", home.join("held").display())), "{listed}");
}

#[test]
fn computers_that_a_share_denies_are_refused() {
    let lines = [
        ("hosts_deny = [\"127.0.0.1\"]", "hosts deny = 127.0.0.1", false),
        ("hosts_deny = [\"all\"]", "hosts deny = ALL", false),
        ("hosts_allow = [\"192.0.2.0/24\"]", "hosts allow = 192.0.2.", true),
        (
            "hosts_allow = [\"127.0.0.1\"]\nhosts_deny = [\"all\"]",
            "hosts allow = 127.0.0.1\nhosts deny = ALL",
            true,
        ),
    ];
    if !need(&["root", "smbd", "smbclient", "pdbedit", "unshare"]) {
        return;
    }
    let setup = Setup { run_as: RunAs::Root, ..Setup::default() };
    let [ours, samba] = [Subject::Shareward(Shareward::start(&setup)), Subject::Samba(Samba::start(&setup))];
    let (Subject::Shareward(server), Subject::Samba(smbd)) = (&ours, &samba) else { return };
    let sambas = fs::read_to_string(smbd.config()).expect("smb.conf");
    for (our_lines, samba_lines, is_admitted) in lines {
        let before = "name = \"data\"\n";
        let after = format!("{before}{our_lines}\n");
        crate::reload::reconfigure(server, before, &after);
        fs::write(smbd.config(), sambas.replace("[data]\n", &format!("[data]\n{samba_lines}\n")))
            .expect("write");
        // A new process of smbd reads the file again.
        for subject in [&ours, &samba] {
            let output = act(subject, "alice", "ls");
            match is_admitted {
                true => output.success(),
                false => output.failure().says("NT_STATUS_ACCESS_DENIED"),
            };
            smbclient(subject, subject.user("alice"), "other", &[], "ls").success();
        }
        crate::reload::reconfigure(server, &after, before);
    }
    let log = server.log();
    assert!(
        log.contains("share refused") && log.contains("hosts_allow and hosts_deny of the share"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_what_hosts_may_no_longer_use() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let subject = Subject::Shareward(server);
    let data = crate::scripted::tree(&subject, "alice", "data").await;
    let other = crate::scripted::tree(&subject, "alice", "other").await;
    let root = CreateParameters::open("");
    data.create(&root).await.expect("open");
    let Subject::Shareward(server) = &subject else { return };
    let denying = "name = \"data\"\nhosts_deny = [\"all\"]\n";
    crate::reload::reconfigure(server, "name = \"data\"\n", denying);
    let refused = data.create(&root).await.expect_err("a refusal");
    assert!(refused.is(NtStatus::NETWORK_NAME_DELETED), "{refused}");
    other.create(&root).await.expect("the other share stays");

    crate::reload::reconfigure(server, "[server]\n", "[server]\nhosts_deny = [\"127.0.0.0/8\"]\n");
    other.create(&root).await.expect_err("the connection has ended");
    assert!(!subject.answers(), "a new connection is closed");
    assert!(server.log().contains("connection refused"), "{}", server.log());
    server.net(&["session"]).success();
    crate::reload::reconfigure(server, "hosts_deny = [\"127.0.0.0/8\"]\n", "");
    assert!(subject.answers());
}
