//! The waits of a quiet client: a READ of 4 KiB every few milliseconds, among thousands of connections of which each is
//! active now and then, while something else keeps the server busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, Error, File, InFlight, read_part};
use testkit::Operation;
use wire::AccessMask;
use wire::msg::{CompletionFilter, WatchFlags};

use crate::cases::{Case, Load};
use crate::data;
use crate::load::{self, logoff};
use crate::measure::Figure;
use crate::options::Options;
use crate::servers::Target;

/// The other work of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// The connections alone.
    None,
    /// One client reads 64 KiB at a time on four connections, 32 under way on each.
    Saturated,
    /// An administrator lists 10,000 opens again and again.
    Listed,
    /// A client waits for READs of a file system that does not answer.
    Stuck,
    /// A client watches a directory in which others create files.
    Watched,
}

/// The connections of which each is active now and then. They are kept between cases.
pub(crate) type Crowd = Vec<ClientTree>;

/// The pause between two READs of the quiet client, and between two clients of the crowd.
const PACE: Duration = Duration::from_millis(2);

/// READs of the file system that does not answer, on one connection.
const STUCK_READS: usize = 64;

/// The time in which the disturbance begins.
const SETTLE: Duration = Duration::from_millis(300);

/// Measures the waits for `time`.
pub(crate) async fn measure(
    case: &Case,
    target: &Target,
    options: &Options,
    time: Duration,
    disturbance: Disturbance,
) -> Result<Figure, Error> {
    gather(case, target, options).await?;
    let until = Instant::now() + SETTLE + time;
    let crowd = tokio::spawn(wander(Arc::clone(&target.crowd), until));
    let disturbing = tokio::spawn(disturb(*case, target.clone(), options.clone(), disturbance, until));
    tokio::time::sleep(SETTLE).await;
    // A thread of its own: what is measured are the waits for the server and not for the load generator.
    let (target, protection) = (target.clone(), case.protection);
    let quiet = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|_| Error::Unable("no runtime for the quiet client"))?;
        runtime.block_on(async { read_quietly(&target.tree(protection).await?, until).await })
    });
    let joined = tokio::task::spawn_blocking(move || quiet.join()).await;
    let waits = joined.ok().and_then(Result::ok).ok_or(Error::Unable("the quiet client panicked"))??;
    for task in [crowd, disturbing] {
        task.await.map_err(|_| Error::Unable("a worker of the load panicked"))??;
    }
    Ok(figure(waits))
}

/// Connects as many clients as are missing.
async fn gather(case: &Case, target: &Target, options: &Options) -> Result<(), Error> {
    let clients = options.clients();
    let mut crowd = target.crowd.lock().await;
    let started = Instant::now();
    let missing = clients.saturating_sub(crowd.len());
    for number in 0..missing {
        crowd.push(target.tree_in_turn(number, case.protection).await?);
    }
    if missing > 0 {
        if clients < options.clients {
            crate::progress(&format!(
                "  the limit of descriptors allows {clients} of {} clients; with --vm it can be raised",
                options.clients
            ));
        }
        crate::progress(&format!(
            "  {}: {clients} clients connected in {:.0?}",
            target.name,
            started.elapsed()
        ));
    }
    Ok(())
}

/// Ends the connections of the crowd.
pub(crate) async fn release(target: &Target) -> Result<(), Error> {
    let crowd = std::mem::take(&mut *target.crowd.lock().await);
    logoff(crowd.iter().map(ClientTree::session)).await
}

async fn open(tree: &ClientTree, name: &str) -> Result<File, Error> {
    let access = AccessMask::FILE_GENERIC_READ;
    tree.create(&CreateParameters { access, ..CreateParameters::open(name) }).await
}

