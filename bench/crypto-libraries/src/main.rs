//! The speed of one cryptographic library with the algorithms of SMB 3: messages of 4 KiB and 1 MiB, one thread.
//!
//! README.md has the commands and the figures.
#![forbid(unsafe_code)]

use std::time::Duration;

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as like_ring;
#[cfg(feature = "ring")]
use ring as like_ring;

/// The processor time for each figure; the best of [`ROUNDS`] counts, because other work only makes it slower.
const TIME: Duration = Duration::from_millis(200);
const ROUNDS: usize = 7;

/// Bytes between two looks at the clock, which takes some microseconds itself.
const BATCH: usize = 32 << 20;

const NONCE: [u8; 12] = [1; 12];

/// An algorithm: its name, and the function that encrypts or signs a message in place.
type Algorithm = (&'static str, Box<dyn Fn(&mut [u8])>);

fn main() {
    let (library, algorithms) = algorithms();
    for (name, protect) in algorithms {
        let speeds = [4 << 10, 1 << 20].map(|length| speed(length, &protect));
        println!("| {library} | {name} | {:.2} | {:.2} |", speeds[0], speeds[1]);
    }
}

/// Gigabytes per second of processor time.
fn speed(length: usize, protect: &dyn Fn(&mut [u8])) -> f64 {
    let mut message = vec![0xa5; length];
    let mut best: f64 = 0.0;
    for _ in 0..ROUNDS {
        let (begun, mut bytes) = (processor_time(), 0.0);
        while processor_time() - begun < TIME {
            for _ in 0..BATCH / length {
                protect(std::hint::black_box(&mut message));
                bytes += length as f64;
            }
        }
        best = best.max(bytes / (processor_time() - begun).as_secs_f64() / 1e9);
    }
    best
}

/// The time that the thread has spent on a processor (proc(5), `schedstat`).
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default())
}

/// The algorithms of a library with the interface of ring, which aws-lc-rs has, too.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
fn algorithms() -> (&'static str, Vec<Algorithm>) {
    use like_ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = |algorithm, bytes: &[u8]| LessSafeKey::new(UnboundKey::new(algorithm, bytes).unwrap());
    let nonce = || Nonce::assume_unique_for_key(NONCE);
    let seal = move |key: LessSafeKey| -> Box<dyn Fn(&mut [u8])> {
        Box::new(move |message| {
            let _tag = key.seal_in_place_separate_tag(nonce(), Aad::from([0; 32]), message).unwrap();
        })
    };
    let (short, long) = (key(&AES_128_GCM, &[7; 16]), key(&AES_256_GCM, &[7; 32]));
    let signing = key(&AES_128_GCM, &[7; 16]);
    let sign = move |message: &mut [u8]| {
        let _tag = signing.seal_in_place_separate_tag(nonce(), Aad::from(&*message), &mut []).unwrap();
    };
    let all: Vec<Algorithm> =
        vec![("AES-128-GCM", seal(short)), ("AES-256-GCM", seal(long)), ("AES-128-GMAC", Box::new(sign))];
    (if cfg!(feature = "ring") { "ring" } else { "aws-lc-rs" }, all)
}

#[cfg(feature = "graviola")]
fn algorithms() -> (&'static str, Vec<Algorithm>) {
    use graviola::aead::AesGcm;
    let seal = |key: AesGcm| -> Box<dyn Fn(&mut [u8])> {
        Box::new(move |message| key.encrypt(&NONCE, &[0; 32], message, &mut [0; 16]))
    };
    let signing = AesGcm::new(&[7; 16]);
    let sign = move |message: &mut [u8]| signing.encrypt(&NONCE, message, &mut [], &mut [0; 16]);
    let all: Vec<Algorithm> = vec![
        ("AES-128-GCM", seal(AesGcm::new(&[7; 16]))),
        ("AES-256-GCM", seal(AesGcm::new(&[7; 32]))),
        ("AES-128-GMAC", Box::new(sign)),
    ];
    ("graviola", all)
}

#[cfg(feature = "rustcrypto")]
fn algorithms() -> (&'static str, Vec<Algorithm>) {
    use aes_gcm::aead::{AeadInOut, KeyInit};
    use aes_gcm::{Aes128Gcm, Aes256Gcm};
    use ccm::consts::{U11, U16};
    fn seal<A: AeadInOut + 'static>(key: A, nonce: &'static [u8]) -> Box<dyn Fn(&mut [u8])> {
        Box::new(move |message| {
            let nonce = nonce.try_into().unwrap();
            key.encrypt_inout_detached(nonce, &[0; 32], message.into()).unwrap();
        })
    }
    type Ccm<A> = ccm::Ccm<A, U16, U11>;
    let signing = Aes128Gcm::new(&[7; 16].into());
    let sign = move |message: &mut [u8]| {
        signing.encrypt_inout_detached(&NONCE.into(), message, [].as_mut_slice().into()).unwrap();
    };
    let all: Vec<Algorithm> = vec![
        ("AES-128-GCM", seal(Aes128Gcm::new(&[7; 16].into()), &NONCE)),
        ("AES-256-GCM", seal(Aes256Gcm::new(&[7; 32].into()), &NONCE)),
        ("AES-128-GMAC", Box::new(sign)),
        ("AES-128-CCM", seal(Ccm::<aes::Aes128>::new(&[7; 16].into()), &NONCE[..11])),
        ("AES-256-CCM", seal(Ccm::<aes::Aes256>::new(&[7; 32].into()), &NONCE[..11])),
    ];
    ("RustCrypto", all)
}
