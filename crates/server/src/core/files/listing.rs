//! A directory's listing under way, between the requests of QUERY_DIRECTORY (MS-SMB2 3.3.5.18, MS-FSA 2.1.5.6.3).

use vfs::short_name::{ShortNameForm, other_short_name};
use vfs::{DirectoryCursor, Entry, EntryWanted};
use wire::NtStatus;
use wire::fscc::Pattern;

use crate::core::limits;
use crate::core::status::OrStatus;

/// The state of a listing: `Open.EnumerationLocation` and `Open.EnumerationSearchPattern`.
pub(crate) struct Listing {
    text: String,
    pattern: Pattern,
    source: Source,
    /// An entry that did not fit into the last answer.
    held: Option<Entry>,
    /// The reason why the last answer ended early, which the next answer returns.
    failed: Option<NtStatus>,
}

/// The names that do not match the pattern, which the server passes over for one answer.
#[derive(Default)]
pub(crate) struct PassedNames {
    /// True if the answer has entries, so that the client need not wait for more.
    pub(crate) has_entries: bool,
    count: usize,
}

impl PassedNames {
    fn one_more(&mut self) -> EntryWanted {
        self.count = self.count.saturating_add(1);
        let is_enough = self.has_entries && self.count > limits::LISTING_PASSED_NAMES;
        if is_enough { EntryWanted::SkipAndPause } else { EntryWanted::Skip }
    }
}

/// The source of the names.
enum Source {
    /// All names of the directory; those that do not match are left out.
    Scan(Box<dyn DirectoryCursor>),
    /// The single name that a pattern without wildcards matches; `None` after it has been looked up.
    Name(Option<String>),
}

impl Listing {
    /// Creates a listing of the entries that match `pattern`; an empty pattern matches all.
    pub(crate) fn new(directory: &dyn vfs::Handle, pattern: &str) -> Result<Self, NtStatus> {
        let parsed = Pattern::new(pattern).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
        // Only a listing has the names `.` and `..`.
        let is_name = !parsed.has_wildcards() && !matches!(pattern, "." | "..");
        let source = if is_name {
            Source::Name(Some(pattern.to_owned()))
        } else {
            Source::Scan(directory.read_directory().or_status()?)
        };
        Ok(Self { text: pattern.to_owned(), pattern: parsed, source, held: None, failed: None })
    }

    /// Begins the listing again with the same pattern.
    pub(crate) fn restart(&mut self) -> Result<(), NtStatus> {
        (self.held, self.failed) = (None, None);
        match &mut self.source {
            Source::Scan(cursor) => cursor.restart().or_status(),
            Source::Name(name) => {
                *name = Some(self.text.clone());
                Ok(())
            }
        }
    }

    /// Keeps an entry that does not fit into an answer; the next answer begins with it.
    pub(crate) fn hold(&mut self, entry: Entry) {
        self.held = Some(entry);
    }

    /// Records the reason why an answer ends early.
    pub(crate) fn fail(&mut self, status: NtStatus) {
        self.failed = Some(status);
    }

    /// Takes the reason why the last answer ended early, if it did. The next answer returns it.
    pub(crate) fn take_failure(&mut self) -> Option<NtStatus> {
        self.failed.take()
    }

    /// Returns the next entry that matches, with the `wanted` parts of it; `None` at the end, or if the answer has
    /// entries and has `passed` enough names. `look_up` finds the entry of a single name.
    pub(crate) fn next(
        &mut self,
        wanted: EntryWanted,
        passed: &mut PassedNames,
        look_up: impl Fn(&str) -> vfs::Result<Option<Entry>>,
    ) -> vfs::Result<Option<Entry>> {
        match self.held.take() {
            // The entry was read for an information class that contains only names.
            Some(Entry { name, stat: None, .. }) if wanted != EntryWanted::Name => {
                if let Some(entry) = look_up(&name)? {
                    return Ok(Some(entry));
                }
            }
            Some(entry) => return Ok(Some(entry)),
            None => {}
        }
        match &mut self.source {
            Source::Scan(cursor) => {
                let pattern = &self.pattern;
                cursor.next(&mut |name| if matches(pattern, name) { wanted } else { passed.one_more() })
            }
            Source::Name(name) => match name.take() {
                Some(name) => look_up(&name),
                None => Ok(None),
            },
        }
    }
}

/// True if a pattern matches a name or its short name (MS-FSA 2.1.5.6.3).
fn matches(pattern: &Pattern, name: &str) -> bool {
    pattern.matches(name) || matches_short(pattern, name)
}

/// True if a pattern matches the short name of a name. Most patterns match no short name of the form that the name has,
/// and its digits need not be computed.
fn matches_short(pattern: &Pattern, name: &str) -> bool {
    ShortNameForm::of(name).is_some_and(|form| pattern.may_match(form.symbols()))
        && other_short_name(name).is_some_and(|short| pattern.matches(&short))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfs::{Actor, Backend, MemBackend, RelativePath, Wanted};
    use wire::FileAttributes;

    #[test]
    fn an_answer_with_entries_does_not_wait_for_a_match_far_away() {
        let backend = MemBackend::new();
        let (actor, none) = (&Actor::Process, FileAttributes::NONE);
        let make = |name: &str| {
            let path = RelativePath::new(name).unwrap();
            drop(backend.create_file(actor, &path, none, Wanted::NOTHING).unwrap());
        };
        make("a wanted one");
        (0..=limits::LISTING_PASSED_NAMES).for_each(|number| make(&format!("b{number}")));
        make("c wanted one");
        let root = backend.open(actor, &RelativePath::new("").unwrap(), Wanted::READ).unwrap();
        let mut listing = Listing::new(&*root.handle, "*wanted*").unwrap();
        let mut next = |passed: &mut PassedNames| {
            let entry = listing.next(EntryWanted::Name, passed, |_| Ok(None)).unwrap();
            entry.map(|entry| entry.name)
        };
        let mut passed = PassedNames::default();
        assert_eq!(next(&mut passed).as_deref(), Some("a wanted one"));
        passed.has_entries = true;
        assert_eq!(next(&mut passed), None);
        // The next answer has no entries yet.
        let mut passed = PassedNames::default();
        assert_eq!(next(&mut passed).as_deref(), Some("c wanted one"));
        passed.has_entries = true;
        assert_eq!(next(&mut passed), None);
        assert_eq!(next(&mut PassedNames::default()), None);
    }
}
