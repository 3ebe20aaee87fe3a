//! A section as a `[[share]]`.

use std::collections::HashSet;

use wire::ShareName;

use super::text::{self, Table, source, strings};
use super::{Context, access, files, hosts, names as file_names};
use crate::parameters::{self, Answer};
use crate::report::{Answers, Verdict, by_table};
use crate::smbconf::{Section, Value, boolean, integer, list, unquoted};

/// The outcome of a section, with its text.
pub(super) enum Outcome {
    /// The text of the share.
    Share(String),
    /// The text, which must not be served, and the reason.
    Comment(String, String),
    /// Nothing, with the answer to all its lines.
    LeftOut(Verdict, String),
}

/// Translates a section. `names` has the names of the shares so far.
pub(super) fn share(
    context: &Context<'_>,
    (index, section): (usize, &Section),
    names: &mut HashSet<ShareName>,
    answers: &mut Answers,
) -> Outcome {
    let config = context.config;
    let name = config.charset.text(&section.name).trim().to_owned();
    if let Some((verdict, reason)) = left_out(section, &name) {
        return Outcome::LeftOut(verdict, reason.to_owned());
    }
    let mut closed = None;
    let mut close = |reason: String| _ = closed.get_or_insert(reason);

    let mut table = Table::new("[[share]]");
    let head = text::place(config, section.place);
    if let Err(reason) = check_name(&name) {
        close(reason);
    } else if !names.insert(ShareName::new(&name)) {
        close(String::from("another share has the same name"));
    }
    table.set("name", &text::string(&name), &head);
    let path = path(context, section, &name, &mut table, answers, &mut close);
    remark(context, section, &name, &mut table, answers);

    let guest = section.is("guest ok");
    let mut access = access::access(context, section, guest, answers);
    // Lines of smb.conf say nothing about this limit.
    let permission = context.share_info.permission(&name);
    let limit = match &permission {
        Ok(right) => access.limit(*right).then_some("share_info.tdb (sharesec)"),
        Err(reason) => {
            close(reason.clone());
            None
        }
    };
    if let Some(reason) = access.closed {
        close(reason);
    }
    if access.read_only {
        let source = limit.map_or_else(|| source(config, section.value("read only")), str::to_owned);
        table.set("read_only", "true", &source);
    }
    if guest {
        table.set("guest", "true", &source(config, section.value("guest ok")));
    }
    let lists = ["valid users", "invalid users", "read list", "write list"];
    let of_lists: Vec<String> =
        lists.iter().filter_map(|it| section.value(it)).map(|it| text::place(config, it.place)).collect();
    let of_lists = of_lists.join(", ");
    let of_grants =
        limit.map_or_else(|| of_lists.clone(), |limit| format!("{of_lists} {limit}").trim().to_owned());
    if !access.users.is_empty() {
        table.set("users", &strings(&access.users), &of_lists);
    }
    if !access.grants.is_empty() {
        let grants: Vec<String> = access.grants.iter().map(|(who, right)| who.grant(right)).collect();
        table.set("grants", &format!("[{}]", grants.join(", ")), &of_grants);
    }
    settings(context, section, &mut table, answers);
    continuous(context, section, access.read_only || path.contains('%'), &mut table, answers);
    modules(context, section, access.read_only, &mut table, answers);

    files::settings(context, section, &name, &mut table, answers);
    file_names::rules(context, section, &mut table, answers);
    if let Err(reason) = hosts::of_share(context, section, &mut table, answers) {
        close(reason);
    }
    if section.value("server addresses").is_some_and(|value| !list(&value.bytes).is_empty()) {
        close(String::from(
            "Shareward does not have 'server addresses', so the share would admit more computers",
        ));
    }
    if !config.text("root directory").is_empty() {
        close(String::from("Shareward does not have 'root directory'"));
    }
    for line in super::missing(context, Some(index), answers) {
        table.comment(&format!("not there yet: {line}"));
    }
    let text = format!("{}{}", table.text(), file_names::bin(context, section, answers));
    match closed {
        None => Outcome::Share(text),
        Some(reason) => Outcome::Comment(text, reason),
    }
}

/// The answer to a section that is not a share of files.
fn left_out(section: &Section, name: &str) -> Option<(Verdict, &'static str)> {
    if name.eq_ignore_ascii_case("ipc$") {
        return Some((Verdict::NotYet, "settings of IPC$"));
    }
    if section.is("printable") || name.eq_ignore_ascii_case("printers") || name.eq_ignore_ascii_case("print$")
    {
        return Some((Verdict::NotNeeded, "Shareward shares files; printers stay with CUPS"));
    }
    if !section.is("available") {
        return Some((Verdict::NotNeeded, "the share is off (available = no)"));
    }
    if !is_homes(name) && section.value("path").is_none_or(|path| path.bytes.is_empty()) {
        return Some((Verdict::NotNeeded, "Samba does not serve a share without a path"));
    }
    None
}

