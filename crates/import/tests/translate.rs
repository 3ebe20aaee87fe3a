//! Translations of configurations: the server accepts every one, and it gives the same rights or fewer.

use std::path::Path;
use std::time::{Duration, Instant};

use import::parameters;
use import::report::{ShareOutcome, Verdict};
use import::smbconf::{Config, load};
use import::testing::Machine;
use import::translate::{Places, Translation, translate};
use proptest::prelude::*;
use server::config::{
    Caching, Encryption, GrantRight, Grantee, IdRule, ListShares, Settings, ShareSettings, Signing, parse,
};

const CONFIG: &str = "/etc/samba/smb.conf";

fn config(text: &str, machine: Machine) -> (Config, Machine) {
    let machine = machine.with_file(CONFIG, text);
    (load(Path::new(CONFIG), &machine).unwrap(), machine)
}

/// The translation and what the server reads in it.
fn read(text: &str, accounts: &[&str], machine: Machine) -> (Translation, Settings) {
    let (config, machine) = config(text, machine);
    let accounts: Vec<String> = accounts.iter().map(ToString::to_string).collect();
    let translation = translate(&config, &accounts, &Places::default(), &machine);
    let mut defaults = Settings::conventional(true, |_| None);
    defaults.name = String::from("OLDBOX");
    let settings = parse(&translation.toml, Path::new("/etc/shareward"), defaults);
    let settings = settings.unwrap_or_else(|errors| panic!("{text}\n{}\n{errors:?}", translation.toml));
    (translation, settings)
}

fn of(text: &str) -> (Translation, Settings) {
    read(text, &["ann", "bob", "eve"], people())
}

fn people() -> Machine {
    Machine::default()
        .with_user("ann", 1001, &["staff"])
        .with_user("bob", 1002, &["staff", "chiefs"])
        .with_user("eve", 1003, &["guests"])
        .with_user("root", 0, &["root"])
}

fn share(lines: &str) -> ShareSettings {
    let (translation, mut settings) = of(&format!("[data]\npath = /srv/data\n{lines}\n"));
    assert_eq!(settings.shares.len(), 1, "{lines}\n{}", translation.toml);
    settings.shares.remove(0)
}

/// The answer to the last line.
fn answer(text: &str) -> (Verdict, String) {
    let (translation, _) = of(text);
    let last = translation.entries.last().unwrap();
    (last.answer, last.detail.clone())
}

fn grants(share: &ShareSettings) -> Vec<(String, GrantRight)> {
    let name = |who: &Grantee| match who {
        Grantee::User(name) => name.clone(),
        Grantee::Group(name) => format!("@{name}"),
    };
    share.grants.iter().map(|grant| (name(&grant.who), grant.right)).collect()
}

fn rights(share: &ShareSettings) -> Vec<(String, GrantRight)> {
    let mut grants = grants(share);
    grants.sort_by(|a, b| a.0.cmp(&b.0));
    grants
}

#[test]
fn parameters_become_settings() {
    let it = share(
        "comment = \"Data of all\"\nread only = no\nbrowseable = no\nmax connections = 3\nhide unreadable = yes\n\
         csc policy = disable\nsmb encrypt = required\nfollow symlinks = no\nvfs objects = streams_depot acl_xattr\n\
         guest ok = yes\nstrict locking = yes",
    );
    assert_eq!(
        (it.name.as_str(), it.path.as_path(), it.remark.as_str()),
        ("data", Path::new("/srv/data"), "Data of all")
    );
    assert!(
        !it.read_only && it.hidden && it.access_based_enum && it.encrypt && it.guest && !it.follow_symlinks
    );
    assert_eq!((it.max_users, it.caching, it.strict_locking), (Some(3), Caching::None, Some(true)));
    assert_eq!(format!("{:?}", it.streams), "Depot");
    let plain = share("");
    assert!(
        plain.read_only
            && !plain.hidden
            && !plain.encrypt
            && plain.grants.is_empty()
            && plain.users.is_empty()
    );
    assert_eq!(share("posix locking = no\nstrict locking = yes").strict_locking, None);
}

