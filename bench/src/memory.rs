//! The memory of sessions.

use client::smb::{CreateParameters, Error};

use crate::cases::Case;
use crate::data;
use crate::measure::Figure;
use crate::process;
use crate::servers::Target;

/// The number of added sessions, each with a connection, a tree connect and an open.
const SESSIONS: usize = 100;

/// Measures the difference that the sessions make.
pub(crate) async fn measure(case: &Case, target: &Target) -> Result<Figure, Error> {
    // One session exists during the whole measurement, so that the memory which the first session allocates for all
    // is not counted.
    let first = target.tree(case.protection).await?;
    let before = process::memory(target);
    let mut trees = Vec::with_capacity(SESSIONS);
    for index in 0..SESSIONS {
        let tree = target.tree(case.protection).await?;
        tree.create(&CreateParameters::open(&data::small_name(index))).await?;
        trees.push(tree);
    }
    let after = process::memory(target);
    for tree in trees.iter().chain([&first]) {
        tree.session().logoff().await?;
    }
    let sessions = SESSIONS as f64;
    Ok(Figure::Memory {
        sessions: SESSIONS,
        pss_kib: (after.pss - before.pss) / sessions,
        rss_kib: (after.rss - before.rss) / sessions,
        processes: after.processes,
    })
}