/// Lets one client of the crowd after the other open, read and close a file, in an order that no pattern connects.
async fn wander(crowd: Arc<tokio::sync::Mutex<Crowd>>, until: Instant) -> Result<(), Error> {
    let crowd = crowd.lock().await;
    let mut next = 0_usize;
    while Instant::now() < until {
        next = next.wrapping_mul(5).wrapping_add(7_919) % crowd.len().max(1);
        if let Some(tree) = crowd.get(next) {
            let file = open(tree, &data::small_name(next)).await?;
            file.read(0, data::SMALL_BYTES).await?;
            file.close().await?;
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

async fn read_quietly(tree: &ClientTree, until: Instant) -> Result<Vec<Duration>, Error> {
    let file = open(tree, &data::small_name(0)).await?;
    let mut waits = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        file.read(0, data::SMALL_BYTES).await?;
        waits.push(asked.elapsed());
        tokio::time::sleep(PACE).await;
    }
    file.close().await?;
    tree.session().logoff().await?;
    Ok(waits)
}

async fn disturb(
    case: Case,
    target: Target,
    options: Options,
    disturbance: Disturbance,
    until: Instant,
) -> Result<(), Error> {
    let left = until.saturating_duration_since(Instant::now());
    let with = |load| Case { load, ..case };
    match disturbance {
        Disturbance::None => {}
        Disturbance::Saturated => {
            let reads = with(Load::Read { size: 64 << 10, depth: 32 });
            Box::pin(load::run(&reads, &target, &options, left)).await?;
        }
        Disturbance::Listed => {
            Box::pin(load::run(&with(Load::FileEnum), &target, &options, left)).await?;
        }
        Disturbance::Stuck => stuck(&case, &target, until).await?,
        Disturbance::Watched => {
            let tree = target.tree(case.protection).await?;
            let stop = Arc::new(AtomicBool::new(false));
            let watching = tokio::spawn(watch(tree, Arc::clone(&stop)));
            Box::pin(load::run(&with(Load::CreateWriteClose), &target, &options, left)).await?;
            stop.store(true, Ordering::Relaxed);
            watching.await.map_err(|_| Error::Unable("a worker of the load panicked"))??;
        }
    }
    Ok(())
}

/// Sends READs that are not answered until the time is up.
async fn stuck(case: &Case, target: &Target, until: Instant) -> Result<(), Error> {
    let Some(disk) = target.stuck.clone() else {
        return Err(Error::Unable("no file system that hangs is mounted"));
    };
    let tree = target.tree(case.protection).await?;
    let file = open(&tree, data::STUCK_NAME).await?;
    disk.hang(&[Operation::Read]);
    let mut under_way = Vec::new();
    for number in 0..STUCK_READS {
        let part = read_part(file.id(), number as u64 * 4096, 4096);
        under_way.push(tree.connection().submit(tree.scope(), part).await?);
    }
    tokio::time::sleep_until(until.into()).await;
    disk.release();
    for request in under_way {
        request.response().await?.success()?;
    }
    tree.session().logoff().await
}

/// Watches the directory of new files, one CHANGE_NOTIFY after the other, until `stop`.
async fn watch(tree: ClientTree, stop: Arc<AtomicBool>) -> Result<(), Error> {
    const ANSWER_BYTES: u32 = 64 << 10;
    let directory = tree.create(&CreateParameters::directory("new")).await?;
    let next = async || -> Result<InFlight, Error> {
        directory.submit_notify(CompletionFilter::FILE_NAME, WatchFlags::NONE, ANSWER_BYTES).await
    };
    while !stop.load(Ordering::Relaxed) {
        // After the last change nothing answers any more.
        if let Ok(answer) = tokio::time::timeout(SETTLE, next().await?.response()).await {
            answer?;
        }
    }
    tree.session().logoff().await
}

fn figure(mut waits: Vec<Duration>) -> Figure {
    waits.sort_unstable();
    let at = |part: f64| {
        let index = (waits.len() as f64 * part) as usize;
        let wait = waits.get(index.min(waits.len().saturating_sub(1))).copied().unwrap_or_default();
        wait.as_secs_f64() * 1e3
    };
    Figure::Waits { reads: waits.len(), p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_waits() {
        let waits = (1..=1000).rev().map(Duration::from_millis).collect();
        let Figure::Waits { reads, p50_ms, p99_ms, p999_ms } = figure(waits) else { panic!("no waits") };
        assert_eq!((reads, p50_ms, p99_ms, p999_ms), (1000, 501.0, 991.0, 1000.0));
    }
}
