//! The table of `docs/names.md`: separators, `.` and `..`, and halves of surrogate pairs, wherever clients write names.

use std::os::unix::fs::MetadataExt;

use client::smb::{ClientTree, CreateParameters, File};
use testkit::{Setup, Shareward, Subject};
use wire::fscc::FileInfoClass;
use wire::msg::{AdditionalInformation, CreateDisposition, CreateOptions, InfoType};
use wire::{AccessMask, NtStatus, utf16le};

use crate::scripted::tree;

async fn make(data: &ClientTree, name: &str) {
    data.create(&CreateParameters::read_write(name)).await.expect("create").close().await.expect("close");
}

async fn make_directory(data: &ClientTree, name: &str) {
    let made =
        CreateParameters { disposition: CreateDisposition::CREATE, ..CreateParameters::directory(name) };
    data.create(&made).await.expect("mkdir").close().await.expect("close");
}

async fn opened(data: &ClientTree, parameters: &CreateParameters<'_>) -> NtStatus {
    match data.create(parameters).await {
        Ok(file) => {
            file.close().await.expect("close");
            NtStatus::SUCCESS
        }
        Err(error) => error.status().expect("a status"),
    }
}

/// Renames a file, or links it, and takes that back.
async fn named(data: &ClientTree, class: FileInfoClass, from: &str, to: &str, back: &str) -> NtStatus {
    let parameters = CreateParameters { access: AccessMask::FILE_ALL, ..CreateParameters::open(from) };
    let file = data.create(&parameters).await.expect("open");
    let status = set_name(&file, class, to).await;
    if status == NtStatus::SUCCESS && class == FileInfoClass::RENAME {
        assert_eq!(opened(data, &CreateParameters::open(back)).await, NtStatus::SUCCESS, "{to:?}");
        assert_eq!(set_name(&file, class, from).await, NtStatus::SUCCESS, "{to:?}");
    } else if status == NtStatus::SUCCESS {
        let delete = CreateParameters {
            access: AccessMask::DELETE,
            options: CreateOptions::DELETE_ON_CLOSE,
            ..CreateParameters::open(back)
        };
        assert_eq!(opened(data, &delete).await, NtStatus::SUCCESS, "{to:?}");
    }
    file.close().await.expect("close");
    status
}

async fn set_name(file: &File, class: FileInfoClass, name: &str) -> NtStatus {
    let name = utf16le(name);
    let length = u32::try_from(name.len()).expect("a length").to_le_bytes();
    let data = [&[0; 16][..], &length, &name].concat();
    let set = file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, &data).await;
    set.err().map_or(NtStatus::SUCCESS, |error| error.status().expect("a status"))
}

