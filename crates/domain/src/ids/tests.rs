//! The map against a naive model, and against its file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const CORP: Sid = Sid::of(5, [21, 1, 2, 3]);
const SALES: Sid = Sid::of(5, [21, 4, 5, 6]);

fn user(domain: Sid, rid: u32) -> Sid {
    rules::with_rid(domain, rid).unwrap()
}

fn rid_rules() -> Rules {
    Rules::Rid(vec![
        DomainRange { domain: String::from("CORP"), first: 10_000, last: 49_999 },
        DomainRange { domain: String::from("SALES"), first: 50_000, last: 99_999 },
    ])
}

fn autorid_rules() -> Rules {
    Rules::Autorid { first: 1_000_000, last: 1_999_999, range_size: AUTORID_RANGE_SIZE }
}

/// A directory in memory if there is one: each change waits for the disk.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[test]
fn rid_rule_is_that_of_idmap_rid() {
    let scratch = scratch();
    let map = IdMap::open(scratch.path(), rid_rules()).unwrap();
    assert_eq!(map.uid(user(CORP, 1103)), None, "a domain that nobody has named");
    map.learn_domain("corp", CORP).unwrap();
    assert_eq!(map.uid(user(CORP, 1103)), Some(11_103));
    assert_eq!(map.gid(user(CORP, 513)), Some(10_513));
    assert_eq!(map.uid(user(CORP, 39_999)), Some(49_999));
    assert_eq!(map.uid(user(CORP, 40_000)), None, "behind the last id");
    assert_eq!(map.uid(user(CORP, u32::MAX)), None);
    assert_eq!(map.user_sid(11_103), Some(user(CORP, 1103)));
    assert_eq!(map.user_sid(50_001), None, "the range of a domain that nobody has named");
    assert_eq!(map.uid(CORP), None);
    assert_eq!(map.uid(Sid::WORLD), None);
}

#[test]
fn autorid_gives_ranges_in_order_of_need_and_keeps_the_first_for_samba() {
    let scratch = scratch();
    let map = IdMap::open(scratch.path(), autorid_rules()).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    map.learn_domain("SALES", SALES).unwrap();
    // A new winbind gives the same ids with `range = 1000000-1999999`.
    assert_eq!(map.uid(user(CORP, 1103)), Some(1_101_103));
    assert_eq!(map.uid(user(SALES, 1103)), Some(1_201_103));
    // RIDs behind the size of a range have no id until a controller has named one of them.
    let late = user(CORP, 250_007);
    assert_eq!(map.uid(late), None);
    map.admit(&[late, user(Sid::of(5, [21, 9, 9, 9]), 1_000_000)]).unwrap();
    assert_eq!(map.uid(late), Some(1_350_007));
    assert_eq!(map.user_sid(1_350_007), Some(late));
    assert_eq!(map.uid(user(CORP, 150_000)), None);
    drop(map);
    let map = IdMap::open(scratch.path(), autorid_rules()).unwrap();
    assert_eq!((map.uid(user(SALES, 1103)), map.uid(late)), (Some(1_201_103), Some(1_350_007)));
}

#[test]
fn used_up_range_is_an_error_and_changes_nothing() {
    let scratch = scratch();
    let rules = Rules::Autorid { first: 100_000, last: 299_999, range_size: 100_000 };
    let map = IdMap::open(scratch.path(), rules).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    assert!(matches!(map.learn_domain("SALES", SALES), Err(Error::Full { .. })));
    assert!(matches!(map.admit(&[user(CORP, 100_000)]), Err(Error::Full { .. })));
    assert_eq!(map.uid(user(SALES, 1)), None);
    assert_eq!(map.ranges().len(), 1);
}

