//! Calls that join domains, rename the computer or connect it to other servers. A file server has the same answer for
//! every caller, so their requests are not decoded.

ndr_call! {
    /// NetrWkstaSetInfo (MS-WKST 3.2.4.2): change the redirector's settings.
    1 "NetrWkstaSetInfo" WkstaSetInfoRequest {} => WkstaSetInfoResponse {
        parameter_error: Option<u32> = "ErrorParameter",
    } refused |_| {
        parameter_error: None,
    }
}

ndr_call! {
    /// NetrWkstaTransportAdd (MS-WKST 3.2.4.5).
    6 "NetrWkstaTransportAdd" WkstaTransportAddRequest {} => WkstaTransportAddResponse {
        parameter_error: Option<u32> = "ErrorParameter",
    } refused |_| {
        parameter_error: None,
    }
}

ndr_call! {
    /// NetrWkstaTransportDel (MS-WKST 3.2.4.6).
    7 "NetrWkstaTransportDel" WkstaTransportDelRequest {} => WkstaTransportDelResponse {} refused |_| {}
}

ndr_call! {
    /// NetrUseAdd (MS-WKST 3.2.4.7): connect the computer to a share.
    8 "NetrUseAdd" UseAddRequest {} => UseAddResponse {
        parameter_error: Option<u32> = "ErrorParameter",
    } refused |_| {
        parameter_error: None,
    }
}

ndr_call! {
    /// NetrUseDel (MS-WKST 3.2.4.9).
    10 "NetrUseDel" UseDelRequest {} => UseDelResponse {} refused |_| {}
}

ndr_call! {
    /// NetrWorkstationStatisticsGet (MS-WKST 3.2.4.11): the redirector's counters.
    13 "NetrWorkstationStatisticsGet" WorkstationStatisticsGetRequest {} => WorkstationStatisticsGetResponse {
        statistics: u32 = "Buffer",
    } refused |_| {
        statistics: 0,
    }
}

ndr_call! {
    /// NetrLogonDomainNameAdd, which MS-WKST leaves to local use.
    14 "NetrLogonDomainNameAdd" LogonDomainNameAddRequest {} => LogonDomainNameAddResponse {} refused |_| {}
}

ndr_call! {
    /// NetrLogonDomainNameDel, which MS-WKST leaves to local use.
    15 "NetrLogonDomainNameDel" LogonDomainNameDelRequest {} => LogonDomainNameDelResponse {} refused |_| {}
}

ndr_call! {
    /// NetrJoinDomain, which Windows knows and does not do.
    16 "NetrJoinDomain" JoinDomainRequest {} => JoinDomainResponse {} refused |_| {}
}

ndr_call! {
    /// NetrUnjoinDomain, which Windows knows and does not do.
    17 "NetrUnjoinDomain" UnjoinDomainRequest {} => UnjoinDomainResponse {} refused |_| {}
}

ndr_call! {
    /// NetrRenameMachineInDomain, which Windows knows and does not do.
    18 "NetrRenameMachineInDomain" RenameMachineInDomainRequest {}
    => RenameMachineInDomainResponse {} refused |_| {}
}

ndr_call! {
    /// NetrValidateName, which Windows knows and does not do.
    19 "NetrValidateName" ValidateNameRequest {} => ValidateNameResponse {} refused |_| {}
}

ndr_call! {
    /// NetrGetJoinableOUs, which Windows knows and does not do.
    21 "NetrGetJoinableOUs" GetJoinableOUsRequest {} => GetJoinableOUsResponse {
        count: u32 = "OUCount",
        units: u32 = "OUs",
    } refused |_| {
        count: 0,
        units: 0,
    }
}

ndr_call! {
    /// NetrGetJoinableOUs2 (MS-WKST 3.2.4.18).
    26 "NetrGetJoinableOUs2" GetJoinableOUs2Request {} => GetJoinableOUs2Response {
        count: u32 = "OUCount",
        units: u32 = "OUs",
    } refused |_| {
        count: 0,
        units: 0,
    }
}

ndr_call! {
    /// NetrJoinDomain2 (MS-WKST 3.2.4.14).
    22 "NetrJoinDomain2" JoinDomain2Request {} => JoinDomain2Response {} refused |_| {}
}

ndr_call! {
    /// NetrUnjoinDomain2 (MS-WKST 3.2.4.15).
    23 "NetrUnjoinDomain2" UnjoinDomain2Request {} => UnjoinDomain2Response {} refused |_| {}
}

ndr_call! {
    /// NetrRenameMachineInDomain2 (MS-WKST 3.2.4.16).
    24 "NetrRenameMachineInDomain2" RenameMachineInDomain2Request {}
    => RenameMachineInDomain2Response {} refused |_| {}
}

ndr_call! {
    /// NetrValidateName2 (MS-WKST 3.2.4.17).
    25 "NetrValidateName2" ValidateName2Request {} => ValidateName2Response {} refused |_| {}
}

ndr_call! {
    /// NetrAddAlternateComputerName (MS-WKST 3.2.4.19).
    27 "NetrAddAlternateComputerName" AddAlternateComputerNameRequest {}
    => AddAlternateComputerNameResponse {} refused |_| {}
}

ndr_call! {
    /// NetrRemoveAlternateComputerName (MS-WKST 3.2.4.20).
    28 "NetrRemoveAlternateComputerName" RemoveAlternateComputerNameRequest {}
    => RemoveAlternateComputerNameResponse {} refused |_| {}
}

ndr_call! {
    /// NetrSetPrimaryComputerName (MS-WKST 3.2.4.21).
    29 "NetrSetPrimaryComputerName" SetPrimaryComputerNameRequest {}
    => SetPrimaryComputerNameResponse {} refused |_| {}
}
