//! The golden tables: what every role may do, and what every operation of the
//! public HTTP API needs. The truth that tests compare answers with.

use std::sync::LazyLock;

use octavia_authz::pb::v1::{DecisionReason, Resource};

const PERMISSIONS: &str = include_str!("../data/permissions.tsv");
const OPERATIONS: &str = include_str!("../data/operations.tsv");

/// The seven roles, in the order of the table's columns.
pub const ROLES: [&str; 7] =
    ["super_admin", "admin", "managing_editor", "publisher", "editor", "writer", "read_only"];

/// A cell of the table of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    Never,
    Always,
    /// Names of conditions, any of which is enough.
    When(Vec<&'static str>),
}

/// A row of the table of permissions: an action, and each role's right to it.
pub struct Action {
    pub name: &'static str,
    pub meaning: &'static str,
    pub rights: Vec<Right>,
}

/// A row of the table of operations.
#[derive(Clone, Copy)]
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub action: &'static str,
    /// Whether a conditional right passes, with its condition.
    pub forwards: bool,
    /// What the body's fields need, as the table has it.
    pub body_fields: &'static str,
}

/// All 83 actions.
pub fn actions() -> &'static [Action] {
    static ACTIONS: LazyLock<Vec<Action>> = LazyLock::new(read_actions);
    &ACTIONS
}

fn read_actions() -> Vec<Action> {
    let mut rows = PERMISSIONS.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    assert_eq!(rows.next().unwrap()[2..], ROLES);
    let actions: Vec<Action> = rows
        .map(|row| {
            assert_eq!(row.len(), 9, "{row:?}");
            let rights = row[2..].iter().map(|cell| Right::of(cell)).collect();
            Action { name: row[0], meaning: row[1], rights }
        })
        .collect();
    assert_eq!(actions.len(), 83);
    actions
}

/// All 131 operations.
pub fn operations() -> Vec<Operation> {
    let rows = OPERATIONS.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    let operations: Vec<Operation> = rows
        .map(|row| Operation {
            method: row[0],
            path: row[1],
            action: row[2],
            forwards: row[3] == "forward",
            body_fields: row[4],
        })
        .collect();
    assert_eq!(operations.len(), 131);
    operations
}

/// What the table says of a role's right to an action.
pub fn right(role: &str, action: &str) -> Right {
    let column = ROLES.iter().position(|known| *known == role).unwrap();
    let row = actions().iter().find(|row| row.name == action);
    row.unwrap_or_else(|| panic!("`{action}` is not in the table")).rights[column].clone()
}

impl Right {
    fn of(cell: &'static str) -> Self {
        // Who stated a right makes no difference to it.
        match cell.trim_end_matches(" (implied)") {
            "-" => Self::Never,
            "allow" => Self::Always,
            conditions => Self::When(conditions.split('|').collect()),
        }
    }

    /// The answer to a key with this subject that asks about this resource.
    pub fn reason(&self, resource: &Resource, subject: &str) -> DecisionReason {
        let own = resource.owner == subject;
        let met = |condition: &&str| match *condition {
            "published" => resource.state == "published",
            "own" => own,
            "own_draft" => own && resource.state == "draft",
            other => panic!("`{other}` is no condition"),
        };
        match self {
            Self::Never => DecisionReason::ActionDenied,
            Self::Always => DecisionReason::Allowed,
            Self::When(conditions) if conditions.iter().any(met) => DecisionReason::Allowed,
            Self::When(_) => DecisionReason::ConditionUnmet,
        }
    }

    /// What a request would have to carry: attribute, value, alternative.
    pub fn needs<'a>(&self, subject: &'a str) -> Vec<(&'static str, &'a str, u32)> {
        let Self::When(conditions) = self else { return Vec::new() };
        let alternatives = (1..).zip(conditions);
        alternatives
            .flat_map(|(number, condition)| match *condition {
                "published" => vec![("resource.state", "published", number)],
                "own" => vec![("resource.owner", subject, number)],
                "own_draft" => {
                    vec![("resource.owner", subject, number), ("resource.state", "draft", number)]
                }
                other => panic!("`{other}` is no condition"),
            })
            .collect()
    }
}
