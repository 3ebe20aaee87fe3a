//! Renames of files with named streams, and of named streams.

use crate::links::Link;
use crate::waiting::Waiting;
use crate::{FileKey, NotFound, OpenRef, OpenTarget, Renamed, Shell, State};

impl<S: Shell> State<S> {
    /// True if a named stream of an open's file is open, which does not allow the file to be renamed (MS-FSA
    /// 2.1.5.15.11).
    pub fn has_open_streams(&self, open: impl Into<OpenRef>) -> bool {
        self.file_of(open.into()).is_ok_and(|key| self.streams_of(key).next().is_some())
    }

    /// Records the rename of an open's stream to one that is not open, which gets all opens, locks and leases of the
    /// old one. Returns the server's parts of these opens, whose number is
    /// [limited](crate::Limits::opens_of_renamed_stream).
    pub fn rename_stream(
        &mut self,
        open: impl Into<OpenRef>,
        to: FileKey,
        new_path: &str,
    ) -> Result<Vec<S::Open>, NotFound> {
        let id = self.open_global(open.into())?;
        let from = self.opens.get(&id).and_then(|open| open.target.file()).ok_or(NotFound)?;
        if from != to {
            if self.files.contains_key(&to) {
                return Err(NotFound);
            }
            let file = self.files.remove(&from).ok_or(NotFound)?;
            self.streams.remove(&from);
            for id in file.opens.iter() {
                if let Some(open) = self.opens.get_mut(id) {
                    open.target = OpenTarget::File(to);
                    let link = Link::of(open);
                    self.links.leave(from, &link);
                    self.links.enter(to, link);
                }
            }
            for id in file.leases.iter() {
                if let Some(lease) = self.leases.get_mut(id) {
                    lease.file = to;
                }
            }
            let for_breaks = file.waiting.iter().map(|(_, request)| request);
            for request in for_breaks.chain(file.ranges.waiting().map(|waiter| &waiter.request)) {
                if let Some(Waiting::Break { file, .. } | Waiting::Lock { file, .. }) =
                    self.waiting.get_mut(request)
                {
                    *file = to;
                }
            }
            if from.is_named_stream()
                && let Some(pending) = self.deletions.remove(&from)
            {
                self.deletions.insert(to, pending);
            }
            *self.enter_file(to) = *file;
        }
        let Renamed { mut opens, mut rest } = self.rename(id, new_path)?;
        while let Some(rename) = rest.take() {
            let renamed = self.rename_on(rename);
            opens.extend(renamed.opens);
            rest = renamed.rest;
        }
        if to.is_named_stream() {
            // The open that requested the delete of the stream may have ended.
            opens.extend(self.asked_to_delete(to));
        }
        Ok(opens)
    }
}
