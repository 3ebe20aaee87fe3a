//! The identities of users that descriptors are compared with.

use std::io;
use std::path::Path;

use auth::{DomainUser, IdentityKind};
use aws_lc_rs::digest;
use vfs::{Actor, Stat};
use wire::security::{Privileges, Sid};

use super::domain_users;
use crate::core::domain::Ids;
use crate::core::state_file;

/// The SIDs and privileges of a logged-on user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    /// The SIDs of the user and its groups; the user's own come first.
    sids: Vec<Sid>,
    privileges: Privileges,
    /// The uid of the server's process, if all users' files on the disk belong to it.
    shared_uid: Option<u32>,
    /// The Unix id and SID of a domain's user, and those of its primary group.
    own: Option<[(u32, Sid); 2]>,
    /// The Unix ids of other users and groups of the domain.
    ids: Ids,
}

impl Token {
    /// Creates the token of a user; `of_account` contains the SIDs of a user of the users file.
    ///
    /// The Unix ids come first, because files belong to them. If all users act as the server's process, its ids stand
    /// for no user, and users are identified by their accounts.
    pub(crate) fn new(kind: IdentityKind, actor: &Actor, of_account: &[Sid], administrator: bool) -> Self {
        let mut sids = Vec::with_capacity(16);
        let mut shared_uid = None;
        match actor {
            Actor::User(identity) => {
                sids.push(Sid::unix_user(identity.uid));
                sids.push(Sid::unix_group(identity.gid));
                sids.extend(identity.groups.iter().copied().map(Sid::unix_group));
            }
            Actor::Process => {
                shared_uid = Some(nix::unistd::geteuid().as_raw());
                match kind {
                    IdentityKind::User => {}
                    IdentityKind::Guest => sids.push(Sid::GUESTS),
                    IdentityKind::Anonymous => sids.push(Sid::ANONYMOUS),
                }
            }
        }
        sids.extend(of_account);
        Self::finished(kind, sids, shared_uid, administrator)
    }

    /// Creates the token of a user of a domain: its SID, those of its groups as the controller named them, and then those
    /// of its Unix ids, so that files belong to the user under all of its names.
    pub(crate) fn of_domain_user(actor: &Actor, user: &DomainUser, administrator: bool) -> Self {
        let mut sids = vec![user.sid, user.primary_group];
        sids.extend(user.groups.iter().filter(|group| **group != user.primary_group));
        let (mut shared_uid, mut own) = (None, None);
        match actor {
            Actor::User(identity) => {
                own = Some([(identity.uid, user.sid), (identity.gid, user.primary_group)]);
                sids.push(Sid::unix_user(identity.uid));
                sids.push(Sid::unix_group(identity.gid));
                sids.extend(identity.groups.iter().copied().map(Sid::unix_group));
            }
            Actor::Process => shared_uid = Some(nix::unistd::geteuid().as_raw()),
        }
        Self { own, ..Self::finished(IdentityKind::User, sids, shared_uid, administrator) }
    }

    fn finished(
        kind: IdentityKind,
        mut sids: Vec<Sid>,
        shared_uid: Option<u32>,
        administrator: bool,
    ) -> Self {
        sids.extend([Sid::WORLD, Sid::NETWORK]);
        match kind {
            IdentityKind::User => sids.extend([Sid::AUTHENTICATED_USERS, Sid::USERS]),
            IdentityKind::Guest => sids.push(Sid::GUESTS),
            IdentityKind::Anonymous => sids.push(Sid::ANONYMOUS),
        }
        let mut privileges = Privileges::NONE;
        if administrator {
            sids.push(Sid::ADMINISTRATORS);
            privileges |= Privileges::SECURITY
                | Privileges::TAKE_OWNERSHIP
                | Privileges::BACKUP
                | Privileges::RESTORE
                | Privileges::MANAGE_VOLUME;
        }
        Self { sids, privileges, shared_uid, own: None, ids: Ids::default() }
    }

