//! `keys rights`: what a key may do, and on which conditions. Called by `keys`.

use super::{
    super::{
        check::{advice, alternatives},
        client::{AdminArgs, block_on},
        output::{self, Format, Grid, counted, json},
    },
    connect,
};
use crate::pb::v1::{self, DecisionReason as Reason};

/// Asks, and prints the answer.
pub(super) fn run(id: String, admin: &AdminArgs) -> anyhow::Result<()> {
    let rights = block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        let request = connection.request(v1::GetApiKeyRightsRequest { id });
        connection.ask(keys.get_api_key_rights(request)).await
    })?;
    match admin.call.output {
        Format::Table => output::print_text(&render(&rights)),
        Format::Json => output::print_json(&json::Rights::from(&rights)),
    }
}

pub(super) fn render(rights: &v1::GetApiKeyRightsResponse) -> String {
    let mut lines: Vec<(&str, String)> =
        rights.allowed_actions.iter().map(|action| (action.as_str(), "allowed".into())).collect();
    for right in &rights.conditional_actions {
        let ways = alternatives(&right.conditions);
        lines.push((&right.action, format!("if {}", ways.join(", or "))));
    }
    lines.sort();
    let reason = rights.reason();
    let mut parts = Vec::new();
    if reason != Reason::Allowed {
        let (name, advice) = (json::reason(reason), advice(reason));
        parts.push(format!("every action is denied at the moment: {name} — {advice}"));
    }
    if !lines.is_empty() {
        if reason != Reason::Allowed {
            parts.push("Otherwise the key might do:".to_owned());
        }
        let mut grid = Grid::new(&["ACTION", "RIGHT"]);
        for (action, right) in &lines {
            grid.row(&[*action, right.as_str()]);
        }
        parts.push(grid.render());
    }
    if reason == Reason::Allowed || !lines.is_empty() {
        let allowed = counted(rights.allowed_actions.len() as u64, "action");
        let conditional = rights.conditional_actions.len();
        parts.push(format!("{allowed} allowed whatever the resource, {conditional} on conditions"));
    }
    parts.join("\n\n")
}