async fn listed(directory: &File, pattern: &str) -> Result<Vec<String>, NtStatus> {
    let listing = directory.list(FileInfoClass::ID_BOTH_DIRECTORY, pattern).all(100).await;
    let entries = listing.map_err(|error| error.status().expect("a status"))?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

#[tokio::test]
async fn separators_and_dots_follow_windows_and_samba() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    make_directory(&data, "d").await;
    make_directory(&data, r"d\sub").await;
    make(&data, r"d\f").await;
    let (good, syntax) = (NtStatus::SUCCESS, NtStatus::OBJECT_PATH_SYNTAX_BAD);
    let (parameter, invalid) = (NtStatus::INVALID_PARAMETER, NtStatus::OBJECT_NAME_INVALID);
    for (name, status) in [
        (r"d\\f", good),
        (r"d\\\f", good),
        (r"d\", good),
        (r"d\\", good),
        (r"d\\sub\\\", good),
        (r"d\f\", NtStatus::NOT_A_DIRECTORY),
        (r"d\..", good),
        (r"d\..\d\\f", good),
        (r"missing\..\d\f", good),
        (r"d\sub\..\..\..\d", syntax),
        ("..", syntax),
        (r"..\d", syntax),
        (r"\d\f", parameter),
        (r"\\d\f", parameter),
        (r"\", parameter),
        (r"\..\d", parameter),
        (".", invalid),
        (r"d\.", invalid),
        (r"d\.\f", invalid),
        ("d/f", invalid),
        (r"d\:s", invalid),
        (r"d\\:s", invalid),
        (r"d\f:s\..", invalid),
        (r"d\f:s\\t", invalid),
        (r"d\f::$DATA", good),
    ] {
        assert_eq!(opened(&data, &CreateParameters::open(name)).await, status, "{name}");
    }
    let file = |name| CreateParameters {
        options: CreateOptions::NON_DIRECTORY_FILE,
        ..CreateParameters::open(name)
    };
    assert_eq!(opened(&data, &file(r"d\sub\")).await, invalid);
    assert_eq!(opened(&data, &file(r"d\f\\")).await, invalid);

    for class in [FileInfoClass::RENAME, FileInfoClass::LINK] {
        for (to, status) in [
            (r"d\g", good),
            (r"\d\g", good),
            (r"\\d\\\g", good),
            (r"d\sub\..\\g", good),
            (r"d\\", NtStatus::OBJECT_NAME_COLLISION),
            (r"\", parameter),
            (r"d\..", parameter),
            (r"..\g", syntax),
            (r"d\.\g", invalid),
            ("d/g", invalid),
            (r"d\g:s", invalid),
        ] {
            assert_eq!(named(&data, class, r"d\f", to, r"d\g").await, status, "{class:?} {to}");
        }
    }

    let directory = data.create(&CreateParameters::directory("d")).await.expect("open");
    for pattern in [r"\*", r"sub\*", "sub/*", r"f\"] {
        assert_eq!(listed(&directory, pattern).await, Err(invalid), "{pattern}");
    }
    assert_eq!(listed(&directory, "..").await, Ok(vec![String::from("..")]));
    directory.close().await.expect("close");
}

#[tokio::test]
async fn unpaired_surrogates_are_valid_in_names() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let data = tree(&subject, "alice", "data").await;
    // Text has these in the place of lone halves; on the wire they are U+D800 and U+DFFF.
    let (first, second) = ("a\u{10d800}", "\u{10dfff}b");
    assert_eq!(utf16le(first), [0x61, 0, 0x00, 0xd8]);
    make(&data, first).await;
    make(&data, &format!("{first}:\u{10dc00}")).await;
    let root = data.create(&CreateParameters::directory("")).await.expect("open");
    assert_eq!(listed(&root, "a?").await, Ok(vec![first.to_owned()]));
    assert_eq!(listed(&root, first).await, Ok(vec![first.to_owned()]));
    root.close().await.expect("close");
    let parameters = CreateParameters { access: AccessMask::FILE_ALL, ..CreateParameters::open(first) };
    let file = data.create(&parameters).await.expect("open");
    let streams = file
        .query_info(InfoType::FILE, FileInfoClass::STREAM.0, AdditionalInformation::NONE, 1000)
        .await
        .expect("streams");
    assert!(streams.windows(4).any(|bytes| bytes == [b':', 0, 0x00, 0xdc]), "{streams:?}");
    assert_eq!(set_name(&file, FileInfoClass::RENAME, second).await, NtStatus::SUCCESS);
    file.close().await.expect("close");
    assert_eq!(opened(&data, &CreateParameters::open(first)).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    assert!(subject.share_dir("data").join(second).exists());
    // One that has the other half behind it is a character like any other.
    make(&data, "\u{1f600}").await;
    assert!(subject.share_dir("data").join("\u{1f600}").exists());
    let gone = CreateParameters {
        access: AccessMask::DELETE,
        options: CreateOptions::DELETE_ON_CLOSE,
        ..CreateParameters::open(second)
    };
    assert_eq!(opened(&data, &gone).await, NtStatus::SUCCESS);
    assert!(!subject.share_dir("data").join(second).exists());
}

/// One file by both forms of its name, where the share says so: to opens, to share modes, and to who makes or renames.
#[tokio::test]
async fn forms_of_a_name_are_one_by_setting() {
    const COMPOSED: &str = "B\u{e4}ume";
    const DECOMPOSED: &str = "Ba\u{308}ume";
    for (setting, is_one) in [("exact", false), ("any", true)] {
        let extra_share = format!("unicode_forms = {setting:?}");
        let server = Shareward::start(&Setup { extra_share, ..Setup::default() });
        let disk = server.share_dir("data");
        let subject = Subject::Shareward(server);
        let data = tree(&subject, "alice", "data").await;
        // As a Mac or a local program has left it.
        std::fs::create_dir(disk.join(DECOMPOSED)).expect("a directory");
        std::fs::write(disk.join(DECOMPOSED).join(DECOMPOSED), "text").expect("a file");
        let of = std::fs::metadata(&disk).expect("the share");
        for path in [disk.join(DECOMPOSED), disk.join(DECOMPOSED).join(DECOMPOSED)] {
            std::os::unix::fs::chown(path, Some(of.uid()), Some(of.gid())).expect("chown");
        }
        let (one, other) = (format!(r"{DECOMPOSED}\{DECOMPOSED}"), format!(r"{COMPOSED}\{COMPOSED}"));
        let found = if is_one { NtStatus::SUCCESS } else { NtStatus::OBJECT_PATH_NOT_FOUND };
        assert_eq!(opened(&data, &CreateParameters::open(&other)).await, found, "{setting}");
        let root = data.create(&CreateParameters::directory("")).await.expect("open");
        let names = if is_one { Ok(vec![DECOMPOSED.to_owned()]) } else { Err(NtStatus::NO_SUCH_FILE) };
        assert_eq!(listed(&root, COMPOSED).await, names, "{setting}");
        let made = CreateParameters {
            disposition: CreateDisposition::CREATE,
            ..CreateParameters::read_write(&other)
        };
        if !is_one {
            make_directory(&data, COMPOSED).await;
            assert_eq!(opened(&data, &made).await, NtStatus::SUCCESS);
            assert_eq!(std::fs::read_dir(&disk).expect("list").count(), 2);
            continue;
        }
        assert_eq!(opened(&data, &made).await, NtStatus::OBJECT_NAME_COLLISION);
        // An open by the one name keeps others from the file by the other.
        let alone = CreateParameters { share: wire::ShareAccess::NONE, ..CreateParameters::read_write(&one) };
        let held = data.create(&alone).await.expect("open");
        assert_eq!(opened(&data, &CreateParameters::open(&other)).await, NtStatus::SHARING_VIOLATION);
        held.close().await.expect("close");
        // A rename to the other form is one of the file itself; to a name that is taken it is refused.
        assert_eq!(named(&data, FileInfoClass::RENAME, &one, &other, &one).await, NtStatus::SUCCESS);
        make(&data, r"other").await;
        let taken = named(&data, FileInfoClass::RENAME, "other", &other, "other").await;
        assert_eq!(taken, NtStatus::OBJECT_NAME_COLLISION);
        let read = data.create(&CreateParameters::open(&other)).await.expect("open");
        assert_eq!(&read.read(0, 10).await.expect("read")[..], b"text");
        read.close().await.expect("close");
        // A new name is kept as it was sent.
        make(&data, "gro\u{308}ße").await;
        assert!(disk.join("gro\u{308}ße").exists());
        let delete = CreateParameters {
            access: AccessMask::DELETE,
            options: CreateOptions::DELETE_ON_CLOSE,
            ..CreateParameters::open("GRÖßE")
        };
        assert_eq!(opened(&data, &delete).await, NtStatus::SUCCESS);
        assert!(!disk.join("gro\u{308}ße").exists());
    }
}

#[test]
fn smbclient_finds_either_form() {
    if !testkit::need(&["smbclient"]) {
        return;
    }
    let server =
        Shareward::start(&Setup { extra_share: "unicode_forms = \"any\"".into(), ..Setup::default() });
    std::fs::write(server.share_dir("data").join("cafe\u{301}"), "text").expect("a file");
    let got = server.scratch().join("got").display().to_string();
    let subject = Subject::Shareward(server);
    let commands = format!("ls caf\u{e9}; get caf\u{e9} {got}; rename caf\u{e9} caf\u{e9}; del caf\u{e9}");
    let output = testkit::peer::smbclient(&subject, subject.user("alice"), "data", &[], &commands);
    output.success().says("cafe\u{301}");
    assert_eq!(std::fs::read(got).expect("what was got"), b"text");
    assert_eq!(std::fs::read_dir(subject.share_dir("data")).expect("list").count(), 0);
}
