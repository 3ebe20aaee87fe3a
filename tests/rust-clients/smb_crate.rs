//! The crate `smb`: one frame for one request, signed and sealed. Its directory listing never ends, whichever server
//! answers (0.12.1), so only `smb2` lists.

use std::time::Duration;

use smb::connection::EncryptionMode;
use smb::resource::{ReadAt, WriteAt};
use smb::{
    Client, ClientConfig, ConnectionConfig, CreateOptions, FileAccessMask, FileAttributes, FileCreateArgs,
    FileDispositionInformation, UncPath,
};
use testkit::{Setup, Subject};

async fn connected(subject: &Subject, share: &str, encryption: EncryptionMode) -> (Client, UncPath) {
    let mut connection = ConnectionConfig { port: Some(subject.port()), ..ConnectionConfig::default() };
    connection.timeout = Some(Duration::from_secs(20));
    connection.encryption_mode = encryption;
    let client = Client::new(ClientConfig { connection, ..ClientConfig::default() });
    let path = UncPath::new("127.0.0.1").expect("a path").with_share(share).expect("a share");
    let alice = subject.user("alice");
    client.share_connect(&path, &alice.name, alice.password.clone()).await.expect("connect to the share");
    (client, path)
}

async fn round_trip(share: &str, encryption: EncryptionMode) {
    let subject = Subject::start(&Setup::default());
    let (client, root) = connected(&subject, share, encryption).await;
    let sent = crate::noise(300_000);
    let create = FileCreateArgs::make_create_new(FileAttributes::default(), CreateOptions::default());
    let file =
        client.create_file(&root.clone().with_path("f.bin"), &create).await.expect("create").unwrap_file();
    let mut written = 0;
    while written < sent.len() {
        let count = file.write_at(&sent[written..], written as u64).await.expect("write");
        assert!(count > 0, "nothing written at {written}");
        written += count;
    }
    file.close().await.expect("close");

    // This client takes a file's size from the answer to its CREATE.
    let open = FileCreateArgs::make_open_existing(FileAccessMask::new().with_generic_read(true));
    let file = client.create_file(&root.clone().with_path("f.bin"), &open).await.expect("open").unwrap_file();
    let mut back = vec![0; sent.len()];
    let mut read = 0;
    while read < back.len() {
        let count = file.read_at(&mut back[read..], read as u64).await.expect("read");
        assert!(count > 0, "nothing read at {read}");
        read += count;
    }
    assert!(back == sent);
    file.close().await.expect("close");

    let open =
        FileCreateArgs::make_open_existing(FileAccessMask::new().with_generic_read(true).with_delete(true));
    let file = client.create_file(&root.with_path("f.bin"), &open).await.expect("open").unwrap_file();
    file.set_info(FileDispositionInformation { delete_pending: true.into() }).await.expect("delete");
    file.close().await.expect("close");
    assert!(!subject.share_dir(share).join("f.bin").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_round_trips_signed() {
    round_trip("data", EncryptionMode::Disabled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_round_trips_encrypted() {
    round_trip("sealed", EncryptionMode::Required).await;
}
