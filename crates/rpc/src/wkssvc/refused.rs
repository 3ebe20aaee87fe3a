//! Calls that join domains, rename the computer or connect it to other servers (MS-WKST 3.2.4), and some that MS-WKST
//! leaves to local use: a file server refuses them.

use crate::call::RefusedCall;

/// The calls, in order of their numbers.
pub const REFUSED: &[RefusedCall] = &[
    RefusedCall { opnum: 1, name: "NetrWkstaSetInfo", parameters: 1 },
    RefusedCall { opnum: 6, name: "NetrWkstaTransportAdd", parameters: 1 },
    RefusedCall { opnum: 7, name: "NetrWkstaTransportDel", parameters: 0 },
    RefusedCall { opnum: 8, name: "NetrUseAdd", parameters: 1 },
    RefusedCall { opnum: 10, name: "NetrUseDel", parameters: 0 },
    RefusedCall { opnum: 13, name: "NetrWorkstationStatisticsGet", parameters: 1 },
    RefusedCall { opnum: 14, name: "NetrLogonDomainNameAdd", parameters: 0 },
    RefusedCall { opnum: 15, name: "NetrLogonDomainNameDel", parameters: 0 },
    RefusedCall { opnum: 16, name: "NetrJoinDomain", parameters: 0 },
    RefusedCall { opnum: 17, name: "NetrUnjoinDomain", parameters: 0 },
    RefusedCall { opnum: 18, name: "NetrRenameMachineInDomain", parameters: 0 },
    RefusedCall { opnum: 19, name: "NetrValidateName", parameters: 0 },
    RefusedCall { opnum: 21, name: "NetrGetJoinableOUs", parameters: 2 },
    RefusedCall { opnum: 22, name: "NetrJoinDomain2", parameters: 0 },
    RefusedCall { opnum: 23, name: "NetrUnjoinDomain2", parameters: 0 },
    RefusedCall { opnum: 24, name: "NetrRenameMachineInDomain2", parameters: 0 },
    RefusedCall { opnum: 25, name: "NetrValidateName2", parameters: 0 },
    RefusedCall { opnum: 26, name: "NetrGetJoinableOUs2", parameters: 2 },
    RefusedCall { opnum: 27, name: "NetrAddAlternateComputerName", parameters: 0 },
    RefusedCall { opnum: 28, name: "NetrRemoveAlternateComputerName", parameters: 0 },
    RefusedCall { opnum: 29, name: "NetrSetPrimaryComputerName", parameters: 0 },
];
