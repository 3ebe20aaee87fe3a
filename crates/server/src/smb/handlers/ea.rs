//! Extended attributes of CREATE, QUERY_INFO and SET_INFO: MS-SMB2 3.3.5.9, 3.3.5.20.1, 3.3.5.21.1; MS-FSCC 2.4.16.

use std::cell::Cell;

use vfs::{Handle, Xattr};
use wire::NtStatus;
use wire::fscc::Fit;
use wire::fscc::ea::{EaEntry, decode_ea_names, decode_eas, encode_eas};
use wire::msg::{QueryInfoFlags, QueryInfoRequest};

use crate::core::status::{OrStatus, of_vfs};

/// An attribute to set; an empty value removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EaChange {
    name: String,
    value: Vec<u8>,
}

/// Decodes a complete list, so that an invalid one changes nothing.
pub(crate) fn decode(data: &[u8]) -> Result<Vec<EaChange>, NtStatus> {
    let mut changes = Vec::new();
    for entry in decode_eas(data) {
        let entry = entry.map_err(|_| NtStatus::EA_LIST_INCONSISTENT)?;
        if !matches!(entry.flags, 0 | NEED_EA) {
            return Err(NtStatus::INVALID_EA_FLAG);
        }
        let name = std::str::from_utf8(entry.name).map_err(|_| NtStatus::INVALID_EA_NAME)?;
        if name.contains(|c: char| c < ' ' || "\"*+,/:;<=>?[\\]|".contains(c)) {
            return Err(NtStatus::INVALID_EA_NAME);
        }
        changes.push(EaChange { name: name.to_owned(), value: entry.value.to_vec() });
    }
    Ok(changes)
}

/// Applies the changes.
pub(crate) fn set(handle: &dyn Handle, changes: &[EaChange]) -> Result<(), NtStatus> {
    for EaChange { name, value } in changes {
        let changed =
            if value.is_empty() { handle.remove_xattr(name) } else { handle.set_xattr(name, value) };
        changed.map_err(|error| match error {
            vfs::Error::NotSupported => NtStatus::EAS_NOT_SUPPORTED,
            vfs::Error::InvalidName => NtStatus::INVALID_EA_NAME,
            error => of_vfs(&error),
        })?;
    }
    Ok(())
}

/// Answers a query (MS-SMB2 2.2.37, MS-FSA 2.1.5.12.12) with the attributes that it names (with an empty
/// value if they do not exist), or with those from an index on, or from `next` on, where the open's last
/// query ended.
pub(crate) fn query(
    xattrs: &[Xattr],
    query: &QueryInfoRequest<'_>,
    next: &mut usize,
    out: &mut Vec<u8>,
) -> Result<Fit, NtStatus> {
    let max = query.output_buffer_length as usize;
    let is_single = query.flags.contains(QueryInfoFlags::RETURN_SINGLE_ENTRY);
    let most = if is_single { 1 } else { usize::MAX };
    if !query.input_buffer.is_empty() {
        let names: Result<Vec<&[u8]>, _> = decode_ea_names(query.input_buffer).take(most).collect();
        let names = names.map_err(|_| NtStatus::EA_LIST_INCONSISTENT)?;
        let entries = names.iter().map(|name| {
            let found = xattrs.iter().find(|it| it.name.as_bytes().eq_ignore_ascii_case(name));
            EaEntry { flags: 0, name, value: found.map_or(&[], |it| &it.value) }
        });
        return Ok(encode_eas(entries, out, max));
    }
    // Other attributes cannot be represented.
    let has_form = |it: &&Xattr| u8::try_from(it.name.len()).is_ok() && u16::try_from(it.value.len()).is_ok();
    let xattrs: Vec<&Xattr> = xattrs.iter().filter(has_form).collect();
    if xattrs.is_empty() {
        return Err(NtStatus::NO_EAS_ON_FILE);
    }
    let first = if query.flags.contains(QueryInfoFlags::INDEX_SPECIFIED) {
        // Indices start at one.
        let index =
            query.additional_information.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index.filter(|index| *index <= xattrs.len()).ok_or(NtStatus::NONEXISTENT_EA_ENTRY)?
    } else if query.flags.contains(QueryInfoFlags::RESTART_SCAN) {
        0
    } else {
        *next
    };
    let rest = xattrs.get(first..).filter(|rest| !rest.is_empty()).ok_or(NtStatus::NO_MORE_EAS)?;
    let begun = Cell::new(0_usize);
    let entries = rest.iter().take(most).inspect(|_| begun.set(begun.get().saturating_add(1)));
    let fit = encode_eas(
        entries.map(|it| EaEntry { flags: 0, name: it.name.as_bytes(), value: &it.value }),
        out,
        max,
    );
    let told = match fit {
        Fit::Whole => begun.get(),
        Fit::Truncated => begun.get().saturating_sub(1),
        Fit::TooSmall => return Ok(fit),
    };
    if told == 0 {
        return Err(NtStatus::BUFFER_TOO_SMALL);
    }
    *next = first.saturating_add(told);
    Ok(fit)
}

