//! Names to SIDs and back (MS-LSAT 3.1.4).

use wire::NtStatus;
use wire::security::Sid;

use crate::ndr::{
    Container, ContextHandle, CountedArray, Enum16, NdrError, Parameter, Reader, UnicodeString, Writer,
    read_array, write_array,
};

/// `LookupLevel` for a lookup of all names that the server knows (LsapLookupWksta, MS-LSAT 2.2.16).
pub const LOOKUP_WKSTA: Enum16 = Enum16(1);

/// `ClientRevision` of a client that knows no DNS and no forests (MS-LSAT 3.1.4.5).
pub const CLIENT_REVISION: u32 = 1;

/// `DomainIndex` for a name without a domain (MS-LSAT 2.2.13).
pub const NO_DOMAIN: u32 = 0xffff_ffff;

/// SID_NAME_USE (MS-LSAT 2.2.13).
pub mod sid_name_use {
    use crate::ndr::Enum16;

    /// SidTypeUser.
    pub const USER: Enum16 = Enum16(1);
    /// SidTypeGroup.
    pub const GROUP: Enum16 = Enum16(2);
    /// SidTypeDomain.
    pub const DOMAIN: Enum16 = Enum16(3);
    /// SidTypeAlias: a local group.
    pub const ALIAS: Enum16 = Enum16(4);
    /// SidTypeWellKnownGroup.
    pub const WELL_KNOWN_GROUP: Enum16 = Enum16(5);
    /// SidTypeUnknown.
    pub const UNKNOWN: Enum16 = Enum16(8);
}

ndr_struct! {
    /// LSAPR_TRUST_INFORMATION (MS-LSAT 2.2.11): a domain.
    TrustInformation {
        name: UnicodeString = "Name",
        sid: Option<Sid> = "Sid",
    }
}

/// LSAPR_REFERENCED_DOMAIN_LIST (MS-LSAT 2.2.12): the domains that answers refer to by their place here.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ReferencedDomainList {
    /// `Domains`, of `Entries` entries.
    pub domains: Vec<TrustInformation>,
}

