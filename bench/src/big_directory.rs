//! Names in big directories: each operation at several sizes, so that the report can compare with an empty directory.
//!
//! A server must know that no other spelling of a name exists before it creates one, and find a name in another case.
//! The directories are made when they are first needed, and are the same for both servers.

use std::fs::{self, File as LocalFile, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, Error, File};
use wire::fscc::{DirectoryEntries, FileInfoClass, named_info::RenameInfo};
use wire::msg::{AdditionalInformation, CreateDisposition, CreateOptions, InfoType};
use wire::{AccessMask, NtStatus, Utf16};

use crate::cases::Case;
use crate::load::{logoff, timed, trees};
use crate::measure::{Figure, stopwatch};
use crate::options::Options;
use crate::servers::Target;

/// An operation on a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// CREATE of a new file with FILE_OPEN_IF, and CLOSE.
    Create,
    /// As `Create` with FILE_CREATE.
    CreateExclusive,
    /// As `Create`, while a local program adds and removes names.
    CreateMeanwhile,
    /// CREATE of an existing file in its own spelling, and CLOSE.
    OpenExact,
    /// As `OpenExact` in another case.
    OpenOtherCase,
    /// CREATE of a file that does not exist, with FILE_OPEN.
    Miss,
    /// SET_INFO of an open file with FileRenameInformation to a new name.
    Rename,
    /// CREATE with FILE_DELETE_ON_CLOSE, and CLOSE.
    Delete,
    /// CREATE of the directory, the first answer to QUERY_DIRECTORY, and CLOSE.
    ListFirst,
    /// As `ListFirst` with the name of one file as the pattern.
    ListName,
    /// CREATE of the directory, QUERY_DIRECTORY until there is no more, and CLOSE, by one client.
    ListAll,
    /// As `ListAll` with a pattern that one name in a hundred matches.
    ListPattern,
    /// The first `Miss` in a directory that the server has not used yet.
    Cold,
}

impl Act {
    /// True if whole directories are listed, of which a server does a few in a second.
    pub(crate) const fn lists_all(self) -> bool {
        matches!(self, Self::ListAll | Self::ListPattern)
    }

    /// True if directories are listed.
    pub(crate) const fn lists(self) -> bool {
        self.lists_all() || matches!(self, Self::ListFirst | Self::ListName)
    }
}

/// Requests at the same time on each connection.
const AT_ONCE: usize = 8;

/// Files that are made for one load of `Delete`: more than a server removes in that time. If it does remove all, the
/// load ends early.
const DELETED_MAX: usize = 8_000;

/// The interval between changes by the local program.
const LOCAL_CHANGE_EVERY: Duration = Duration::from_millis(5);

/// Runs the load.
pub(crate) async fn measure(
    case: &Case,
    target: &Target,
    options: &Options,
    time: Duration,
    (act, entries): (Act, usize),
) -> Result<Figure, Error> {
    let directory = Directory::prepare(&target.tree, act, entries).map_err(failed)?;
    let trees = trees(case, target, options).await?;
    let figure = match act {
        Act::Cold => {
            let tree = trees.first().ok_or(Error::Unable("there is no connection"))?;
            let watch = stopwatch(target);
            miss(tree, &directory.on_the_wire("no such name")).await?;
            watch.stop(1.0)
        }
        _ => {
            // Warms each server up, as the previous load did in the one that is measured first.
            for tree in &trees {
                miss(tree, &directory.on_the_wire("no such name")).await?;
            }
            let local = (act == Act::CreateMeanwhile).then(|| LocalProgram::start(&directory.path));
            let workers =
                trees.iter().flat_map(|tree| std::iter::repeat_n(tree.clone(), AT_ONCE)).enumerate();
            let at_once = if act.lists_all() { 1 } else { usize::MAX };
            let workers = workers.take(at_once).map(|(index, tree)| (index, tree, directory.clone()));
            let workers: Vec<_> = workers.collect();
            let stride = workers.len();
            let figure = timed(target, time, workers, move |(index, tree, directory), until| {
                work(tree, directory, (act, entries), (index, stride), until)
            })
            .await;
            drop(local);
            figure?
        }
    };
    logoff(trees.iter().map(ClientTree::session)).await?;
    directory.clean(act).map_err(failed)?;
    Ok(figure)
}

