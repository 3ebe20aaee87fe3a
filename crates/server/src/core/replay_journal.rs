//! The authenticators of tickets that were used, in a file: without it, a request that was recorded on the network could
//! be presented again after a restart, for as long as its time is within the clock skew (RFC 4120 3.2.3, 10).
//!
//! The file `replays` in the state directory has a mark of its format and then a record for each authenticator, in the
//! order of their use. It is appended to before a logon is granted, and not synchronized: it survives the end of the
//! process, however that comes, but after a power failure the records of the last seconds may be missing. A logon costs a
//! write of 40 bytes; synchronizing would cost a logon some milliseconds, and a machine takes some time to start again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use auth::kerberos::{ReplayJournal, UsedAuthenticator, UsedAuthenticators};
use wire::FileTime;

/// The file, which is open for appending.
struct ReplayFile {
    path: PathBuf,
    /// `None` after an error, until it is written anew.
    file: Option<File>,
    /// The number of records in the file.
    records: usize,
    /// The log has reported that the file cannot be written.
    told: bool,
}

/// The used authenticators that an earlier run has recorded; this run adds its own. If the file cannot be read or is
/// malformed, this logs a warning and starts without it, because a server that does not start would be worse.
pub(crate) fn restore(state_directory: &Path, now: FileTime) -> UsedAuthenticators {
    let path = state_directory.join(FILE_NAME);
    let used = match read(&path) {
        Ok(used) => used,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot read the used authenticators; requests from before the start could be presented again");
            Vec::new()
        }
    };
    // The first logon writes the file anew, without the records that have become useless.
    let journal = ReplayFile { path, file: None, records: 0, told: false };
    UsedAuthenticators::restored(used, Box::new(journal), now)
}

fn read(path: &Path) -> io::Result<Vec<UsedAuthenticator>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(REPLAYS_FILE_MAX).read_to_end(&mut bytes)?;
    let records = bytes.strip_prefix(MARK).ok_or(io::ErrorKind::InvalidData)?;
    // The last record may be cut.
    let (records, _) = records.as_chunks::<{ UsedAuthenticator::RECORD_LEN }>();
    Ok(records.iter().map(UsedAuthenticator::of_record).collect())
}

impl ReplayFile {
    /// Replaces the file by one with these authenticators.
    fn begin(&mut self, all: &mut dyn ExactSizeIterator<Item = UsedAuthenticator>) -> io::Result<File> {
        if let Some(directory) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let unfinished = self.path.with_extension("new");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&unfinished)?;
        let mut to = BufWriter::new(file);
        self.records = all.len();
        to.write_all(MARK)?;
        for used in all {
            to.write_all(&used.record())?;
        }
        let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&unfinished, &self.path)?;
        Ok(file)
    }

    fn try_append(
        &mut self,
        used: &UsedAuthenticator,
        all: &mut dyn ExactSizeIterator<Item = UsedAuthenticator>,
    ) -> io::Result<()> {
        match &mut self.file {
            Some(file) if self.records < all.len().saturating_mul(2).max(RECORDS_MIN) => {
                file.write_all(&used.record())?;
                self.records = self.records.saturating_add(1);
            }
            _ => self.file = Some(self.begin(all)?),
        }
        Ok(())
    }
}

impl ReplayJournal for ReplayFile {
    fn append(
        &mut self,
        used: &UsedAuthenticator,
        all: &mut dyn ExactSizeIterator<Item = UsedAuthenticator>,
    ) {
        match self.try_append(used, all) {
            Ok(()) => self.told = false,
            Err(error) => {
                // A part of a record may be in the file.
                self.file = None;
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(%error, path = %self.path.display(), "cannot record used authenticators; after a restart, requests could be presented again");
                }
            }
        }
    }
}

const FILE_NAME: &str = "replays";

/// The first bytes of the file.
const MARK: &[u8] = b"shareward used authenticators 1\n";

/// Records that the file may have in any case. Beyond that, it is written anew when half of its records are useless.
const RECORDS_MIN: usize = 4096;

/// Bytes that are read of the file: twice the records of a full table.
const REPLAYS_FILE_MAX: u64 = 128 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn used(number: u64) -> UsedAuthenticator {
        let mut record = [7; UsedAuthenticator::RECORD_LEN];
        record.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
        UsedAuthenticator::of_record(&record)
    }

    fn journal(path: &Path) -> ReplayFile {
        ReplayFile { path: path.to_owned(), file: None, records: 0, told: false }
    }

    #[test]
    fn file_has_what_was_appended_and_is_written_anew_when_it_is_long() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("state/replays");
        let mut journal = journal(&path);
        let mut all = Vec::new();
        for number in 0..5 {
            all.push(used(number));
            journal.append(&used(number), &mut all.clone().into_iter());
        }
        assert_eq!(read(&path).unwrap(), all);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Most of them have become useless.
        let live = [used(4)];
        for number in 0..2 * RECORDS_MIN {
            journal.append(&used(4), &mut live.into_iter());
            if number % 512 == 0 {
                assert!(read(&path).unwrap().ends_with(&live));
            }
        }
        assert!(read(&path).unwrap().len() <= RECORDS_MIN);
        // A record that was cut, as by a full disk, is ignored.
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(read(&path).unwrap().len(), (whole.len() - MARK.len()) / 40 - 1);
    }

    #[test]
    fn file_that_cannot_be_written_is_written_anew_when_it_can() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("state/replays");
        fs::write(scratch.path().join("state"), "a file").unwrap();
        let mut journal = journal(&path);
        journal.append(&used(1), &mut [used(1)].into_iter());
        assert!(journal.told && journal.file.is_none());
        fs::remove_file(scratch.path().join("state")).unwrap();
        journal.append(&used(2), &mut [used(1), used(2)].into_iter());
        assert!(!journal.told);
        assert_eq!(read(&path).unwrap(), [used(1), used(2)]);
    }

    #[test]
    fn other_files_are_not_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("replays");
        fs::write(&path, "something else that is long enough for a mark").unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
