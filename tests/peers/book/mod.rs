//! The commands of the pages of `docs`, run in their order on a machine of their own, and compared with the output that the
//! pages show. `SHAREWARD_WRITE_DOCS=1` writes the output into the pages instead.

mod machine;
mod page;
mod reader;

use std::fs;

use machine::Machine;
use page::Step;
use reader::Reader;
use testkit::need;

#[test]
fn readme() {
    let Some(mut reader) = with_clients() else { return };
    reader.machine().run("mkdir /mnt/data /srv/reports", "").success();
    let without_random_names = |text: &str| {
        let (first, rest) = text.split_once("/tmp/shareward-").expect("a temporary directory");
        let name = rest.split('/').next().expect("a name");
        format!("{first}/tmp/shareward-{rest}").replace(name, "NAME")
    };
    reader.follow_with("../README.md", |reader, step| match step {
        Step::Content { language, text } if language == "text" => {
            let output = reader.machine().run("./shareward demo", "").success().stdout;
            let [shown, printed] = [text, &output].map(|it| without_random_names(it));
            assert!(
                page::same(&shown, &printed),
                "not the output of the demonstration:\n{shown}\nbut:\n{printed}"
            );
        }
        // The others build or install the program, or have a place of the reader in them.
        Step::Command { line, .. } if line.starts_with("net ") => reader.step(step),
        _ => {}
    });
}

#[test]
fn install() {
    let Some(machine) = Machine::new() else { return };
    let mut reader = Reader::new(machine);
    reader.follow("install.md");
    let line = "echo text > text && smbclient //files/data --user alice --command 'put text; ls'";
    reader.machine().run(line, "").success().says("text");
}

#[test]
fn serve() {
    let Some(machine) = Machine::installed() else { return };
    machine.run("mkdir -p /srv/data", "").success();
    let mut reader = Reader::new(machine);
    reader.follow_with("serve.md", |reader, step| match step {
        Step::Content { language, text } if language == "toml" => {
            fs::write(reader.machine().file("shareward.toml"), text).expect("write");
        }
        Step::Command { line, .. } if line.contains("shareward init") => {
            reader.machine().run("rm -r /etc/shareward", "").success();
            reader.step(step);
        }
        // From here on, the commands are for the server of the machine.
        Step::Command { line, .. } if line.starts_with("useradd ") => {
            reader.stop_server();
            reader.machine().run("systemctl start shareward", "").success();
            reader.step(step);
        }
        step => reader.step(step),
    });
}

#[test]
fn manage() {
    let Some(reader) = with_clients() else { return };
    reader.follow_to_the_end("manage.md");
}

#[test]
fn troubleshoot() {
    let Some(mut reader) = with_clients() else { return };
    for line in [
        "mkdir /srv/private && chmod 700 /srv/private && net share private=/srv/private /grant:bob,CHANGE",
        "! PASSWD=wrong smbclient //192.0.2.8/data --user bob --command ls",
        "! smbclient //192.0.2.7/private --user alice --command ls",
    ] {
        reader.machine().run(line, "").success();
    }
    reader.expect("shareward doctor", 1);
    reader.follow("troubleshoot.md");
}

#[test]
fn the_commands_on_the_server_that_you_have() {
    let Some(reader) = with_samba("data", &["alice", "bob", "root"]) else { return };
    reader.follow_to_the_end("your-server.md");
}

#[test]
fn from_samba() {
    let Some(mut reader) = with_samba("project", &["alice", "bob"]) else { return };
    reader.machine().run("ln -s \"$PWD/shareward\" /usr/bin/shareward", "").success();
    reader.machine().run("cp packaging/shareward.service /etc/systemd/system", "").success();
    // Debian's smb.conf has parameters that are not there yet.
    reader.expect("shareward import samba --check", 3);
    reader.follow("from-samba.md");
}

#[test]
fn other_servers() {
    let Some(mut reader) = with_clients() else { return };
    let administrators = "sed -i 's/^administrators = .*/administrators = [\"root\", \"alice\", \"admin\"]/' \
        /etc/shareward/shareward.toml && systemctl restart shareward && echo nas > servers.txt";
    reader.machine().run(administrators, "").success();
    for user in ["root", "admin"] {
        let add = format!("useradd {user} 2>/dev/null; shareward user add {user}");
        reader.machine().run(&add, &format!("{}\n", machine::PASSWORD)).success();
    }
    reader.follow("other-servers.md");
}

#[test]
fn net_use() {
    if !need(&["/dev/fuse"]) {
        return;
    }
    let Some(mut reader) = with_clients() else { return };
    reader.follow("net-use.md");
}

#[test]
fn samba() {
    let Some(mut reader) = with_clients() else { return };
    // The first logon makes the SID of the machine.
    reader.connect_clients();
    reader.machine().run("mkdir /srv/data/.shareward-streams", "").success();
    reader.follow("samba.md");
}

/// A machine with the server, and a share with files that two clients have open.
fn with_clients() -> Option<Reader> {
    let machine = Machine::installed()?;
    machine.run("systemctl start shareward && mkdir -p /srv/data", "").success();
    machine.run("net share data=/srv/data /grant:Everyone,CHANGE && chmod 1777 /srv/data", "").success();
    let mut reader = Reader::new(machine);
    reader.share("data");
    Some(reader)
}

/// A machine with Samba as Debian configures it, a share, and users of Samba.
fn with_samba(share: &str, users: &[&str]) -> Option<Reader> {
    let machine = Machine::new()?;
    let config = format!("\n[{share}]\n   path = /srv/{share}\n   read only = no\n");
    machine.run("cp /usr/share/samba/smb.conf /etc/samba/smb.conf", "").success();
    machine.run("cat >> /etc/samba/smb.conf", &config).success();
    machine.run(&format!("mkdir -p /srv/{share} && chmod 1777 /srv/{share}"), "").success();
    machine.run("useradd alice && useradd bob", "").success();
    for user in users {
        let passwords = format!("{0}\n{0}\n", machine::PASSWORD);
        machine.run(&format!("smbpasswd -s -a {user}"), &passwords).success();
    }
    machine.run("systemctl start smbd", "").success();
    let mut reader = Reader::new(machine);
    reader.share(share);
    Some(reader)
}
