//! AES in CBC mode with ciphertext stealing and an initial vector of zeros (RFC 3962 5; CBC-CS3 of NIST SP 800-38A).

use aes::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use zeroize::Zeroizing;

use super::BadIntegrity;

/// Bytes of a block.
pub(super) const AES_BLOCK: usize = 16;

type Bytes = [u8; AES_BLOCK];

enum Aes {
    Bits128(Box<Aes128>),
    Bits256(Box<Aes256>),
}

impl Aes {
    /// The cipher with a key of 16 or 32 bytes. [`super::Key`] has no others.
    fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(|it| Self::Bits128(Box::new(it))),
            _ => Aes256::new_from_slice(key).ok().map(|it| Self::Bits256(Box::new(it))),
        }
    }

    fn encrypt(&self, block: Bytes) -> Bytes {
        let mut block: Block<Aes128> = block.into();
        match self {
            Self::Bits128(aes) => aes.encrypt_block(&mut block),
            Self::Bits256(aes) => aes.encrypt_block(&mut block),
        }
        block.into()
    }

    fn decrypt(&self, block: Bytes) -> Bytes {
        let mut block: Block<Aes128> = block.into();
        match self {
            Self::Bits128(aes) => aes.decrypt_block(&mut block),
            Self::Bits256(aes) => aes.decrypt_block(&mut block),
        }
        block.into()
    }
}

/// One block, encrypted without chaining; zeros for a key of another length than AES has.
pub(super) fn encrypt_block(key: &[u8], block: Bytes) -> Bytes {
    Aes::new(key).map(|aes| aes.encrypt(block)).unwrap_or_default()
}

/// Encrypts at least a block in place. If `data` has room for a whole last block, it stays where it is.
pub(super) fn encrypt(key: &[u8], data: &mut Vec<u8>) {
    let Some(aes) = Aes::new(key) else { return data.clear() };
    let len = data.len();
    data.resize(len.next_multiple_of(AES_BLOCK), 0);
    let mut before = [0; AES_BLOCK];
    let (blocks, _) = data.as_chunks_mut::<AES_BLOCK>();
    for block in &mut *blocks {
        before = aes.encrypt(xor(*block, &before));
        *block = before;
    }
    if let [.., left, right] = blocks {
        core::mem::swap(left, right);
    }
    data.truncate(len);
}

/// Decrypts at least a block in place.
pub(super) fn decrypt(key: &[u8], data: &mut [u8]) -> Result<(), BadIntegrity> {
    let aes = Aes::new(key).ok_or(BadIntegrity)?;
    if data.len() <= AES_BLOCK {
        let block = data.first_chunk_mut::<AES_BLOCK>().ok_or(BadIntegrity)?;
        *block = aes.decrypt(*block);
        return Ok(());
    }
    // The last two blocks are exchanged, and the last one is cut to the length of the data.
    let last_len = match data.len() % AES_BLOCK {
        0 => AES_BLOCK,
        rest => rest,
    };
    let (whole, last) = data.split_at_mut_checked(data.len() - last_len).ok_or(BadIntegrity)?;
    let (blocks, _) = whole.as_chunks_mut::<AES_BLOCK>();
    let (second_last, blocks) = blocks.split_last_mut().ok_or(BadIntegrity)?;
    let mut before = [0; AES_BLOCK];
    for block in blocks {
        let cipher = *block;
        *block = xor(aes.decrypt(cipher), &before);
        before = cipher;
    }
    // The end of the cut block is in the decrypted other one.
    let mut stolen = Zeroizing::new(aes.decrypt(*second_last));
    for (to, from) in stolen.iter_mut().zip(last.iter_mut()) {
        let cipher = *from;
        *from = *to ^ cipher;
        *to = cipher;
    }
    *second_last = xor(aes.decrypt(*stolen), &before);
    Ok(())
}

fn xor(mut block: Bytes, other: &[u8]) -> Bytes {
    for (to, from) in block.iter_mut().zip(other) {
        *to ^= from;
    }
    block
}
