//! Configurations and accounts of Samba.

use import::passdb::make::{passdb, record};
use import::tdb::make::tdb;

use super::Seeds;

pub(super) fn samba(all: &mut Seeds) {
    let configs = [
        (
            "debian",
            "[global]\n   workgroup = WORKGROUP\n   map to guest = bad user\n   usershare allow guests = yes\n\n[homes]\n   browseable = no\n   valid users = %S\n[printers]\n   path = /var/tmp\n   printable = yes\n[print$]\n   path = /var/lib/samba/printers\n",
        ),
        (
            "users",
            "[a]\npath=/a\nvalid users = ann, @staff +x &net \"a b\"\nread list = ann\nwrite list = @staff\ninvalid users = root\nread only = no\n[b]\ncopy = a\nguest ok = yes\n",
        ),
        ("include", "include = /i\n[global]\nwriteable = yes\n[include]\ninclude = /etc/samba/smb.conf\n"),
        ("continued", "[s]\npath = /a\\\n b\\\r\n c\n; comment \\\n# another\ncomment = last\\"),
        (
            "domain",
            "security = ads\nrealm = corp.example\nworkgroup = CORP\nidmap config * : backend = autorid\nidmap config * : range = 100000-999999\nidmap config CORP : backend = rid\nidmap config CORP:range = 10000-20000\nkerberos method = dedicated keytab\ndedicated keytab file = /k\n",
        ),
        (
            "network",
            "interfaces = lo eth* 192.0.2.0/24\nbind interfaces only = yes\nsmb ports = 445 139 4450\nserver min protocol = SMB3\nhosts allow = 127.\n",
        ),
        (
            "modules",
            "[s]\npath=/p\nvfs objects = fruit streams_depot recycle unheard\nfruit:metadata = stream\nrecycle : repository = x\n",
        ),
        ("wrong", "[s\nread only = maybe\n"),
    ];
    for (name, text) in configs {
        all.add("smbconf", name, text);
    }
    all.add("smbconf", "latin", b"unix charset = ISO8859-15\n[caf\xe9]\npath = /\xa4\n".as_slice());
    let users = [
        ("ann", record("ann", 1000, &[7; 16], 0x10, 0x5000_0000)),
        ("bob", record("Bob", 1002, &[], 0x211, 0)),
        ("pc$", record("pc$", 1004, &[1; 16], 0x80, 1)),
    ];
    all.add("passdb", "tdb", passdb(&users));
    all.add("passdb", "cut", passdb(&[("ann", users[0].1[..90].to_vec())]));
    let sid: Vec<u8> = [1, 4, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0].into();
    all.add("passdb", "secrets", tdb(&[(b"SECRETS/SID/OLDBOX", &sid)]));
    let none = "X".repeat(32);
    all.add("passdb", "smbpasswd", format!("ann:1001:{none}:{none}:[NU         ]:LCT-00000000:\n"));
}
