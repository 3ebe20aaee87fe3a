//! The permissions for a share as a security descriptor (`shi502_security_descriptor`, MS-SRVS 2.2.4.26) and back.
//!
//! Grants can express less than an access control list: a list that they cannot express is refused, and no part of it
//! is left out.

use wire::AccessMask;
use wire::security::{Ace, AceBody, AceFlags, AceType, Acl, SdControl, SecurityDescriptor, Sid};

use crate::admin::Error;
use crate::core::config::{EVERYONE, Grant, GrantRight, Grantee};
use crate::core::identity::group_name;
use crate::core::security::{Names, Principal, PrincipalKind};
use crate::core::server::Server;

/// The descriptor that corresponds to the grants. Grants of accounts or groups that no longer exist are left out.
pub(super) fn descriptor(server: &Server, grants: &[Grant]) -> Option<Vec<u8>> {
    let names = Names::new(server);
    names.look_up_grantees(grants);
    let ace =
        |grant: &Grant| Some(Ace::allow(names.of_grantee(grant)?, grant.right.access(), AceFlags::NONE));
    let acl = Acl { aces: grants.iter().filter_map(ace).collect() };
    let descriptor = SecurityDescriptor::new(Sid::ADMINISTRATORS, Sid::ADMINISTRATORS, acl);
    let mut bytes = Vec::new();
    descriptor.encode(&mut bytes).ok()?;
    Some(bytes)
}

/// The grants that correspond to the descriptor; `None` if it has no DACL.
pub(super) fn grants(server: &Server, descriptor: &[u8]) -> Result<Option<Vec<Grant>>, Error> {
    let descriptor = SecurityDescriptor::decode(descriptor).map_err(|_| Error::InvalidParameter)?;
    if !descriptor.control.contains(SdControl::DACL_PRESENT) {
        return Ok(None);
    }
    let Some(dacl) = descriptor.dacl else { return Ok(Some(Vec::new())) };
    let names = Names::new(server);
    names.look_up_sids(dacl.aces.iter().filter_map(|ace| match &ace.body {
        AceBody::Principal { sid, .. } => Some(*sid),
        _ => None,
    }));
    let mut grants = Vec::new();
    for ace in dacl.with_generic_mapped().aces {
        let AceBody::Principal { mask, sid, .. } = ace.body else { return Err(Error::NotSupported) };
        if ace.kind != AceType::ACCESS_ALLOWED {
            return Err(Error::NotSupported);
        }
        grants.push(Grant { who: grantee_of(&names, sid).ok_or(Error::NoSuchAccount)?, right: right(mask)? });
    }
    match grants.as_slice() {
        // An empty list would allow no access, but no grants allow access to all users.
        [] => Err(Error::NotSupported),
        [one] if one.is_for_everyone() && one.right == GrantRight::Full => Ok(Some(Vec::new())),
        _ => Ok(Some(grants)),
    }
}

fn grantee_of(names: &Names<'_>, sid: Sid) -> Option<Grantee> {
    match (sid.authority(), sid.sub_authorities()) {
        _ if sid == Sid::WORLD => Some(Grantee::User(String::from(EVERYONE))),
        (22, [2, gid]) => group_name(*gid).map(Grantee::Group),
        _ if let Some(group) = names.own_group_of(sid) => Some(Grantee::Group(group)),
        _ => names.account_of(sid).map(Grantee::User).or_else(|| {
            let Principal { domain, name, kind, .. } = names.of_domain_sid(sid)?;
            let full = format!("{domain}\\{name}");
            match kind {
                PrincipalKind::User => Some(Grantee::User(full)),
                PrincipalKind::Group | PrincipalKind::Alias => Some(Grantee::Group(full)),
                PrincipalKind::Domain | PrincipalKind::WellKnownGroup => None,
            }
        }),
    }
}

/// The least right that includes the mask, if the mask includes the essential access of that right.
fn right(mask: AccessMask) -> Result<GrantRight, Error> {
    let asks_for = |right: GrantRight| match right {
        GrantRight::Read => AccessMask::READ_DATA,
        GrantRight::Change => AccessMask::READ_DATA | AccessMask::WRITE_DATA,
        GrantRight::Full => AccessMask::READ_DATA | AccessMask::WRITE_DATA | AccessMask::WRITE_DAC,
    };
    let is_meant = |right: &GrantRight| right.access().contains(mask) && mask.contains(asks_for(*right));
    GrantRight::ALL.into_iter().find(is_meant).ok_or(Error::NotSupported)
}

#[cfg(test)]
mod tests {
    use auth::users::UserDb;

    use super::*;
    use crate::core::config::Settings;

    #[test]
    fn grants_and_descriptors_convert_both_ways() {
        let mut accounts = UserDb::default();
        for (name, uid) in [("ann", 4001), ("bob", 4002)] {
            accounts.add(name, uid, "password", wire::FileTime::NONE).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let settings =
            Settings { state_directory: directory.path().into(), ..Settings::conventional(false, |_| None) };
        let server = Server::new(settings, accounts).unwrap();
        let grant = |user: &str, right| Grant { who: Grantee::User(user.into()), right };
        let group = |gid: u32| Grantee::Group(group_name(gid).unwrap());
        let all = descriptor(&server, &[grant(EVERYONE, GrantRight::Full)]).unwrap();
        assert_eq!(grants(&server, &all), Ok(Some(Vec::new())));
        for told in [
            vec![grant("Everyone", GrantRight::Read), grant("bob", GrantRight::Full)],
            vec![grant("ann", GrantRight::Change)],
            vec![Grant { who: group(0), right: GrantRight::Change }],
        ] {
            let bytes = descriptor(&server, &told).unwrap();
            assert_eq!(grants(&server, &bytes), Ok(Some(told)));
        }
        let encoded = |aces| {
            let mut bytes = Vec::new();
            let acl = Acl { aces };
            SecurityDescriptor::new(Sid::SYSTEM, Sid::SYSTEM, acl).encode(&mut bytes).unwrap();
            bytes
        };
        let allow = |sid, mask| Ace::allow(sid, mask, AceFlags::NONE);
        for (aces, expected) in [
            (vec![], Error::NotSupported),
            (vec![Ace::deny(Sid::WORLD, AccessMask::FILE_ALL, AceFlags::NONE)], Error::NotSupported),
            (vec![allow(Sid::GUESTS, AccessMask::FILE_ALL)], Error::NoSuchAccount),
            (vec![allow(Sid::WORLD, AccessMask::WRITE_DATA)], Error::NotSupported),
            (
                vec![allow(Sid::WORLD, AccessMask::FILE_GENERIC_READ | AccessMask::DELETE)],
                Error::NotSupported,
            ),
        ] {
            assert_eq!(grants(&server, &encoded(aces)), Err(expected));
        }
        assert_eq!(grants(&server, b"nonsense"), Err(Error::InvalidParameter));
        let read = grants(&server, &encoded(vec![allow(Sid::WORLD, AccessMask::GENERIC_READ)]));
        assert_eq!(read, Ok(Some(vec![grant("Everyone", GrantRight::Read)])));
    }
}
