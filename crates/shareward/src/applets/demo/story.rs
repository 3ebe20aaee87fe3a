//! The steps of the demonstration. A step whose effect cannot be observed ends it.

use client::Administration as _;
use control::{FileQuery, OpenFile, SessionQuery, address, number};
use wire::NtStatus;

use super::clients::{Client, Clients};
use super::failed;
use super::stage::{FILES, SHARE, Stage};
use crate::failure::Failure;
use crate::output::Console;

/// Runs all steps. Afterwards the clients are still connected, the second one without a session.
pub(super) async fn run_all(stage: &Stage, console: &mut Console) -> Result<Clients, Failure> {
    introduce(stage, console)?;
    let clients = connect(stage, console).await?;
    look(stage, &clients, console).await?;
    close_a_file(stage, &clients, console).await?;
    delete_a_session(stage, &clients, console).await?;
    look_again(stage, &clients, console).await?;
    Ok(clients)
}

fn introduce(stage: &Stage, console: &mut Console) -> Result<(), Failure> {
    let addresses: Vec<_> = stage.addresses().iter().map(ToString::to_string).collect();
    let users: Vec<_> = stage.users().map(|(user, _)| user).collect();
    say(console, "A server starts.")?;
    say(console, &format!("  It listens on {}.", addresses.join(" and ")))?;
    say(console, &format!("  It shares {} as {SHARE}.", stage.share().display()))?;
    say(console, &format!("  Its users are {}, with generated passwords.", users.join(" and ")))?;
    if !stage.ipv6() {
        say(console, "  This machine has no IPv6: the third client uses IPv4, too.")?;
    }
    Ok(())
}

async fn connect(stage: &Stage, console: &mut Console) -> Result<Clients, Failure> {
    let [budget, notes, report] = FILES;
    let [first, second, third] = stage.client_addresses();
    say(console, "\nThree SMB clients connect.")?;
    let locking = Client::connect(stage, "alice", first).await?;
    let (locked, ranges) = locking.open_and_lock(budget).await?;
    say(console, &format!("  {locking} opens {budget} and locks {ranges} byte ranges of it."))?;
    let caching = Client::connect(stage, "bob", second).await?;
    let cached = caching.open_with_lease(report).await?;
    caching.write(&cached).await?;
    say(console, &format!("  {caching} opens {report} for writing, with an RWH lease."))?;
    let reading = Client::connect(stage, "alice", third).await?;
    let notes_file = reading.open(notes).await?;
    let watched = reading.open(budget).await?;
    say(console, &format!("  {reading} opens {notes} and {budget} for reading,"))?;
    let refused = reading.read_refused(&watched, NtStatus::FILE_LOCK_CONFLICT).await?;
    say(console, &format!("  reads a locked byte range, and gets {refused}"))?;
    Ok(Clients { locking, locked, caching, cached, reading, notes: notes_file, watched })
}

async fn look(stage: &Stage, clients: &Clients, console: &mut Console) -> Result<(), Failure> {
    let everybody = [&clients.locking, &clients.caching, &clients.reading];
    expect_sessions(stage, &everybody).await?;
    say(console, "\nWho is connected?\n")?;
    stage.net(&["session"], console).await?;
    say(console, "And from one computer?\n")?;
    stage.net(&["session", &address::display(&clients.caching.from.to_string())], console).await?;
    say(console, "What is open?\n")?;
    stage.net(&["file"], console).await
}

async fn close_a_file(stage: &Stage, clients: &Clients, console: &mut Console) -> Result<(), Failure> {
    let Clients { locking, locked, reading, watched, .. } = clients;
    let [budget, ..] = FILES;
    let id = open_of(stage, locking, budget).await?.id;
    say(console, &format!("Who has {budget} locked?\n"))?;
    stage.net(&["file", &id.to_string()], console).await?;
    say(console, "An administrator closes it.\n")?;
    stage.net(&["file", &id.to_string(), "/close"], console).await?;
    match stage.administration().file(id).await {
        Err(error) if error.number() == number::FILE_ID_NOT_FOUND => {}
        Err(error) => return Err(failed("cannot ask for the file that was closed")(error)),
        Ok(_) => return Err(Failure::Plain(format!("file {id} was closed but is still listed"))),
    }
    let refused = locking.read_refused(locked, NtStatus::FILE_CLOSED).await?;
    say(console, &format!("  {locking} reads {budget} again and gets {refused}"))?;
    let count = reading.read(watched).await?;
    say(console, &format!("  {reading} reads {count} bytes of the range that was locked."))
}

async fn delete_a_session(stage: &Stage, clients: &Clients, console: &mut Console) -> Result<(), Failure> {
    let Clients { caching, cached, reading, notes, .. } = clients;
    let [_, notes_name, report] = FILES;
    let computer = address::display(&caching.from.to_string());
    say(console, &format!("\nAn administrator ends the session of {caching}.\n"))?;
    stage.net(&["session", &computer, "/delete", "/y"], console).await?;
    let refused = caching.read_refused(cached, NtStatus::USER_SESSION_DELETED).await?;
    say(console, &format!("  {caching} reads {report} and gets {refused}"))?;
    let count = reading.read(notes).await?;
    say(console, &format!("  {reading} is not affected: it reads {count} bytes of {notes_name}."))
}

async fn look_again(stage: &Stage, clients: &Clients, console: &mut Console) -> Result<(), Failure> {
    expect_sessions(stage, &[&clients.locking, &clients.reading]).await?;
    say(console, "\nWho is connected now, and what is open?\n")?;
    stage.net(&["session"], console).await?;
    stage.net(&["file"], console).await
}

/// Fails unless exactly these clients have a session each.
async fn expect_sessions(stage: &Stage, clients: &[&Client]) -> Result<(), Failure> {
    let server = stage.administration();
    let query = SessionQuery::default();
    let sessions = server.sessions(&query).await.map_err(failed("cannot list the sessions"))?;
    let of = |client: &Client| {
        let from = client.from.to_string();
        let theirs = |session: &&control::Session| {
            session.user == client.user && address::same_computer(&session.computer, &from)
        };
        sessions.iter().filter(theirs).count()
    };
    if sessions.len() == clients.len() && clients.iter().all(|client| of(client) == 1) {
        return Ok(());
    }
    let expected: Vec<_> = clients.iter().map(ToString::to_string).collect();
    let there: Vec<_> = sessions.iter().map(|it| format!("{} at {}", it.user, it.computer)).collect();
    let text =
        format!("expected sessions of {}, found sessions of {}", expected.join(", "), there.join(", "));
    Err(Failure::Plain(text))
}

/// The only open that a client has of a file.
async fn open_of(stage: &Stage, client: &Client, name: &str) -> Result<OpenFile, Failure> {
    let query = FileQuery {
        client: Some(client.from.to_string()),
        path: Some(name.to_owned()),
        ..FileQuery::default()
    };
    let server = stage.administration();
    let mut files = server.files(&query).await.map_err(failed("cannot list the files"))?;
    match (files.pop(), files.len()) {
        (Some(file), 0) => Ok(file),
        (_, more) => {
            Err(Failure::Plain(format!("expected {client} to have {name} open once, not {} times", more + 1)))
        }
    }
}

/// Prints a line and flushes it.
fn say(console: &mut Console, text: &str) -> Result<(), Failure> {
    console.line(text);
    console.finish()
}
