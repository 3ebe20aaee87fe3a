//! The encoding of the configuration (`unix charset`).

/// An encoding of names and comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, Samba's default, and ASCII.
    Utf8,
    /// ISO 8859-1.
    Latin1,
    /// ISO 8859-15.
    Latin9,
    /// Windows' code page 1252.
    Windows1252,
    /// An encoding that the import cannot read, with its name.
    Other(String),
}

impl Charset {
    /// The encoding with this name, as iconv knows it.
    pub fn of(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        let short: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        match short.as_str() {
            "UTF8" | "ASCII" | "USASCII" | "646" => Self::Utf8,
            "ISO88591" | "88591" | "LATIN1" | "L1" => Self::Latin1,
            "ISO885915" | "885915" | "LATIN9" => Self::Latin9,
            "CP1252" | "WINDOWS1252" | "1252" => Self::Windows1252,
            _ => Self::Other(name.into_owned()),
        }
    }

    /// The text; what cannot be converted is U+FFFD.
    pub fn text(&self, bytes: &[u8]) -> String {
        let of = |table: &dyn Fn(u8) -> char| bytes.iter().map(|byte| table(*byte)).collect();
        match self {
            Self::Utf8 | Self::Other(_) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Latin1 => of(&char::from),
            Self::Latin9 => of(&latin9),
            Self::Windows1252 => of(&windows_1252),
        }
    }
}

/// The eight characters in which ISO 8859-15 differs from ISO 8859-1.
fn latin9(byte: u8) -> char {
    match byte {
        0xA4 => '€',
        0xA6 => 'Š',
        0xA8 => 'š',
        0xB4 => 'Ž',
        0xB8 => 'ž',
        0xBC => 'Œ',
        0xBD => 'œ',
        0xBE => 'Ÿ',
        other => char::from(other),
    }
}

fn windows_1252(byte: u8) -> char {
    /// 0x80 to 0x9F.
    const OTHERS: [char; 32] = [
        '€', '\u{FFFD}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{FFFD}', 'Ž', '\u{FFFD}',
        '\u{FFFD}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{FFFD}', 'ž', 'Ÿ',
    ];
    let other = byte.checked_sub(0x80).and_then(|index| OTHERS.get(usize::from(index)));
    other.copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_encodings_are_those_of_iconv() {
        assert_eq!(Charset::of(b"UTF-8"), Charset::Utf8);
        assert_eq!(Charset::of(b"iso8859-15").text(b"\xa4 \xe4"), "€ ä");
        assert_eq!(Charset::of(b"ISO-8859-1").text(b"\xa4 \xe4"), "¤ ä");
        assert_eq!(Charset::of(b"CP1252").text(b"\x80\x9f\xe4"), "€Ÿä");
        assert_eq!(Charset::of(b"EUC-JP"), Charset::Other(String::from("EUC-JP")));
        assert_eq!(Charset::Utf8.text(b"caf\xe9"), "caf\u{FFFD}");
    }
}
