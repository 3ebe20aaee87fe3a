//! Accounts of several origins as one list: those of a node of a cluster and those of the cluster.

use wire::AccountName;

use super::{Line, User, UserDb};

impl UserDb {
    /// Adds the accounts of `others` whose names are free.
    pub fn merge(&mut self, others: &Self) {
        for line in others.lines.iter().filter(|line| line.user.is_some()) {
            let Some(user) = &line.user else { continue };
            let name = AccountName::new(&user.name);
            if self.index.contains_key(&name) {
                continue;
            }
            if let Some(last) = self.lines.last_mut()
                && !last.raw.ends_with('\n')
            {
                last.raw.push('\n');
            }
            self.index.insert(name, self.lines.len());
            self.lines.push(line.clone());
        }
    }

    /// Takes the accounts for which `is_taken` is true, and returns them. Comments stay.
    pub fn split(&mut self, is_taken: impl Fn(&User) -> bool) -> Self {
        let mut taken = Self::default();
        let (moved, kept): (Vec<Line>, Vec<Line>) = std::mem::take(&mut self.lines)
            .into_iter()
            .partition(|line| line.user.as_ref().is_some_and(&is_taken));
        (self.lines, taken.lines) = (kept, moved);
        for users in [self, &mut taken] {
            let named = users.lines.iter().enumerate();
            let named =
                named.filter_map(|(place, line)| Some((AccountName::new(&line.user.as_ref()?.name), place)));
            users.index = named.collect();
        }
        taken
    }

    /// The accounts, each with its line.
    pub fn entries(&self) -> impl Iterator<Item = (&User, &str)> {
        self.lines
            .iter()
            .filter_map(|line| Some((line.user.as_ref()?, line.raw.trim_end_matches(['\n', '\r']))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::now;
    use super::*;

    #[test]
    fn merged_accounts_are_split_again() {
        let mut own = UserDb::parse("# ours\n").unwrap();
        own.add("Alice", 1, "own", now()).unwrap();
        let mut others = UserDb::default();
        others.add("alice", 2, "other", now()).unwrap();
        others.add("bob", 3, "other", now()).unwrap();
        let mut all = own.clone();
        all.merge(&others);
        assert_eq!(all.users().map(|it| it.uid).collect::<Vec<_>>(), [1, 3]);
        all.set_password("BOB", "new", now()).unwrap();
        let taken = all.split(|user| user.name == "bob");
        assert_eq!(*all.to_text(), *own.to_text());
        assert_eq!(taken.entries().count(), 1);
        assert_eq!(taken.user("bob").unwrap().nt_hash, Some(super::super::nt_hash("new")));
        assert!(all.user("bob").is_none() && all.user("alice").is_some());
    }
}
