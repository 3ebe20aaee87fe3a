//! Control codes about the connection and the server: MS-SMB2 3.3.5.15.11, 3.3.5.15.12.

use std::net::IpAddr;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use wire::ioctl::{
    InterfaceCapability, NetworkInterface, ValidateNegotiateRequest, ValidateNegotiateResponse,
    encode_network_interfaces,
};
use wire::layout::FixedLayout;
use wire::msg::IoctlRequest;
use wire::{Dialect, NtStatus};

use super::{Answer, done};
use crate::smb::connection::{Negotiated, Refusal, Request, Violation};
use crate::smb::handlers::negotiate::best_dialect;

/// 3.3.5.15.12: detects whether the negotiation was manipulated, and then ends the connection.
pub(super) fn validate_negotiation(
    request: &Request<'_>,
    ioctl: &IoctlRequest<'_>,
) -> Result<(NtStatus, Vec<u8>), Refusal> {
    let connection = request.connection;
    let negotiated = connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let claimed = ValidateNegotiateRequest::decode(ioctl.input);
    let is_same = claimed.is_ok_and(|claimed| is_what_was_negotiated(&claimed, negotiated));
    let has_room = ioctl.max_output_response as usize >= ValidateNegotiateResponse::SIZE;
    if negotiated.dialect == Dialect::SMB311 || !has_room || !is_same {
        return Err(Violation::Negotiation.into());
    }
    let mut output = Vec::new();
    ValidateNegotiateResponse {
        capabilities: negotiated.capabilities.0,
        server_guid: connection.server.identity.guid,
        security_mode: negotiated.security_mode.0,
        dialect: negotiated.dialect.0,
    }
    .encode(&mut output);
    Ok(done(output)?)
}

/// True if the client's values match. Clients may send other dialects than they offered, if the same one
/// results.
fn is_what_was_negotiated(claimed: &ValidateNegotiateRequest, negotiated: &Negotiated) -> bool {
    let best = best_dialect(claimed.dialects.iter().copied().map(Dialect), negotiated.served_dialects);
    best == Some(negotiated.dialect)
        && claimed.client_guid == negotiated.client_guid
        && claimed.capabilities == negotiated.client_capabilities.0
        && claimed.security_mode == negotiated.client_security_mode.0
}

/// 3.3.5.15.11: the addresses of the server.
pub(super) fn interfaces(request: &Request<'_>, ioctl: &IoctlRequest<'_>) -> Answer {
    let connection = request.connection;
    if connection.negotiated.get().is_none_or(|it| it.dialect < Dialect::SMB300) {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    let listening = connection.server.identity.listening();
    let with_loopback = connection.peer.ip().is_loopback();
    let addresses = getifaddrs().map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    let interfaces: Vec<_> = addresses
        .filter_map(|address| interface(&address, with_loopback))
        .filter(|interface| {
            let listens = |at: IpAddr| {
                at == interface.address || at.is_unspecified() && at.is_ipv4() == interface.address.is_ipv4()
            };
            listening.iter().any(|at| listens(at.ip()))
        })
        .take(crate::core::limits::MAX_INTERFACES)
        .collect();
    let mut output = Vec::new();
    if !encode_network_interfaces(&interfaces, &mut output, ioctl.max_output_response as usize) {
        return Err(NtStatus::BUFFER_TOO_SMALL);
    }
    done(output)
}

fn interface(found: &InterfaceAddress, with_loopback: bool) -> Option<NetworkInterface> {
    let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let is_loopback = found.flags.contains(InterfaceFlags::IFF_LOOPBACK);
    if !found.flags.contains(up) || (is_loopback && !with_loopback) {
        return None;
    }
    let address = found.address.as_ref()?;
    let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => IpAddr::V4(v4.ip()),
        // A link-local address is useless without the client's name for the link.
        (None, Some(v6)) if !v6.ip().is_unicast_link_local() => IpAddr::V6(v6.ip()),
        _ => return None,
    };
    Some(NetworkInterface {
        index: if_nametoindex(found.interface_name.as_str()).ok()?,
        capability: InterfaceCapability::NONE,
        link_speed: link_speed(&found.interface_name),
        address,
        scope_id: 0,
    })
}

/// The speed in bits per second; virtual interfaces do not report it.
fn link_speed(name: &str) -> u64 {
    let told = std::fs::read_to_string(format!("/sys/class/net/{name}/speed")).ok();
    let megabits = told.and_then(|text| text.trim().parse::<u64>().ok()).filter(|&megabits| megabits != 0);
    megabits.map_or(UNKNOWN_SPEED, |megabits| megabits.saturating_mul(1_000_000))
}

/// Bits per second for interfaces that do not report their speed.
const UNKNOWN_SPEED: u64 = 1_000_000_000;
