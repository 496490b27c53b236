//! What a list is ordered by, as typed: `name`, `expire_time desc`. Used by
//! `list`.

use std::str::FromStr;

use anyhow::{Context as _, bail};

/// What the API can order by.
const FIELDS: [&str; 6] =
    ["id", "name", "create_time", "update_time", "expire_time", "last_used_time"];

/// A field, and whether the last comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    field: &'static str,
    reverse: bool,
}

impl Order {
    /// The wire's text; empty for the order that nobody asked to be another.
    pub(crate) fn on_wire(order: Option<Order>, reverse: bool) -> String {
        let Order { field, reverse } = match order {
            Some(order) => Order { reverse: order.reverse || reverse, ..order },
            None if reverse => Order { field: "id", reverse },
            None => return String::new(),
        };
        if reverse { format!("{field} desc") } else { field.to_owned() }
    }
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Order> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let field = FIELDS.into_iter().find(|field| *field == name);
        let field = field.with_context(|| format!("order by one of {}", FIELDS.join(", ")))?;
        let reverse = match (words.next(), words.next()) {
            (None | Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => bail!("write the field alone, or `{field} desc`"),
        };
        Ok(Order { field, reverse })
    }
}
