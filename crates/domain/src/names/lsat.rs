//! Names from a domain controller: MS-LSAT over the pipe `lsarpc`, in an SMB session.

use std::net::SocketAddr;
use std::time::Duration;

use client::smb::{ClientConnection, ConnectOptions, LogonCredentials, Pipe, Signing};
use rpc::lsarpc::{
    CLIENT_REVISION, CloseRequest, DNS_DOMAIN, ENDPOINT, INTERFACE, LOOKUP_WKSTA, LookupNames3Request,
    LookupSids2Request, NO_DOMAIN, ObjectAttributes, OpenPolicy2Request, POLICY_LOOKUP_NAMES,
    POLICY_VIEW_LOCAL_INFORMATION, PolicyInformation, QueryInformationPolicy2Request, ReferencedDomainList,
};
use rpc::ndr::{Container, ContextHandle, CountedArray, Enum16, UnicodeString};
use wire::NtStatus;
use wire::security::Sid;

use crate::{Named, NamedKind};

/// The names or SIDs of one call. MS-LSAT allows 1000 names, and 20,480 SIDs (MS-LSAT 3.1.4.5, 3.1.4.9).
pub(super) const AT_ONCE: usize = 500;

/// The time for a connection, and for each answer. A controller answers from its database, or asks that of a trusted
/// domain.
const CONNECT_TIME: Duration = Duration::from_secs(5);
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// The reason why a controller gave no names.
#[derive(Debug, thiserror::Error)]
pub enum LsatError {
    /// The controller's address is not known.
    #[error("{0} has no address: {1}")]
    Address(String, std::io::Error),
    /// The session with the controller failed.
    #[error("{0}: {1}")]
    Session(String, client::smb::Error),
    /// The controller refused a call.
    #[error("{0} refuses {1} with {2}")]
    Refused(String, &'static str, NtStatus),
}

/// A domain, as its controller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// The NetBIOS name.
    pub name: String,
    /// The DNS name.
    pub dns_name: String,
    /// The DNS name of the forest.
    pub forest: String,
    /// The domain's SID.
    pub sid: Sid,
}

/// A session with a controller for questions about names.
#[derive(Debug)]
pub struct LsatSession {
    controller: String,
    connection: ClientConnection,
    pipe: Pipe,
    policy: ContextHandle,
}

impl LsatSession {
    /// Logs on at a controller. The session is signed, so that nobody can change the answers.
    pub async fn connect(
        controller: &str,
        credentials: impl Into<LogonCredentials>,
    ) -> Result<Self, LsatError> {
        Self::over(connect(controller).await?, controller, credentials).await
    }

