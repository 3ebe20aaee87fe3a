//! Lists from one server or several, in every output format.

use std::borrow::Cow;
use std::collections::BTreeMap;

use client::Administration;
use serde::Serialize;

use crate::administration::{self, Servers};
use crate::cli::Format;
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered, server_failure_message};
use crate::messages;
use crate::output::{Align, Column, Console, Csv, Cut, Of, Table, clean_line, line};

/// A kind of entry that can be listed.
pub(crate) trait Listed: Serialize {
    /// The name of one entry in JSON.
    const ONE: &'static str;
    /// The name of a list of entries in JSON.
    const MANY: &'static str;
    /// The columns in CSV.
    const CSV: Csv;

    /// The make of the server, if it is not Shareward.
    fn make(&self) -> Option<&str>;

    /// The name of WMI's class.
    const WMI: &'static str;
    /// The entry in the form of WMI's class.
    type Wmi: for<'a> From<&'a Self> + Serialize;
}

/// The answers of the servers.
pub(crate) struct Gathered<T> {
    /// True if more than one server was asked.
    pub(crate) several: bool,
    /// The entries of all servers, in the order of the command line.
    pub(crate) entries: Vec<Of<T>>,
    failures: Vec<(String, client::Error)>,
    /// The nodes of a cluster that do not own the share of the question.
    without_share: Vec<(String, client::Error)>,
}

impl<T> Gathered<T> {
    /// The answer of the only server.
    pub(crate) fn of_one(entries: Vec<T>) -> Self {
        let entries = entries.into_iter().map(|entry| Of { server: None, entry }).collect();
        Self { several: false, entries, failures: Vec::new(), without_share: Vec::new() }
    }

    /// True if every server failed.
    pub(crate) fn is_nothing(&self, servers: &Servers) -> bool {
        self.failures.len() == servers.iter().count()
    }

    /// The entries without their servers, for a command that asks one server.
    pub(crate) fn into_entries(self) -> Vec<T> {
        self.entries.into_iter().map(|it| it.entry).collect()
    }

    /// The servers that failed, one line for each.
    pub(crate) fn trouble(&self) -> String {
        let lines = self.failures.iter().map(|(server, error)| {
            let message = messages::text(error.number()).or(error.message()).unwrap_or_default();
            format!("{}: {}\n", clean_line(server), clean_line(message))
        });
        lines.collect()
    }

    /// Adds the known entries of the servers that failed this time.
    pub(crate) fn keep(&mut self, known: &[Of<T>])
    where
        T: Clone,
    {
        let failed = |it: &&Of<T>| self.failures.iter().any(|(server, _)| it.server.as_ref() == Some(server));
        let kept: Vec<Of<T>> = known.iter().filter(failed).cloned().collect();
        self.entries.extend(kept);
    }

    /// Reports the servers that failed. The exit code is that of the first one.
    pub(crate) fn conclude(self, console: &mut Console) -> Result<(), Failure> {
        let mut first: Option<ExitCode> = None;
        for (server, error) in self.failures {
            let (text, code) = server_failure_message(&server, error, console.json());
            console.error(&text);
            first.get_or_insert(code);
        }
        first.map_or(Ok(()), |code| Err(Failure::Reported(code)))
    }
}

/// Asks all servers. If the only one fails, the command fails; if one of several fails, the others are still shown.
pub(crate) async fn gather<T>(
    servers: &Servers,
    question: impl AsyncFn(&dyn Administration) -> Result<Vec<T>, client::Error>,
) -> Result<Gathered<T>, Failure> {
    let several = servers.are_several();
    let mut gathered =
        Gathered { several, entries: Vec::new(), failures: Vec::new(), without_share: Vec::new() };
    for (server, answer) in servers.ask(question).await {
        let name = server.name.clone().filter(|_| several);
        match answer {
            Ok(entries) => {
                gathered.entries.extend(entries.into_iter().map(|entry| Of { server: name.clone(), entry }))
            }
            // Only the owner of a share knows what is in it.
            Err(error)
                if server.is_node && several && error.number() == control::number::NET_NAME_NOT_FOUND =>
            {
                gathered.without_share.push((name.unwrap_or_default(), error));
            }
            Err(error) if several => gathered.failures.push((name.unwrap_or_default(), error)),
            Err(error) => return Err(error.into()),
        }
    }
    let without_share = std::mem::take(&mut gathered.without_share);
    if gathered.entries.is_empty() && without_share.len() == servers.iter().count() {
        gathered.failures.extend(without_share);
    }
    Ok(gathered)
}

