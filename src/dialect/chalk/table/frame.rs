//! Whether compressed bytes are one frame and nothing behind it. What lies behind a frame is read by nobody.

use arrow_ipc::CompressionType;

/// Whether `bytes` end where their frame does. The blocks within are not unpacked.
pub(super) fn is_one(codec: CompressionType, bytes: &[u8]) -> bool {
    let end = match codec {
        CompressionType::LZ4_FRAME => lz4(bytes),
        CompressionType::ZSTD => zstd(bytes),
        _ => None,
    };
    end.is_some_and(<[u8]>::is_empty)
}

/// What lies behind a frame of lz4 (LZ4 Frame Format Description 1.6.4).
fn lz4(bytes: &[u8]) -> Option<&[u8]> {
    let (&flags, rest) = bytes.strip_prefix(&[0x04, 0x22, 0x4d, 0x18])?.split_first()?;
    let size = |bit: u8, bytes: usize| if flags & bit == 0 { 0 } else { bytes };
    // The block descriptor, the sizes of content and dictionary, the checksum of all that.
    let mut rest = rest.get(1 + size(0x08, 8) + size(0x01, 4) + 1..)?;
    loop {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        match u32::from_le_bytes(*length) & 0x7fff_ffff {
            0 => return behind.get(size(0x04, 4)..),
            length => rest = behind.get(length as usize..)?.get(size(0x10, 4)..)?,
        }
    }
}

/// What lies behind a frame of zstd (RFC 8878, section 3.1.1).
fn zstd(bytes: &[u8]) -> Option<&[u8]> {
    let (&flags, rest) = bytes.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?.split_first()?;
    let single = flags & 0x20 != 0;
    let dictionary = [0, 1, 2, 4].get(usize::from(flags & 3)).copied()?;
    let content = [usize::from(single), 2, 4, 8].get(usize::from(flags >> 6)).copied()?;
    let mut rest = rest.get(usize::from(!single) + dictionary + content..)?;
    loop {
        let (header, behind) = rest.split_first_chunk::<3>()?;
        let [low, middle, high] = *header;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let length = if header >> 1 & 3 == 1 { 1 } else { (header >> 3) as usize };
        rest = behind.get(length..)?;
        if header & 1 == 1 {
            return rest.get(if flags & 0x04 == 0 { 0 } else { 4 }..);
        }
    }
}
