//! Enumerations of MS-SRVS and MS-WKST: as many entries as the caller's buffer holds, and the position to continue from
//! (MS-SRVS 2.2.2.2, `PreferedMaximumLength`, and 3.1.4.5, `ResumeHandle`).

use rpc::Win32Error;
use rpc::ndr::{Ndr, Writer};

pub(super) use crate::admin::saturated;

/// The end of a part of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    total: usize,
    /// The id of the last entry, if there are more.
    resume: Option<u32>,
}

impl End {
    /// The return value of the call.
    pub(super) fn status(self) -> Win32Error {
        if self.resume.is_some() { Win32Error::MORE_DATA } else { Win32Error::SUCCESS }
    }

    /// `TotalEntries`: the entries in the answer, and the remaining ones.
    pub(super) fn total_entries(self) -> u32 {
        saturated(self.total)
    }

    /// `ResumeHandle`, if the request has one.
    pub(super) fn resume_handle(self, given: Option<u32>) -> Option<u32> {
        given.map(|_| self.resume.unwrap_or(0))
    }
}

/// The last id seen, from `ResumeHandle`; `None` at the beginning.
pub(super) fn after(resume_handle: Option<u32>) -> Option<u32> {
    resume_handle.filter(|it| *it != 0)
}

/// Lists the first entries, in the form that `show` makes, as many as fit into `preferred` octets. There is at least
/// one entry, so that a client that continues makes progress.
pub(super) fn fill<S, T: Ndr, L>(
    all: impl Iterator<Item = S>,
    preferred: u32,
    id: impl Fn(&S) -> u32,
    show: impl Fn(&S) -> T,
    list: impl FnOnce(Vec<T>) -> L,
) -> (L, End) {
    let room = usize::try_from(preferred).unwrap_or(usize::MAX).min(LIST_BYTES_MAX);
    let mut entries = Vec::new();
    let mut end = End { total: 0, resume: None };
    let (mut bytes, mut last) = (0, 0);
    for object in all {
        end.total += 1;
        if end.resume.is_some() {
            continue;
        }
        let entry = show(&object);
        bytes += size(&entry);
        if bytes > room && !entries.is_empty() {
            end.resume = Some(last);
            continue;
        }
        last = id(&object);
        entries.push(entry);
    }
    (list(entries), end)
}

fn size(entry: &impl Ndr) -> usize {
    let mut writer = Writer::default();
    entry.write(&mut writer);
    entry.write_deferred(&mut writer);
    writer.finish().len()
}

/// The maximal size of a list in octets, even if a caller requests more: some fifty thousand opens. The rest is
/// ERROR_MORE_DATA. The memory of one session's pipes has room for two such lists.
const LIST_BYTES_MAX: usize = crate::core::limits::PIPE_BYTES_PER_SESSION / 2;

#[cfg(test)]
mod tests {
    use super::*;
    use rpc::srvsvc::FileInfo2;

    fn list(after: u32, preferred: u32) -> (Vec<u32>, End) {
        let show = |id: &u32| FileInfo2 { id: *id };
        fill(after + 1..=5, preferred, |id| *id, show, |list| list.iter().map(|it| it.id).collect())
    }

    #[test]
    fn resumed_lists_have_no_gap() {
        let (first, end) = list(0, 8);
        assert_eq!((first, end.status(), end.total_entries()), (vec![1, 2], Win32Error::MORE_DATA, 5));
        assert_eq!((end.resume_handle(Some(0)), end.resume_handle(None)), (Some(2), None));
        let (second, end) = list(2, u32::MAX);
        assert_eq!((second, end.status(), end.total_entries()), (vec![3, 4, 5], Win32Error::SUCCESS, 3));
        assert_eq!(end.resume_handle(Some(2)), Some(0));
    }

    #[test]
    fn list_without_room_has_one_entry() {
        let (entries, end) = list(0, 0);
        assert_eq!((entries, end.resume_handle(Some(0))), (vec![1], Some(1)));
    }
}
