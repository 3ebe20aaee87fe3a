//! Stores on file systems that are mounted below a share, and on several mounts.

use super::{LARGE, STORE, Share, entries, is_root, mark, noise, path, run, tree};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use vfs::{Backend, Error, Wanted};

/// An ext4 file system in a file, mounted until this is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(image: &Path, on: &Path, options: &str) -> Option<Self> {
        run("mount", &["-o", options], &[image, on]).then(|| Self(on.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l"], &[&self.0]);
    }
}

#[test]
fn streams_survive_changes_of_device_numbers_and_mount_points() {
    let top = tree(&["one", "share/below", "image"]);
    let disk = |name: &str| top.path().join(name);
    let images = [disk("image/a"), disk("image/b")];
    for image in &images {
        fs::File::create(image).unwrap().set_len(8 << 20).unwrap();
        if !is_root() || !run("mkfs.ext4", &["-q", "-I", "256"], &[image]) {
            return eprintln!("skipped: no root, or no mkfs.ext4");
        }
    }
    let number = |place: &Path| fs::metadata(place).unwrap().dev();
    let Some(other) = Disk::mount(&images[1], &disk("one"), "loop") else {
        return eprintln!("skipped: no loop devices");
    };
    let below = disk("share/below");
    let mounted = Disk::mount(&images[0], &below, "loop").unwrap();
    let before = number(&below);
    let share = Share::of(&disk("share"));
    share.file("below/f");
    share.put("below/f:s", &noise(1 << 20));
    fs::create_dir(below.join("d")).unwrap();
    share.file("below/d/g");
    share.put("below/d/g:s", &noise(LARGE));
    // On a disk of its own.
    assert!(below.join(STORE).exists() && !disk("share").join(STORE).exists());
    for name in ["below/gone", "below/d/gone"] {
        share.file(name);
        share.put(&format!("{name}:s"), &noise(LARGE));
        assert_eq!(entries(&below), 3);
        share.remove(name);
        assert_eq!(entries(&below), 2, "{name}");
    }
    // As after a crash: the mark is missing.
    share.file("below/unmarked");
    share.put("below/unmarked:s", &noise(LARGE));
    rustix::fs::removexattr(below.join("unmarked"), "user.ShwStreams").unwrap();
    share.remove("below/unmarked");
    assert_eq!(entries(&below), 2);
    drop((share, mounted, other));

    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let _mounted = loop {
        let mounted = Disk::mount(&images[0], &disk("one"), "loop").unwrap();
        if number(&disk("one")) != before || std::time::Instant::now() > deadline {
            break mounted;
        }
        drop(mounted);
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    if number(&disk("one")) == before {
        eprintln!("the disk has its number again");
    }
    let share = Share::of(&disk("one"));
    assert_eq!(share.get("f:s").unwrap(), noise(1 << 20));
    let inner = Share::of(&disk("one/d"));
    assert_eq!(inner.get("g:s").unwrap(), noise(LARGE));

    // A full and a read-only file system are reported as such.
    share.file("h");
    share.put("h:small", &noise(700));
    assert_eq!(mark(&disk("one/h")), None);
    let stored = entries(&disk("one"));
    let fill = || {
        // A sync frees the blocks that ext4 has reserved for metadata.
        for _ in 0..4 {
            let mut filling =
                fs::OpenOptions::new().create(true).append(true).open(disk("one/filling")).unwrap();
            while std::io::Write::write_all(&mut filling, &[1; 1024]).is_ok() {}
            filling.sync_all().unwrap();
        }
    };
    fill();
    let full = share.make("f:full", &noise(1 << 20)).map(drop);
    assert!(matches!(full, Err(Error::NoSpace)), "{full:?}");
    assert_eq!(share.get("f:s").unwrap(), noise(1 << 20));
    // Nothing stays of a failure to create the directory, and of one after that.
    let grown = share.open("h:small").unwrap();
    for kept in [None, Some(1 << 10)] {
        fill();
        if let Some(room) = kept {
            let filling = fs::OpenOptions::new().write(true).open(disk("one/filling")).unwrap();
            filling.set_len(filling.metadata().unwrap().len() - room).unwrap();
            filling.sync_all().unwrap();
        }
        assert!(grown.handle.write_at(&noise(1 << 17), 0).is_err());
        // The little room is enough for the move out of the attribute if the file system frees a block meanwhile.
        let (now, mark) = (entries(&disk("one")), mark(&disk("one/h")));
        let moved = kept.is_some() && now == stored + 1 && mark.is_some();
        assert!(moved || (now == stored && mark.is_none()), "{kept:?}: {now} of {stored}, {mark:?}");
        assert_eq!(share.get("h:small").unwrap(), noise(700));
    }
    let mut find = Command::new("find");
    let found = find.arg(disk("one").join(STORE)).args(["-type", "f", "!", "-name", ":*"]).output().unwrap();
    assert!(found.stdout.is_empty(), "nothing incomplete stays: {found:?}");
    assert!(run("mount", &["-o", "remount,ro"], &[&disk("one")]));
    let read_only = share.make("f:none", &noise(10)).map(drop);
    assert!(matches!(read_only, Err(Error::ReadOnly)), "{read_only:?}");
    assert_eq!(share.0.open(&share.1, &path("f:s"), Wanted::READ).unwrap().stat.size, 1 << 20);
}

#[test]
fn no_second_directory_is_made_for_a_file_whose_streams_are_out_of_reach() {
    let top = tree(&["data/sub", "other"]);
    let disk = |name: &str| top.path().join(name);
    if !is_root() || !run("mount", &["--bind"], &[&disk("data/sub"), &disk("other")]) {
        return eprintln!("skipped: no bind mounts");
    }
    let _mounted = Disk(disk("other"));
    let (data, other) = (Share::of(&disk("data")), Share::of(&disk("other")));
    data.file("sub/f");
    data.put("sub/f:s", &noise(LARGE));
    let refused = other.make("f:t", &noise(LARGE)).map(drop);
    assert!(matches!(refused, Err(Error::Limitation)), "{refused:?}");
    other.put("f:small", b"small");
    assert!(!disk("other").join(STORE).exists());
    data.put("sub/f:u", &noise(LARGE));
    // The refused one is empty.
    assert_eq!(data.names("sub/f"), ["s", "small", "t", "u"]);
    // A copied mark refuses nothing.
    assert!(run("cp", &["--archive"], &[&disk("data/sub/f"), &disk("data/sub/g")]));
    other.put("g:u", &noise(LARGE));
    assert_eq!(
        (data.names("sub/g"), data.get("sub/g:u").unwrap()),
        (vec!["small".into(), "t".into(), "u".into()], noise(LARGE))
    );
}

#[test]
fn files_on_other_devices_than_their_directories_get_no_store() {
    let top = tree(&["lower", "upper", "share", "image"]);
    let disk = |name: &str| top.path().join(name);
    fs::File::create(disk("image/a")).unwrap().set_len(8 << 20).unwrap();
    if !is_root() || !run("mkfs.ext4", &["-q"], &[&disk("image/a")]) {
        return eprintln!("skipped: no root, or no mkfs.ext4");
    }
    let Some(_lower) = Disk::mount(&disk("image/a"), &disk("lower"), "loop") else {
        return eprintln!("skipped: no loop devices");
    };
    fs::write(disk("lower/f"), "").unwrap();
    for name in ["upper/data", "upper/work"] {
        fs::create_dir(disk(name)).unwrap();
    }
    let options = format!(
        "xino=off,lowerdir={0}/lower,upperdir={0}/upper/data,workdir={0}/upper/work",
        top.path().display()
    );
    if !run("mount", &["-t", "overlay", "-o", &options, "overlay"], &[&disk("share")]) {
        return eprintln!("skipped: no overlayfs");
    }
    let _mounted = Disk(disk("share"));
    if fs::metadata(disk("share/f")).unwrap().dev() == fs::metadata(disk("share")).unwrap().dev() {
        return eprintln!("skipped: one device number for all");
    }
    let share = Share::of(&disk("share"));
    share.put("f:small", b"small");
    let refused = share.make("f:s", &noise(LARGE)).map(drop);
    assert!(matches!(refused, Err(Error::Limitation)), "{refused:?}");
    assert!(!disk("share").join(STORE).exists());
}
