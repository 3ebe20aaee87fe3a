//! Calls that a server without DFS (MS-SRVS 3.1.4.37 to 3.1.4.44), and without transports (3.1.4.22 to 3.1.4.26) and
//! names (3.1.4.46, 3.1.4.48) that come and go, refuses.

use crate::call::RefusedCall;

/// The calls, in order of their numbers.
pub const REFUSED: &[RefusedCall] = &[
    RefusedCall { opnum: 25, name: "NetrServerTransportAdd", parameters: 0 },
    RefusedCall { opnum: 27, name: "NetrServerTransportDel", parameters: 0 },
    RefusedCall { opnum: 41, name: "NetrServerTransportAddEx", parameters: 0 },
    RefusedCall { opnum: 43, name: "NetrDfsGetVersion", parameters: 1 },
    RefusedCall { opnum: 44, name: "NetrDfsCreateLocalPartition", parameters: 0 },
    RefusedCall { opnum: 45, name: "NetrDfsDeleteLocalPartition", parameters: 0 },
    RefusedCall { opnum: 46, name: "NetrDfsSetLocalVolumeState", parameters: 0 },
    RefusedCall { opnum: 49, name: "NetrDfsDeleteExitPoint", parameters: 0 },
    RefusedCall { opnum: 50, name: "NetrDfsModifyPrefix", parameters: 0 },
    RefusedCall { opnum: 51, name: "NetrDfsFixLocalVolume", parameters: 0 },
    RefusedCall { opnum: 53, name: "NetrServerTransportDelEx", parameters: 0 },
    RefusedCall { opnum: 54, name: "NetrServerAliasAdd", parameters: 0 },
    RefusedCall { opnum: 56, name: "NetrServerAliasDel", parameters: 0 },
];

/// The number of NetrDfsGetVersion, which anybody may ask.
pub const DFS_GET_VERSION: u16 = 43;
