//! Named streams of every size and in either store: for clients, and for Samba over the same files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use client::smb::{ClientTree, CreateParameters, File};
use testkit::peer;
use testkit::{Output, RunAs, Setup, Shareward, Subject, need, skip};
use wire::create_context::{AaplParts, AaplRequest, AaplServerCaps, CreateContextsRequest};
use wire::fscc::FileInfoClass;
use wire::fscc::stream_info::decode_streams;
use wire::ioctl::FsctlCode;
use wire::msg::{AdditionalInformation, CreateDisposition, InfoType};
use wire::{AccessMask, NtStatus};

use crate::moves::{Pair, noise, put, read_all};
use crate::scripted::{connected, rename, tree};

/// The directories of streams in the layout of Samba, and in that of our server.
const DEPOT: &str = ".streams";
const STORE: &str = ".shareward-streams";

/// Our server and Samba's over one tree, both of which keep streams in files.
fn pair(place: &Path) -> Option<Pair> {
    Pair::start_as(place, |setup| {
        setup.extra_share = String::from("streams = \"depot\"");
        setup.extra_samba = String::from("vfs objects = acl_xattr streams_depot");
    })
}

fn smbclient(subject: &Subject, commands: &str) -> Output {
    peer::smbclient(subject, subject.user("alice"), "data", &[], commands)
}

/// All streams of a file but the unnamed one.
async fn streams(tree: &ClientTree, name: &str) -> BTreeMap<String, Vec<u8>> {
    let access = AccessMask::FILE_GENERIC_READ;
    let file = tree.create(&CreateParameters { access, ..CreateParameters::open(name) }).await.expect("open");
    let (class, none) = (FileInfoClass::STREAM.0, AdditionalInformation::NONE);
    let info = file.query_info(InfoType::FILE, class, none, 64 * 1024).await.expect("the streams");
    let mut found = BTreeMap::new();
    for stream in decode_streams(&info) {
        let stream = stream.expect("a stream");
        let stream_name = stream.name.to_text();
        if stream_name == "::$DATA" {
            continue;
        }
        let opened = tree.create(&CreateParameters::open(&format!("{name}{stream_name}"))).await;
        let data = read_all(&opened.expect("open a stream")).await;
        assert_eq!(stream.size, data.len() as u64, "{name}{stream_name}");
        found.insert(stream_name, data);
    }
    file.close().await.expect("close");
    found
}

async fn open_to_delete(tree: &ClientTree, name: &str) -> File {
    let access = AccessMask::DELETE | AccessMask::READ_ATTRIBUTES;
    tree.create(&CreateParameters { access, ..CreateParameters::open(name) }).await.expect("open")
}

async fn delete(tree: &ClientTree, name: &str) {
    let file = open_to_delete(tree, name).await;
    file.set_delete_on_close(true).await.expect("delete");
    file.close().await.expect("close");
}

/// The streams that are kept in files, by their names on disk.
fn kept(share: &Path) -> Vec<String> {
    let mut directories = vec![share.join(DEPOT), share.join(STORE)];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type().expect("a type").is_dir() {
                true => directories.push(entry.path()),
                false => files.push(entry.file_name().into_string().expect("a name")),
            }
        }
    }
    files.sort();
    files
}

/// As `:NAME` is renamed: to a stream of the same file.
async fn rename_stream(tree: &ClientTree, from: &str, to: &str) {
    let stream = open_to_delete(tree, from).await;
    rename(&stream, to).await.expect("rename");
    stream.close().await.expect("close");
}

