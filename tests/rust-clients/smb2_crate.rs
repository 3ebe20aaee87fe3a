//! The crate `smb2`: pipelined I/O, compounds.

use smb2::{SmbClient, Tree};
use testkit::{Setup, Subject};

async fn connected(subject: &Subject) -> (SmbClient, Tree) {
    let alice = subject.user("alice");
    let address = subject.address().to_string();
    let mut client = smb2::connect(&address, &alice.name, &alice.password).await.expect("log on");
    let tree = client.connect_share("data").await.expect("connect to the share");
    (client, tree)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_round_trip() {
    let subject = Subject::start(&Setup::default());
    let (mut client, mut tree) = connected(&subject).await;
    let sent = crate::noise(5_000_001);
    client.write_file_pipelined(&tree, "big.bin", &sent).await.expect("write, pipelined");
    assert!(client.read_file_pipelined(&mut tree, "big.bin").await.expect("read, pipelined") == sent);
    client.write_file_compound(&tree, "small.txt", b"one compound").await.expect("write, compound");
    assert_eq!(
        client.read_file_compound(&mut tree, "small.txt").await.expect("read, compound"),
        b"one compound"
    );
    assert_eq!(std::fs::read(subject.share_dir("data").join("small.txt")).expect("on disk"), b"one compound");
    client.disconnect_share(&tree).await.expect("disconnect");
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_and_names() {
    let subject = Subject::start(&Setup::default());
    let (mut client, mut tree) = connected(&subject).await;
    client.create_directory(&tree, "dir").await.expect("mkdir");
    for number in 0..300 {
        client.write_file(&tree, &format!("dir/file-{number}.txt"), b"x").await.expect("write");
    }
    let listed = client.list_directory(&mut tree, "dir").await.expect("list");
    assert_eq!(listed.iter().filter(|entry| !entry.is_directory).count(), 300);
    client.rename(&tree, "dir/file-0.txt", "dir/Grüße.txt").await.expect("rename");
    assert_eq!(client.stat(&mut tree, "dir/Grüße.txt").await.expect("stat").size, 1);
    assert!(client.stat(&mut tree, "dir/file-0.txt").await.is_err());
    assert!(client.delete_directory(&tree, "dir").await.is_err(), "it is not empty");
    client.delete_file(&tree, "dir/Grüße.txt").await.expect("delete");
    assert!(client.fs_info(&mut tree).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_and_refusals() {
    let subject = Subject::start(&Setup::default());
    let (mut client, _) = connected(&subject).await;
    let shares = client.list_shares().await.expect("list shares");
    assert!(shares.iter().any(|share| share.name == "data"));
    assert!(client.connect_share("no-such-share").await.is_err());
    let address = subject.address().to_string();
    assert!(smb2::connect(&address, "alice", "wrong").await.is_err());
    assert!(subject.answers());
}
