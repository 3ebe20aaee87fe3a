//! The sandbox of a server: the directories that it needs, by its settings.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use auth::UserDb;
use sandbox::{Places, Reach, Report};

use crate::core::config::{NoticeTarget, Settings};
use crate::core::identity::home_of;
use crate::core::notices::shown;
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
    if settings.shares.iter().any(|share| share.path.to_string_lossy().starts_with("%H")) {
        change.extend(homes_elsewhere(settings));
    }
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
    if let Some(cluster) = &settings.cluster {
        change.extend(cluster.paths.iter().cloned());
        connect.extend(cluster.etcd.endpoints.iter().map(|it| it.port));
        let tls = &cluster.etcd.tls;
        let files = tls.ca_file.iter().chain(tls.client.iter().flat_map(|(one, other)| [one, other]));
        let password = cluster.etcd.login.iter().map(|it| &it.password_file);
        read.extend(files.chain(password).filter_map(|it| directory(it)));
    }
    for notice in &settings.notices {
        // Commands run in a process of their own, which is started before.
        if let NoticeTarget::Webhook { url, secret_file, ca_file } = &notice.target {
            read.extend([secret_file, ca_file].into_iter().filter_map(|it| directory(it)));
            connect.push(port_of(url));
        }
    }
    Places { read, change, connect }
}

/// The port of a webhook.
fn port_of(url: &hyper::Uri) -> u16 {
    url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 })
}

/// The first webhook of the settings to whose port the sandbox does not let the server connect: its URL without the path,
/// and the port.
pub(crate) fn webhook_out_of_reach(settings: &Settings, reach: &Reach) -> Option<(String, u16)> {
    settings.notices.iter().find_map(|notice| match &notice.target {
        NoticeTarget::Webhook { url, .. } if !reach.has_port(port_of(url)) => {
            Some((shown(&notice.target), port_of(url)))
        }
        NoticeTarget::Webhook { .. } | NoticeTarget::Command(_) => None,
    })
}

/// The home directories of the accounts that are not in the usual place. Those of accounts that are added later can be
/// reached after a restart.
fn homes_elsewhere(settings: &Settings) -> Vec<PathBuf> {
    let Ok((accounts, _)) = UserDb::load(&settings.users_file) else { return Vec::new() };
    let homes = accounts.users().filter_map(|user| home_of(&user.name));
    homes.filter(|home| home.is_absolute() && home.parent().is_some() && !home.starts_with("/home")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::ShareSettings;

    #[test]
    fn homes_of_accounts_outside_of_home_are_reached_if_a_share_needs_them() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::conventional(false, |_| None);
        settings.users_file = directory.path().join("users");
        let mut accounts = UserDb::default();
        // The home directory of root is /root everywhere.
        accounts.add("root", 0, "password", auth::users::now()).unwrap();
        accounts.save(&settings.users_file).unwrap();
        let has_root = |settings: &Settings| places(settings).change.contains(&PathBuf::from("/root"));
        settings.shares = vec![ShareSettings::new(String::from("data"), PathBuf::from("/srv/%U"))];
        assert!(!has_root(&settings));
        settings.shares = vec![ShareSettings::new(String::from("homes"), PathBuf::from("%H/files"))];
        assert!(has_root(&settings));
    }
}
