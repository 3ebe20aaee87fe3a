//! The opens of a file or below a directory, from lists of open files.

use std::time::Duration;

use control::{FileQuery, OpenFile, ShareKind, Who, WhoQuery, limits, number};
use tokio::time::{Instant, sleep};
use wire::names::path_below;

use super::call::Rpc;
use super::{SrvsClient, unsupported};
use crate::Error;
use crate::limits::LOOK_AGAIN;

/// The path of a query: a share and the path below it, or a path on the server's disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueriedPath {
    /// A path below a share.
    Below {
        /// The share.
        share: String,
        /// The path below it.
        path: String,
    },
    /// A path on the server's disk, with backslashes.
    OnDisk(String),
}

impl<R: Rpc> SrvsClient<R> {
    /// The opens. Servers do not report refusals over MS-SRVS.
    pub(super) async fn holders(&self, query: &WhoQuery) -> Result<Who, Error> {
        let queried = QueriedPath::of(query);
        self.resolve(&queried, &query.path).await?;
        let wait = Duration::from_secs(query.wait.unwrap_or(0).min(limits::WAIT_MAX).into());
        let deadline = Instant::now() + wait;
        loop {
            let mut holders = self.file_list(&FileQuery::default()).await?;
            let is_partial = holders.iter().any(|file| !queried.is_comparable(file));
            holders.retain(|file| queried.has(file));
            if holders.is_empty() && is_partial {
                let what = "this server does not report the share of every open: \
                            it is unknown if anybody has it open";
                return Err(unsupported(what.into()));
            }
            if holders.is_empty() || Instant::now() + LOOK_AGAIN > deadline {
                let (share, path) = match queried {
                    QueriedPath::Below { share, path } => (Some(share), path),
                    QueriedPath::OnDisk(path) => (None, path),
                };
                return Ok(Who { share, path, holders, ..Who::default() });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl<R: Rpc> SrvsClient<R> {
    /// Refuses a path that is in no share of the server, as far as that can be known: nobody can have it open.
    async fn resolve(&self, queried: &QueriedPath, asked: &str) -> Result<(), Error> {
        match queried {
            QueriedPath::Below { share, .. } => match self.share_of_name(share).await {
                Err(error) if error.number() == number::NET_NAME_NOT_FOUND => {
                    let told = control::Error::new(error.number(), error.to_string());
                    Err(told.with_hint(self.names_of_shares().await).into())
                }
                // A caller without rights to the share gets access denied from the list of its opens.
                _ => Ok(()),
            },
            QueriedPath::OnDisk(path) if !path.starts_with('\\') && !has_drive(path) => {
                let why = format!(
                    "{asked} does not name a share; use --share NAME or //server/share/path; {}",
                    self.names_of_shares().await
                );
                Err(invalid(why))
            }
            QueriedPath::OnDisk(path) => {
                let shares = self.plain_share_list().await?;
                let mut places = shares.iter().filter_map(|share| share.path.as_deref()).peekable();
                if places.peek().is_none() {
                    // Only administrators see the directories of shares.
                    return Err(invalid(format!(
                        "this server does not report the directories of its shares; use --share NAME or \
                         //server/share/path; {}",
                        self.names_of_shares().await
                    )));
                }
                let is_near = |place: &str| {
                    let place = place.trim_end_matches(['\\', '/']);
                    [place, without_drive(place)]
                        .iter()
                        .any(|it| path_below(it, path).or(path_below(path, it)).is_some())
                };
                if places.any(is_near) {
                    return Ok(());
                }
                Err(invalid(format!("no share has this path; {}", self.names_of_shares().await)))
            }
        }
    }

    /// The shares that a path can be in, for a hint.
    async fn names_of_shares(&self) -> String {
        let Ok(shares) = self.plain_share_list().await else {
            return String::from("the server does not list its shares");
        };
        let names: Vec<_> =
            shares.iter().filter(|it| it.kind == ShareKind::Disk).map(|it| it.name.as_str()).collect();
        if names.is_empty() {
            String::from("no shares are visible to this user")
        } else {
            format!("the shares are: {}", names.join(", "))
        }
    }
}

fn invalid(hint: String) -> Error {
    control::Error::new(number::INVALID_PARAMETER, "The parameter is incorrect.").with_hint(hint).into()
}

impl QueriedPath {
    /// The path that a query names.
    pub(crate) fn of(query: &WhoQuery) -> Self {
        let path = query.path.replace('/', "\\");
        if let Some(share) = &query.share {
            return Self::Below { share: share.clone(), path: path.trim_matches('\\').to_owned() };
        }
        let unc = path.strip_prefix(r"\\").and_then(|rest| rest.split_once('\\'));
        match unc {
            Some((_server, rest)) => {
                let (share, path) = rest.split_once('\\').unwrap_or((rest, ""));
                Self::Below { share: share.to_owned(), path: path.trim_matches('\\').to_owned() }
            }
            None => Self::OnDisk(path.trim_end_matches('\\').to_owned()),
        }
    }

    /// True if the description of an open suffices for comparing it with this path.
    pub(crate) fn is_comparable(&self, file: &OpenFile) -> bool {
        match self {
            Self::Below { .. } => file.share.is_some(),
            Self::OnDisk(_) => file.server_path.is_some(),
        }
    }

    /// True if an open is of the path or below it.
    pub(crate) fn has(&self, file: &OpenFile) -> bool {
        match self {
            Self::Below { share, path } => {
                file.share.as_ref().is_some_and(|it| wire::eq_ignore_case(it, share))
                    && path_below(&file.path, path).is_some()
            }
            Self::OnDisk(path) => file.server_path.as_deref().is_some_and(|file| {
                let file = if has_drive(path) { file } else { without_drive(file) };
                path_below(file, path).is_some()
            }),
        }
    }
}

fn has_drive(path: &str) -> bool {
    without_drive(path).len() != path.len()
}

/// Samba and our server report a drive where none exists.
fn without_drive(path: &str) -> &str {
    match path.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => path.get(2..).unwrap_or(path),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queried(path: &str, share: Option<&str>) -> QueriedPath {
        QueriedPath::of(&WhoQuery { path: path.into(), share: share.map(str::to_owned), wait: None })
    }

    #[test]
    fn paths_on_disk_below_shares_and_in_the_network() {
        let file = OpenFile {
            path: r"plan\Mai.docx".into(),
            server_path: Some(r"C:\srv\data\plan\Mai.docx".into()),
            share: Some("Data".into()),
            ..OpenFile::default()
        };
        for (path, share, found) in [
            ("/srv/data/plan/mai.docx", None, true),
            (r"c:\srv\data\", None, true),
            (r"D:\srv\data", None, false),
            ("/srv/dat", None, false),
            ("/", None, true),
            ("plan", Some("data"), true),
            ("", Some("data"), true),
            (r"\plan\mai.docx", Some("other"), false),
            ("mai.docx", Some("data"), false),
            (r"\\nas\DATA\Plan", None, true),
            ("//nas/data", None, true),
            ("//nas/other", None, false),
        ] {
            assert_eq!(queried(path, share).has(&file), found, "{path} {share:?}");
        }
    }
}
