//! The memory of sessions and of opens.

use client::smb::{ClientTree, CreateParameters, Error};

use crate::cases::Case;
use crate::continuous::parameters;
use crate::data;
use crate::load::logoff;
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

/// The connections of the opens.
const CONNECTIONS: usize = 4;

/// The opens before the first look at the memory, which tables and pools get room for.
const WARM: usize = 1_000;

/// Measures the difference that opens make, each of a file of its own, with a lease and a durable handle.
pub(crate) async fn measure_opens(case: &Case, target: &Target) -> Result<Figure, Error> {
    let mut trees = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        trees.push(target.tree_in_turn(number, case.protection).await?);
    }
    open_durably(&trees, 0..WARM).await?;
    let before = process::memory(target);
    open_durably(&trees, WARM..data::MANY_FILES).await?;
    let after = process::memory(target);
    logoff(trees.iter().map(ClientTree::session)).await?;
    let opens = (data::MANY_FILES - WARM) as f64;
    Ok(Figure::Memory {
        sessions: data::MANY_FILES - WARM,
        pss_kib: (after.pss - before.pss) / opens,
        rss_kib: (after.rss - before.rss) / opens,
        processes: after.processes,
    })
}

async fn open_durably(trees: &[ClientTree], files: std::ops::Range<usize>) -> Result<(), Error> {
    for (file, tree) in files.zip(trees.iter().cycle()) {
        let opened = tree.create(&parameters(&data::many_name(file), file, 0, false)).await?;
        if opened.created.contexts.durable_v2.is_none() {
            return Err(Error::Protocol("a handle is not durable"));
        }
    }
    Ok(())
}
