//! Shares: NetrShareEnum, NetrShareGetInfo, NetrShareAdd, NetrShareSetInfo, NetrShareDel (MS-SRVS 3.1.4.7 to 3.1.4.12).

use control::{Ended, NewShare, Share, ShareChange, ShareKind, number};
use rpc::WithLevel;
use rpc::ndr::SizedBuffer;
use rpc::srvsvc::{
    ENDPOINT, SHI_USES_UNLIMITED, STYPE_DEVICE, STYPE_DISKTREE, STYPE_IPC, STYPE_PRINTQ, STYPE_SPECIAL,
    STYPE_TEMPORARY, ShareAddRequest, ShareDelRequest, ShareEnumRequest, ShareEnumStruct,
    ShareGetInfoRequest, ShareInfo, ShareInfo0, ShareInfo1, ShareInfo2, ShareInfo502, ShareInfo1005,
    ShareSetInfoRequest,
};

use super::call::{Refused, Rpc, list, make};
use super::permissions::{ShareWithDescriptor, encoded};
use super::{SrvsClient, some, unsupported};
use crate::Error;

/// The levels, the most detailed first. 502 and 2 are for administrators.
const LEVELS: [u32; 4] = [502, 2, 1, 0];

/// The bits of `shi1005_flags` for offline copies (MS-SRVS 2.2.4.29, `CSC_MASK`), and their names.
const CACHING_MASK: u32 = 0x30;
const CACHING: [(u32, &str); 4] = [(0x00, "manual"), (0x10, "documents"), (0x20, "programs"), (0x30, "none")];

/// `SHI1005_FLAGS_ENCRYPT_DATA`.
const ENCRYPT_DATA: u32 = 0x8000;

impl<R: Rpc> SrvsClient<R> {
    /// The shares, with their permissions.
    pub(super) async fn share_list(&self) -> Result<Vec<Share>, Error> {
        Ok(self.with_grants(self.shares_with_descriptors().await?).await)
    }

    /// The shares without their permissions, which take additional calls.
    pub(super) async fn plain_share_list(&self) -> Result<Vec<Share>, Error> {
        Ok(self.shares_with_descriptors().await?.into_iter().map(|told| told.share).collect())
    }

