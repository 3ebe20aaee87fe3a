//! Inheritance by new files and directories (MS-DTYP 2.5.3.4).

use super::{Ace, AceBody, AceFlags, Acl, SdControl, SecurityDescriptor, Sid};
use crate::masks::AccessMask;

/// The descriptor of a new child of `parent` (CreateSecurityDescriptor, MS-DTYP 2.5.3.4.1).
///
/// `creator` is the descriptor in the `SecD` context of the CREATE; `owner` and `group` are the token's. Inherited
/// entries are marked as such only if the parent uses automatic inheritance, as on NTFS.
pub fn inherit(
    parent: Option<&SecurityDescriptor>,
    creator: Option<&SecurityDescriptor>,
    is_directory: bool,
    owner: Sid,
    group: Sid,
) -> SecurityDescriptor {
    let owner = creator.and_then(|creator| creator.owner).unwrap_or(owner);
    let group = creator.and_then(|creator| creator.group).unwrap_or(group);
    let child = Child { is_directory, owner, group };
    let dacl =
        compute(&child, List::of(parent, &DACL), List::of(creator, &DACL), Some(default_dacl(owner)), &DACL);
    let sacl = compute(&child, List::of(parent, &SACL), List::of(creator, &SACL), None, &SACL);
    SecurityDescriptor {
        control: SdControl::SELF_RELATIVE | dacl.control | sacl.control,
        owner: Some(owner),
        group: Some(group),
        sacl: sacl.acl,
        dacl: dacl.acl,
    }
}

/// The token's default DACL: the owner and the system may everything.
fn default_dacl(owner: Sid) -> Acl {
    let full = |sid| Ace::allow(sid, AccessMask::FILE_ALL, AceFlags::NONE);
    Acl { aces: vec![full(owner), full(Sid::SYSTEM)] }
}

struct Child {
    is_directory: bool,
    owner: Sid,
    group: Sid,
}

/// The control bits of one of the two lists, and how to reach it.
struct Kind {
    present: SdControl,
    auto_inherited: SdControl,
    protected: SdControl,
    acl: fn(&SecurityDescriptor) -> Option<&Acl>,
}

const DACL: Kind = Kind {
    present: SdControl::DACL_PRESENT,
    auto_inherited: SdControl::DACL_AUTO_INHERITED,
    protected: SdControl::DACL_PROTECTED,
    acl: |descriptor| descriptor.dacl.as_ref(),
};

const SACL: Kind = Kind {
    present: SdControl::SACL_PRESENT,
    auto_inherited: SdControl::SACL_AUTO_INHERITED,
    protected: SdControl::SACL_PROTECTED,
    acl: |descriptor| descriptor.sacl.as_ref(),
};

/// One of the two lists of a descriptor.
#[derive(Clone, Copy)]
struct List<'a> {
    present: bool,
    auto_inherited: bool,
    protected: bool,
    acl: Option<&'a Acl>,
}

impl<'a> List<'a> {
    fn of(descriptor: Option<&'a SecurityDescriptor>, kind: &Kind) -> Self {
        let control = descriptor.map_or(SdControl::NONE, |descriptor| descriptor.control);
        let present = control.contains(kind.present);
        Self {
            present,
            auto_inherited: control.contains(kind.auto_inherited),
            protected: control.contains(kind.protected),
            acl: if present { descriptor.and_then(kind.acl) } else { None },
        }
    }
}

struct Computed {
    acl: Option<Acl>,
    control: SdControl,
}

/// ComputeACL (MS-DTYP 2.5.3.4.2).
fn compute(
    child: &Child,
    parent: List<'_>,
    creator: List<'_>,
    default: Option<Acl>,
    kind: &Kind,
) -> Computed {
    let auto_inherited = if parent.auto_inherited { kind.auto_inherited } else { SdControl::NONE };
    if creator.present {
        let Some(creator_acl) = creator.acl else {
            return Computed { acl: None, control: kind.present };
        };
        let kept = creator_acl
            .aces
            .iter()
            .filter(|ace| creator.protected || !ace.flags.contains(AceFlags::INHERITED))
            .map(|ace| child.effective(ace, ace.flags.without(AceFlags::INHERITED)));
        let mut aces: Vec<Ace> = kept.collect();
        if creator.protected {
            return Computed { acl: Some(Acl { aces }), control: kind.present | kind.protected };
        }
        if parent.auto_inherited {
            aces.extend(child.inherited(parent));
        }
        return Computed { acl: Some(Acl { aces }), control: kind.present | auto_inherited };
    }
    let aces = child.inherited(parent);
    if !aces.is_empty() {
        return Computed { acl: Some(Acl { aces }), control: kind.present | auto_inherited };
    }
    match default {
        Some(acl) => Computed { acl: Some(acl), control: kind.present | auto_inherited },
        None => Computed { acl: None, control: SdControl::NONE },
    }
}

impl Child {
    /// ComputeInheritedACLFromParent (MS-DTYP 2.5.3.4.4).
    fn inherited(&self, parent: List<'_>) -> Vec<Ace> {
        let mark = if parent.auto_inherited { AceFlags::INHERITED } else { AceFlags::NONE };
        let aces = parent.acl.map(|acl| acl.aces.as_slice()).unwrap_or_default();
        let mut result = Vec::new();
        for ace in aces {
            let for_files = ace.flags.contains(AceFlags::OBJECT_INHERIT);
            let for_directories = ace.flags.contains(AceFlags::CONTAINER_INHERIT);
            let passed_on = self.is_directory && !ace.flags.contains(AceFlags::NO_PROPAGATE_INHERIT);
            let audit = ace.flags & (AceFlags::SUCCESSFUL_ACCESS | AceFlags::FAILED_ACCESS);
            let onward = ace.flags & (AceFlags::OBJECT_INHERIT | AceFlags::CONTAINER_INHERIT);
            let applies = if self.is_directory { for_directories } else { for_files };
            let inherit_only = onward | AceFlags::INHERIT_ONLY | mark | audit;
            if !applies {
                if passed_on && for_files {
                    result.push(Ace { flags: inherit_only, ..ace.clone() });
                }
            } else if !passed_on {
                result.push(self.effective(ace, mark | audit));
            } else {
                let effective = self.effective(ace, mark | audit);
                if effective.body == ace.body {
                    result.push(Ace { flags: onward | mark | audit, ..effective });
                } else {
                    result.push(effective);
                    result.push(Ace { flags: inherit_only, ..ace.clone() });
                }
            }
        }
        result
    }

    /// PostProcessACL (MS-DTYP 2.5.3.4.7): the entry as it applies to the child itself. An entry that is only
    /// inherited keeps its placeholders.
    fn effective(&self, ace: &Ace, flags: AceFlags) -> Ace {
        let body = match &ace.body {
            AceBody::Principal { mask, sid, data } if !flags.contains(AceFlags::INHERIT_ONLY) => {
                let sid = match *sid {
                    Sid::CREATOR_OWNER => self.owner,
                    Sid::CREATOR_GROUP => self.group,
                    sid => sid,
                };
                AceBody::Principal { mask: mask.map_generic(), sid, data: data.clone() }
            }
            body => body.clone(),
        };
        Ace { kind: ace.kind, flags, body }
    }
}
