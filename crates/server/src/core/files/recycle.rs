//! The bins of shares with `[share.recycle]`: deleted files are moved there, and removed after a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth::IdentityKind;
use parking_lot::Mutex;
use registry::FileKey;
use tokio::sync::Notify;
use tokio::time::Instant;
use vfs::{Backend, Bin, BinLimits, RelativePath, Trimmed};
use wire::ShareName;

use crate::core::config::RecycleSettings;
use crate::core::open::{Open, OpenFile};
use crate::core::path_variables::of_user;
use crate::core::server::Server;
use crate::core::session::User;
use crate::core::tree::Share;

/// Moves a deleted file to its user's bin, with the same errors as a removal. Returns false if the file is to be removed:
/// the share has no bin, or does not keep this file.
pub(crate) fn recycle(
    bins: &Bins,
    open: &Open,
    file: &OpenFile,
    path: &RelativePath,
    backend: &dyn Backend,
) -> vfs::Result<bool> {
    let settings = &open.tree().share.settings;
    let Some(recycle) = &settings.files.recycle else { return Ok(false) };
    if file.is_stream || file.is_directory {
        return Ok(false);
    }
    // A file whose size is not known is kept only if all sizes are.
    let size = file.handle.size().unwrap_or(u64::MAX);
    if !is_kept(recycle, path, size) {
        return Ok(false);
    }
    let Some(bin) = open.session().user().and_then(|user| bin(recycle, &user)) else { return Ok(false) };
    match backend.recycle(open.actor(), path, &*file.handle, &bin) {
        Ok(()) => {
            bins.grow(open, size);
            Ok(true)
        }
        Err(error @ (vfs::Error::NotFound | vfs::Error::PathNotFound | vfs::Error::Replaced)) => Err(error),
        Err(error) => {
            tracing::warn!(share = settings.name, %error, "a deleted file cannot be moved to the recycle bin and is removed");
            Ok(false)
        }
    }
}

/// True if the bin takes the file. Files that are in the bin are removed.
fn is_kept(recycle: &RecycleSettings, path: &RelativePath, size: u64) -> bool {
    let name = path.name().unwrap_or_default();
    let mut components = path.components();
    let is_in_bin = recycle
        .directory
        .components()
        .all(|of_bin| components.next().is_some_and(|own| wire::eq_ignore_case(own, of_bin)));
    !is_in_bin
        && !recycle.exclude.iter().any(|pattern| pattern.matches(name))
        && recycle.max_file_size.is_none_or(|most| size <= most)
        && recycle.max_total.is_none_or(|most| size <= most)
}

/// The bin of a user.
fn bin(recycle: &RecycleSettings, user: &User) -> Option<Bin> {
    let name = match user.kind {
        IdentityKind::User => of_user(&user.name)?,
        IdentityKind::Guest | IdentityKind::Anonymous => String::from(GUESTS),
    };
    let directory = recycle.directory.join(&name).ok()?;
    Some(Bin { directory, keeps_tree: recycle.keep_tree, keeps_versions: recycle.versions })
}

/// A rename that keeps the file that it replaces.
pub(crate) fn bin_of_replaced(open: &Open, replaced: &vfs::Opened, path: &RelativePath) -> Option<Bin> {
    let recycle = open.tree().share.settings.files.recycle.as_ref().filter(|recycle| recycle.overwritten)?;
    if replaced.stat.kind != vfs::Kind::File || !is_kept(recycle, path, replaced.stat.size) {
        return None;
    }
    let user = open.session().user()?;
    bin(recycle, &user)
}

/// Records the result for a file that a rename has replaced.
pub(crate) fn kept_replaced(bins: &Bins, open: &Open, size: u64, result: vfs::Result<()>) {
    match result {
        Ok(()) => bins.grow(open, size),
        Err(error) => {
            let share = &open.tree().share.settings.name;
            tracing::warn!(share, %error, "a replaced file cannot be moved to the recycle bin and is removed");
        }
    }
}

/// The sizes of bins with a limit.
#[derive(Default)]
pub(crate) struct Bins {
    /// The bytes of the bin of a share in one of its directories; `None` if they have not been measured. It has an entry for
    /// each bin that has taken a file since the last search of all bins.
    sizes: Mutex<HashMap<(ShareName, FileKey), Option<u64>>>,
    /// Reports that a bin is too large or has to be measured.
    full: Notify,
}

