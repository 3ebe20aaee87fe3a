//! The paths of control sockets.

use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variable that names the control socket.
pub const SOCKET_VARIABLE: &str = "SHAREWARD_SOCKET";

/// The control socket of the system's server.
pub const SYSTEM_SOCKET: &str = "/run/shareward/control.sock";

/// The name of the pipe on IPC$ that carries the API over SMB.
pub const PIPE: &str = "shareward";

/// The sockets that a command tries, in order: only the named one; otherwise the one of the user's own server, then
/// the system's. `variable` returns an environment variable.
pub fn socket_candidates(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(named) = variable(SOCKET_VARIABLE).filter(|value| !value.is_empty()) {
        return vec![PathBuf::from(named)];
    }
    user_socket(&variable).into_iter().chain([PathBuf::from(SYSTEM_SOCKET)]).collect()
}

/// The socket of a server: the named one; otherwise the system's for root, and the user's own for other users. `None`
/// if `$XDG_RUNTIME_DIR` is not set.
pub fn socket_to_serve(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(named) = variable(SOCKET_VARIABLE).filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named));
    }
    if root { Some(PathBuf::from(SYSTEM_SOCKET)) } else { user_socket(&variable) }
}

fn user_socket(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let directory = PathBuf::from(variable("XDG_RUNTIME_DIR")?);
    directory.is_absolute().then(|| directory.join("shareward").join("control.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    }

    #[test]
    fn a_named_socket_is_the_only_one() {
        let named = with(&[("SHAREWARD_SOCKET", "/tmp/s"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
        assert_eq!(socket_candidates(&named), [PathBuf::from("/tmp/s")]);
        assert_eq!(socket_to_serve(true, &named), Some(PathBuf::from("/tmp/s")));
    }

    #[test]
    fn a_users_own_server_precedes_the_systems() {
        let user = with(&[("XDG_RUNTIME_DIR", "/run/user/7"), ("SHAREWARD_SOCKET", "")]);
        let own = PathBuf::from("/run/user/7/shareward/control.sock");
        assert_eq!(socket_candidates(&user), [own.clone(), PathBuf::from(SYSTEM_SOCKET)]);
        assert_eq!(socket_to_serve(false, &user), Some(own));
        assert_eq!(socket_to_serve(true, &user), Some(PathBuf::from(SYSTEM_SOCKET)));
        assert_eq!(socket_to_serve(false, with(&[])), None);
        assert_eq!(
            socket_candidates(with(&[("XDG_RUNTIME_DIR", "relative")])),
            [PathBuf::from(SYSTEM_SOCKET)]
        );
    }
}
