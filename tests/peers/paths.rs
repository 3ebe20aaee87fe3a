//! The table of `docs/names.md`: separators, `.` and `..`, and halves of surrogate pairs, wherever clients write names.

use client::smb::{CreateParameters, File, Tree};
use testkit::{Setup, Shareward, Subject};
use wire::fscc::FileInfoClass;
use wire::msg::{AdditionalInformation, CreateDisposition, CreateOptions, InfoType};
use wire::{AccessMask, NtStatus, utf16le};

use crate::scripted::tree;

async fn make(data: &Tree, name: &str) {
    data.create(&CreateParameters::read_write(name)).await.expect("create").close().await.expect("close");
}

async fn make_directory(data: &Tree, name: &str) {
    let made =
        CreateParameters { disposition: CreateDisposition::CREATE, ..CreateParameters::directory(name) };
    data.create(&made).await.expect("mkdir").close().await.expect("close");
}

async fn opened(data: &Tree, parameters: &CreateParameters<'_>) -> NtStatus {
    match data.create(parameters).await {
        Ok(file) => {
            file.close().await.expect("close");
            NtStatus::SUCCESS
        }
        Err(error) => error.status().expect("a status"),
    }
}

/// Renames a file, or links it, and takes that back.
async fn named(data: &Tree, class: FileInfoClass, from: &str, to: &str, back: &str) -> NtStatus {
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
