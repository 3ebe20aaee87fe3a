//! The sandbox of a server: the directories that it needs, by its settings.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use sandbox::{Places, Report};

use crate::core::config::{NoticeTarget, Settings};
use crate::core::path_variables::constant_part;

/// Puts the restrictions of the settings on the process, which must not have started a thread yet, and logs those that
/// the machine does not have.
pub fn enter(settings: &Settings) -> Report {
    // A rule for a directory needs the directory; the server creates this one when it first writes to it.
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(&settings.state_directory) {
        tracing::warn!(%error, path = %settings.state_directory.display(), "cannot create the state directory");
    }
    let report = sandbox::enter(settings.sandbox, &places(settings));
    for shortcoming in report.shortcomings() {
        tracing::warn!("sandbox: {shortcoming}");
    }
    report
}

/// Tries the restrictions of the settings and reports the result; the process stays as it is.
pub fn trial(settings: &Settings) -> Report {
    sandbox::trial(settings.sandbox, &places(settings))
}

/// The directories that a server with these settings uses, besides those of the system.
fn places(settings: &Settings) -> Places {
    let directory = |path: &Path| path.parent().map(Path::to_path_buf);
    let mut change: Vec<_> = settings.shares.iter().map(|share| constant_part(&share.path)).collect();
    change.push(settings.state_directory.clone());
    // These files are replaced by new ones, which are made beside them.
    change.extend(directory(&settings.users_file));
    change.extend(settings.control_socket.as_deref().and_then(directory));
    if let Some(source) = &settings.source {
        change.push(source.base());
        // If the path is a symbolic link, its target is replaced.
        change.extend(std::fs::canonicalize(&source.path).ok().as_deref().and_then(directory));
    }
    let keytab = settings.domain.as_ref().and_then(|domain| directory(&domain.keytab));
    let mut read: Vec<_> = keytab.into_iter().collect();
    // These are read again when they are renewed, usually by files that are moved into the place of the old ones.
    let certificate = settings.console.certificate.iter().flat_map(|it| [&it.certificate, &it.key]);
    read.extend(certificate.chain(&settings.metrics.token_file).filter_map(|path| directory(path)));
    let mut connect = Vec::new();
    for notice in &settings.notices {
        // Commands run in a process of their own, which is started before.
        if let NoticeTarget::Webhook { url, secret_file, ca_file } = &notice.target {
            read.extend([secret_file, ca_file].into_iter().filter_map(|it| directory(it)));
            let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
            connect.push(url.port_u16().unwrap_or(usual));
        }
    }
    Places { read, change, connect }
}
