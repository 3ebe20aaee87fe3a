//! The cases that are measured.

use crate::big_directory::Act;
use crate::quiet::Disturbance;
use crate::servers::Protection::{self, Plain, Sealed, Signed};

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The name.
    pub(crate) name: &'static str,
    /// A description.
    pub(crate) what: &'static str,
    /// The unit that is counted.
    pub(crate) unit: &'static str,
    /// True if it is measured with `--quick`, too.
    pub(crate) quick: bool,
    pub(crate) load: Load,
    pub(crate) protection: Protection,
}

impl Case {
    /// True if the servers are members of a domain.
    pub(crate) const fn in_domain(&self) -> bool {
        matches!(self.load, Load::LogonWithTicket)
    }

    /// True if it needs a directory of a million entries, which takes a while to make.
    pub(crate) const fn needs_million(&self) -> bool {
        matches!(self.load, Load::BigDirectory { entries: 1_000_000.., .. })
    }

    /// True if files are made for it that take minutes on a busy disk.
    pub(crate) const fn needs_many_files(&self) -> bool {
        matches!(self.load, Load::BigDirectory { entries: 100_000.., .. })
    }

    /// True if a warm-up has no effect, or would take the effect away.
    pub(crate) const fn is_measured_at_once(&self) -> bool {
        self.lists() || matches!(self.load, Load::BigDirectory { act: Act::Cold, .. } | Load::Quiet(_))
    }

    /// True if many clients are connected for it, which takes a while.
    pub(crate) const fn needs_clients(&self) -> bool {
        matches!(self.load, Load::Quiet(_))
    }

    /// True if it is measured only if it is named.
    pub(crate) const fn is_extra(&self) -> bool {
        match self.load {
            Load::Explorer | Load::Durable { .. } => true,
            Load::BigDirectory { act, .. } => act.lists(),
            _ => false,
        }
    }

    /// True if the servers are those with persistent handles.
    pub(crate) const fn is_continuous(&self) -> bool {
        matches!(self.load, Load::Durable { .. })
    }

    /// True if a file system that hangs is needed.
    pub(crate) const fn needs_stuck_disk(&self) -> bool {
        matches!(self.load, Load::Quiet(Disturbance::Stuck))
    }

    /// True if it lists opens.
    pub(crate) const fn lists(&self) -> bool {
        matches!(self.load, Load::ListCommand { .. })
    }
}

/// The work of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Sequential READs of `size` bytes, `depth` of them under way on each connection.
    Read { size: u32, depth: usize },
    /// As `Read` with WRITEs.
    Write { size: u32, depth: usize },
    /// READs or WRITEs of 4 KiB at places of a large file that no pattern connects.
    Random { writes: bool, depth: usize },
    /// CREATE, QUERY_INFO and CLOSE of small files in one related compound, eight files at a time on each connection.
    Stat,
    /// CREATE of a new file, WRITE of 4 KiB and CLOSE, eight files at a time on each connection.
    CreateWriteClose,
    /// CREATE, READ and CLOSE of small files, eight files at a time on each connection.
    OpenReadClose { compound: bool },
    /// As `OpenReadClose` with a lease and a request for a persistent handle, in a share with persistent handles or in
    /// one without.
    Durable { persistent: bool },
    /// The large directory, from its CREATE to its CLOSE.
    List,
    /// A directory as Windows' Explorer opens it.
    Explorer,
    /// A logon, from the TCP connection to the session.
    Logon,
    /// A logon with a Kerberos ticket that the client has already.
    LogonWithTicket,
    /// A full lease that another client's open breaks, with the acknowledgment.
    LeaseBreak,
    /// NetrFileEnum of ten thousand opens.
    FileEnum,
    /// The command that lists opens: `shareward file` and `smbstatus`, as text or as JSON.
    ListCommand { json: bool, opens: usize },
    /// An operation on names in a directory of so many entries.
    BigDirectory { act: Act, entries: usize },
    /// The memory of a session with one open file.
    Memory,
    /// The memory of an open with a lease and a durable handle, among ten thousand.
    MemoryOfOpens,
    /// The waits of a quiet client among many.
    Quiet(Disturbance),
}

