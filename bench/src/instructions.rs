//! `--instructions`: the instructions that our server takes for each kind of request, one at a time on one connection.
//!
//! A request is made some hundred times; the server's instructions meanwhile, without those of an idle server, are
//! divided by that number. All requests have several turns, of which the one with the fewest instructions counts: a busy
//! machine only adds some, when a message arrives in parts or a thread has to be woken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use client::smb::{ClientTree, CreateParameters, Error, File, close_part, query_info_part, read_part};
use serde::{Deserialize, Serialize};
use testkit::{Setup, Shareward, shareward_binary};
use wire::fscc::{DirectoryEntries, FileInfoClass};
use wire::msg::{AdditionalInformation, CloseFlags, InfoType};
use wire::{AccessMask, FileId};

use crate::callgrind::Callgrind;
use crate::options::Options;
use crate::servers::{Protection, Target, setup};
use crate::{data, progress, report, say};

/// A request, and how often it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Echo,
    Read { size: u32 },
    Write { size: u32 },
    Create,
    Close,
    QueryInfo,
    OpenReadClose,
    Stat,
    CreateNew,
    ListEntry,
    Logon,
}

const KIB_4: u32 = 4096;
const KIB_64: u32 = 64 << 10;

/// A row of the table: its name, the request, its protection, and how often it is made.
type Row = (&'static str, Request, Protection, usize);

/// The rows without the history. There is no longer READ, because its count depends on how fast the client takes the
/// answer: the socket is full after a part of it. A CLOSE closes what the row before has opened.
const ROWS: &[Row] = &[
    ("ECHO", Request::Echo, Protection::Plain, 5_000),
    ("READ of 4 KiB", Request::Read { size: KIB_4 }, Protection::Plain, 3_000),
    ("READ of 4 KiB, signed", Request::Read { size: KIB_4 }, Protection::Signed, 2_000),
    ("READ of 4 KiB, sealed", Request::Read { size: KIB_4 }, Protection::Sealed, 2_000),
    ("WRITE of 4 KiB", Request::Write { size: KIB_4 }, Protection::Plain, 3_000),
    ("WRITE of 64 KiB", Request::Write { size: KIB_64 }, Protection::Plain, 2_000),
    ("CREATE of an existing file", Request::Create, Protection::Plain, 1_000),
    ("CLOSE", Request::Close, Protection::Plain, 1_000),
    ("CREATE of a new file and CLOSE", Request::CreateNew, Protection::Plain, 1_000),
    ("QUERY_INFO of all information", Request::QueryInfo, Protection::Plain, 3_000),
    ("CREATE, READ, CLOSE in a compound", Request::OpenReadClose, Protection::Plain, 1_500),
    ("CREATE, QUERY_INFO, CLOSE in a compound", Request::Stat, Protection::Plain, 1_500),
    ("QUERY_DIRECTORY, an entry", Request::ListEntry, Protection::Plain, 3),
    ("logon", Request::Logon, Protection::Plain, 50),
];

/// The rows with the history. It is written once a second, so that some of its work is that of the clock and not of a
/// request; without it, the other rows are steadier.
const ROWS_WITH_HISTORY: &[Row] =
    &[("CREATE, READ, CLOSE in a compound, history", Request::OpenReadClose, Protection::Plain, 3_000)];

/// Turns of each row.
const TURNS: usize = 5;

/// The time in which the server does what it does later.
const SETTLE: Duration = Duration::from_millis(50);

/// As [`SETTLE`] with the history, which is written after a second.
const SETTLE_HISTORY: Duration = Duration::from_millis(1_500);

/// Percent of a change that is marked.
const NOTABLE: f64 = 3.0;

/// The largest answer to a query of all information, with the name.
const INFORMATION_BYTES: u32 = 4096;

/// The counts of a run, as stored.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Counts {
    /// Instructions for each request, by the name of the row.
    instructions: BTreeMap<String, f64>,
}

