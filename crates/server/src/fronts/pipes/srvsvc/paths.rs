//! NetprPathType, NetprPathCanonicalize, NetprPathCompare (MS-SRVS 3.1.4.29 to 3.1.4.31): the kind of a path according
//! to its syntax. No file is accessed.

use rpc::Win32Error;
use rpc::srvsvc::{
    PathCanonicalizeRequest, PathCanonicalizeResponse, PathCompareRequest, PathCompareResponse,
    PathTypeRequest, PathTypeResponse,
};
use wire::FoldedName;

use super::names::DIFFERENT;
use crate::admin::{Caller, Error, Right, check};

pub(super) fn path_type(caller: &Caller, request: &PathTypeRequest) -> Result<PathTypeResponse, Error> {
    check(caller, Right::SeeServer)?;
    let path_type = Path::parse(&request.path_name, request.flags)?.path_type();
    Ok(PathTypeResponse { path_type, status: Win32Error::SUCCESS })
}

pub(super) fn canonicalize(
    caller: &Caller,
    request: &PathCanonicalizeRequest,
) -> Result<PathCanonicalizeResponse, Error> {
    check(caller, Right::SeeServer)?;
    let path = prefixed(&request.prefix, &request.path_name, request.flags)?;
    let path = Path::parse(&path, request.flags)?;
    if request.path_type != 0 && request.path_type != path.path_type() && request.prefix.is_empty() {
        return Err(Error::InvalidName);
    }
    let mut outbuf: Vec<u8> =
        path.canonical()?.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let room = usize::try_from(request.outbuf_len).unwrap_or(usize::MAX).min(OUTBUF_MAX);
    if outbuf.len() > room {
        return Err(Error::NoRoom);
    }
    outbuf.resize(room, 0);
    Ok(PathCanonicalizeResponse { outbuf, path_type: path.path_type(), status: Win32Error::SUCCESS })
}

/// Compares two paths. Flag 1 means that they are canonical already.
pub(super) fn compare(caller: &Caller, request: &PathCompareRequest) -> Result<PathCompareResponse, Error> {
    check(caller, Right::SeeServer)?;
    if request.flags & !1 != 0 {
        return Err(Error::InvalidParameter);
    }
    let canonical = |path: &str| Ok::<_, Error>(FoldedName::new(&Path::parse(path, 0)?.canonical()?));
    let same = canonical(&request.path_name_1)? == canonical(&request.path_name_2)?;
    Ok(PathCompareResponse { status: if same { Win32Error::SUCCESS } else { DIFFERENT } })
}

/// A path as a list of components.
#[derive(Debug, PartialEq, Eq)]
struct Path<'a> {
    root: Root,
    components: Vec<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    /// A device like `CON` or `LPT1:`, or `X:`.
    Device(String, u32),
    /// `\\computer`; the computer's name is the first component.
    Unc,
    /// `X:` before the components, with true if a backslash follows it.
    Drive(char, bool),
    /// No drive, with true if the path begins with a backslash.
    None(bool),
}

impl<'a> Path<'a> {
    /// Parses a path. Flag 1 allows only names of 8.3 characters.
    fn parse(path: &'a str, flags: u32) -> Result<Self, Error> {
        if flags & !1 != 0 {
            return Err(Error::InvalidParameter);
        }
        let is_separator = |c: char| c == '\\' || c == '/';
        if path.is_empty() || path.encode_utf16().count() > PATH_MAX {
            return Err(Error::InvalidName);
        }
        if let Some(device) = device(path) {
            return Ok(Self { root: Root::Device(path.to_owned(), device), components: Vec::new() });
        }
        let (root, rest) = match path.as_bytes() {
            [b'\\' | b'/', b'\\' | b'/', ..] => (Root::Unc, path.get(2..)),
            [drive, b':', rest @ ..] if drive.is_ascii_alphabetic() => {
                let absolute = matches!(rest, [b'\\' | b'/', ..]);
                (Root::Drive(char::from(*drive), absolute), path.get(2..))
            }
            [first, ..] => (Root::None(is_separator(char::from(*first))), Some(path)),
            [] => return Err(Error::InvalidName),
        };
        let components: Vec<&str> =
            rest.unwrap_or_default().split(is_separator).filter(|it| !it.is_empty()).collect();
        let before_last = components.split_last().map_or(&[] as &[_], |(_, before)| before);
        let short = flags & 1 != 0 && root != Root::Unc;
        let wrong = components.iter().any(|it| !is_component(it, short))
            || before_last.iter().any(|it| has_wildcard(it))
            || (root == Root::Unc && components.is_empty());
        if wrong { Err(Error::InvalidName) } else { Ok(Self { root, components }) }
    }

