//! Samba's smbclient: every dialect, signed and sealed; the everyday commands; names that are not ASCII letters.

use std::fs;

use testkit::peer::{DIALECTS, smbcacls, smbclient};
use testkit::{Output, Subject};

const NEEDS: &[&str] = &["smbclient"];

/// More than any one READ or WRITE carries, and no multiple of anything.
const BIG: usize = 10 * 1024 * 1024 + 12_345;

fn as_alice(subject: &Subject, share: &str, options: &[&str], commands: &str) -> Output {
    smbclient(subject, subject.user("alice"), share, options, commands)
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}

/// Puts, lists, gets back, renames and deletes a file.
fn round_trip(share: &str, options: &[&str]) {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let sent = noise(200_000);
    fs::write(subject.scratch().join("sent"), &sent).expect("write a local file");
    as_alice(
        &subject,
        share,
        options,
        "put sent here.bin; ls; get here.bin back; rename here.bin there.bin; ls there.bin",
    )
    .success()
    .says("here.bin")
    .says("200000")
    .says("there.bin");
    assert!(
        fs::read(subject.scratch().join("back")).expect("the file is back") == sent,
        "the contents differ"
    );
    as_alice(&subject, share, options, "del there.bin; ls").success();
    as_alice(&subject, share, options, "ls there.bin").says("NT_STATUS_NO_SUCH_FILE");
    assert!(!subject.share_dir(share).join("there.bin").exists());
}

fn held_to(dialect: &str, protection: &str) {
    let protocols = [format!("--option=client min protocol={dialect}"), format!("--max-protocol={dialect}")];
    let protection = format!("--client-protection={protection}");
    round_trip("data", &[&protocols[0], &protocols[1], &protection]);
}

#[test]
fn smb2_02_signed() {
    held_to(DIALECTS[0], "sign");
}

#[test]
fn smb2_10_signed() {
    held_to(DIALECTS[1], "sign");
}

#[test]
fn smb3_00_signed() {
    held_to(DIALECTS[2], "sign");
}

#[test]
fn smb3_02_signed() {
    held_to(DIALECTS[3], "sign");
}

#[test]
fn smb3_11_signed() {
    held_to(DIALECTS[4], "sign");
}

#[test]
fn smb2_02_unsigned() {
    held_to(DIALECTS[0], "off");
}

#[test]
fn smb2_10_unsigned() {
    held_to(DIALECTS[1], "off");
}

#[test]
fn smb3_11_unsigned() {
    held_to(DIALECTS[4], "off");
}

#[test]
fn smb3_00_sealed() {
    held_to(DIALECTS[2], "encrypt");
}

#[test]
fn smb3_02_sealed() {
    held_to(DIALECTS[3], "encrypt");
}

#[test]
fn smb3_11_sealed() {
    held_to(DIALECTS[4], "encrypt");
}

#[test]
fn each_cipher_and_signing_algorithm() {
    for cipher in ["AES-128-GCM", "AES-128-CCM", "AES-256-GCM", "AES-256-CCM"] {
        let only = format!("--option=client smb3 encryption algorithms={cipher}");
        round_trip("data", &["--client-protection=encrypt", &only]);
    }
    for algorithm in ["AES-128-GMAC", "AES-128-CMAC", "HMAC-SHA256"] {
        let only = format!("--option=client smb3 signing algorithms={algorithm}");
        round_trip("data", &["--client-protection=sign", &only]);
    }
}

#[test]
fn an_encrypted_share_refuses_clients_without_encryption() {
    round_trip("sealed", &[]);
    let Some(subject) = Subject::with(NEEDS) else { return };
    let plain = ["--option=client min protocol=SMB2_10", "--max-protocol=SMB2_10"];
    as_alice(&subject, "sealed", &plain, "ls").failure().says("NT_STATUS_ACCESS_DENIED");
}

#[test]
fn a_big_file_round_trips() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let sent = noise(BIG);
    fs::write(subject.scratch().join("sent"), &sent).expect("write a local file");
    as_alice(&subject, "data", &[], "put sent big; get big back").success();
    assert!(
        fs::read(subject.scratch().join("back")).expect("the file is back") == sent,
        "it came back otherwise"
    );
    assert!(
        fs::read(subject.share_dir("data").join("big")).expect("the file is there") == sent,
        "it is stored otherwise"
    );
}

#[test]
fn directories_are_created_renamed_and_removed() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    fs::write(subject.scratch().join("f"), "12345").expect("write a local file");
    as_alice(&subject, "data", &[], r"mkdir a; mkdir a\b; cd a\b; put f; ls; cd \; recurse on; ls")
        .success()
        .says(r"\a\b")
        .never_says("NT_STATUS");
    as_alice(&subject, "data", &[], "rmdir a").says("NT_STATUS_DIRECTORY_NOT_EMPTY");
    as_alice(&subject, "data", &[], "mkdir a").says("NT_STATUS_OBJECT_NAME_COLLISION");
    as_alice(&subject, "data", &[], r"ls nowhere\deeper\*").says("NT_STATUS_OBJECT_PATH_NOT_FOUND");
    as_alice(&subject, "data", &[], r"rename a c; del c\b\f; rmdir c\b; rmdir c")
        .success()
        .never_says("NT_STATUS");
    assert!(!subject.share_dir("data").join("c").exists());
}

#[test]
fn allinfo_shows_times_attributes_and_streams() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    fs::write(subject.scratch().join("f"), "12345").expect("write a local file");
    as_alice(&subject, "data", &[], "put f; allinfo f")
        .success()
        .says("create_time")
        .says("write_time")
        .says("attributes: A (20)")
        .says("stream: [::$DATA], 5 bytes");
    as_alice(&subject, "data", &[], "setmode f +rh; allinfo f").says("attributes: RHA (23)");
    as_alice(
        &subject,
        "data",
        &[],
        "setmode f -rh; utimes f 2020:01:02-03:04:05 -1 2021:02:03-04:05:06 -1; allinfo f",
    )
    .says("2020");
}

