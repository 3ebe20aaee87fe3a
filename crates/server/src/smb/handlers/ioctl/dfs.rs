//! FSCTL_DFS_GET_REFERRALS: MS-SMB2 3.3.5.15.2, MS-DFSC 3.2.5.1. A member of a cluster refers clients to the owner of a
//! share.

use std::net::IpAddr;

use wire::NtStatus;
use wire::ioctl::{DfsReferral, DfsReferralRequest};
use wire::msg::IoctlRequest;

use super::{Answer, FS_DRIVER_REQUIRED, done};
use crate::core::cluster::Elsewhere;
use crate::smb::connection::Request;
use crate::smb::handlers::malformed;

/// Answers with the owner of a share of the cluster that another server owns. Shares of this server have no referral.
pub(super) fn referrals(request: &Request<'_>, ioctl: &IoctlRequest<'_>) -> Answer {
    let cluster = &request.connection.server.cluster;
    if !cluster.is_member() {
        return Err(FS_DRIVER_REQUIRED);
    }
    let asked = DfsReferralRequest::decode(ioctl.input).map_err(malformed)?;
    // With one leading backslash, or with two (MS-DFSC 2.2.2 has one).
    let path = asked.path.trim_start_matches('\\');
    let mut parts = path.splitn(3, '\\');
    let (Some(server), Some(share)) = (parts.next(), parts.next().filter(|it| !it.is_empty())) else {
        return Err(NtStatus::NOT_FOUND);
    };
    let Some(Elsewhere::At(addresses)) = cluster.elsewhere(share) else { return Err(NtStatus::NOT_FOUND) };
    let referral = DfsReferral {
        path: format!("\\{server}\\{share}"),
        targets: addresses.iter().map(|address| format!("\\{}\\{share}", host(*address))).collect(),
        ttl_seconds: TTL_SECONDS,
    };
    let mut output = Vec::new();
    referral.encode(asked.max_level, &mut output);
    if output.len() > ioctl.max_output_response as usize {
        return Err(NtStatus::BUFFER_OVERFLOW);
    }
    done(output)
}

/// The address as a part of a path. One of IPv6 is written as Windows does, because a colon ends a name.
fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}.ipv6-literal.net", address.to_string().replace(':', "-")),
    }
}

/// A client that keeps a referral for longer goes to the former owner, which refers it on.
const TTL_SECONDS: u32 = 10;
