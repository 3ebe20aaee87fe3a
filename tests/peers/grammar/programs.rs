//! The programs that are not NET.

use super::{Line, line};

pub(super) const OPENFILES: &[Line] = &[
    line("openfiles"),
    line("openfiles /query /v /fo list"),
    line("openfiles -QUERY -FO csv -V"),
    line("openfiles /fo csv /nh"),
    line("openfiles /nh"),
    line("openfiles /fo list /nh"),
    line("openfiles /fo xml"),
    line("openfiles /fo"),
    line("openfiles /foo"),
    line("openfiles x"),
    line("openfiles /v /v"),
    line("openfiles /query /disconnect"),
    line("openfiles /disconnect"),
    line("openfiles /disconnect /id x"),
    line("openfiles /disconnect /id -1"),
    line("openfiles /disconnect /id 4294967296"),
    line("openfiles /disconnect /o append"),
    line("openfiles /disconnect /fo csv /id 1"),
    line("openfiles /id 1"),
    line("openfiles /p secret"),
];

pub(super) const PSFILE: &[Line] = &[
    line("psfile"),
    line("psfile #1 -nobanner"),
    line("psfile 報告 -nobanner"),
    line("psfile *.docx -nobanner"),
    line("psfile 4711 -nobanner"),
    line("psfile 4294967296 -nobanner"),
    line("psfile nothing -nobanner"),
    line("psfile -c"),
    line("psfile a b"),
    line("psfile -foo"),
    line("psfile -nobanner -nobanner"),
    line("psfile -p"),
];

pub(super) const PSLOGGEDON: &[Line] = &[
    line("psloggedon -nobanner -x"),
    line("psloggedon"),
    line("psloggedon alice -nobanner"),
    line("psloggedon nobody-here -nobanner"),
    line("psloggedon -foo"),
    line("psloggedon a b"),
    line("psloggedon -login"),
];
