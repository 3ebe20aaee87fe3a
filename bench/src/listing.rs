//! Commands that list all opens: their time, and the delay of other clients meanwhile.
//!
//! The opens are kept between rounds and cases of this kind, because opening a hundred thousand files takes a while.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, Error, File};
use tempfile::NamedTempFile;
use tokio::process::Command;
use wire::AccessMask;

use crate::cases::Case;
use crate::data;
use crate::load::{logoff, open_on_all};
use crate::measure::{Figure, stopwatch};
use crate::servers::{Protection, Target};

/// Sessions that hold the opens, of several users: a server gives one session, and one user, a part of its descriptors
/// only.
const SESSIONS: usize = 16;

/// The time limit of one list. A longer one is aborted, and its rate is a bound.
const LIST_MAX: Duration = Duration::from_secs(100);

/// The limit of address space for the command, which protects the machine's memory. A command that needs more is
/// aborted.
const LIST_MEMORY_MAX: u64 = 4 << 30;

/// The opens that are listed.
#[derive(Default)]
pub(crate) struct Held {
    trees: Vec<ClientTree>,
    opens: usize,
}

/// Runs the command repeatedly until the time is up, and returns the number of entries that it listed.
pub(crate) async fn measure(
    case: &Case,
    target: &Target,
    time: Duration,
    json: bool,
    opens: usize,
) -> Result<Figure, Error> {
    let opens = opens.min(opens_possible());
    hold(case.protection, target, opens).await?;
    let other = target.tree(case.protection).await?;
    let served = Served::start(&other).await?;
    let watch = stopwatch(target);
    let until = Instant::now() + time;
    let mut entries = 0.0;
    let listed = loop {
        let listed = list(target, json).await?;
        entries += opens as f64;
        if listed.is_none() || Instant::now() >= until {
            break listed;
        }
    };
    let figure = watch.stop(entries).with_longest_wait(served.stop().await?);
    logoff(std::iter::once(other.session())).await?;
    let Some(listed) = listed else { return Ok(figure.given_up()) };
    // This text occurs once for every open: in the JSON of both servers, or as the name in both tables.
    let mark = if json { "\"opened_at\"" } else { data::MANY_STEM };
    let count = std::fs::read(listed.path()).map(|text| String::from_utf8_lossy(&text).matches(mark).count());
    match count {
        Ok(count) if count >= opens => Ok(figure),
        _ => {
            crate::progress(&format!("  {}: {count:?} of {opens} listed", target.name));
            Err(Error::Protocol("the command does not list all opens"))
        }
    }
}

/// Closes the opens.
pub(crate) async fn release(target: &Target) -> Result<(), Error> {
    let held = std::mem::take(&mut *target.held.lock().await);
    logoff(held.trees.iter().map(ClientTree::session)).await
}

/// Has so many files open, in place of those before.
pub(crate) async fn hold(protection: Protection, target: &Target, opens: usize) -> Result<(), Error> {
    if target.held.lock().await.opens == opens {
        return Ok(());
    }
    release(target).await?;
    let started = Instant::now();
    let mut trees = Vec::with_capacity(SESSIONS);
    for number in 0..SESSIONS {
        trees.push(target.tree_in_turn(number, protection).await?);
    }
    open_on_all(&trees, opens).await?;
    crate::progress(&format!("  {}: {opens} opens made in {:.0?}", target.name, started.elapsed()));
    *target.held.lock().await = Held { trees, opens };
    Ok(())
}

/// The most opens for the limit of descriptors, which the servers inherit. Our server gives clients three quarters of
/// it, and the client that reads during the lists needs one.
pub(crate) fn opens_possible() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    limit / 10 * 7
}

/// The output of the command; `None` if it was aborted.
async fn list(target: &Target, json: bool) -> Result<Option<NamedTempFile>, Error> {
    let not_run = |_error| Error::Unable("the command that lists could not be run");
    let listed = NamedTempFile::new().map_err(not_run)?;
    let status = Command::new("prlimit")
        .arg(format!("--as={LIST_MEMORY_MAX}"))
        .args(target.list_command(json))
        .stdin(Stdio::null())
        .stdout(listed.reopen().map_err(not_run)?)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    let Ok(status) = tokio::time::timeout(LIST_MAX, status).await else { return Ok(None) };
    let status = status.map_err(not_run)?;
    if !status.success() {
        crate::progress(&format!("  the command of {} ended with {status}", target.name));
    }
    Ok(status.success().then_some(listed))
}

/// A client that reads all the time.
struct Served {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<Duration, Error>>,
}

impl Served {
    async fn start(tree: &ClientTree) -> Result<Self, Error> {
        let name = data::small_name(0);
        let parameters =
            CreateParameters { access: AccessMask::FILE_GENERIC_READ, ..CreateParameters::open(&name) };
        let file = tree.create(&parameters).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(read_until(file, Arc::clone(&stop)));
        Ok(Self { stop, task })
    }

    /// The longest that a READ took.
    async fn stop(self) -> Result<Duration, Error> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.map_err(|_| Error::Unable("a worker of the load panicked"))?
    }
}

async fn read_until(file: File, stop: Arc<AtomicBool>) -> Result<Duration, Error> {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        file.read(0, data::SMALL_BYTES).await?;
        longest = longest.max(asked.elapsed());
        tokio::time::sleep(READ_EVERY).await;
    }
    file.close().await?;
    Ok(longest)
}

/// Often enough to meet a pause of some milliseconds, seldom enough to leave the processors to the list.
const READ_EVERY: Duration = Duration::from_millis(1);