#[tokio::test]
async fn large_streams_are_the_same_to_samba() {
    for place in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
        let Some(pair) = pair(&place) else { return };
        let share = pair.share_dir("data");
        for (writer, reader, name) in pair.ways() {
            let (_one, writer) = connected(writer, "alice").await;
            let (_other, reader) = connected(reader, "alice").await;
            put(&writer, name, b"data").await;
            let sizes = [("empty", 0), ("small", 10), ("some", 5_000), ("Größe", 70_000), ("large", 1 << 20)];
            for (stream, size) in sizes {
                put(&writer, &format!("{name}:{stream}"), &noise(size)).await;
            }
            let found = streams(&reader, name).await;
            assert_eq!(found, streams(&writer, name).await, "{name}");
            assert_eq!(found.len(), sizes.len());
            for (stream, size) in sizes {
                assert_eq!(found[&format!(":{stream}:$DATA")], noise(size), "{name}:{stream}");
            }
            assert_eq!(kept(&share).len(), sizes.len());

            // What the second one changes the first one sees.
            put(&reader, &format!("{name}:SOME"), b"changed").await;
            put(&reader, &format!("{name}:more"), b"more").await;
            delete(&reader, &format!("{name}:small")).await;
            rename_stream(&reader, &format!("{name}:large"), ":huge").await;
            let found = streams(&writer, name).await;
            assert_eq!(found, streams(&reader, name).await, "{name}");
            let names: Vec<_> = found.keys().map(String::as_str).collect();
            assert_eq!(names, [":Größe:$DATA", ":empty:$DATA", ":huge:$DATA", ":more:$DATA", ":some:$DATA"]);
            assert_eq!(found[":some:$DATA"], [b"changed", &noise(5_000)[7..]].concat());
            assert_eq!(found[":huge:$DATA"], noise(1 << 20));
            rename_stream(&writer, &format!("{name}:huge"), ":large").await;

            // They follow their file, and go with it.
            let moved = format!("{name}-moved");
            let file = open_to_delete(&reader, name).await;
            rename(&file, &moved).await.expect("rename");
            file.close().await.expect("close");
            assert_eq!(streams(&writer, &moved).await[":large:$DATA"], noise(1 << 20));
            delete(&reader, &moved).await;
            assert_eq!(kept(&share), [""; 0], "{name}");
        }
    }
}

#[tokio::test]
async fn streams_of_directories_are_the_same_to_samba() {
    let Some(pair) = pair(&std::env::temp_dir()) else { return };
    let share = pair.share_dir("data");
    for (writer, reader, name) in pair.ways() {
        let (_one, writer) = connected(writer, "alice").await;
        let (_other, reader) = connected(reader, "alice").await;
        let parameters = CreateParameters {
            disposition: CreateDisposition::CREATE,
            access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
            ..CreateParameters::directory(name)
        };
        writer.create(&parameters).await.expect("create").close().await.expect("close");
        put(&writer, &format!("{name}:s"), &noise(9_000)).await;
        let opened = reader.create(&CreateParameters::open(&format!("{name}:s"))).await.expect("open");
        assert_eq!(read_all(&opened).await, noise(9_000));
        delete(&reader, name).await;
        assert_eq!(kept(&share), [""; 0], "{name}");
    }
}

#[test]
fn smbclient_keeps_streams_of_any_size() {
    if !need(&["smbclient"]) {
        return;
    }
    let subject = Subject::start(&Setup::default());
    let Subject::Shareward(server) = &subject else { return skip("its streams are in attributes alone") };
    let (scratch, share) = (server.scratch(), server.share_dir("data"));
    let local = |name: &str| scratch.join(name).display().to_string();
    fs::write(scratch.join("plain"), "data").expect("write");
    smbclient(&subject, &format!("put {} f", local("plain"))).success();
    for (stream, size) in [("tiny", 40), ("some", 5 << 10), ("large", 1 << 20), ("huge", 100 << 20)] {
        fs::write(scratch.join("in"), noise(size)).expect("write");
        let commands = format!("put {} f:{stream}; get f:{stream} {}", local("in"), local("out"));
        smbclient(&subject, &commands).success();
        assert!(fs::read(scratch.join("out")).expect("read") == noise(size), "{stream}");
    }
    assert_eq!(kept(&share), [":huge:$DATA", ":large:$DATA", ":some:$DATA"]);
    let listed = smbclient(&subject, "allinfo f").success().stdout;
    for line in ["[:tiny:$DATA], 40 bytes", "[:some:$DATA], 5120 bytes", "[:huge:$DATA], 104857600 bytes"] {
        assert_eq!(listed.matches(line).count(), 1, "{line}: {listed}");
    }
    // Nobody sees where they are.
    let listed = smbclient(&subject, "ls; ls .shareward-streams").stdout;
    assert!(!listed.contains("streams  "), "{listed}");
    for (command, status) in [
        ("cd .shareward-streams", "NT_STATUS_ACCESS_DENIED"),
        ("cd .SHAREWARD-STREAMS/", "NT_STATUS_ACCESS_DENIED"),
        ("rename f .shareward-Streams", "NT_STATUS_ACCESS_DENIED"),
        ("get .shareward-streams/x", "NT_STATUS_ACCESS_DENIED"),
        ("mkdir .shareward-streams", "NT_STATUS_OBJECT_NAME_COLLISION"),
    ] {
        let answer = smbclient(&subject, command);
        assert!(answer.text().contains(status), "{command}: {}", answer.text());
    }
    smbclient(&subject, "del f").success();
    assert_eq!(kept(&share), [""; 0]);
}

