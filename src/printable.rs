//! Which characters people cannot see for what they are.
//!
//! Used where keys take text, and where the command line prints what others wrote.

/// Whether `c` is a control character, one that turns the direction of writing, or
/// one that cannot be seen. The joiners U+200C and U+200D are none of these:
/// Persian, Hindi and emoji are written with them.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        )
}
