//! The admission of users to shares: the one check of every way to the files of a share.

use std::net::IpAddr;
use std::sync::Arc;

use auth::IdentityKind;
use wire::AccessMask;

use crate::core::directory::Directory;
use crate::core::forced_identity::ForcedIdentity;
use crate::core::path_variables::Variables;
use crate::core::server::Server;
use crate::core::session::User;
use crate::core::tree::Share;

/// The rights and the place of an admitted user in a share.
pub(crate) struct Admission {
    /// The access that the share itself allows.
    pub(crate) access: AccessMask,
    /// The identity of the user in the share's files; `None` if it is the user's own.
    pub(crate) forced: Option<ForcedIdentity>,
    /// The directory of the share for this user; `None` for IPC$.
    pub(crate) directory: Option<Arc<Directory>>,
}

/// The reason why a share does not admit a user.
pub(crate) enum NotAdmitted {
    /// `hosts_allow` and `hosts_deny` do not admit the address.
    Host,
    /// The users, grants or `guest` of the share do not admit the user.
    User(IdentityKind),
    /// The name service does not know `force_user` or `force_group`. The text is for the log.
    ForcedIdentity(String),
    /// The path has variables without a value for this user. The text is for the log.
    Directory(String),
}

impl Share {
    /// Admits a user at this address to the share.
    pub(crate) fn admit(
        &self,
        server: &Server,
        user: &User,
        client: IpAddr,
    ) -> Result<Admission, NotAdmitted> {
        if !self.settings.hosts.admit(client) {
            return Err(NotAdmitted::Host);
        }
        let access = self.access_of(server, user).ok_or(NotAdmitted::User(user.kind))?;
        let forced = ForcedIdentity::of(server, &self.settings.files).map_err(NotAdmitted::ForcedIdentity)?;
        let variables = Variables { user, share: &self.settings.name, client };
        let directory = self.directory().map(|directory| directory.of_user(&variables)).transpose();
        Ok(Admission { access, forced, directory: directory.map_err(NotAdmitted::Directory)? })
    }
}
