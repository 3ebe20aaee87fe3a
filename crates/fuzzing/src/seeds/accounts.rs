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

/// The messages of a client that has the witness service tell it of moves, and that asks for its port before.
pub(super) fn witness(all: &mut Seeds) {
    use rpc::Win32Error;
    use rpc::ndr::ContextHandle;
    use rpc::witness::*;
    let handle = ContextHandle { attributes: 0, uuid: [7; 16] };
    let (net_name, address) = (Some(String::from("NAS")), Some(String::from("192.0.2.1")));
    let client = Some(String::from("DESK"));
    let requests: [Request; 5] = [
        GetInterfaceListRequest {}.into(),
        RegisterRequest {
            version: VERSION_1,
            net_name: net_name.clone(),
            address: address.clone(),
            client: client.clone(),
        }
        .into(),
        UnRegisterRequest { handle }.into(),
        AsyncNotifyRequest { handle }.into(),
        RegisterExRequest {
            version: VERSION_2,
            net_name,
            share_name: Some(String::from("data")),
            address,
            client,
            flags: REGISTER_IP_NOTIFICATION,
            keep_alive_timeout: 60,
        }
        .into(),
    ];
    let index = |opnum| Request::OPNUMS.iter().position(|known| *known == opnum).unwrap() as u8;
    for request in requests {
        let seed = [&[index(request.opnum()), 0], request.encode().as_slice()].concat();
        all.add("witness", format!("{:02}-request", request.opnum()), seed);
    }
    let interface = InterfaceInfo {
        group_name: String::from("node"),
        version: u32::MAX,
        state: InterfaceInfo::AVAILABLE,
        ipv4: [192, 0, 2, 1],
        ipv6: [0; 16],
        flags: InterfaceInfo::IPV4 | InterfaceInfo::WITNESS,
    };
    // A name that fills its field, without the NUL at its end.
    let full = InterfaceInfo { group_name: "x".repeat(259), ..interface.clone() };
    let list = Some(InterfaceList { interfaces: vec![interface, full] });
    let listed: Response = GetInterfaceListResponse { list, status: Win32Error::SUCCESS }.into();
    let mut listed = listed.encode();
    all.add("witness", "00-response", [&[index(0), 1], listed.as_slice()].concat());
    let end = listed.len() - 4 - 32;
    listed[end - 2..end].copy_from_slice(&[b'x', 0]);
    all.add("witness", "00-response-full", [&[index(0), 1], listed.as_slice()].concat());
    let moved = AddressInfo { address: std::net::IpAddr::from([192, 0, 2, 1]), is_online: true };
    let notification = Some(Message::ShareMove(vec![moved]).to_notification());
    let notified: Response = AsyncNotifyResponse { notification, status: Win32Error::SUCCESS }.into();
    all.add("witness", "03-response", [&[index(3), 1], notified.encode().as_slice()].concat());

    for (name, interface) in [("witness", INTERFACE), ("srvsvc", rpc::srvsvc::INTERFACE)] {
        all.add("epm", name, [&[3], map(interface).as_slice()].concat());
    }
    all.add("epm", "lookup", [2, 0, 0, 0, 0]);
}

/// The stub of ept_map (C706 appendix O) for an interface over TCP.
fn map(interface: rpc::InterfaceId) -> Vec<u8> {
    let id = |it: rpc::InterfaceId| {
        let left = [&[0x0d], it.uuid.0.as_slice(), &it.major.to_le_bytes()].concat();
        (left, it.minor.to_le_bytes().to_vec())
    };
    let floors = [
        id(interface),
        id(rpc::InterfaceId::NDR20),
        (vec![0x0b], vec![0; 2]),
        (vec![7], vec![0; 2]),
        (vec![9], vec![0; 4]),
    ];
    let mut tower = vec![5, 0];
    for part in floors.iter().flat_map(|(left, right)| [left, right]) {
        tower.extend(u16::try_from(part.len()).unwrap().to_le_bytes());
        tower.extend_from_slice(part);
    }
    let length = u32::try_from(tower.len()).unwrap().to_le_bytes();
    let mut stub = [[0; 4], [0, 0, 2, 0], length, length].concat();
    stub.extend(tower);
    stub.resize(stub.len().next_multiple_of(4) + 20, 0);
    stub.extend([4, 0, 0, 0]);
    stub
}