    /// `ITYPE_*` (MS-SRVS 2.2.2.9).
    fn path_type(&self) -> u32 {
        let wildcard = u32::from(self.components.last().is_some_and(|it| has_wildcard(it)));
        let special = self.components.get(1).map(|it| it.to_ascii_uppercase());
        match &self.root {
            Root::Device(_, kind) => *kind,
            Root::Unc if self.components.len() == 1 => itype::UNC_COMPNAME | wildcard,
            Root::Unc if special.as_deref() == Some("PIPE") => itype::UNC_SYS_PIPE,
            Root::Unc if special.as_deref() == Some("MAILSLOT") => itype::UNC_SYS_MSLOT,
            Root::Unc => itype::UNC | wildcard,
            Root::Drive(_, true) => itype::PATH_ABSD | wildcard,
            Root::Drive(_, false) => itype::PATH_RELD | wildcard,
            Root::None(true) => itype::PATH_ABSND | wildcard,
            Root::None(false) => itype::PATH_RELND | wildcard,
        }
    }

    /// The path without `.`, `..` and repeated separators.
    fn canonical(&self) -> Result<String, Error> {
        let mut kept: Vec<&str> = Vec::new();
        for component in &self.components {
            match *component {
                "." => {}
                ".." => _ = kept.pop().ok_or(Error::InvalidName)?,
                other => kept.push(other),
            }
        }
        let joined = kept.join("\\");
        Ok(match &self.root {
            Root::Device(name, _) => name.clone(),
            Root::Unc => format!(r"\\{joined}"),
            Root::Drive(drive, true) => format!(r"{drive}:\{joined}"),
            Root::Drive(drive, false) => format!("{drive}:{joined}"),
            Root::None(true) => format!(r"\{joined}"),
            Root::None(false) => joined,
        })
    }
}

/// The path with its prefix. A path that begins with a drive or computer cannot have a prefix.
fn prefixed(prefix: &str, path: &str, flags: u32) -> Result<String, Error> {
    if prefix.is_empty() {
        return Ok(path.to_owned());
    }
    match Path::parse(path, flags)?.root {
        Root::None(_) => Ok(format!(r"{}\{path}", prefix.trim_end_matches(['\\', '/']))),
        _ => Err(Error::InvalidName),
    }
}

fn device(path: &str) -> Option<u32> {
    let upper = path.to_ascii_uppercase();
    let name = upper.strip_suffix(':').unwrap_or(&upper);
    match name.as_bytes() {
        [b'A'..=b'Z'] if upper.ends_with(':') => Some(itype::DEVICE_DISK),
        [b'L', b'P', b'T', b'1'..=b'9'] | b"PRN" => Some(itype::DEVICE_LPT),
        [b'C', b'O', b'M', b'1'..=b'9'] | b"AUX" => Some(itype::DEVICE_COM),
        b"CON" => Some(itype::DEVICE_CON),
        b"NUL" => Some(itype::DEVICE_NUL),
        _ => None,
    }
}

