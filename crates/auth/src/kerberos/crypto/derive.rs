//! Deriving keys: RFC 3961 5.1 (DK, with n-fold) and RFC 8009 3 (KDF-HMAC-SHA2).

use zeroize::Zeroizing;

use super::cts::{AES_BLOCK, encrypt_block};
use super::{Enctype, hmac_sha};

/// `DK` of the simplified profile with AES, whose `random-to-key` is the identity: a key as long as `key`.
pub(super) fn simplified(key: &[u8], constant: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut block = Zeroizing::new(n_fold(constant));
    let mut derived = Zeroizing::new(Vec::with_capacity(key.len().next_multiple_of(AES_BLOCK)));
    while derived.len() < key.len() {
        *block = encrypt_block(key, *block);
        derived.extend_from_slice(block.as_slice());
    }
    derived.truncate(key.len());
    derived
}

/// `KDF-HMAC-SHA2` without a context: a key of `len` bytes, which are no more than the hash has.
pub(super) fn sha2(enctype: Enctype, key: &[u8], label: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let bits = u32::try_from(len).unwrap_or(u32::MAX).saturating_mul(8).to_be_bytes();
    let mut derived =
        Zeroizing::new(hmac_sha::hmac(enctype, key, &[&1_u32.to_be_bytes(), label, &[0], &bits]));
    derived.truncate(len);
    derived
}

/// `n-fold` to a block of AES (RFC 3961 5.1): copies of the input, each rotated by 13 bits more to the right, are added
/// as numbers in ones' complement.
pub(super) fn n_fold(input: &[u8]) -> [u8; AES_BLOCK] {
    n_fold_to::<AES_BLOCK>(input)
}

pub(super) fn n_fold_to<const N: usize>(input: &[u8]) -> [u8; N] {
    let mut sum = [0_u8; N];
    if input.is_empty() {
        return sum;
    }
    let total = least_common_multiple(N, input.len());
    let bits = input.len() * 8;
    let mut carry = 0_u32;
    for at in (0..total).rev() {
        let (copy, byte) = (at / input.len(), at % input.len());
        // The bit of the input that is the first of this byte, after the rotation.
        let first = (byte * 8 + bits - (13 * copy) % bits) % bits;
        let bit = |n: usize| {
            let n = (first + n) % bits;
            input.get(n / 8).map_or(0, |byte| u32::from(byte >> (7 - n % 8) & 1))
        };
        let value = (0..8).fold(0, |value, n| value << 1 | bit(n));
        if let Some(place) = sum.get_mut(at % N) {
            carry += u32::from(*place) + value;
            *place = carry as u8;
            carry >>= 8;
        }
    }
    // The carry out of the first byte is added at the last one.
    while carry != 0 {
        for place in sum.iter_mut().rev() {
            carry += u32::from(*place);
            *place = carry as u8;
            carry >>= 8;
        }
    }
    sum
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}
