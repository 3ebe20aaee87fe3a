//! Exit codes.

use std::process;

/// How the program ends. Scripts written for NET test for 0 and for 2; scripts of our own can also tell
/// the system errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// 0: it was done.
    Done,
    /// The number of a system error, 1 to 255, as 5 for "Access is denied.".
    System(u8),
    /// 2: every other failure; its number, above 255, is in the text.
    Failed,
}

impl ExitCode {
    /// The exit code of a failure with this number; 0 is not a failure's number and counts as any other.
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
    fn system_errors_are_themselves_and_the_rest_is_two() {
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
