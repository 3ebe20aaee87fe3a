//! A name exists in one spelling only, even if several threads create it at once through several shares.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::sync::Barrier;
use vfs::{Actor, Backend, Error, Forms, LocalBackend, LocalOptions, Opened, RelativePath, Wanted};
use wire::FileAttributes;

fn share(directory: &Path) -> LocalBackend {
    LocalBackend::open(directory, LocalOptions::default()).unwrap()
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn make(backend: &LocalBackend, name: &str) -> Result<Opened, Error> {
    backend.create_file(&Actor::Process, &path(name), FileAttributes::NONE, Wanted::NOTHING)
}

fn open(backend: &LocalBackend, name: &str) -> Result<Opened, Error> {
    backend.open(&Actor::Process, &path(name), Wanted::NOTHING)
}

/// Tests short directories and long ones, which are cached, through two shares of one directory.
#[test]
fn concurrent_creations_of_several_spellings_create_one_file() {
    for others in [0, 200] {
        let directory = tempfile::tempdir().unwrap();
        let shares = [share(directory.path()), share(directory.path())];
        for number in 0..others {
            make(&shares[0], &format!("other {number}")).unwrap();
        }
        let spellings = ["name", "NAME", "Name", "nAME"];
        for round in 0..150 {
            let barrier = Barrier::new(spellings.len());
            let made: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = spellings
                    .iter()
                    .enumerate()
                    .map(|(number, spelling)| {
                        let (backend, barrier) = (&shares[number % 2], &barrier);
                        scope.spawn(move || {
                            let name = path(&format!("{spelling} {round}"));
                            barrier.wait();
                            let (actor, none) = (&Actor::Process, FileAttributes::NONE);
                            let made = match number {
                                0 => backend.create_directory(actor, &name, none),
                                1 => {
                                    // A rename creates a name, too.
                                    let own = make(backend, &format!("renamed {round}")).unwrap();
                                    let from = path(&format!("renamed {round}"));
                                    let renamed = backend.rename(actor, &*own.handle, &from, &name, false);
                                    renamed.map(|_| own)
                                }
                                2 => {
                                    let own = make(backend, &format!("linked {round}")).unwrap();
                                    backend.link(actor, &*own.handle, &name, false).map(|_| own)
                                }
                                _ => backend.create_file(actor, &name, none, Wanted::NOTHING),
                            };
                            match made {
                                Ok(_) => 1,
                                Err(Error::Exists) => 0,
                                Err(error) => panic!("{error:?}"),
                            }
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(made, 1, "round {round}");
        }
    }
}

/// A name that a local process has created since the scan is found after any change by the server.
#[test]
fn an_own_change_does_not_revive_stale_cached_names() {
    let directory = tempfile::tempdir().unwrap();
    let backend = share(directory.path());
    for number in 0..300 {
        make(&backend, &format!("File {number}")).unwrap();
    }
    let change = |kind: &str, number: usize, file: &Opened| {
        let (actor, from) = (&Actor::Process, path(&file.path));
        match kind {
            "remove" => backend.remove(actor, &from, &*file.handle).unwrap(),
            "rename" => drop(
                backend
                    .rename(actor, &*file.handle, &from, &path(&format!("Moved {number}")), false)
                    .unwrap(),
            ),
            "link" => {
                drop(backend.link(actor, &*file.handle, &path(&format!("Link {number}")), false).unwrap());
            }
            _ => drop(make(&backend, &format!("New {number}")).unwrap()),
        }
    };
    for (round, kind) in ["remove", "rename", "link", "create"].into_iter().cycle().take(40).enumerate() {
        // Fill the cache.
        assert!(matches!(open(&backend, "NOTHING OF THE KIND"), Err(Error::NotFound)));
        let file = open(&backend, &format!("File {round}")).unwrap();
        let foreign = format!("Foreign {round}");
        std::fs::write(directory.path().join(&foreign), "").unwrap();
        // The exact name needs no lookup before the change.
        change(kind, round, &file);
        let found = open(&backend, &foreign.to_uppercase());
        assert_eq!(found.map(|found| found.path).ok().as_ref(), Some(&foreign), "after {kind}");
        assert!(matches!(make(&backend, &foreign.to_lowercase()), Err(Error::Exists)), "after {kind}");
    }
}

/// The lock of a directory belongs to the process: two shares rename between two directories in both
/// directions.
#[test]
fn renames_in_opposite_directions_do_not_deadlock() {
    let directory = tempfile::tempdir().unwrap();
    let shares = [share(directory.path()), share(directory.path())];
    for name in ["a", "b"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    std::thread::scope(|scope| {
        for (number, backend) in shares.iter().enumerate() {
            scope.spawn(move || {
                let names = [format!("a/{number}"), format!("b/{number}")];
                let file = make(backend, &names[0]).unwrap();
                for round in 0..500 {
                    let (from, to) = (&names[round % 2], &names[(round + 1) % 2]);
                    let real = backend.rename(&Actor::Process, &*file.handle, &path(from), &path(to), false);
                    assert_eq!(real.unwrap(), *to);
                }
            });
        }
    });
}

/// Two shares of one directory: one treats all normalization forms as one name, the other does not.
#[test]
fn normalization_forms_are_one_name_if_the_share_is_so_configured() {
    for others in [0, 200] {
        let directory = tempfile::tempdir().unwrap();
        let any = LocalBackend::open(
            directory.path(),
            LocalOptions { forms: Forms::Any, ..LocalOptions::default() },
        );
        let (any, exact) = (any.unwrap(), share(directory.path()));
        for number in 0..others {
            make(&any, &format!("ö{number}")).unwrap();
        }
        let (composed, decomposed) = ("Bäume/größe", "Ba\u{308}ume/gro\u{308}ße");
        std::fs::create_dir(directory.path().join("Ba\u{308}ume")).unwrap();
        let made = make(&any, composed).unwrap();
        // A new name is stored as it was sent; an existing name keeps its form.
        assert_eq!(made.path, "Ba\u{308}ume/größe", "with {others} others");
        for name in [composed, decomposed, "BÄUME/GRÖßE", "bA\u{308}UME/grÖßE"] {
            assert_eq!(open(&any, name).unwrap().path, made.path, "{name}");
            assert!(matches!(make(&any, name), Err(Error::Exists)), "{name}");
        }
        assert!(matches!(open(&exact, composed), Err(Error::PathNotFound | Error::NotFound)));
        // A rename to another form counts as one to another spelling.
        let target = path("Bäume/gro\u{308}ße");
        let renamed = any.rename(&Actor::Process, &*made.handle, &path(composed), &target, false).unwrap();
        assert_eq!(renamed, "Ba\u{308}ume/gro\u{308}ße");
        assert_eq!(open(&any, composed).unwrap().path, renamed);
        // Another share, or a program, can create both; then each is found by its exact form.
        make(&exact, "Ba\u{308}ume/größe").unwrap();
        for name in ["größe", "gro\u{308}ße"] {
            assert_eq!(open(&any, &format!("Bäume/{name}")).unwrap().path, format!("Ba\u{308}ume/{name}"));
        }
        let other = make(&any, "other").unwrap();
        let onto = any.rename(&Actor::Process, &*other.handle, &path("other"), &path(composed), false);
        assert!(matches!(onto, Err(Error::Exists)));
        let opened = open(&any, decomposed).unwrap();
        any.remove(&Actor::Process, &path(decomposed), &*opened.handle).unwrap();
        assert_eq!(open(&any, decomposed).unwrap().path, "Ba\u{308}ume/größe");
    }
}