#[test]
fn du_and_volume_report_the_file_system() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    as_alice(&subject, "data", &[], "du; volume").success().says("blocks of size").never_says("NT_STATUS");
}

#[test]
fn names_with_spaces_and_unicode_are_kept() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    fs::write(subject.scratch().join("f"), "odd").expect("write a local file");
    let long = "n".repeat(250);
    let names =
        ["with space.txt", "Grüße.txt", "日本語", "🦀.rs", ".hidden", "a..b", "semi'quote", "#%&{}", &long];
    for name in names {
        let commands = format!("put f \"{name}\"; get \"{name}\" back; ls \"{name}\"");
        as_alice(&subject, "data", &[], &commands).success().never_says("NT_STATUS");
        assert!(subject.share_dir("data").join(name).exists(), "{name} is stored under its own name");
        assert_eq!(fs::read_to_string(subject.scratch().join("back")).expect("it is back"), "odd");
    }
    as_alice(&subject, "data", &[], "get WITH SPACE.TXT back").failure();
    as_alice(&subject, "data", &[], "get \"WITH Space.TXT\" back").success();
    as_alice(&subject, "data", &[], "get \"GRÜSSE.txt\" back").failure();
    as_alice(&subject, "data", &[], "get \"GRÜßE.TXT\" back").success();
}

#[test]
fn symlinks_out_of_a_share_are_not_followed() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    fs::write(subject.scratch().join("secret"), "outside").expect("write a local file");
    let data = subject.share_dir("data");
    std::os::unix::fs::symlink(subject.scratch(), data.join("out")).expect("a symlink");
    std::os::unix::fs::symlink("../../scratch/secret", data.join("secret")).expect("a symlink");
    std::os::unix::fs::symlink("/etc/passwd", data.join("passwd")).expect("a symlink");
    for name in [r"out\secret", "secret", "passwd"] {
        as_alice(&subject, "data", &[], &format!(r"get {name} got")).failure();
        assert!(!subject.scratch().join("got").exists(), "{name} led out");
    }
}

#[test]
fn many_files_in_one_directory() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    for number in 0..2000 {
        fs::write(subject.share_dir("data").join(format!("file-{number:05}.txt")), "").expect("write a file");
    }
    let all = as_alice(&subject, "data", &[], "ls *").success();
    assert_eq!(
        all.stdout.lines().filter(|line| line.contains("file-")).count(),
        2000,
        "all files, once each"
    );
    let some = as_alice(&subject, "data", &[], "ls file-0001?.txt").success();
    assert_eq!(some.stdout.lines().filter(|line| line.contains("file-")).count(), 10, "ten match: {some}");
}

#[test]
fn shares_are_listed() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    as_alice(&subject, "IPC$", &["-L", "127.0.0.1", "-g"], "")
        .says("Disk|data")
        .says("Disk|other")
        .says("IPC|IPC$");
}

#[test]
fn an_unknown_share() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    as_alice(&subject, "nothing-here", &[], "ls").failure().says("NT_STATUS_BAD_NETWORK_NAME");
}

#[test]
fn smb1_alone_is_refused() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    let old = ["--option=client min protocol=NT1", "--max-protocol=NT1"];
    as_alice(&subject, "data", &old, "ls").failure();
    assert!(subject.answers(), "the server took no harm");
}

#[test]
fn an_smb1_negotiate_that_offers_smb2_leads_to_smb2() {
    let Some(subject) = Subject::with(NEEDS) else { return };
    as_alice(&subject, "data", &["--option=client min protocol=NT1"], "ls").success();
}

/// libsmbclient passes on the separators of a URL, and appends another one.
#[test]
fn smbget_uses_doubled_separators() {
    let Some(subject) = Subject::with(&["smbget"]) else { return };
    let data = subject.share_dir("data");
    fs::create_dir_all(data.join("d/deep")).expect("mkdir");
    fs::write(data.join("d/deep/f"), "text").expect("write");
    let alice = subject.user("alice");
    let url = format!("smb://127.0.0.1:{}/data//d//", subject.port());
    let output = std::process::Command::new("smbget")
        .args(["--recursive", "--quiet", "--user", &format!("{}%{}", alice.name, alice.password), &url])
        .current_dir(subject.scratch())
        .output()
        .expect("smbget");
    let got = fs::read_to_string(subject.scratch().join("deep/f"));
    assert_eq!(got.ok().as_deref(), Some("text"), "{output:?}");
}

/// smbcacls writes the list in revision 3, which has no name.
#[test]
fn smbcacls_sets_a_whole_list() {
    let Some(subject) = Subject::with(&["root", "smbclient", "smbcacls"]) else { return };
    let local = subject.scratch().join("sent");
    fs::write(&local, b"x").expect("write a local file");
    as_alice(&subject, "data", &[], "put sent listed.txt").success();
    let alice = subject.user("alice");
    let list = "REVISION:1,ACL:S-1-1-0:ALLOWED/0x0/FULL,ACL:S-1-5-11:DENIED/0x0/X";
    smbcacls(&subject, alice, "data", "listed.txt", &["--numeric", "-S", list]).success();
    smbcacls(&subject, alice, "data", "listed.txt", &["--numeric"])
        .success()
        .says("ACL:S-1-1-0:0/0x0/0x001f01ff")
        .says("ACL:S-1-5-11:1/0x0/0x001200a0");
}
