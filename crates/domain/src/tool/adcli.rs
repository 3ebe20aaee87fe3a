//! `adcli` (adcli(8)).

use tokio::process::Command;

use super::{Account, Error, Login, Tool};

pub(super) async fn join(tool: &Tool, account: &Account<'_>, login: &Login) -> Result<String, Error> {
    let mut command = tool.command();
    command.arg("join").arg("--service-name=host").arg("--service-name=cifs");
    command.arg(format!("--host-fqdn={}", account.host)).arg(format!("--computer-name={}", account.computer));
    command.arg(format!("--host-keytab={}", account.keytab.display()));
    if let Some(unit) = account.unit {
        command.arg(format!("--domain-ou={unit}"));
    }
    let input = log_in(&mut command, account, login);
    tool.run(&mut command, input).await
}

pub(super) async fn leave(tool: &Tool, account: &Account<'_>, login: &Login) -> Result<String, Error> {
    let mut command = tool.command();
    command.arg("delete-computer");
    let input = log_in(&mut command, account, login);
    command.arg("--").arg(account.computer);
    tool.run(&mut command, input).await
}

/// The domain and the login. Returns the input, which adcli reads up to its end.
fn log_in<'a>(command: &mut Command, account: &Account<'_>, login: &'a Login) -> &'a [u8] {
    command.arg(format!("--domain={}", account.realm.to_ascii_lowercase()));
    command.arg(format!("--domain-realm={}", account.realm));
    if let Some(controller) = account.controller {
        command.arg(format!("--domain-controller={controller}"));
    }
    match login {
        Login::Password { user, password } => {
            command.arg(format!("--login-user={user}")).arg("--stdin-password");
            password.as_bytes()
        }
        Login::Tickets => {
            command.arg("--login-ccache").arg("--no-password");
            &[]
        }
    }
}
