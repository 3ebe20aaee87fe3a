//! Connections to shares: NetrConnectionEnum (MS-SRVS 3.1.4.1).

use control::{Connection, ConnectionQuery, ShareKind, Timestamp, address};
use rpc::srvsvc::{ConnectionEnumRequest, ConnectionEnumStruct, ConnectionInfo1, ENDPOINT};

use super::call::{Refused, Rpc, list};
use super::sessions::earlier;
use super::shares::kind;
use super::{SrvsClient, computer};
use crate::Error;

/// The levels, the most detailed first.
const LEVELS: [u32; 2] = [1, 0];

/// The user that Samba makes up, with a share and a time, for connections of which it only knows how many there are.
const MADE_UP: &str = "dummy_user";

/// The `Qualifier` of a request: a share or a computer.
#[derive(Clone, Copy)]
enum Qualifier<'a> {
    Share(&'a str),
    Computer(&'a str),
}

impl<R: Rpc> SrvsClient<R> {
    pub(super) async fn connection_list(&self, query: &ConnectionQuery) -> Result<Vec<Connection>, Error> {
        let mut all = match (&query.share, &query.client) {
            (Some(share), _) => self.connections_of(Qualifier::Share(share)).await?,
            (None, Some(client)) => self.connections_of(Qualifier::Computer(client)).await?,
            (None, None) => {
                let mut all = Vec::new();
                for share in self.plain_share_list().await? {
                    all.extend(self.connections_of(Qualifier::Share(&share.name)).await?);
                }
                all
            }
        };
        if let Some(domain) = self.domain_for(query.user.as_deref()).await {
            all.iter_mut().for_each(|it| it.realm = domain.realm_of(&it.user));
        }
        all.retain(|it| query.matches(it));
        all.sort_by_key(|it| it.id);
        Ok(all)
    }

    /// The connections of a computer.
    pub(super) async fn connections_of_computer(&self, name: &str) -> Result<Vec<Connection>, Error> {
        self.connections_of(Qualifier::Computer(name)).await
    }

    async fn connections_of(&self, qualifier: Qualifier<'_>) -> Result<Vec<Connection>, Error> {
        let mut last = None;
        for level in LEVELS {
            match self.connections_at(level, qualifier).await {
                Ok(connections) => return Ok(connections),
                Err(refused) if refused.is_unknown() => last = Some(refused),
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(last.map_or_else(|| super::unsupported("no level is left".into()), Error::from))
    }

    async fn connections_at(&self, level: u32, of: Qualifier<'_>) -> Result<Vec<Connection>, Refused> {
        let name = self.rpc.server_name();
        let qualifier = match of {
            Qualifier::Share(share) => share.to_owned(),
            Qualifier::Computer(name) => address::display(name),
        };
        let now = Timestamp::now();
        let found = list(
            &self.rpc,
            ENDPOINT,
            |page| ConnectionEnumRequest {
                server_name: Some(name.clone()),
                qualifier: Some(qualifier.clone()),
                info: ConnectionEnumStruct::empty(level),
                preferred_maximum_length: page.bytes,
                resume_handle: page.resume,
            },
            |response| (views(response.info, of, now), response.resume_handle),
        )
        .await?;
        Ok(found)
    }
}

fn views(info: ConnectionEnumStruct, of: Qualifier<'_>, now: Timestamp) -> Vec<Connection> {
    let named = |id| match of {
        Qualifier::Share(share) => Connection { id, share: share.to_owned(), ..Connection::default() },
        Qualifier::Computer(name) => Connection {
            id,
            computer: Some(name.to_owned()),
            kind: ShareKind::Unknown,
            ..Connection::default()
        },
    };
    match info {
        ConnectionEnumStruct::Level0(entries) => entries.into_iter().map(|it| named(it.id)).collect(),
        ConnectionEnumStruct::Level1(entries) => {
            entries.into_iter().filter_map(|it| level_1(it, of, named, now)).collect()
        }
        ConnectionEnumStruct::Absent(_) => Vec::new(),
    }
}

/// An entry of level 1. `coni1_netname` is the share if a computer was requested, and the computer if a share was
/// (MS-SRVS 2.2.4.2). `None` for an entry that the server invented.
fn level_1(
    it: ConnectionInfo1,
    of: Qualifier<'_>,
    named: impl Fn(u32) -> Connection,
    now: Timestamp,
) -> Option<Connection> {
    let connection = named(it.id);
    let user = it.user_name.unwrap_or_default();
    if user == MADE_UP {
        return match of {
            Qualifier::Share(_) => Some(Connection { opens: Some(it.num_opens), ..connection }),
            Qualifier::Computer(_) => None,
        };
    }
    let told = Connection {
        kind: kind(it.connection_type),
        opens: Some(it.num_opens),
        user,
        active_seconds: Some(it.time.into()),
        connected_at: Some(earlier(now, it.time.into())),
        ..connection
    };
    Some(match of {
        Qualifier::Share(_) => {
            Connection { computer: Some(computer(it.net_name)).filter(|name| !name.is_empty()), ..told }
        }
        Qualifier::Computer(_) => Connection { share: it.net_name.unwrap_or_default(), ..told },
    })
}
