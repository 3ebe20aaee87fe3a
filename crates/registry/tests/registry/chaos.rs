//! Arbitrary sequences of operations with caching, waiting, durable opens and time.

use proptest::prelude::*;
use registry::testing::{
    CLIENTS, Driver, DurableKind, Opening, Operation, PERSISTENT_MS, ReclaimedBy, Replayed,
};
use registry::{LeaseRequest, Limits, LockElement};
use wire::{AccessMask, LeaseState, OplockLevel, ShareAccess};

use crate::world::guid;

fn opening() -> impl Strategy<Value = Opening> {
    (
        (0..CLIENTS, 0..3_u64),
        prop_oneof![4 => Just(0x1f_01ff_u32), 1 => Just(0x1), 1 => Just(0x80), 1 => Just(0x2_0080)],
        prop_oneof![4 => Just(7_u32), 1 => 0..8_u32],
        (prop::bool::weighted(0.2), prop::bool::weighted(0.1)),
        prop_oneof![Just(0_u8), Just(1), Just(8), Just(9)],
        prop::option::of((0..3_u8, 0..8_u32, 1..3_u8)),
        (0..6_u8, any::<bool>()),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(
                place,
                access,
                share,
                (overwrites, delete_on_close),
                oplock,
                lease,
                (durable, is_logged),
                is_directory,
            )| {
                let (client, file) = place;
                Opening {
                    client,
                    file,
                    access: AccessMask(access),
                    share_access: ShareAccess(share),
                    overwrites,
                    delete_on_close,
                    is_directory,
                    oplock: OplockLevel(oplock),
                    lease: lease.map(|(key, state, version)| LeaseRequest {
                        key: guid(key),
                        state: LeaseState(state),
                        version,
                        epoch: 0,
                    }),
                    durable: match durable {
                        1 => Some(DurableKind::V1),
                        2 => Some(DurableKind::V2 { create_guid: None, timeout_ms: 60_000 }),
                        3 => Some(DurableKind::V2 { create_guid: None, timeout_ms: PERSISTENT_MS }),
                        4 => Some(DurableKind::V2 { create_guid: Some(guid(0xd0)), timeout_ms: 60_000 }),
                        _ => None,
                    },
                    app_instance: None,
                    is_logged,
                }
            },
        )
}

fn operation() -> impl Strategy<Value = Operation> {
    let open = 0..16_usize;
    let element = |offset| LockElement { offset, length: 2, exclusive: true };
    prop_oneof![
        12 => opening().prop_map(Operation::Open),
        4 => open.clone().prop_map(|open| Operation::Close { open }),
        6 => (0..8_usize, 0..8_u32).prop_map(|(notice, state)| Operation::Acknowledge {
            notice,
            level: (state == 7).then_some(OplockLevel::EXCLUSIVE),
            state: (state != 7).then_some(LeaseState(state)),
        }),
        2 => open.clone().prop_map(|open| Operation::Write { open }),
        2 => open.clone().prop_map(|open| Operation::Use { open }),
        2 => open.clone().prop_map(|open| Operation::Rename { open }),
        1 => (open.clone(), any::<bool>())
            .prop_map(|(open, by_administrator)| Operation::WriteBack { open, by_administrator }),
        1 => (0..3_u64, prop::option::of(0..3_u8))
            .prop_map(|(file, key)| Operation::ChangeDirectory { file, spared: key.map(guid) }),
        1 => (0..3_u64).prop_map(|file| Operation::ChangeByOutsider { file }),
        1 => (0..CLIENTS).prop_map(|client| Operation::Bind { client }),
        2 => (0..CLIENTS).prop_map(|client| Operation::LoseChannel { client }),
        2 => (0..CLIENTS, 0..8_usize)
            .prop_map(|(client, at)| Operation::Replay { client, of: Replayed::Made(at) }),
        2 => (open.clone(), 0..3_u64, any::<bool>(), prop::option::of(any::<bool>())).prop_map(
            move |(open, offset, wait, outside)| Operation::Lock { open, element: element(offset), wait, outside }
        ),
        1 => (0..4_usize).prop_map(|request| Operation::RetryLock { request }),
        1 => (open.clone(), 0..3_u64)
            .prop_map(move |(open, offset)| Operation::Unlock { open, element: element(offset) }),
        1 => (0..4_usize).prop_map(|request| Operation::Cancel { request }),
        2 => (0..CLIENTS).prop_map(|client| Operation::Disconnect { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::Logoff { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::EndByAdministrator { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::TreeDisconnect { client }),
        3 => open.prop_map(|open| Operation::Reconnect { open, by: ReclaimedBy::Any }),
        2 => prop_oneof![0..1_000_u64, 30_000..130_000_u64].prop_map(|ms| Operation::Pass { ms }),
    ]
}

fn run(limits: Limits, operations: Vec<Operation>) {
    let mut driver = Driver::new(limits);
    for operation in operations {
        driver.step(operation);
    }
    driver.come_to_rest();
}

/// Checks that opens beside others have the same results as those under the whole lock.
fn compare(operations: &[Operation]) {
    let [beside_others, alone] = [false, true].map(|alone| {
        let driver = Driver::new(Limits::default());
        let mut driver = if alone { driver.alone() } else { driver };
        operations.iter().for_each(|operation| driver.step(operation.clone()));
        driver.seen()
    });
    assert_eq!(beside_others, alone);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn plain_opens_are_the_same_beside_others_and_alone(operations in prop::collection::vec(operation(), 1..100)) {
        compare(&operations);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_operations_keep_the_invariants(operations in prop::collection::vec(operation(), 1..150)) {
        run(Limits::default(), operations);
    }

    #[test]
    fn arbitrary_operations_keep_the_invariants_with_small_limits(operations in prop::collection::vec(operation(), 1..150)) {
        let limits = Limits {
            work_per_hold: 2,
            orphans_per_user: 2,
            orphans: 4,
            cachers_per_file: 3,
            channels_per_session: 5,
            ..Limits::default()
        };
        run(limits, operations);
    }
}