    /// The token with the table of the Unix ids of the domain's users and groups.
    pub(crate) fn with_ids(self, ids: Ids) -> Self {
        Self { ids, ..self }
    }

    /// The token with these of the server's own groups.
    pub(crate) fn with_local_groups(mut self, groups: Vec<Sid>) -> Self {
        self.sids.extend(groups);
        self
    }

    /// The server's own groups that the token has.
    pub(crate) fn local_groups(&self, machine: Machine) -> Vec<Sid> {
        self.sids.iter().copied().filter(|sid| machine.is_local_group(*sid)).collect()
    }

    /// The token with one more Unix group.
    pub(crate) fn with_unix_group(mut self, gid: u32) -> Self {
        let group = Sid::unix_group(gid);
        if !self.sids.contains(&group) {
            self.sids.push(group);
        }
        self
    }

    /// The owner of a file without a stored descriptor, from the view of this user: the file's Unix user, or the user of
    /// the domain with that uid. If all users act as the server's process, its files belong to the user who asks, until
    /// a descriptor is stored.
    pub(crate) fn owner_of(&self, stat: &Stat) -> Sid {
        self.if_shared(stat).unwrap_or_else(|| self.user_sid(stat.uid))
    }

    /// As [`Self::owner_of`], for clients that show Unix users: they cannot tell the uid from the SID of a domain.
    pub(crate) fn unix_owner_of(&self, stat: &Stat) -> Sid {
        self.if_shared(stat).unwrap_or(Sid::unix_user(stat.uid))
    }

    /// The SID of a Unix user: that of the user of the domain with this uid, if there is one.
    pub(crate) fn user_sid(&self, uid: u32) -> Sid {
        let own = self.own.map(|[user, _]| user).filter(|(own, _)| *own == uid).map(|(_, sid)| sid);
        own.or_else(|| self.ids.user_sid(uid)).unwrap_or(Sid::unix_user(uid))
    }

    /// The SID of a Unix group: that of the group of the domain with this gid, if there is one.
    pub(crate) fn group_sid(&self, gid: u32) -> Sid {
        let own = self.own.map(|[_, group]| group).filter(|(own, _)| *own == gid).map(|(_, sid)| sid);
        own.or_else(|| self.ids.group_sid(gid)).unwrap_or(Sid::unix_group(gid))
    }

    /// The uid of a user of the domain; `None` for other SIDs.
    pub(crate) fn uid(&self, sid: Sid) -> Option<u32> {
        let own = self.own.map(|[user, _]| user).filter(|(_, own)| *own == sid).map(|(uid, _)| uid);
        own.or_else(|| self.ids.uid(sid))
    }

    /// The gid of a group of the domain; `None` for other SIDs.
    pub(crate) fn gid(&self, sid: Sid) -> Option<u32> {
        let own = self.own.map(|[_, group]| group).filter(|(_, own)| *own == sid).map(|(gid, _)| gid);
        own.or_else(|| self.ids.gid(sid))
    }

    /// The SID that all files of the server's process have for this user, if the file is one of them.
    fn if_shared(&self, stat: &Stat) -> Option<Sid> {
        self.shared_uid.filter(|uid| *uid == stat.uid).and_then(|_| self.sids.first().copied())
    }

    /// True if the file belongs to the server's process, which is no more to the kernel than any other user.
    pub(crate) fn is_servers_own(&self, stat: &Stat) -> bool {
        self.shared_uid.is_some_and(|uid| uid == stat.uid && uid != ROOT)
    }

    /// The group of such a file.
    pub(crate) fn group_of(&self, stat: &Stat) -> Sid {
        let shared = self.if_shared(stat);
        shared.map_or_else(|| self.group_sid(stat.gid), |own| domain_users(own).unwrap_or(own))
    }

