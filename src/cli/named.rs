//! `NAME=VALUE` as typed: a key's labels, a resource's attributes. Used by
//! `keys` and `check`.

use std::{collections::HashMap, str::FromStr};

use anyhow::bail;

use super::bad_usage;

/// A name and its value, which may be empty or hold further `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What stands before the first `=`; never empty.
    pub name: String,
    /// What stands after it.
    pub value: String,
}

impl FromStr for Named {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Named> {
        match text.split_once('=') {
            Some(("", _)) => bail!("the name before `=` is missing"),
            Some((name, value)) => Ok(Named { name: name.to_owned(), value: value.to_owned() }),
            None => bail!("write `name=value`"),
        }
    }
}

/// The wire's map; `what` they are is for the error.
///
/// # Errors
/// A name is given twice.
pub(crate) fn distinct(what: &str, named: Vec<Named>) -> anyhow::Result<HashMap<String, String>> {
    let mut map = HashMap::with_capacity(named.len());
    for Named { name, value } in named {
        if map.contains_key(&name) {
            return Err(bad_usage!("the {what} `{name}` is given twice; give it once"));
        }
        map.insert(name, value);
    }
    Ok(map)
}
