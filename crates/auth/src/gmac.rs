//! AES-128-GMAC (SP800-38D) over a message in several slices.
//!
//! The library computes GMAC over one slice, several times faster than portable Rust. GHASH is linear, so the tags of
//! the pieces can be combined: with `H` the hash key, `Z` the hash of the previous data times `H`, and `T` the tag of
//! a piece of `n` whole blocks, the hash including the piece is `Z·H^n + T + len·H + E(J0)`. All pieces use a fixed
//! nonce whose `E(J0)` is known; their tags never leave this module, so that reusing the nonce reveals nothing.
//! Blocks that span two slices are hashed one by one.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use ghash::{GHash, universal_hash::UniversalHash};

/// A GMAC key with the values for combining tags.
pub(crate) struct Gmac {
    key: LessSafeKey,
    block_cipher: Aes128,
    /// `H^(2^i)`, ready to multiply by.
    powers: [GHash; POWERS],
    /// `E(J0)` of [`PIECE_NONCE`].
    piece_mask: Block,
}

impl Gmac {
    pub(crate) fn new(key: &[u8; 16]) -> Result<Self, Unspecified> {
        let block_cipher = Aes128::new(&(*key).into());
        let mut power = encrypt(&block_cipher, [0; 16]);
        let powers = core::array::from_fn(|_| {
            let hasher = GHash::new(&power.into());
            power = multiply(&hasher, power);
            hasher
        });
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key)?),
            piece_mask: encrypt(&block_cipher, counter_zero(&PIECE_NONCE)),
            block_cipher,
            powers,
        })
    }

    /// The tag of the concatenation of `parts` under `nonce`.
    pub(crate) fn sign<'a>(
        &self,
        nonce: &[u8; 12],
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Block, Unspecified> {
        let mut joined = Joined { key: self, hash: [0; 16], pending: [0; 16], pending_len: 0, total: 0 };
        for part in parts {
            joined.update(part)?;
        }
        Ok(xor(joined.finish(), encrypt(&self.block_cipher, counter_zero(nonce))))
    }

    /// `value · H`.
    fn times_h(&self, value: Block) -> Block {
        self.times_power(value, 0)
    }

    fn times_power(&self, value: Block, exponent: usize) -> Block {
        self.powers.get(exponent).map_or(value, |hasher| multiply(hasher, value))
    }
}

struct Joined<'a> {
    key: &'a Gmac,
    /// `Z`: the hash so far, times `H`.
    hash: Block,
    pending: Block,
    pending_len: usize,
    total: u64,
}

impl Joined<'_> {
    fn update(&mut self, mut part: &[u8]) -> Result<(), Unspecified> {
        self.total += part.len() as u64;
        if self.pending_len > 0 {
            let (fill, rest) = part.split_at_checked(16 - self.pending_len).unwrap_or((part, &[]));
            for (to, from) in self.pending.iter_mut().skip(self.pending_len).zip(fill) {
                *to = *from;
            }
            self.pending_len += fill.len();
            part = rest;
            if self.pending_len < 16 {
                return Ok(());
            }
            self.block(self.pending);
            self.pending_len = 0;
        }
        let (blocks, tail) = part.split_at_checked(part.len() & !15).unwrap_or((part, &[]));
        for piece in blocks.chunks(MAX_PIECE) {
            self.piece(piece)?;
        }
        self.pending = [0; 16];
        for (to, from) in self.pending.iter_mut().zip(tail) {
            *to = *from;
        }
        self.pending_len = tail.len();
        Ok(())
    }

    fn block(&mut self, block: Block) {
        self.hash = self.key.times_h(xor(self.hash, self.key.times_h(block)));
    }

    fn piece(&mut self, piece: &[u8]) -> Result<(), Unspecified> {
        if piece.len() < SMALL_PIECE {
            for block in piece.as_chunks::<16>().0 {
                self.block(*block);
            }
            return Ok(());
        }
        let nonce = Nonce::assume_unique_for_key(PIECE_NONCE);
        let tag = self.key.key.seal_in_place_separate_tag(nonce, Aad::from(piece), &mut [])?;
        let tag: Block = tag.as_ref().try_into().map_err(|_| Unspecified)?;
        let length = self.key.times_h(length_block(piece.len() as u64));
        let hash = xor(xor(tag, self.key.piece_mask), length);
        let count = piece.len() / 16;
        for exponent in 0..POWERS {
            if count >> exponent & 1 == 1 {
                self.hash = self.key.times_power(self.hash, exponent);
            }
        }
        self.hash = xor(self.hash, hash);
        Ok(())
    }

    fn finish(mut self) -> Block {
        if self.pending_len > 0 {
            for byte in self.pending.iter_mut().skip(self.pending_len) {
                *byte = 0;
            }
            self.block(self.pending);
        }
        xor(self.hash, self.key.times_h(length_block(self.total)))
    }
}

type Block = [u8; 16];

fn multiply(by: &GHash, value: Block) -> Block {
    let mut hasher = by.clone();
    hasher.update(&[value.into()]);
    hasher.finalize().into()
}

fn encrypt(cipher: &Aes128, block: Block) -> Block {
    let mut block = block.into();
    cipher.encrypt_block(&mut block);
    block.into()
}

fn counter_zero(nonce: &[u8; 12]) -> Block {
    let mut block = [0; 16];
    for (to, from) in block.iter_mut().zip(nonce.iter().chain(&[0, 0, 0, 1])) {
        *to = *from;
    }
    block
}

/// The lengths block of SP800-38D 6.4 for `bytes` of additional data and no ciphertext.
fn length_block(bytes: u64) -> Block {
    (u128::from(bytes) << 67).to_be_bytes()
}

fn xor(a: Block, b: Block) -> Block {
    (u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b)).to_ne_bytes()
}

/// Enough powers for pieces of [`MAX_PIECE`] bytes.
const POWERS: usize = 20;

/// The longest piece for the library: `2^20 - 1` blocks, the range of [`POWERS`] powers.
const MAX_PIECE: usize = ((1 << POWERS) - 1) * 16;

/// Below this many bytes hashing block by block is faster than a call of the library.
const SMALL_PIECE: usize = 128;

/// Any value: see the head of this file.
const PIECE_NONCE: [u8; 12] = [0xff; 12];
