use super::*;

round_trips!();

/// The structure with an integer of eight octets begins at a multiple of eight, wherever the name before it ends.
#[test]
fn the_aes_structure_is_aligned_as_a_wide_one() {
    for name in ["a", "al", "ali"] {
        let mut stub = 0_u32.to_le_bytes().to_vec();
        let octets = u16::try_from(2 * name.len()).unwrap();
        stub.extend([octets.to_le_bytes(), octets.to_le_bytes()].concat());
        stub.extend(0x0002_0000_u32.to_le_bytes());
        let units = u32::from(octets / 2);
        stub.extend([units, 0, units].map(u32::to_le_bytes).concat());
        stub.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        stub.resize(stub.len().next_multiple_of(8), 0);
        stub.extend([1; 64]);
        stub.extend([2; 16]);
        stub.extend([3_u32, 0x0002_0004].map(u32::to_le_bytes).concat());
        stub.extend(10_000_u64.to_le_bytes());
        stub.extend(3_u32.to_le_bytes());
        stub.extend([7, 8, 9]);
        let Ok(Request::UnicodeChangePasswordUser4(read)) = Request::decode(73, &stub) else {
            panic!("not read: {name}")
        };
        assert_eq!((read.user_name.text.as_str(), read.password.iterations), (name, 10_000));
        assert_eq!(read.password.cipher, [7, 8, 9]);
    }
}