    async fn shares_with_descriptors(&self) -> Result<Vec<ShareWithDescriptor>, Error> {
        let mut denied = None;
        let mut unknown = None;
        for level in LEVELS {
            match self.shares_at(level).await {
                Ok(mut shares) => {
                    shares.sort_by_key(|told| wire::ShareName::new(&told.share.name));
                    return Ok(shares);
                }
                Err(refused) if refused.is_denied() => denied = Some(refused),
                Err(refused) if refused.is_unknown() => unknown = Some(refused),
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(denied.or(unknown).map_or_else(|| unsupported("no level is left".into()), Error::from))
    }

    async fn shares_at(&self, level: u32) -> Result<Vec<ShareWithDescriptor>, Refused> {
        let name = self.rpc.server_name();
        list(
            &self.rpc,
            ENDPOINT,
            |page| ShareEnumRequest {
                server_name: Some(name.clone()),
                info: ShareEnumStruct::empty(level),
                preferred_maximum_length: page.bytes,
                resume_handle: page.resume,
            },
            |response| {
                let shares = match response.info {
                    ShareEnumStruct::Level0(entries) => without_descriptors(entries, level_0),
                    ShareEnumStruct::Level1(entries) => without_descriptors(entries, level_1),
                    ShareEnumStruct::Level2(entries) => without_descriptors(entries, level_2),
                    ShareEnumStruct::Level502(entries) => entries.into_iter().map(level_502).collect(),
                    _ => Vec::new(),
                };
                (shares, response.resume_handle)
            },
        )
        .await
    }

    pub(super) async fn share_of_name(&self, name: &str) -> Result<Share, Error> {
        match self.share_at_best(name).await {
            Err(error) if error.number() == number::NET_NAME_NOT_FOUND && self.is_listed(name).await? => {
                self.share_at_best(name).await
            }
            answer => answer,
        }
    }

    /// True if the server lists such a share. Samba reloads its configuration when the list is requested, and knows
    /// of no changes before.
    /// until then knows nothing of what has changed in it.
    async fn is_listed(&self, name: &str) -> Result<bool, Error> {
        let listed = self.plain_share_list().await?;
        Ok(listed.iter().any(|share| wire::eq_ignore_case(&share.name, name)))
    }

    /// The share at the most detailed level that the server supports and grants.
    async fn share_at_best(&self, name: &str) -> Result<Share, Error> {
        let mut denied = None;
        let mut unknown = None;
        for level in LEVELS {
            match self.share_info(name, level).await {
                Ok(info) => {
                    let told = match info {
                        ShareInfo::Level0(info) => level_0(info).into(),
                        ShareInfo::Level1(info) => level_1(info).into(),
                        ShareInfo::Level2(info) => level_2(info).into(),
                        ShareInfo::Level502(info) => level_502(info),
                        _ => return Err(Error::Nonsense("a share without information".into())),
                    };
                    let mut share = self.with_grants(vec![told]).await.pop().unwrap_or_default();
                    // Samba makes up how many may use a share, and how many do, everywhere but at level 2.
                    if level == 502
                        && let Ok(ShareInfo::Level2(info)) = self.share_info(name, 2).await
                    {
                        Share { uses: share.uses, uses_max: share.uses_max, .. } = level_2(info);
                    }
                    return Ok(self.with_flags(share).await);
                }
                Err(refused) if refused.is_denied() => denied = Some(refused),
                Err(refused) if refused.is_unknown() => unknown = Some(refused),
                Err(refused) => return Err(not_found(refused)),
            }
        }
        Err(denied.or(unknown).map_or_else(|| unsupported("no level is left".into()), Error::from))
    }

    pub(super) async fn share_add(&self, share: &NewShare) -> Result<Share, Error> {
        refuse_what_cannot_be(&share.settings)?;
        if share.cluster {
            return Err(unsupported("this server does not have shares of a cluster".into()));
        }
        if self.is_listed(&share.name).await? {
            let message = "The name has already been shared.";
            return Err(control::Error::new(number::DUPLICATE_SHARE, message).into());
        }
        let plain = ShareInfo2 {
            net_name: Some(share.name.clone()),
            share_type: STYPE_DISKTREE,
            remark: Some(share.settings.comment.clone().unwrap_or_default()),
            permissions: 0,
            max_uses: uses(share.settings.uses_max.unwrap_or(0)),
            current_uses: 0,
            path: Some(share.path.clone()),
            password: None,
        };
        let info = match &share.settings.grants {
            None => ShareInfo::Level2(plain),
            Some(grants) => {
                let descriptor = self.descriptor(grants, None).await?;
                ShareInfo::Level502(with_descriptor(plain, encoded(&descriptor)?))
            }
        };
        let request = ShareAddRequest {
            server_name: Some(self.rpc.server_name()),
            info: WithLevel(info),
            parameter_error: Some(0),
        };
        make(&self.rpc, ENDPOINT, &request).await.map_err(not_allowed)?;
        if let Some(caching) = &share.settings.caching {
            self.set_caching(&share.name, caching).await?;
        }
        self.share_of_name(&share.name).await
    }

    pub(super) async fn share_change(&self, name: &str, change: &ShareChange) -> Result<Share, Error> {
        refuse_what_cannot_be(change)?;
        if !self.is_listed(name).await? {
            // Some shares exist but are not listed, and a caller without rights gets access denied.
            self.share_of_name(name).await?;
        }
        // First, because it may name accounts that the server does not know.
        if let Some(grants) = &change.grants {
            self.set_grants(name, grants).await?;
        }
        if change.comment.is_some() || change.uses_max.is_some() {
            let ShareInfo::Level2(mut info) = self.share_info(name, 2).await.map_err(not_found)? else {
                return Err(Error::Nonsense("a share without information".into()));
            };
            if let Some(comment) = &change.comment {
                info.remark = Some(comment.clone());
            }
            if let Some(most) = change.uses_max {
                info.max_uses = uses(most);
            }
            self.set(name, ShareInfo::Level2(info)).await?;
        }
        if let Some(caching) = &change.caching {
            self.set_caching(name, caching).await?;
        }
        self.is_listed(name).await?;
        let share = self.share_of_name(name).await?;
        let refused = change.comment.as_ref().is_some_and(|it| *it != share.comment)
            || change.uses_max.is_some_and(|it| share.uses_max.unwrap_or(0) != it)
            || change.caching.as_ref().is_some_and(|it| share.caching.as_ref() != Some(it));
        if refused { Err(unsupported("the server said yes and changed nothing".into())) } else { Ok(share) }
    }

    pub(super) async fn share_delete(&self, name: &str) -> Result<Ended, Error> {
        let request = ShareDelRequest {
            server_name: Some(self.rpc.server_name()),
            net_name: name.to_owned(),
            reserved: 0,
        };
        make(&self.rpc, ENDPOINT, &request).await.map_err(not_found)?;
        Ok(Ended::default())
    }

    pub(super) async fn share_info(&self, name: &str, level: u32) -> Result<ShareInfo, Refused> {
        let request = ShareGetInfoRequest {
            server_name: Some(self.rpc.server_name()),
            net_name: name.to_owned(),
            level,
        };
        Ok(make(&self.rpc, ENDPOINT, &request).await?.info)
    }

    /// Adds the properties from the share's flags, if the server reports them.
    async fn with_flags(&self, mut share: Share) -> Share {
        if let Ok(ShareInfo::Level1005(info)) = self.share_info(&share.name, 1005).await {
            let caching = CACHING.iter().find(|(bits, _)| info.flags & CACHING_MASK == *bits);
            share.caching = caching.map(|(_, word)| (*word).to_owned());
            // A server that does not know the flag does not set it, so its policy for encryption is unknown then.
            share.encrypt = Some(true).filter(|_| info.flags & ENCRYPT_DATA != 0);
        }
        share
    }

    async fn set_caching(&self, name: &str, word: &str) -> Result<(), Error> {
        let Some((bits, _)) = CACHING.iter().find(|(_, known)| *known == word) else {
            return Err(control::Error::new(number::INVALID_PARAMETER, "The parameter is incorrect.").into());
        };
        let ShareInfo::Level1005(info) = self.share_info(name, 1005).await.map_err(not_found)? else {
            return Err(Error::Nonsense("a share without flags".into()));
        };
        let flags = info.flags & !CACHING_MASK | bits;
        self.set(name, ShareInfo::Level1005(ShareInfo1005 { flags })).await
    }

    async fn set(&self, name: &str, info: ShareInfo) -> Result<(), Error> {
        let request = ShareSetInfoRequest {
            server_name: Some(self.rpc.server_name()),
            net_name: name.to_owned(),
            info: WithLevel(info),
            parameter_error: Some(0),
        };
        make(&self.rpc, ENDPOINT, &request).await.map_err(not_found)?;
        Ok(())
    }
}

/// Refuses changes that this protocol does not support, such as making a share read-only.
fn refuse_what_cannot_be(change: &ShareChange) -> Result<(), Error> {
    if change.read_only.is_some() {
        return Err(unsupported("another server's shares are not made read-only over MS-SRVS".into()));
    }
    Ok(())
}

/// Samba has the same answer for missing rights and for missing support.
fn not_allowed(refused: Refused) -> Error {
    if !refused.is_denied() {
        return refused.into();
    }
    let hint = "shares are made, changed and deleted by administrators; Samba also answers so where its \
                configuration has no 'add share command', 'change share command' or 'delete share command'";
    control::Error::new(number::ACCESS_DENIED, "Access is denied.").with_hint(hint).into()
}

/// Servers have several errors for an unknown share; Samba's is 123.
pub(super) fn not_found(refused: Refused) -> Error {
    let missing =
        [rpc::Win32Error::INVALID_NAME, rpc::Win32Error::BAD_NET_NAME, rpc::Win32Error::FILE_NOT_FOUND];
    if missing.into_iter().any(|status| refused.is(status)) {
        control::Error::new(number::NET_NAME_NOT_FOUND, "This shared resource does not exist.").into()
    } else {
        not_allowed(refused)
    }
}

const fn uses(most: u32) -> u32 {
    if most == 0 { SHI_USES_UNLIMITED } else { most }
}

/// The kind in `shi*_type` and `coni*_type`.
pub(super) fn kind(share_type: u32) -> ShareKind {
    match share_type & !(STYPE_SPECIAL | STYPE_TEMPORARY) {
        STYPE_DISKTREE => ShareKind::Disk,
        STYPE_PRINTQ => ShareKind::Print,
        STYPE_DEVICE => ShareKind::Comm,
        STYPE_IPC => ShareKind::Ipc,
        _ => ShareKind::Unknown,
    }
}

fn level_0(info: ShareInfo0) -> Share {
    let name = info.net_name.unwrap_or_default();
    Share { special: name.ends_with('$'), name, kind: ShareKind::Unknown, ..Share::default() }
}

fn level_1(info: ShareInfo1) -> Share {
    let share = level_0(ShareInfo0 { net_name: info.net_name });
    Share {
        kind: kind(info.share_type),
        special: share.special || info.share_type & STYPE_SPECIAL != 0,
        comment: info.remark.unwrap_or_default(),
        ..share
    }
}

fn level_2(info: ShareInfo2) -> Share {
    let share =
        level_1(ShareInfo1 { net_name: info.net_name, share_type: info.share_type, remark: info.remark });
    Share {
        path: some(info.path),
        uses: Some(info.current_uses),
        uses_max: Some(info.max_uses).filter(|most| *most != SHI_USES_UNLIMITED),
        ..share
    }
}

fn level_502(info: ShareInfo502) -> ShareWithDescriptor {
    let share = level_2(ShareInfo2 {
        net_name: info.net_name,
        share_type: info.share_type,
        remark: info.remark,
        permissions: info.permissions,
        max_uses: info.max_uses,
        current_uses: info.current_uses,
        path: info.path,
        password: None,
    });
    ShareWithDescriptor::new(share, &info.security_descriptor)
}

fn without_descriptors<T>(entries: Vec<T>, share: fn(T) -> Share) -> Vec<ShareWithDescriptor> {
    entries.into_iter().map(|entry| share(entry).into()).collect()
}

fn with_descriptor(plain: ShareInfo2, security_descriptor: SizedBuffer) -> ShareInfo502 {
    ShareInfo502 {
        net_name: plain.net_name,
        share_type: plain.share_type,
        remark: plain.remark,
        permissions: plain.permissions,
        max_uses: plain.max_uses,
        current_uses: plain.current_uses,
        path: plain.path,
        password: plain.password,
        security_descriptor,
    }
}
