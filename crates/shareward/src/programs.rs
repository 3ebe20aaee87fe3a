//! Functions that `openfiles`, `psfile` and `psloggedon` share.

use client::Administration;

use crate::administration::{self, ServerTarget};
use crate::output::inert;

/// The name of the server in capitals, as these programs show it.
pub(crate) fn host_name(server: &dyn Administration, target: &ServerTarget) -> String {
    let told = administration::run(async { Ok(server.server().await.ok()) });
    let told = told.ok().flatten().map(|info| info.name).filter(|name| !name.is_empty());
    wire::names::upper(&told.or_else(|| target.server.clone()).unwrap_or_else(local_name))
}

/// This machine's name.
pub(crate) fn local_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// A row of quoted values, with formulas made inert.
pub(crate) fn csv_row<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> =
        values.map(|value| format!("\"{}\"", inert(value).replace('"', "\"\""))).collect();
    quoted.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_no_formulas() {
        assert_eq!(csv_row(["7", "=1+1", "say \"hi\""].into_iter()), "\"7\",\"'=1+1\",\"say \"\"hi\"\"\"\n");
    }
}
