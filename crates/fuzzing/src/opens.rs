//! The log of opens that outlive the server.

use handlelog::{Change, Header, Table, append_frame, decode};

/// A log, and the payload of one of its frames. What is read is read again after it was written.
pub fn opens(data: &[u8]) {
    if let Ok((header, table, length)) = decode(data) {
        assert!(length <= data.len());
        let cut = decode(&data[..length]).expect("the valid part is a log");
        assert_eq!(cut, (header, table.clone(), length));
        same(header, &table);
    }
    if let Some(table) = Table::of_payload(data) {
        same(Header::default(), &table);
    }
}

fn same(header: Header, table: &Table) {
    let changes: Vec<Change> = table.entries().map(Change::Put).collect();
    assert_eq!(changes.len(), table.len(), "an entry cannot be read again");
    let mut bytes = header.encode();
    let offset = bytes.len() as u64;
    append_frame(&mut bytes, offset, &changes);
    assert_eq!(decode(&bytes).expect("what was written"), (header, table.clone(), bytes.len()));
    // A log without its last byte has nothing of the last frame, and is no error.
    if !changes.is_empty() {
        assert!(decode(&bytes[..bytes.len() - 1]).is_ok());
    }
}