#[test]
fn recorded_ids_come_before_the_rules_and_are_unambiguous() {
    let scratch = scratch();
    let map = IdMap::open(scratch.path(), rid_rules()).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    let (carol, dave) = (user(CORP, 1103), user(CORP, 1104));
    map.record(carol, Kind::User, 700).unwrap();
    assert_eq!((map.uid(carol), map.gid(carol)), (Some(700), Some(11_103)));
    assert_eq!(
        (map.user_sid(700), map.user_sid(11_103), map.group_sid(11_103)),
        (Some(carol), None, Some(carol))
    );
    let conflict = |sid, id| match map.record(sid, Kind::User, id) {
        Err(Error::Conflict { conflict, .. }) => *conflict,
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict(carol, 701), Conflict::OtherId(700));
    assert_eq!(conflict(dave, 700), Conflict::OtherSid(carol));
    assert_eq!(conflict(dave, 11_105), Conflict::OtherSid(user(CORP, 1105)));
    assert_eq!(conflict(dave, 50_000), Conflict::InRange);
    assert_eq!(conflict(dave, 0), Conflict::Reserved);
    // An id that follows from the rule needs no record, and ids of users and groups are separate.
    map.record(dave, Kind::User, 11_104).unwrap();
    map.record(dave, Kind::Group, 700).unwrap();
    map.remember(dave, Kind::User, "CORP\\dave").unwrap();
    drop(map);
    let map = IdMap::open(scratch.path(), rid_rules()).unwrap();
    let list = map.list();
    let shown: Vec<_> = list.iter().map(|it| (it.kind, it.id, it.name.as_deref(), it.is_recorded)).collect();
    assert_eq!(
        shown,
        [
            (Kind::User, 700, None, true),
            (Kind::User, 11_104, Some("CORP\\dave"), false),
            (Kind::Group, 700, None, true)
        ]
    );
    // The stored map says the same while the server has it open.
    assert_eq!(IdMap::read(scratch.path()).unwrap().unwrap().mappings, list);
}

#[test]
fn domains_of_one_name_or_one_sid_are_refused() {
    let scratch = scratch();
    let map = IdMap::open(scratch.path(), rid_rules()).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    assert!(matches!(map.learn_domain("Corp", SALES), Err(Error::OtherDomain { .. })));
    assert_eq!((map.domain_sid("corp"), map.domain_sid("SALES")), (Some(CORP), None));
    assert_eq!((map.domain_name(CORP).as_deref(), map.domain_name(SALES)), (Some("CORP"), None));
    assert!(matches!(map.learn_domain("SALES", CORP), Err(Error::OtherDomain { .. })));
    assert!(matches!(map.learn_domain("X", user(CORP, 1)), Err(Error::NoDomain { .. })));
    assert!(matches!(map.learn_domain("", SALES), Err(Error::NoDomain { .. })));
}

