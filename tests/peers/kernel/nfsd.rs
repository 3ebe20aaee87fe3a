//! The commands on a machine that runs the kernel's NFS server: the real one, in a virtual machine.

use testkit::peer::{KERNEL_CLIENT_NEEDS, KernelClient};
use testkit::{User, need, shareward_binary};

#[test]
fn the_kernels_nfs_server_shows_its_clients_and_expires_them() {
    if !need(KERNEL_CLIENT_NEEDS) {
        return;
    }
    let user = User { name: "nobody".into(), password: "unused".into(), administrator: false };
    // Nothing of this machine is reached.
    let machine = KernelClient::at(1, &user, "none");
    let script = concat!("set -u\n", include_str!("nfsd.sh"));
    let output = machine.run(script, &[&shareward_binary().display().to_string()]).success();
    let output = output
        .says("without threads: 2")
        .says("Linux NFSv4.2")
        .says("NFS 4.2")
        .says(r#""make": "nfs""#)
        .says(r"plan\report.docx")
        .says("/run/export/plan/report.docx: 1 open.")
        .says("/run/export/plan: 1 open.")
        .says("Nobody has /run/export/plan/free.txt open.")
        .says("still open: 1")
        .says("'net session --id ID /delete --server nfs:'")
        .says("no close: 50")
        .says("has gone")
        .says("nfsd done");
    // The open has the lock of its owner and the delegation of its client.
    let row = output.stdout.lines().find(|line| line.contains("report.docx") && line.contains("127.0.0.1"));
    let words: Vec<&str> = row.expect("the open").split_whitespace().collect();
    assert_eq!(words.get(3), Some(&"1"), "{output}");
    assert_eq!(words.get(5), Some(&"RW"), "{output}");
}
