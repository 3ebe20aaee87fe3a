//! Shares whose deletion a client has announced (`DeletedShareList`, MS-SRVS 3.1.4.14).

use std::collections::VecDeque;

use parking_lot::Mutex;

/// The announcements, by their handles.
#[derive(Debug, Default)]
pub(crate) struct Deletions(Mutex<VecDeque<([u8; 16], String)>>);

impl Deletions {
    /// Adds an announcement. If there are too many, the oldest is removed.
    pub(crate) fn begin(&self, handle: [u8; 16], share: &str) {
        let mut all = self.0.lock();
        if all.len() >= DELETIONS_MAX {
            all.pop_front();
        }
        all.push_back((handle, share.to_owned()));
    }

    /// Removes an announcement and returns its share.
    pub(crate) fn end(&self, handle: [u8; 16]) -> Option<String> {
        let mut all = self.0.lock();
        let place = all.iter().position(|(it, _)| *it == handle)?;
        all.remove(place).map(|(_, share)| share)
    }
}

/// The number of announcements: each belongs to an open dialog box.
const DELETIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_used_once_and_limited() {
        let deletions = Deletions::default();
        deletions.begin([0; 16], "old");
        deletions.begin([1; 16], "data");
        assert_eq!(deletions.end([1; 16]).as_deref(), Some("data"));
        assert_eq!(deletions.end([1; 16]), None);
        for handle in 2..=u8::try_from(DELETIONS_MAX).unwrap() + 1 {
            deletions.begin([handle; 16], "x");
        }
        assert_eq!(deletions.end([0; 16]), None);
    }
}