/// The server refuses the setting for shares without anything to keep.
#[test]
fn continuous_availability_is_carried_over_where_the_server_accepts_it() {
    let lines = "continuous availability = yes";
    assert!(share(&format!("read only = no\n{lines}")).continuous);
    assert!(!share("read only = no").continuous);
    for text in [format!("path = /srv/data\n{lines}"), format!("path = /srv/%U\nread only = no\n{lines}")] {
        let (verdict, detail) = answer(&format!("[data]\n{text}\n"));
        assert_eq!(verdict, Verdict::NotYet, "{text}: {detail}");
    }
    let (verdict, detail) = answer("[global]\npersistent handles = yes\n");
    assert_eq!(verdict, Verdict::NotNeeded, "{detail}");
}

#[test]
fn settings_of_the_server_are_carried_over() {
    let (_, settings) = of(
        "netbios name = files1\nserver string = %h of the office\ndeadtime = 15\nserver signing = mandatory\n\
         smb encrypt = desired\nserver min protocol = SMB3_00\nserver max protocol = SMB3\nrestrict anonymous = 2\n\
         map to guest = bad user\nsmb ports = 4450\nsmb3 unix extensions = no\n[p]\npath=/p\nguest ok = yes\n",
    );
    assert_eq!((settings.name.as_str(), settings.comment.as_str()), ("FILES1", "oldbox of the office"));
    assert_eq!((settings.autodisconnect, settings.signing), (Some(15), Signing::Required));
    assert_eq!((settings.encryption, settings.list_shares), (Encryption::Enabled, ListShares::Guests));
    assert_eq!(settings.guest_domains, ["*"]);
    assert!(settings.listen.iter().all(|it| it.port() == 4450) && !settings.posix_extensions);
    assert_eq!(
        format!("{:?}", settings.dialects),
        format!("{:?}", (wire::Dialect::SMB300, wire::Dialect::SMB311))
    );
}

#[test]
fn defaults_of_global_apply_to_the_shares_that_follow() {
    let (_, settings) = of(
        "[a]\npath=/a\n[global]\nwriteable = yes\ncsc policy = documents\n[b]\npath=/b\n[c]\ncopy = a\npath=/c\n",
    );
    let found: Vec<_> = settings.shares.iter().map(|it| (it.read_only, it.caching)).collect();
    let (manual, documents) = (Caching::Manual, Caching::Documents);
    assert_eq!(found, [(true, manual), (false, documents), (true, manual)]);
}

#[test]
fn lists_of_users_become_users_and_grants() {
    use GrantRight::{Full, Read};
    let named = |name: &str, right| (name.to_owned(), right);
    let it = share("valid users = ann, Bob");
    assert_eq!(
        (it.users, it.read_only, it.grants.len()),
        (vec!["ann".to_owned(), "Bob".to_owned()], true, 0)
    );
    let it = share("valid users = @staff eve\nread only = no");
    assert_eq!(grants(&it), [named("@staff", Full), named("eve", Full)]);
    let it = share("write list = ann @chiefs");
    assert_eq!(grants(&it), [named("Everyone", Read), named("ann", Full), named("@chiefs", Full)]);
    assert!(!it.read_only);
    let it = share("valid users = ann eve\nwrite list = ann");
    assert_eq!((it.users.len(), grants(&it)), (2, vec![named("Everyone", Read), named("ann", Full)]));
    // Ann is in the group, Eve is not, and may not come in by the right to write.
    let it = share("valid users = +staff\nwrite list = ann eve");
    assert_eq!(grants(&it), [named("@staff", Read), named("ann", Full)]);
    let it = share("read only = no\nread list = @staff\nwrite list = bob");
    assert_eq!(rights(&it), [named("ann", Read), named("bob", Full), named("eve", Full)]);
    let it = share("read only = no\nvalid users = @staff\nread list = ann");
    assert_eq!(rights(&it), [named("ann", Read), named("bob", Full)]);
    let it = share("invalid users = @guests root\nread only = no");
    assert_eq!(it.users, ["ann", "bob"]);
    let it = share("valid users = ann eve\ninvalid users = EVE");
    assert_eq!(it.users, ["ann"]);
    assert!(share("invalid users = root bin").users.is_empty());
    // A name without '@' is a group if there is no such user.
    assert_eq!(grants(&share("valid users = staff")), [named("@staff", Read)]);
    assert_eq!(share("valid users = OLDBOX\\ann \"eve\"").users, ["ann", "eve"]);
}

