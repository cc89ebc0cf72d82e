//! Bytes as text.

/// Lower-case hex, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(digit(half));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The same of so many bytes as ASCII, without a place on the heap; `D` has to be twice `B`.
pub fn digits<const B: usize, const D: usize>(bytes: &[u8; B]) -> [u8; D] {
    const { assert!(D == 2 * B, "two digits a byte") };
    let mut text = [0; D];
    // All halves first, then all digits: without a branch, so that the compiler does sixteen at once.
    for ([high, low], byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        (*high, *low) = (byte >> 4, byte & 15);
    }
    text.map(digit)
}

fn digit(half: u8) -> u8 {
    half + if half < 10 { b'0' } else { b'a' - 10 }
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
