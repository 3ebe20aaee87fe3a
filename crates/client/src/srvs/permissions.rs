//! The permissions of a share: conversion of its security descriptor (`shi502_security_descriptor`, MS-SRVS 2.2.4.26)
//! to grants and back.

use std::collections::HashMap;

use control::{Grant, GrantRight, Share};
use rpc::WithLevel;
use rpc::ndr::SizedBuffer;
use rpc::srvsvc::{ENDPOINT, ShareInfo, ShareInfo1501, ShareSetInfoRequest};
use wire::AccessMask;
use wire::security::{Ace, AceBody, AceFlags, AceType, Acl, SdControl, SecurityDescriptor, ShareRight, Sid};

use super::call::{Rpc, make};
use super::names::Principal;
use super::shares::not_found;
use super::{SrvsClient, unsupported};
use crate::Error;

/// A share with its descriptor; `None` if the server does not provide it.
pub(super) struct ShareWithDescriptor {
    pub(super) share: Share,
    pub(super) descriptor: Option<SecurityDescriptor>,
}

impl From<Share> for ShareWithDescriptor {
    fn from(share: Share) -> Self {
        Self { share, descriptor: None }
    }
}

impl ShareWithDescriptor {
    /// The share with the descriptor in the buffer, if it is a valid one.
    pub(super) fn new(share: Share, descriptor: &SizedBuffer) -> Self {
        let bytes = descriptor.0.as_deref().filter(|bytes| !bytes.is_empty());
        Self { share, descriptor: bytes.and_then(|bytes| SecurityDescriptor::decode(bytes).ok()) }
    }
}

impl<R: Rpc> SrvsClient<R> {
    /// Adds the grants to the shares.
    pub(super) async fn with_grants(&self, shares: Vec<ShareWithDescriptor>) -> Vec<Share> {
        let everybody = shares.iter().filter_map(|it| it.descriptor.as_ref()).flat_map(principals);
        let names = self.names_of(everybody).await;
        let shares = shares.into_iter();
        shares
            .map(|told| Share { grants: told.descriptor.as_ref().map(|it| grants(it, &names)), ..told.share })
            .collect()
    }

    /// The descriptor that grants this, with the owner and the group of the one there is.
    pub(super) async fn descriptor(
        &self,
        grants: &[Grant],
        before: Option<SecurityDescriptor>,
    ) -> Result<SecurityDescriptor, Error> {
        let who: Vec<&str> = grants.iter().map(Grant::who).collect();
        let sids = self.sids_of(&who).await?;
        let aces = grants.iter().zip(sids).map(|(grant, sid)| {
            let right = right(grant).ok_or_else(|| {
                unsupported("what is set is READ, CHANGE or FULL, and nothing is denied".into())
            })?;
            Ok(Ace::allow(sid, right.access(), AceFlags::NONE))
        });
        let acl = Acl { aces: aces.collect::<Result<_, Error>>()? };
        let (owner, group) = before.map_or((None, None), |it| (it.owner, it.group));
        let owner = owner.unwrap_or(Sid::ADMINISTRATORS);
        Ok(SecurityDescriptor::new(owner, group.unwrap_or(Sid::ADMINISTRATORS), acl))
    }

    /// Replaces the permissions with the grants.
    pub(super) async fn set_grants(&self, name: &str, grants: &[Grant]) -> Result<(), Error> {
        let descriptor = self.descriptor(grants, self.descriptor_of(name).await?).await?;
        let request = ShareSetInfoRequest {
            server_name: Some(self.rpc.server_name()),
            net_name: name.to_owned(),
            info: WithLevel(ShareInfo::Level1501(ShareInfo1501 {
                security_descriptor: encoded(&descriptor)?,
            })),
            parameter_error: Some(0),
        };
        make(&self.rpc, ENDPOINT, &request).await.map_err(not_found)?;
        let same = |set: SecurityDescriptor| entries(&set) == entries(&descriptor);
        if self.descriptor_of(name).await?.is_some_and(same) {
            Ok(())
        } else {
            Err(unsupported("the server said yes and did not change the permissions".into()))
        }
    }

    async fn descriptor_of(&self, name: &str) -> Result<Option<SecurityDescriptor>, Error> {
        match self.share_info(name, 502).await.map_err(not_found)? {
            ShareInfo::Level502(info) => {
                Ok(ShareWithDescriptor::new(Share::default(), &info.security_descriptor).descriptor)
            }
            _ => Err(Error::Nonsense("a share without information".into())),
        }
    }
}

/// The encoded descriptor.
pub(super) fn encoded(descriptor: &SecurityDescriptor) -> Result<SizedBuffer, Error> {
    let mut bytes = Vec::new();
    descriptor.encode(&mut bytes).map_err(|_| unsupported("that is more than a descriptor holds".into()))?;
    Ok(SizedBuffer(Some(bytes)))
}

/// The entries of a descriptor, for comparison.
fn entries(descriptor: &SecurityDescriptor) -> Option<&[Ace]> {
    descriptor.dacl.as_ref().map(|dacl| dacl.aces.as_slice())
}

fn principals(descriptor: &SecurityDescriptor) -> impl Iterator<Item = Sid> {
    let aces = descriptor.dacl.iter().flat_map(|dacl| &dacl.aces);
    aces.filter_map(|ace| match ace.body {
        AceBody::Principal { sid, .. } => Some(sid),
        AceBody::Opaque(_) => None,
    })
}

