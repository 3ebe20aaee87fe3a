//! Local groups in the form of the control API.

use control::{Group, GroupChange, GroupMember, NewGroup};

use crate::admin::{self, Caller, Error, GroupEdit};
use crate::core::server::Server;

/// The local groups.
pub(crate) fn groups(server: &Server, caller: &Caller) -> Result<Vec<Group>, Error> {
    Ok(admin::groups(server, caller)?.into_iter().map(shown).collect())
}

/// Adds a group.
pub(crate) fn add_group(server: &Server, caller: &Caller, new: &NewGroup) -> Result<Group, Error> {
    admin::add_group(server, caller, &new.name, &new.comment).map(shown)
}

/// Changes a group.
pub(crate) fn change_group(
    server: &Server,
    caller: &Caller,
    name: &str,
    change: GroupChange,
) -> Result<Group, Error> {
    let GroupChange { comment, add, remove } = change;
    admin::change_group(server, caller, name, &GroupEdit { comment, add, remove }).map(shown)
}

/// Deletes a group, and returns its last state.
pub(crate) fn delete_group(server: &Server, caller: &Caller, name: &str) -> Result<Group, Error> {
    admin::delete_group(server, caller, name).map(shown)
}

fn shown(admin::Group { group, built_in }: admin::Group) -> Group {
    let member = |is_group| move |name| GroupMember { name, group: is_group };
    let users = group.users.into_iter().map(member(false));
    let mut members: Vec<GroupMember> = users.chain(group.groups.into_iter().map(member(true))).collect();
    members.sort_by_cached_key(|it| wire::AccountName::new(&it.name));
    Group { name: group.name, comment: group.comment, built_in, members }
}
