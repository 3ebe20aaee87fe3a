// What the user may do. The server checks each act again; pages offer only what can be done.

const same = (one, other) => one.toLowerCase() === other.toLowerCase();

/** True if the user may close files of others in a share, and drain it. */
export const closes_in = (user, share) => user.closes_in === null || user.closes_in.some((name) => same(name, share));

/** True if the user may close an open: all users may close their own. */
export const may_close = (user, file) => Boolean(file.user && same(file.user, user.user)) || closes_in(user, file.share ?? "");

/** True if the user may begin and end a drain of a share, of a client, or without both of the whole server. */
export function may_drain(user, { share, client }) {
  if (share) return closes_in(user, share);
  return client ? user.ends_sessions : user.changes_settings;
}
