//! `net help`.

use super::{APPLETS, Applet, Family, Help, find, samba_net};
use crate::cli;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;

pub(super) static APPLET: Applet =
    Applet { names: &["help"], family: Family::Net, summary: "Show the help of a command", help: &HELP, run };

static HELP: Help = Help {
    syntax: "\
NET HELP
[command]
",
    about: "\
Lists the commands, or shows the help of one command. 'NET command /?' and
'net command --help' do the same.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    answer(Family::Own, words, console)
}

/// Shows the help of a command, and names the other family's command of that name if it has one.
pub(super) fn answer(family: Family, words: &[String], console: &mut Console) -> Result<(), Failure> {
    if cli::wants_help(words) {
        show(&APPLET, console);
        return Ok(());
    }
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse(words, &[]).map_err(usage)?;
    match words.operands.as_slice() {
        [] => console.write(&overview(family)),
        [name] => match find(family, name).or_else(|| find(Family::Own, name)) {
            Some(applet) => {
                show(applet, console);
                let other = match applet.family {
                    Family::Net => Family::Own,
                    Family::Own => Family::Net,
                };
                if let Some(other) = find(other, name).filter(|other| other.family != applet.family) {
                    let line = match other.family {
                        Family::Net => {
                            format!("'net {name}' is another command; see 'net help {name}'.")
                        }
                        Family::Own => {
                            format!("'shareward {name}' is another command; see 'shareward help {name}'.")
                        }
                    };
                    console.line(&format!("\n{line}"));
                }
            }
            None => {
                return Err(Failure::UnknownCommand {
                    hint: Some(samba_net::unknown(Family::Own, std::slice::from_ref(name))),
                    overview: overview(Family::Own),
                });
            }
        },
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
    Ok(())
}

/// Prints the help of one command.
pub(super) fn show(applet: &Applet, console: &mut Console) {
    console.write(&format!("{}\n\n{}\n{}", messages::SYNTAX_IS, applet.help.syntax, applet.help.about));
}

/// The list of commands.
pub(super) fn overview(family: Family) -> String {
    let listed = |wanted: Family| {
        let mut applets: Vec<_> = APPLETS.iter().filter(|applet| applet.family == wanted).collect();
        applets.sort_by_key(|applet| applet.names.first());
        applets
            .into_iter()
            .map(|applet| format!("    {:<11} {}\n", applet.names.first().unwrap_or(&""), applet.summary))
            .collect::<String>()
    };
    let net = listed(Family::Net);
    let own = listed(Family::Own);
    match family {
        Family::Net => format!(
            "{}\n\nNET command [arguments]\n\n{net}\n'net help COMMAND' shows the help of a command.\n\n",
            messages::SYNTAX_IS
        ),
        Family::Own if own.is_empty() => {
            format!(
                "{}\n\nshareward command [arguments]\n\n{net}\n'shareward help COMMAND' shows the help of a command.\n\n",
                messages::SYNTAX_IS
            )
        }
        Family::Own => format!(
            "{}\n\nshareward command [arguments]\n\n{own}\nAlso available as 'net command':\n\n{net}\n'shareward help COMMAND' shows the help of a command.\n\n",
            messages::SYNTAX_IS
        ),
    }
}
