//! `net session`: lists, shows and ends sessions.

mod end;
pub(in crate::applets) mod shown;

pub(super) use shown::is_user_unknown;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs as _};

use client::Administration;
use control::{EndDrain, OpenFile, Session, SessionQuery, address, number};

use super::drain::{self, DRAIN, STRICT, UNDRAIN};
use super::{Applet, Family, Help};
use crate::administration::{self, Servers};
use crate::cli::{self, Filter, Format, Options, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::listing::{self, Gathered, Listed as _, TableForm, gather_now};
use crate::messages;
use crate::output::Console;
use crate::watch::{self, Watch, watch};

pub(super) static APPLET: Applet = Applet {
    names: &["session", "sessions", "sess"],
    family: Family::Net,
    summary: "Show who is connected, or end sessions",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET SESSION
[\\\\computername] [/DELETE | /LIST] [/YES | /NO]
\\\\computername {/DRAIN[:DEADLINE] [/STRICT] | /UNDRAIN}
[--id ID] [--user NAME] [--client COMPUTER] [--share NAME] [--path PATTERN]
[--idle BOUND] [--age BOUND] [--locked] [--writing] [--mine]
[--dry-run] [--watch [--for LENGTH]] [--verbose] [--compat]
[--json[=wmi] | --ndjson | --csv[=bom] [--no-header]]
[--server NAME[,NAME] | --cluster] [--login USER] [--credentials FILE]
[--socket PATH]
[--kerberos | --ntlm]
",
    about: "\
Lists the sessions between this server and its clients, shows the sessions of
one computer, or ends sessions.

  \\\\computername  a client's address or name. In a shell, write //computername
                  or quote it
  /DELETE         end the sessions that are selected and close their open
                  files. Asks first, unless a computer is named and its
                  sessions have nothing open
  /LIST           show each session as a block of lines instead of a table row
  /DRAIN          refuse new opens of this computer until /UNDRAIN, and close
                  the rest at DEADLINE (10m, 2h, 18:00), as 'net share /DRAIN'
  /YES, /NO       answer the question in advance

Filters (a session is selected if it matches all of them):
  --id            the session with this id, as shown by --verbose
  --user          sessions of this user
  --client        sessions from this computer, by address or name
  --share         sessions that are connected to this share
  --path          sessions with an open file whose path contains this text or,
                  if it has * or ?, matches it as a pattern
  --idle          sessions without a request for this time: '>1h', '<30m', 2d
  --age           sessions that have existed for this time
  --locked        sessions with an open file that has byte-range locks;
                  --locked=no: with one that has none
  --writing       sessions with a file open for writing; or --writing=no
  --mine          your own sessions

Output and target:
  --dry-run       with /DELETE: show the selected sessions, end none
  --watch         keep the list up to date until Ctrl-C, or for the time given
                  with --for. If output is not a terminal, print changes
  --verbose       also show id, dialect, signing, encryption and start time
  --compat        cut long names to the column widths of Windows
  --json          print one JSON document; --json=wmi uses the names of WMI's
                  Win32_ServerSession and Win32_ServerConnection
  --ndjson, --csv print one JSON document per line, or comma-separated values
  --server        ask these servers instead of the local one; samba:, ksmbd:
                  and nfs: are those of this machine. Without this switch they
                  are asked if no Shareward server runs here
  --cluster       ask all nodes of this machine's cluster, each with the login;
                  one that does not answer is named after the others
  --kerberos      log on there only with a Kerberos ticket
  --ntlm          log on there only with a password, by NTLM
  --socket        path of the local server's control socket

Switches can be abbreviated and written in any case: /DEL, --delete.

Exit codes: 0 success, even if no session matches; the number of a system error
up to 255, such as 5 (access denied); 2 for all others, such as 2114 (no server
is running), 2312 (no session of this computer), or a question answered with
no. The message contains the number.
",
};

const DELETE: Switch = Switch::net("DELETE", Takes::Nothing);
const LIST: Switch = Switch::net("LIST", Takes::Nothing);
const ID: Switch = Switch::own("ID", Takes::Value);
const DRY_RUN: Switch = Switch::own("DRY-RUN", Takes::Nothing);

const SWITCHES: [Switch; 11] =
    [DELETE, LIST, ID, DRY_RUN, DRAIN, UNDRAIN, STRICT, cli::YES, cli::NO, cli::COMPAT, cli::VERBOSE];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let known = [
        SWITCHES.as_slice(),
        &cli::filter::SWITCHES,
        &cli::format::SWITCHES,
        &watch::SWITCHES,
        &cli::TARGET,
        &[cli::CLUSTER],
    ];
    let words = cli::parse(words, &known.concat()).map_err(usage)?;
    let options = Options::of(&words).and_then(|it| it.with_cluster(&words)).map_err(usage)?;
    let format = Format::of(&words).map_err(usage)?;
    format.announce(console);
    let filter = Filter::of(&words).map_err(usage)?;
    let watched = Watch::of(&words, format).map_err(usage)?;
    let computer = match words.operands.as_slice() {
        [] => None,
        [operand] => Some(cli::computer(operand).map_err(usage)?),
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    };
    let (deletes, as_list, dry_run) = (words.has(&DELETE), words.has(&LIST), words.has(&DRY_RUN));
    if (deletes && (as_list || watched.is_some() || matches!(format, Format::Ndjson | Format::Csv { .. })))
        || (dry_run && !deletes)
        || (as_list && watched.is_some())
    {
        return Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)));
    }
    if let Some(asked) = drain::asked(&words).map_err(usage)? {
        let is_alone = !deletes && !as_list && watched.is_none() && filter.is_empty() && !words.has(&ID);
        if !is_alone || matches!(format, Format::Ndjson | Format::Csv { .. } | Format::Wmi) {
            return Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)));
        }
        let count = || usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER));
        let scope = EndDrain { share: None, client: Some(computer.ok_or_else(count)?) };
        return drain::carry_out(&*administration::of(&options.target)?, &asked, &scope, console);
    }
    let selection =
        Selection { id: id(&words).map_err(usage)?, computer, filter, addresses: OnceCell::new() };
    if deletes {
        let server = administration::of(&options.target)?;
        let sessions = administration::run(async { Ok(selection.of(&*server).await?) })?;
        let one_computer = selection.computer.is_some();
        if one_computer && sessions.is_empty() {
            return Err(Numbered::new(number::CLIENT_NAME_NOT_FOUND).into());
        }
        let ending = end::Ending { one_computer, dry_run, preset: options.preset, format };
        return ending.run(&*server, &sessions, console);
    }
    let servers = administration::all_of(&options.target)?;
    let shown = Shown { selection: &selection, as_list, verbose: options.verbose, compat: options.compat };
    match watched {
        Some(watched) => shown.watch(&servers, watched, format, console),
        None => shown.once(&servers, format, console),
    }
}

