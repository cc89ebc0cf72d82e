//! Compressed messages: gzip (RFC 1952), one member and nothing behind it.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

/// Why a message does not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// More bytes than the cap; not one more than that was unpacked.
    TooLarge,
    /// Not gzip, damaged, cut off, or with bytes behind it.
    Damaged,
}

/// Unpacks at most `most` bytes, away from the threads that serve.
pub(super) async fn unpack(packed: Bytes, most: usize) -> Result<Bytes, Stopped> {
    let work = tokio::task::spawn_blocking(move || unpack_here(&packed, most));
    work.await.unwrap_or(Err(Stopped::Damaged))
}

fn unpack_here(packed: &[u8], most: usize) -> Result<Bytes, Stopped> {
    let mut decoder = GzDecoder::new(packed);
    let mut message = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    (&mut decoder).take(limit).read_to_end(&mut message).map_err(|_| Stopped::Damaged)?;
    if message.len() > most {
        return Err(Stopped::TooLarge);
    }
    // A second member, or anything else, is read by some and passed over by others.
    if decoder.into_inner().is_empty() { Ok(message.into()) } else { Err(Stopped::Damaged) }
}

/// Packs a message, likewise; `None` where that fails.
pub(super) async fn pack(message: Bytes) -> Option<Bytes> {
    let work = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&message).ok()?;
        encoder.finish().ok()
    });
    work.await.ok().flatten().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked() {
        for length in [0, 1, 100_000] {
            let message = Bytes::from(vec![7; length]);
            let packed = pack(message.clone()).await.unwrap();
            assert_eq!(unpack(packed, length).await, Ok(message), "{length}");
        }
    }

    #[test]
    fn a_bomb_ends_at_the_cap() {
        let bomb = packed(&vec![0; 32 << 20]);
        assert!(bomb.len() < 64 << 10);
        assert_eq!(unpack_here(&bomb, 1000), Err(Stopped::TooLarge));
        let exact = packed(&[1; 1000]);
        assert_eq!(unpack_here(&exact, 1000).unwrap().len(), 1000);
        assert_eq!(unpack_here(&exact, 999), Err(Stopped::TooLarge));
    }

    #[test]
    fn what_is_not_one_whole_member_is_refused() {
        let whole = packed(b"message");
        assert_eq!(unpack_here(&whole, 100).unwrap(), "message");
        for cut in 0..whole.len() {
            assert_eq!(unpack_here(&whole[..cut], 100), Err(Stopped::Damaged), "{cut}");
        }
        let mut wrong = whole.clone();
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert_eq!(unpack_here(&wrong, 100), Err(Stopped::Damaged));
        assert_eq!(unpack_here(&[whole.as_slice(), b"x"].concat(), 100), Err(Stopped::Damaged));
        assert_eq!(unpack_here(&[whole.as_slice(), &whole].concat(), 100), Err(Stopped::Damaged));
    }
}
