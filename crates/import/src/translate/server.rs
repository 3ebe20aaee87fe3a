//! `[global]` as the table `[server]`.

use std::fmt::Write as _;

use super::text::{self, Table, source};
use super::{AccountsSource, Context, Places, accounts_source, hosts, network};
use crate::report::Answers;
use crate::smbconf::{Charset, Config, integer, unquoted};

/// True if the Samba server is a member of an Active Directory domain.
pub(super) fn is_member(config: &Config) -> bool {
    match config.word("server role").as_str() {
        "auto" => config.word("security") == "ads",
        "member server" | "member" => config.word("security") != "domain",
        _ => false,
    }
}

/// Writes the table `[server]`.
pub(super) fn head(
    context: &Context<'_>,
    places: &Places,
    toml: &mut String,
    answers: &mut Answers,
    notes: &mut Vec<String>,
) {
    let config = context.config;
    let mut table = Table::new("[server]");
    names(context, &mut table, answers);
    if let Some(value) = config.value("deadtime") {
        let minutes = integer(&value.bytes).unwrap_or(0).clamp(0, AUTODISCONNECT_MAX);
        let minutes = if minutes == 0 { -1 } else { minutes };
        table.set("autodisconnect", &minutes.to_string(), &source(config, Some(value)));
    }
    network::listen(context, &mut table, answers);
    hosts::of_server(context, &mut table, answers);
    dialects(context, &mut table, answers);
    protection(context, &mut table);
    guests(context, &mut table, answers);
    if let Some(value) = config.value("smb3 unix extensions") {
        let on = config.word("smb3 unix extensions") == "yes";
        table.set("posix_extensions", &on.to_string(), &source(config, Some(value)));
    }
    if let AccountsSource::Other(backend) = accounts_source(config) {
        let value = config.value("passdb backend");
        answers.not_yet(
            value,
            format!("accounts in {backend}; import the output of `pdbedit -L -w` with --users"),
        );
        notes.push(format!(
            "accounts: {backend} is not read; run `pdbedit -L -w > FILE` and import with --users FILE"
        ));
    }
    for (key, place) in [("users_file", &places.users_file), ("state_dir", &places.state_dir)] {
        if let Some(place) = place {
            table.set(key, &text::string(place), "beside this file");
        }
    }
    charset(context, answers);
    role(context, answers);
    user_shares(context, answers);
    for line in super::missing(context, None, answers) {
        table.comment(&format!("not there yet: {line}"));
    }
    if table.is_empty() {
        table.comment("Nothing differs from the defaults.");
    }
    let _ = writeln!(toml, "{}", table.text());
}

fn names(context: &Context<'_>, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    if let Some(value) = config.value("netbios name") {
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = &context.server;
        if name.is_empty() || !name.chars().all(is_good) {
            answers.not_yet(
                Some(value),
                "a server name with other characters than letters, digits, '-' and '_'",
            );
        } else {
            table.set("name", &text::string(name), &source(config, Some(value)));
        }
    }
    let value = config.value("server string");
    let comment = value.map(|value| config.charset.text(unquoted(&value.bytes))).unwrap_or_default();
    // The default of many distributions names the version of Samba.
    let comment = comment.replace("Samba %v", "Shareward");
    match context.substituted(&comment, "") {
        Ok(comment) if comment.chars().count() <= COMMENT_MAX => {
            if value.is_some() {
                table.set("comment", &text::string(comment.trim()), &source(config, value));
            }
        }
        Ok(_) => answers.not_yet(value, format!("comments of more than {COMMENT_MAX} characters")),
        Err(variable) => {
            answers.not_yet(value, format!("a comment that depends on the client (%{variable})"))
        }
    }
}

fn dialects(context: &Context<'_>, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    let of = |name: &str| -> Option<(usize, &str)> {
        let value = config.value(name)?;
        let number = match config.word(name).as_str() {
            "smb2_02" => 0,
            "smb2" | "smb2_10" => 1,
            "smb3_00" => 2,
            "smb3_02" => 3,
            "smb3" => 4,
            _ => return None,
        };
        let _ = value;
        Some((number, *DIALECTS.get(number)?))
    };
    let (least, most) = (of("server min protocol"), of("server max protocol"));
    for (name, dialect, key) in
        [("server min protocol", least, "min_dialect"), ("server max protocol", most, "max_dialect")]
    {
        let Some(value) = config.value(name) else { continue };
        let word = config.word(name);
        match dialect {
            _ if word == "default" => {
                answers.not_needed(Some(value), "the default of Shareward is from 2.0.2 to 3.1.1")
            }
            Some(_) if least.zip(most).is_some_and(|(least, most)| least.0 > most.0) => {
                answers.not_yet(Some(value), "a lowest dialect above the highest");
            }
            Some((_, dialect)) => table.set(key, &text::string(dialect), &source(config, Some(value))),
            None if key == "min_dialect" => {
                answers.not_yet(Some(value), "SMB 1: clients that have nothing newer cannot connect");
            }
            None => answers.not_yet(Some(value), "SMB 1 as the only dialect"),
        }
    }
}

