//! `net session`: who is connected, and ending it.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs as _};

use client::Administration;
use control::{Ended, Session, SessionQuery, ShareKind, address, number};

use super::{Applet, Family, Help};
use crate::administration;
use crate::cli::{self, Options, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Align, Column, Console, Cut, Table, clean_line, or_unknown, span};
use crate::prompt::{self, DefaultAnswer};

pub(super) static APPLET: Applet = Applet {
    names: &["session", "sessions", "sess"],
    family: Family::Net,
    summary: "shows who is connected, and ends sessions",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET SESSION
[\\\\computername] [/DELETE] [/LIST]
[/YES | /NO] [--user NAME] [--verbose] [--compat] [--json] [--socket PATH]
",
    about: "\
Lists the sessions between this server and its clients, or shows or ends those
of one computer.

  \\\\computername  the computer: its address or its name. In a shell, write
                  //computername or quote it
  /DELETE         ends the sessions of the computer, or all sessions, and
                  closes what they have open. Where something is open it asks
                  first
  /LIST           shows every session as a list, not as a row of a table
  /YES, /NO       answers the question beforehand
  --user          only the sessions of this user
  --verbose       in lists, also shows what NET does not: dialect, signing,
                  encryption, since when
  --compat        cuts long names as NET did
  --json          output for programs
  --socket        the control socket of the server

Switches may be abbreviated and written in any case, as /DEL or --delete.

Exit codes: 0 done, also where there are no sessions; 5 you may not; 2 all
else, as 2114 no server runs, 2312 no session with this computer, and where the
question was answered with no. The number is in the text.
",
};

const DELETE: Switch = Switch::net("DELETE", Takes::Nothing);
const LIST: Switch = Switch::net("LIST", Takes::Nothing);
const USER: Switch = Switch::own("USER", Takes::Value);

const SWITCHES: &[Switch] = &[
    DELETE,
    LIST,
    USER,
    cli::YES,
    cli::NO,
    cli::JSON,
    cli::COMPAT,
    cli::VERBOSE,
    cli::SOCKET,
    cli::SERVER,
    cli::LOGIN,
    cli::CREDENTIALS,
];

const COLUMNS: [Column; 5] = [
    Column { title: "Computer", width: 22, align: Align::Left, cut: Cut::End },
    Column { title: "User name", width: 20, align: Align::Left, cut: Cut::End },
    Column { title: "Client Type", width: 17, align: Align::Left, cut: Cut::End },
    Column { title: "Opens", width: 5, align: Align::Right, cut: Cut::Never },
    Column { title: "Idle time", width: 9, align: Align::Left, cut: Cut::Never },
];

