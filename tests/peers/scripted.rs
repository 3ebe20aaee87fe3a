//! Our SMB client, for requests that clients of other projects do not offer.

use std::net::SocketAddr;

use auth::Credentials;
use client::smb::{ClientConnection, ClientSession, ClientTree, ConnectOptions, Error, File};
use testkit::Subject;
use wire::NtStatus;
use wire::fscc::FileInfoClass;
use wire::msg::{AdditionalInformation, InfoType};

pub(crate) fn address(subject: &Subject) -> SocketAddr {
    subject.address()
}

/// A new connection and a tree connect to the share `data`.
pub(crate) async fn connected(subject: &Subject, name: &str) -> (ClientConnection, ClientTree) {
    let options = ConnectOptions::new().expect("options");
    let session = logged_on(subject, name, options).await;
    let tree = session.tree_connect(DATA).await.expect("tree connect");
    (session.connection().clone(), tree)
}

/// A session over a new connection.
pub(crate) async fn logged_on(subject: &Subject, name: &str, options: ConnectOptions) -> ClientSession {
    let connection = ClientConnection::connect(address(subject), None, options).await.expect("connect");
    let user = subject.user(name);
    let credentials = Credentials::password(&user.name, "", &user.password);
    connection.logon(credentials).await.expect("log on")
}

/// The share that all tests use.
pub(crate) const DATA: &str = r"\\127.0.0.1\data";

/// A tree connect of a user of the subject, over a new connection.
pub(crate) async fn tree(subject: &Subject, user: &str, share: &str) -> ClientTree {
    let session = logged_on(subject, user, ConnectOptions::new().expect("options")).await;
    session.tree_connect(&format!(r"\\127.0.0.1\{share}")).await.expect("tree connect")
}

/// FileRenameInformation (MS-FSCC 2.4.43).
pub(crate) async fn rename(file: &File, to: &str) -> Result<(), Error> {
    let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut buffer = vec![0; 16];
    buffer.extend(u32::try_from(name.len()).expect("a short name").to_le_bytes());
    buffer.extend(name);
    file.set_info(InfoType::FILE, FileInfoClass::RENAME.0, AdditionalInformation::NONE, &buffer).await
}

/// Asserts that a request fails with this status.
#[track_caller]
pub(crate) fn refused<T>(outcome: Result<T, Error>, status: NtStatus) {
    match outcome {
        Err(error) if error.is(status) => {}
        Err(error) => panic!("{error}, not {status}"),
        Ok(_) => panic!("done, not {status}"),
    }
}
