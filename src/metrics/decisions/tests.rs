//! Where decisions are counted, whatever keys say and however the policy changes.

use std::{sync::Barrier, thread};

use prometheus_client::{encoding::text, registry::Registry};

use super::*;

fn policy(text: &str) -> Policy {
    Policy::overlay("a test", &format!("built_in = false\n{text}")).unwrap()
}

fn shop() -> Policy {
    policy(
        r#"
        [services.shop]
        actions.orders = { read = "read one", refund = "pay it back" }
        actions.stock = { read = "read it" }
        roles.clerk = { allow = ["orders.*"] }
        "#,
    )
}

fn text(counts: &DecisionCounts) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    registry.register("decisions", "Decisions", counts.clone());
    text::encode(&mut text, &registry).unwrap();
    text
}

fn add(counts: &DecisionCounts, policy: &Policy, [service, role, action]: [&str; 3]) {
    let action = policy.service(service).and_then(|service| service.action(action));
    counts.of(policy, service, role).add(action, Counted::Allowed);
}

#[test]
fn a_decision_is_counted_by_its_actions_resource() {
    let (counts, policy) = (DecisionCounts::default(), shop());
    for action in ["orders.read", "orders.refund", "stock.read"] {
        add(&counts, &policy, ["shop", "clerk", action]);
    }
    assert_eq!(counts.count(["shop", "clerk", "orders"], Counted::Allowed), 2);
    assert_eq!(counts.count(["shop", "clerk", "stock"], Counted::Allowed), 1);
    assert_eq!(counts.count(["shop", "clerk", "stock"], Counted::ActionDenied), 0);
}

#[test]
fn what_the_policy_does_not_have_is_counted_as_other() {
    let (counts, policy) = (DecisionCounts::default(), shop());
    for number in 0..100 {
        let unknown = format!("x{number}");
        add(&counts, &policy, ["shop", "clerk", &unknown]);
        add(&counts, &policy, ["shop", &unknown, "orders.read"]);
        add(&counts, &policy, [&unknown, &unknown, &unknown]);
    }
    assert_eq!(counts.count(["shop", "clerk", OTHER], Counted::Allowed), 100);
    assert_eq!(counts.count(["shop", OTHER, "orders"], Counted::Allowed), 100);
    assert_eq!(counts.count([OTHER; 3], Counted::Allowed), 100);
    // The clerk's and other's: orders, stock and other; all others; and those without a key.
    assert_eq!(counts.0.table.load().rows.len(), 2 * 3 + 1 + 1);
}

#[test]
fn only_what_happened_is_shown_and_what_can_happen_without_a_key() {
    let (counts, policy) = (DecisionCounts::default(), shop());
    add(&counts, &policy, ["shop", "clerk", "orders.read"]);
    counts.add_unproven(Counted::KeyUnknown);
    let text = text(&counts);
    let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let none = r#"service="none",role="none",resource="none""#;
    assert_eq!(
        series,
        [
            &format!(r#"decisions_total{{{none},reason="KEY_MALFORMED"}} 0"#),
            &format!(r#"decisions_total{{{none},reason="KEY_UNKNOWN"}} 1"#),
            &format!(r#"decisions_total{{{none},reason="REQUEST_INVALID"}} 0"#),
            &format!(r#"decisions_total{{{none},reason="UNAVAILABLE"}} 0"#),
            r#"decisions_total{service="shop",role="clerk",resource="orders",reason="ALLOWED"} 1"#,
        ]
    );
}

#[test]
fn counts_outlive_the_policy_and_go_on_when_it_comes_back() {
    let (counts, before) = (DecisionCounts::default(), shop());
    // Other numbers for the same actions, and another role.
    let after = policy(
        r#"
        [services.shop]
        actions.alarms = { read = "read one" }
        actions.stock = { read = "read it" }
        roles.guard = { allow = ["*"] }
        "#,
    );
    let held = counts.of(&before, "shop", "clerk");
    let stock = before.service("shop").unwrap().action("stock.read");
    for _ in 0..3 {
        add(&counts, &before, ["shop", "clerk", "orders.read"]);
        add(&counts, &after, ["shop", "guard", "alarms.read"]);
        // A key that was resolved before the change.
        held.add(stock, Counted::ActionDenied);
    }
    assert_eq!(counts.count(["shop", "clerk", "orders"], Counted::Allowed), 3);
    assert_eq!(counts.count(["shop", "guard", "alarms"], Counted::Allowed), 3);
    assert_eq!(counts.count(["shop", "clerk", "stock"], Counted::ActionDenied), 3);
    assert!(text(&counts).contains(r#"role="clerk",resource="orders""#));
}

#[test]
fn names_of_a_policy_that_are_ours_make_no_series_twice() {
    let counts = DecisionCounts::default();
    let policy = policy(
        r#"
        [services.none]
        actions.none = { read = "" }
        actions.other = { read = "" }
        roles.none = { allow = ["*"] }
        roles.other = { allow = ["*"] }
        [services.other]
        actions.other = { read = "" }
        roles.other = { allow = ["*"] }
        "#,
    );
    for (service, role, action) in [
        ("none", "none", "none.read"),
        ("none", "none", "other.read"),
        ("none", "other", "no.such"),
        ("none", "no", "other.read"),
        ("other", "other", "other.read"),
        ("no", "no", "no.such"),
    ] {
        add(&counts, &policy, [service, role, action]);
    }
    let text = text(&counts);
    let mut series: Vec<_> = text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    series.sort();
    assert!(series.windows(2).all(|pair| pair[0].0 != pair[1].0), "{text}");
}

#[test]
fn a_policy_beyond_all_bounds_ends_in_other() {
    use std::fmt::Write as _;

    let mut text = String::new();
    for service in 0..9 {
        writeln!(text, "[services.s{service}]").unwrap();
        for resource in 0..60 {
            writeln!(text, "actions.r{resource} = {{ read = \"\" }}").unwrap();
        }
        for role in 0..9 {
            writeln!(text, "roles.x{role} = {{ allow = [\"*\"] }}").unwrap();
        }
    }
    let (counts, policy) = (DecisionCounts::default(), policy(&text));
    add(&counts, &policy, ["s0", "x0", "r0.read"]);
    add(&counts, &policy, ["s8", "x8", "r59.read"]);
    assert_eq!(counts.count(["s0", "x0", "r0"], Counted::Allowed), 1);
    assert_eq!(counts.count([OTHER; 3], Counted::Allowed), 1);
    assert!(counts.0.table.load().rows.len() <= MAX_ROWS + 1);
}

#[test]
fn nothing_is_lost_while_policies_change() {
    const EACH: u64 = 500;
    let counts = DecisionCounts::default();
    let policies: Vec<_> = (0..4)
        .map(|number| {
            policy(&format!(
                "[services.shop]\nactions.a{number} = {{ read = \"\" }}\n\
                 actions.orders = {{ read = \"\" }}\nroles.clerk = {{ allow = [\"*\"] }}"
            ))
        })
        .collect();
    let barrier = Barrier::new(policies.len());
    thread::scope(|scope| {
        for policy in &policies {
            let (counts, barrier) = (&counts, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for _ in 0..EACH {
                    add(counts, policy, ["shop", "clerk", "orders.read"]);
                }
            });
        }
    });
    let sum = EACH * policies.len() as u64;
    assert_eq!(counts.count(["shop", "clerk", "orders"], Counted::Allowed), sum);
    assert!(counts.0.table.load().policies.len() <= POLICIES);
}
