//! The cost of persistent handles: open-read-close with the contexts that Windows sends, in a share whose handles
//! outlive the server and in one whose handles do not. Both shares are on the same server, a second one of its kind:
//! with `persistent handles = yes`, Samba is another server than the one of the other cases.

use std::path::Path;
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, Error};
use wire::create_context::{DurableFlags, DurableRequestV2, LeaseContext, LeaseFlags, LeaseV2};
use wire::{Guid, LeaseState};

use crate::cases::Case;
use crate::data;
use crate::load::{FILES_AT_ONCE, logoff, timed};
use crate::measure::Figure;
use crate::options::Options;
use crate::servers::Target;

/// The share with persistent handles.
pub(crate) const SHARE: &str = "continuous";

/// The directories of the share; each server has one, because its log of handles is there.
pub(crate) const OURS: &str = "continuous-ours";
pub(crate) const PEERS: &str = "continuous-peers";

/// Makes the directories of the share below the tree.
pub(crate) fn make(tree: &Path) -> std::io::Result<()> {
    for directory in [OURS, PEERS] {
        let small = tree.join(directory).join("small");
        std::fs::create_dir_all(&small)?;
        data::open_to_all(&tree.join(directory), 0o777)?;
        data::open_to_all(&small, 0o777)?;
        data::small_files(&small)?;
    }
    Ok(())
}

/// Lines of our configuration for a server with both shares.
pub(crate) fn ours(tree: &Path, directory: &str) -> String {
    let path = tree.join(directory);
    format!("\n[[share]]\nname = \"{SHARE}\"\npath = \"{}\"\ncontinuous = true\n", path.display())
}

/// Lines of Samba's configuration for a server with both shares (smb.conf(5), `persistent handles`, of Samba 4.25: the
/// share must not be shared with programs of the server, but there need be no cluster).
pub(crate) fn sambas(tree: &Path) -> String {
    let path = tree.join(PEERS);
    format!(
        "\n[{SHARE}]\npath = {}\nread only = no\ncontinuous availability = yes\nkernel oplocks = no\n\
         kernel share modes = no\nposix locking = no\n",
        path.display()
    )
}

/// The global option of Samba that goes with [`sambas`].
pub(crate) const SAMBA_GLOBAL: &str = "persistent handles = yes\n";

/// Measures the cycles of CREATE, READ and CLOSE.
pub(crate) async fn measure(
    case: &Case,
    target: &Target,
    options: &Options,
    time: Duration,
    persistent: bool,
) -> Result<Figure, Error> {
    let mut workers = Vec::new();
    let mut trees = Vec::new();
    for index in 0..options.connections {
        let tree = match persistent {
            true => target.tree_of(case.protection, SHARE).await?,
            false => target.tree(case.protection).await?,
        };
        let first = |worker| (index * FILES_AT_ONCE + worker) * FILES_APART;
        workers.extend((0..FILES_AT_ONCE).map(|worker| (tree.clone(), first(worker), persistent)));
        trees.push(tree);
    }
    let figure = timed(target, time, workers, cycles).await?;
    logoff(trees.iter().map(ClientTree::session)).await?;
    Ok(figure)
}

/// Files between those with which two workers begin; no two workers have the same file at the same time, whose lease
/// the one would break to the other.
const FILES_APART: usize = 37;

async fn cycles((tree, first, persistent): (ClientTree, usize, bool), until: Instant) -> Result<f64, Error> {
    let mut done = 0.0;
    for number in 0.. {
        if Instant::now() >= until {
            break;
        }
        // A worker stays among its own files.
        let index = first + number % FILES_APART;
        let name = data::small_name(index);
        let file = tree.create(&parameters(&name, index, number, persistent)).await?;
        let granted = file.created.contexts.durable_v2.ok_or(Error::Protocol("a handle is not durable"))?;
        if persistent != (granted.flags & DurableFlags::PERSISTENT.0 != 0) {
            return Err(Error::Protocol("a handle is not of the kind that was requested"));
        }
        if file.read(0, data::SMALL_BYTES).await?.len() != data::SMALL_BYTES as usize {
            return Err(Error::Protocol("a small file is not whole"));
        }
        file.close().await?;
        done += 1.0;
    }
    Ok(done)
}

/// An open as Windows requests it: with a lease for the file and a durable handle.
pub(crate) fn parameters(name: &str, file: usize, number: usize, persistent: bool) -> CreateParameters<'_> {
    let mut parameters = CreateParameters::open(name);
    parameters.contexts.lease = Some(LeaseContext {
        key: identifier(1, file, 0),
        state: LeaseState::READ | LeaseState::HANDLE | LeaseState::WRITE,
        flags: LeaseFlags::NONE,
        v2: Some(LeaseV2::default()),
    });
    let flags = if persistent { DurableFlags::PERSISTENT.0 } else { 0 };
    let create_guid = identifier(2, file, number);
    parameters.contexts.durable_request_v2 = Some(DurableRequestV2 { timeout_ms: 0, flags, create_guid });
    parameters
}

/// A GUID for a purpose, a file and a number.
fn identifier(purpose: u8, file: usize, number: usize) -> Guid {
    let mut bytes = [purpose; 16];
    if let Some(place) = bytes.first_chunk_mut() {
        *place = u32::try_from(file).unwrap_or(u32::MAX).to_le_bytes();
    }
    if let Some(place) = bytes.last_chunk_mut() {
        *place = (number as u64).to_le_bytes();
    }
    Guid(bytes)
}