const SHARE_COLUMNS: [Column; 3] = [
    Column { title: "Share name", width: 14, align: Align::Left, cut: Cut::End },
    Column { title: "Type", width: 8, align: Align::Left, cut: Cut::Never },
    Column { title: "# Opens", width: 5, align: Align::Right, cut: Cut::Never },
];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse(words, SWITCHES).map_err(usage)?;
    let options = Options::of(&words).map_err(usage)?;
    if options.json {
        console.set_json();
    }
    let computer = match words.operands.as_slice() {
        [] => None,
        [operand] => Some(cli::computer(operand).map_err(usage)?),
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    };
    let (delete, as_list) = (words.has(&DELETE), words.has(&LIST));
    if delete && as_list {
        return Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)));
    }
    let server = administration::of(&options.target)?;
    let query = SessionQuery { user: words.value(&USER).map(str::to_owned), ..SessionQuery::default() };
    let mut sessions = administration::run(async { Ok(server.sessions(&query).await?) })?;
    if let Some(computer) = &computer {
        sessions = of_computer(sessions, computer, addresses_of);
        if sessions.is_empty() {
            return Err(Numbered::new(number::CLIENT_NAME_NOT_FOUND).into());
        }
    }
    if delete {
        return end(&*server, &sessions, computer.is_some(), &options, console);
    }
    if options.json {
        return console.document("sessions", &sessions);
    }
    if sessions.is_empty() {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
        return Ok(());
    }
    match (&computer, as_list) {
        (Some(_), _) => console.write(&details(&sessions, true, &options)),
        (None, true) => console.write(&details(&sessions, false, &options)),
        (None, false) => console.write(&table(&sessions, &options)),
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// The sessions from one computer: by address or name as they are; where none matches and it is a name,
/// by the addresses the name stands for.
fn of_computer(
    sessions: Vec<Session>,
    computer: &str,
    resolve: impl FnOnce(&str) -> BTreeSet<IpAddr>,
) -> Vec<Session> {
    let named = |session: &Session| {
        address::same_computer(&session.computer, computer)
            || session.computer_name.as_deref().is_some_and(|name| address::same_computer(name, computer))
    };
    if address::parse(computer).is_some() || sessions.iter().any(named) {
        return sessions.into_iter().filter(named).collect();
    }
    let addresses = resolve(computer);
    let resolved =
        |session: &Session| address::parse(&session.computer).is_some_and(|ip| addresses.contains(&ip));
    sessions.into_iter().filter(resolved).collect()
}

/// The addresses that a name stands for, by this machine's resolver.
fn addresses_of(name: &str) -> BTreeSet<IpAddr> {
    let found = (name, 0).to_socket_addrs();
    found.into_iter().flatten().map(|found| address::canonical(found.ip())).collect()
}

fn end(
    server: &dyn Administration,
    sessions: &[Session],
    one_computer: bool,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    if sessions.is_empty() && !options.json {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
        return Ok(());
    }
    let question = match (server.ending_warning(), warning(sessions, one_computer)) {
        (None, question) => question,
        (Some(more), question) => {
            let text = question.map(|(text, _)| text).unwrap_or_default();
            Some((format!("{text}{more}\n\n"), DefaultAnswer::No))
        }
    };
    if let Some((warning, default)) = question {
        prompt::confirm(console, &warning, default, options.preset)?;
    }
    let (ended, gone) = administration::run(async {
        let (mut ended, mut gone) = (Ended::default(), 0);
        for session in sessions {
            match server.end_session(session).await {
                Ok(this) => ended = ended.plus(this),
                Err(error) if error.number() == number::CLIENT_NAME_NOT_FOUND => gone += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok((ended, gone))
    })?;
    if one_computer && gone == sessions.len() {
        return Err(Numbered::new(number::CLIENT_NAME_NOT_FOUND).into());
    }
    if options.json {
        console.document("ended", &ended)?;
    } else {
        console.line(&format!("{}\n", messages::COMPLETED));
    }
    Ok(())
}

/// What to show before the question; none where nothing needs asking. One computer's sessions end without
/// a question where nothing is open.
fn warning(sessions: &[Session], one_computer: bool) -> Option<(String, DefaultAnswer)> {
    let with_files: Vec<&Session> = sessions.iter().filter(|session| session.opens != Some(0)).collect();
    if one_computer {
        let session = with_files.first()?;
        let name = clean_line(&address::bracketed(&session.computer));
        let text = format!("{}\n\n", messages::insert(messages::SESSION_HAS_FILES, &name));
        return Some((text, DefaultAnswer::No));
    }
    if sessions.is_empty() {
        return None;
    }
    if with_files.is_empty() {
        let all: Vec<&Session> = sessions.iter().collect();
        Some((named(messages::SESSIONS_ON_SERVER, &all), DefaultAnswer::Yes))
    } else {
        Some((named(messages::SESSIONS_WITH_FILES, &with_files), DefaultAnswer::No))
    }
}

fn named(heading: &str, sessions: &[&Session]) -> String {
    let mut computers: Vec<String> = Vec::new();
    for session in sessions {
        let name = clean_line(&address::display(&session.computer));
        if !computers.contains(&name) {
            computers.push(name);
        }
    }
    let names: String = computers.iter().map(|name| format!("{:20}{name}\n", "")).collect();
    format!("{heading}\n\n{names}\n")
}

fn table(sessions: &[Session], options: &Options) -> String {
    let rows = sessions.iter().map(|session| {
        vec![
            address::display(&session.computer),
            session.user.clone(),
            session.client_type.clone().unwrap_or_default(),
            or_unknown(session.opens),
            or_unknown(session.idle_seconds.map(span)),
        ]
    });
    format!("\n{}", Table { columns: &COLUMNS, rows: rows.collect() }.text(options.compat, None))
}

fn details(sessions: &[Session], with_shares: bool, options: &Options) -> String {
    let blocks = sessions.iter().map(|session| detail(session, with_shares, options));
    blocks.collect::<Vec<_>>().join("\n")
}

fn detail(session: &Session, with_shares: bool, options: &Options) -> String {
    let client_type = session.client_type.clone().unwrap_or_default();
    let mut text = [
        label("User name", &session.user),
        label("Computer", &address::bracketed(&session.computer)),
        label("Guest logon", &or_unknown(session.guest.map(yes))),
        label("Client type", &client_type),
        label("Sess time", &or_unknown(session.active_seconds.map(span))),
        label("Idle time", &or_unknown(session.idle_seconds.map(span))),
    ]
    .concat();
    if options.verbose {
        text.push_str(&more(session));
    }
    if with_shares && !session.shares.is_empty() {
        let rows = session
            .shares
            .iter()
            .map(|share| vec![share.name.clone(), kind(share.kind).to_owned(), share.opens.to_string()]);
        let table = Table { columns: &SHARE_COLUMNS, rows: rows.collect() };
        text.push_str(&format!("\n{}", table.text(options.compat, None)));
    }
    text
}

fn more(session: &Session) -> String {
    let optional =
        |name: &str, value: Option<String>| value.map(|value| label(name, &value)).unwrap_or_default();
    let secured = |flag: Option<bool>, algorithm: &Option<String>| {
        flag.map(|flag| match algorithm {
            Some(algorithm) if flag => format!("Yes, {algorithm}"),
            _ => yes(flag).to_owned(),
        })
    };
    [
        optional("Session ID", session.id.map(|id| id.to_string())),
        optional("Domain", session.domain.clone()),
        optional("Computer name", session.computer_name.clone()),
        label("Anonymous", &or_unknown(session.anonymous.map(yes))),
        optional("Dialect", session.dialect.clone()),
        optional("Signed", secured(session.signed, &session.signing)),
        optional("Encrypted", secured(session.encrypted, &session.cipher)),
        optional("Transport", session.transport.clone()),
        optional("Connected", session.connected_at.map(|time| time.to_string())),
        label("# Opens", &or_unknown(session.opens)),
    ]
    .concat()
}

fn label(name: &str, value: &str) -> String {
    format!("{}\n", format!("{name:<16}{}", clean_line(value)).trim_end())
}

fn yes(flag: bool) -> &'static str {
    if flag { "Yes" } else { "No" }
}

fn kind(kind: ShareKind) -> &'static str {
    match kind {
        ShareKind::Disk => "Disk",
        ShareKind::Print => "Print",
        ShareKind::Comm => "Comm",
        ShareKind::Ipc => "IPC",
        ShareKind::Unknown => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(computer: &str, name: Option<&str>) -> Session {
        Session { computer: computer.into(), computer_name: name.map(str::to_owned), ..Session::default() }
    }

    #[test]
    fn a_computer_is_found_by_any_of_its_names() {
        let sessions = || {
            vec![
                session("10.0.0.1", Some("alpha.example.org")),
                session("::ffff:10.0.0.2", None),
                session("2001:db8::7", None),
                session("127.0.0.1", None),
                session("alpha-not", None),
            ]
        };
        for (computer, found) in [
            ("10.0.0.1", vec!["10.0.0.1"]),
            ("::ffff:10.0.0.1", vec!["10.0.0.1"]),
            ("ALPHA", vec!["10.0.0.1"]),
            ("10.0.0.2", vec!["::ffff:10.0.0.2"]),
            ("[2001:DB8:0::7]", vec!["2001:db8::7"]),
            ("workstation", vec!["::ffff:10.0.0.2", "127.0.0.1"]),
            ("10.0.0.3", vec![]),
            ("nobody", vec![]),
        ] {
            let resolve = |name: &str| match name {
                "workstation" => BTreeSet::from([IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])]),
                _ => BTreeSet::new(),
            };
            let matching = of_computer(sessions(), computer, resolve);
            let computers: Vec<&str> = matching.iter().map(|session| session.computer.as_str()).collect();
            assert_eq!(computers, found, "{computer}");
        }
    }
}