/// The number of opens to list, if the limit of descriptors allows it.
const OPENS: usize = 100_000;

/// Opens that `smbstatus --json` lists in reasonable time: it takes time and memory by the square of their number, for
/// 15,000 of them minutes and many gigabytes.
const FEW_OPENS: usize = 3_000;

const KIB_64: u32 = 64 << 10;
const MIB: u32 = 1 << 20;

macro_rules! cases {
    ($($name:literal $protection:ident $quick:ident $unit:literal $load:expr, $what:literal;)*) => {
        &[$(Case {
            name: $name, what: $what, unit: $unit, quick: $quick, load: $load, protection: $protection,
        }),*]
    };
}

/// All cases, in the order of measurement.
pub(crate) const fn all() -> &'static [Case] {
    cases! {
        "read-64k-8" Plain false "MiB" Load::Read { size: KIB_64, depth: 8 }, "READ of 64 KiB, 8 under way";
        "read-64k-32" Plain true "MiB" Load::Read { size: KIB_64, depth: 32 }, "READ of 64 KiB, 32 under way";
        "read-1m-8" Plain true "MiB" Load::Read { size: MIB, depth: 8 }, "READ of 1 MiB, 8 under way";
        "read-1m-32" Plain false "MiB" Load::Read { size: MIB, depth: 32 }, "READ of 1 MiB, 32 under way";
        "read-64k-32-signed" Signed false "MiB" Load::Read { size: KIB_64, depth: 32 }, "the same, signed";
        "read-1m-8-signed" Signed true "MiB" Load::Read { size: MIB, depth: 8 }, "the same, signed";
        "read-64k-32-sealed" Sealed false "MiB" Load::Read { size: KIB_64, depth: 32 }, "the same, sealed";
        "read-1m-8-sealed" Sealed true "MiB" Load::Read { size: MIB, depth: 8 }, "the same, sealed";
        "write-64k-8" Plain false "MiB" Load::Write { size: KIB_64, depth: 8 }, "WRITE of 64 KiB, 8 under way";
        "write-64k-32" Plain true "MiB" Load::Write { size: KIB_64, depth: 32 }, "WRITE of 64 KiB, 32 under way";
        "write-1m-8" Plain true "MiB" Load::Write { size: MIB, depth: 8 }, "WRITE of 1 MiB, 8 under way";
        "write-1m-32" Plain false "MiB" Load::Write { size: MIB, depth: 32 }, "WRITE of 1 MiB, 32 under way";
        "write-64k-32-signed" Signed false "MiB" Load::Write { size: KIB_64, depth: 32 }, "the same, signed";
        "write-1m-8-signed" Signed false "MiB" Load::Write { size: MIB, depth: 8 }, "the same, signed";
        "write-64k-32-sealed" Sealed false "MiB" Load::Write { size: KIB_64, depth: 32 }, "the same, sealed";
        "write-1m-8-sealed" Sealed true "MiB" Load::Write { size: MIB, depth: 8 }, "the same, sealed";
        "open-read-close" Plain true "file" Load::OpenReadClose { compound: false },
            "CREATE, READ and CLOSE of files of 4 KiB, one after the other";
        "open-read-close-signed" Signed false "file" Load::OpenReadClose { compound: false }, "the same, signed";
        "open-read-close-sealed" Sealed false "file" Load::OpenReadClose { compound: false }, "the same, sealed";
        "open-read-close-compound" Plain true "file" Load::OpenReadClose { compound: true },
            "the same in one related compound";
        "stat" Plain true "file" Load::Stat, "CREATE, QUERY_INFO of all information and CLOSE in one related compound";
        "create-write-close" Plain true "file" Load::CreateWriteClose, "CREATE of a new file, WRITE of 4 KiB and CLOSE";
        "random-read-4k-1" Plain false "READ" Load::Random { writes: false, depth: 1 },
            "READ of 4 KiB anywhere in a file of 64 MiB, one after the other";
        "random-read-4k-32" Plain true "READ" Load::Random { writes: false, depth: 32 }, "the same, 32 under way";
        "random-write-4k-1" Plain false "WRITE" Load::Random { writes: true, depth: 1 },
            "WRITE of 4 KiB anywhere in a file of 64 MiB, one after the other";
        "random-write-4k-32" Plain true "WRITE" Load::Random { writes: true, depth: 32 }, "the same, 32 under way";
        "list" Plain true "entry" Load::List, "a directory of 10,000 entries, 64 KiB at a time";
        "list-sealed" Sealed false "entry" Load::List, "the same, sealed";
        "explorer" Plain false "folder" Load::Explorer,
            "a folder of 200 entries as Explorer opens it: attributes, listing, desktop.ini, and 30 files";
        "durable" Plain false "file" Load::Durable { persistent: false },
            "open-read-close with a lease and a durable handle";
        "durable-continuous" Plain false "file" Load::Durable { persistent: true },
            "the same in a share with persistent handles";
        "logon" Plain true "logon" Load::Logon, "TCP, NEGOTIATE and two SESSION_SETUPs with NTLMv2";
        "logon-kerberos" Plain true "logon" Load::LogonWithTicket,
            "TCP, NEGOTIATE and a SESSION_SETUP with a Kerberos ticket, in a domain";
        "lease-break" Plain true "break" Load::LeaseBreak,
            "a lease for everything, broken by another client's open and acknowledged";
        "file-enum" Plain true "entry" Load::FileEnum, "NetrFileEnum of 10,000 opens";
        "list-command" Plain false "entry" Load::ListCommand { json: false, opens: OPENS },
            "`shareward file` and `smbstatus -L` as whole commands, 100,000 opens in 16 sessions";
        "list-command-json" Plain false "entry" Load::ListCommand { json: true, opens: OPENS },
            "`shareward file --json` and `smbstatus --json`, the same opens";
        "list-command-json-few" Plain false "entry" Load::ListCommand { json: true, opens: FEW_OPENS },
            "the same with 3,000 opens, which `smbstatus --json` can list";
        "big-directory-create-0" Plain false "op" Load::BigDirectory { act: Act::Create, entries: 0 },
            "CREATE of a new file and CLOSE, an empty directory";
        "big-directory-create-1k" Plain false "op" Load::BigDirectory { act: Act::Create, entries: 1_000 },
            "CREATE of a new file and CLOSE, 1,000 entries";
        "big-directory-create-100k" Plain false "op" Load::BigDirectory { act: Act::Create, entries: 100_000 },
            "CREATE of a new file and CLOSE, 100,000 entries";
        "big-directory-create-1m" Plain false "op" Load::BigDirectory { act: Act::Create, entries: 1_000_000 },
            "CREATE of a new file and CLOSE, 1,000,000 entries";
        "big-directory-exclusive-0" Plain false "op" Load::BigDirectory { act: Act::CreateExclusive, entries: 0 },
            "the same with FILE_CREATE, an empty directory";
        "big-directory-exclusive-1k" Plain false "op" Load::BigDirectory { act: Act::CreateExclusive, entries: 1_000 },
            "the same with FILE_CREATE, 1,000 entries";
        "big-directory-exclusive-100k" Plain false "op" Load::BigDirectory { act: Act::CreateExclusive, entries: 100_000 },
            "the same with FILE_CREATE, 100,000 entries";
        "big-directory-exclusive-1m" Plain false "op" Load::BigDirectory { act: Act::CreateExclusive, entries: 1_000_000 },
            "the same with FILE_CREATE, 1,000,000 entries";
        "big-directory-meanwhile-0" Plain false "op" Load::BigDirectory { act: Act::CreateMeanwhile, entries: 0 },
            "CREATE while a local program changes the directory, an empty directory";
        "big-directory-meanwhile-1k" Plain false "op" Load::BigDirectory { act: Act::CreateMeanwhile, entries: 1_000 },
            "CREATE while a local program changes the directory, 1,000 entries";
        "big-directory-meanwhile-100k" Plain false "op" Load::BigDirectory { act: Act::CreateMeanwhile, entries: 100_000 },
            "CREATE while a local program changes the directory, 100,000 entries";
        "big-directory-meanwhile-1m" Plain false "op" Load::BigDirectory { act: Act::CreateMeanwhile, entries: 1_000_000 },
            "CREATE while a local program changes the directory, 1,000,000 entries";
        "big-directory-open-1" Plain false "op" Load::BigDirectory { act: Act::OpenExact, entries: 1 },
            "CREATE of an existing file and CLOSE, one entry";
        "big-directory-open-1k" Plain false "op" Load::BigDirectory { act: Act::OpenExact, entries: 1_000 },
            "CREATE of an existing file and CLOSE, 1,000 entries";
        "big-directory-open-100k" Plain false "op" Load::BigDirectory { act: Act::OpenExact, entries: 100_000 },
            "CREATE of an existing file and CLOSE, 100,000 entries";
        "big-directory-open-1m" Plain false "op" Load::BigDirectory { act: Act::OpenExact, entries: 1_000_000 },
            "CREATE of an existing file and CLOSE, 1,000,000 entries";
        "big-directory-other-case-1" Plain false "op" Load::BigDirectory { act: Act::OpenOtherCase, entries: 1 },
            "the same in another case, one entry";
        "big-directory-other-case-1k" Plain false "op" Load::BigDirectory { act: Act::OpenOtherCase, entries: 1_000 },
            "the same in another case, 1,000 entries";
        "big-directory-other-case-100k" Plain false "op" Load::BigDirectory { act: Act::OpenOtherCase, entries: 100_000 },
            "the same in another case, 100,000 entries";
        "big-directory-other-case-1m" Plain false "op" Load::BigDirectory { act: Act::OpenOtherCase, entries: 1_000_000 },
            "the same in another case, 1,000,000 entries";
        "big-directory-miss-0" Plain false "op" Load::BigDirectory { act: Act::Miss, entries: 0 },
            "CREATE of a file that does not exist, an empty directory";
        "big-directory-miss-1k" Plain false "op" Load::BigDirectory { act: Act::Miss, entries: 1_000 },
            "CREATE of a file that does not exist, 1,000 entries";
        "big-directory-miss-100k" Plain false "op" Load::BigDirectory { act: Act::Miss, entries: 100_000 },
            "CREATE of a file that does not exist, 100,000 entries";
        "big-directory-miss-1m" Plain false "op" Load::BigDirectory { act: Act::Miss, entries: 1_000_000 },
            "CREATE of a file that does not exist, 1,000,000 entries";
        "big-directory-rename-0" Plain false "op" Load::BigDirectory { act: Act::Rename, entries: 0 },
            "SET_INFO with a new name, an empty directory";
        "big-directory-rename-1k" Plain false "op" Load::BigDirectory { act: Act::Rename, entries: 1_000 },
            "SET_INFO with a new name, 1,000 entries";
        "big-directory-rename-100k" Plain false "op" Load::BigDirectory { act: Act::Rename, entries: 100_000 },
            "SET_INFO with a new name, 100,000 entries";
        "big-directory-rename-1m" Plain false "op" Load::BigDirectory { act: Act::Rename, entries: 1_000_000 },
            "SET_INFO with a new name, 1,000,000 entries";
        "big-directory-delete-0" Plain false "op" Load::BigDirectory { act: Act::Delete, entries: 0 },
            "CREATE with FILE_DELETE_ON_CLOSE and CLOSE, an empty directory";
        "big-directory-delete-1k" Plain false "op" Load::BigDirectory { act: Act::Delete, entries: 1_000 },
            "CREATE with FILE_DELETE_ON_CLOSE and CLOSE, 1,000 entries";
        "big-directory-delete-100k" Plain false "op" Load::BigDirectory { act: Act::Delete, entries: 100_000 },
            "CREATE with FILE_DELETE_ON_CLOSE and CLOSE, 100,000 entries";
        "big-directory-delete-1m" Plain false "op" Load::BigDirectory { act: Act::Delete, entries: 1_000_000 },
            "CREATE with FILE_DELETE_ON_CLOSE and CLOSE, 1,000,000 entries";
        "big-directory-first-1" Plain false "op" Load::BigDirectory { act: Act::ListFirst, entries: 1 },
            "CREATE of the directory, the first answer of a listing, and CLOSE, one entry";
        "big-directory-first-1k" Plain false "op" Load::BigDirectory { act: Act::ListFirst, entries: 1_000 },
            "CREATE of the directory, the first answer of a listing, and CLOSE, 1,000 entries";
        "big-directory-first-100k" Plain false "op" Load::BigDirectory { act: Act::ListFirst, entries: 100_000 },
            "CREATE of the directory, the first answer of a listing, and CLOSE, 100,000 entries";
        "big-directory-first-1m" Plain false "op" Load::BigDirectory { act: Act::ListFirst, entries: 1_000_000 },
            "CREATE of the directory, the first answer of a listing, and CLOSE, 1,000,000 entries";
        "big-directory-name-1" Plain false "op" Load::BigDirectory { act: Act::ListName, entries: 1 },
            "the same with the name of a file as the pattern, one entry";
        "big-directory-name-1k" Plain false "op" Load::BigDirectory { act: Act::ListName, entries: 1_000 },
            "the same with the name of a file as the pattern, 1,000 entries";
        "big-directory-name-100k" Plain false "op" Load::BigDirectory { act: Act::ListName, entries: 100_000 },
            "the same with the name of a file as the pattern, 100,000 entries";
        "big-directory-name-1m" Plain false "op" Load::BigDirectory { act: Act::ListName, entries: 1_000_000 },
            "the same with the name of a file as the pattern, 1,000,000 entries";
        "big-directory-all-1k" Plain false "entry" Load::BigDirectory { act: Act::ListAll, entries: 1_000 },
            "a listing of all by one client, 1,000 entries";
        "big-directory-all-100k" Plain false "entry" Load::BigDirectory { act: Act::ListAll, entries: 100_000 },
            "a listing of all by one client, 100,000 entries";
        "big-directory-all-1m" Plain false "entry" Load::BigDirectory { act: Act::ListAll, entries: 1_000_000 },
            "a listing of all by one client, 1,000,000 entries";
        "big-directory-pattern-1k" Plain false "entry" Load::BigDirectory { act: Act::ListPattern, entries: 1_000 },
            "the same with a pattern that one in a hundred matches, 1,000 entries";
        "big-directory-pattern-100k" Plain false "entry" Load::BigDirectory { act: Act::ListPattern, entries: 100_000 },
            "the same with a pattern that one in a hundred matches, 100,000 entries";
        "big-directory-pattern-1m" Plain false "entry" Load::BigDirectory { act: Act::ListPattern, entries: 1_000_000 },
            "the same with a pattern that one in a hundred matches, 1,000,000 entries";
        "big-directory-cold-1k" Plain false "op" Load::BigDirectory { act: Act::Cold, entries: 1_000 },
            "the first CREATE of a file that does not exist, 1,000 entries";
        "big-directory-cold-100k" Plain false "op" Load::BigDirectory { act: Act::Cold, entries: 100_000 },
            "the first CREATE of a file that does not exist, 100,000 entries";
        "big-directory-cold-1m" Plain false "op" Load::BigDirectory { act: Act::Cold, entries: 1_000_000 },
            "the first CREATE of a file that does not exist, 1,000,000 entries";
        "quiet" Plain true "wait" Load::Quiet(Disturbance::None),
            "READ of 4 KiB of a quiet client, with many connections that are active now and then";
        "quiet-saturated" Plain true "wait" Load::Quiet(Disturbance::Saturated),
            "the same while another client saturates the server";
        "quiet-listed" Plain false "wait" Load::Quiet(Disturbance::Listed),
            "the same while an administrator lists 10,000 opens";
        "quiet-stuck" Plain false "wait" Load::Quiet(Disturbance::Stuck),
            "the same while another client's disk hangs";
        "quiet-watched" Plain false "wait" Load::Quiet(Disturbance::Watched),
            "the same while others create files in a directory that is watched";
        "memory" Plain true "session" Load::Memory, "memory of sessions, each with a connection and an open";
        "memory-opens" Plain true "open" Load::MemoryOfOpens, "memory of opens, each with a lease and a durable handle";
    }
}
