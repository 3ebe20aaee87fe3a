//! NetrConnectionEnum (MS-SRVS 3.1.4.1).

use control::address;
use rpc::srvsvc::{
    ConnectionEnumRequest, ConnectionEnumResponse, ConnectionEnumStruct, ConnectionInfo0, ConnectionInfo1,
};

use wire::ShareName;

use super::listing::{after, fill, saturated};
use super::sessions::seconds;
use super::shares::share_type;
use crate::admin::{self, Caller, Error, Right, Selection, TreeSnapshot};
use crate::core::server::Server;

pub(super) fn enumerate(
    server: &Server,
    caller: &Caller,
    request: &ConnectionEnumRequest,
) -> Result<ConnectionEnumResponse, Error> {
    let qualifier =
        request.qualifier.as_deref().filter(|it| !it.is_empty()).ok_or(Error::InvalidParameter)?;
    let of_client = qualifier.starts_with(r"\\");
    let mut meant = Selection::default();
    if of_client {
        meant = Selection::of_parameters(server, Some(qualifier), None)?;
    } else {
        let share = admin::share(server, caller, qualifier, Right::ReadConnections)?;
        meant.filter.share = Some(ShareName::new(&share.definition.name));
    }
    let all = admin::connections(server, caller, meant, after(request.resume_handle))?;
    let (room, id) = (request.preferred_maximum_length, |it: &TreeSnapshot| it.global_id.value());
    let (info, end) = match request.info.level() {
        0 => fill(all, room, id, |it| ConnectionInfo0 { id: id(it) }, ConnectionEnumStruct::Level0),
        1 => fill(all, room, id, |it| level_1(server, it, of_client), ConnectionEnumStruct::Level1),
        _ => return Err(Error::InvalidLevel),
    };
    Ok(ConnectionEnumResponse {
        info,
        total_entries: end.total_entries(),
        resume_handle: end.resume_handle(request.resume_handle),
        status: end.status(),
    })
}

/// `coni1_netname` is the share if the caller named a client, and the client if it named a share (MS-SRVS 2.2.4.2).
fn level_1(server: &Server, tree: &TreeSnapshot, of_client: bool) -> ConnectionInfo1 {
    let share = admin::share_of(server, tree);
    ConnectionInfo1 {
        id: tree.global_id.value(),
        connection_type: share.map_or(0, |it| share_type(&it.definition)),
        num_opens: saturated(tree.opens),
        num_users: 1,
        time: seconds(server.now().since_ms(tree.created)),
        user_name: Some(tree.user.to_string()),
        net_name: Some(if of_client { tree.share.to_string() } else { address::display(&tree.client) }),
    }
}
