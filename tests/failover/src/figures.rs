//! The times of failovers and planned moves, as a client sees them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::client::{Answer, Open};
use crate::limits::{AGAIN, BACK_MAX, COMMAND_MAX};
use crate::report::Times;
use crate::world::{CLIENTS, NODES, SHARES, World};

/// The measured times.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// From the death of the owner to the next acknowledged WRITE.
    killed: Vec<Duration>,
    /// Between the last acknowledged WRITE on the former owner and the first one on the next.
    moved: Vec<Duration>,
    findings: Vec<String>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "FOUND {finding}")?;
        }
        writeln!(f, "owner killed until a client writes again: {}", Times(&self.killed))?;
        write!(f, "pause of a client in a planned move: {}", Times(&self.moved))
    }
}

/// Measures failovers and planned moves, one after the other, with a client that writes all the time. It needs what
/// [`crate::lacks`] names.
pub fn figures(runs: usize) -> Figures {
    let world = Arc::new(World::start(false));
    let writes = Writes::start(&world);
    let mut figures = Figures::default();
    for run in 0..runs {
        writes.wait(&world, world.now());
        if let Some(owner) = world.owner(SHARES[0]) {
            let killed = world.now();
            world.kill(owner);
            figures.killed.extend(writes.wait(&world, world.now()).map(|it| it.saturating_sub(killed)));
            world.start_again(owner);
        }
        world.wait_for_nodes();
        // The policy may give a share back to the node that was killed, so the owner is looked up again.
        let Some(owner) = world.owner(SHARES[0]) else { continue };
        let target = (owner + 1) % NODES.len();
        writes.wait(&world, world.now());
        writes.longest.lock().take();
        let asked = Instant::now();
        world.command(target, &["cluster", "move", SHARES[0], NODES[target]]);
        while world.owner(SHARES[0]) != Some(target) && asked.elapsed() < BACK_MAX {
            thread::sleep(AGAIN);
        }
        writes.wait(&world, world.now());
        figures.moved.extend(writes.longest.lock().take());
        eprintln!("run {run}: {:?} {:?}", figures.killed.last(), figures.moved.last());
    }
    world.end();
    figures.findings = world.findings();
    if !figures.findings.is_empty() {
        eprintln!("{}", world.logs());
    }
    figures
}

/// The WRITEs of a client, one after the other.
struct Writes {
    /// The time of the last acknowledged one.
    last: Arc<Mutex<Duration>>,
    /// The longest pause between two of them.
    longest: Arc<Mutex<Option<Duration>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writes {
    fn start(world: &Arc<World>) -> Self {
        let mut writes =
            Self { last: Arc::default(), longest: Arc::default(), over: Arc::default(), thread: None };
        let (last, longest, over) =
            (Arc::clone(&writes.last), Arc::clone(&writes.longest), Arc::clone(&writes.over));
        let world = Arc::clone(world);
        let thread = thread::spawn(move || {
            world.network.enter(CLIENTS);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let mut open = Open::new(&world, 0, SHARES[0], "written");
                while !over.load(Ordering::Relaxed) {
                    let file = open.file().await;
                    let answer = file.write(0, vec![1; 8]).await;
                    if let Answer::Done(_) = open.judge("WRITE", answer) {
                        let (now, mut last) = (world.now(), last.lock());
                        let pause = now.saturating_sub(*last);
                        let mut longest = longest.lock();
                        *longest = Some(longest.map_or(pause, |it| it.max(pause)));
                        *last = now;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        });
        writes.thread = Some(thread);
        writes
    }

    /// Waits for an acknowledged WRITE after this time. `None` if there is none within the bound, which is a finding.
    fn wait(&self, world: &World, since: Duration) -> Option<Duration> {
        while world.now().saturating_sub(since) < BACK_MAX {
            let last = *self.last.lock();
            if last > since {
                return Some(last);
            }
            thread::sleep(Duration::from_millis(1));
        }
        world.finding(format!("nobody serves the share: {}", world.command(0, &["cluster", "status"])));
        None
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // The world goes with its last user.
        end_of(self.thread.take());
    }
}

/// Waits for the end of a thread, for a limited time.
pub(crate) fn end_of(thread: Option<JoinHandle<()>>) {
    let begun = Instant::now();
    while thread.as_ref().is_some_and(|it| !it.is_finished()) && begun.elapsed() < COMMAND_MAX {
        thread::sleep(AGAIN);
    }
}