fn is_component(name: &str, short: bool) -> bool {
    let bad = |c: char| c.is_control() || "\"<>|:".contains(c);
    if name.contains(bad) || name.encode_utf16().count() > COMPONENT_MAX {
        return false;
    }
    if !short || name == "." || name == ".." {
        return true;
    }
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = |part: &str, longest| part.chars().count() <= longest && !part.contains(['.', ' ']);
    !base.is_empty() && fits(base, 8) && fits(extension, 3)
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// `ITYPE_*` (MS-SRVS 2.2.2.9).
mod itype {
    pub(super) const UNC_COMPNAME: u32 = 4144;
    pub(super) const UNC: u32 = 4096;
    pub(super) const UNC_SYS_MSLOT: u32 = 6144;
    pub(super) const UNC_SYS_PIPE: u32 = 6912;
    pub(super) const PATH_RELND: u32 = 8192;
    pub(super) const PATH_ABSND: u32 = 8194;
    pub(super) const PATH_RELD: u32 = 8196;
    pub(super) const PATH_ABSD: u32 = 8198;
    pub(super) const DEVICE_DISK: u32 = 16384;
    pub(super) const DEVICE_LPT: u32 = 16400;
    pub(super) const DEVICE_COM: u32 = 16416;
    pub(super) const DEVICE_CON: u32 = 16448;
    pub(super) const DEVICE_NUL: u32 = 16464;
}

/// The length of the longest path, and of one name in it, in UTF-16 units (MAX_PATH of Windows).
const PATH_MAX: usize = 260;
const COMPONENT_MAX: usize = 255;

/// The maximal size of an answer in octets: the longest path with its prefix.
const OUTBUF_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_types_are_recognized() {
        let kind = |path: &str| Path::parse(path, 0).map(|path| path.path_type());
        for (path, expected) in [
            (r"\pagefile.sys", 8194),
            (r"C:\dir\*.txt", 8199),
            ("C:file", 8196),
            (r"dir\file?", 8193),
            (r"\\server", 4144),
            (r"\\server\share\x", 4096),
            (r"\\server\pipe\srvsvc", 6912),
            ("C:", 16384),
            ("lpt1:", 16400),
            ("NUL", 16464),
        ] {
            assert_eq!(kind(path), Ok(expected), "{path}");
        }
        for bad in ["", r"\\", "a|b", r"a*\b", "C:a:b", &"x".repeat(261)] {
            assert_eq!(kind(bad), Err(Error::InvalidName), "{bad}");
        }
        assert_eq!(Path::parse("a", 2), Err(Error::InvalidParameter));
        assert!(Path::parse("longer than 8.3", 1).is_err() && Path::parse(r"C:\FITS.TXT", 1).is_ok());
    }

    #[test]
    fn paths_are_canonicalized() {
        let canonical = |path: &str| Path::parse(path, 0).and_then(|path| path.canonical());
        for (path, expected) in [
            (r"C:/a//b/./c\..\d\", r"C:\a\b\d"),
            (r"C:\", r"C:\"),
            (r"\a\..", r"\"),
            (r"\\server\share\.\x", r"\\server\share\x"),
            ("a/b", r"a\b"),
        ] {
            assert_eq!(canonical(path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(canonical(r"C:\..\x"), Err(Error::InvalidName));
        assert_eq!(prefixed("c:", r"\pagefile.sys", 0).as_deref(), Ok(r"c:\\pagefile.sys"));
        assert_eq!(prefixed("c:", r"d:\x", 0), Err(Error::InvalidName));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            /// The canonical form of a canonical path is the path itself.
            #[test]
            fn canonicalization_is_idempotent(path in r"([A-Za-z]:)?[a-c.*\\/]{0,40}") {
                if let Ok(parsed) = Path::parse(&path, 0)
                    && let Ok(canonical) = parsed.canonical()
                    && let Ok(again) = Path::parse(&canonical, 0)
                {
                    prop_assert_eq!(again.canonical(), Ok(canonical));
                }
            }
        }
    }
}
