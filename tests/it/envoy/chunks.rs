//! Chunked bodies of HTTP/1.1.

/// What the chunks of a whole body hold, without its trailers; `None` if it goes on.
pub fn joined(body: &[u8]) -> Option<Vec<u8>> {
    whole(body).map(|(joined, _)| joined)
}

/// The same, with how many bytes were read.
pub fn whole(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut joined, mut at) = (Vec::new(), 0);
    loop {
        let line = at + position(&body[at..], b"\r\n")?;
        let length = std::str::from_utf8(&body[at..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        at = line + 2;
        if length == 0 {
            // Trailers, and an empty line.
            let end = at + position(&body[at - 2..], b"\r\n\r\n")? + 2;
            assert_eq!(end, at + 2, "trailers: {:?}", String::from_utf8_lossy(&body[at..end]));
            return Some((joined, end));
        }
        joined.extend_from_slice(body.get(at..at + length)?);
        at += length + 2;
    }
}

/// Where `part` begins in `bytes`.
pub fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