async fn work(
    tree: ClientTree,
    directory: Directory,
    (act, entries): (Act, usize),
    (first, stride): (usize, usize),
    until: Instant,
) -> Result<f64, Error> {
    let mut done = 0.0;
    let mut renamed: Option<File> = None;
    for index in (first..).step_by(stride) {
        if Instant::now() >= until || (act == Act::Delete && index >= DELETED_MAX) {
            break;
        }
        let new = directory.on_the_wire(&format!("{NEW}{index}"));
        // Jumps through the directory, so that no order on disk helps.
        let existing = leaf(index.wrapping_mul(7919).checked_rem(entries).unwrap_or(0));
        match act {
            Act::Create | Act::CreateMeanwhile => {
                tree.create(&CreateParameters::read_write(&new)).await?.close().await?;
            }
            Act::CreateExclusive => {
                let disposition = CreateDisposition::CREATE;
                let parameters = CreateParameters { disposition, ..CreateParameters::read_write(&new) };
                tree.create(&parameters).await?.close().await?;
            }
            Act::OpenExact => {
                let name = directory.on_the_wire(&existing);
                tree.create(&CreateParameters::open(&name)).await?.close().await?;
            }
            Act::OpenOtherCase => {
                let name = directory.on_the_wire(&existing.to_uppercase());
                tree.create(&CreateParameters::open(&name)).await?.close().await?;
            }
            Act::Miss | Act::Cold => miss(&tree, &new).await?,
            Act::Rename => match &renamed {
                Some(file) => rename(file, &new).await?,
                None => {
                    renamed = Some(tree.create(&CreateParameters::read_write(&new)).await?);
                    continue;
                }
            },
            Act::ListFirst | Act::ListName | Act::ListAll | Act::ListPattern => {
                done += list(&tree, &directory.name, act, entries, &existing).await? - 1.0;
            }
            Act::Delete => {
                let parameters = CreateParameters {
                    access: AccessMask::DELETE,
                    options: CreateOptions::DELETE_ON_CLOSE,
                    ..CreateParameters::open(&new)
                };
                tree.create(&parameters).await?.close().await?;
            }
        }
        done += 1.0;
    }
    if let Some(file) = renamed {
        file.close().await?;
    }
    Ok(done)
}

async fn miss(tree: &ClientTree, name: &str) -> Result<(), Error> {
    match tree.create(&CreateParameters::open(name)).await {
        Err(Error::Status(NtStatus::OBJECT_NAME_NOT_FOUND, _)) => Ok(()),
        Ok(_) => Err(Error::Protocol("a file exists that was never made")),
        Err(error) => Err(error),
    }
}

/// Lists the directory, or its begin, and returns the units: the entries of a whole listing.
async fn list(
    tree: &ClientTree,
    directory: &str,
    act: Act,
    entries: usize,
    name: &str,
) -> Result<f64, Error> {
    const CLASS: FileInfoClass = FileInfoClass::ID_BOTH_DIRECTORY;
    let (pattern, expected) = match act {
        Act::ListName => (name, 1),
        Act::ListPattern => (ONE_IN_A_HUNDRED, entries / 100),
        // With itself and its parent.
        _ => ("*", entries + 2),
    };
    let opened = tree.create(&CreateParameters::directory(directory)).await?;
    let mut listing = opened.list(CLASS, pattern).bytes(LISTING_BYTES);
    let mut listed = 0;
    while let Some(buffer) = listing.next_buffer().await? {
        listed += DirectoryEntries::new(CLASS, &buffer).into_iter().flatten().flatten().count();
        if !act.lists_all() {
            break;
        }
    }
    opened.close().await?;
    let is_right = if act == Act::ListFirst { listed > 0 } else { listed == expected };
    match is_right {
        true if act.lists_all() => Ok(entries as f64),
        true => Ok(1.0),
        false => Err(Error::Protocol("a listing is not whole")),
    }
}

/// Bytes of a listing that are requested at once.
const LISTING_BYTES: u32 = 64 << 10;

/// A pattern that one of a hundred names matches.
const ONE_IN_A_HUNDRED: &str = "*07.txt";

async fn rename(file: &File, to: &str) -> Result<(), Error> {
    let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut buffer = Vec::new();
    RenameInfo { replace_if_exists: false, root_directory: 0, name: Utf16::new(&name)? }.encode(&mut buffer);
    file.set_info(InfoType::FILE, FileInfoClass::RENAME.0, AdditionalInformation::NONE, &buffer).await
}

/// A directory of the tree.
#[derive(Clone)]
struct Directory {
    path: PathBuf,
    name: String,
}

impl Directory {
    /// Makes the directory with its entries, if it does not exist, and the files that the load removes.
    fn prepare(tree: &Path, act: Act, entries: usize) -> std::io::Result<Self> {
        let name = if act == Act::Cold { "big-cold".to_owned() } else { format!("big-{entries}") };
        let path = tree.join(&name);
        if !path.exists() {
            fs::create_dir(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o777))?;
            (0..entries).try_for_each(|index| make(&path.join(leaf(index))))?;
        }
        if act == Act::Delete {
            (0..DELETED_MAX).try_for_each(|index| make(&path.join(format!("{NEW}{index}"))))?;
        }
        Ok(Self { path, name })
    }

    fn on_the_wire(&self, leaf: &str) -> String {
        format!(r"{}\{leaf}", self.name)
    }

    /// Removes all files that the load has made.
    fn clean(&self, act: Act) -> std::io::Result<()> {
        if act == Act::Cold {
            return fs::remove_dir_all(&self.path);
        }
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(NEW) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A thread that changes a directory as another program would; dropping it ends the thread.
struct LocalProgram {
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl LocalProgram {
    fn start(directory: &Path) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, path) = (Arc::clone(&is_over), directory.join(format!("{NEW}local")));
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                if make(&path).and_then(|()| fs::remove_file(&path)).is_err() {
                    return;
                }
                std::thread::sleep(LOCAL_CHANGE_EVERY);
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for LocalProgram {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The beginning of the names that loads make.
const NEW: &str = "a new name ";

fn leaf(index: usize) -> String {
    format!("an existing name {index:07}.txt")
}

fn make(path: &Path) -> std::io::Result<()> {
    LocalFile::create(path)?.set_permissions(Permissions::from_mode(0o666))
}

fn failed(error: std::io::Error) -> Error {
    Error::Io(error)
}