/// True for the section of the users' home directories.
pub(super) fn is_homes(name: &str) -> bool {
    name.eq_ignore_ascii_case("homes")
}

fn path(
    context: &Context<'_>,
    section: &Section,
    name: &str,
    table: &mut Table,
    answers: &mut Answers,
    close: &mut impl FnMut(String),
) -> String {
    let value = section.value("path");
    let bytes = value.map(|value| unquoted(&value.bytes)).unwrap_or_default();
    let bytes = if bytes.is_empty() && is_homes(name) { HOME.as_bytes() } else { bytes };
    let mut written = String::from_utf8_lossy(bytes).into_owned();
    match core::str::from_utf8(bytes).map(|it| context.substituted_path(it, name, is_homes(name))) {
        Err(_) => {
            answers.not_yet(value, "a path that is not UTF-8");
            close(String::from("the path is not UTF-8"));
        }
        Ok(Err(variable)) => {
            answers.not_yet(value, format!("a directory for each user or client (%{variable})"));
            close(format!("the path depends on the user or the client (%{variable})"));
        }
        Ok(Ok(path)) => {
            if !path.starts_with('/') && !path.starts_with(HOME) {
                answers.not_yet(value, "a path that does not begin with /");
                close(String::from("the path is relative"));
            }
            written = path;
        }
    }
    table.set("path", &text::string(&written), &source(context.config, value));
    if is_homes(name) {
        table.set("homes", "true", "[homes]");
    }
    written
}

fn remark(context: &Context<'_>, section: &Section, name: &str, table: &mut Table, answers: &mut Answers) {
    let value = section.value("comment");
    let Some(bytes) = value.map(|value| unquoted(&value.bytes)).filter(|it| !it.is_empty()) else { return };
    match context.substituted(&context.config.charset.text(bytes), name) {
        Err(variable) => answers.not_yet(value, format!("a remark that depends on the client (%{variable})")),
        Ok(remark) => {
            let short: String = remark.chars().take(REMARK_MAX).collect();
            if short != remark {
                answers.not_yet(value, format!("remarks of more than {REMARK_MAX} characters; it is cut"));
            }
            table.set("remark", &text::string(&short), &source(context.config, value));
        }
    }
}

/// The settings that are one parameter each.
fn settings(context: &Context<'_>, section: &Section, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    let mut set = |parameter: &str, key: &str, value: &str| {
        table.set(key, value, &source(config, section.value(parameter)));
    };
    if !section.is("browseable") {
        set("browseable", "hidden", "true");
    }
    if section.is("hide unreadable") {
        set("hide unreadable", "access_based_enum", "true");
    }
    let encrypt = section.word("server smb encrypt");
    if encrypt == "required" && config.word("server smb encrypt") != "required" {
        set("server smb encrypt", "encrypt", "true");
    }
    let connections = section.value("max connections").and_then(|it| integer(&it.bytes)).unwrap_or(0);
    if let Ok(most @ 1..) = u32::try_from(connections) {
        set("max connections", "max_users", &most.to_string());
    }
    match section.word("csc policy").as_str() {
        "disable" => set("csc policy", "caching", "\"none\""),
        word @ ("documents" | "programs") => set("csc policy", "caching", &text::string(word)),
        _ => {}
    }
    if !section.is("follow symlinks") {
        set("follow symlinks", "follow_symlinks", "false");
        answers.carried(
            section.value("follow symlinks"),
            "follow_symlinks = false: clients see the links, which Samba hides",
        );
    }
    let posix = section.is("posix locking");
    if !posix {
        set("posix locking", "posix_locking", "false");
    }
    if section.word("strict locking") == "yes" {
        if posix {
            set("strict locking", "strict_locking", "true");
        } else {
            answers.not_needed(
                section.value("strict locking"),
                "local programs do not see locks (posix locking = no)",
            );
        }
    }
}

/// `continuous availability`, which the server refuses in read-only shares and in those with variables in their path.
fn continuous(
    context: &Context<'_>,
    section: &Section,
    is_refused: bool,
    table: &mut Table,
    answers: &mut Answers,
) {
    let value = section.value("continuous availability");
    match section.is("continuous availability") {
        true if is_refused => answers.not_yet(
            value,
            "continuous availability of read-only shares, and of paths that depend on the user or the client",
        ),
        true => table.set("continuous", "true", &source(context.config, value)),
        false => {}
    }
}

