//! Lists of one server or of several, in every form.

use std::borrow::Cow;
use std::collections::BTreeMap;

use client::Administration;
use serde::Serialize;

use crate::administration::{self, Servers};
use crate::cli::Format;
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered, told_of_server};
use crate::messages;
use crate::output::{Align, Column, Console, Csv, Cut, Of, clean_line, line};

/// What can be listed.
pub(crate) trait Listed: Serialize {
    /// What JSON calls one of them.
    const ONE: &'static str;
    /// What JSON calls many of them.
    const MANY: &'static str;
    /// As CSV.
    const CSV: Csv;

    /// What WMI calls one of them.
    const WMI: &'static str;
    /// WMI's shape of it.
    type Wmi: for<'a> From<&'a Self> + Serialize;
}

/// What the servers answered.
pub(crate) struct Gathered<T> {
    /// Whether more than one server was asked.
    pub(crate) several: bool,
    /// The entries of all of them, in the order of the command line.
    pub(crate) entries: Vec<Of<T>>,
    failures: Vec<(String, client::Error)>,
}

impl<T> Gathered<T> {
    /// What the only server answered.
    pub(crate) fn of_one(entries: Vec<T>) -> Self {
        let entries = entries.into_iter().map(|entry| Of { server: None, entry }).collect();
        Self { several: false, entries, failures: Vec::new() }
    }

    /// Whether no server answered.
    pub(crate) fn is_nothing(&self, servers: &Servers) -> bool {
        self.failures.len() == servers.iter().count()
    }

    /// The entries alone, for a command that takes one server.
    pub(crate) fn into_entries(self) -> Vec<T> {
        self.entries.into_iter().map(|it| it.entry).collect()
    }

    /// Which servers failed, in one line for each.
    pub(crate) fn trouble(&self) -> String {
        let lines = self.failures.iter().map(|(server, error)| {
            let message = messages::text(error.number()).or(error.message()).unwrap_or_default();
            format!("{}: {}\n", clean_line(server), clean_line(message))
        });
        lines.collect()
    }

    /// Keeps what the servers that failed now are known to have had.
    pub(crate) fn keep(&mut self, known: &[Of<T>])
    where
        T: Clone,
    {
        let failed = |it: &&Of<T>| self.failures.iter().any(|(server, _)| it.server.as_ref() == Some(server));
        let kept: Vec<Of<T>> = known.iter().filter(failed).cloned().collect();
        self.entries.extend(kept);
    }

    /// Tells which servers failed. The exit code is that of the first.
    pub(crate) fn conclude(self, console: &mut Console) -> Result<(), Failure> {
        let mut first: Option<ExitCode> = None;
        for (server, error) in self.failures {
            let (text, code) = told_of_server(&server, error, console.json());
            console.error(&text);
            first.get_or_insert(code);
        }
        first.map_or(Ok(()), |code| Err(Failure::Told(code)))
    }
}

/// Asks all servers. Where there is only one its failure is the command's; of several the rest is shown all the same.
pub(crate) async fn gather<T>(
    servers: &Servers,
    question: impl AsyncFn(&dyn Administration) -> Result<Vec<T>, client::Error>,
) -> Result<Gathered<T>, Failure> {
    let several = servers.are_several();
    let mut gathered = Gathered { several, entries: Vec::new(), failures: Vec::new() };
    for (server, answer) in servers.ask(question).await {
        let name = server.name.clone().filter(|_| several);
        match answer {
            Ok(entries) => {
                gathered.entries.extend(entries.into_iter().map(|entry| Of { server: name.clone(), entry }))
            }
            Err(error) if several => gathered.failures.push((name.unwrap_or_default(), error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(gathered)
}

/// [`gather`], for a command that has nothing else to wait for.
pub(crate) fn gather_now<T>(
    servers: &Servers,
    question: impl AsyncFn(&dyn Administration) -> Result<Vec<T>, client::Error>,
) -> Result<Gathered<T>, Failure> {
    administration::run(gather(servers, question))
}

/// Writes the list for a program. False where the format is for people.
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
            if header {
                console.write(&T::CSV.header(gathered.several));
            }
            let clean = console.width().is_some();
            for it in &gathered.entries {
                console.write(&T::CSV.row(it.server.as_deref(), &it.entry, clean));
            }
        }
    }
    Ok(true)
}

/// The entries in WMI's shape.
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
    let text =
        line(name, content).map_err(|error| Numbered::new(ERROR_INVALID_DATA).hint(error.to_string()))?;
    console.write(&text);
    Ok(())
}

/// The columns of a table, with one for the server first where there are several.
pub(crate) fn with_server(columns: &[Column], several: bool) -> Vec<Column> {
    let server = Column { title: "Server", width: 15, align: Align::Left, cut: Cut::Never };
    several.then_some(server).into_iter().chain(columns.iter().copied()).collect()
}

/// The values of a row, with the server first where there are several.
pub(crate) fn row_of<'a, T>(it: &'a Of<T>, mut values: Vec<Cow<'a, str>>) -> Vec<Cow<'a, str>> {
    if let Some(server) = &it.server {
        values.insert(0, server.into());
    }
    values
}

/// U+FEFF, by which spreadsheets know that a file is UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

const ERROR_INVALID_DATA: u32 = 13;
