//! The bins of shares with `[share.recycle]`: deleted files are moved there, and removed after a while.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth::IdentityKind;
use vfs::{Backend, Bin, RelativePath};

use crate::core::config::RecycleSettings;
use crate::core::open::{Open, OpenFile};
use crate::core::path_variables::component;
use crate::core::server::Server;
use crate::core::session::User;

/// Moves a deleted file to its user's bin, with the same errors as a removal. Returns false if the file is to be removed:
/// the share has no bin, or does not keep this file.
pub(crate) fn recycle(
    open: &Open,
    file: &OpenFile,
    path: &RelativePath,
    backend: &dyn Backend,
) -> vfs::Result<bool> {
    let settings = &open.tree().share.settings;
    let Some(recycle) = &settings.files.recycle else { return Ok(false) };
    if file.is_stream || file.is_directory || !is_kept(recycle, file, path) {
        return Ok(false);
    }
    let Some(bin) = open.session().user().and_then(|user| bin(recycle, &user)) else { return Ok(false) };
    match backend.recycle(open.actor(), path, &*file.handle, &bin) {
        Ok(()) => Ok(true),
        Err(error @ (vfs::Error::NotFound | vfs::Error::PathNotFound | vfs::Error::Replaced)) => Err(error),
        Err(error) => {
            tracing::warn!(share = settings.name, %error, "a deleted file cannot be moved to the recycle bin and is removed");
            Ok(false)
        }
    }
}

/// True if the bin takes the file. Files that are in the bin are removed.
fn is_kept(recycle: &RecycleSettings, file: &OpenFile, path: &RelativePath) -> bool {
    let name = path.name().unwrap_or_default();
    let mut components = path.components();
    let is_in_bin = recycle
        .directory
        .components()
        .all(|of_bin| components.next().is_some_and(|own| wire::eq_ignore_case(own, of_bin)));
    !is_in_bin
        && !recycle.exclude.iter().any(|pattern| pattern.matches(name))
        && recycle.max_file_size.is_none_or(|most| file.handle.size().is_ok_and(|size| size <= most))
}

/// The bin of a user.
fn bin(recycle: &RecycleSettings, user: &User) -> Option<Bin> {
    let name = match user.kind {
        IdentityKind::User => component(&user.name)?,
        IdentityKind::Guest | IdentityKind::Anonymous => String::from(GUESTS),
    };
    let directory = recycle.directory.join(&name).ok()?;
    Some(Bin { directory, keeps_tree: recycle.keep_tree, keeps_versions: recycle.versions })
}

/// Removes old files in the bins of all shares, for as long as the server runs.
pub(crate) async fn expire(server: Arc<Server>) {
    loop {
        tokio::time::sleep(EXPIRY_INTERVAL).await;
        for share in server.shares() {
            let Some(recycle) = &share.settings.files.recycle else { continue };
            let Some(days) = recycle.max_age_days else { continue };
            let Some(limit) = SystemTime::now().checked_sub(DAY.saturating_mul(days)) else { continue };
            let Some(directory) = share.directory() else { continue };
            let Some(files) = directory.connect().await else { continue };
            let bin = recycle.directory.clone();
            let work = move || files.backend().map(|backend| backend.expire_bin(&bin, limit));
            let bulkhead = Some(Arc::clone(&share.bulkhead));
            let name = &share.settings.name;
            match crate::core::blocking::run_behind(bulkhead, work).await {
                Ok(Some(Ok(0) | Err(vfs::Error::NotFound)) | None) => {}
                Ok(Some(Ok(files))) => {
                    tracing::info!(share = name, files, "old files removed from the recycle bin")
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!(share = name, %error, "cannot remove old files from the recycle bin")
                }
                Err(status) => {
                    tracing::warn!(share = name, %status, "cannot look for old files in the recycle bin")
                }
            }
        }
    }
}

/// The directory of guests and anonymous callers, who are one Unix user.
const GUESTS: &str = "guests";

/// The interval at which the bins are searched for old files. Their age is in days.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(24 * 3600);