/// Removes all attributes of an overwritten file, before those of the CREATE are set (MS-FSA 2.1.5.1.2.1).
pub(crate) fn clear(handle: &dyn Handle) -> Result<(), NtStatus> {
    let xattrs = match handle.xattrs() {
        Err(vfs::Error::NotSupported) => return Ok(()),
        xattrs => xattrs.or_status()?,
    };
    for xattr in xattrs {
        handle.remove_xattr(&xattr.name).or_status()?;
    }
    Ok(())
}

/// FILE_NEED_EA (MS-FSCC 2.4.15).
const NEED_EA: u8 = 0x80;

#[cfg(test)]
mod tests {
    use wire::msg::AdditionalInformation;

    use super::*;

    fn xattr(name: &str, value: &[u8]) -> Xattr {
        Xattr { name: name.into(), value: value.into() }
    }

    #[test]
    fn an_ea_scan_continues_where_it_ended() {
        let xattrs = [xattr("A", b"1"), xattr("B", &[7; 100]), xattr("C", b"3"), xattr("D", &[0; 70_000])];
        let mut next = 0;
        let mut ask = |flags: &[QueryInfoFlags], index, output_buffer_length| {
            let flags = flags.iter().fold(QueryInfoFlags::NONE, |all, flag| all | *flag);
            let additional_information = AdditionalInformation(index);
            let query = QueryInfoRequest {
                flags,
                additional_information,
                output_buffer_length,
                ..QueryInfoRequest::default()
            };
            let mut out = Vec::new();
            let fit = super::query(&xattrs, &query, &mut next, &mut out)?;
            let names = decode_eas(&out).map(|ea| String::from_utf8_lossy(ea.unwrap().name).into_owned());
            Ok((fit, names.collect::<String>()))
        };
        let (restart, single, index) = (
            QueryInfoFlags::RESTART_SCAN,
            QueryInfoFlags::RETURN_SINGLE_ENTRY,
            QueryInfoFlags::INDEX_SPECIFIED,
        );
        let whole = |names: &str| Ok((Fit::Whole, String::from(names)));
        for names in ["A", "B", "C"] {
            assert_eq!(ask(&[single], 0, 1000), whole(names));
        }
        assert_eq!(ask(&[single], 0, 1000), Err(NtStatus::NO_MORE_EAS));
        assert_eq!(ask(&[restart, single], 0, 1000), whole("A"));
        // As many as fit, and the rest in the next query.
        assert_eq!(ask(&[restart], 0, 50), Ok((Fit::Truncated, String::from("A"))));
        assert_eq!(ask(&[], 0, 50), Err(NtStatus::BUFFER_TOO_SMALL));
        assert_eq!(ask(&[], 0, 1000), whole("BC"));
        assert_eq!(ask(&[], 0, 1000), Err(NtStatus::NO_MORE_EAS));
        assert_eq!(ask(&[index], 2, 1000), whole("BC"));
        assert_eq!(ask(&[index, single], 1, 1000), whole("A"));
        assert_eq!(ask(&[single], 0, 1000), whole("B"));
        assert_eq!(ask(&[index], 4, 1000), Err(NtStatus::NO_MORE_EAS));
        assert_eq!(ask(&[index], 5, 1000), Err(NtStatus::NONEXISTENT_EA_ENTRY));
        assert_eq!(ask(&[index], 0, 1000), Err(NtStatus::NONEXISTENT_EA_ENTRY));
        assert_eq!(ask(&[restart], 0, 1000), whole("ABC"));
    }
}
