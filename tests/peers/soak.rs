//! The soak in its short form: every trouble once.

use soak::{Options, run};

#[test]
fn a_short_soak_has_no_findings() {
    let report = run(&Options::short(20_261_129));
    for reason in report.skipped() {
        eprintln!("without {reason}");
    }
    assert_eq!(report.failed(), 0, "{report}");
}
