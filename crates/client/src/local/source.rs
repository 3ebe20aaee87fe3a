//! Files and programs of this machine, as the readers of its servers use them. Tests put a copy in their place.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::limits::{LIST_ENTRIES_MAX, SOURCE_BYTES_MAX, SOURCE_MESSAGE_BYTES_MAX, SOURCE_TIME_MAX};

/// The result of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    /// True if its exit code was 0.
    pub(crate) success: bool,
    /// The standard output.
    pub(crate) output: Vec<u8>,
    /// The standard error.
    pub(crate) messages: String,
}

/// The files and programs that show the state of a server.
pub(crate) trait Source {
    /// The content of a file. Fails with `InvalidData` if it is longer than [`SOURCE_BYTES_MAX`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names in a directory, without those that are not UTF-8.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Writes to an existing file.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Runs a program to its end. Fails with `NotFound` if it is not installed.
    fn run(&self, program: &str, arguments: &[&OsStr]) -> impl Future<Output = io::Result<Finished>>;
}

/// This machine itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Machine;

impl Source for Machine {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(SOURCE_BYTES_MAX).unwrap_or(u64::MAX);
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > SOURCE_BYTES_MAX {
            return Err(too_long());
        }
        Ok(bytes)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.extend(entry?.file_name().into_string().ok());
            if names.len() > LIST_ENTRIES_MAX {
                return Err(too_long());
            }
        }
        Ok(names)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.write_all(bytes)
    }

    async fn run(&self, program: &str, arguments: &[&OsStr]) -> io::Result<Finished> {
        let program = find(program).ok_or(io::ErrorKind::NotFound)?;
        let mut child = Command::new(program)
            .args(arguments)
            // Numbers and times are parsed.
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (output, messages) = (child.stdout.take(), child.stderr.take());
        let finish = async {
            let (output, messages) = tokio::try_join!(
                bounded(output, SOURCE_BYTES_MAX, true),
                bounded(messages, SOURCE_MESSAGE_BYTES_MAX, false)
            )?;
            let messages = String::from_utf8_lossy(&messages).into_owned();
            Ok(Finished { success: child.wait().await?.success(), output, messages })
        };
        timeout(SOURCE_TIME_MAX, finish).await.map_err(|_elapsed| io::ErrorKind::TimedOut)?
    }
}

/// Reads a stream to its end. What is beyond the limit is an error, or dropped.
async fn bounded(
    stream: Option<impl AsyncRead + Unpin>,
    limit: usize,
    is_exact: bool,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return Ok(bytes) };
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = stream.read(&mut buffer).await?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { return Ok(bytes) };
        let room = limit.saturating_sub(bytes.len());
        if part.len() > room && is_exact {
            return Err(too_long());
        }
        bytes.extend(part.iter().take(room));
    }
}

/// The place of a program: the search path first, then where packages and Samba's own build put daemons' tools.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin", "/usr/local/samba/bin"].map(PathBuf::from);
    let mut directories = std::env::split_paths(&path).filter(|it| it.is_absolute()).chain(more);
    directories.find_map(|directory| Some(directory.join(program)).filter(|file| file.is_file()))
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the list is longer than this program reads")
}

/// The bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn programs_run_to_their_end_and_missing_ones_are_reported() {
        let done =
            Machine.run("sh", &["-c", "echo out; echo err >&2; exit 3"].map(OsStr::new)).await.unwrap();
        assert_eq!(
            done,
            Finished { success: false, output: b"out\n".to_vec(), messages: "err\n".to_owned() }
        );
        let missing = Machine.run("no-such-program-of-samba", &[]).await;
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_stream_beyond_its_limit_is_an_error_or_cut() {
        let stream = || Some(io::Cursor::new(vec![b'x'; 200_000]));
        assert_eq!(bounded(stream(), 100_000, true).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(bounded(stream(), 100_000, false).await.unwrap().len(), 100_000);
        assert_eq!(bounded(stream(), 200_000, true).await.unwrap().len(), 200_000);
    }
}
