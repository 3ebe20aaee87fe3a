//! NET's grammar: `/SWITCH[:value]` in any case and any unambiguous abbreviation, and also GNU's spelling,
//! `--switch[=value]`.

mod deadline;
pub(crate) mod filter;
pub(crate) mod format;
mod length;
pub(crate) mod plain;
mod switches;
pub(crate) mod time_words;

use std::path::PathBuf;

use crate::administration::ServerTarget;
use crate::credentials::Protocol;
use crate::failure::Numbered;
use crate::messages;
use crate::prompt::Preset;

pub(crate) use deadline::deadline;
pub(crate) use filter::Filter;
pub(crate) use format::Format;
pub(crate) use length::length;
pub(crate) use switches::{Switch, Takes, Words, parse, parse_either, parse_paths};

/// A switch of NET that every command takes.
pub(crate) const YES: Switch = Switch::net("YES", Takes::Nothing);
/// See [`YES`].
pub(crate) const NO: Switch = Switch::net("NO", Takes::Nothing);
/// A switch of ours that every command takes that asks a server.
pub(crate) const JSON: Switch = Switch::own("JSON", Takes::Nothing);
/// See [`JSON`].
pub(crate) const COMPAT: Switch = Switch::own("COMPAT", Takes::Nothing);
/// See [`JSON`].
pub(crate) const VERBOSE: Switch = Switch::own("VERBOSE", Takes::Nothing);
/// See [`JSON`].
pub(crate) const SOCKET: Switch = Switch::own("SOCKET", Takes::Value);
/// See [`JSON`].
pub(crate) const SERVER: Switch = Switch::own("SERVER", Takes::Value);
/// See [`JSON`].
pub(crate) const LOGIN: Switch = Switch::own("LOGIN", Takes::Value);
/// See [`JSON`].
pub(crate) const CREDENTIALS: Switch = Switch::own("CREDENTIALS", Takes::Value);

/// See [`JSON`].
pub(crate) const KERBEROS: Switch = Switch::own("KERBEROS", Takes::Nothing);
/// See [`JSON`].
pub(crate) const NTLM: Switch = Switch::own("NTLM", Takes::Nothing);

/// All nodes of a cluster, instead of `--server`: of that of this machine's configuration, or of the named file.
pub(crate) const CLUSTER: Switch = Switch::own("CLUSTER", Takes::Optional);

/// The switches that select servers and credentials.
pub(crate) const TARGET: [Switch; 6] = [SOCKET, SERVER, LOGIN, CREDENTIALS, KERBEROS, NTLM];

/// The switches of a command that asks servers and supports `--json`: its own and the common ones.
pub(crate) fn asking(own: &[Switch]) -> Vec<Switch> {
    [own, &[JSON], &TARGET].concat()
}

/// The values of the common switches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The selected server.
    pub(crate) target: ServerTarget,
    /// True if output is JSON.
    pub(crate) json: bool,
    /// True if tables are cut to NET's columns.
    pub(crate) compat: bool,
    /// True if the output includes fields that NET does not show.
    pub(crate) verbose: bool,
    /// The answer given in advance to questions.
    pub(crate) preset: Preset,
}

impl Options {
    /// Selects all nodes of the cluster if `words` have [`CLUSTER`].
    pub(crate) fn with_cluster(mut self, words: &Words) -> Result<Self, Numbered> {
        if words.has(&CLUSTER) {
            if self.target.server.is_some() || self.target.socket.is_some() {
                return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
            }
            self.target.server = Some(format!("cluster:{}", words.value(&CLUSTER).unwrap_or_default()));
        }
        Ok(self)
    }

    /// The common switches among `words`.
    pub(crate) fn of(words: &Words) -> Result<Self, Numbered> {
        let preset = match (words.has(&YES), words.has(&NO)) {
            (true, true) => return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)),
            (true, false) => Preset::Yes,
            (false, true) => Preset::No,
            (false, false) => Preset::Ask,
        };
        let servers: Vec<&str> = words.values(&SERVER).collect();
        Ok(Self {
            target: ServerTarget {
                socket: words.value(&SOCKET).map(PathBuf::from),
                server: (!servers.is_empty()).then(|| servers.join(",")),
                only: None,
                login: words.value(&LOGIN).map(str::to_owned),
                credentials: words.value(&CREDENTIALS).map(PathBuf::from),
                password: None,
                protocol: protocol(words)?,
            },
            json: words.has(&JSON),
            compat: words.has(&COMPAT),
            verbose: words.has(&VERBOSE),
            preset,
        })
    }
}

/// The protocol that `--kerberos` or `--ntlm` demands.
pub(crate) fn protocol(words: &Words) -> Result<Protocol, Numbered> {
    match (words.has(&KERBEROS), words.has(&NTLM)) {
        (true, true) => Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)),
        (true, false) => Ok(Protocol::Kerberos),
        (false, true) => Ok(Protocol::Ntlm),
        (false, false) => Ok(Protocol::Any),
    }
}

/// True if the words contain a switch that asks for help.
pub(crate) fn wants_help(words: &[String]) -> bool {
    words
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| matches!(word.to_ascii_lowercase().as_str(), "/?" | "-?" | "/help" | "--help" | "-h"))
}

/// True if the words contain `--json` or `--ndjson`. It is also used for command lines that cannot be parsed.
pub(crate) fn wants_json(words: &[String]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| {
        let word = word.to_ascii_lowercase();
        let name = word.split(['=', ':']).next().unwrap_or_default();
        matches!(name, "--json" | "-json" | "/json" | "--ndjson" | "-ndjson" | "/ndjson")
    })
}

/// The computer that an operand names. NET expects `\\NAME`; a shell may have removed one backslash, and `//NAME`
/// needs no quoting.
pub(crate) fn computer(operand: &str) -> Result<String, Numbered> {
    let name = match operand.strip_prefix("//") {
        Some(name) => name,
        None if operand.starts_with('\\') => operand.trim_start_matches('\\'),
        None => {
            return Err(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)
                .hint(r"a computer is written //NAME, or '\\NAME' in quotes"));
        }
    };
    if name.is_empty() || name.contains(['\\', '/']) {
        return Err(Numbered::new(control::number::INVALID_COMPUTER));
    }
    Ok(name.to_owned())
}