/// The grants of a descriptor, one for each entry. An entry without an equivalent right, such as one with a condition
/// or one that is only inherited, is shown as special.
fn grants(descriptor: &SecurityDescriptor, names: &HashMap<Sid, Principal>) -> Vec<Grant> {
    let everyone = |right| Grant { right, ..Grant::of_user(EVERYONE) };
    let dacl = descriptor.dacl.as_ref().filter(|_| descriptor.control.contains(SdControl::DACL_PRESENT));
    match dacl {
        None => vec![everyone(GrantRight::Full)],
        // An empty list denies everybody access.
        Some(dacl) if dacl.aces.is_empty() => vec![Grant { denied: true, ..everyone(GrantRight::Full) }],
        Some(dacl) => dacl.aces.iter().map(|ace| grant(ace, names)).collect(),
    }
}

fn grant(ace: &Ace, names: &HashMap<Sid, Principal>) -> Grant {
    let AceBody::Principal { mask, sid, data } = &ace.body else {
        return Grant { right: GrantRight::Special, ..Grant::of_user("?") };
    };
    let plain = [AceType::ACCESS_ALLOWED, AceType::ACCESS_DENIED].contains(&ace.kind)
        && !ace.flags.contains(AceFlags::INHERIT_ONLY)
        && data.is_empty();
    let right = ShareRight::of_access(*mask).filter(|_| plain);
    let who = match names.get(sid) {
        Some(Principal { name, is_group: true }) => Grant::of_group(name),
        Some(Principal { name, is_group: false }) => Grant::of_user(name),
        None => Grant::of_user(&sid.to_string()),
    };
    Grant {
        right: right.map_or(GrantRight::Special, |right| match right {
            ShareRight::Read => GrantRight::Read,
            ShareRight::Change => GrantRight::Change,
            ShareRight::Full => GrantRight::Full,
        }),
        denied: matches!(ace.kind, AceType::ACCESS_DENIED | AceType::ACCESS_DENIED_CALLBACK),
        mask: right.is_none().then(|| format!("{:#010x}", mask_of(*mask))),
        ..who
    }
}

fn mask_of(mask: AccessMask) -> u32 {
    mask.map_generic().0
}

fn right(grant: &Grant) -> Option<ShareRight> {
    match grant.right {
        _ if grant.denied => None,
        GrantRight::Read => Some(ShareRight::Read),
        GrantRight::Change => Some(ShareRight::Change),
        GrantRight::Full => Some(ShareRight::Full),
        GrantRight::Special => None,
    }
}

/// The universal name of the world SID.
const EVERYONE: &str = "Everyone";

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Sid = Sid::of_domain([1, 2, 3], 1000);
    const STAFF: Sid = Sid::unix_group(100);

    fn shown(descriptor: &SecurityDescriptor) -> Vec<String> {
        let principal = |name: &str, is_group| Principal { name: name.into(), is_group };
        let names = HashMap::from([(ANN, principal(r"NAS\ann", false)), (STAFF, principal("staff", true))]);
        let shown = |grant: Grant| {
            let Grant { user, group, right, denied, mask } = grant;
            let who = group.map_or(user, |group| format!("@{group}"));
            format!("{who} {}{right:?} {}", if denied { "not " } else { "" }, mask.unwrap_or_default())
        };
        grants(descriptor, &names).into_iter().map(shown).collect()
    }

    fn with(aces: Vec<Ace>) -> SecurityDescriptor {
        SecurityDescriptor::new(Sid::SYSTEM, Sid::SYSTEM, Acl { aces })
    }

    #[test]
    fn entries_without_an_equivalent_right_are_special() {
        let allow = |sid, mask| Ace::allow(sid, mask, AceFlags::NONE);
        let conditional = Ace {
            kind: AceType::ACCESS_ALLOWED_CALLBACK,
            flags: AceFlags::NONE,
            body: AceBody::Principal { mask: AccessMask::FILE_ALL, sid: ANN, data: b"artx".to_vec() },
        };
        let object = Ace {
            kind: AceType::ACCESS_ALLOWED_OBJECT,
            flags: AceFlags::NONE,
            body: AceBody::Opaque(vec![0; 8]),
        };
        let descriptor = with(vec![
            Ace::deny(STAFF, AccessMask::FILE_ALL, AceFlags::NONE),
            allow(ANN, ShareRight::Change.access()),
            allow(ANN, AccessMask::GENERIC_ALL),
            allow(ANN, AccessMask::FILE_GENERIC_READ),
            allow(Sid::of_domain([9, 9, 9], 7), ShareRight::Read.access()),
            Ace::allow(ANN, AccessMask::FILE_ALL, AceFlags::INHERIT_ONLY),
            conditional,
            object,
        ]);
        assert_eq!(
            shown(&descriptor),
            [
                "@staff not Full ",
                r"NAS\ann Change ",
                r"NAS\ann Full ",
                r"NAS\ann Special 0x00120089",
                "S-1-5-21-9-9-9-7 Read ",
                r"NAS\ann Special 0x001f01ff",
                r"NAS\ann Special 0x001f01ff",
                "? Special ",
            ]
        );
        assert_eq!(shown(&with(Vec::new())), ["Everyone not Full "]);
        assert_eq!(shown(&SecurityDescriptor::default()), ["Everyone Full "]);
    }
}
