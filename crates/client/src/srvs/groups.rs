//! The local groups of another server and their members, over MS-SAMR.

use control::{Group, GroupChange, GroupMember, NewGroup, number};
use rpc::Call;
use rpc::call::Response;
use rpc::ndr::{ContextHandle, UnicodeString};
use rpc::samr::{
    ALIAS_ADD_MEMBER, ALIAS_LIST_MEMBERS, ALIAS_READ_INFORMATION, ALIAS_REMOVE_MEMBER, ALIAS_WRITE_ACCOUNT,
    AddMemberToAliasRequest, AliasInformation, CloseHandleRequest, Connect2Request, CreateAliasRequest,
    DOMAIN_CREATE_ALIAS, DOMAIN_LIST_ACCOUNTS, DOMAIN_LOOKUP, DeleteAliasRequest, ENDPOINT,
    EnumerateAliasesRequest, EnumerateDomainsRequest, GetMembersInAliasRequest, LookupDomainRequest,
    OpenAliasRequest, OpenDomainRequest, QueryInformationAliasRequest, RemoveMemberFromAliasRequest,
    RidEnumeration, SAM_SERVER_CONNECT, SAM_SERVER_ENUMERATE_DOMAINS, SAM_SERVER_LOOKUP_DOMAIN,
    SetInformationAliasRequest,
};
use wire::security::Sid;
use wire::{AccessMask, NtStatus};

use super::SrvsClient;
use super::call::Rpc;
use crate::Error;
use crate::limits::{LIST_ENTRIES_MAX, SRVS_PAGE_BYTES, SRVS_PAGES_MAX};

/// The server object and its domains, opened.
struct Sam {
    server: ContextHandle,
    domains: Vec<Domain>,
}

/// A domain of the server: its own accounts, or the groups that every machine has.
struct Domain {
    sid: Sid,
    handle: ContextHandle,
}

impl Domain {
    fn is_builtin(&self) -> bool {
        self.sid == BUILTIN
    }
}

/// The SID of the domain BUILTIN (MS-DTYP 2.4.2.4).
const BUILTIN: Sid = Sid::of(5, [32]);

/// A group in its domain.
struct Found<'a> {
    domain: &'a Domain,
    rid: u32,
    name: String,
}

/// A group with the SIDs of its members.
struct WithMembers {
    name: String,
    comment: String,
    built_in: bool,
    members: Vec<Sid>,
}

impl<R: Rpc> SrvsClient<R> {
    /// The local groups, in the order of their names.
    pub(super) async fn group_list(&self) -> Result<Vec<Group>, Error> {
        let sam = self.open_sam(DOMAIN_LIST_ACCOUNTS).await?;
        let listed = self.groups_of(&sam, None).await;
        let accounts = sam.accounts();
        self.close_sam(sam).await;
        self.with_names(listed?, accounts).await
    }

    /// Adds a local group.
    pub(super) async fn group_add(&self, new: &NewGroup) -> Result<Group, Error> {
        let sam = self.open_sam(DOMAIN_CREATE_ALIAS | DOMAIN_LIST_ACCOUNTS).await?;
        let added = self.add_to(&sam, new).await;
        self.close_sam(sam).await;
        added?;
        self.group_of(&new.name).await
    }

    /// Changes a local group: first the comment, then the members in the order in which they are given, up to the
    /// first that the server refuses.
    pub(super) async fn group_change(&self, name: &str, change: &GroupChange) -> Result<Group, Error> {
        let added = self.member_sids(&change.add).await?;
        let removed = self.member_sids(&change.remove).await?;
        let mut access = 0;
        for (asked, right) in [
            (change.comment.is_some(), ALIAS_WRITE_ACCOUNT),
            (!added.is_empty(), ALIAS_ADD_MEMBER),
            (!removed.is_empty(), ALIAS_REMOVE_MEMBER),
        ] {
            access |= if asked { right } else { 0 };
        }
        let sam = self.open_sam(DOMAIN_LIST_ACCOUNTS).await?;
        let changed = async {
            let found = self.find_group(&sam, name).await?;
            let handle = self.open_alias(&found, access).await?;
            let changed = self.change_alias(handle, change.comment.as_deref(), &added, &removed).await;
            self.close_handle(handle).await;
            changed
        };
        let changed = changed.await;
        self.close_sam(sam).await;
        changed?;
        self.group_of(name).await
    }

