//! The soak in its short form: every trouble once.

use soak::{Options, run};

#[test]
fn clients_of_all_kinds_in_all_troubles_lose_nothing_and_leave_nothing() {
    let report = run(&Options::short(20_261_129));
    for reason in report.skipped() {
        eprintln!("without {reason}");
    }
    assert_eq!(report.failed(), 0, "{report}");
}