    /// As [`Self::group_of`], for clients that show Unix groups.
    pub(crate) fn unix_group_of(&self, stat: &Stat) -> Sid {
        let shared = self.if_shared(stat);
        shared.map_or(Sid::unix_group(stat.gid), |own| domain_users(own).unwrap_or(own))
    }

    /// True if the user has this SID, or is in the group with it.
    pub(crate) fn is(&self, sid: Sid) -> bool {
        self.sids.contains(&sid)
    }

    /// True if the user may make this SID the owner of a file: it is its own, or the user has a privilege that allows
    /// any owner (MS-DTYP 2.5.3.4, "may be assigned as owner").
    pub(crate) fn may_give(&self, owner: Sid) -> bool {
        self.is(owner) || self.privileges.contains(Privileges::RESTORE)
    }

    /// The SIDs of the user and its groups.
    pub(crate) fn sids(&self) -> &[Sid] {
        &self.sids
    }

    /// The privileges of the user, which apply regardless of descriptors.
    pub(crate) fn privileges(&self) -> Privileges {
        self.privileges
    }
}

/// The machine as an issuer of SIDs: `S-1-5-21-a-b-c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine(pub(crate) [u32; 3]);

impl Machine {
    /// Reads the machine's SID from the state directory; creates one if there is no file. An administrator who takes
    /// over the files of a Samba server can write that server's SID (`net getlocalsid`) there before the first start.
    pub(crate) fn load(state_directory: &Path) -> Self {
        let path = state_directory.join(FILE_NAME);
        match std::fs::read_to_string(&path).map(|text| Self::parse(&text)) {
            Ok(Some(machine)) => return machine,
            Ok(None) => {
                tracing::warn!(path = %path.display(), "the file contains no machine SID; using a random one for this run, so descriptors with the server's users do not apply");
                return Self::random();
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "cannot read the machine SID; using a random one for this run, so descriptors with the server's users do not apply");
                return Self::random();
            }
            Err(_) => {}
        }
        let machine = Self::random();
        if let Err(error) = machine.save(state_directory) {
            tracing::warn!(%error, path = %path.display(), "cannot save the machine SID; the next start will use another one");
        }
        machine
    }

    /// Checks that the state directory has a machine SID, or no such file yet.
    pub(crate) fn check(state_directory: &Path) -> Result<(), String> {
        let path = state_directory.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) if Self::parse(&text).is_some() => Ok(()),
            Ok(_) => Err(format!(
                "{}: not a machine's SID (S-1-5-21-a-b-c); every start uses a random one, and descriptors with the server's users do not apply",
                path.display()
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// The SID of the machine, which is the prefix of its users' SIDs.
    pub(crate) fn sid(self) -> Sid {
        let [a, b, c] = self.0;
        Sid::of(5, [21, a, b, c])
    }

    /// The SID of a user of the users file: by Samba's rule if the Unix account of that name has the uid. The other
    /// users all have the uid of the server's process, and get SIDs derived from their names.
    pub(crate) fn user(self, name: &str, uid: u32) -> Sid {
        let by_uid = || uid.checked_mul(2)?.checked_add(FIRST_RID).filter(|rid| *rid < FIRST_NAMED_RID);
        let rid = crate::core::identity::uid_of(name).filter(|known| *known == uid).and_then(|_| by_uid());
        Sid::of_domain(self.0, rid.unwrap_or_else(|| rid_of_name(name)))
    }

    /// The SID of one of the server's own groups, which is derived from its name. No user has such a SID, and Samba gives
    /// none to a Unix group.
    pub(crate) fn local_group(self, name: &str) -> Sid {
        Sid::of_domain(self.0, FIRST_GROUP_RID | hash_of_name(name))
    }

    /// True if the SID can be that of one of the server's own groups.
    pub(crate) fn is_local_group(self, sid: Sid) -> bool {
        sid.split_rid().is_some_and(|(of, rid)| of == self.sid() && rid >= FIRST_GROUP_RID)
    }

    /// The Unix user that a SID stands for, according to the SID alone.
    pub(crate) fn unix_user(self, sid: Sid) -> Option<u32> {
        if let (UNIX_AUTHORITY, [UNIX_USERS, uid]) = (sid.authority(), sid.sub_authorities()) {
            return Some(*uid);
        }
        let (domain, rid) = sid.split_rid()?;
        let of_uid = rid.checked_sub(FIRST_RID).filter(|rid| rid.is_multiple_of(2))?;
        (domain == self.sid() && rid < FIRST_NAMED_RID).then_some(of_uid / 2)
    }

    fn parse(text: &str) -> Option<Self> {
        let sid: Sid = text.trim().parse().ok()?;
        match (sid.authority(), sid.sub_authorities()) {
            (5, [21, a, b, c]) => Some(Self([*a, *b, *c])),
            _ => None,
        }
    }

    fn random() -> Self {
        let part = || {
            let mut bytes = [0; 4];
            // Without randomness the server accepts no logons.
            if crate::core::random::fill(&mut bytes).is_err() {
                tracing::error!("cannot get random bytes for the machine SID; part of it is zero");
            }
            u32::from_le_bytes(bytes)
        };
        Self([part(), part(), part()])
    }

    fn save(self, state_directory: &Path) -> io::Result<()> {
        state_file::replace(state_directory, FILE_NAME, &format!("{}\n", self.sid()))
    }
}

/// A relative id that depends on the name only. Files keep it, so it stays with Unicode's
/// lower case, whatever names are compared by.
fn rid_of_name(name: &str) -> u32 {
    FIRST_NAMED_RID | (hash_of_name(name) & (FIRST_NAMED_RID - 1))
}

fn hash_of_name(name: &str) -> u32 {
    let hash = digest::digest(&digest::SHA256, name.to_lowercase().as_bytes());
    hash.as_ref().first_chunk().copied().map_or(0, u32::from_le_bytes)
}

/// The authority of the SIDs of Unix users and groups, and the first subauthority of users.
const UNIX_AUTHORITY: u64 = 22;
const UNIX_USERS: u32 = 1;

/// The uid for which the kernel makes exceptions.
const ROOT: u32 = 0;

/// The file with the machine SID.
const FILE_NAME: &str = "machine-sid";

/// The relative id of the user with uid 0; Samba's `algorithmic rid base`.
const FIRST_RID: u32 = 1000;

/// The lowest of the relative ids that are derived from names; a power of two.
const FIRST_NAMED_RID: u32 = 0x4000_0000;

/// The lowest of the relative ids of the server's own groups; a power of two, above all ids of users.
const FIRST_GROUP_RID: u32 = 0x8000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_unix_account_have_distinct_sids() {
        let machine = Machine([1, 2, 3]);
        let ann = machine.user("ann, who has no account", 0);
        assert_eq!(ann, machine.user("Ann, who has no account", 0));
        assert_ne!(ann, machine.user("bob, who has no account", 0));
        assert_eq!(machine.user("root", 0), Sid::of_domain([1, 2, 3], 1000));
        assert_eq!(machine.unix_user(ann), None);
        assert_eq!(machine.unix_user(machine.user("root", 0)), Some(0));
        assert_eq!(machine.unix_user(Sid::unix_user(70_000)), Some(70_000));
        for other in [Sid::unix_group(7), Sid::of_domain([1, 2, 3], 1001), Sid::of_domain([1, 2, 4], 1000)] {
            assert_eq!(machine.unix_user(other), None, "{other:?}");
        }
    }

    #[test]
    fn own_groups_have_sids_that_no_user_has() {
        let machine = Machine([1, 2, 3]);
        let editors = machine.local_group("Editors");
        assert_eq!(editors, machine.local_group("editors"));
        assert_ne!(editors, machine.local_group("readers"));
        assert!(machine.is_local_group(editors) && !Machine([1, 2, 4]).is_local_group(editors));
        for user in
            [machine.user("editors", 0), machine.user("root", 0), Sid::of_domain([1, 2, 3], 0x7fff_ffff)]
        {
            assert!(!machine.is_local_group(user), "{user}");
        }
        assert_eq!(machine.unix_user(editors), None);
        let token = Token::default().with_local_groups(vec![editors]);
        assert!(token.is(editors));
        assert_eq!(token.local_groups(machine), [editors]);
    }

    #[test]
    fn machine_sid_is_parsed() {
        let text = "S-1-5-21-1-2-4294967295\n";
        assert_eq!(Machine::parse(text), Some(Machine([1, 2, u32::MAX])));
        for wrong in ["", "S-1-5-21-1-2", "S-1-5-32-544", "S-1-5-21-1-2-3-4"] {
            assert_eq!(Machine::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn files_of_domain_users_have_their_sids_and_the_other_way_round() {
        let domain = [7, 8, 9];
        let sid = |rid| Sid::of_domain(domain, rid);
        let directory = tempfile::tempdir().unwrap();
        let ids = Ids::by_rid(directory.path(), domain, 10_000);
        let user = DomainUser {
            name: String::from("carol"),
            domain: String::from("CORP"),
            dns_domain: String::new(),
            principal_name: None,
            full_name: String::new(),
            sid: sid(1104),
            primary_group: sid(513),
            groups: vec![sid(513), sid(1200)],
        };
        let actor = Actor::user(11_104, 10_513, vec![10_513, 11_200]);
        let token = Token::of_domain_user(&actor, &user, false).with_ids(ids.clone());
        let stat = |uid, gid| Stat { uid, gid, ..super::super::mode::stat_for_tests() };
        assert_eq!(token.owner_of(&stat(11_104, 0)), sid(1104));
        assert_eq!(token.owner_of(&stat(11_105, 0)), sid(1105), "another user of the domain");
        assert_eq!(token.owner_of(&stat(1000, 0)), Sid::unix_user(1000));
        assert_eq!(token.group_of(&stat(0, 11_200)), sid(1200));
        assert_eq!(token.unix_owner_of(&stat(11_104, 0)), Sid::unix_user(11_104));
        for own in [sid(1104), sid(1200), Sid::unix_user(11_104), Sid::unix_group(11_200), Sid::USERS] {
            assert!(token.is(own), "{own}");
        }
        assert!(!token.is(Sid::ADMINISTRATORS) && !token.is(sid(1105)));
        assert_eq!((token.uid(sid(1105)), token.gid(sid(1200))), (Some(11_105), Some(11_200)));
        // The name service may give an id that is in no table.
        let actor = Actor::user(70_000, 70_001, Vec::new());
        let token = Token::of_domain_user(&actor, &user, true).with_ids(ids);
        assert_eq!(token.owner_of(&stat(70_000, 0)), sid(1104));
        assert_eq!(token.group_of(&stat(0, 70_001)), sid(513));
        assert_eq!(token.uid(sid(1104)), Some(70_000));
        assert!(token.is(Sid::ADMINISTRATORS));
        // Users who all act as one Unix user have their files by their own SIDs.
        let shared = Token::of_domain_user(&Actor::Process, &user, false);
        assert_eq!(shared.owner_of(&stat(nix::unistd::geteuid().as_raw(), 0)), sid(1104));
    }

    #[test]
    fn only_privileged_users_give_files_to_others() {
        let token =
            |administrator| Token::new(IdentityKind::User, &Actor::user(7, 7, vec![8]), &[], administrator);
        assert!(token(false).may_give(Sid::unix_user(7)) && token(false).may_give(Sid::unix_group(8)));
        assert!(!token(false).may_give(Sid::unix_user(1)) && token(true).may_give(Sid::unix_user(1)));
    }
}
