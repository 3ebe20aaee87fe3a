//! What accounts of another server are called, and by which SIDs it knows them (MS-LSAT 3.1.4.6, 3.1.4.11).

use std::collections::HashMap;

use control::number;
use rpc::lsarpc::{
    CLIENT_REVISION, CloseRequest, ENDPOINT, LOOKUP_WKSTA, LookupNames3Request, LookupSidsRequest,
    ObjectAttributes, OpenPolicy2Request, POLICY_LOOKUP_NAMES, sid_name_use,
};
use rpc::ndr::{Container, ContextHandle, CountedArray, Enum16, UnicodeString};
use wire::NtStatus;
use wire::security::{Sid, WellKnown};

use super::SrvsClient;
use super::call::Rpc;
use crate::Error;
use crate::limits::LSA_LOOKUP_ENTRIES;

/// An account as its server calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principal {
    /// Its name, after its domain where it is in one.
    pub(super) name: String,
    pub(super) is_group: bool,
}

impl<R: Rpc> SrvsClient<R> {
    /// What these accounts are called. Whom the server does not know, or does not tell of, is not among them.
    pub(super) async fn names_of(&self, sids: impl IntoIterator<Item = Sid>) -> HashMap<Sid, Principal> {
        let mut known = HashMap::new();
        let mut unknown = Vec::new();
        for sid in sids {
            match WellKnown::of_sid(sid) {
                Some(it) => _ = known.insert(sid, well_known(it)),
                None if !unknown.contains(&sid) => unknown.push(sid),
                None => {}
            }
        }
        if unknown.is_empty() {
            return known;
        }
        let Ok(handle) = self.open_policy().await else { return known };
        for some in unknown.chunks(LSA_LOOKUP_ENTRIES) {
            // Whatever goes wrong here, the rest of the share is worth showing.
            known.extend(self.lookup_sids(handle, some).await.unwrap_or_default());
        }
        self.close_policy(handle).await;
        known
    }

    /// The SIDs of these accounts, in their order. 1332 where the server knows one of them not.
    pub(super) async fn sids_of(&self, names: &[&str]) -> Result<Vec<Sid>, Error> {
        let mut sids: Vec<Option<Sid>> = names
            .iter()
            .map(|name| WellKnown::of_name(name).map(|it| it.sid).or(name.parse().ok()))
            .collect();
        let asked: Vec<&str> =
            names.iter().zip(&sids).filter(|(_, sid)| sid.is_none()).map(|(name, _)| *name).collect();
        if !asked.is_empty() {
            let handle = self.open_policy().await?;
            let mut found = Vec::with_capacity(asked.len());
            for some in asked.chunks(LSA_LOOKUP_ENTRIES) {
                found.extend(self.lookup_names(handle, some).await?);
            }
            self.close_policy(handle).await;
            let mut found = found.into_iter();
            for sid in sids.iter_mut().filter(|sid| sid.is_none()) {
                *sid = found.next().flatten();
            }
        }
        let told = names.iter().zip(sids).map(|(name, sid)| sid.ok_or_else(|| nobody(name)));
        told.collect()
    }

    async fn open_policy(&self) -> Result<ContextHandle, Error> {
        let request = OpenPolicy2Request {
            system_name: Some(self.rpc.server_name()),
            object_attributes: ObjectAttributes,
            desired_access: POLICY_LOOKUP_NAMES,
        };
        let response = self.rpc.call(ENDPOINT, &request).await?;
        succeeded(response.status)?;
        Ok(response.handle)
    }

    /// What goes wrong with this goes wrong for the server alone.
    async fn close_policy(&self, handle: ContextHandle) {
        let _ = self.rpc.call(ENDPOINT, &CloseRequest { handle }).await;
    }

    async fn lookup_sids(&self, handle: ContextHandle, sids: &[Sid]) -> Result<Vec<(Sid, Principal)>, Error> {
        let request = LookupSidsRequest {
            handle,
            sids: Container(sids.iter().copied().map(Some).collect()),
            names: Container(Vec::new()),
            level: LOOKUP_WKSTA,
            mapped_count: 0,
        };
        let response = self.rpc.call(ENDPOINT, &request).await?;
        mapped(response.status)?;
        let domains = response.domains.unwrap_or_default().domains;
        let domain = |index: u32| {
            let domain = domains.get(usize::try_from(index).ok()?)?;
            Some(domain.name.text.as_str()).filter(|name| !name.is_empty())
        };
        let known = sids.iter().zip(&response.names.0).filter(|(_, it)| is_account(it.kind));
        let named = known.map(|(sid, it)| {
            let name = match domain(it.domain) {
                Some(domain) => format!(r"{domain}\{}", it.name.text),
                None => it.name.text.clone(),
            };
            (*sid, Principal { name, is_group: it.kind != sid_name_use::USER })
        });
        Ok(named.filter(|(_, principal)| !principal.name.is_empty()).collect())
    }

    async fn lookup_names(&self, handle: ContextHandle, names: &[&str]) -> Result<Vec<Option<Sid>>, Error> {
        let request = LookupNames3Request {
            handle,
            names: CountedArray(names.iter().copied().map(UnicodeString::from).collect()),
            sids: Container(Vec::new()),
            level: LOOKUP_WKSTA,
            mapped_count: 0,
            options: 0,
            client_revision: CLIENT_REVISION,
        };
        let response = self.rpc.call(ENDPOINT, &request).await?;
        mapped(response.status)?;
        let mut found = response.sids.0.into_iter();
        let next = |_: &&str| found.next().filter(|it| is_account(it.kind)).and_then(|it| it.sid);
        Ok(names.iter().map(next).collect())
    }
}

fn well_known(it: WellKnown) -> Principal {
    let name = if it.domain.is_empty() { it.name.to_owned() } else { format!(r"{}\{}", it.domain, it.name) };
    Principal { name, is_group: it.sid != Sid::WORLD }
}

/// Whether somebody is meant: no domain, and nobody unknown or deleted.
fn is_account(kind: Enum16) -> bool {
    use sid_name_use::{ALIAS, GROUP, USER, WELL_KNOWN_GROUP};
    [USER, GROUP, ALIAS, WELL_KNOWN_GROUP].contains(&kind)
}

/// Not knowing some or all is an answer.
fn mapped(status: NtStatus) -> Result<(), Error> {
    if [NtStatus::SOME_NOT_MAPPED, NtStatus::NONE_MAPPED].contains(&status) {
        return Ok(());
    }
    succeeded(status)
}

fn succeeded(status: NtStatus) -> Result<(), Error> {
    if status.is_success() {
        return Ok(());
    }
    let (number, message) = match status {
        NtStatus::ACCESS_DENIED => (number::ACCESS_DENIED, "Access is denied."),
        _ => (number::NOT_SUPPORTED, "The request is not supported."),
    };
    let hint = format!("asked for accounts' names, the server answered {status:?}");
    Err(control::Error::new(number, message).with_hint(hint).into())
}

fn nobody(name: &str) -> Error {
    let message = "No mapping between account names and security IDs was done.";
    let hint = format!("the server knows no user or group {name:?}");
    control::Error::new(number::NONE_MAPPED, message).with_hint(hint).into()
}