#[test]
fn second_process_is_refused_and_the_file_is_private() {
    let scratch = scratch();
    let map = IdMap::open(scratch.path(), rid_rules()).unwrap();
    assert!(matches!(IdMap::open(scratch.path(), rid_rules()), Err(Error::InUse { .. })));
    assert!(matches!(IdMap::forget(scratch.path()), Err(Error::InUse { .. })));
    for entry in fs::read_dir(scratch.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    drop(map);
    assert!(IdMap::forget(scratch.path()).unwrap());
    assert!(!IdMap::forget(scratch.path()).unwrap());
}

#[test]
fn lost_map_is_an_error_and_comes_back_from_the_copy() {
    let scratch = scratch();
    let file = scratch.path().join(store::FILE);
    let map = IdMap::open(scratch.path(), autorid_rules()).unwrap();
    map.learn_domain("SALES", SALES).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    drop(map);
    let copy = fs::read_to_string(scratch.path().join("domain-ids.txt")).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(matches!(IdMap::open(scratch.path(), autorid_rules()), Err(Error::Lost { .. })));
    assert!(matches!(IdMap::read(scratch.path()), Err(Error::Lost { .. })));
    // An import that fails leaves everything as it is.
    IdMap::import(scratch.path(), autorid_rules(), &copy.replace("1200000-1299999", "1200001-1299999"))
        .unwrap_err();
    assert!(!file.exists());
    assert_eq!(fs::read_to_string(scratch.path().join("domain-ids.txt")).unwrap(), copy);
    let imported = IdMap::import(scratch.path(), autorid_rules(), &copy).unwrap();
    assert_eq!(imported, Imported { ranges: 2, ids: 0 });
    let map = IdMap::open(scratch.path(), autorid_rules()).unwrap();
    assert_eq!(map.uid(user(CORP, 1103)), Some(1_201_103));
    map.learn_domain("CORP", CORP).unwrap();
    assert_eq!(map.ranges().len(), 2);
}

#[test]
fn damaged_map_is_an_error() {
    let scratch = scratch();
    let file = scratch.path().join(store::FILE);
    let map = IdMap::open(scratch.path(), autorid_rules()).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    drop(map);
    let good = fs::read(&file).unwrap();
    for bad in [Vec::new(), b"hello".to_vec(), good[..good.len() / 2].to_vec(), vec![0; 8192]] {
        fs::write(&file, &bad).unwrap();
        let error = IdMap::open(scratch.path(), autorid_rules()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{} bytes: {error}", bad.len());
    }
    fs::write(&file, &good).unwrap();
    let edit = rusqlite::Connection::open(&file).unwrap();
    edit.execute("INSERT INTO range VALUES (1150000, 1150009, 0, 'S-1-5-21-4-5-6')", []).unwrap();
    drop(edit);
    let error = IdMap::open(scratch.path(), autorid_rules()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn settings_that_give_other_ids_are_refused() {
    let scratch = scratch();
    let map = IdMap::open(scratch.path(), rid_rules()).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    map.record(user(SALES, 1), Kind::User, 700).unwrap();
    drop(map);
    let with = |first, last| {
        let domain = String::from("CORP");
        IdMap::open(scratch.path(), Rules::Rid(vec![DomainRange { domain, first, last }]))
    };
    assert!(matches!(with(20_000, 49_999), Err(Error::Changed { .. })));
    assert!(matches!(with(10_000, 39_999), Err(Error::Changed { .. })), "some users would lose theirs");
    assert!(matches!(IdMap::open(scratch.path(), autorid_rules()), Err(Error::Changed { .. })));
    // The range may grow, and then it stays so.
    let map = with(10_000, 59_999).unwrap();
    assert_eq!(map.uid(user(CORP, 49_999)), Some(59_999));
    drop(map);
    assert!(matches!(with(10_000, 49_999), Err(Error::Changed { .. })));
    // A range that is no longer in the settings means nobody, and is nobody else's.
    let sales = |first, last| {
        let domain = String::from("SALES");
        IdMap::open(scratch.path(), Rules::Rid(vec![DomainRange { domain, first, last }]))
    };
    assert!(matches!(sales(50_000, 99_999), Err(Error::Changed { .. })));
    let map = sales(60_000, 99_999).unwrap();
    assert_eq!((map.uid(user(CORP, 1)), map.user_sid(10_001)), (None, None));
    assert!(map.ranges().iter().all(|range| range.is_inert));
    drop(map);
    // With the name service alone, the same ids go on.
    let map = IdMap::open(scratch.path(), Rules::Recorded).unwrap();
    map.record(user(CORP, 1), Kind::User, 10_001).unwrap();
    assert!(map.record(user(CORP, 2), Kind::User, 10_003).is_err());
    assert_eq!((map.uid(user(CORP, 1)), map.uid(user(CORP, 3))), (Some(10_001), None));
}

#[test]
fn wrong_rules_are_refused() {
    let range = |domain: &str, first, last| DomainRange { domain: domain.to_owned(), first, last };
    for rules in [
        Rules::Rid(vec![range("A", 0, 10)]),
        Rules::Rid(vec![range("A", 10, 9)]),
        Rules::Rid(vec![range("A", 10, u32::MAX)]),
        Rules::Rid(vec![range("A", 10, 20), range("B", 20, 30)]),
        Rules::Rid(vec![range("A", 10, 20), range("a", 30, 40)]),
        Rules::Autorid { first: 100_000, last: 299_998, range_size: 100_000 },
        Rules::Autorid { first: 100_000, last: 299_999, range_size: 1999 },
    ] {
        assert!(matches!(rules.check(), Err(Error::Rules(_))), "{rules:?}");
    }
}

#[test]
fn ranges_and_ids_of_samba_are_taken_over() {
    let scratch = scratch();
    let text = "CONFIG: minvalue:1000000 rangesize:100000 maxranges:10\nRANGE 0: S-1-5-21-4-5-6\nRANGE 1: ALLOC\nRANGE 2: S-1-5-21-1-2-3\nRANGE 3: S-1-5-32\n\
                RANGE 4: S-1-5-21-1-2-3#2\nS-1-5-11 GID 1199982\nGID HWM: 0\n";
    let imported = IdMap::import(scratch.path(), autorid_rules(), text).unwrap();
    assert_eq!(imported, Imported { ranges: 5, ids: 1 });
    assert_eq!(IdMap::import(scratch.path(), autorid_rules(), text).unwrap(), Imported::default());
    let map = IdMap::open(scratch.path(), autorid_rules()).unwrap();
    map.learn_domain("CORP", CORP).unwrap();
    assert_eq!(map.uid(user(CORP, 1103)), Some(1_201_103));
    assert_eq!(map.uid(user(CORP, 200_001)), Some(1_400_001));
    assert_eq!(map.gid(Sid::ADMINISTRATORS), Some(1_300_544));
    assert_eq!(map.gid(Sid::AUTHENTICATED_USERS), Some(1_199_982));
    assert_eq!(map.uid(user(SALES, 7)), Some(1_000_007));
    map.learn_domain("NEW", Sid::of(5, [21, 7, 7, 7])).unwrap();
    assert_eq!(map.uid(user(Sid::of(5, [21, 7, 7, 7]), 0)), Some(1_500_000));
    drop(map);
    for wrong in [
        "CONFIG: minvalue:1000000 rangesize:200000 maxranges:5",
        "RANGE 2: S-1-5-21-4-5-6",
        "RANGE 70: S-1-5-21-9-9-9",
        "RANGE 6: S-1-5-21-1-2-3",
        "nonsense",
    ] {
        IdMap::import(scratch.path(), autorid_rules(), wrong).unwrap_err();
    }
}

#[test]
fn questions_are_answered_while_others_change_the_map() {
    let scratch = scratch();
    let map = Arc::new(IdMap::open(scratch.path(), autorid_rules()).unwrap());
    map.learn_domain("CORP", CORP).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let map = Arc::clone(&map);
            scope.spawn(move || {
                for index in 0..5 {
                    let domain = Sid::of(5, [21, 100 + index, 0, 0]);
                    let learnt = map.learn_domain(&format!("D{index}"), domain);
                    assert!(learnt.is_ok(), "{thread}: {learnt:?}");
                    assert_eq!(map.uid(user(CORP, 1103)), Some(1_101_103));
                    assert!(map.uid(user(domain, 5)).is_some());
                }
            });
        }
    });
    assert_eq!(map.ranges().len(), 6);
}

/// The rules as a list of all pairs that are in force, searched from the front.
#[derive(Default)]
struct Model {
    domains: Vec<(String, Sid)>,
    /// Number of the part, domain, index.
    parts: Vec<(Sid, u32)>,
    recorded: Vec<(Kind, Sid, u32)>,
}

const SIZE: u32 = 2000;
const PARTS: u32 = 5;
const FIRST: u32 = 10_000;

impl Model {
    fn by_rule(&self, sid: Sid) -> Option<u32> {
        let (domain, rid) = sid.split_rid()?;
        let at = self.parts.iter().position(|part| *part == (domain, rid / SIZE))?;
        Some(FIRST + (1 + at as u32) * SIZE + rid % SIZE)
    }

    fn id(&self, kind: Kind, sid: Sid) -> Option<u32> {
        let recorded = self.recorded.iter().find(|it| (it.0, it.1) == (kind, sid)).map(|it| it.2);
        recorded.or_else(|| self.by_rule(sid))
    }

    fn give_part(&mut self, domain: Sid, index: u32) -> bool {
        if self.parts.contains(&(domain, index)) {
            return true;
        }
        let fits = (self.parts.len() as u32) < PARTS - 1;
        if fits {
            self.parts.push((domain, index));
        }
        fits
    }
}

#[derive(Clone, Debug)]
enum Step {
    Learn(u32, u32),
    Admit(u32, u32),
    Record(Kind, u32, u32, u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let rid = || prop_oneof![0..5u32, 1998..2003u32, Just(4100u32), Just(u32::MAX)];
    let id = prop_oneof![
        0..4u32,
        9_998..10_003u32,
        11_998..12_004u32,
        13_999..14_003u32,
        Just(20_000u32),
        Just(u32::MAX)
    ];
    let kind = prop_oneof![Just(Kind::User), Just(Kind::Group)];
    prop_oneof![
        2 => (0..3u32, 0..3u32).prop_map(|(name, domain)| Step::Learn(name, domain)),
        2 => (0..3u32, rid()).prop_map(|(domain, rid)| Step::Admit(domain, rid)),
        3 => (kind, 0..3u32, rid(), id).prop_map(|(kind, domain, rid, id)| Step::Record(kind, domain, rid, id)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn map_agrees_with_a_naive_model(steps in prop::collection::vec(step(), 1..40)) {
        let scratch = scratch();
        let rules = Rules::Autorid { first: FIRST, last: FIRST + PARTS * SIZE - 1, range_size: SIZE };
        let domain = |number: u32| Sid::of(5, [21, number, 0, 0]);
        let mut map = IdMap::open(scratch.path(), rules.clone()).unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Learn(name, number) => {
                    let (name, sid) = (format!("D{name}"), domain(number));
                    let known = model.domains.contains(&(name.clone(), sid));
                    let clash = !known && model.domains.iter().any(|it| it.0 == name || it.1 == sid);
                    let expected = !clash && model.give_part(sid, 0);
                    prop_assert_eq!(map.learn_domain(&name, sid).is_ok(), expected);
                    if expected && !known {
                        model.domains.push((name, sid));
                    }
                }
                Step::Admit(number, rid) => {
                    let sid = domain(number);
                    let known = model.domains.iter().any(|it| it.1 == sid);
                    let expected = !known || model.give_part(sid, rid / SIZE);
                    prop_assert_eq!(map.admit(&[user(sid, rid)]).is_ok(), expected);
                }
                Step::Record(kind, number, rid, id) => {
                    let sid = user(domain(number), rid);
                    let own = model.recorded.iter().find(|it| (it.0, it.1) == (kind, sid)).map(|it| it.2);
                    let taken = model.recorded.iter().any(|it| it.0 == kind && it.2 == id && it.1 != sid);
                    let covered = (FIRST + SIZE..FIRST + PARTS * SIZE).contains(&id);
                    let expected = if own.is_some() { own == Some(id) }
                        else { model.by_rule(sid) == Some(id) && !taken || (id != 0 && id != u32::MAX && !taken && !covered) };
                    prop_assert_eq!(map.record(sid, kind, id).is_ok(), expected, "{} {} {}", kind, sid, id);
                    if expected && own.is_none() && model.by_rule(sid) != Some(id) {
                        model.recorded.push((kind, sid, id));
                    }
                }
                Step::Reopen => {
                    drop(map);
                    map = IdMap::open(scratch.path(), rules.clone()).unwrap();
                }
            }
            for kind in [Kind::User, Kind::Group] {
                let to = |sid| if kind == Kind::User { map.uid(sid) } else { map.gid(sid) };
                let back = |id| if kind == Kind::User { map.user_sid(id) } else { map.group_sid(id) };
                for number in 0..3 {
                    for rid in [0, 1, 3, 1999, 2000, 2002, 4100, u32::MAX] {
                        let sid = user(domain(number), rid);
                        let id = to(sid);
                        prop_assert_eq!(id, model.id(kind, sid));
                        if let Some(id) = id {
                            prop_assert_eq!(back(id), Some(sid));
                        }
                    }
                }
                for id in (0..5).chain(9_998..10_004).chain(11_999..12_005).chain(13_998..14_003).chain([20_000, u32::MAX]) {
                    if let Some(sid) = back(id) {
                        prop_assert_eq!(to(sid), Some(id));
                    }
                }
            }
        }
    }
}
