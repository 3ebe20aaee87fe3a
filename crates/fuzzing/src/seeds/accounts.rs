//! Calls about names and accounts, and changes of passwords.

use super::Seeds;

/// The messages of a client that shows the owner of a file.
pub(super) fn lookups(all: &mut Seeds) {
    use rpc::lsarpc::{
        LOOKUP_WKSTA, LookupNames3Request, LookupSidsRequest, LookupSidsResponse, ObjectAttributes,
        OpenPolicy2Request, ReferencedDomainList, Request, Response, TranslatedName, TrustInformation,
    };
    use rpc::ndr::{Container, ContextHandle, CountedArray};
    use wire::security::Sid;
    let handle = ContextHandle { attributes: 0, uuid: [7; 16] };
    let requests: [Request; 3] = [
        OpenPolicy2Request {
            system_name: Some(r"\\NAS".into()),
            object_attributes: ObjectAttributes,
            desired_access: 0x800,
        }
        .into(),
        LookupSidsRequest {
            handle,
            sids: Container(vec![Some(Sid::WORLD), Some(Sid::of_domain([1, 2, 3], 1000))]),
            names: Container(Vec::new()),
            level: LOOKUP_WKSTA,
            mapped_count: 0,
        }
        .into(),
        LookupNames3Request {
            handle,
            names: CountedArray(vec!["ann".into(), r"NAS\bob".into()]),
            sids: Container(Vec::new()),
            level: LOOKUP_WKSTA,
            mapped_count: 0,
            options: 0,
            client_revision: 1,
        }
        .into(),
    ];
    let domain = TrustInformation { name: "NAS".into(), sid: Some(Sid::of(5, [21, 1, 2, 3])) };
    let response: Response = LookupSidsResponse {
        domains: Some(ReferencedDomainList { domains: vec![domain] }),
        names: Container(vec![TranslatedName { name: "ann".into(), ..TranslatedName::default() }]),
        mapped_count: 1,
        status: wire::NtStatus::SUCCESS,
    }
    .into();
    let index = |opnum| Request::OPNUMS.iter().position(|known| *known == opnum).unwrap() as u8;
    for request in requests {
        let seed = [&[index(request.opnum()), 0], request.encode().as_slice()].concat();
        all.add("lsarpc", format!("{:02}-request", request.opnum()), seed);
    }
    all.add("lsarpc", "15-response", [&[index(15), 1], response.encode().as_slice()].concat());
}

/// The messages of a client that lists accounts, changes a group and changes a password.
pub(super) fn accounts(all: &mut Seeds) {
    use rpc::ndr::{Container, ContextHandle, Enum16, Octets, VaryingArray};
    use rpc::samr::{
        AddMemberToAliasRequest, AliasInformation, Connect5Request, EncryptedPasswordAes,
        EnumerateUsersResponse, LookupNamesRequest, OpenDomainRequest, QueryInformationUser2Request,
        QueryInformationUser2Response, Request, Response, RevisionInfo, RidEnumeration,
        SetInformationAliasRequest, UnicodeChangePasswordUser2Request, UnicodeChangePasswordUser4Request,
        UserAllInformation, UserInformation,
    };
    use wire::NtStatus;
    use wire::security::Sid;
    let handle = ContextHandle { attributes: 0, uuid: [7; 16] };
    let requests: [Request; 8] = [
        Connect5Request {
            server_name: Some(r"\\NAS".into()),
            desired_access: 0x30,
            revision: RevisionInfo::default(),
        }
        .into(),
        OpenDomainRequest { handle, desired_access: 0x200, sid: Sid::of(5, [21, 1, 2, 3]) }.into(),
        LookupNamesRequest { handle, names: VaryingArray(vec!["ann".into(), "bob".into()]) }.into(),
        QueryInformationUser2Request { handle, class: Enum16(21) }.into(),
        SetInformationAliasRequest {
            handle,
            class: AliasInformation::COMMENT,
            information: AliasInformation::Comment("writers".into()),
        }
        .into(),
        AddMemberToAliasRequest { handle, sid: Sid::of(5, [21, 1, 2, 3, 1000]) }.into(),
        UnicodeChangePasswordUser2Request {
            server_name: Some("NAS".into()),
            user_name: "ann".into(),
            new_with_old_nt: Some(Octets::from([1; 516])),
            old_nt_with_new_nt: Some(Octets::from([2; 16])),
            lm_present: 0,
            new_with_old_lm: None,
            old_lm_with_new_nt: None,
        }
        .into(),
        UnicodeChangePasswordUser4Request {
            server_name: None,
            user_name: "ann".into(),
            password: EncryptedPasswordAes {
                auth_data: Octets::from([3; 64]),
                salt: Octets::from([4; 16]),
                cipher: vec![5; 528],
                iterations: 10_000,
            },
        }
        .into(),
    ];
    let everything = UserAllInformation { user_name: "ann".into(), ..UserAllInformation::default() };
    let responses: [(u16, Response); 2] = [
        (
            13,
            EnumerateUsersResponse {
                context: 1000,
                found: Some(Container(vec![RidEnumeration { rid: 1000, name: "ann".into() }])),
                count: 1,
                status: NtStatus::SUCCESS,
            }
            .into(),
        ),
        (
            47,
            QueryInformationUser2Response {
                information: Some(UserInformation::All(Box::new(everything))),
                status: NtStatus::SUCCESS,
            }
            .into(),
        ),
    ];
    let index = |opnum| Request::OPNUMS.iter().position(|known| *known == opnum).unwrap() as u8;
    for request in requests {
        let seed = [&[index(request.opnum()), 0], request.encode().as_slice()].concat();
        all.add("samr", format!("{:02}-request", request.opnum()), seed);
    }
    for (opnum, response) in responses {
        let seed = [&[index(opnum), 1], response.encode().as_slice()].concat();
        all.add("samr", format!("{opnum}-response"), seed);
    }
}
