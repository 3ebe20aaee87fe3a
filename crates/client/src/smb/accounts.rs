//! The SIDs of accounts, as the server's LSA has them (MS-LSAT).

use rpc::lsarpc::{
    CLIENT_REVISION, CloseRequest, ENDPOINT, INTERFACE, LOOKUP_WKSTA, LookupNames3Request, ObjectAttributes,
    OpenPolicy2Request, POLICY_LOOKUP_NAMES,
};
use rpc::ndr::{Container, CountedArray, UnicodeString};
use wire::security::Sid;

use super::error::Error;
use super::pipe::Pipe;
use super::session::ClientSession;

impl ClientSession {
    /// The SID of an account, by its name with or without a domain; `None` if the server does not know it or does not
    /// reveal it (MS-LSAT 3.1.4.6).
    pub async fn sid_of(&self, name: &str) -> Result<Option<Sid>, Error> {
        let mut pipe = Pipe::connect(self, ENDPOINT.pipe, INTERFACE).await?;
        let open = OpenPolicy2Request {
            system_name: None,
            object_attributes: ObjectAttributes,
            desired_access: POLICY_LOOKUP_NAMES,
        };
        let opened = pipe.call(&open).await?;
        if !opened.status.is_success() {
            pipe.close().await?;
            return Ok(None);
        }
        let look_up = LookupNames3Request {
            handle: opened.handle,
            names: CountedArray([name].into_iter().map(UnicodeString::from).collect()),
            sids: Container(Vec::new()),
            level: LOOKUP_WKSTA,
            mapped_count: 0,
            options: 0,
            client_revision: CLIENT_REVISION,
        };
        let found = pipe.call(&look_up).await?;
        pipe.call(&CloseRequest { handle: opened.handle }).await?;
        pipe.close().await?;
        Ok(found.sids.0.first().and_then(|found| found.sid))
    }
}
