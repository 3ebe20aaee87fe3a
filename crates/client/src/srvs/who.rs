//! Who has a file or a directory's files open, as far as lists of open files tell.

use std::time::Duration;

use control::{FileQuery, OpenFile, Who, WhoQuery, limits, number};
use tokio::time::{Instant, sleep};

use super::SrvsClient;
use super::call::Rpc;
use crate::Error;
use crate::limits::LOOK_AGAIN;

/// What is asked about: the share and the path below it, or a path on the server's disk.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    Below { share: String, path: String },
    OnDisk(String),
}

impl<R: Rpc> SrvsClient<R> {
    /// The holders. Whom the server refused it does not tell.
    pub(super) async fn holders(&self, query: &WhoQuery) -> Result<Who, Error> {
        let meant = Meant::of(query);
        if let Meant::Below { share, .. } = &meant
            && let Err(error) = self.share_of_name(share).await
            && error.number() == number::NET_NAME_NOT_FOUND
        {
            return Err(error);
        }
        let wait = Duration::from_secs(query.wait.unwrap_or(0).min(limits::WAIT_MAX).into());
        let deadline = Instant::now() + wait;
        loop {
            let mut holders = self.file_list(&FileQuery::default()).await?;
            holders.retain(|file| meant.has(file));
            if holders.is_empty() || Instant::now() + LOOK_AGAIN > deadline {
                let (share, path) = match meant {
                    Meant::Below { share, path } => (Some(share), path),
                    Meant::OnDisk(path) => (None, path),
                };
                return Ok(Who { share, path, holders, ..Who::default() });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Meant {
    fn of(query: &WhoQuery) -> Self {
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

    /// Whether an open is of it or below it.
    fn has(&self, file: &OpenFile) -> bool {
        match self {
            Self::Below { share, path } => {
                file.share.as_ref().is_some_and(|it| it.to_lowercase() == share.to_lowercase())
                    && is_below(&file.path, path)
            }
            Self::OnDisk(path) => file.server_path.as_deref().is_some_and(|file| {
                is_below(file, path) || !has_drive(path) && is_below(without_drive(file), path)
            }),
        }
    }
}

/// Whether `path` is `directory` or below it, in any case and with either kind of separators.
fn is_below(path: &str, directory: &str) -> bool {
    let folded = |path: &str| path.replace('/', "\\").to_lowercase();
    let (path, directory) = (folded(path), folded(directory));
    let rest = path.strip_prefix(directory.as_str());
    directory.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
}

fn has_drive(path: &str) -> bool {
    without_drive(path).len() != path.len()
}

/// Samba, and we, tell of a drive where there is none.
fn without_drive(path: &str) -> &str {
    match path.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => path.get(2..).unwrap_or(path),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(path: &str, share: Option<&str>) -> Meant {
        Meant::of(&WhoQuery { path: path.into(), share: share.map(str::to_owned), wait: None })
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
            assert_eq!(meant(path, share).has(&file), found, "{path} {share:?}");
        }
    }
}
