//! The open files of clients on the servers of these tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use auth::Credentials;
use client::smb::{ClientConnection, ClientSession, ClientTree, ConnectOptions, CreateParameters, File};
use wire::msg::{CreateDisposition, LockElement, LockFlags};
use wire::{AccessMask, OplockLevel};

use super::stage::{ALICE, BOB};

/// The clients with their opens, until they are dropped.
pub(super) struct Scene {
    connections: Vec<ClientConnection>,
    files: Vec<File>,
}

/// The directories, below those of the shares.
pub(super) const DIRECTORIES: [&str; 3] = ["Bücher/été", "data/a long name", "data/plan"];

/// The path of 200 characters.
pub(super) fn long_path() -> String {
    format!(r"a long name\{}.txt", "0123456789".repeat(19).split_at(184).0)
}

impl Scene {
    /// Opens, in this order, so that our server numbers it so: 1 for reading and writing, with locks, by a Unicode
    /// path; 2 the long path; 3 a directory; 4 a file for writing that may be cached; 5 from 127.0.0.2 and 6 from
    /// ::1, by another user; 7 a pipe.
    pub(super) async fn open(server: SocketAddr) -> Self {
        let mut scene = Self { connections: Vec::new(), files: Vec::new() };
        let alice = scene.log_on(server, Ipv4Addr::LOCALHOST.into(), ALICE).await;
        let books = tree(&alice, "Bücher").await;
        let report = scene.create(&books, r"été\報告.txt", CreateParameters::read_write("")).await;
        let lock = |offset, length, flags| LockElement { offset, length, flags };
        let fail_at_once = LockFlags::FAIL_IMMEDIATELY;
        let locks = [
            lock(0, 10, LockFlags::EXCLUSIVE_LOCK | fail_at_once),
            lock(100, 1, LockFlags::EXCLUSIVE_LOCK | fail_at_once),
        ];
        report.lock(&locks).await.expect("lock");
        let data = tree(&alice, "data").await;
        let reading =
            CreateParameters { disposition: CreateDisposition::OPEN_IF, ..CreateParameters::open("") };
        scene.create(&data, &long_path(), reading.clone()).await;
        scene.create(&data, "plan", CreateParameters::directory("")).await;
        let cached = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("") };
        scene.create(&data, r"plan\cached.docx", cached).await;
        let bob = scene.log_on(server, Ipv4Addr::new(127, 0, 0, 2).into(), BOB).await;
        let writing =
            CreateParameters { access: AccessMask::FILE_GENERIC_WRITE, ..CreateParameters::read_write("") };
        scene.create(&tree(&bob, "data").await, "b.txt", writing).await;
        let six = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), server.port());
        let bob = scene.log_on(six, Ipv6Addr::LOCALHOST.into(), BOB).await;
        scene.create(&tree(&bob, "data").await, "six.txt", reading).await;
        let pipe = CreateParameters {
            access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
            disposition: CreateDisposition::OPEN,
            ..CreateParameters::read_write("")
        };
        scene.create(&tree(&alice, "IPC$").await, "srvsvc", pipe).await;
        scene
    }

    /// Opens one file more.
    pub(super) async fn add(&mut self, server: SocketAddr, path: &str) {
        let alice = self.log_on(server, Ipv4Addr::LOCALHOST.into(), ALICE).await;
        self.create(&tree(&alice, "data").await, path, CreateParameters::read_write("")).await;
    }

    async fn log_on(
        &mut self,
        server: SocketAddr,
        from: IpAddr,
        (user, password): (&str, &str),
    ) -> ClientSession {
        let options = ConnectOptions::new().expect("options");
        let from = Some(SocketAddr::new(from, 0));
        let connection = ClientConnection::connect(server, from, options).await.expect("connect");
        self.connections.push(connection.clone());
        connection.logon(Credentials::password(user, "", password)).await.expect("log on")
    }

    async fn create(&mut self, tree: &ClientTree, path: &str, parameters: CreateParameters<'_>) -> File {
        let file = tree.create(&CreateParameters { name: path, ..parameters }).await.expect("the file");
        self.files.push(file.clone());
        file
    }
}

async fn tree(session: &ClientSession, share: &str) -> ClientTree {
    session.tree_connect(&format!(r"\\127.0.0.1\{share}")).await.expect("tree connect")
}
