//! The names and SIDs of another server's accounts (MS-LSAT 3.1.4.6, 3.1.4.11).

use std::collections::HashMap;

use control::number;
use rpc::lsarpc::{
    CLIENT_REVISION, CloseRequest, DNS_DOMAIN, ENDPOINT, LOOKUP_WKSTA, LookupNames3Request,
    LookupSidsRequest, ObjectAttributes, OpenPolicy2Request, POLICY_LOOKUP_NAMES,
    POLICY_VIEW_LOCAL_INFORMATION, PRIMARY_DOMAIN, PolicyInformation, QueryInformationPolicy2Request,
    sid_name_use,
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
    /// The name, preceded by its domain if it has one.
    pub(super) name: String,
    pub(super) is_group: bool,
}

/// The domain or workgroup of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// The NetBIOS name.
    pub(super) name: String,
    pub(super) dns_name: Option<String>,
    /// False for a workgroup.
    pub(super) is_domain: bool,
}

impl Membership {
    fn of(information: PolicyInformation) -> Option<Self> {
        let (name, dns_name, sid) = match information {
            PolicyInformation::DnsDomain(it) => (it.name.text, it.dns_domain_name.text, it.sid),
            PolicyInformation::PrimaryDomain(it) => (it.name.text, String::new(), it.sid),
            PolicyInformation::AccountDomain(_) | PolicyInformation::ServerRole(_) => return None,
        };
        let dns_name = Some(dns_name).filter(|name| !name.is_empty());
        let is_domain = sid.is_some() || dns_name.is_some();
        (!name.is_empty()).then_some(Self { name, dns_name, is_domain })
    }

    /// The DNS name of the user's domain, if it is this one.
    pub(super) fn realm_of(&self, user: &str) -> Option<String> {
        let (domain, _) = user.split_once('\\')?;
        self.dns_name.clone().filter(|_| wire::eq_ignore_case(domain, &self.name))
    }
}

