//! The oracle: what a key holds, by the golden table, and who may do what to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use octavia_authz::pb::v1::{ApiKey, ConditionalAction};

use crate::golden::{self, Right};

/// Every action that a key can be granted.
pub const GRANTS: [&str; 7] = [
    "billing.read",
    "billing.update",
    "api_keys.read",
    "api_keys.create",
    "api_keys.update",
    "api_keys.rotate",
    "api_keys.revoke",
];

/// The service beside `ai-cms`, as a policy file.
pub const SHOP: &str = r#"
[services.shop]
title = "Shop"

[services.shop.actions.orders]
read = "read orders"
update = "change orders"

[services.shop.actions.api_keys]
read = "list and read API keys"
create = "create a key"
update = "change a key"
rotate = "rotate a key's secret"
revoke = "revoke a key"

[services.shop.roles.owner]
title = "Owner"
allow = ["*"]

[services.shop.roles.keeper]
title = "Keeper"
allow = ["api_keys.*"]
when = { "orders.update" = ["own"], "orders.read" = ["published"] }

[services.shop.roles.clerk]
title = "Clerk"
when = { "orders.update" = ["own_draft"] }

[services.shop.roles.visitor]
title = "Visitor"
when = { "orders.read" = ["published"] }

[services.shop.roles.guest]
title = "Guest"
allow = ["orders.read"]
"#;

/// Attributes that a resource must have; none: whatever the resource.
type Condition = BTreeSet<(String, String)>;

/// The actions that a key holds, each with the conditions any of which suffices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(BTreeMap<String, BTreeSet<Condition>>);

impl Rights {
    fn add(&mut self, action: &str, needs: &[(&str, &str)]) {
        let needs = needs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self.0.entry(action.into()).or_default().insert(needs);
    }

    /// What the tables say. Remembered: it is asked many times.
    pub fn of(key: &ApiKey) -> Arc<Self> {
        static KNOWN: Mutex<BTreeMap<[String; 4], Arc<Rights>>> = Mutex::new(BTreeMap::new());
        let ApiKey { service, role, subject, .. } = key.clone();
        let key_of = [service, role, subject, key.grants.join(" ")];
        let mut known = KNOWN.lock().unwrap();
        Arc::clone(known.entry(key_of).or_insert_with(|| Arc::new(Self::read(key))))
    }

    fn read(key: &ApiKey) -> Self {
        let mut rights = Self::default();
        match key.service.as_str() {
            "ai-cms" => {
                for row in golden::actions() {
                    let right = golden::right(&key.role, row.name);
                    let needs = right.needs(&key.subject);
                    if right == Right::Always {
                        rights.add(row.name, &[]);
                    }
                    let alternatives: BTreeSet<_> =
                        needs.iter().map(|(.., number)| number).collect();
                    for alternative in alternatives {
                        let needs = needs.iter().filter(|(.., number)| number == alternative);
                        let needs: Vec<_> = needs.map(|(name, value, _)| (*name, *value)).collect();
                        rights.add(row.name, &needs);
                    }
                }
            }
            "shop" => rights.add_shop(key),
            other => panic!("`{other}`"),
        }
        for grant in &key.grants {
            rights.add(grant, &[]);
        }
        rights
    }

    fn add_shop(&mut self, key: &ApiKey) {
        let own = ("resource.owner", key.subject.as_str());
        let (draft, published) = (("resource.state", "draft"), ("resource.state", "published"));
        let manages_keys = ["owner", "keeper"].contains(&key.role.as_str());
        for verb in ["read", "create", "update", "rotate", "revoke"] {
            if manages_keys {
                self.add(&format!("api_keys.{verb}"), &[]);
            }
        }
        match key.role.as_str() {
            "owner" => {
                self.add("orders.read", &[]);
                self.add("orders.update", &[]);
            }
            "keeper" => {
                self.add("orders.update", &[own]);
                self.add("orders.read", &[published]);
            }
            "clerk" => self.add("orders.update", &[own, draft]),
            "visitor" => self.add("orders.read", &[published]),
            "guest" => self.add("orders.read", &[]),
            other => panic!("`{other}`"),
        }
    }

