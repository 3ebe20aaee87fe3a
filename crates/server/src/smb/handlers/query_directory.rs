//! QUERY_DIRECTORY: MS-SMB2 3.3.5.18, MS-FSA 2.1.5.6.3.

use std::borrow::Cow;

use vfs::short_name::other_short_name;
use vfs::{Actor, Backend, Entry, EntryWanted, Handle, Kind, Opened, RelativePath, Stat, Wanted};
use wire::apple::{AFP_INFO_STREAM, AfpInfo, AppleAttributes, RESOURCE_STREAM, listed_finder_info};
use wire::create_context::AaplServerCaps;
use wire::fscc::directory::directory_fixed_size;
use wire::fscc::{Appended, DirectoryEntry, DirectoryWriter, FileInfoClass};
use wire::msg::{QueryDirectoryFlags, QueryDirectoryRequest};
use wire::{AccessMask, NtStatus};

use super::{check_transact, malformed, posix, put_output};
use crate::core::files::listing::{Listing, PassedNames};
use crate::core::open::FileState;
use crate::core::security::{Subject, Token};
use crate::core::status::of_vfs;
use crate::core::tree::Tree;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// The parameters for looking up a single name.
struct Place<'a> {
    backend: &'a dyn Backend,
    tree: &'a Tree,
    actor: &'a Actor,
    /// The listed directory: names are looked up in it, even if its own name belongs to another directory by
    /// now.
    directory: &'a dyn Handle,
    path: &'a RelativePath,
    /// The user, if only readable entries are shown.
    viewer: Option<&'a Subject<'a>>,
    /// The user and the share's maximal access, if the listing includes rights for Apple's clients.
    apple: Option<(&'a Subject<'a>, AccessMask)>,
    /// The user for whom owners and groups are shown, in a listing of the POSIX extensions.
    posix: Option<&'a Token>,
}

/// Handles QUERY_DIRECTORY.
pub(crate) fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let query = QueryDirectoryRequest::decode(request.message).map_err(malformed)?;
    check_transact(request, &[query.output_buffer_length])?;
    let open = request.open(query.file_id)?;
    let file = open.file().filter(|file| file.is_directory).ok_or(NtStatus::INVALID_PARAMETER)?;
    let class = FileInfoClass(query.file_information_class);
    let fixed_size = directory_fixed_size(class).ok_or(NtStatus::INVALID_INFO_CLASS)?;
    if class == FileInfoClass::POSIX && !file.posix {
        return Err(NtStatus::INVALID_INFO_CLASS);
    }
    // FILE_LIST_DIRECTORY.
    if !open.access().contains(AccessMask::READ_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let max = query.output_buffer_length as usize;
    if max < fixed_size {
        return Err(NtStatus::INFO_LENGTH_MISMATCH);
    }
    let text = query.file_name.to_text();
    if text.contains(['\\', '/']) {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }

    let mut state = file.state();
    let FileState { path, listing, .. } = &mut *state;
    if query.flags.contains(QueryDirectoryFlags::REOPEN) {
        *listing = None;
    }
    let is_first = listing.is_none();
    let restarts = query.flags.contains(QueryDirectoryFlags::RESTART_SCANS);
    let listing = match listing {
        Some(known) if !restarts => known,
        Some(known) if text.is_empty() => {
            known.restart()?;
            known
        }
        other => other.insert(Listing::new(&*file.handle, &text)?),
    };
    let user = crate::smb::handlers::user_of_files(request)?;
    let backend = &**open.tree().backend().ok_or(NtStatus::INVALID_PARAMETER)?;
    let viewer = Subject::of(&user, backend);
    let place = Place {
        tree: open.tree(),
        backend,
        actor: &user.actor,
        directory: &*file.handle,
        path,
        viewer: open.tree().share.settings.access_based_enum.then_some(&viewer),
        apple: (class == FileInfoClass::ID_BOTH_DIRECTORY
            && open.tree().apple().contains(AaplServerCaps::READ_DIR_ATTR))
        .then_some((&viewer, open.tree().maximal_access())),
        posix: (class == FileInfoClass::POSIX).then_some(&user.token),
    };
    let single = query.flags.contains(QueryDirectoryFlags::RETURN_SINGLE_ENTRY);
    let entries = put_output(answer, |out| {
        let writer = DirectoryWriter::new(class, out, max).ok_or(NtStatus::INVALID_INFO_CLASS)?;
        fill(listing, &place, writer, wanted(class), single)
    })?;
    match entries {
        0 if is_first => Err(NtStatus::NO_SUCH_FILE),
        0 => Err(NtStatus::NO_MORE_FILES),
        _ => Ok(NtStatus::SUCCESS),
    }
}

