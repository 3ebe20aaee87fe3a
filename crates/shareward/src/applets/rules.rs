//! `net accounts`: the rules for accounts and passwords.

use control::{PasswordRules, PasswordRulesChange, SettingsChange, number};

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, labelled};

pub(super) static APPLET: Applet = Applet {
    names: &["accounts"],
    family: Family::Net,
    summary: "Show or change the rules for passwords and locked accounts",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET ACCOUNTS
[/MINPWLEN:length] [/MAXPWAGE:{days | UNLIMITED}] [/MINPWAGE:days]
[/UNIQUEPW:number] [/LOCKOUTTHRESHOLD:number] [/LOCKOUTDURATION:minutes]
[/LOCKOUTWINDOW:minutes] [--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Shows the rules for the server's accounts, or changes them. Changes are written
to the server's configuration file.

  /MINPWLEN          the fewest characters of a new password, 0 to 256
  /MAXPWAGE          the days after which a password expires, 1 to 999. Its
                     user changes it without a logon, as Windows offers or with
                     'smbpasswd -r SERVER'
  /MINPWAGE          the days before which a user cannot change the password
                     again, 0 to 998
  /UNIQUEPW          how many of the last passwords a user cannot use again, 0
                     to 24
  /LOCKOUTTHRESHOLD  how many wrong passwords lock an account, 0 for never
  /LOCKOUTDURATION   the minutes of a lock; 0 until 'net user NAME /active:yes'
  /LOCKOUTWINDOW     the minutes after which wrong passwords are forgotten

The rules apply to accounts of the server, not to those of a domain.
'net user NAME /passwordreq:no' exempts an account. Administrators must only
keep the length.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied) or 87 (a number is out of range); 2 for all others, such as
2114 (no server is running). The message contains the number.
",
};

const MIN_LENGTH: Switch = Switch::net("MINPWLEN", Takes::Value);
const MAX_AGE: Switch = Switch::net("MAXPWAGE", Takes::Value);
const MIN_AGE: Switch = Switch::net("MINPWAGE", Takes::Value);
const UNIQUE: Switch = Switch::net("UNIQUEPW", Takes::Value);
const THRESHOLD: Switch = Switch::net("LOCKOUTTHRESHOLD", Takes::Value);
const DURATION: Switch = Switch::net("LOCKOUTDURATION", Takes::Value);
const WINDOW: Switch = Switch::net("LOCKOUTWINDOW", Takes::Value);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |number| Failure::Usage { error: Numbered::new(number), help: &HELP };
    let switches = [MIN_LENGTH, MAX_AGE, MIN_AGE, UNIQUE, THRESHOLD, DURATION, WINDOW];
    let (words, options) = command_line(cli::parse(words, &cli::asking(&switches)), &HELP, console)?;
    if !words.operands.is_empty() {
        return Err(usage(messages::ARGUMENT_COUNT_NUMBER));
    }
    let change = change_of(&words)?;
    let server = administration::of(&options.target)?;
    let changes = change != PasswordRulesChange::default();
    let settings = administration::run(async {
        Ok(if changes {
            let change = SettingsChange { password_rules: Some(change), ..SettingsChange::default() };
            server.change_settings(&change).await?
        } else {
            server.settings().await?
        })
    })?;
    // A server of another make, or an old one, has settings without these.
    let Some(rules) = settings.password_rules else {
        return Err(Numbered::new(number::NOT_SUPPORTED).into());
    };
    if options.json {
        return console.document("password_rules", &rules);
    }
    if !changes {
        console.write(&text(&rules));
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn change_of(words: &Words) -> Result<PasswordRulesChange, Failure> {
    let number = |switch: &Switch, word: Option<&str>| match (words.value(switch), word) {
        (None, _) => Ok(None),
        (Some(value), Some(word)) if value.eq_ignore_ascii_case(word) => Ok(Some(0)),
        (Some(value), _) => value
            .parse()
            .map(Some)
            .map_err(|_| Failure::Usage { error: Numbered::new(messages::OPTION_VALUE_NUMBER), help: &HELP }),
    };
    Ok(PasswordRulesChange {
        min_length: number(&MIN_LENGTH, None)?,
        max_age_days: number(&MAX_AGE, Some("unlimited"))?,
        min_age_days: number(&MIN_AGE, None)?,
        history: number(&UNIQUE, None)?,
        lockout_threshold: number(&THRESHOLD, None)?,
        lockout_minutes: number(&DURATION, None)?,
        lockout_window_minutes: number(&WINDOW, None)?,
    })
}

/// The labels and words of NET.
fn text(rules: &PasswordRules) -> String {
    let or = |number: u32, word: &str| if number == 0 { word.to_owned() } else { number.to_string() };
    [
        ("Minimum password age (days):", rules.min_age_days.to_string()),
        ("Maximum password age (days):", or(rules.max_age_days, "Unlimited")),
        ("Minimum password length:", rules.min_length.to_string()),
        ("Length of password history maintained:", or(rules.history, "None")),
        ("Lockout threshold:", or(rules.lockout_threshold, "Never")),
        ("Lockout duration (minutes):", or(rules.lockout_minutes, "Never")),
        ("Lockout observation window (minutes):", rules.lockout_window_minutes.to_string()),
    ]
    .iter()
    .map(|(label, value)| labelled(LABEL_WIDTH, label, value))
    .collect()
}

const LABEL_WIDTH: usize = 54;