impl<R: Rpc> SrvsClient<R> {
    /// The names of these accounts, without those that the server does not know or does not reveal.
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
        let Ok(handle) = self.open_policy(POLICY_LOOKUP_NAMES).await else { return known };
        for some in unknown.chunks(LSA_LOOKUP_ENTRIES) {
            // Whatever goes wrong here, the rest of the share is worth showing.
            known.extend(self.lookup_sids(handle, some).await.unwrap_or_default());
        }
        self.close_policy(handle).await;
        known
    }

    /// The SIDs of these accounts, in the same order. Fails with 1332 if the server does not know one of them.
    pub(super) async fn sids_of(&self, names: &[&str]) -> Result<Vec<Sid>, Error> {
        let mut sids: Vec<Option<Sid>> = names
            .iter()
            .map(|name| WellKnown::of_name(name).map(|it| it.sid).or(name.parse().ok()))
            .collect();
        let asked: Vec<&str> =
            names.iter().zip(&sids).filter(|(_, sid)| sid.is_none()).map(|(name, _)| *name).collect();
        if !asked.is_empty() {
            let handle = self.open_policy(POLICY_LOOKUP_NAMES).await?;
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

    /// The domain of the server, if the name of a user has the form `user@realm`, so that it has to be known.
    pub(super) async fn domain_for(&self, user: Option<&str>) -> Option<Membership> {
        if user.is_some_and(|user| user.contains('@')) { self.membership().await } else { None }
    }

    /// The domain or workgroup of the server; `None` if it does not reveal it.
    pub(super) async fn membership(&self) -> Option<Membership> {
        let handle = self.open_policy(POLICY_VIEW_LOCAL_INFORMATION).await.ok()?;
        let mut found = None;
        // Samba reveals the DNS name on domain controllers only.
        for class in [DNS_DOMAIN, PRIMARY_DOMAIN] {
            if found.is_some() {
                break;
            }
            let request = QueryInformationPolicy2Request { handle, class };
            let information = self.rpc.call(ENDPOINT, &request).await.ok().and_then(|it| it.information);
            found = information.and_then(Membership::of);
        }
        self.close_policy(handle).await;
        found
    }

    async fn open_policy(&self, access: u32) -> Result<ContextHandle, Error> {
        let request = OpenPolicy2Request {
            system_name: Some(self.rpc.server_name()),
            object_attributes: ObjectAttributes,
            desired_access: access,
        };
        let response = self.rpc.call(ENDPOINT, &request).await?;
        succeeded(response.status)?;
        Ok(response.handle)
    }

    /// Closes the policy. A failure concerns only the server.
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

/// True for an account: neither a domain nor an unknown or deleted one.
fn is_account(kind: Enum16) -> bool {
    use sid_name_use::{ALIAS, GROUP, USER, WELL_KNOWN_GROUP};
    [USER, GROUP, ALIAS, WELL_KNOWN_GROUP].contains(&kind)
}

/// Some or all names being unknown is a valid answer.
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

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use rpc::call::Stub as _;
    use rpc::lsarpc::{
        CloseResponse, LookupNames3Response, LookupSidsResponse, OpenPolicy2Response, ReferencedDomainList,
        Request, Response, TranslatedName, TranslatedSidEx2, TrustInformation,
    };
    use rpc::{Call, Endpoint};

    use super::*;
    use crate::srvs::CallError;

    const ANN: Sid = Sid::of_domain([1, 2, 3], 1000);
    const GONE: Sid = Sid::of_domain([1, 2, 3], 1001);

    /// A server that knows ann; it records the names that it was asked for.
    #[derive(Default)]
    struct Lsa(Mutex<Vec<&'static str>>);

    impl Rpc for Lsa {
        fn server_name(&self) -> String {
            r"\\NAS".into()
        }

        async fn call<C: Call>(&self, endpoint: Endpoint, call: &C) -> Result<C::Response, CallError> {
            assert_eq!(endpoint.pipe, "lsarpc");
            let request = Request::decode(C::OPNUM, &call.encode()).unwrap();
            self.0.lock().push(request.name());
            Ok(C::Response::decode(&answer(&request).encode()).unwrap())
        }
    }

    fn answer(request: &Request) -> Response {
        let status = NtStatus::SOME_NOT_MAPPED;
        let domain = TrustInformation { name: "NAS".into(), sid: Some(Sid::of(5, [21, 1, 2, 3])) };
        let domains = Some(ReferencedDomainList { domains: vec![domain] });
        match request {
            Request::OpenPolicy2(_) => {
                OpenPolicy2Response { handle: ContextHandle::default(), status: NtStatus::SUCCESS }.into()
            }
            Request::Close(it) => CloseResponse { handle: it.handle, status: NtStatus::SUCCESS }.into(),
            Request::LookupSids(it) => {
                let name = |sid: &Option<Sid>| match *sid {
                    Some(ANN) => TranslatedName { kind: sid_name_use::USER, name: "ann".into(), domain: 0 },
                    sid => TranslatedName {
                        kind: sid_name_use::UNKNOWN,
                        name: sid.unwrap().to_string().into(),
                        domain: u32::MAX,
                    },
                };
                let names = Container(it.sids.0.iter().map(name).collect());
                LookupSidsResponse { domains, names, mapped_count: 1, status }.into()
            }
            Request::LookupNames3(it) => {
                let sid = |name: &UnicodeString| match name.text.as_str() {
                    "ann" => TranslatedSidEx2 {
                        kind: sid_name_use::USER,
                        sid: Some(ANN),
                        ..TranslatedSidEx2::default()
                    },
                    _ => TranslatedSidEx2 { kind: sid_name_use::UNKNOWN, ..TranslatedSidEx2::default() },
                };
                let sids = Container(it.names.0.iter().map(sid).collect());
                LookupNames3Response { domains, sids, mapped_count: 1, status }.into()
            }
            other => other.refuse(NtStatus::NOT_SUPPORTED),
        }
    }

    #[tokio::test]
    async fn the_server_is_asked_for_its_own_accounts_only() {
        let client = SrvsClient::new(Lsa::default());
        let names = client.names_of([Sid::WORLD, Sid::ADMINISTRATORS]).await;
        assert_eq!(names[&Sid::ADMINISTRATORS].name, r"BUILTIN\Administrators");
        assert_eq!(client.sids_of(&["everyone", "S-1-5-11"]).await.unwrap()[0], Sid::WORLD);
        assert!(client.rpc.0.lock().is_empty());

        let names = client.names_of([ANN, Sid::WORLD, GONE, ANN]).await;
        assert_eq!(names[&ANN], Principal { name: r"NAS\ann".into(), is_group: false });
        assert_eq!((names.get(&GONE), names.len()), (None, 2));
        let asked = std::mem::take(&mut *client.rpc.0.lock());
        assert_eq!(asked, ["LsarOpenPolicy2", "LsarLookupSids", "LsarClose"]);
    }

    #[tokio::test]
    async fn sids_are_in_the_order_of_the_names() {
        let client = SrvsClient::new(Lsa::default());
        let sids = client.sids_of(&["Everyone", "ann", "S-1-22-2-7"]).await.unwrap();
        assert_eq!(sids, [Sid::WORLD, ANN, Sid::unix_group(7)]);
        let refused = client.sids_of(&["bob", "ann"]).await.unwrap_err();
        assert_eq!(refused.number(), number::NONE_MAPPED);
        assert!(refused.hint().unwrap().contains("\"bob\""));
    }
}
