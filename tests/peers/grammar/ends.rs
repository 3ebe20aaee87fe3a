//! Commands that close opens and end sessions.

use super::{Line, line};

pub(super) const FILES: &[Line] = &[
    line("net file #1 /close --dry-run"),
    line("net file #1 /close --dry-run --expect-user bob"),
    line("net file --user bob /close --dry-run"),
    line("net file --user bob /close --dry-run --json"),
    line("net file #1 /close --expect-user bob"),
    line("net file #1 /close --expect-path nothing.txt"),
    line("net file --user bob /close").answered("n\n"),
    line("net file --user bob /close").answered("perhaps\n\n"),
    line("net file --user bob /close").answered("a\nb\nc\nd\n"),
    line("net file --user bob /close"),
    line("net file --user bob /close /no"),
    line("net file --user bob /close --json"),
    line("net file #1 /clo").answered("y\n"),
    line("net file #1 /close"),
    line("net file #1"),
    line("net file #4 /close --force").answered("\n"),
    line("net file #4 /close --force /y"),
    line("net file #3 /close --json").answered("y\n"),
    line("net file --user bob /close").answered("yes\n"),
    line("net file --user bob /close"),
    line("net file --user bob /close --json"),
    line("net file --user alice --share data /close /y --json"),
];

pub(super) const SESSIONS: &[Line] = &[
    line("net session //127.0.0.2 /delete --dry-run"),
    line("net session --user bob /delete --dry-run --json"),
    line("net session /delete --dry-run --user nobody"),
    line("net session //192.0.2.1 /delete /y"),
    line("net session //127.0.0.1 --user alice /del").answered("n\n"),
    line("net session //127.0.0.1 --user alice /del"),
    line("net session --user alice /del").answered("\n"),
    line("net session --user alice /del --json").answered("maybe\nno\n"),
    line("net session --user alice /del --json"),
    line("net session --user alice /del --json /n"),
    line("net session //127.0.0.1 --user alice /del /y"),
    line("net session //127.0.0.1 --user alice /del /y"),
    line("net session //127.0.0.2 /delete").answered("y\n"),
    line("net session --user bob /delete --json").answered("y\n"),
    line("net session --user bob /delete"),
    line("net session --user bob /delete --json"),
];

pub(super) const OPENFILES: &[Line] = &[
    line("openfiles /disconnect /id 4711"),
    line("openfiles /disconnect /a nobody"),
    line(r"openfiles /disconnect /op été\報告.txt /o read"),
    line("openfiles /disconnect /id #1 /a ALICE"),
    line("openfiles /disconnect /id #1"),
    line("openfiles /disconnect /a bob /op *.txt"),
];

pub(super) const PSFILE: &[Line] = &[
    line("psfile 4711 -c -nobanner"),
    line("psfile nothing -c -nobanner"),
    line("psfile plan/cached -nobanner"),
    line("psfile #3 -c -nobanner"),
    line("psfile 'a long name' -c -nobanner"),
    line("psfile 'a long name' -c -nobanner"),
];
