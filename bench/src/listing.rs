//! Whole commands: how long an administrator waits for the list of everything that is open, and how long the clients
//! of the server wait meanwhile.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::smb::{CreateParameters, Error, File, Tree};
use tokio::process::Command;
use wire::AccessMask;

use crate::cases::Case;
use crate::data;
use crate::load::{logoff, open_many};
use crate::measure::{Figure, Stopwatch};
use crate::servers::Target;

/// Opens that are held while the command runs, where the limit on descriptors allows as many.
const OPENS_WANTED: usize = 100_000;

/// The same for JSON: `smbstatus --json` takes time and memory by the square of their number, for 15,000 of them minutes
/// and many gigabytes.
const OPENS_WANTED_JSON: usize = 3_000;

/// Sessions that hold them: a server gives one session a part of its descriptors only.
const SESSIONS: usize = 16;

/// Holds the opens, runs the command again and again until the time is up, and tells how many entries it listed.
pub(crate) async fn measure(
    case: &Case,
    target: &Target,
    time: Duration,
    json: bool,
) -> Result<Figure, Error> {
    let mut trees = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        trees.push(target.tree(case.protection).await?);
    }
    let wanted = if json { OPENS_WANTED_JSON } else { OPENS_WANTED };
    let each = (wanted.min(opens_possible()) / SESSIONS).min(data::MANY_FILES);
    let names = |index: usize| (index * each..(index + 1) * each).map(data::many_name);
    let opened: Vec<_> = trees
        .iter()
        .enumerate()
        .map(|(index, tree)| tokio::spawn(open_many(tree.clone(), names(index))))
        .collect();
    for task in opened {
        task.await.map_err(|_| Error::Unable("a worker of the load panicked"))??;
    }
    let opens = each * SESSIONS;
    let other = target.tree(case.protection).await?;
    let served = Served::start(&other).await?;
    let watch = Stopwatch::start(target);
    let until = Instant::now() + time;
    let mut entries = 0.0;
    loop {
        list(target, json, opens).await?;
        entries += opens as f64;
        if Instant::now() >= until {
            break;
        }
    }
    let figure = watch.stop(entries).with_longest_wait(served.stop().await?);
    logoff(trees.iter().chain([&other]).map(Tree::session)).await?;
    Ok(figure)
}

/// The limit on descriptors is the servers' too, which are this process's children; some are needed for the rest.
fn opens_possible() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    limit / 4 * 3
}

async fn list(target: &Target, json: bool, opens: usize) -> Result<(), Error> {
    let [program, arguments @ ..] = target.list_command(json) else {
        return Err(Error::Unable("there is no command"));
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|_| Error::Unable("the command that lists could not be run"))?;
    // Both servers' JSON has this once for every open, and both tables the name.
    let mark = if json { "\"opened_at\"" } else { data::MANY_STEM };
    let listed = String::from_utf8_lossy(&output.stdout).matches(mark).count();
    if output.status.success() && listed >= opens {
        return Ok(());
    }
    crate::progress(&format!("  {listed} of {opens} listed, {}", output.status));
    Err(Error::Protocol("the command does not list all opens"))
}

/// A client that reads all the time.
struct Served {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<Duration, Error>>,
}

impl Served {
    async fn start(tree: &Tree) -> Result<Self, Error> {
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