    /// What the sidecar says, in an introspection or of a key's rights.
    pub fn said(allowed: &[String], conditional: &[ConditionalAction]) -> Self {
        let mut rights = Self::default();
        for action in allowed {
            rights.add(action, &[]);
        }
        for one in conditional {
            let numbers: BTreeSet<_> = one.conditions.iter().map(|it| it.alternative).collect();
            for number in numbers {
                let needs = one.conditions.iter().filter(|it| it.alternative == number);
                let needs: Vec<_> = needs.map(|it| (&*it.attribute, &*it.value)).collect();
                rights.add(&one.action, &needs);
            }
        }
        rights
    }

    /// Whether `action` is held whatever the resource.
    pub fn hold(&self, action: &str) -> bool {
        self.0.get(action).is_some_and(|conditions| conditions.contains(&Condition::new()))
    }

    /// Whether everything that `other` allows, these allow too: for each of its
    /// conditions there is one that asks for no more.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|(action, conditions)| {
            let own = self.0.get(action);
            conditions
                .iter()
                .all(|theirs| own.is_some_and(|own| own.iter().any(|mine| mine.is_subset(theirs))))
        })
    }
}

/// What a caller must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// PERMISSION_DENIED, with the missing right.
    NoRight(String),
    /// PERMISSION_DENIED: of another team or service.
    Elsewhere,
    /// PERMISSION_DENIED: it holds, or would hold, more than the caller.
    TooMuch,
    /// NOT_FOUND: as if there were no such key.
    Unseen,
    /// INVALID_ARGUMENT: the role takes no such grant, or is none of the service.
    Invalid,
    /// PERMISSION_DENIED: the operator token only.
    OperatorOnly,
}

/// Whether the role takes these grants.
fn takes(key: &ApiKey) -> bool {
    let grants_fit = key.grants.iter().all(|grant| GRANTS.contains(&grant.as_str()));
    key.grants.is_empty() || (key.service == "ai-cms" && key.role == "admin" && grants_fit)
}

fn is_role(key: &ApiKey) -> bool {
    let shop = ["owner", "keeper", "clerk", "visitor", "guest"];
    let roles = if key.service == "shop" { &shop[..] } else { &golden::ROLES };
    roles.contains(&key.role.as_str())
}

fn is_elsewhere(caller: &ApiKey, key: &ApiKey) -> bool {
    (&caller.team, &caller.service) != (&key.team, &key.service)
}

/// Reads `target`.
pub fn to_read(caller: &ApiKey, target: &ApiKey) -> Answer {
    match () {
        () if !Rights::of(caller).hold("api_keys.read") => Answer::NoRight("api_keys.read".into()),
        () if is_elsewhere(caller, target) => Answer::Unseen,
        () => Answer::Done,
    }
}

/// Makes a new key.
pub fn to_make(caller: &ApiKey, new: &ApiKey) -> Answer {
    let rights = Rights::of(caller);
    match () {
        () if !rights.hold("api_keys.create") => Answer::NoRight("api_keys.create".into()),
        () if !is_role(new) || !takes(new) => Answer::Invalid,
        () if is_elsewhere(caller, new) => Answer::Elsewhere,
        () if !rights.cover(&Rights::of(new)) => Answer::TooMuch,
        () => Answer::Done,
    }
}

/// Rotates or revokes `target`, by `right`.
pub fn to_lay_hands_on(caller: &ApiKey, right: &str, target: &ApiKey) -> Answer {
    let rights = Rights::of(caller);
    match () {
        () if !rights.hold(right) => Answer::NoRight(right.into()),
        () if is_elsewhere(caller, target) => Answer::Unseen,
        () if !rights.cover(&Rights::of(target)) => Answer::TooMuch,
        () => Answer::Done,
    }
}

/// Makes `after` of `before`.
pub fn to_change(caller: &ApiKey, before: &ApiKey, after: &ApiKey) -> Answer {
    match to_lay_hands_on(caller, "api_keys.update", before) {
        Answer::Done if !is_role(after) || !takes(after) => Answer::Invalid,
        Answer::Done if !Rights::of(caller).cover(&Rights::of(after)) => Answer::TooMuch,
        answer => answer,
    }
}
