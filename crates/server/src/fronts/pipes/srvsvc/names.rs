//! NetprNameValidate, NetprNameCanonicalize, NetprNameCompare (MS-SRVS 3.1.4.32 to 3.1.4.34).

use rpc::Win32Error;
use rpc::srvsvc::{
    NameCanonicalizeRequest, NameCanonicalizeResponse, NameCompareRequest, NameCompareResponse,
    NameValidateRequest, NameValidateResponse,
};

use crate::admin::{Caller, Error, Right, check};

pub(super) fn validate(
    caller: &Caller,
    request: &NameValidateRequest,
) -> Result<NameValidateResponse, Error> {
    check(caller, Right::SeeServer)?;
    is_name(&request.name, request.name_type, request.flags)?;
    Ok(NameValidateResponse { status: Win32Error::SUCCESS })
}

pub(super) fn canonicalize(
    caller: &Caller,
    request: &NameCanonicalizeRequest,
) -> Result<NameCanonicalizeResponse, Error> {
    check(caller, Right::SeeServer)?;
    is_name(&request.name, request.name_type, request.flags)?;
    let room = usize::try_from(request.outbuf_len).unwrap_or(usize::MAX).min(NAME_MAX + 1);
    let mut outbuf: Vec<u16> = wire::names::upper(&request.name).encode_utf16().chain([0]).collect();
    if outbuf.len() > room {
        return Err(Error::NoRoom);
    }
    outbuf.resize(room, 0);
    Ok(NameCanonicalizeResponse { outbuf, status: Win32Error::SUCCESS })
}

pub(super) fn compare(caller: &Caller, request: &NameCompareRequest) -> Result<NameCompareResponse, Error> {
    check(caller, Right::SeeServer)?;
    is_name(&request.name_1, request.name_type, request.flags)?;
    is_name(&request.name_2, request.name_type, request.flags)?;
    let equal = wire::eq_ignore_case(&request.name_1, &request.name_2);
    Ok(NameCompareResponse { status: if equal { Win32Error::SUCCESS } else { DIFFERENT } })
}

/// Checks that a name is valid for its kind (`NAMETYPE_*`, MS-SRVS 2.2.4.97).
fn is_name(name: &str, name_type: u32, flags: u32) -> Result<(), Error> {
    if flags & !LM2X_COMPATIBLE != 0 {
        return Err(Error::InvalidParameter);
    }
    let longest = match name_type {
        NAMETYPE_COMPUTER | NAMETYPE_DOMAIN | NAMETYPE_WORKGROUP => 15,
        NAMETYPE_SHARE | NAMETYPE_SERVICE => 80,
        NAMETYPE_USER..=NAMETYPE_WORKGROUP => NAME_MAX,
        _ => return Err(Error::InvalidParameter),
    };
    let length = name.encode_utf16().count();
    let bad = |c: char| c.is_control() || FORBIDDEN.contains(c);
    if length == 0 || length > longest || name.contains(bad) { Err(Error::InvalidName) } else { Ok(()) }
}

/// The result of the comparison of different names.
pub(super) const DIFFERENT: Win32Error = Win32Error(1);

/// The length of the longest name of any kind, in UTF-16 units.
const NAME_MAX: usize = 256;

/// The characters that no name contains.
const FORBIDDEN: &str = "\"/\\[]:|<>+=;,?*";

/// The only flag: names as in LAN Manager.
const LM2X_COMPATIBLE: u32 = 0x8000_0000;

const NAMETYPE_USER: u32 = 1;
const NAMETYPE_COMPUTER: u32 = 4;
const NAMETYPE_DOMAIN: u32 = 6;
const NAMETYPE_SERVICE: u32 = 7;
const NAMETYPE_SHARE: u32 = 9;
const NAMETYPE_WORKGROUP: u32 = 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_kind() {
        assert_eq!(is_name("data", NAMETYPE_SHARE, 0), Ok(()));
        assert_eq!(is_name(&"a".repeat(81), NAMETYPE_SHARE, 0), Err(Error::InvalidName));
        assert_eq!(is_name(&"a".repeat(81), NAMETYPE_USER, LM2X_COMPATIBLE), Ok(()));
        assert_eq!(is_name("SIXTEEN-LETTERS-", NAMETYPE_COMPUTER, 0), Err(Error::InvalidName));
        for bad in ["", "a/b", "a\\b", "a:b", "a\u{7}"] {
            assert_eq!(is_name(bad, NAMETYPE_SHARE, 0), Err(Error::InvalidName), "{bad:?}");
        }
        assert_eq!(is_name("data", 0, 0), Err(Error::InvalidParameter));
        assert_eq!(is_name("data", NAMETYPE_SHARE, 1), Err(Error::InvalidParameter));
    }
}