    /// As [`connect`](Self::connect), over a connection that exists.
    pub(crate) async fn over(
        connection: ClientConnection,
        controller: &str,
        credentials: impl Into<LogonCredentials>,
    ) -> Result<Self, LsatError> {
        let failed = |error| LsatError::Session(controller.to_owned(), error);
        let opened = async {
            let session = connection.logon(credentials).await?;
            let mut pipe = Pipe::connect(&session, ENDPOINT.pipe, INTERFACE).await?;
            let open = OpenPolicy2Request {
                system_name: None,
                object_attributes: ObjectAttributes,
                desired_access: POLICY_LOOKUP_NAMES | POLICY_VIEW_LOCAL_INFORMATION,
            };
            let opened = pipe.call(&open).await?;
            Ok((pipe, opened))
        };
        let (pipe, opened) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                connection.disconnect();
                return Err(failed(error));
            }
        };
        if !opened.status.is_success() {
            connection.disconnect();
            return Err(LsatError::Refused(controller.to_owned(), "LsarOpenPolicy2", opened.status));
        }
        Ok(Self { controller: controller.to_owned(), connection, pipe, policy: opened.handle })
    }

    /// The controller's host name.
    pub fn controller(&self) -> &str {
        &self.controller
    }

    /// The controller's domain (MS-LSAD 3.1.4.4.3).
    pub async fn domain(&mut self) -> Result<DomainInfo, LsatError> {
        let request = QueryInformationPolicy2Request { handle: self.policy, class: DNS_DOMAIN };
        let failed = |error| LsatError::Session(self.controller.clone(), error);
        let answer = self.pipe.call(&request).await.map_err(failed)?;
        let refused =
            LsatError::Refused(self.controller.clone(), "LsarQueryInformationPolicy2", answer.status);
        match answer.information {
            Some(PolicyInformation::DnsDomain(domain)) if answer.status.is_success() => Ok(DomainInfo {
                name: domain.name.text,
                dns_name: domain.dns_domain_name.text,
                forest: domain.dns_forest_name.text,
                sid: domain.sid.ok_or(refused)?,
            }),
            _ => Err(refused),
        }
    }

    /// The owners of SIDs, in the same order; `None` for those that nobody has (MS-LSAT 3.1.4.10).
    pub async fn names_of(&mut self, sids: &[Sid]) -> Result<Vec<Option<Named>>, LsatError> {
        let mut found = Vec::with_capacity(sids.len());
        for part in sids.chunks(AT_ONCE) {
            let request = LookupSids2Request {
                handle: self.policy,
                sids: Container(part.iter().map(|sid| Some(*sid)).collect()),
                names: Container(Vec::new()),
                level: LOOKUP_WKSTA,
                mapped_count: 0,
                options: 0,
                client_revision: CLIENT_REVISION,
            };
            let answer = self.pipe.call(&request).await;
            let answer = answer.map_err(|error| LsatError::Session(self.controller.clone(), error))?;
            self.check("LsarLookupSids2", answer.status)?;
            let domains = answer.domains.unwrap_or_default();
            let mut names = answer.names.0.into_iter();
            found.extend(part.iter().map(|sid| {
                let translated = names.next()?;
                named(*sid, translated.kind, translated.name.text, domain(&domains, translated.domain))
            }));
        }
        Ok(found)
    }

    /// The owners of names such as `CORP\carol` and `carol@corp.example`, in the same order, with their names as the
    /// domain spells them; `None` for names that nobody has (MS-LSAT 3.1.4.6).
    pub async fn owners_of(&mut self, names: &[String]) -> Result<Vec<Option<Named>>, LsatError> {
        let mut sids = Vec::with_capacity(names.len());
        for part in names.chunks(AT_ONCE) {
            let request = LookupNames3Request {
                handle: self.policy,
                names: CountedArray(part.iter().map(|name| UnicodeString::from(name.as_str())).collect()),
                sids: Container(Vec::new()),
                level: LOOKUP_WKSTA,
                mapped_count: 0,
                options: 0,
                client_revision: CLIENT_REVISION,
            };
            let answer = self.pipe.call(&request).await;
            let answer = answer.map_err(|error| LsatError::Session(self.controller.clone(), error))?;
            self.check("LsarLookupNames3", answer.status)?;
            let mut translated = answer.sids.0.into_iter();
            sids.extend(part.iter().map(|_| translated.next().and_then(|it| it.sid)));
        }
        // The answer has no names: those of the question may be written in another way.
        let known: Vec<Sid> = sids.iter().flatten().copied().collect();
        let mut named = self.names_of(&known).await?.into_iter();
        Ok(sids.into_iter().map(|sid| sid.and_then(|_| named.next().flatten())).collect())
    }

    /// Ends the session.
    pub async fn close(mut self) {
        // The controller forgets everything with the connection, so no answer is needed.
        _ = self.pipe.call(&CloseRequest { handle: self.policy }).await;
        self.connection.disconnect();
    }

    fn check(&self, call: &'static str, status: NtStatus) -> Result<(), LsatError> {
        // Some or all have no owner: that is an answer.
        if status.is_success() || matches!(status, NtStatus::SOME_NOT_MAPPED | NtStatus::NONE_MAPPED) {
            return Ok(());
        }
        Err(LsatError::Refused(self.controller.clone(), call, status))
    }
}

impl Drop for LsatSession {
    fn drop(&mut self) {
        self.connection.disconnect();
    }
}

/// A connection to a controller, before any logon.
pub(crate) async fn connect(controller: &str) -> Result<ClientConnection, LsatError> {
    let failed = |error| LsatError::Session(controller.to_owned(), error);
    let mut options = ConnectOptions::new().map_err(failed)?;
    options.server_name = controller.to_owned();
    options.signing = Signing::Required;
    options.connect_timeout = CONNECT_TIME;
    options.request_timeout = ANSWER_TIME;
    let no_address = |error| LsatError::Address(controller.to_owned(), error);
    let look_up = tokio::time::timeout(CONNECT_TIME, tokio::net::lookup_host((controller, SMB_PORT)));
    let addresses: Vec<SocketAddr> = look_up
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(no_address)?
        .collect();
    let mut last = no_address(std::io::ErrorKind::NotFound.into());
    for address in addresses {
        match ClientConnection::connect(address, None, options.clone()).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

/// The port of SMB over TCP.
const SMB_PORT: u16 = 445;

fn domain(domains: &ReferencedDomainList, index: u32) -> String {
    if index == NO_DOMAIN {
        return String::new();
    }
    let at = usize::try_from(index).ok();
    at.and_then(|at| domains.domains.get(at)).map(|domain| domain.name.text.clone()).unwrap_or_default()
}

/// The owner that an answer names; `None` for unknown and deleted ones.
fn named(sid: Sid, kind: Enum16, name: String, domain: String) -> Option<Named> {
    let kind = NamedKind::of(u32::from(kind.0));
    // The name of an unknown one is its SID as text (MS-LSAT 3.1.4.9).
    if kind == NamedKind::Other || (name.is_empty() && domain.is_empty()) {
        return None;
    }
    let name = if kind == NamedKind::Domain { String::new() } else { name };
    Some(Named { sid, domain, name, kind })
}