/// Writes entries while they fit and are found soon, and returns their number. The first entry that did not fit is kept.
fn fill(
    listing: &mut Listing,
    place: &Place<'_>,
    mut writer: DirectoryWriter<'_>,
    wanted: EntryWanted,
    single: bool,
) -> Result<usize, NtStatus> {
    if let Some(status) = listing.take_failure() {
        return Err(status);
    }
    let mut passed = PassedNames::default();
    loop {
        passed.has_entries = writer.entries() > 0;
        let entry = match listing.next(wanted, &mut passed, |name| place.look_up(name)) {
            Ok(Some(entry)) => match place.visible(entry) {
                Some(entry) => entry,
                None => continue,
            },
            Ok(None) => break,
            Err(error) if writer.entries() == 0 => return Err(of_vfs(&error)),
            // The failed entry may be skipped in the next call, so the error is kept: a listing without the
            // entry must not appear complete.
            Err(error) => {
                listing.fail(of_vfs(&error));
                break;
            }
        };
        // A name that is itself short has no other short name.
        let short_name = other_short_name(&entry.name).unwrap_or_default();
        let file_id = entry.stat.as_ref().map_or(0, |stat| place.backend.file_id(place.directory, stat));
        let shown = DirectoryEntry {
            apple: place.apple_attributes(&entry),
            file_id,
            file_id_128: u128::from(file_id).to_le_bytes(),
            ..on_the_wire(&entry, &short_name)
        };
        let attributes = place.tree.shown_attributes(Some(&entry.name), shown.attributes);
        let name = place.posix.map_or(Cow::Borrowed(shown.name), |_| posix::posix_name(shown.name));
        let shown = DirectoryEntry {
            name: &name,
            attributes,
            device: entry.stat.as_ref().map_or(0, posix::device),
            posix: place
                .posix
                .zip(entry.stat.as_ref())
                .map(|(token, stat)| posix::attributes(token, stat, stat.links)),
            ..shown
        };
        match writer.append(&shown) {
            Appended::Written if single => break,
            Appended::Written => {}
            Appended::Full => {
                listing.hold(entry);
                break;
            }
            Appended::NameTooLong => {
                listing.hold(entry);
                return Err(NtStatus::BUFFER_OVERFLOW);
            }
            Appended::TooSmall => {
                listing.hold(entry);
                return Err(NtStatus::INFO_LENGTH_MISMATCH);
            }
        }
    }
    Ok(writer.entries())
}