/// `vfs objects`.
fn modules(
    context: &Context<'_>,
    section: &Section,
    read_only: bool,
    table: &mut Table,
    answers: &mut Answers,
) {
    let config = context.config;
    let Some(value) = section.value("vfs objects") else { return };
    let names: Vec<String> =
        list(&value.bytes).iter().map(|it| config.charset.text(it).to_ascii_lowercase()).collect();
    let has = |name: &str| names.iter().any(|it| it == name);
    // Samba asks the modules from left to right, and the first that keeps streams keeps them.
    let streams = names.iter().find_map(|it| match it.as_str() {
        "streams_xattr" => Some("xattr"),
        "streams_depot" => Some("depot"),
        _ => None,
    });
    if let Some(streams) = streams {
        table.set("streams", &text::string(streams), &source(config, Some(value)));
    }
    for name in &names {
        let of_module = parameters::module(name.split(':').next().unwrap_or(name));
        let answer = of_module.map_or(
            Answer::NotYet { missing: "a module that the import does not know", fine: &[] },
            |module| module.answer,
        );
        match by_table(answer, "", None) {
            (Verdict::NotYet, missing) => answers.not_yet(Some(value), format!("{name}: {missing}")),
            (verdict, detail) => answers.say(Some(value), verdict, format!("{name}: {detail}")),
        }
    }
    if has("fruit") {
        finder_data(context, section, value, answers);
        time_machine(context, section, read_only, table, answers);
    }
}

fn time_machine(
    context: &Context<'_>,
    section: &Section,
    read_only: bool,
    table: &mut Table,
    answers: &mut Answers,
) {
    let limit = section.option(context.config, "fruit:time machine max size").map(|option| &option.value);
    let value = section.option(context.config, "fruit:time machine").map(|option| &option.value);
    let is_set = value.is_some_and(|value| boolean(&value.bytes).unwrap_or(false));
    if !is_set {
        if value.is_some() {
            answers.not_needed(value, "the default");
        }
        answers.not_needed(limit, "a limit for Time Machine, which the share is not for");
    } else if read_only {
        answers.not_needed(value, "Macs write no backups to a share that is read only");
        answers.not_needed(limit, "Macs write no backups to a share that is read only");
    } else {
        table.set("time_machine", "true", &source(context.config, value));
        // The line may be for several shares.
        answers.carried(value, parameters::TIME_MACHINE);
        time_machine_limit(context, limit, table, answers);
    }
}

/// A number of bytes, or of kibibytes and so on with a unit behind it; 0 is no limit.
fn time_machine_limit(
    context: &Context<'_>,
    value: Option<&Value>,
    table: &mut Table,
    answers: &mut Answers,
) {
    let Some(known) = value else { return };
    let written = String::from_utf8_lossy(&known.bytes);
    let written = written.trim();
    let digits = written.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let (number, unit) = (digits.trim().parse::<u64>(), written.get(digits.len()..).unwrap_or_default());
    let limit = match (number, unit.to_ascii_uppercase().as_str()) {
        (Ok(0), _) => return answers.not_needed(value, "the default"),
        // Ours has a unit always.
        (Ok(bytes), "") => Some(format!("{}K", bytes.div_ceil(1024))),
        (Ok(number), unit @ ("K" | "M" | "G" | "T" | "P")) => Some(format!("{number}{unit}")),
        _ => None,
    };
    match limit {
        Some(limit) => {
            table.set("time_machine_limit", &text::string(&limit), &source(context.config, value));
            answers.carried(value, parameters::TIME_MACHINE_LIMIT);
        }
        None => answers.not_yet(value, "it is not a size such as 500G"),
    }
}

/// The formats of `vfs_fruit` for the data of Macs. Its defaults are not those that Shareward reads.
fn finder_data(context: &Context<'_>, section: &Section, value: &Value, answers: &mut Answers) {
    for (option, default) in [("fruit:metadata", "netatalk"), ("fruit:resource", "file")] {
        if section.option(context.config, option).is_none() {
            answers.not_yet(
                Some(value),
                format!("fruit without {option} = stream keeps the data of Macs as '{default}'; copy the share through SMB (docs/samba.md)"),
            );
        }
    }
}

/// Checks the name of a share as the server does.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.chars().count() > NAME_MAX {
        return Err(format!("the name has more than {NAME_MAX} characters, or none"));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || "\\/[]:|<>+=;,*?\"".contains(*c)) {
        return Err(format!("the name has {bad:?}, which no client can send"));
    }
    if RESERVED.iter().any(|it| it.eq_ignore_ascii_case(name)) {
        return Err(format!("the name {name} is reserved"));
    }
    Ok(())
}

/// The variable for the home directory of the user.
const HOME: &str = "%H";

/// The maximal length of a share's name in characters, as in `shareward.toml`.
const NAME_MAX: usize = 80;

/// The maximal length of a remark in characters, as in `shareward.toml`.
const REMARK_MAX: usize = 256;

/// Names that no share of files can have.
const RESERVED: [&str; 4] = ["IPC$", "PIPE", "MAILSLOT", "ADMIN$"];