impl Bins {
    /// Counts a file that the bin of an open's share has taken.
    fn grow(&self, open: &Open, bytes: u64) {
        let settings = &open.tree().share.settings;
        let Some(most) = settings.files.recycle.as_ref().and_then(|recycle| recycle.max_total) else {
            return;
        };
        let key = (ShareName::new(&settings.name), open.tree().root());
        let mut sizes = self.sizes.lock();
        let size = sizes.entry(key).or_default();
        *size = size.map(|size| size.saturating_add(bytes));
        if size.is_none_or(|size| size > most) {
            self.full.notify_one();
        }
    }

    /// True if a bin has to be searched before the next search of all bins.
    fn is_full(&self, share: &ShareName, root: FileKey, most: u64) -> bool {
        let sizes = self.sizes.lock();
        sizes.get(&(share.clone(), root)).is_some_and(|size| size.is_none_or(|size| size > most))
    }

    /// True if a bin of the share may have to be searched.
    fn is_any_full(&self, share: &ShareName, most: u64) -> bool {
        let sizes = self.sizes.lock();
        sizes.iter().any(|((of, _), size)| of == share && size.is_none_or(|size| size > most))
    }

    /// Begins a measurement: files that the bin takes meanwhile may be counted twice, but not left out.
    fn begin(&self, share: &ShareName, root: FileKey) {
        self.sizes.lock().insert((share.clone(), root), Some(0));
    }

    /// Adds the size that was measured since [`Self::begin`].
    fn measured(&self, share: &ShareName, root: FileKey, bytes: Option<u64>) {
        if let Some(size) = self.sizes.lock().get_mut(&(share.clone(), root)) {
            *size = size.zip(bytes).map(|(since, bytes)| since.saturating_add(bytes));
        }
    }
}

/// Removes files of the bins that are too old or too many, for as long as the server runs.
pub(crate) async fn trim(server: Arc<Server>) {
    let mut next = Instant::now() + INTERVAL;
    loop {
        let full = server.files.bins.full.notified();
        let is_due = tokio::time::timeout_at(next, full).await.is_err();
        if is_due {
            next = Instant::now() + INTERVAL;
            // Bins that are no longer used are forgotten.
            server.files.bins.sizes.lock().clear();
        }
        for share in server.shares() {
            trim_share(&server, &share, is_due).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes files from the bins of a share; if the search is not due, only from those that are too large.
async fn trim_share(server: &Server, share: &Share, is_due: bool) {
    let Some(recycle) = &share.settings.files.recycle else { return };
    let Some(directory) = share.directory() else { return };
    let (bins, name) = (&server.files.bins, ShareName::new(&share.settings.name));
    let is_full = || recycle.max_total.is_some_and(|most| bins.is_any_full(&name, most));
    if (recycle.max_age_days.is_none() && recycle.max_total.is_none()) || (!is_due && !is_full()) {
        return;
    }
    let days = recycle.max_age_days.filter(|_| is_due);
    let since = days.and_then(|days| SystemTime::now().checked_sub(DAY.saturating_mul(days)));
    let limits = BinLimits { since, bytes: recycle.max_total.map(|most| (most, most - most / PART_REMOVED)) };
    for files in directory.places().await {
        let root = files.root();
        if !is_due && !recycle.max_total.is_some_and(|most| bins.is_full(&name, root, most)) {
            continue;
        }
        bins.begin(&name, root);
        let bin = recycle.directory.clone();
        let work = move || files.backend().map(|backend| backend.trim_bin(&bin, &limits));
        let trimmed = crate::core::blocking::run_behind(Some(Arc::clone(&share.bulkhead)), work).await;
        let share = &share.settings.name;
        match &trimmed {
            Ok(Some(Ok(Trimmed { files: 0, .. }) | Err(vfs::Error::NotFound)) | None) => {}
            Ok(Some(Ok(Trimmed { files, .. }))) => {
                tracing::info!(share, files, "files removed from the recycle bin, which is limited");
            }
            Ok(Some(Err(error))) => {
                tracing::warn!(share, %error, "cannot remove old files from the recycle bin");
            }
            Err(status) => tracing::warn!(share, %status, "cannot look for old files in the recycle bin"),
        }
        let left = match trimmed {
            Ok(Some(Ok(trimmed))) => Some(trimmed.bytes_left),
            Ok(Some(Err(_)) | None) | Err(_) => None,
        };
        bins.measured(&name, root, left);
    }
}

/// The directory of guests and anonymous callers, who are one Unix user.
const GUESTS: &str = "guests";

/// The interval at which the bins are searched for old files. Their age is in days.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The pause after a search: clients that delete many files do not keep the server searching.
const PAUSE: Duration = Duration::from_secs(1);

/// The part of a limit, as a fraction, that is freed at once when a bin is too large.
const PART_REMOVED: u64 = 8;

const DAY: Duration = Duration::from_secs(24 * 3600);
