//! Changes of local groups and of their members (MS-SAMR 3.1.5.4.3, 3.1.5.6.3, 3.1.5.7.2, 3.1.5.8.4, 3.1.5.8.5).

use rpc::ndr::ContextHandle;
use rpc::samr::{
    ALIAS_ADD_MEMBER, ALIAS_REMOVE_MEMBER, ALIAS_WRITE_ACCOUNT, AddMemberToAliasResponse, AliasInformation,
    CreateAliasResponse, DOMAIN_CREATE_ALIAS, DeleteAliasResponse, RemoveMemberFromAliasResponse, Request,
    Response, SetInformationAliasResponse,
};
use wire::security::Sid;
use wire::{AccessMask, NtStatus};

use super::aliases::Alias;
use super::objects::{Domain, Object, Objects};
use super::of_error;
use crate::admin::{self, Caller, GroupEdit};
use crate::core::server::Server;

/// Executes a call that changes a local group.
pub(super) fn change(
    server: &Server,
    caller: &Caller,
    objects: &Objects,
    request: &Request,
) -> Result<Response, NtStatus> {
    let status = NtStatus::SUCCESS;
    let edit = |alias: &Alias, edit: GroupEdit| {
        admin::change_group(server, caller, alias.name(), &edit).map(drop).map_err(of_error)
    };
    Ok(match request {
        Request::CreateAlias(it) => {
            let Domain::Accounts = objects.domain(it.handle, DOMAIN_CREATE_ALIAS)? else {
                return Err(NtStatus::ACCESS_DENIED);
            };
            let name = &it.name.text;
            let (_, rid) = server.machine().local_group(name).split_rid().ok_or(NtStatus::INTERNAL_ERROR)?;
            // Opened first: a refusal after the change would hide that there is a new group.
            let handle = objects.open(caller, Object::Alias(Alias::Own(name.clone())), it.desired_access)?;
            if let Err(error) = admin::add_group(server, caller, name, "") {
                objects.close(handle)?;
                return Err(of_error(error));
            }
            CreateAliasResponse { handle, rid, status }.into()
        }
        Request::SetInformationAlias(it) => {
            let alias = objects.alias(it.handle, ALIAS_WRITE_ACCOUNT)?;
            match &it.information {
                AliasInformation::Comment(comment) => {
                    edit(&alias, GroupEdit { comment: Some(comment.text.clone()), ..GroupEdit::default() })?;
                }
                // Grants name the group.
                AliasInformation::Name(_) => return Err(NtStatus::NOT_SUPPORTED),
                AliasInformation::General(_) => return Err(NtStatus::INVALID_INFO_CLASS),
            }
            SetInformationAliasResponse { status }.into()
        }
        Request::DeleteAlias(it) => {
            let alias = objects.alias(it.handle, AccessMask::DELETE.0)?;
            admin::delete_group(server, caller, alias.name()).map_err(of_error)?;
            objects.close(it.handle)?;
            DeleteAliasResponse { handle: ContextHandle::default(), status }.into()
        }
        Request::AddMemberToAlias(it) => {
            let alias = objects.alias(it.handle, ALIAS_ADD_MEMBER)?;
            let member = named(server, caller, it.sid)?.ok_or(NtStatus::NO_SUCH_MEMBER)?;
            edit(&alias, GroupEdit { add: vec![member], ..GroupEdit::default() })?;
            AddMemberToAliasResponse { status }.into()
        }
        Request::RemoveMemberFromAlias(it) => {
            let alias = objects.alias(it.handle, ALIAS_REMOVE_MEMBER)?;
            let member = named(server, caller, it.sid)?.ok_or(NtStatus::MEMBER_NOT_IN_ALIAS)?;
            edit(&alias, GroupEdit { remove: vec![member], ..GroupEdit::default() })?;
            RemoveMemberFromAliasResponse { status }.into()
        }
        _ => return Err(NtStatus::INTERNAL_ERROR),
    })
}

/// The user or group with this SID, as a change of a group names it.
fn named(server: &Server, caller: &Caller, sid: Sid) -> Result<Option<String>, NtStatus> {
    let found = admin::names_of_sids(server, caller, [Some(sid)].into_iter()).map_err(of_error)?;
    Ok(found.into_iter().flatten().next().map(|it| match it.domain.is_empty() {
        true => it.name,
        false => format!(r"{}\{}", it.domain, it.name),
    }))
}