fn id(words: &cli::Words) -> Result<Option<u32>, Numbered> {
    let Some(text) = words.value(&ID) else { return Ok(None) };
    let id =
        text.parse().map_err(|_not_one| Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(ID.shown()));
    id.map(Some)
}

/// The sessions that the command line selects.
struct Selection {
    id: Option<u32>,
    computer: Option<String>,
    filter: Filter,
    /// The addresses of the computer, by this machine's resolver.
    addresses: OnceCell<BTreeSet<IpAddr>>,
}

impl Selection {
    async fn of(&self, server: &dyn Administration) -> Result<Vec<Session>, client::Error> {
        let query = self.filter.sessions();
        let mut sessions = server.sessions(&query).await?;
        if self.id.is_some() && !sessions.is_empty() && sessions.iter().all(|it| it.id.is_none()) {
            let error = control::Error::new(number::NOT_SUPPORTED, "The request is not supported.");
            return Err(error.with_hint("this server does not report session ids").into());
        }
        sessions.retain(|session| self.id.is_none_or(|id| session.id == Some(id)));
        if let Some(computer) = &self.computer {
            let resolve = |name: &str| self.addresses.get_or_init(|| addresses_of(name)).clone();
            sessions = of_computer(sessions, computer, resolve);
        }
        if let Some(query) = self.filter.opens_of_sessions() {
            let files = server.files(&query).await?;
            sessions.retain(|session| files.iter().any(|file| is_of(file, session)));
        }
        Ok(sessions)
    }
}

/// The options of showing sessions.
struct Shown<'a> {
    selection: &'a Selection,
    as_list: bool,
    verbose: bool,
    compat: bool,
}

