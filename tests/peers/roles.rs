//! Roles of Unix groups: the rights of their members over SMB, and the limits.

use std::fs;

use auth::Credentials;
use client::smb::{CreateParameters, File};
use client::{Administration, Error, RemoteClient};
use control::{CloseFile, FileQuery, SessionQuery};
use testkit::{Setup, Shareward, Subject, User, skip};
use wire::NtStatus;

use crate::scripted::tree;

/// Accounts that every Unix has, each in the group of its name.
const MEMBERS: [&str; 3] = ["daemon", "games", "mail"];

const ROLES: &str = "\n\
    [[role]]\nallow = \"view\"\ngroups = [\"daemon\"]\nshares = [\"data\"]\n\n\
    [[role]]\nallow = \"close\"\ngroups = [\"games\"]\nshares = [\"data\"]\n\n\
    [[role]]\nallow = \"administer\"\ngroups = [\"mail\"]\n";

fn has_members() -> bool {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    // Field 3 of a group and field 4 of an account are the number of the group.
    let number = |text: &str, name: &str, field: usize| {
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines
            .find(|line| line.first() == Some(&name))
            .and_then(|line| line.get(field).map(ToString::to_string))
    };
    MEMBERS.iter().all(|name| {
        let own = number(&group, name, 2);
        own.is_some() && number(&passwd, name, 3) == own
    })
}

fn as_user(subject: &Subject, name: &str) -> RemoteClient {
    let place = subject.address().to_string().parse().expect("a place");
    RemoteClient::new(place, Credentials::password(name, "", &subject.user(name).password))
}

async fn files(client: &RemoteClient) -> Vec<(u32, String)> {
    let listed = client.files(&FileQuery::default()).await.expect("files");
    listed.into_iter().filter(|file| file.path.ends_with(".txt")).map(|file| (file.id, file.path)).collect()
}

fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> u32 {
    match answer {
        Err(Error::Refused(error)) => error.code,
        other => panic!("no refusal: {other:?}"),
    }
}

async fn is_open(file: &File) -> bool {
    match file.read(0, 1).await {
        Ok(_) => true,
        Err(error) if error.is(NtStatus::END_OF_FILE) => true,
        Err(error) => {
            assert!(error.is(NtStatus::FILE_CLOSED), "{error:?}");
            false
        }
    }
}

#[tokio::test]
async fn groups_view_close_and_administer() {
    if !has_members() {
        return skip("the accounts daemon, games and mail are not in groups of their names");
    }
    let mut setup = Setup { extra: String::from(ROLES), ..Setup::default() };
    setup.users.extend(MEMBERS.map(|name| User {
        name: name.into(),
        password: format!("{name}-Secret 1"),
        administrator: false,
    }));
    let subject = Subject::Shareward(Shareward::start(&setup));
    let (data, other) = (tree(&subject, "alice", "data").await, tree(&subject, "alice", "other").await);
    let within = data.create(&CreateParameters::read_write("within.txt")).await.expect("create");
    let beyond = other.create(&CreateParameters::read_write("beyond.txt")).await.expect("create");
    let paths = |files: &[(u32, String)]| files.iter().map(|it| it.1.clone()).collect::<Vec<_>>();
    let close = CloseFile::default();

    let administrator = as_user(&subject, "mail");
    let all = files(&administrator).await;
    assert_eq!(paths(&all), ["within.txt", "beyond.txt"]);
    let (inside, outside) = (all[0].0, all[1].0);

    let stranger = as_user(&subject, "bob");
    assert_eq!(code(stranger.close_file(inside, &close).await), 5);
    assert_eq!(code(stranger.files(&FileQuery::default()).await), 5);

    let viewer = as_user(&subject, "daemon");
    assert_eq!(paths(&files(&viewer).await), ["within.txt"]);
    assert_eq!(code(viewer.close_file(inside, &close).await), 5);
    let sessions = viewer.sessions(&SessionQuery::default()).await.expect("sessions");
    let alices = sessions.iter().find(|it| it.user == "alice").expect("alice's session");
    assert_eq!(code(viewer.end_session(alices).await), 5);

    let closer = as_user(&subject, "games");
    assert_eq!(paths(&files(&closer).await), ["within.txt"]);
    let _refused = code(closer.close_file(outside, &close).await);
    assert_eq!(code(closer.end_session(alices).await), 5);
    assert_eq!(code(closer.users().await), 5);
    assert!(is_open(&within).await && is_open(&beyond).await);
    assert_eq!(closer.close_file(inside, &close).await.expect("closed").files, 1);
    assert!(!is_open(&within).await && is_open(&beyond).await);

    assert_eq!(administrator.close_file(outside, &close).await.expect("closed").files, 1);
    assert!(!is_open(&beyond).await);
    assert_eq!(administrator.users().await.expect("users").len(), setup.users.len());
    assert_eq!(administrator.end_session(alices).await.expect("ended").sessions, 1);
}
