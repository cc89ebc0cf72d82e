//! HTTP/2 by hand, frame by frame: kinds and flags of RFC 9113, 6.

use tokio::io::{AsyncRead, AsyncReadExt as _};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// Of SETTINGS and PING.
pub const ACK: u8 = 1;

/// Length, kind, flags, stream, payload.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A length with a prefix of seven bits (RFC 7541, 5.1).
pub fn length(mut value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![127];
    value -= 127;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// Fields as they are: literal, by no index, in no code.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let one = |(name, value): &(&str, &str)| {
        [&[0], &*length(name.len()), name.as_bytes(), &length(value.len()), value.as_bytes()].concat()
    };
    fields.iter().flat_map(one).collect()
}

/// The next frame: kind, flags, stream, payload. `None`: the connection ended.
pub async fn next(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<(u8, u8, u32, Vec<u8>)> {
    loop {
        if let Some((head, rest)) = buffer.split_first_chunk::<9>() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            if let Some(payload) = rest.get(..length) {
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let next = (head[3], head[4], stream, payload.to_vec());
                buffer.drain(..9 + length);
                return Some(next);
            }
        }
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
