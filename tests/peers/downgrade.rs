//! Our client against a man in the middle, or a server, that weakens a connection.

use std::net::SocketAddr;
use std::process::Command;

use auth::Credentials;
use client::smb::{ClientConnection, ConnectOptions, Error, LogonOptions, Signing};
use testkit::{Samba, Setup, Shareward, Subject, need, run, shareward_binary};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use wire::header::Header;
use wire::{Dialect, Put as _};

use crate::remote::COMMAND_MAX;
use crate::scripted::{DATA, address, logged_on};

const BELOW_311: [Dialect; 4] = [Dialect::SMB202, Dialect::SMB210, Dialect::SMB300, Dialect::SMB302];

/// Passes one connection on to a server, and offers it no dialect above `highest` in the client's name.
async fn in_between(server: SocketAddr, highest: Dialect) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut server = TcpStream::connect(server).await.expect("the server");
        let mut prefix = [0; 4];
        client.read_exact(&mut prefix).await.expect("a prefix");
        let length = usize::try_from(u32::from_be_bytes(prefix)).expect("a length");
        let mut negotiate = vec![0; length];
        client.read_exact(&mut negotiate).await.expect("a NEGOTIATE");
        // MS-SMB2 2.2.3: DialectCount and Dialects.
        let at = Header::SIZE + 36;
        let count = u16::from_le_bytes([negotiate[Header::SIZE + 2], negotiate[Header::SIZE + 3]]);
        for index in 0..usize::from(count) {
            let place = at + 2 * index;
            let offered = u16::from_le_bytes([negotiate[place], negotiate[place + 1]]);
            negotiate.patch_bytes(place, &offered.min(highest.0).to_le_bytes());
        }
        server.write_all(&prefix).await.expect("pass on");
        server.write_all(&negotiate).await.expect("pass on");
        // Whichever of the two ends it.
        copy_bidirectional(&mut client, &mut server).await.ok();
    });
    place
}

#[tokio::test]
async fn a_tampered_negotiation_ends_the_connection_on_every_dialect() {
    let subject = Subject::start(&Setup::default());
    let user = subject.user("alice");
    for highest in BELOW_311 {
        let place = in_between(address(&subject), highest).await;
        let options = ConnectOptions::new().expect("options");
        let connection = ClientConnection::connect(place, None, options).await.expect("connect");
        assert_eq!(connection.negotiated().expect("negotiated").dialect, highest);
        let credentials = Credentials::password(&user.name, "", &user.password);
        let session = connection.logon(credentials).await.expect("the logon is not what was changed");
        let refused = session.tree_connect(DATA).await.expect_err("the dialects were changed");
        assert!(matches!(refused, Error::Io(_) | Error::Protocol(_)), "{highest:?}: {refused}");
        assert!(connection.has_ended(), "{highest:?}");
    }
}

#[tokio::test]
async fn an_intact_negotiation_is_valid_on_every_dialect() {
    let subject = Subject::start(&Setup::default());
    for dialect in BELOW_311.into_iter().chain([Dialect::SMB311]) {
        for signing in [Signing::IfRequired, Signing::Required] {
            let options = ConnectOptions { signing, ..ConnectOptions::new().expect("options") };
            let session = logged_on(&subject, "alice", options.dialect(dialect)).await;
            session.tree_connect(DATA).await.unwrap_or_else(|error| panic!("{dialect:?}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_guest_logon_of_a_user_is_refused() {
    if !need(&["root", "smbd", "pdbedit", "unshare"]) {
        return;
    }
    let extra_samba = "map to guest = bad user\nguest account = nobody\n".into();
    let samba = Samba::start(&Setup { extra_samba, ..Setup::default() });
    let options = || ConnectOptions { signing: Signing::Required, ..ConnectOptions::new().expect("options") };
    let stranger = || Credentials::password("stranger", "", "secret");

    let connection = ClientConnection::connect(samba.address(), None, options()).await.expect("connect");
    let refused = connection.logon(stranger()).await.expect_err("the password was not checked");
    assert!(matches!(refused, Error::MadeGuest), "{refused}");
    assert!(connection.has_ended());
    // The server does so, and a caller can accept it.
    let connection = ClientConnection::connect(samba.address(), None, options()).await.expect("connect");
    let accepting = LogonOptions { accept_guest: true, ..LogonOptions::default() };
    connection.logon_with(stranger(), accepting).await.expect("Samba makes a guest of whom it does not know");

    let (port, scratch) = (samba.address().port(), tempfile::tempdir().expect("a directory"));
    let shareward = |words: &[&str]| {
        let mut command = Command::new(shareward_binary());
        command.args(words).env("SHAREWARD_PASSWORD", "secret").env("XDG_STATE_HOME", scratch.path());
        run(command, b"", COMMAND_MAX)
    };
    let (server, share) = (format!("127.0.0.1:{port}"), format!("//127.0.0.1:{port}/data"));
    let directory = scratch.path().to_str().expect("a plain name");
    shareward(&["net", "session", "--server", &server, "--login", "stranger"]).failure().says("1272");
    shareward(&["net", "user", "bob", "new-Secret-1", "--server", &server, "--login", "stranger"])
        .failure()
        .says("1272");
    shareward(&["net", "use", directory, &share, "/USER:stranger", "--via", "fuse"]).failure().says("1272");
}

#[test]
fn a_new_password_is_not_sent_without_encryption() {
    let extra = "encryption = \"off\"\n".into();
    for (setup, sent) in [(Setup { extra, ..Setup::default() }, false), (Setup::default(), true)] {
        let server = Shareward::start(&setup);
        let place = format!("127.0.0.1:{}", server.address().port());
        let mut command = Command::new(shareward_binary());
        command.args(["net", "user", "bob", "new-Secret-1", "--server", &place, "--login", "admin"]);
        command.env("SHAREWARD_PASSWORD", &setup.user("admin").password);
        let output = run(command, b"", COMMAND_MAX);
        if sent {
            output.success();
        } else {
            output.failure().says("a password is sent over an encrypted connection only");
        }
    }
}