#[test]
fn shares_that_would_admit_others_are_comments() {
    for lines in [
        "hosts deny = ALL EXCEPT LOCAL",
        "hosts deny = .example.com",
        "valid users = &netgroup ann",
        "valid users = %U",
        "valid users = CORP\\ann",
        "guest ok = yes\ninvalid users = ann",
        "path = /srv/%m",
        "path = relative",
        "valid users = ann\ninvalid users = ann",
        "server addresses = 192.0.2.1",
    ] {
        let (translation, settings) = of(&format!("[data]\npath = /srv/data\n{lines}\n"));
        assert!(settings.shares.is_empty(), "{lines}");
        assert_eq!(translation.shares[0].outcome, ShareOutcome::Comment, "{lines}");
        assert!(translation.entries.iter().any(|it| it.answer == Verdict::NotYet), "{lines}");
        assert!(
            translation.toml.contains("# Not served: ") && translation.toml.contains("#[[share]]"),
            "{lines}"
        );
    }
    let (translation, settings) = of("root directory = /x\n[a]\npath=/a\n");
    assert!(settings.shares.is_empty() && translation.shares[0].outcome == ShareOutcome::Comment);
    let (_, settings) = read("[a]\npath=/a\nread only = no\nread list = ann\n", &[], people());
    assert_eq!(grants(&settings.shares[0]), [("Everyone".to_owned(), GrantRight::Read)]);
}

#[test]
fn modes_and_forced_identities_become_settings() {
    let of = |lines| share(lines).files;
    let modes = |lines| {
        let modes = of(lines).modes;
        (modes.file, modes.directory, modes.inherited)
    };
    assert_eq!(modes(""), (None, None, false));
    assert_eq!(modes("create mask = 0664"), (Some(0o664), None, false));
    // Files have no rights to execute before the forced ones.
    assert_eq!(modes("create mask = 0777\nforce create mode = 0110"), (Some(0o776), None, false));
    assert_eq!(modes("force create mode = 0020"), (Some(0o664), None, false));
    assert_eq!(modes("directory mask = 0770\nforce directory mode = 2000"), (None, Some(0o2770), false));
    assert_eq!(modes("create mask = 0040"), (Some(0o640), None, false));
    assert_eq!(modes("inherit permissions = yes\ncreate mask = 0600"), (None, None, true));
    let forced = of("force user = ann\nforce group = +staff");
    assert_eq!(forced.force_user.as_deref(), Some("ann"));
    let group = forced.force_group.unwrap();
    assert_eq!((group.name.as_str(), group.members_only), ("staff", true));
    assert_eq!(of("force user = %U").force_user, None);
}

#[test]
fn homes_and_paths_of_users_become_variables() {
    let path = |lines: &str| share(lines).path;
    for (lines, expected) in [
        ("path = /srv/%U", "/srv/%U"),
        ("path = /srv/%u/%S/%g", "/srv/%U/data/%G"),
        ("path = %H/files", "%H/files"),
        ("path = /srv/%h/%I", "/srv/oldbox/%I"),
    ] {
        assert_eq!(path(lines), Path::new(expected), "{lines}");
    }
    let (_, settings) = of("[homes]\nread only = no\nbrowseable = no\nvalid users = %S\n");
    let homes = &settings.shares[0];
    assert_eq!((homes.name.as_str(), homes.path.as_path(), homes.homes), ("homes", Path::new("%H"), true));
    assert!(homes.users.is_empty() && homes.grants.is_empty() && !homes.read_only && homes.hidden);
    let (_, settings) = of("[homes]\npath = /srv/homes/%S\n");
    assert_eq!(settings.shares[0].path, Path::new("/srv/homes/%U"));
    let (translation, settings) = of("[global]\nsecurity = ads\nrealm = X.Y\n[homes]\npath = /srv/%S\n");
    assert!(settings.shares.is_empty(), "{}", translation.toml);
}

