//! Calls with the same answer for every caller, because the server has neither DFS nor changing transports. Their
//! requests are not decoded.

ndr_call! {
    /// NetrServerTransportAdd (MS-SRVS 3.1.4.22): listen on a transport.
    25 "NetrServerTransportAdd" ServerTransportAddRequest {} => ServerTransportAddResponse {} refused |_| {}
}

ndr_call! {
    /// NetrServerTransportDel (MS-SRVS 3.1.4.25): listen on a transport no longer.
    27 "NetrServerTransportDel" ServerTransportDelRequest {} => ServerTransportDelResponse {} refused |_| {}
}

ndr_call! {
    /// NetrServerTransportAddEx (MS-SRVS 3.1.4.23): listen on a transport.
    41 "NetrServerTransportAddEx" ServerTransportAddExRequest {} => ServerTransportAddExResponse {} refused |_| {}
}

ndr_call! {
    /// NetrDfsGetVersion (MS-SRVS 3.1.4.37): the version of DFS, if the server has it.
    43 "NetrDfsGetVersion" DfsGetVersionRequest {} => DfsGetVersionResponse {
        version: u32 = "Version",
    } refused |_| {
        version: 0,
    }
}

ndr_call! {
    /// NetrDfsCreateLocalPartition (MS-SRVS 3.1.4.38).
    44 "NetrDfsCreateLocalPartition" DfsCreateLocalPartitionRequest {}
    => DfsCreateLocalPartitionResponse {} refused |_| {}
}

ndr_call! {
    /// NetrDfsDeleteLocalPartition (MS-SRVS 3.1.4.39).
    45 "NetrDfsDeleteLocalPartition" DfsDeleteLocalPartitionRequest {}
    => DfsDeleteLocalPartitionResponse {} refused |_| {}
}

ndr_call! {
    /// NetrDfsSetLocalVolumeState (MS-SRVS 3.1.4.40).
    46 "NetrDfsSetLocalVolumeState" DfsSetLocalVolumeStateRequest {}
    => DfsSetLocalVolumeStateResponse {} refused |_| {}
}

ndr_call! {
    /// NetrDfsDeleteExitPoint (MS-SRVS 3.1.4.42).
    49 "NetrDfsDeleteExitPoint" DfsDeleteExitPointRequest {} => DfsDeleteExitPointResponse {} refused |_| {}
}

ndr_call! {
    /// NetrDfsModifyPrefix (MS-SRVS 3.1.4.43).
    50 "NetrDfsModifyPrefix" DfsModifyPrefixRequest {} => DfsModifyPrefixResponse {} refused |_| {}
}

ndr_call! {
    /// NetrDfsFixLocalVolume (MS-SRVS 3.1.4.44).
    51 "NetrDfsFixLocalVolume" DfsFixLocalVolumeRequest {} => DfsFixLocalVolumeResponse {} refused |_| {}
}

ndr_call! {
    /// NetrServerTransportDelEx (MS-SRVS 3.1.4.26): listen on a transport no longer.
    53 "NetrServerTransportDelEx" ServerTransportDelExRequest {} => ServerTransportDelExResponse {} refused |_| {}
}

ndr_call! {
    /// NetrServerAliasAdd (MS-SRVS 3.1.4.46): a further name for the server.
    54 "NetrServerAliasAdd" ServerAliasAddRequest {} => ServerAliasAddResponse {} refused |_| {}
}

ndr_call! {
    /// NetrServerAliasDel (MS-SRVS 3.1.4.48): a name no longer.
    56 "NetrServerAliasDel" ServerAliasDelRequest {} => ServerAliasDelResponse {} refused |_| {}
}
