//! Bytes as text.

/// Lower-case hex, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(digit(half));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The same of so many bytes as ASCII, without a place on the heap; `D` has to be twice `B`.
pub fn digits<const B: usize, const D: usize>(bytes: &[u8; B]) -> [u8; D] {
    const { assert!(D == 2 * B, "two digits a byte") };
    let mut text = [b'0'; D];
    for (to, byte) in text.chunks_exact_mut(2).zip(bytes) {
        to.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

fn digit(half: u8) -> u8 {
    if half < 10 { b'0' + half } else { b'a' - 10 + half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_two_digits_each() {
        assert_eq!(hex(&[0x00, 0x09, 0x0a, 0x10, 0xaf, 0xff]), "00090a10afff");
        assert_eq!(&digits::<3, 6>(&[0x0f, 0xf0, 0x9c]), b"0ff09c");
    }
}