/// Counts and prints.
pub(crate) fn main(options: &Options, runtime: &tokio::runtime::Runtime) -> ExitCode {
    let counted = runtime.block_on(count(options)).and_then(|counts| {
        let earlier = options.compare.as_deref().map(read).transpose()?;
        say(&table(&counts, earlier.as_ref()));
        let path = options.json.clone().unwrap_or_else(|| report::default_path("instructions.json"));
        let written = serde_json::to_vec_pretty(&counts).map_err(std::io::Error::from);
        written.and_then(|text| std::fs::write(&path, text)).map_err(|error| error.to_string())?;
        say(&format!("\nEverything counted: {}", path.display()));
        Ok(())
    });
    match counted {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&format!("the instructions cannot be counted: {reason}"));
            ExitCode::FAILURE
        }
    }
}

async fn count(options: &Options) -> Result<Counts, String> {
    let callgrind = Callgrind::find(options.valgrind.as_deref())?;
    let tree = data::make(&options.directory, 1).map_err(|error| error.to_string())?;
    let binary = callgrind.wrapped(&shareward_binary()).map_err(|error| error.to_string())?;
    let mut counts = Counts::default();
    let without = "\n[history]\nenabled = false\n";
    for (rows, settle, history) in [(ROWS, SETTLE, without), (ROWS_WITH_HISTORY, SETTLE_HISTORY, "")] {
        let setup = setup(tree.path(), options);
        let extra = format!("sandbox = \"off\"\n{}{history}", setup.extra);
        progress("starting the server under callgrind");
        let server = Shareward::start(&Setup { binary: Some(binary.clone()), extra, ..setup });
        let target = Target::alone(&server, tree.path());
        let counted = count_rows(&callgrind, &target, (rows, settle), &mut counts).await;
        counted.map_err(|error| error.to_string())?;
    }
    Ok(counts)
}

async fn count_rows(
    callgrind: &Callgrind,
    target: &Target,
    (rows, settle): (&[Row], Duration),
    counts: &mut Counts,
) -> Result<(), Error> {
    let poked = target.tree(Protection::Plain).await?;
    for turn in 0..TURNS {
        progress(&format!("turn {} of {TURNS}", turn + 1));
        let (idle, ()) = callgrind.count(target.pid, poked.connection(), settle, async { Ok(()) }).await?;
        let mut opened = Vec::new();
        for (name, request, protection, times) in rows {
            let tree = target.tree(*protection).await?;
            let times = times.div_ceil(TURNS);
            // Warm, as a server is.
            let warm = times.div_ceil(10);
            make(target, &tree, *request, warm, &mut Vec::new(), 0).await?;
            let work = make(target, &tree, *request, times, &mut opened, warm);
            let (instructions, made) = callgrind.count(target.pid, poked.connection(), settle, work).await?;
            let each = (instructions - idle) / made;
            counts
                .instructions
                .entry((*name).to_owned())
                .and_modify(|it| *it = each.min(*it))
                .or_insert(each);
            if *request != Request::Create {
                tree.session().logoff().await?;
            }
            data::remove_new(&target.tree).map_err(Error::Io)?;
        }
    }
    Ok(())
}