#[test]
fn names_and_the_bin_become_settings() {
    let of = |lines: &str| share(lines).files;
    let rules =
        of("veto files = /*.tmp/Thumbs.db/\nhide files = /*.bak/\ndelete veto files = yes").names.unwrap();
    assert!(rules.is_vetoed("a.TMP") && rules.is_vetoed("thumbs.db") && !rules.is_vetoed("a"));
    assert!(rules.removes_vetoed && rules.hides_dot_files);
    assert_eq!(rules.attributes_of("x.bak"), wire::FileAttributes::HIDDEN);
    assert_eq!(of("hide dot files = no").names, None);
    assert_eq!(of("vfs objects = acl_xattr").recycle, None);
    let bin = of("vfs objects = recycle").recycle.unwrap();
    assert!(!bin.keep_tree && !bin.versions);
    let bin = of("vfs objects = recycle acl_xattr\nrecycle:repository = bin/%U\nrecycle:keeptree = yes\n\
                  recycle:versions = yes\nrecycle:exclude = *.tmp, ~$*\nrecycle:maxsize = 1048577");
    let bin = bin.recycle.unwrap();
    assert!(format!("{:?}", bin.directory).contains("\"bin\"") && bin.keep_tree && bin.versions);
    assert_eq!((bin.exclude.len(), bin.max_file_size), (2, Some(2 << 20)));
    // The settings do not accept these, so they are not written.
    for repository in ["x\0", "a:b", "a*", "../x", "/x", "%m", "x//y"] {
        let lines = format!("vfs objects = recycle\nrecycle:repository = {repository}");
        let bin = of(&lines).recycle.unwrap();
        assert!(
            format!("{:?}", bin.directory).contains("\".recycle\""),
            "{repository:?}: {:?}",
            bin.directory
        );
    }
    let long = "x".repeat(300);
    let lines =
        format!("vfs objects = recycle\nrecycle:exclude = * a {long}\nrecycle:maxsize = {}", i64::MAX);
    let bin = of(&lines).recycle.unwrap();
    assert_eq!((bin.exclude.len(), bin.max_file_size), (1, Some(1 << 50)));
}

#[test]
fn computers_of_hosts_allow_and_hosts_deny_are_admitted_and_refused_as_before() {
    let admits = |hosts: &server::config::HostRules, address: &str| hosts.admit(address.parse().unwrap());
    for (lines, address, admitted) in [
        ("hosts allow = 192.168. 10.0.0.0/255.0.0.0", "192.168.3.4", true),
        ("hosts allow = 192.168. 10.0.0.0/255.0.0.0", "10.3.4.5", true),
        ("hosts allow = 192.168. 10.0.0.0/255.0.0.0", "11.3.4.5", false),
        ("hosts allow = 192.168. EXCEPT 192.168.7.7", "192.168.7.7", false),
        ("hosts deny = ALL", "192.168.3.4", false),
        ("hosts deny = 192.168.", "192.168.3.4", false),
        ("hosts deny = 192.168.", "192.169.3.4", true),
        ("hosts allow = desktop", "192.168.3.4", false),
        ("hosts allow = 192.168. desktop", "192.168.3.4", true),
        ("hosts allow = ALL EXCEPT desktop", "192.168.3.4", false),
    ] {
        let hosts = share(lines).hosts;
        assert_eq!(admits(&hosts, address), admitted, "{lines} {address}");
    }
    let (_, settings) = of("[global]\nhosts allow = 10.\n[a]\npath=/a\n[b]\npath=/b\nhosts deny = 10.6.\n");
    assert!(admits(&settings.hosts, "10.1.1.1") && !admits(&settings.hosts, "11.1.1.1"));
    assert_eq!(settings.shares[0].hosts, server::config::HostRules::default());
    // An address in both lists is allowed, on both servers.
    assert!(admits(&settings.shares[1].hosts, "10.6.1.1"));
    // A computer that could not be denied by its name denies all.
    let (_, settings) = of("[global]\nhosts deny = badhost\n[a]\npath=/a\n");
    assert!(!admits(&settings.hosts, "10.1.1.1"));
}