    /// Deletes a local group, and returns its last state.
    pub(super) async fn group_delete(&self, name: &str) -> Result<Group, Error> {
        let last = self.group_of(name).await?;
        let sam = self.open_sam(DOMAIN_LIST_ACCOUNTS).await?;
        let deleted = async {
            let found = self.find_group(&sam, name).await?;
            if found.domain.is_builtin() {
                return Err(failure(NtStatus::SPECIAL_ACCOUNT));
            }
            let handle = self.open_alias(&found, AccessMask::DELETE.0).await?;
            let deleted = self.sam_call(&DeleteAliasRequest { handle }).await;
            if deleted.is_err() {
                self.close_handle(handle).await;
            }
            deleted.map(drop)
        };
        let deleted = deleted.await;
        self.close_sam(sam).await;
        deleted.map(|()| last)
    }

    /// One group, as the server has it now.
    async fn group_of(&self, name: &str) -> Result<Group, Error> {
        let sam = self.open_sam(DOMAIN_LIST_ACCOUNTS).await?;
        let found = self.groups_of(&sam, Some(name)).await;
        let accounts = sam.accounts();
        self.close_sam(sam).await;
        let mut named = self.with_names(found?, accounts).await?;
        named.pop().ok_or_else(|| failure(NtStatus::NO_SUCH_ALIAS))
    }

    async fn add_to(&self, sam: &Sam, new: &NewGroup) -> Result<(), Error> {
        // Servers would make a second group of the same name, in the other domain.
        let groups = self.all_groups(sam).await?;
        if groups.iter().any(|group| wire::eq_ignore_case(&group.name, &new.name)) {
            return Err(failure(NtStatus::ALIAS_EXISTS));
        }
        let domain = sam.domains.iter().find(|domain| !domain.is_builtin());
        let handle = domain.ok_or_else(|| failure(NtStatus::NO_SUCH_DOMAIN))?.handle;
        let create = CreateAliasRequest {
            handle,
            name: new.name.as_str().into(),
            desired_access: ALIAS_READ_INFORMATION | ALIAS_WRITE_ACCOUNT,
        };
        let handle = self.sam_call(&create).await?.handle;
        let comment = Some(new.comment.as_str()).filter(|comment| !comment.is_empty());
        let changed = self.change_alias(handle, comment, &[], &[]).await;
        self.close_handle(handle).await;
        changed
    }

    async fn change_alias(
        &self,
        handle: ContextHandle,
        comment: Option<&str>,
        added: &[Sid],
        removed: &[Sid],
    ) -> Result<(), Error> {
        if let Some(comment) = comment {
            let information = AliasInformation::Comment(comment.into());
            let class = AliasInformation::COMMENT;
            self.sam_call(&SetInformationAliasRequest { handle, class, information }).await?;
        }
        for sid in added {
            self.sam_call(&AddMemberToAliasRequest { handle, sid: *sid }).await?;
        }
        for sid in removed {
            self.sam_call(&RemoveMemberFromAliasRequest { handle, sid: *sid }).await?;
        }
        Ok(())
    }

