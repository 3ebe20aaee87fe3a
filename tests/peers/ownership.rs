//! A server that root runs: each session acts as the Unix user of its name.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use testkit::peer::smbclient;
use testkit::{RunAs, Setup, Subject, need};

#[test]
fn files_belong_to_their_creators() {
    if !need(&["root", "smbclient", "unshare"]) {
        return;
    }
    let subject = Subject::start(&Setup { run_as: RunAs::Root, ..Setup::default() });
    fs::write(subject.scratch().join("f"), "mine").expect("write a local file");
    smbclient(&subject, subject.user("alice"), "data", &[], "put f of-alice").success();
    smbclient(&subject, subject.user("bob"), "data", &[], "put f of-bob").success();
    let owner = |name: &str| fs::metadata(subject.share_dir("data").join(name)).expect("the file").uid();
    assert!(owner("of-alice") != 0 && owner("of-bob") != 0, "nothing is root's");
    assert_ne!(owner("of-alice"), owner("of-bob"));

    let secret = subject.share_dir("data").join("of-alice");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("chmod");
    smbclient(&subject, subject.user("bob"), "data", &[], "get of-alice got")
        .failure()
        .says("NT_STATUS_ACCESS_DENIED");
    smbclient(&subject, subject.user("alice"), "data", &[], "get of-alice got").success();
}
