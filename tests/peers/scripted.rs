//! Our own client as a script: what other people's clients do not let one ask.

use std::net::SocketAddr;

use auth::Credentials;
use client::smb::{ConnectOptions, Connection, Tree};
use testkit::Subject;

/// A share as a user of the subject sees it.
pub(crate) async fn tree(subject: &Subject, user: &str, share: &str) -> Tree {
    let address = SocketAddr::from(([127, 0, 0, 1], subject.port()));
    let options = ConnectOptions::new().expect("options");
    let connection = Connection::connect(address, None, options).await.expect("connect");
    let user = subject.user(user);
    let credentials = Credentials::password(&user.name, "", &user.password);
    let session = connection.logon(credentials).await.expect("log on");
    session.tree_connect(&format!(r"\\127.0.0.1\{share}")).await.expect("tree connect")
}