impl Place<'_> {
    /// The entry, if a listing shows it; with the metadata of the file that was checked.
    fn visible(&self, entry: Entry) -> Option<Entry> {
        let name = entry.name.as_str();
        let Some(viewer) = self.viewer.filter(|_| !matches!(name, "." | "..")) else { return Some(entry) };
        let opened =
            self.open(&Actor::Process, name).ok().filter(|opened| viewer.may_see(&*opened.handle))?;
        let stat = entry.stat.map(|_| opened.stat);
        Some(Entry { stat, ..entry })
    }

    /// Opens the entry of this name for its metadata.
    fn open(&self, actor: &Actor, name: &str) -> vfs::Result<Opened> {
        self.backend.open_in(actor, self.directory, &self.path.join(name)?, true)
    }

    /// The additional attributes for Apple's clients (kAAPL_SUPPORTS_READ_DIR_ATTR).
    fn apple_attributes(&self, entry: &Entry) -> Option<AppleAttributes> {
        let (subject, maximal_access) = self.apple?;
        let stat = entry.stat.as_ref()?;
        let mut attributes = AppleAttributes {
            maximal_access,
            finder_info: listed_finder_info(None, !stat.is_directory(), stat.created),
            unix_mode: unix_mode(stat),
            resource_fork_size: 0,
        };
        let opened =
            self.path.join(&entry.name).and_then(|path| Ok((path, self.open(&Actor::Process, &entry.name)?)));
        // These are `.` and `..`, and entries that were removed meanwhile.
        let Ok((path, Opened { handle, .. })) = opened else { return Some(attributes) };
        let granted = subject.permitted(&path, &*handle, stat, AccessMask::MAXIMUM_ALLOWED);
        attributes.maximal_access = granted & maximal_access;
        // Users who cannot read the file do not see its streams.
        if !granted.contains(AccessMask::READ_DATA) {
            return Some(attributes);
        }
        let streams = match handle.streams() {
            Ok(streams) => streams,
            Err(error) => {
                tracing::debug!(%error, "cannot read the streams of a listed file");
                return Some(attributes);
            }
        };
        let named = |name: &str| streams.iter().find(|stream| stream.name.eq_ignore_ascii_case(name));
        attributes.resource_fork_size = named(RESOURCE_STREAM).map_or(0, |stream| stream.size);
        if let Some(stream) = named(AFP_INFO_STREAM) {
            let info = self.afp_info(&*handle, path, &stream.name);
            attributes.finder_info = listed_finder_info(info.as_ref(), !stat.is_directory(), stat.created);
        }
        Some(attributes)
    }

    fn afp_info(&self, file: &dyn Handle, path: RelativePath, stream: &str) -> Option<AfpInfo> {
        let path = path.with_stream(stream).ok()?;
        let opened = self.backend.open_in(&Actor::Process, file, &path, true).ok()?;
        let opened = self.backend.reopen(&Actor::Process, &opened, Wanted::READ).ok()?;
        let mut data = [0; AfpInfo::SIZE];
        let read = opened.handle.read_at(&mut data, 0).ok()?;
        AfpInfo::decode(data.get(..read)?).ok()
    }

    /// The entry of this name in any case; `None` if a listing would not show one.
    fn look_up(&self, name: &str) -> vfs::Result<Option<Entry>> {
        match self.open(self.actor, name) {
            Ok(opened) => {
                let name = opened.path.rsplit('/').next().unwrap_or(name).to_owned();
                let ea_size = opened.handle.ea_size().unwrap_or(0);
                Ok(Some(Entry { name, stat: Some(opened.stat), ea_size }))
            }
            Err(
                vfs::Error::NotFound
                | vfs::Error::PathNotFound
                | vfs::Error::InvalidName
                | vfs::Error::AccessDenied
                | vfs::Error::Loop,
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// `st_mode`, which has 16 bits.
fn unix_mode(stat: &Stat) -> u16 {
    let kind = match stat.kind {
        Kind::File => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::Symlink => 0o120_000,
        Kind::Other => 0,
    };
    u16::try_from(kind | stat.mode).unwrap_or_default()
}

/// The information about an entry that a class needs.
fn wanted(class: FileInfoClass) -> EntryWanted {
    match class {
        FileInfoClass::NAMES => EntryWanted::Name,
        FileInfoClass::DIRECTORY | FileInfoClass::POSIX => EntryWanted::Stat,
        _ => EntryWanted::Full,
    }
}

fn on_the_wire<'a>(entry: &'a Entry, short_name: &'a str) -> DirectoryEntry<'a> {
    let name = entry.name.as_str();
    let Some(stat) = &entry.stat else { return DirectoryEntry { name, ..DirectoryEntry::default() } };
    DirectoryEntry {
        name,
        short_name,
        created: stat.created,
        accessed: stat.accessed,
        modified: stat.modified,
        changed: stat.changed,
        size: stat.size,
        allocation_size: stat.allocation,
        attributes: stat.attributes,
        ea_size: entry.ea_size,
        reparse_tag: stat.reparse_tag,
        ..DirectoryEntry::default()
    }
}
