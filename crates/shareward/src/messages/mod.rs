//! Messages by their numbers, with the texts of Windows' NET, which scripts and users know.

mod net;
mod system;

use std::ops::RangeInclusive;

/// The numbers of NET's own messages; all others are the system's.
pub(crate) const NET_NUMBERS: RangeInclusive<u32> = 2100..=5999;

/// 3500.
pub(crate) const COMPLETED: &str = "The command completed successfully.";
/// 3502.
pub(crate) const SYSTEM_ERROR: &str = "System error %1 has occurred.";
/// 3514.
pub(crate) const MORE_HELP: &str = "More help is available by typing NET HELPMSG %1.";
/// 3660.
pub(crate) const SESSIONS_ON_SERVER: &str = "These workstations have sessions on this server:";
/// 3661.
pub(crate) const SESSIONS_WITH_FILES: &str =
    "These workstations have sessions with open files on this server:";
/// 3675.
pub(crate) const SESSION_HAS_FILES: &str = "The session from %1 has open files.";
/// 3676.
pub(crate) const WILL_BE_REMEMBERED: &str = "New connections will be remembered.";
/// 3677.
pub(crate) const WILL_NOT_BE_REMEMBERED: &str = "New connections will not be remembered.";
/// 3691.
pub(crate) const OPEN_ON_CONNECTION: &str =
    "There are open files and/or incomplete directory searches pending on the connection to %1.";
/// The heading of the list that `NET USE * /DELETE` shows.
pub(crate) const REMOTE_CONNECTIONS: &str = "You have these remote connections:";
/// The line after that list.
pub(crate) const CONTINUING_CANCELS: &str = "Continuing will cancel the connections.";
/// 3683.
pub(crate) const NO_ENTRIES: &str = "There are no entries in the list.";
/// 3688.
pub(crate) const SHARE_HAS_FILES: &str =
    "Users have open files on %1.  Continuing the operation will force the files closed.";
/// 4650.
pub(crate) const DELETED: &str = "%1 was deleted successfully.";
/// 4656.
pub(crate) const SHARED: &str = "%1 was shared successfully.";
/// 4736.
pub(crate) const NO_LIMIT: &str = "No limit";
/// 4770.
pub(crate) const CACHING_MANUAL: &str = "Manual caching of documents";
/// 4771.
pub(crate) const CACHING_DOCUMENTS: &str = "Automatic caching of documents";
/// 4772.
pub(crate) const CACHING_PROGRAMS: &str = "Automatic caching of programs and documents";
/// 4773.
pub(crate) const CACHING_NONE: &str = "Caching disabled";
/// 4710 to 4713.
pub(crate) fn kind(kind: control::ShareKind) -> &'static str {
    match kind {
        control::ShareKind::Disk => "Disk",
        control::ShareKind::Print => "Print",
        control::ShareKind::Comm => "Comm",
        control::ShareKind::Ipc => "IPC",
        control::ShareKind::Unknown => "",
    }
}
/// 3756.
pub(crate) const INVALID_RESPONSE: &str = "This is an invalid response.";
/// 4340.
pub(crate) const YES_OR_NO_DEFAULT_YES: &str = "(Y/N) [Y]";
/// 4341.
pub(crate) const YES_OR_NO_DEFAULT_NO: &str = "(Y/N) [N]";
/// 4381.
pub(crate) const SYNTAX_IS: &str = "The syntax of this command is:";
/// The prompt for a password, which is read without echo.
pub(crate) const PASSWORD_QUESTION: &str = "Enter the password for %1: ";
/// 5284.
pub(crate) const CONTINUE_QUESTION: &str = "Do you want to continue this operation? %1: ";

/// 5289.
pub(crate) const FORCE_QUESTION: &str = "Is it OK to continue disconnecting and force them closed? %1: ";

/// "The command contains an invalid number of arguments."
pub(crate) const ARGUMENT_COUNT_NUMBER: u32 = 3503;

