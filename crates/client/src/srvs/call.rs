//! Calls that a server may not know, and lists that come in pages.

use std::collections::HashSet;
use std::sync::Arc;

use rpc::call::Response;
use rpc::{Call, Endpoint, Fault, Win32Error};

use crate::Error;
use crate::limits::{LIST_ENTRIES_MAX, SRVS_PAGE_BYTES, SRVS_PAGES_MAX};
use crate::remote::fault_error;

/// A connection that can make RPC calls.
pub trait Rpc {
    /// `ServerName` of a call: the server with its two backslashes.
    fn server_name(&self) -> String;

    /// The user of the calls, without a domain; `None` if it is not known.
    fn user(&self) -> Option<String> {
        None
    }

    /// Makes a call. The response contains the call's own result.
    fn call<C: Call>(
        &self,
        endpoint: Endpoint,
        call: &C,
    ) -> impl Future<Output = Result<C::Response, CallError>>;
}

impl<T: Rpc> Rpc for Arc<T> {
    fn server_name(&self) -> String {
        self.as_ref().server_name()
    }

    fn user(&self) -> Option<String> {
        self.as_ref().user()
    }

    async fn call<C: Call>(&self, endpoint: Endpoint, call: &C) -> Result<C::Response, CallError> {
        self.as_ref().call(endpoint, call).await
    }
}

/// The reason that a call was not answered.
#[derive(Debug)]
pub enum CallError {
    /// The server did not execute it.
    Fault(Fault),
    /// The session ended under it.
    Ended(Error),
    /// Another error.
    Other(Error),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Fault(fault) => fault_error(fault),
            CallError::Ended(error) | CallError::Other(error) => error,
        }
    }
}

/// A call that failed.
#[derive(Debug)]
pub(super) enum Refused {
    /// The return value.
    Status(Win32Error),
    /// The call was not answered.
    Call(CallError),
}

impl Refused {
    /// True if the server does not know the call or the level, so that another level may work.
    pub(super) fn is_unknown(&self) -> bool {
        match self {
            Self::Status(status) => UNKNOWN.contains(status),
            Self::Call(CallError::Fault(fault)) => *fault != Fault::ACCESS_DENIED,
            Self::Call(_) => false,
        }
    }

    /// True if access is denied.
    pub(super) fn is_denied(&self) -> bool {
        matches!(
            self,
            Self::Status(Win32Error::ACCESS_DENIED) | Self::Call(CallError::Fault(Fault::ACCESS_DENIED))
        )
    }

    /// True if it is this return value.
    pub(super) fn is(&self, status: Win32Error) -> bool {
        matches!(self, Self::Status(it) if *it == status)
    }
}

impl Refused {
    /// The error for a list that only administrators get, with a hint: in Samba, even root may not be one.
    pub(super) fn of_list(self) -> Error {
        if !self.is_denied() {
            return self.into();
        }
        let number = Win32Error::ACCESS_DENIED;
        control::Error::new(number.0, format!("The server answered {number}."))
            .with_hint(
                "only administrators of the server may list this; on Samba, even root is none until a Unix group is \
                 mapped there: 'net groupmap add sid=S-1-5-32-544 unixgroup=GROUP type=builtin'",
            )
            .into()
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            // Servers report an unknown level in several ways.
            Refused::Status(status) if UNKNOWN.contains(&status) => {
                super::unsupported(format!("it answered {status}"))
            }
            Refused::Status(status) => {
                control::Error::new(status.0, format!("The server answered {status}.")).into()
            }
            Refused::Call(error) => error.into(),
        }
    }
}

/// The return values of servers that do not know a level or a call.
const UNKNOWN: [Win32Error; 4] = [
    Win32Error::INVALID_LEVEL,
    Win32Error::NOT_SUPPORTED,
    Win32Error::CALL_NOT_IMPLEMENTED,
    Win32Error::INVALID_FUNCTION,
];

/// Makes a call that succeeds or not.
pub(super) async fn make<R: Rpc, C: Call>(
    rpc: &R,
    endpoint: Endpoint,
    call: &C,
) -> Result<C::Response, Refused>
where
    C::Response: Response<Status = Win32Error>,
{
    let response = rpc.call(endpoint, call).await.map_err(Refused::Call)?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(Refused::Status(status)),
    }
}

/// The start and the size of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageOf {
    pub(super) resume: Option<u32>,
    pub(super) bytes: u32,
}

/// Requests all entries of a list. `ask` makes the call for a page; `take` splits its response into the entries and
/// the handle of the next page.
pub(super) async fn list<R: Rpc, C: Call, T>(
    rpc: &R,
    endpoint: Endpoint,
    ask: impl Fn(PageOf) -> C,
    take: impl Fn(C::Response) -> (Vec<T>, Option<u32>),
) -> Result<Vec<T>, Refused>
where
    C::Response: Response<Status = Win32Error>,
{
    let mut all = Vec::new();
    let mut page = PageOf { resume: Some(0), bytes: SRVS_PAGE_BYTES };
    let mut seen = HashSet::from([0]);
    for _ in 0..SRVS_PAGES_MAX {
        let response = rpc.call(endpoint, &ask(page)).await.map_err(Refused::Call)?;
        let status = response.status();
        let (entries, resume) = take(response);
        let (progress, moved) = (!entries.is_empty(), resume != page.resume && resume != Some(0));
        match status {
            Win32Error::SUCCESS | Win32Error::NO_MORE_ITEMS => {
                all.extend(entries);
                return Ok(all);
            }
            Win32Error::MORE_DATA if progress && moved && resume.is_some() => {
                // A handle is opaque, but one that occurs again leads to an earlier page.
                if resume.is_some_and(|resume| !seen.insert(resume)) {
                    break;
                }
                all.extend(entries);
                page.resume = resume;
            }
            // No entry fits, or the server cannot continue.
            Win32Error::MORE_DATA | Win32Error::BUF_TOO_SMALL
                if page.bytes < rpc::srvsvc::MAX_PREFERRED_LENGTH =>
            {
                page.bytes = rpc::srvsvc::MAX_PREFERRED_LENGTH;
            }
            status => return Err(Refused::Status(status)),
        }
        if all.len() > LIST_ENTRIES_MAX {
            break;
        }
    }
    Err(Refused::Call(Error::Nonsense("the pages of the list do not end".into()).into()))
}