    /// The SIDs of accounts that become members or are members. Fails with 1387 if the server does not know one.
    async fn member_sids(&self, names: &[String]) -> Result<Vec<Sid>, Error> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.sids_of(&names).await.map_err(|error| match error.number() {
            number::NONE_MAPPED => {
                let hint = error.hint();
                let Error::Refused(refused) = failure(NtStatus::NO_SUCH_MEMBER) else { return error };
                Error::Refused(control::Error { hint, ..refused })
            }
            _ => error,
        })
    }

    /// Adds the names of the members. Accounts of the server itself are named without a domain.
    async fn with_names(&self, groups: Vec<WithMembers>, accounts: Option<Sid>) -> Result<Vec<Group>, Error> {
        let names = self.names_of(groups.iter().flat_map(|group| group.members.iter().copied())).await;
        let member = |sid: &Sid| {
            let is_own = accounts.is_some() && sid.split_rid().map(|(domain, _)| domain) == accounts;
            match names.get(sid) {
                Some(known) => {
                    let bare =
                        known.name.split_once('\\').filter(|_| is_own).map(|(_, name)| name.to_owned());
                    let name = bare.unwrap_or_else(|| known.name.clone());
                    GroupMember { name, group: known.is_group }
                }
                None => GroupMember { name: sid.to_string(), group: false },
            }
        };
        let groups = groups.into_iter().map(|group| {
            let mut members: Vec<GroupMember> = group.members.iter().map(member).collect();
            members.sort();
            Group { name: group.name, comment: group.comment, built_in: group.built_in, members }
        });
        let mut groups: Vec<Group> = groups.collect();
        groups.sort_by_cached_key(|group| wire::AccountName::new(&group.name));
        Ok(groups)
    }

    /// The groups of the domains with the SIDs of their members, or the one group with this name.
    async fn groups_of(&self, sam: &Sam, name: Option<&str>) -> Result<Vec<WithMembers>, Error> {
        let found = match name {
            Some(name) => vec![self.find_group(sam, name).await?],
            None => self.all_groups(sam).await?,
        };
        let mut groups = Vec::with_capacity(found.len());
        for group in found {
            let handle = self.open_alias(&group, ALIAS_READ_INFORMATION | ALIAS_LIST_MEMBERS).await?;
            let contents = self.contents_of(handle).await;
            self.close_handle(handle).await;
            let (comment, members) = contents?;
            groups.push(WithMembers {
                name: group.name,
                comment,
                built_in: group.domain.is_builtin(),
                members,
            });
        }
        Ok(groups)
    }

    async fn contents_of(&self, handle: ContextHandle) -> Result<(String, Vec<Sid>), Error> {
        let query = QueryInformationAliasRequest { handle, class: AliasInformation::COMMENT };
        let comment = match self.sam_call(&query).await?.information {
            Some(AliasInformation::Comment(UnicodeString { text, .. })) => text,
            _ => String::new(),
        };
        let members = self.sam_call(&GetMembersInAliasRequest { handle }).await?.sids;
        Ok((comment, members.0.into_iter().flatten().collect()))
    }

    async fn find_group<'a>(&self, sam: &'a Sam, name: &str) -> Result<Found<'a>, Error> {
        let all = self.all_groups(sam).await?;
        let found = all.into_iter().find(|group| wire::eq_ignore_case(&group.name, name));
        found.ok_or_else(|| failure(NtStatus::NO_SUCH_ALIAS))
    }

    async fn all_groups<'a>(&self, sam: &'a Sam) -> Result<Vec<Found<'a>>, Error> {
        let mut all = Vec::new();
        for domain in &sam.domains {
            let ask = |context| EnumerateAliasesRequest {
                handle: domain.handle,
                context,
                preferred_maximum: SRVS_PAGE_BYTES,
            };
            let take = |response: rpc::samr::EnumerateAliasesResponse| {
                (response.found.map(|found| found.0).unwrap_or_default(), response.context, response.status)
            };
            let listed = self.enumerate(ask, take).await?.into_iter();
            all.extend(listed.map(|it| Found { domain, rid: it.rid, name: it.name.text }));
        }
        Ok(all)
    }

    /// All pages of a list (MS-SAMR 3.1.5.2).
    async fn enumerate<C: Call>(
        &self,
        ask: impl Fn(u32) -> C,
        take: impl Fn(C::Response) -> (Vec<RidEnumeration>, u32, NtStatus),
    ) -> Result<Vec<RidEnumeration>, Error> {
        let mut all = Vec::new();
        let mut context = 0;
        for _ in 0..SRVS_PAGES_MAX {
            let (entries, next, status) = take(self.rpc.call(ENDPOINT, &ask(context)).await?);
            let moved = next != context && !entries.is_empty();
            match status {
                NtStatus::MORE_ENTRIES if moved && all.len() < LIST_ENTRIES_MAX => {}
                NtStatus::MORE_ENTRIES => break,
                NtStatus::NO_MORE_ENTRIES => return Ok(all),
                status if status.is_success() => {
                    all.extend(entries);
                    return Ok(all);
                }
                status => return Err(failure(status)),
            }
            all.extend(entries);
            context = next;
        }
        Err(Error::Nonsense("the pages of the list do not end".into()))
    }

    /// Opens the server and its domains with this access (MS-SAMR 3.1.5.1).
    async fn open_sam(&self, access: u32) -> Result<Sam, Error> {
        let connect = Connect2Request {
            server_name: Some(self.rpc.server_name()),
            desired_access: SAM_SERVER_CONNECT | SAM_SERVER_ENUMERATE_DOMAINS | SAM_SERVER_LOOKUP_DOMAIN,
        };
        let server = self.sam_call(&connect).await?.handle;
        let mut sam = Sam { server, domains: Vec::new() };
        match self.open_domains(server, access, &mut sam.domains).await {
            Ok(()) => Ok(sam),
            Err(error) => {
                self.close_sam(sam).await;
                Err(error)
            }
        }
    }

    async fn open_domains(
        &self,
        server: ContextHandle,
        access: u32,
        domains: &mut Vec<Domain>,
    ) -> Result<(), Error> {
        let ask =
            |context| EnumerateDomainsRequest { handle: server, context, preferred_maximum: SRVS_PAGE_BYTES };
        let take = |response: rpc::samr::EnumerateDomainsResponse| {
            (response.found.map(|found| found.0).unwrap_or_default(), response.context, response.status)
        };
        for named in self.enumerate(ask, take).await? {
            let look_up = LookupDomainRequest { handle: server, name: named.name };
            let sid = self.sam_call(&look_up).await?.sid.ok_or_else(|| failure(NtStatus::NO_SUCH_DOMAIN))?;
            // Nobody adds a group to those that every machine has.
            let access = if sid == BUILTIN { access & !DOMAIN_CREATE_ALIAS } else { access };
            let open = OpenDomainRequest { handle: server, desired_access: access | DOMAIN_LOOKUP, sid };
            let handle = self.sam_call(&open).await?.handle;
            domains.push(Domain { sid, handle });
        }
        Ok(())
    }

    async fn open_alias(&self, group: &Found<'_>, access: u32) -> Result<ContextHandle, Error> {
        let open = OpenAliasRequest { handle: group.domain.handle, desired_access: access, rid: group.rid };
        Ok(self.sam_call(&open).await?.handle)
    }

    async fn close_sam(&self, sam: Sam) {
        for domain in sam.domains {
            self.close_handle(domain.handle).await;
        }
        self.close_handle(sam.server).await;
    }

    /// Closes a handle. A failure concerns only the server.
    async fn close_handle(&self, handle: ContextHandle) {
        let _ = self.rpc.call(ENDPOINT, &CloseHandleRequest { handle }).await;
    }

    async fn sam_call<C: Call>(&self, call: &C) -> Result<C::Response, Error>
    where
        C::Response: Response<Status = NtStatus>,
    {
        let response = self.rpc.call(ENDPOINT, call).await?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(explained(status, C::NAME)),
        }
    }
}