#[tokio::test]
async fn two_clients_write_one_large_stream() {
    const PIECE: usize = 8_000;
    let subject = Subject::start(&Setup::default());
    let (alice, bob) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    put(&alice, "f", b"data").await;
    let open =
        async |tree: &ClientTree| tree.create(&CreateParameters::read_write("f:s")).await.expect("open");
    let (one, other) = (open(&alice).await, open(&bob).await);
    let write = async |file: &File, odd: usize| {
        for number in (odd..60).step_by(2) {
            let piece = vec![number as u8; PIECE];
            file.write((number * PIECE) as u64, piece).await.expect("write");
        }
    };
    tokio::join!(write(&one, 0), write(&other, 1));
    other.close().await.expect("close");
    let data = read_all(&one).await;
    let expected: Vec<u8> = (0..60_u8).flat_map(|number| vec![number; PIECE]).collect();
    assert!(data == expected, "{}", data.len());
}

/// The status says what is the matter if the setting forbids files.
#[tokio::test]
async fn a_stream_that_no_store_can_hold_is_refused() {
    let setup = Setup { extra_share: String::from("streams = \"xattr\""), ..Setup::default() };
    let subject = Subject::start(&setup);
    let Subject::Shareward(server) = &subject else { return skip("it has the limit of its file system") };
    let (_connection, alice) = connected(&subject, "alice").await;
    put(&alice, "f", b"data").await;
    let stream = alice.create(&CreateParameters::read_write("f:s")).await.expect("create");
    let refused = stream.write(0, noise(70_000)).await.expect_err("too large");
    assert!(refused.is(NtStatus::FILE_SYSTEM_LIMITATION), "{refused}");
    stream.write(0, noise(100)).await.expect("write");
    assert!(!server.share_dir("data").join(STORE).exists());
}

