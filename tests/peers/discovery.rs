//! Announcements to the local network, found by avahi and by a client of WS-Discovery.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::{need, repository, run, shareward_binary};

#[test]
fn neighbours_find_the_server_and_others_do_not() {
    if !need(&["root", "ip", "unshare", "python3", "avahi-daemon", "avahi-browse", "dbus-daemon"]) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path();
    let place = directory.display();
    let settings = format!(
        "[server]\nname = \"FILES\"\nlisten = [\":4450\"]\nusers_file = \"{place}/users\"\n\
         control_socket = \"{place}/run/control.sock\"\nstate_dir = \"{place}/state\"\n\
         [discovery]\nmdns = true\nwsd = true\nworkgroup = \"OFFICE\"\nleave_out = [\"other\"]\n\
         [[share]]\nname = \"backup\"\npath = \"{place}\"\ntime_machine = true\n"
    );
    let config = directory.join("shareward.toml");
    fs::write(&config, settings).expect("write the configuration");
    // The number of the disk follows from that of the server.
    let state = directory.join("state");
    fs::create_dir(&state).expect("a directory");
    fs::write(state.join("discovery-uuid"), "11111111-2222-4333-8444-555555555555\n")
        .expect("write a number");
    let peers = repository().join("tests/peers");
    let mut command = Command::new("sh");
    command.arg(peers.join("discovery.sh")).arg(format!("d{}", std::process::id()));
    command.arg(shareward_binary()).arg(&config).arg(directory).arg(peers.join("discovery.py"));
    let output = run(command, b"", Duration::from_secs(240)).success();
    let lines: Vec<&str> = output.stdout.lines().map(str::trim_end).collect();
    let expected = [
        "computer: FILES/Workgroup:OFFICE",
        "printer: nobody",
        "other network: nobody",
        "foreign address: nobody",
        "computer, IPv6: FILES/Workgroup:OFFICE",
        "foreign address, IPv6: nobody",
        "mDNS to the server: 1",
        "mDNS to the server, IPv6: 1",
        "mDNS to the server, foreign address: nobody",
        "mDNS to the server, other network: nobody",
        "avahi: FILES;_adisk._tcp;files.local;192.0.2.1;9;\"dk0=adVN=backup,adVF=0x82,adVU=DE8330B6-D475-8D9A-957C-5DE62010B04F\" \"sys=waMa=0,adVF=0x100\"",
        "avahi: FILES;_device-info._tcp;files.local;192.0.2.1;0;\"model=RackMac\"",
        "avahi: FILES;_smb._tcp;files.local;192.0.2.1;4450;",
        "heard: Bye Hello Probe Resolve listening",
    ];
    assert_eq!(lines, expected, "{output}");
}
