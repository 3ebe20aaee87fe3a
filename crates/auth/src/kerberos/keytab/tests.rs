use super::*;

/// An entry of version 0x502 without its length.
fn entry(components: &[&str], version: u8, enctype: u16, key: &[u8], long_version: Option<u32>) -> Vec<u8> {
    let text = |text: &[u8]| [&(text.len() as u16).to_be_bytes(), text].concat();
    let mut out = (components.len() as u16).to_be_bytes().to_vec();
    out.extend(text(b"CORP.TEST"));
    components.iter().for_each(|it| out.extend(text(it.as_bytes())));
    out.extend(1_u32.to_be_bytes());
    out.extend(1_700_000_000_u32.to_be_bytes());
    out.push(version);
    out.extend(enctype.to_be_bytes());
    out.extend(text(key));
    out.extend(long_version.into_iter().flat_map(u32::to_be_bytes));
    out
}

fn file(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![5, 2];
    for entry in entries {
        out.extend((entry.len() as i32).to_be_bytes());
        out.extend(entry);
    }
    out
}

#[test]
fn entries_holes_and_the_end_are_read() {
    let mut bytes = file(&[entry(&["host", "files.corp.test"], 7, 18, &[1; 32], None)]);
    // A hole where an entry was, and another entry behind it.
    bytes.extend((-5_i32).to_be_bytes());
    bytes.extend([9; 5]);
    bytes.extend(&file(&[entry(&["FILES$"], 7, 17, &[2; 16], Some(263))])[2..]);
    // The rest of the file is not in use.
    bytes.extend(0_i32.to_be_bytes());
    bytes.extend([0xff; 7]);
    let keytab = Keytab::parse(&bytes).unwrap();
    let [host, machine] = keytab.entries() else { panic!("{keytab:?}") };
    assert_eq!((host.principal().as_str(), host.version), ("host/files.corp.test@CORP.TEST", 7));
    assert_eq!((machine.principal().as_str(), machine.version), ("FILES$@CORP.TEST", 263));
    assert_eq!((machine.enctype, machine.time), (17, 1_700_000_000));
    assert_eq!(machine.key.as_ref().unwrap().as_bytes(), [2; 16]);
}

#[test]
fn version_of_8_bits_stands_for_larger_ones() {
    let of = |long| Keytab::parse(&file(&[entry(&["FILES$"], 7, 18, &[1; 32], long)])).unwrap();
    let found = |keytab: &Keytab, version| {
        keytab.keys(ServiceKind::Files, "CORP.TEST", Some(version), Enctype::Aes256Sha1).len()
    };
    let (short, long) = (of(None), of(Some(7)));
    assert_eq!((found(&short, 7), found(&short, 263), found(&short, 8)), (1, 1, 0));
    assert_eq!((found(&long, 7), found(&long, 263), found(&long, 8)), (1, 0, 0));
    assert_eq!(long.keys(ServiceKind::Files, "CORP.TEST", None, Enctype::Aes256Sha1).len(), 1);
    assert_eq!(
        long.keys(ServiceKind::Files, "corp.test", Some(7), Enctype::Aes256Sha1).len(),
        0,
        "realms have one spelling"
    );
    assert_eq!(long.keys(ServiceKind::Files, "CORP.TEST", Some(7), Enctype::Aes128Sha1).len(), 0);
}

#[test]
fn first_version_has_the_machines_byte_order_and_counts_the_realm() {
    let text = |text: &[u8]| [&(text.len() as u16).to_ne_bytes(), text].concat();
    let mut entry = 3_u16.to_ne_bytes().to_vec();
    entry.extend([text(b"CORP.TEST"), text(b"host"), text(b"files.corp.test")].concat());
    entry.extend(5_u32.to_ne_bytes());
    entry.push(2);
    entry.extend(23_u16.to_ne_bytes());
    entry.extend(text(&[3; 16]));
    let mut bytes = vec![5, 1];
    bytes.extend((entry.len() as i32).to_ne_bytes());
    bytes.extend(entry);
    let keytab = Keytab::parse(&bytes).unwrap();
    let [host] = keytab.entries() else { panic!("{keytab:?}") };
    assert_eq!((host.principal().as_str(), host.version), ("host/files.corp.test@CORP.TEST", 2));
    assert_eq!(host.key.as_ref().map(Key::enctype), Some(Enctype::Rc4));
}

#[test]
fn other_keys_stay_in_the_list_but_are_not_used() {
    let single_des = entry(&["FILES$"], 1, 3, &[1; 8], None);
    let of_another = entry(&["HTTP", "files.corp.test"], 1, 18, &[1; 32], None);
    let keytab = Keytab::parse(&file(&[single_des, of_another])).unwrap();
    assert_eq!(keytab.entries().len(), 2);
    assert_eq!(keytab.entries()[0].key, None);
    assert_eq!(
        keytab.keys(ServiceKind::Files, "CORP.TEST", Some(1), Enctype::Aes256Sha1).len(),
        0,
        "HTTP has its own key"
    );
    assert_eq!(keytab.keys(ServiceKind::Web, "CORP.TEST", Some(1), Enctype::Aes256Sha1).len(), 1);
    let names = |service: &[&str]| {
        keytab.serves(
            ServiceKind::Files,
            "CORP.TEST",
            &service.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(),
        )
    };
    assert!(names(&["cifs", "files"]) && names(&["cifs", "FILES.corp.test"]));
    assert!(!names(&["cifs", "files.other.test"]) && !names(&["cifs", "file"]) && !names(&["HTTP", "files"]));
}

#[test]
fn malformed_files_are_refused() {
    assert_eq!(Keytab::parse(b"").err(), Some(KeytabError::NotAKeytab));
    assert_eq!(Keytab::parse(&[5, 3]).err(), Some(KeytabError::NotAKeytab));
    assert_eq!(Keytab::parse(&[5, 2]).unwrap().entries().len(), 0);
    let short_key = entry(&["FILES$"], 1, 18, &[1; 16], None);
    assert_eq!(Keytab::parse(&file(&[short_key])).err(), Some(KeytabError::Malformed(2)));
    let whole = file(&[entry(&["FILES$"], 1, 18, &[1; 32], None)]);
    assert_eq!(Keytab::parse(&whole[..whole.len() - 1]).err(), Some(KeytabError::Malformed(2)));
    let many = file(&vec![entry(&[], 1, 3, &[], None); MAX_ENTRIES + 1]);
    assert_eq!(Keytab::parse(&many).err(), Some(KeytabError::TooMany));
    assert_eq!(Keytab::parse(&vec![5; MAX_KEYTAB + 1]).err(), Some(KeytabError::TooLarge));
}