/// An ordinary user's server that may not create its store in the share's directory.
#[tokio::test]
async fn a_stream_without_a_place_for_the_store_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    if !need(&["root"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let share = subject.share_dir("data");
    fs::create_dir(share.join("d")).expect("a directory");
    std::os::unix::fs::chown(&share, Some(0), Some(0)).expect("chown");
    for (name, mode) in [("d", 0o777), ("", 0o755)] {
        fs::set_permissions(share.join(name), fs::Permissions::from_mode(mode)).expect("chmod");
    }
    let (_connection, alice) = connected(&subject, "alice").await;
    put(&alice, r"d\f", b"data").await;
    let stream = alice.create(&CreateParameters::read_write(r"d\f:s")).await.expect("create");
    stream.write(0, noise(100)).await.expect("write");
    let refused = stream.write(0, noise(70_000)).await.expect_err("no place");
    assert!(refused.is(NtStatus::FILE_SYSTEM_LIMITATION), "{refused}");
    assert_eq!(read_all(&stream).await, noise(100));
    fs::set_permissions(&share, fs::Permissions::from_mode(0o777)).expect("chmod");
    let stream = alice.create(&CreateParameters::read_write(r"d\f:s")).await.expect("open");
    stream.write(0, noise(70_000)).await.expect("write");
    assert!(share.join(STORE).exists());
}

/// Users of the server's own machine, each with the own rights.
#[tokio::test]
async fn a_large_stream_has_the_owner_and_the_rights_of_its_file() {
    if !need(&["root", "unshare"]) {
        return;
    }
    let server = Shareward::start(&Setup { run_as: RunAs::Root, ..Setup::default() });
    let share = server.share_dir("data");
    let subject = Subject::Shareward(server);
    let (alice, bob) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    put(&alice, "f", b"data").await;
    put(&alice, "f:s", &noise(20_000)).await;
    let mut chmod = Command::new("chmod");
    assert!(chmod.arg("640").arg(share.join("f")).status().expect("chmod").success());
    let refused = bob.create(&CreateParameters::open("f:s")).await.map(drop).expect_err("it is alice's");
    assert!(refused.is(NtStatus::ACCESS_DENIED), "{refused}");
    let opened = alice.create(&CreateParameters::open("f:s")).await.expect("open");
    assert_eq!(read_all(&opened).await, noise(20_000));
    // In her quota, too.
    let mut find = Command::new("find");
    find.arg(share.join(STORE)).args(["-name", ":s:$DATA", "-printf", "%U"]);
    let owner = find.output().expect("find").stdout;
    let mut of_file = Command::new("stat");
    let expected = of_file.args(["-c", "%u"]).arg(share.join("f")).output().expect("stat").stdout;
    assert_eq!(String::from_utf8_lossy(&owner).trim(), String::from_utf8_lossy(&expected).trim());
}

/// An ext4 in a file, mounted until this is gone.
struct Disk(PathBuf);

impl Disk {
    fn mount(image: &Path, on: &Path) -> Self {
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", "loop"]).args([image, on]).status().expect("mount").success());
        Self(on.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Resource forks of a megabyte, on the file system that most servers have.
#[tokio::test]
async fn a_resource_fork_is_kept_on_ext4() {
    if !need(&["root", "mount", "mkfs.ext4", "smbclient", "cp"]) {
        return;
    }
    let server = Shareward::start(&Setup::default());
    let (scratch, share) = (server.scratch(), server.share_dir("data"));
    let subject = Subject::Shareward(server);
    let image = scratch.join("image");
    fs::File::create(&image).expect("an image").set_len(64 << 20).expect("its size");
    let mut make = Command::new("mkfs.ext4");
    assert!(make.arg("-q").arg(&image).status().expect("mkfs.ext4").success());
    let disk = Disk::mount(&image, &share);
    let mut open = Command::new("chmod");
    assert!(open.arg("777").arg(&share).status().expect("chmod").success());

    let fork = noise(1 << 20);
    let (connection, alice) = connected(&subject, "alice").await;
    let client_caps = AaplServerCaps::READ_DIR_ATTR | AaplServerCaps::OSX_COPYFILE;
    let aapl = AaplRequest::ServerQuery { parts: AaplParts::SERVER_CAPS, client_caps };
    let contexts = CreateContextsRequest { aapl: Some(aapl), ..CreateContextsRequest::default() };
    let asking = CreateParameters { contexts, ..CreateParameters::directory("") };
    alice.create(&asking).await.expect("ask").close().await.expect("close");
    put(&alice, "photo", b"data").await;
    put(&alice, "photo:AFP_AfpInfo", &noise(60)).await;
    put(&alice, "photo:AFP_Resource", &fork).await;
    let has = async |name: &str| {
        let found = streams(&alice, name).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), [":AFP_AfpInfo:$DATA", ":AFP_Resource:$DATA"], "{name}");
        assert!(found[":AFP_Resource:$DATA"] == fork, "{name}");
    };
    has("photo").await;
    let listed = smbclient(&subject, "allinfo photo").success().stdout;
    assert!(listed.contains("[:AFP_Resource:$DATA], 1048576 bytes"), "{listed}");
    let local = scratch.join("fork").display().to_string();
    smbclient(&subject, &format!("get photo:AFP_Resource {local}")).success();
    assert!(fs::read(&local).expect("read") == fork);
    smbclient(&subject, &format!("put {local} photo:more; rename photo moved")).success();
    assert!(streams(&alice, "moved").await[":more:$DATA"] == fork);
    delete(&alice, "moved:more").await;
    rename_stream(&alice, "moved:AFP_Resource", ":other").await;
    rename_stream(&alice, "moved:other", ":AFP_Resource").await;
    has("moved").await;

    // The whole file is copied by the server; a local program copies what is in it, and in its attributes.
    let from = alice.create(&CreateParameters::open("moved")).await.expect("open");
    let to = alice.create(&CreateParameters::read_write("copy")).await.expect("create");
    let key = from.ioctl(FsctlCode::SRV_REQUEST_RESUME_KEY, &[], 32).await.expect("a key");
    to.ioctl(FsctlCode::SRV_COPYCHUNK, &[&key[..24], &[0; 8]].concat(), 12).await.expect("copy");
    from.close().await.expect("close");
    to.close().await.expect("close");
    has("copy").await;
    let mut copy = Command::new("cp");
    copy.arg("--archive").args([share.join("moved"), share.join("archived")]);
    assert!(copy.status().expect("cp").success());
    let archived = streams(&alice, "archived").await;
    assert_eq!(archived.into_keys().collect::<Vec<_>>(), [":AFP_AfpInfo:$DATA"]);
    delete(&alice, "moved").await;
    delete(&alice, "archived").await;
    has("copy").await;
    assert_eq!(kept(&share), [":AFP_Resource:$DATA"]);

    // By another number and at another place, it is the same disk.
    drop((alice, connection));
    drop(disk);
    let _disk = Disk::mount(&image, &subject.share_dir("other"));
    let other = crate::scripted::tree(&subject, "alice", "other").await;
    assert!(streams(&other, "copy").await[":AFP_Resource:$DATA"] == fork);
    delete(&other, "copy").await;
    let left = fs::read_dir(subject.share_dir("other")).expect("list").flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name().into_string().expect("a name")).collect();
    left.sort();
    assert_eq!(left, [STORE, "lost+found"]);
    assert_eq!(fs::read_dir(subject.share_dir("other").join(STORE)).expect("list").count(), 0);
}
