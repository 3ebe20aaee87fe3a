//! The bytes of a case, taken piece by piece; after the end they are zeros.

/// The rest of a case.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A piece with its length in the two preceding bytes; a shorter one at the end.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.u16()).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }

    /// A piece of at most 63 bytes, its length in one byte before it, or of 1 KiB.
    pub(crate) fn short_piece(&mut self) -> &'a [u8] {
        let length = match self.byte() {
            0xff => 1024,
            length => usize::from(length & 0x3f),
        };
        let length = length.min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }

    /// The pieces up to the end.
    pub(crate) fn pieces(mut self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::from_fn(move || (!self.is_empty()).then(|| self.piece()))
    }
}

/// The inverse of [`Input::pieces`].
pub(crate) fn join<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for piece in pieces {
        joined.extend(u16::try_from(piece.len()).unwrap_or(u16::MAX).to_le_bytes());
        joined.extend_from_slice(piece);
    }
    joined
}