impl Shown<'_> {
    fn once(&self, servers: &Servers, format: Format, console: &mut Console) -> Result<(), Failure> {
        let gathered =
            gather_now(servers, async |server: &dyn Administration| self.selection.of(server).await)?;
        if gathered.is_nothing(servers) {
            return gathered.conclude(console);
        }
        if gathered.entries.is_empty() && self.selection.computer.is_some() {
            gathered.conclude(console)?;
            return Err(Numbered::new(number::CLIENT_NAME_NOT_FOUND).into());
        }
        if format == Format::Wmi {
            return self.as_wmi(servers, gathered, console);
        }
        if listing::write(&gathered, format, console)? {
            return gathered.conclude(console);
        }
        if gathered.entries.is_empty() {
            console.line(&format!("{}\n", messages::NO_ENTRIES));
            console.write(&self.waiting(servers)?);
            return gathered.conclude(console);
        }
        if self.as_list || self.selection.computer.is_some() {
            let with_shares = self.selection.computer.is_some();
            console.write(&shown::details(&gathered.entries, with_shares, self.verbose, self.compat));
        } else {
            console.write(&shown::table(&gathered.entries, gathered.several, self.form(None)));
        }
        console.write(&shown::drains(&gathered.entries));
        console.write(&self.waiting(servers)?);
        console.line(&format!("{}\n", messages::COMPLETED));
        gathered.conclude(console)
    }

    /// The lines about opens whose clients are gone, which have no session.
    fn waiting(&self, servers: &Servers) -> Result<String, Failure> {
        let Some(query) = self.selection.filter.waiting_opens().filter(|_| self.selection.id.is_none())
        else {
            return Ok(String::new());
        };
        let gathered = gather_now(servers, async |server: &dyn Administration| {
            match server.files(&query).await {
                // Servers of other makes and older ones do not report them, and not everybody may list files.
                Err(client::Error::Refused(_)) => Ok(Vec::new()),
                files => files,
            }
        })?;
        let mut files = gathered.entries;
        if let Some(computer) = &self.selection.computer {
            files.retain(|it| {
                it.entry.computer.as_deref().is_some_and(|it| address::same_computer(it, computer))
            });
        }
        Ok(shown::waiting(&files))
    }

    /// WMI has one class for sessions and another for their connections to shares.
    fn as_wmi(
        &self,
        servers: &Servers,
        gathered: Gathered<Session>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let connections = gather_now(servers, async |server: &dyn Administration| {
            server.connections(&control::ConnectionQuery::default()).await
        })?;
        let mut connections = connections.entries;
        connections.retain(|connection| {
            gathered.entries.iter().any(|session| {
                session.server == connection.server
                    && shown::is_connection_of(&connection.entry, &session.entry)
            })
        });
        let sessions = listing::wmi::<_, <Session as listing::Listed>::Wmi>(&gathered.entries);
        let connections = listing::wmi::<_, crate::wmi::ServerConnection>(&connections);
        let content = shown::Wmi { sessions, connections };
        debug_assert_eq!(Session::WMI, "Win32_ServerSession");
        console.document("wmi", &content)?;
        gathered.conclude(console)
    }

    fn watch(
        &self,
        servers: &Servers,
        watched: Watch,
        format: Format,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let selection = self.selection;
        let width = console.width();
        let query = SessionQuery { mine: None, ..selection.filter.sessions() };
        let is_selected = |session: &Session| {
            selection.computer.is_none()
                && selection.filter.opens_of_sessions().is_none()
                && query.matches(session)
        };
        let question = async |server: &dyn Administration| selection.of(server).await;
        watch(servers, watched, format, console, question, is_selected, |gathered| {
            shown::table(&gathered.entries, gathered.several, self.form(width))
        })
    }

    fn form(&self, width: Option<usize>) -> TableForm {
        TableForm { verbose: self.verbose, compat: self.compat, width }
    }
}

/// True if the open belongs to the session; without session ids, if user and computer are the same.
fn is_of(file: &OpenFile, session: &Session) -> bool {
    if file.make != session.make {
        return false;
    }
    match (file.session_id, session.id) {
        (Some(of), Some(id)) => of == id,
        _ => {
            wire::eq_ignore_case(&file.user, &session.user)
                && file.computer.as_ref().is_none_or(|it| address::same_computer(it, &session.computer))
        }
    }
}

/// The sessions of one computer, by its address or name. If no name matches, its addresses are looked up.
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

/// The addresses of a name, by this machine's resolver.
fn addresses_of(name: &str) -> BTreeSet<IpAddr> {
    let found = (name, 0).to_socket_addrs();
    found.into_iter().flatten().map(|found| address::canonical(found.ip())).collect()
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