#[test]
fn sections_that_are_no_shares_of_files_are_left_out() {
    let text = "[printers]\npath=/t\nprintable=yes\n[print$]\npath=/d\n[off]\npath=/o\navailable=no\n\
                [none]\ncomment=x\n[ipc$]\nhosts allow = 1.\n";
    let (translation, settings) = of(text);
    assert!(settings.shares.is_empty());
    assert!(translation.shares.iter().all(|it| it.outcome == ShareOutcome::LeftOut));
    let verdicts: Vec<Verdict> = translation.entries.iter().map(|it| it.answer).collect();
    use Verdict::{NotNeeded, NotYet};
    assert_eq!(verdicts, [NotNeeded, NotNeeded, NotNeeded, NotNeeded, NotNeeded, NotNeeded, NotYet]);
}

#[test]
fn answers_depend_on_the_value() {
    let of = |line: &str| answer(&format!("[s]\npath=/p\n{line}\n")).0;
    for line in [
        "dont descend =",
        "oplocks = true",
        "vfs objects = fruit\nfruit:metadata = stream\nfruit:resource = stream\nea support = yes",
    ] {
        assert_eq!(of(line), Verdict::NotNeeded, "{line}");
    }
    for line in [
        "dont descend = /x",
        "oplocks = 0",
        "vfs objects = fruit",
        "vfs objects = fruit\nfruit:metadata = netatalk",
        "vfs objects = unheard",
        "unheard:of = 1",
    ] {
        assert_eq!(of(line), Verdict::NotYet, "{line}");
    }
    for (text, wanted) in [
        ("[s]\npath=/p\nbogus = 1", "Samba does not know this parameter and ignores it"),
        ("[s]\npath=/p\nworkgroup = X", "Samba ignores it outside of [global]"),
        ("[s]\npath=/p\nsomething", "Samba ignores a line without '='"),
        ("[s]\npath=/p\nfruit:metadata = netatalk", "'vfs objects' does not have the module fruit"),
    ] {
        assert_eq!(answer(text), (Verdict::NotNeeded, wanted.to_owned()), "{text}");
    }
    let (translation, _) = self::of("[s]\npath=/p\npath=/q\n");
    assert_eq!(translation.entries[0].detail, "line 3 sets it again");
    let (translation, _) =
        self::of("server min protocol = NT1\nmap to guest = bad password\n[s]\npath=/p\nguest ok=1\n");
    assert!(translation.entries[..2].iter().all(|it| it.answer == Verdict::NotYet));
}

#[test]
fn shares_for_time_machine_are_carried_over() {
    let text = "fruit:time machine = yes\n[a]\npath=/a\nvfs objects = fruit streams_xattr\nread only = no\n\
                [b]\npath=/b\nvfs objects = fruit\nfruit:time machine = no\nread only = no\n\
                [c]\npath=/c\nvfs objects = fruit\n[d]\npath=/d\nread only = no\n\
                [e]\npath=/e\nvfs objects = fruit\nfruit:time machine max size = 1T\nwrite list = ann\n";
    let (translation, settings) = of(text);
    let for_macs: Vec<&str> =
        settings.shares.iter().filter(|it| it.time_machine).map(|it| it.name.as_str()).collect();
    assert_eq!(for_macs, ["a", "e"]);
    let answers: Vec<(u32, Verdict)> = translation
        .entries
        .iter()
        .filter(|it| it.parameter.contains("time machine"))
        .map(|it| (it.line, it.answer))
        .collect();
    assert_eq!(answers, [(1, Verdict::Carried), (9, Verdict::NotNeeded), (20, Verdict::Carried)]);
    let limits: Vec<Option<u64>> = settings.shares.iter().map(|it| it.time_machine_limit).collect();
    assert_eq!(limits, [None, None, None, None, Some(1 << 40)]);
}

