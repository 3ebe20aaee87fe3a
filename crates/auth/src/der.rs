//! The little of DER that SPNEGO needs: definite lengths, one-byte tags.

/// The bytes are not DER of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDer;

/// Reads elements one after the other from a bounded buffer.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The bytes that were not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next element's tag, its contents, and the whole of it.
    pub(crate) fn element(&mut self) -> Result<Element<'a>, NotDer> {
        let whole = self.rest;
        let (&tag, rest) = whole.split_first().ok_or(NotDer)?;
        let (&first, rest) = rest.split_first().ok_or(NotDer)?;
        let (len, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return Err(NotDer);
            }
            let (digits, rest) = rest.split_at_checked(count).ok_or(NotDer)?;
            let len = digits.iter().fold(0_u64, |len, digit| (len << 8) | u64::from(*digit));
            (usize::try_from(len).map_err(|_| NotDer)?, rest)
        };
        let (contents, rest) = rest.split_at_checked(len).ok_or(NotDer)?;
        let whole = whole.get(..whole.len().saturating_sub(rest.len())).ok_or(NotDer)?;
        self.rest = rest;
        Ok(Element { tag, contents, whole })
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], NotDer> {
        let element = self.element()?;
        if element.tag == tag { Ok(element.contents) } else { Err(NotDer) }
    }
}

/// One element.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// An element with `tag` over the concatenation of `parts`.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(len.saturating_add(6));
    out.push(tag);
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(byte) => out.extend([0x81, byte]),
        Err(_) => {
            let digits = (len as u64).to_be_bytes();
            let significant = digits.iter().skip_while(|digit| **digit == 0);
            out.push(0x80 | significant.clone().count() as u8);
            out.extend(significant);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const GENERAL_STRING: u8 = 0x1b;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const APPLICATION_0: u8 = 0x60;

/// The tag of the constructed, context-specific element `number`.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_use_the_shortest_form() {
        assert_eq!(element(4, &[&[0; 0x7f]])[..2], [4, 0x7f]);
        assert_eq!(element(4, &[&[0; 0x80]])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(4, &[&[0; 0x100]])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn indefinite_and_overlong_lengths_are_refused() {
        for bad in [&[4, 0x80, 0, 0][..], &[4, 0x85, 0, 0, 0, 0, 0], &[4, 2, 0], &[4], &[]] {
            assert!(Reader::new(bad).element().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn written_elements_are_read_back(tag: u8, data in proptest::collection::vec(any::<u8>(), 0..1000)) {
            let (left, right) = data.split_at(data.len() / 2);
            let bytes = element(tag, &[left, right]);
            let mut reader = Reader::new(&bytes);
            let read = reader.element().unwrap();
            prop_assert_eq!((read.tag, read.contents, read.whole), (tag, &data[..], &bytes[..]));
            prop_assert!(reader.is_empty());
        }
    }
}