/// Makes the request so many times, and returns for how many units the instructions are. Files begin with the one
/// that has the number `first`.
async fn make(
    target: &Target,
    tree: &ClientTree,
    request: Request,
    times: usize,
    opened: &mut Vec<File>,
    first: usize,
) -> Result<f64, Error> {
    let none = AdditionalInformation::NONE;
    let query_all = |id| query_info_part(id, InfoType::FILE, FileInfoClass::ALL.0, none, INFORMATION_BYTES);
    let file = match request {
        Request::Read { .. } => Some(tree.create(&CreateParameters::open(&data::read_name(0))).await?),
        Request::Write { .. } => {
            Some(tree.create(&CreateParameters::read_write(&data::write_name(0))).await?)
        }
        Request::QueryInfo => Some(tree.create(&CreateParameters::open(&data::small_name(0))).await?),
        _ => None,
    };
    let lacks = || Error::Unable("there is no file");
    let mut units = 0.0;
    for number in first..first + times {
        let name = data::small_name(number);
        units += 1.0;
        match request {
            Request::Echo => tree.connection().echo().await?,
            Request::Read { size } => {
                let read = file.as_ref().ok_or_else(lacks)?.read(offset(number, size), size).await?;
                if read.len() != size as usize {
                    return Err(Error::Protocol("a READ is not whole"));
                }
            }
            Request::Write { size } => {
                let content = vec![0xa5; size as usize];
                file.as_ref().ok_or_else(lacks)?.write(offset(number, size), content).await?;
            }
            Request::Create => opened.push(tree.create(&CreateParameters::open(&name)).await?),
            Request::Close => match opened.pop() {
                Some(file) => file.close().await?,
                None => units -= 1.0,
            },
            Request::CreateNew => {
                let name = data::new_name(0, u32::try_from(number).unwrap_or(u32::MAX));
                tree.create(&CreateParameters::read_write(&name)).await?.close().await?;
            }
            Request::QueryInfo => {
                let file = file.as_ref().ok_or_else(lacks)?;
                file.query_info(InfoType::FILE, FileInfoClass::ALL.0, none, INFORMATION_BYTES).await?;
            }
            Request::OpenReadClose => {
                let read = read_part(FileId::RELATED, 0, data::SMALL_BYTES);
                compound(tree, &CreateParameters::open(&name), read).await?;
            }
            Request::Stat => {
                let access = AccessMask::READ_ATTRIBUTES;
                let open = CreateParameters { access, ..CreateParameters::open(&name) };
                compound(tree, &open, query_all(FileId::RELATED)).await?;
            }
            Request::ListEntry => units += list(tree).await? - 1.0,
            Request::Logon => target.logon(Protection::Plain).await?.logoff().await?,
        }
    }
    Ok(units)
}

fn offset(number: usize, size: u32) -> u64 {
    number as u64 * u64::from(size) % data::LARGE_BYTES
}

async fn compound(
    tree: &ClientTree,
    open: &CreateParameters<'_>,
    middle: client::smb::Part,
) -> Result<(), Error> {
    let parts = vec![open.part()?, middle, close_part(FileId::RELATED, CloseFlags::NONE)];
    for request in tree.connection().submit_compound(tree.scope(), parts, true).await? {
        request.response().await?.success()?;
    }
    Ok(())
}

/// Lists the large directory and returns the number of its entries.
async fn list(tree: &ClientTree) -> Result<f64, Error> {
    const CLASS: FileInfoClass = FileInfoClass::ID_BOTH_DIRECTORY;
    let directory = tree.create(&CreateParameters::directory("many")).await?;
    let mut listing = directory.list(CLASS, "*");
    let mut entries = 0;
    while let Some(buffer) = listing.next_buffer().await? {
        entries += DirectoryEntries::new(CLASS, &buffer).into_iter().flatten().flatten().count();
    }
    directory.close().await?;
    Ok(entries as f64)
}

fn read(path: &Path) -> Result<Counts, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    serde_json::from_slice(&text).map_err(|error| wrong(&error))
}

fn table(counts: &Counts, earlier: Option<&Counts>) -> String {
    let mut text = String::from(
        "Instructions of the server for each request, without the kernel's:\n\n| request | instructions |",
    );
    text += if earlier.is_some() { " earlier | change |\n|---|---:|---:|---:|" } else { "\n|---|---:|" };
    for (name, ..) in ROWS.iter().chain(ROWS_WITH_HISTORY) {
        let Some(now) = counts.instructions.get(*name) else { continue };
        write!(text, "\n| {name} | {now:.0} |").ok();
        let Some(earlier) = earlier else { continue };
        match earlier.instructions.get(*name) {
            Some(before) => {
                let change = (now / before - 1.0) * 100.0;
                let mark = if change > NOTABLE { " more" } else { "" };
                write!(text, " {before:.0} | {change:+.1} %{mark} |").ok();
            }
            None => text += " - | - |",
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_instructions_are_marked() {
        let counts = |count| Counts { instructions: [("ECHO".to_owned(), count)].into() };
        let shown = |now, before| table(&counts(now), Some(&counts(before)));
        assert!(shown(1_031.0, 1_000.0).ends_with("| ECHO | 1031 | 1000 | +3.1 % more |"));
        assert!(shown(1_029.0, 1_000.0).ends_with("| ECHO | 1029 | 1000 | +2.9 % |"));
        assert!(shown(900.0, 1_000.0).ends_with("-10.0 % |"));
    }
}
