//! Two independent SMB clients in Rust against the real binary: the crates `smb2` and `smb`, which share no code with
//! each other or with the server.
#![forbid(unsafe_code)]

mod smb2_crate;
mod smb_crate;

/// Bytes without a pattern that a wrong offset could hide behind.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}