#[test]
fn sizes_for_time_machine_are_carried_over() {
    let limit = |size: &str| {
        let (translation, settings) = of(&format!(
            "[a]\npath=/a\nvfs objects = fruit\nread only = no\nfruit:time machine = yes\n\
             fruit:time machine max size = {size}\n"
        ));
        let answer = translation.entries.iter().find(|it| it.parameter.contains("max size")).unwrap().answer;
        (settings.shares[0].time_machine_limit, answer)
    };
    assert_eq!(limit("500G"), (Some(500 << 30), Verdict::Carried));
    assert_eq!(limit("2 t"), (Some(2 << 40), Verdict::Carried));
    assert_eq!(limit("1048577"), (Some((1 << 20) + 1024), Verdict::Carried));
    assert_eq!(limit("0"), (None, Verdict::NotNeeded));
    assert_eq!(limit("much"), (None, Verdict::NotYet));
    let (translation, settings) = of("[a]\npath=/a\nvfs objects = fruit\nfruit:time machine max size = 1T\n");
    assert_eq!((settings.shares[0].time_machine_limit, translation.entries.len()), (None, 3));
    assert_eq!(translation.entries[2].answer, Verdict::NotNeeded);
}

#[test]
fn user_shares_count_if_there_are_any() {
    let text = "usershare allow guests = yes\nusershare path = /shares\n";
    assert!(of(text).0.entries.iter().all(|it| it.answer == Verdict::NotNeeded));
    let (translation, _) = read(text, &[], Machine::default().with_file("/shares/x", ""));
    assert!(translation.entries.iter().all(|it| it.answer == Verdict::NotYet));
}