impl Sam {
    /// The SID of the domain of the server's own accounts.
    fn accounts(&self) -> Option<Sid> {
        self.domains.iter().find(|domain| !domain.is_builtin()).map(|domain| domain.sid)
    }
}

/// The refusal of a call, with advice if there is any.
fn explained(status: NtStatus, call: &str) -> Error {
    let Error::Refused(error) = failure(status) else { return failure(status) };
    let hint = match error.code {
        number::ACCESS_DENIED if call == CreateAliasRequest::NAME => {
            "only administrators of the server may add groups; Samba also needs a running winbindd with ids for new \
             groups: 'idmap config * : range'"
                .to_owned()
        }
        number::ACCESS_DENIED => {
            "only administrators of the server may change groups, and on many servers only they may list them"
                .to_owned()
        }
        UNKNOWN_NUMBER => format!("the server answered {status} to {call}"),
        _ => return Error::Refused(error),
    };
    Error::Refused(error.with_hint(hint))
}

/// The error for a status of MS-SAMR.
fn failure(status: NtStatus) -> Error {
    let (number, message) = match status {
        NtStatus::ACCESS_DENIED => (number::ACCESS_DENIED, "Access is denied."),
        NtStatus::NO_SUCH_ALIAS => (number::NO_SUCH_ALIAS, "The specified local group does not exist."),
        NtStatus::ALIAS_EXISTS | NtStatus::GROUP_EXISTS => {
            (number::ALIAS_EXISTS, "The specified local group already exists.")
        }
        NtStatus::USER_EXISTS => (number::USER_EXISTS, "The account already exists."),
        NtStatus::SPECIAL_ACCOUNT => {
            (number::SPECIAL_ACCOUNT, "Cannot perform this operation on built-in accounts.")
        }
        NtStatus::MEMBER_IN_ALIAS => {
            (number::MEMBER_IN_ALIAS, "The specified account name is already a member of the group.")
        }
        NtStatus::MEMBER_NOT_IN_ALIAS => {
            (number::MEMBER_NOT_IN_ALIAS, "The specified account name is not a member of the group.")
        }
        NtStatus::NO_SUCH_MEMBER | NtStatus::NO_SUCH_USER => (
            number::NO_SUCH_MEMBER,
            "A member could not be added to or removed from the local group because the member does not exist.",
        ),
        NtStatus::INVALID_MEMBER => (
            number::INVALID_MEMBER,
            "A new member could not be added to a local group because the member has the wrong account type.",
        ),
        NtStatus::INVALID_ACCOUNT_NAME => (number::INVALID_NAME, "The name is invalid."),
        NtStatus::INVALID_PARAMETER => (number::INVALID_PARAMETER, "The parameter is incorrect."),
        NtStatus::NOT_SUPPORTED | NtStatus::NOT_IMPLEMENTED => {
            (number::NOT_SUPPORTED, "The request is not supported.")
        }
        _ => (UNKNOWN_NUMBER, "An unexpected network error occurred."),
    };
    control::Error::new(number, message).into()
}

/// The number of a status that has no other here.
const UNKNOWN_NUMBER: u32 = number::UNEXP_NET_ERR;
