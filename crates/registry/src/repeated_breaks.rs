//! Breaks that are sent again because the channel on which they were sent was lost (MS-SMB2 3.3.4.6, 3.3.4.7).

use wire::{FileGlobalId, Guid, SessionGlobalId, TreeId};

use crate::caching::Caching;
use crate::open::Open;
use crate::remaining_work::Work;
use crate::{BreakKind, ConnectionId, Effects, LeaseId, Rest, Shell, State, Time, cost};

impl<S: Shell> State<S> {
    /// Sends again the breaks that a session has not acknowledged and that were sent on a lost channel, its first or
    /// another (MS-SMB2 3.3.4.6, 3.3.4.7). Breaks of leases belong to the client and not to the session, unless the
    /// session is sealed.
    pub(crate) fn repeat_breaks(
        &mut self,
        session: SessionGlobalId,
        lost: ConnectionId,
        was_first: bool,
        after: Option<(TreeId, FileGlobalId)>,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(found) = self.sessions.get(&session) else {
            return;
        };
        let left = found.channels.clone();
        let was_sent_there = |open: &Open<S>| {
            let own = open.home.map(|home| home.connection);
            own == Some(lost) || was_first && !own.is_some_and(|own| left.contains(&own))
        };
        let first = after.map_or(TreeId(0), |(tree, _)| tree);
        let opens = found.trees.range(first..).flat_map(|(tree, global)| {
            let after = after.filter(|(last, _)| last == tree).map(|(_, open)| open);
            self.opens.of_tree(*global, after).map(move |open| (*tree, open))
        });
        let opens: Vec<(TreeId, FileGlobalId)> = opens.take(self.limits.work_per_hold).collect();
        if let Some(last) = opens.last().filter(|_| opens.len() == self.limits.work_per_hold) {
            effects.rest.push(Rest(Work::Breaks { session, lost, was_first, after: Some(*last) }));
        }
        for (_, id) in opens {
            cost::step();
            let Some(open) = self.opens.get(&id) else {
                continue;
            };
            match open.caching {
                Caching::Oplock { breaking: Some(breaking), .. } if was_sent_there(open) => {
                    let kind = BreakKind::Oplock { file_id: open.file_id, level: breaking.to };
                    self.notify(id, kind, now, effects);
                }
                Caching::Lease(lease)
                    if was_first && self.open_for_breaks(lease) == Some(id) && self.is_sealed(id) =>
                {
                    self.repeat_lease_break(lease, now, effects);
                }
                _ => {}
            }
        }
    }

    /// The leases of a client with unacknowledged breaks that were sent on this connection, among those that one hold
    /// of the lock examines; and the last of these, if there are more.
    pub(crate) fn lease_breaks_on(
        &self,
        client: Guid,
        connection: ConnectionId,
    ) -> (Vec<LeaseId>, Option<LeaseId>) {
        let limit = self.limits.work_per_hold;
        let leases: Vec<LeaseId> = self.deadlines.lease_breaks(client, None).take(limit).collect();
        let more = leases.last().copied().filter(|_| leases.len() == limit);
        let sent_there = |lease: &LeaseId| self.channels_of_lease(*lease).first() == Some(&connection);
        (leases.into_iter().filter(sent_there).collect(), more)
    }

    /// Continues to send again the breaks of a client's leases that were sent on a lost connection. The connection has
    /// been removed by now: the breaks of a lease were sent on it if all other connections of the lease are newer.
    pub(crate) fn repeat_lease_breaks(
        &mut self,
        client: Guid,
        lost: ConnectionId,
        after: LeaseId,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let limit = self.limits.work_per_hold;
        let leases: Vec<LeaseId> = self.deadlines.lease_breaks(client, Some(after)).take(limit).collect();
        if let Some(after) = leases.last().copied().filter(|_| leases.len() == limit) {
            effects.rest.push(Rest(Work::LeaseBreaks { client, lost, after }));
        }
        for lease in leases {
            cost::step();
            if self.channels_of_lease(lease).first().is_some_and(|next| lost < *next) {
                self.repeat_lease_break(lease, now, effects);
            }
        }
    }

    /// Sends again the break of a lease that its client has not acknowledged, because the connection on which it was
    /// sent was lost.
    pub(crate) fn repeat_lease_break(&mut self, id: LeaseId, now: Time, effects: &mut Effects<S>) {
        let Some((lease, breaking)) =
            self.leases.get(&id).and_then(|it| it.breaking.map(|breaking| (it, breaking)))
        else {
            return;
        };
        let kind = BreakKind::Lease {
            key: id.key,
            current: lease.state,
            new: breaking.to,
            ack_required: true,
            epoch: lease.epoch,
        };
        if let Some(open) = self.open_for_breaks(id) {
            self.notify(open, kind, now, effects);
        }
    }
}