/// [`gather`] for a command that waits for nothing else.
pub(crate) fn gather_now<T>(
    servers: &Servers,
    question: impl AsyncFn(&dyn Administration) -> Result<Vec<T>, client::Error>,
) -> Result<Gathered<T>, Failure> {
    administration::run(gather(servers, question))
}

/// Writes the list for a program. Returns false if the format is the table for people.
pub(crate) fn write<T: Listed>(
    gathered: &Gathered<T>,
    format: Format,
    console: &mut Console,
) -> Result<bool, Failure> {
    match format {
        Format::Text => return Ok(false),
        Format::Json => console.document(T::MANY, &gathered.entries)?,
        Format::Wmi => {
            console.document("wmi", &BTreeMap::from([(T::WMI, wmi::<T, T::Wmi>(&gathered.entries))]))?;
        }
        Format::Ndjson => {
            for entry in &gathered.entries {
                write_line(T::ONE, entry, console)?;
            }
        }
        Format::Csv { header, mark } => {
            if mark {
                console.write(BYTE_ORDER_MARK);
            }
            let csv = T::CSV.with_make(gathered.entries.iter().any(|it| it.entry.make().is_some()));
            if header {
                console.write(&csv.header(gathered.several));
            }
            let clean = console.width().is_some();
            for it in &gathered.entries {
                console.write(&csv.row(it.server.as_deref(), &it.entry, clean));
            }
        }
    }
    Ok(true)
}

/// The entries in the form of WMI's class.
pub(crate) fn wmi<'a, T, W: From<&'a T>>(entries: &'a [Of<T>]) -> Vec<Of<W>> {
    let entries = entries.iter();
    entries.map(|it| Of { server: it.server.clone(), entry: W::from(&it.entry) }).collect()
}

/// Writes one line of NDJSON.
pub(crate) fn write_line(
    name: &'static str,
    content: &impl Serialize,
    console: &mut Console,
) -> Result<(), Failure> {
    let text = line(name, content)
        .map_err(|error| Numbered::new(control::number::INVALID_DATA).hint(error.to_string()))?;
    console.write(&text);
    Ok(())
}

/// The options of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableForm {
    /// True if our columns follow NET's.
    pub(crate) verbose: bool,
    /// True if values are cut to NET's columns.
    pub(crate) compat: bool,
    /// The terminal's width.
    pub(crate) width: Option<usize>,
}

impl TableForm {
    /// A table with NET's columns, or these and ours, from one server or `several`. `row` gives the values of all
    /// columns. Entries of several makes that one question found have theirs in front.
    pub(crate) fn table<'a, T: Listed>(
        self,
        [net, all]: [&[Column]; 2],
        entries: &'a [Of<T>],
        several: bool,
        row: impl Fn(&'a T) -> Vec<Cow<'a, str>>,
    ) -> String {
        let columns = if self.verbose { all } else { net };
        let server = Column { title: "Server", width: 15, align: Align::Left, cut: Cut::Never };
        let make = Column { title: "Make", width: 6, align: Align::Left, cut: Cut::Never };
        let first = entries.first().and_then(|it| it.entry.make());
        let makes = !several && entries.iter().any(|it| it.entry.make() != first);
        let before = several.then_some(server).into_iter().chain(makes.then_some(make));
        let with_server: Vec<Column> = before.chain(columns.iter().copied()).collect();
        let rows = entries.iter().map(|it| {
            let server = it.server.as_deref().map(Cow::Borrowed);
            let make = makes.then(|| Cow::Borrowed(it.entry.make().unwrap_or("-")));
            let before = server.into_iter().chain(make);
            before.chain(row(&it.entry).into_iter().take(columns.len())).collect()
        });
        Table { columns: &with_server, rows }.text(self.compat, self.width)
    }
}

/// U+FEFF, by which spreadsheets recognise UTF-8.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";