/// The syntax is incorrect.
pub(crate) const SYNTAX_NUMBER: u32 = 3953;
/// "You used an option with an invalid value."
pub(crate) const OPTION_VALUE_NUMBER: u32 = 3505;
/// "The option %1 is unknown."
pub(crate) const UNKNOWN_OPTION_NUMBER: u32 = 3506;
/// "Option %1 is ambiguous."
pub(crate) const AMBIGUOUS_OPTION_NUMBER: u32 = 3507;
/// "A command was used with conflicting switches."
pub(crate) const CONFLICTING_OPTIONS_NUMBER: u32 = 3510;
/// "No valid response was provided."
pub(crate) const NO_RESPONSE_NUMBER: u32 = 3757;
/// "%1 is not a valid Windows network message number."
pub(crate) const NOT_A_MESSAGE_NUMBER: u32 = 3871;
/// "You entered an invalid value for the %1 option."
pub(crate) const VALUE_OF_OPTION_NUMBER: u32 = 3952;
/// "You specified an invalid file number."
pub(crate) const FILE_NUMBER_NUMBER: u32 = 3960;

/// The text of a message; `%1` stands for its object.
pub(crate) fn text(number: u32) -> Option<&'static str> {
    [system::TEXTS, net::TEXTS].into_iter().find_map(|texts| {
        let index = texts.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        texts.get(index).map(|(_, text)| *text)
    })
}

/// Replaces `%1` in `text`.
pub(crate) fn insert(text: &str, value: &str) -> String {
    text.replace("%1", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_apart() {
        for texts in [system::TEXTS, net::TEXTS] {
            assert!(texts.is_sorted_by(|(a, _), (b, _)| a < b));
            assert!(texts.iter().all(|(_, text)| !text.is_empty() && *text == text.trim_end()));
        }
        assert!(system::TEXTS.iter().all(|(number, _)| !NET_NUMBERS.contains(number)));
        assert!(net::TEXTS.iter().all(|(number, _)| NET_NUMBERS.contains(number)));
    }

    #[test]
    fn every_number_that_a_command_fails_with_has_a_text() {
        use control::number::*;
        for number in [
            ACCESS_DENIED,
            NOT_SUPPORTED,
            BAD_NETPATH,
            INVALID_PARAMETER,
            INVALID_LEVEL,
            SERVER_NOT_STARTED,
            INTERNAL_ERROR,
            USER_NOT_FOUND,
            SPECIAL_ACCOUNT,
            NO_SUCH_ALIAS,
            MEMBER_NOT_IN_ALIAS,
            MEMBER_IN_ALIAS,
            ALIAS_EXISTS,
            NO_SUCH_MEMBER,
            INVALID_MEMBER,
            NET_NAME_NOT_FOUND,
            CLIENT_NAME_NOT_FOUND,
            FILE_ID_NOT_FOUND,
            ARGUMENT_COUNT_NUMBER,
            OPTION_VALUE_NUMBER,
            UNKNOWN_OPTION_NUMBER,
            AMBIGUOUS_OPTION_NUMBER,
            CONFLICTING_OPTIONS_NUMBER,
            NO_RESPONSE_NUMBER,
            NOT_A_MESSAGE_NUMBER,
            VALUE_OF_OPTION_NUMBER,
            FILE_NUMBER_NUMBER,
            8,
            29,
            58,
            59,
            1450,
            1460,
            2351,
        ] {
            assert!(text(number).is_some(), "{number}");
        }
        assert_eq!(text(0), None);
        assert_eq!(text(u32::MAX), None);
    }

    #[test]
    fn the_constants_are_in_the_table() {
        for (number, constant) in [
            (3500, COMPLETED),
            (3502, SYSTEM_ERROR),
            (3514, MORE_HELP),
            (3660, SESSIONS_ON_SERVER),
            (3661, SESSIONS_WITH_FILES),
            (3675, SESSION_HAS_FILES),
            (3676, WILL_BE_REMEMBERED),
            (3677, WILL_NOT_BE_REMEMBERED),
            (3683, NO_ENTRIES),
            (3691, OPEN_ON_CONNECTION),
            (3756, INVALID_RESPONSE),
            (4340, YES_OR_NO_DEFAULT_YES),
            (4341, YES_OR_NO_DEFAULT_NO),
            (4381, SYNTAX_IS),
        ] {
            assert_eq!(text(number), Some(constant));
        }
    }
}
