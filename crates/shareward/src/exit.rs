//! Exit codes.

use std::process;

/// The exit code of the program. Scripts written for NET test for 0 and 2; other scripts can also tell system errors
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// 0: success.
    Done,
    /// The number of a system error, 1 to 255, for example 5 for "Access is denied.".
    System(u8),
    /// 2: every other failure; its number is above 255 and is in the message.
    Failed,
}

impl ExitCode {
    /// The exit code of a failure with this number. 0 is not a failure's number and gives 2.
    pub(crate) fn of_number(number: u32) -> Self {
        match u8::try_from(number) {
            Ok(0) | Err(_) => Self::Failed,
            Ok(number) => Self::System(number),
        }
    }

    fn value(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::System(number) => number,
            Self::Failed => 2,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_up_to_255_are_exit_codes_and_others_give_two() {
        for (number, value) in [
            (1, 1),
            (5, 5),
            (53, 53),
            (255, 255),
            (256, 2),
            (2114, 2),
            (2312, 2),
            (3960, 2),
            (u32::MAX, 2),
            (0, 2),
        ] {
            assert_eq!(ExitCode::of_number(number).value(), value, "{number}");
        }
        assert_eq!(ExitCode::Done.value(), 0);
    }
}