/// Signing and encryption.
fn protection(context: &Context<'_>, table: &mut Table) {
    let config = context.config;
    if let Some(value) = config.value("server signing") {
        let word = if config.word("server signing") == "required" { "required" } else { "enabled" };
        table.set("signing", &text::string(word), &source(config, Some(value)));
    }
    if let Some(value) = config.value("server smb encrypt") {
        let needs_encryption =
            || config.shares.iter().any(|share| share.word("server smb encrypt") == "required");
        let word = match config.word("server smb encrypt").as_str() {
            "required" => "required",
            "no" if !needs_encryption() => "off",
            _ => "enabled",
        };
        table.set("encryption", &text::string(word), &source(config, Some(value)));
    }
}

/// Guests and anonymous callers.
fn guests(context: &Context<'_>, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    if let Some(value) = config.value("restrict anonymous") {
        let word = if integer(&value.bytes).unwrap_or(0) <= 0 { "anonymous" } else { "guests" };
        table.set("list_shares", &text::string(word), &source(config, Some(value)));
    }
    let value = config.value("map to guest");
    let has_guests = config.shares.iter().any(|share| share.is("guest ok"));
    match config.word("map to guest").as_str() {
        _ if !has_guests => answers.not_needed(value, "no share is for guests"),
        word @ ("bad user" | "bad password") => {
            table.set("guest_domains", "[\"*\"]", &source(config, value));
            if word == "bad password" {
                answers.not_yet(value, "users with a wrong password as guests; they are refused");
            }
        }
        "bad uid" => answers.not_yet(value, "users of a domain without a Unix account as guests"),
        _ => answers.carried(value, "guest: in shares for guests, users without an account are guests, too"),
    }
}

/// The encoding of names: those in smb.conf are converted, those of files stay as they are.
fn charset(context: &Context<'_>, answers: &mut Answers) {
    let config = context.config;
    let value = config.value("unix charset");
    match &config.charset {
        Charset::Utf8 => answers.not_needed(value, "Shareward uses UTF-8"),
        Charset::Other(name) => {
            answers.not_yet(value, format!("names in the encoding {name}, in smb.conf and on the disk"))
        }
        _ => answers.not_yet(
            value,
            "names of files in this encoding (convmv converts them); names in smb.conf are converted",
        ),
    }
}

/// Shares that users make themselves are files in a directory.
fn user_shares(context: &Context<'_>, answers: &mut Answers) {
    let config = context.config;
    let set = config.text("usershare path");
    let directory = if set.is_empty() { "/var/lib/samba/usershares" } else { set.as_str() };
    if context.system.has_entries(std::path::Path::new(directory)) {
        return;
    }
    let values = config
        .global
        .iter()
        .filter(|(id, _)| crate::parameters::by_id(**id).is_some_and(|it| it.name.starts_with("usershare ")));
    for (_, value) in values {
        answers.not_needed(Some(value), format!("no user has made a share ({directory} is empty)"));
    }
}

/// The role of the server.
fn role(context: &Context<'_>, answers: &mut Answers) {
    let config = context.config;
    let (role, security) = (config.value("server role"), config.value("security"));
    match config.word("server role").as_str() {
        "auto" | "standalone server" | "standalone" | "member server" | "member" => {}
        _ => answers.not_yet(role, "a domain controller; Shareward can be a member of its domain"),
    }
    if config.word("security") == "domain" {
        answers.not_yet(security, "membership in a Windows NT domain");
    }
    if context.is_member {
        return;
    }
    for name in [
        "workgroup",
        "realm",
        "password server",
        "dedicated keytab file",
        "kerberos method",
        "kerberos encryption types",
        "security",
        "server role",
    ] {
        answers.not_needed(config.value(name), "the server is not a member of a domain");
    }
    for option in config.options.iter().filter(|(key, _)| key.starts_with("idmapconfig")).map(|(_, it)| it) {
        answers.not_needed(Some(&option.value), "the server is not a member of a domain");
    }
}

const DIALECTS: [&str; 5] = ["2.0.2", "2.1", "3.0", "3.0.2", "3.1.1"];

/// The maximal minutes of `autodisconnect`.
const AUTODISCONNECT_MAX: i64 = 65535;

/// The maximal length of the comment in characters, as in `shareward.toml`.
const COMMENT_MAX: usize = 256;

/// The maximal length of the server's name.
pub(super) const NAME_MAX: usize = 15;
