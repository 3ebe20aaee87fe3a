//! MS-SRVS: the server service, on `\PIPE\srvsvc`.

pub mod alias;
pub mod connection;
pub mod file;
pub mod name;
pub mod refused;
pub mod security;
pub mod server;
pub mod session;
pub mod share;
pub mod transport;

pub use alias::*;
pub use connection::*;
pub use file::*;
pub use name::*;
pub use refused::*;
pub use security::*;
pub use server::*;
pub use session::*;
pub use share::*;
pub use transport::*;

use crate::association::Endpoint;
use crate::uuid::{InterfaceId, Uuid};

/// The interface (MS-SRVS 1.9).
pub const INTERFACE: InterfaceId = InterfaceId {
    uuid: Uuid::from_fields(0x4b324fc8, 0x1670, 0x01d3, [0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88]),
    major: 3,
    minor: 0,
};

/// The pipe it is reached by.
pub const ENDPOINT: Endpoint = Endpoint { pipe: "srvsvc", interfaces: &[INTERFACE] };

/// `PreferedMaximumLength` of a caller that wants everything (MS-SRVS 2.2.2.2).
pub const MAX_PREFERRED_LENGTH: u32 = 0xffff_ffff;

ndr_interface! {
    /// NetrConnectionEnum.
    ConnectionEnum(ConnectionEnumRequest => ConnectionEnumResponse),
    /// NetrFileEnum.
    FileEnum(FileEnumRequest => FileEnumResponse),
    /// NetrFileGetInfo.
    FileGetInfo(FileGetInfoRequest => FileGetInfoResponse),
    /// NetrFileClose.
    FileClose(FileCloseRequest => FileCloseResponse),
    /// NetrSessionEnum.
    SessionEnum(SessionEnumRequest => SessionEnumResponse),
    /// NetrSessionDel.
    SessionDel(SessionDelRequest => SessionDelResponse),
    /// NetrShareAdd.
    ShareAdd(ShareAddRequest => ShareAddResponse),
    /// NetrShareEnum.
    ShareEnum(ShareEnumRequest => ShareEnumResponse),
    /// NetrShareGetInfo.
    ShareGetInfo(ShareGetInfoRequest => ShareGetInfoResponse),
    /// NetrShareSetInfo.
    ShareSetInfo(ShareSetInfoRequest => ShareSetInfoResponse),
    /// NetrShareDel.
    ShareDel(ShareDelRequest => ShareDelResponse),
    /// NetrShareDelSticky.
    ShareDelSticky(ShareDelStickyRequest => ShareDelStickyResponse),
    /// NetrShareDelStart.
    ShareDelStart(ShareDelStartRequest => ShareDelStartResponse),
    /// NetrShareDelCommit.
    ShareDelCommit(ShareDelCommitRequest => ShareDelCommitResponse),
    /// NetrShareCheck.
    ShareCheck(ShareCheckRequest => ShareCheckResponse),
    /// NetrServerGetInfo.
    ServerGetInfo(ServerGetInfoRequest => ServerGetInfoResponse),
    /// NetrServerSetInfo.
    ServerSetInfo(ServerSetInfoRequest => ServerSetInfoResponse),
    /// NetrServerDiskEnum.
    ServerDiskEnum(ServerDiskEnumRequest => ServerDiskEnumResponse),
    /// NetrServerStatisticsGet.
    ServerStatisticsGet(ServerStatisticsGetRequest => ServerStatisticsGetResponse),
    /// NetrServerTransportEnum.
    ServerTransportEnum(ServerTransportEnumRequest => ServerTransportEnumResponse),
    /// NetrRemoteTOD.
    RemoteTod(RemoteTodRequest => RemoteTodResponse),
    /// NetprPathType.
    PathType(PathTypeRequest => PathTypeResponse),
    /// NetprPathCanonicalize.
    PathCanonicalize(PathCanonicalizeRequest => PathCanonicalizeResponse),
    /// NetprPathCompare.
    PathCompare(PathCompareRequest => PathCompareResponse),
    /// NetprNameValidate.
    NameValidate(NameValidateRequest => NameValidateResponse),
    /// NetprNameCanonicalize.
    NameCanonicalize(NameCanonicalizeRequest => NameCanonicalizeResponse),
    /// NetprNameCompare.
    NameCompare(NameCompareRequest => NameCompareResponse),
    /// NetrShareEnumSticky.
    ShareEnumSticky(ShareEnumStickyRequest => ShareEnumStickyResponse),
    /// NetrShareDelEx.
    ShareDelEx(ShareDelExRequest => ShareDelExResponse),
    /// NetrServerAliasEnum.
    ServerAliasEnum(ServerAliasEnumRequest => ServerAliasEnumResponse),
    /// NetrpSetFileSecurity.
    SetFileSecurity(SetFileSecurityRequest => SetFileSecurityResponse),
    /// NetrpGetFileSecurity.
    GetFileSecurity(GetFileSecurityRequest => GetFileSecurityResponse),
}

#[cfg(test)]
mod tests;