#[test]
fn interfaces_become_addresses() {
    let ip = |text: &str| text.parse().unwrap();
    let machine = || {
        Machine::default()
            .with_interface("lo", ip("127.0.0.1"))
            .with_interface("eth0", ip("192.0.2.7"))
            .with_interface("eth0", ip("fe80::1"))
            .with_interface("eth1", ip("198.51.100.7"))
    };
    let listen = |lines: &str| {
        let (_, settings) = read(&format!("{lines}\n[s]\npath=/p\n"), &[], machine());
        settings.listen.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let bound = "bind interfaces only = yes\ninterfaces =";
    assert_eq!(listen(&format!("{bound} lo eth*")), ["127.0.0.1:445", "192.0.2.7:445", "198.51.100.7:445"]);
    assert_eq!(listen(&format!("{bound} 192.0.2.0/24")), ["192.0.2.7:445"]);
    assert_eq!(
        listen(&format!("{bound} 192.0.2.7/255.255.255.0\nsmb ports = 139 446 445")),
        ["192.0.2.7:446", "192.0.2.7:445"]
    );
    assert_eq!(listen(&format!("{bound} wlan0")), ["127.0.0.1:445"]);
    assert_eq!(listen("interfaces = lo").len(), 2);
}

#[test]
fn a_member_of_a_domain_gets_the_table_domain() {
    let text = "security = ads\nrealm = corp.example\nworkgroup = CORP\nidmap config * : backend = tdb\n\
                idmap config * : range = 3000-7999\nidmap config CORP : backend = rid\n\
                idmap config CORP:range = 10000 - 999999\nkerberos method = secrets and keytab\n\
                password server = dc1.corp.example, *\n[data]\npath=/d\nvalid users = @\"CORP\\Domain Users\" CORP\\carol ann\n";
    let (translation, settings) = of(text);
    let domain = settings.domain.unwrap();
    assert_eq!(
        (domain.realm.as_str(), domain.name.as_str(), domain.ids),
        ("CORP.EXAMPLE", "CORP", IdRule::Rid)
    );
    assert_eq!((domain.id_ranges[0].first, domain.id_ranges[0].last), (10000, 999_999));
    assert_eq!(domain.controllers, ["dc1.corp.example"]);
    let names: Vec<String> = grants(&settings.shares[0]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["@CORP\\Domain Users", "CORP\\carol", "ann"]);
    assert!(translation.entries.iter().all(|it| it.answer != Verdict::NotYet), "{:?}", translation.entries);

    let ids = |lines: &str| {
        let (_, settings) = of(&format!("security = ads\nrealm = corp.example\nworkgroup = CORP\n{lines}\n"));
        let domain = settings.domain.unwrap();
        (domain.ids, domain.autorid_range_size)
    };
    assert_eq!(
        ids("idmap config CORP:backend = ad\nidmap config CORP:range = 1000-2000").0,
        IdRule::NameService
    );
    let autorid = "idmap config *:backend = autorid\nidmap config *:range = 100000-19999999\nidmap config *:rangesize = 50000";
    assert_eq!(ids(autorid), (IdRule::Autorid, 50000));
    assert_eq!(ids("idmap config CORP:backend = rid\nidmap config CORP:range = 5-1").0, IdRule::NameService);
    // Users of the domain have no account, so nobody knows who else there is.
    let (translation, settings) =
        of("security=ads\nrealm=corp.example\nworkgroup=CORP\n[a]\npath=/a\ninvalid users = CORP\\eve\n");
    assert!(settings.shares.is_empty() && translation.shares[0].outcome == ShareOutcome::Comment);
    assert!(of("workgroup = X\nrealm = y\n").1.domain.is_none());
}

#[test]
fn names_in_other_encodings_are_converted() {
    let machine = Machine::default()
        .with_file(CONFIG, b"unix charset = ISO8859-1\n[caf\xe9]\npath=/p\ncomment=\xfcber\n".to_vec());
    let config = load(Path::new(CONFIG), &machine).unwrap();
    let translation = translate(&config, &[], &Places::default(), &machine);
    assert!(
        translation.toml.contains("name = \"café\"") && translation.toml.contains("remark = \"über\""),
        "{}",
        translation.toml
    );
    let machine =
        Machine::default().with_file(CONFIG, b"[a]\npath=/\xff\n[b]\npath=/b\ncomment=\xff\n".to_vec());
    let config = load(Path::new(CONFIG), &machine).unwrap();
    let translation = translate(&config, &[], &Places::default(), &machine);
    assert_eq!(translation.shares[0].outcome, ShareOutcome::Comment);
    assert_eq!(translation.shares[1].outcome, ShareOutcome::Share);
}

#[test]
fn ten_thousand_shares_take_less_than_ten_seconds() {
    let mut text = String::from(
        "[global]\nread only = no\n[first]\npath=/first\nvalid users = @staff\ncreate mask = 0660\n",
    );
    for number in 1..10_000 {
        text.push_str(&format!("[share {number}]\ncopy = first\npath = /srv/{number}\ncomment = number {number}\nwrite list = ann\n"));
    }
    let start = Instant::now();
    let (translation, settings) = of(&text);
    eprintln!("took {:?}", start.elapsed());
    assert_eq!((settings.shares.len(), translation.entries.len()), (10_000, 40_000));
    // It takes half a second; the limit is for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn files_that_include_each_other_are_refused_soon() {
    let both = "include = /etc/samba/smb.conf\ninclude = /etc/samba/smb.conf\n";
    let machine = Machine::default().with_file(CONFIG, both);
    let error = load(Path::new(CONFIG), &machine).unwrap_err().to_string();
    assert!(error.starts_with("/etc/samba/smb.conf:1: more than 100 files"), "{error}");
}

/// A database with one record, as `sharesec` of Samba 4.17 makes it: a list with entries of these masks and SIDs.
fn share_info(share: &str, entries: &[(u32, &[u8])]) -> Machine {
    let mut aces = Vec::new();
    for (mask, sid) in entries {
        aces.extend([0, 0, 8 + sid.len() as u8, 0]);
        aces.extend(mask.to_le_bytes());
        aces.extend(*sid);
    }
    let mut descriptor = b"\x01\0\x04\x80\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\x02\0".to_vec();
    descriptor.extend([8 + aces.len() as u8, 0, entries.len() as u8, 0, 0, 0]);
    descriptor.extend(aces);
    let key = format!("SECDESC/{share}\0");
    let bytes = import::tdb::make::tdb(&[(b"INFO/version\0", b"\x03\0\0\0"), (key.as_bytes(), &descriptor)]);
    people().with_file("/var/lib/samba/share_info.tdb", bytes)
}

const WORLD: &[u8] = b"\x01\x01\0\0\0\0\0\x01\0\0\0\0";
const ADMINISTRATORS: &[u8] = b"\x01\x02\0\0\0\0\0\x05\x20\0\0\0\x20\x02\0\0";

#[test]
fn permissions_of_everyone_limit_all_grants() {
    let of = |mask, lines: &str| {
        let text = format!("[Data]\npath = /srv/data\nread only = no\n{lines}");
        let (_, mut settings) = read(&text, &["ann", "bob", "eve"], share_info("data", &[(mask, WORLD)]));
        settings.shares.remove(0)
    };
    let everyone = |right| vec![(String::from("Everyone"), right)];
    let full = of(0x001F_01FF, "");
    assert!(!full.read_only && grants(&full).is_empty());
    assert_eq!(grants(&of(0x0013_01FF, "")), everyone(GrantRight::Change));
    assert!(of(0x0012_00A9, "").read_only);
    let lists = "read only = yes\nwrite list = ann\n";
    let ann = |right| [everyone(GrantRight::Read), vec![(String::from("ann"), right)]].concat();
    assert_eq!(grants(&of(0x001F_01FF, lists)), ann(GrantRight::Full));
    assert_eq!(grants(&of(0x0013_01FF, lists)), ann(GrantRight::Change));
    assert_eq!(grants(&of(0x0012_00A9, lists)), ann(GrantRight::Read));
}

#[test]
fn shares_with_permissions_for_some_are_comments() {
    let text = "[data]\npath = /srv/data\n[other]\npath = /srv/other\n";
    let machine = share_info("data", &[(0x0012_00A9, WORLD), (0x001F_01FF, ADMINISTRATORS)]);
    let (translation, settings) = read(text, &["ann"], machine);
    assert_eq!(settings.shares.len(), 1, "{}", translation.toml);
    assert_eq!(translation.shares[0].outcome, ShareOutcome::Comment);
    assert_eq!(
        translation.shares[0].detail,
        "its permissions (sharesec) grant S-1-5-32-544 more than everyone"
    );
}

#[test]
fn no_share_is_served_if_its_permissions_cannot_be_read() {
    let text = "[global]\nstate directory = /state\n[data]\npath = /srv/data\n";
    let (translation, settings) =
        read(text, &["ann"], people().with_file("/state/share_info.tdb", "TDB file\n\0cut"));
    assert_eq!(settings.shares.len(), 0, "{}", translation.toml);
    assert!(translation.shares[0].detail.contains("/state/share_info.tdb cannot be read"), "{translation:?}");
    assert!(translation.notes.iter().any(|it| it.ends_with("no share is served")), "{:?}", translation.notes);
    let (translation, _) = read(text, &["ann"], people());
    assert!(translation.notes.iter().any(|it| it.contains("there is no /state/share_info.tdb")));
}

/// The values that parameters have in real files, and wrong ones.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::from("yes")),
        Just(String::from("no")),
        Just(String::from("auto")),
        Just(String::from("required")),
        Just(String::from("10000-20000")),
        Just(String::from("/srv/%S")),
        Just(String::from("ann @staff")),
        "(rid|autorid|ad|tdb|ads|SMB3|CORP|corp.example|bad user|0775)",
        "[ -~äß]{0,16}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let names: Vec<&str> = parameters::all().iter().map(|it| it.name).filter(|it| *it != "include").collect();
    let line = prop_oneof![
        6 => (prop::sample::select(names), value()).prop_map(|(name, value)| format!("{name} = {value}")),
        3 => "\\[(a|b|global|homes|data share|[ -~]{1,8})\\]",
        1 => value().prop_map(|value| format!("path = {value}")),
        1 => ("(backend|range|rangesize)", "(\\*|CORP|A B)", value())
            .prop_map(|(what, domain, value)| format!("idmap config {domain} : {what} = {value}")),
        1 => "(security = ads|realm = a.b|workgroup = OLDBOX|workgroup = C\"P|realm = x|bind interfaces only = yes)",
    ];
    prop::collection::vec(line, 0..16).prop_map(|lines| lines.join("\n") + "\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A configuration that Samba loads gives one that the server accepts, with an answer to every line.
    #[test]
    fn every_translation_is_accepted_by_the_server(text in text()) {
        let machine = people().with_file(CONFIG, text.as_str());
        if let Ok(config) = load(Path::new(CONFIG), &machine) {
            let (translation, settings) = read(&text, &["ann", "bob"], people());
            prop_assert_eq!(translation.entries.len(), config.lines.len());
            prop_assert!(translation.entries.iter().all(|entry| !entry.detail.is_empty()));
            let served = translation.shares.iter().filter(|it| it.outcome == ShareOutcome::Share).count();
            prop_assert_eq!(served, settings.shares.len());
        }
    }
}
