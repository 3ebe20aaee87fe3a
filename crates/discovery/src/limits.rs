//! Limits, and the numbers of the protocols.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The UDP port of WS-Discovery.
pub(crate) const WSD_PORT: u16 = 3702;

/// The multicast group of WS-Discovery.
pub(crate) const WSD_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// The multicast group of WS-Discovery with IPv6.
pub(crate) const WSD_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc);

/// The UDP port of mDNS.
pub(crate) const MDNS_PORT: u16 = 5353;

/// The TCP port of the metadata, which Windows expects.
pub(crate) const METADATA_PORT: u16 = 5357;

/// The size of a message in bytes. Those of Windows have less than 2 KiB; larger ones are ignored.
pub(crate) const MESSAGE_MAX: usize = 8 * 1024;

/// The depth of elements in a message. Deeper ones are ignored.
pub(crate) const DEPTH_MAX: usize = 16;

/// The length of a text in a message, in bytes. Messages with longer ones are ignored.
pub(crate) const TEXT_MAX: usize = 512;

/// The answers on one link that may be sent in one second. An answer is about three times as long as a question, and the
/// sender of a question may be forged.
pub(crate) const ANSWERS_PER_SECOND: u32 = 20;

/// The connections for metadata at the same time. Others wait.
pub(crate) const METADATA_CONNECTIONS: usize = 16;

/// The connections for metadata that the kernel keeps until they are accepted.
pub(crate) const METADATA_BACKLOG: i32 = 128;

/// The time of a connection for metadata.
pub(crate) const METADATA_TIME: Duration = Duration::from_secs(10);

/// The interval at which the addresses of the machine are looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The disks for Time Machine that are announced; their record has to fit in one packet. Others are not.
pub(crate) const DISKS_MAX: usize = 32;

/// The length of a text in a record of mDNS, in bytes (RFC 6763 6.1).
pub(crate) const RECORD_TEXT_MAX: usize = 255;

/// The networks of the machine from which questions by mDNS to its own address are answered; from others they are not.
pub(crate) const NETWORKS_MAX: usize = 128;