impl Parameter for ReferencedDomainList {
    fn write_whole(&self, to: &mut Writer) {
        to.count(self.domains.len());
        to.pointer(!self.domains.is_empty());
        to.u32(MAX_ENTRIES);
        if !self.domains.is_empty() {
            write_array(&self.domains, to);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let (entries, present, _max_entries) = (from.u32()?, from.pointer()?, from.u32()?);
        Ok(Self { domains: if present { read_array(entries, from)? } else { Vec::new() } })
    }
}

ndr_unique_parameter!(ReferencedDomainList);

/// `MaxEntries`, which is ignored; the value of Windows and Samba.
const MAX_ENTRIES: u32 = 32;

/// LSAPR_SID_INFORMATION (MS-LSAT 2.2.17).
pub type SidInformation = Option<Sid>;

ndr_struct! {
    /// LSAPR_TRANSLATED_NAME (MS-LSAT 2.2.19).
    TranslatedName {
        kind: Enum16 = "Use",
        name: UnicodeString = "Name",
        domain: u32 = "DomainIndex",
    }
}

ndr_struct! {
    /// LSAPR_TRANSLATED_NAME_EX (MS-LSAT 2.2.21).
    TranslatedNameEx {
        kind: Enum16 = "Use",
        name: UnicodeString = "Name",
        domain: u32 = "DomainIndex",
        flags: u32 = "Flags",
    }
}

ndr_struct! {
    /// LSA_TRANSLATED_SID (MS-LSAT 2.2.13).
    TranslatedSid {
        kind: Enum16 = "Use",
        rid: u32 = "RelativeId",
        domain: u32 = "DomainIndex",
    }
}

ndr_struct! {
    /// LSAPR_TRANSLATED_SID_EX (MS-LSAT 2.2.23).
    TranslatedSidEx {
        kind: Enum16 = "Use",
        rid: u32 = "RelativeId",
        domain: u32 = "DomainIndex",
        flags: u32 = "Flags",
    }
}

ndr_struct! {
    /// LSAPR_TRANSLATED_SID_EX2 (MS-LSAT 2.2.25).
    TranslatedSidEx2 {
        kind: Enum16 = "Use",
        sid: Option<Sid> = "Sid",
        domain: u32 = "DomainIndex",
        flags: u32 = "Flags",
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarLookupSids (MS-LSAT 3.1.4.11): the names of SIDs.
    15 "LsarLookupSids" LookupSidsRequest {
        handle: ContextHandle = "PolicyHandle",
        sids: Container<SidInformation> = "SidEnumBuffer",
        names: Container<TranslatedName> = "TranslatedNames",
        level: Enum16 = "LookupLevel",
        mapped_count: u32 = "MappedCount",
    } => LookupSidsResponse {
        domains: Option<ReferencedDomainList> = "ReferencedDomains",
        names: Container<TranslatedName> = "TranslatedNames",
        mapped_count: u32 = "MappedCount",
    } refused |_| {
        domains: None,
        names: Container(Vec::new()),
        mapped_count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarLookupSids2 (MS-LSAT 3.1.4.10): the names of SIDs.
    57 "LsarLookupSids2" LookupSids2Request {
        handle: ContextHandle = "PolicyHandle",
        sids: Container<SidInformation> = "SidEnumBuffer",
        names: Container<TranslatedNameEx> = "TranslatedNames",
        level: Enum16 = "LookupLevel",
        mapped_count: u32 = "MappedCount",
        options: u32 = "LookupOptions",
        client_revision: u32 = "ClientRevision",
    } => LookupSids2Response {
        domains: Option<ReferencedDomainList> = "ReferencedDomains",
        names: Container<TranslatedNameEx> = "TranslatedNames",
        mapped_count: u32 = "MappedCount",
    } refused |_| {
        domains: None,
        names: Container(Vec::new()),
        mapped_count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarLookupNames (MS-LSAT 3.1.4.8): whose names these are.
    14 "LsarLookupNames" LookupNamesRequest {
        handle: ContextHandle = "PolicyHandle",
        names: CountedArray<UnicodeString> = "Count, Names",
        sids: Container<TranslatedSid> = "TranslatedSids",
        level: Enum16 = "LookupLevel",
        mapped_count: u32 = "MappedCount",
    } => LookupNamesResponse {
        domains: Option<ReferencedDomainList> = "ReferencedDomains",
        sids: Container<TranslatedSid> = "TranslatedSids",
        mapped_count: u32 = "MappedCount",
    } refused |_| {
        domains: None,
        sids: Container(Vec::new()),
        mapped_count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarLookupNames2 (MS-LSAT 3.1.4.7): whose names these are.
    58 "LsarLookupNames2" LookupNames2Request {
        handle: ContextHandle = "PolicyHandle",
        names: CountedArray<UnicodeString> = "Count, Names",
        sids: Container<TranslatedSidEx> = "TranslatedSids",
        level: Enum16 = "LookupLevel",
        mapped_count: u32 = "MappedCount",
        options: u32 = "LookupOptions",
        client_revision: u32 = "ClientRevision",
    } => LookupNames2Response {
        domains: Option<ReferencedDomainList> = "ReferencedDomains",
        sids: Container<TranslatedSidEx> = "TranslatedSids",
        mapped_count: u32 = "MappedCount",
    } refused |_| {
        domains: None,
        sids: Container(Vec::new()),
        mapped_count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarLookupNames3 (MS-LSAT 3.1.4.6): whose names these are, with the whole SIDs.
    68 "LsarLookupNames3" LookupNames3Request {
        handle: ContextHandle = "PolicyHandle",
        names: CountedArray<UnicodeString> = "Count, Names",
        sids: Container<TranslatedSidEx2> = "TranslatedSids",
        level: Enum16 = "LookupLevel",
        mapped_count: u32 = "MappedCount",
        options: u32 = "LookupOptions",
        client_revision: u32 = "ClientRevision",
    } => LookupNames3Response {
        domains: Option<ReferencedDomainList> = "ReferencedDomains",
        sids: Container<TranslatedSidEx2> = "TranslatedSids",
        mapped_count: u32 = "MappedCount",
    } refused |_| {
        domains: None,
        sids: Container(Vec::new()),
        mapped_count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// LsarGetUserName (MS-LSAT 3.1.4.1): the caller's name.
    45 "LsarGetUserName" GetUserNameRequest {
        system_name: Option<String> = "SystemName",
        user_name: Option<UnicodeString> = "UserName",
        domain_name: Option<Option<UnicodeString>> = "DomainName",
    } => GetUserNameResponse {
        user_name: Option<UnicodeString> = "UserName",
        domain_name: Option<Option<UnicodeString>> = "DomainName",
    } refused |request| {
        user_name: None,
        domain_name: request.domain_name.as_ref().map(|_| None),
    }
}

#[cfg(test)]
mod any {
    use super::ReferencedDomainList;
    use crate::entropy::{Any, Entropy};

    impl Any for ReferencedDomainList {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self { domains: Any::any(from) }
        }
    }
}
