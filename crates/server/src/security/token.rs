//! Who a user is to descriptors.

use std::io;
use std::path::Path;

use auth::IdentityKind;
use vfs::Actor;
use wire::security::{Privileges, Sid};

/// The SIDs and privileges of a logged-on user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    /// The user's own come first.
    sids: Vec<Sid>,
    privileges: Privileges,
}

impl Token {
    /// The token of a user. `uid` is what the users file says, where it knows the user.
    ///
    /// Everyone is their Unix ids first, since that is who files belong to; a user of the users file also
    /// is a user of the machine, by the rule that Samba gives its users relative ids by.
    pub(crate) fn new(
        kind: IdentityKind,
        actor: &Actor,
        uid: Option<u32>,
        machine: Machine,
        administrator: bool,
    ) -> Self {
        let mut sids = Vec::with_capacity(16);
        match actor {
            Actor::User(identity) => {
                sids.push(Sid::unix_user(identity.uid));
                sids.push(Sid::unix_group(identity.gid));
                sids.extend(identity.groups.iter().copied().map(Sid::unix_group));
            }
            Actor::Process => {
                sids.push(Sid::unix_user(nix::unistd::geteuid().as_raw()));
                sids.push(Sid::unix_group(nix::unistd::getegid().as_raw()));
            }
        }
        sids.extend(uid.and_then(|uid| machine.user(uid)));
        sids.extend([Sid::WORLD, Sid::NETWORK]);
        match kind {
            IdentityKind::User => sids.extend([Sid::AUTHENTICATED_USERS, Sid::USERS]),
            IdentityKind::Guest => sids.push(Sid::GUESTS),
            IdentityKind::Anonymous => sids.push(Sid::ANONYMOUS),
        }
        let mut privileges = Privileges::NONE;
        if administrator {
            sids.push(Sid::ADMINISTRATORS);
            privileges |= Privileges::TAKE_OWNERSHIP | Privileges::BACKUP | Privileges::RESTORE;
        }
        Self { sids, privileges }
    }

    /// Whether the user is `sid`, or is in the group that it is.
    pub(crate) fn is(&self, sid: Sid) -> bool {
        self.sids.contains(&sid)
    }

    /// Whether the user may make this the owner of a file: themselves, or with a privilege anybody
    /// (MS-DTYP 2.5.3.4, "may be assigned as owner").
    pub(crate) fn may_give(&self, owner: Sid) -> bool {
        self.is(owner) || self.privileges.contains(Privileges::RESTORE)
    }

    /// The user's and the groups' SIDs.
    pub(crate) fn sids(&self) -> &[Sid] {
        &self.sids
    }

    /// What the user may whatever descriptors say.
    pub(crate) fn privileges(&self) -> Privileges {
        self.privileges
    }
}

/// The machine as an issuer of SIDs: `S-1-5-21-a-b-c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine(pub(super) [u32; 3]);

impl Machine {
    /// The machine's SID as the state directory has it; a new one where there is none yet. Who takes over
    /// a Samba server's files may write that server's (`net getlocalsid`) there before the first start.
    pub(crate) fn load(state_directory: &Path) -> Self {
        let path = state_directory.join(FILE_NAME);
        match std::fs::read_to_string(&path).map(|text| Self::parse(&text)) {
            Ok(Some(machine)) => return machine,
            Ok(None) => {
                tracing::warn!(path = %path.display(), "not a machine's SID; one is made up for this run");
                return Self::random();
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "a machine's SID is made up for this run");
                return Self::random();
            }
            Err(_) => {}
        }
        let machine = Self::random();
        if let Err(error) = machine.save(state_directory) {
            tracing::warn!(%error, path = %path.display(), "the machine's SID will be another one next time");
        }
        machine
    }

    /// The SID of a user of the users file; none where the relative id would not fit.
    fn user(self, uid: u32) -> Option<Sid> {
        let rid = uid.checked_mul(2)?.checked_add(FIRST_RID)?;
        Some(Sid::of_domain(self.0, rid))
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
            // Without randomness no server gets as far as a logon.
            let _ = crate::random::fill(&mut bytes);
            u32::from_le_bytes(bytes)
        };
        Self([part(), part(), part()])
    }

    fn save(self, state_directory: &Path) -> io::Result<()> {
        let [a, b, c] = self.0;
        std::fs::create_dir_all(state_directory)?;
        let unfinished = state_directory.join(format!("{FILE_NAME}.new"));
        std::fs::write(&unfinished, format!("{}\n", Sid::of(5, [21, a, b, c])))?;
        std::fs::rename(unfinished, state_directory.join(FILE_NAME))
    }
}

/// Where the machine's SID is kept.
const FILE_NAME: &str = "machine-sid";

/// The relative id that the user with uid 0 has; Samba's `algorithmic rid base`.
const FIRST_RID: u32 = 1000;
