//! HTTP/2 frames (RFC 9113) and header blocks (RFC 7541), right and wrong ones.

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
pub const ACK: u8 = 1;
/// Of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;

/// Settings of a client.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// The largest payload that a peer takes that has not said otherwise.
pub const MAX_FRAME_SIZE: usize = 16 << 10;

pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame of any type, flags and stream.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_that_says(payload.len(), kind, flags, stream, payload)
}

/// The same, whose length is said to be another than it is.
pub fn frame_that_says(len: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(len).unwrap().to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let pairs = settings.iter();
    let payload: Vec<u8> = pairs
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// The id of a client's `n`th stream.
pub fn stream_id(n: u64) -> u32 {
    u32::try_from(2 * n + 1).unwrap()
}

/// HEADERS of a call to `path`, with `more` after the headers that it needs.
pub fn call(stream: u32, path: &str, more: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[request(path), more.to_vec()].concat())
}

/// The header block of a gRPC request.
pub fn request(path: &str) -> Vec<u8> {
    // From the static table: `:method POST`, `:scheme http`, and names.
    let mut block = vec![0x83, 0x86];
    block.push(0x04);
    block.extend(string(path));
    block.push(0x01);
    block.extend(string("sidecar"));
    block.extend(header("content-type", "application/grpc"));
    block.extend(header("te", "trailers"));
    block
}

/// A header as it is, which is not kept in the dynamic table.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    [vec![0x00], string(name), string(value)].concat()
}

/// A header that the receiver shall keep: the newest in its dynamic table.
pub fn kept_header(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], string(name), string(value)].concat()
}

/// Refers to the newest header of the dynamic table, in one byte.
pub const NEWEST: u8 = 0x80 | 62;

/// A string without Huffman's code: its length in a prefix of 7 bits, and itself.
fn string(text: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    if text.len() < 127 {
        encoded.push(u8::try_from(text.len()).unwrap());
    } else {
        encoded.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            encoded.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        encoded.push(u8::try_from(rest).unwrap());
    }
    encoded.extend(text.bytes());
    encoded
}

/// A gRPC message, not compressed.
pub fn message(message: &[u8]) -> Vec<u8> {
    [&message_that_says(message.len())[..], message].concat()
}

/// The five bytes before a message of `len` bytes.
pub fn message_that_says(len: usize) -> [u8; 5] {
    let len = u32::try_from(len).unwrap().to_be_bytes();
    [0, len[0], len[1], len[2], len[3]]
}

/// DATA frames that carry `bytes`; the last one ends the stream, if `end`.
pub fn data(stream: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut chunks = bytes.chunks(MAX_FRAME_SIZE).peekable();
    while let Some(chunk) = chunks.next() {
        let last = end && chunks.peek().is_none();
        frames.extend(frame(DATA, if last { END_STREAM } else { 0 }, stream, chunk));
    }
    frames
}
