//! Questions to the user.

use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;

/// The answer that `/YES` or `/NO` gives in advance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Preset {
    /// None: ask.
    #[default]
    Ask,
    /// `/YES`.
    Yes,
    /// `/NO`.
    No,
}

/// The meaning of an empty answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultAnswer {
    /// Yes, if nothing can be lost.
    Yes,
    /// No, if something may be lost.
    No,
}

/// The wrong answers that are accepted before giving up, so that a wrong file on stdin does not loop.
const TRIES_MAX: u32 = 3;

/// Shows a warning and asks whether to continue. `Ok` is yes; no is [`Failure::Declined`]; end of input or too many
/// wrong answers is error 3757.
pub(crate) fn confirm(
    console: &mut Console,
    warning: &str,
    default: DefaultAnswer,
    preset: Preset,
) -> Result<(), Failure> {
    ask(console, warning, messages::CONTINUE_QUESTION, default, preset)
}

/// As [`confirm`], with another question.
pub(crate) fn ask(
    console: &mut Console,
    warning: &str,
    question: &str,
    default: DefaultAnswer,
    preset: Preset,
) -> Result<(), Failure> {
    match preset {
        Preset::Yes => return Ok(()),
        Preset::No => return Err(Failure::Declined),
        Preset::Ask => {}
    }
    console.talk(warning);
    let choice = match default {
        DefaultAnswer::Yes => messages::YES_OR_NO_DEFAULT_YES,
        DefaultAnswer::No => messages::YES_OR_NO_DEFAULT_NO,
    };
    for _ in 0..TRIES_MAX {
        console.talk(&messages::insert(question, choice));
        let Some(line) = console.answer() else { break };
        match (line.trim().to_ascii_lowercase().as_str(), default) {
            ("y" | "yes", _) | ("", DefaultAnswer::Yes) => return Ok(()),
            ("n" | "no", _) | ("", DefaultAnswer::No) => return Err(Failure::Declined),
            _ => console.talk(&format!("{}\n\n", messages::INVALID_RESPONSE)),
        }
    }
    Err(Numbered::new(messages::NO_RESPONSE_NUMBER).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(input: &str, default: DefaultAnswer, preset: Preset) -> (&'static str, String) {
        let (mut console, shown) = Console::memory(input);
        let outcome = match confirm(&mut console, "Careful.\n", default, preset) {
            Ok(()) => "yes",
            Err(Failure::Declined) => "no",
            Err(Failure::Numbered(_)) => "nothing",
            Err(other) => unreachable!("{other:?}"),
        };
        (outcome, shown.text())
    }

    #[test]
    fn answers_and_their_defaults() {
        for (input, no_default, yes_default) in [
            ("y\n", "yes", "yes"),
            ("YES\r\n", "yes", "yes"),
            ("  n \n", "no", "no"),
            ("\n", "no", "yes"),
            ("y", "yes", "yes"),
            ("", "nothing", "nothing"),
            ("maybe\n", "nothing", "nothing"),
            ("maybe\ny\n", "yes", "yes"),
            ("a\nb\nc\ny\n", "nothing", "nothing"),
        ] {
            assert_eq!(asked(input, DefaultAnswer::No, Preset::Ask).0, no_default, "{input:?}");
            assert_eq!(asked(input, DefaultAnswer::Yes, Preset::Ask).0, yes_default, "{input:?}");
        }
    }

    #[test]
    fn presets_ask_nothing() {
        assert_eq!(asked("n\n", DefaultAnswer::No, Preset::Yes), ("yes", String::new()));
        assert_eq!(asked("y\n", DefaultAnswer::Yes, Preset::No), ("no", String::new()));
    }

    #[test]
    fn the_question_names_its_default() {
        let question = |default| asked("y\n", default, Preset::Ask).1;
        assert!(
            question(DefaultAnswer::No)
                .starts_with("Careful.\nDo you want to continue this operation? (Y/N) [N]: ")
        );
        assert!(question(DefaultAnswer::Yes).contains("(Y/N) [Y]: "));
    }
}
