//! Operations on the registry, as clients, administrators and the clock cause them.

use registry::testing::world::guid;
use registry::testing::{CLIENTS, Driver, DurableKind, Opening, Operation, ReclaimedBy, Replayed};
use registry::{AppInstance, LeaseRequest, Limits, LockElement};
use wire::{AccessMask, LeaseState, OplockLevel, ShareAccess};

use crate::input::Input;

/// Operations, a few bytes each. After each the tables are consistent; in the end, when nobody does anything any
/// more, time alone brings everything to rest.
pub fn registry(data: &[u8]) {
    let mut input = Input(data);
    let mut driver = Driver::new(Limits {
        // Small enough that cases reach them.
        opens: 24,
        opens_per_session: 12,
        work_per_hold: 3,
        orphans_per_user: 4,
        orphans: 6,
        cachers_per_file: 4,
        ..Limits::default()
    });
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        driver.step(operation(&mut input));
    }
    driver.come_to_rest();
}

/// More than this only makes a case slow: the tables are looked at as a whole after each.
const OPERATIONS_MAX: usize = 200;

fn operation(input: &mut Input<'_>) -> Operation {
    match input.byte() % 25 {
        0..4 => Operation::Open(opening(input)),
        4 => Operation::Close { open: number(input) },
        5..7 => {
            let (notice, answer) = (number(input), input.byte());
            Operation::Acknowledge {
                notice,
                level: (answer & 8 == 8).then_some(OplockLevel::EXCLUSIVE),
                state: Some(LeaseState(u32::from(answer & 7))),
            }
        }
        7 => Operation::Write { open: number(input) },
        8 => Operation::Rename { open: number(input) },
        9 => {
            let open = number(input);
            Operation::WriteBack { open, by_administrator: open & 0x80 == 0x80 }
        }
        10 => {
            let (file, key) = (file(input), input.byte());
            Operation::ChangeDirectory { file, spared: (key & 1 == 1).then(|| guid(key >> 1 & 3)) }
        }
        11 => {
            let (open, element) = (number(input), element(input));
            let how = input.byte();
            let outside = (how & 2 == 2).then_some(how & 4 == 4);
            Operation::Lock { open, element, wait: how & 1 == 1, outside }
        }
        12 => Operation::Unlock { open: number(input), element: element(input) },
        13 => Operation::Cancel { request: number(input) },
        14 => Operation::Disconnect { client: client(input) },
        15 => {
            let client = client(input);
            if input.byte() & 1 == 0 {
                Operation::Logoff { client }
            } else {
                Operation::EndByAdministrator { client }
            }
        }
        16 => Operation::TreeDisconnect { client: client(input) },
        17 => {
            let (open, choices, create_guid) = (number(input), input.byte(), input.byte());
            let create_guid = (choices & 1 == 1).then(|| guid(create_guid));
            let lease = (choices & 2 == 2).then(|| (guid(choices >> 2 & 3), 1 + (choices >> 4 & 1)));
            Operation::Reconnect { open, by: ReclaimedBy::Contexts { create_guid, lease } }
        }
        18 => Operation::ChangeByOutsider { file: file(input) },
        19 => Operation::Bind { client: client(input) },
        20 => Operation::LoseChannel { client: client(input) },
        21 => {
            let (client, create_guid, lease) = (client(input), guid(input.byte()), input.byte());
            let lease = (lease & 1 == 1).then(|| guid(lease >> 1 & 3));
            Operation::Replay { client, of: Replayed::Named(create_guid, lease) }
        }
        22 => Operation::RetryLock { request: number(input) },
        23 => Operation::Use { open: number(input) },
        // Up to about two minutes: beyond every timeout but the longest.
        _ => Operation::Pass { ms: u64::from(input.u16()) * 2 },
    }
}

fn opening(input: &mut Input<'_>) -> Opening {
    let client = client(input);
    let [file, rights, choices, lease, durable] = [(); 5].map(|()| input.byte());
    let access = [0x1f_01ff, 0x1f_01ff, 0x1, 0x2, 0x80, 0x1_0000, 0x2_0080, 0x12_0089];
    Opening {
        client,
        file: u64::from(file % 3),
        access: AccessMask(access[usize::from(rights % 8)]),
        share_access: ShareAccess(u32::from(!(rights >> 3) & 7)),
        overwrites: choices & 1 == 1,
        delete_on_close: choices & 2 == 2,
        // What a file is it stays.
        is_directory: file % 3 == 2,
        oplock: OplockLevel([0, 1, 8, 9][usize::from(choices >> 3 & 3)]),
        lease: (lease & 1 == 1).then(|| LeaseRequest {
            key: guid(lease >> 1 & 3),
            state: LeaseState(u32::from(lease >> 3 & 7)),
            version: 1 + (lease >> 6 & 1),
            epoch: u16::from(lease >> 7),
        }),
        durable: match durable % 4 {
            1 => Some(DurableKind::V1),
            2 => Some(DurableKind::V2 { create_guid: None, timeout_ms: 60_000 }),
            3 => Some(DurableKind::V2 { create_guid: Some(guid(durable)), timeout_ms: u32::MAX }),
            _ => None,
        },
        app_instance: (durable & 0x0c == 0x0c).then(|| AppInstance {
            id: guid(0xaa),
            version: (durable & 0x10 == 0x10).then(|| (0, u64::from(durable >> 5))),
            maximal_access: AccessMask(if durable & 0x20 == 0x20 { 0x12_0089 } else { 0x1f_01ff }),
        }),
        is_logged: choices & 4 == 0,
    }
}

fn client(input: &mut Input<'_>) -> u8 {
    input.byte() % CLIENTS
}

fn number(input: &mut Input<'_>) -> usize {
    usize::from(input.byte())
}

fn file(input: &mut Input<'_>) -> u64 {
    u64::from(input.byte() % 3)
}

fn element(input: &mut Input<'_>) -> LockElement {
    let [place, length] = [input.byte(), input.byte()];
    let offset = if place & 0x80 == 0 { u64::from(place & 7) } else { u64::MAX - u64::from(place & 7) };
    let length = if length == 0xff { u64::MAX } else { u64::from(length & 7) };
    LockElement { offset, length, exclusive: place & 0x40 == 0 }
}
