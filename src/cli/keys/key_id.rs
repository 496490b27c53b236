//! A key's id as typed.
//!
//! INVARIANT: what is no id is refused before anything is sent, and not shown: it
//! may be the whole text of a key. Used by the `keys` commands.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::TypedValueParser,
    error::{ErrorKind, Result},
};

use crate::token::KeyId;

/// Takes ids. Not a `FromStr`, of which clap shows what it refuses.
#[derive(Clone, Debug)]
pub(super) struct KeyIdParser;

impl TypedValueParser for KeyIdParser {
    type Value = String;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String> {
        match value.to_str().map(|text| (text, text.parse::<KeyId>())) {
            Some((text, Ok(_))) => Ok(text.to_owned()),
            _ => Err(Error::raw(
                ErrorKind::ValueValidation,
                "the ID is not one: it must be the key's id alone, the 10 letters and digits \
                 after `octv_` in its text\n",
            )
            .with_cmd(command)),
        }
    }
}
