//! A request's path, as it came: cut into segments, or refused.
//!
//! INVARIANT: what passes means the same to whoever decodes it once, twice or not at all, resolves
//! dots, or folds slashes: a path that could be read in two ways is refused, never cleaned up. So
//! the path that is matched is the path that the service behind acts on.

/// The longest path that is matched, in bytes, without its query.
pub const MAX_PATH: usize = 8 << 10;

/// The longest host that is looked up, in bytes: a domain name, a dot and a port.
pub(super) const MAX_HOST: usize = 260;

/// Without case, as readers compare that do not mind it; `ſ` and the Kelvin sign are letters, too.
pub(super) fn fold(text: &str) -> String {
    text.to_uppercase().to_lowercase()
}

/// Why a path is no operation of anything.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It does not begin with a slash.
    #[error("the path must begin with `/`")]
    NotAbsolute,
    /// The host is longer than a name can be.
    #[error("the host is longer than {MAX_HOST} bytes")]
    Host,
    /// It is longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// `//`
    #[error("the path has an empty segment (`//`)")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    /// A backslash, or a slash that is encoded.
    #[error("the path has a backslash or an encoded slash")]
    HiddenSlash,
    /// `;`, with which some servers begin parameters that they cut off.
    #[error("the path has a `;`")]
    Semicolon,
    /// A control byte or `#`, encoded or not, or an encoded `?`.
    #[error("the path has a control character, a `#` or an encoded `?`")]
    Control,
    /// `%` without two hexadecimal digits, or encoding within what is encoded.
    #[error("the path has a `%` that is not the start of one encoded byte")]
    Escape,
    /// Not UTF-8 once it is decoded.
    #[error("the path is not UTF-8 once it is decoded")]
    NotUtf8,
}

/// Refuses the path of `target`, as it came, if it could be read in two ways.
///
/// # Errors
/// [`PathFault`]
pub fn path_fault(target: &str) -> Result<(), PathFault> {
    segments(target).map(drop)
}

/// The segments of the path of `target`, what stands before its query.
///
/// # Errors
/// [`PathFault`]
pub(super) fn segments(target: &str) -> Result<impl Iterator<Item = &str> + Clone, PathFault> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if path.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    let below = path.strip_prefix('/').ok_or(PathFault::NotAbsolute)?;
    // The root has no segment.
    let segments = below.split('/').filter(move |_| !below.is_empty());
    // An empty segment at the end is a slash at the end: it matches nothing, and hides nothing.
    let mut rest = segments.clone().peekable();
    while let Some(segment) = rest.next() {
        if segment.is_empty() && rest.peek().is_some() {
            return Err(PathFault::EmptySegment);
        }
        check(segment.as_bytes())?;
        if segment.contains('%') {
            let decoded = decode(segment)?;
            if decoded.bytes().any(|byte| byte == b'/') {
                return Err(PathFault::HiddenSlash);
            }
            check(decoded.as_bytes())?;
            if decode(&decoded).is_ok_and(|again| again != decoded) {
                return Err(PathFault::Escape);
            }
        }
    }
    Ok(segments)
}

fn check(segment: &[u8]) -> Result<(), PathFault> {
    if matches!(segment, b"." | b"..") {
        return Err(PathFault::DotSegment);
    }
    for byte in segment {
        match byte {
            b'\\' => return Err(PathFault::HiddenSlash),
            b';' => return Err(PathFault::Semicolon),
            b'#' | b'?' | 0..0x20 | 0x7f => return Err(PathFault::Control),
            _ => {}
        }
    }
    Ok(())
}

/// `segment` with what is encoded decoded, once.
pub(super) fn decode(segment: &str) -> Result<String, PathFault> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = digit().zip(digit()).ok_or(PathFault::Escape)?;
            // Two hexadecimal digits are one byte.
            u8::try_from(high << 4 | low).map_err(|_| PathFault::Escape)?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).map_err(|_| PathFault::NotUtf8)
}
