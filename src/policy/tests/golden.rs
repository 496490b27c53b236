//! The built-in policy holds the table of permissions, no more and no less.

use super::*;

const PERMISSIONS: &str = include_str!("../../../tests/data/permissions.tsv");
const OPERATIONS: &str = include_str!("../../../tests/data/operations.tsv");

#[test]
fn the_built_in_policy_is_the_table_of_permissions() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service("ai-cms").unwrap();
    let mut table = vec!["action\tmeaning".to_owned()];
    for role in service.roles() {
        table[0] += &format!("\t{}", role.name());
    }
    for action in service.actions() {
        let id = service.action(action.name()).unwrap();
        let mut row = format!("{}\t{}", action.name(), action.meaning());
        for role in service.roles() {
            row += "\t";
            row += &match role.rights().right(id) {
                Right::Always => "allow".to_owned(),
                Right::Never => "-".to_owned(),
                Right::When(conditions) => {
                    let names: Vec<_> = conditions.iter().map(Condition::name).collect();
                    names.join("|")
                }
            };
        }
        table.push(row);
    }
    // Who stated a right makes no difference to it.
    let expected = PERMISSIONS.replace(" (implied)", "");
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(expected.len(), 1 + 83);
    assert_eq!(service.roles().len(), 7);
    assert_eq!(table, expected);
    assert_eq!(policy.services().count(), 1);
}

#[test]
fn every_operation_needs_actions_of_the_catalogue() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service("ai-cms").unwrap();
    let rows: Vec<Vec<&str>> =
        OPERATIONS.lines().skip(1).map(|row| row.split('\t').collect()).collect();
    assert_eq!(rows.len(), 131);
    for row in rows {
        let by_body = row[4]
            .split("; ")
            .filter_map(|rule| rule.split_once(" -> "))
            .map(|(_, action)| action)
            .filter(|action| *action != "none");
        for action in by_body.chain([row[2]]) {
            assert!(service.action(action).is_some(), "{action} in {row:?}");
        }
    }
}

#[test]
fn the_roles_are_described_in_the_words_of_the_guide() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service("ai-cms").unwrap();
    assert_eq!(service.name(), "ai-cms");
    assert_eq!(service.title(), "AI CMS");
    let titles: Vec<_> = service.roles().iter().map(Role::title).collect();
    assert_eq!(
        titles,
        [
            "Super Admin",
            "Admin",
            "Managing Editor (Editor-in-Chief)",
            "Publisher",
            "Editor",
            "Writer",
            "Read-only"
        ]
    );
    let writer = service.role("writer").unwrap();
    assert_eq!(writer.intended_use(), "Authors and contributors");
    assert_eq!(
        writer.summary(),
        "Create and edit their own drafts, upload media, and submit content for editorial review. \
         Cannot publish or delete articles."
    );
}

#[test]
fn only_an_admin_takes_grants_and_only_of_billing_and_api_keys() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service("ai-cms").unwrap();
    for role in service.roles() {
        let grantable: Vec<_> = service.names(role.grantable()).collect();
        let expected: &[&str] = match role.name() {
            "admin" => &[
                "billing.read",
                "billing.update",
                "api_keys.read",
                "api_keys.create",
                "api_keys.update",
                "api_keys.rotate",
                "api_keys.revoke",
            ],
            _ => &[],
        };
        assert_eq!(grantable, expected, "{}", role.name());
        for action in service.actions() {
            let rights = service.rights(role.name(), &[action.name().to_owned()]).unwrap();
            let taken = expected.contains(&action.name());
            assert_eq!(rights != *role.rights(), taken, "{} {action:?}", role.name());
        }
    }
}

#[test]
fn a_grant_adds_its_action_and_nothing_else() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service("ai-cms").unwrap();
    let admin = service.rights("admin", &[]).unwrap();
    let granted = service.rights("admin", &["billing.read".to_owned()]).unwrap();
    for action in service.actions() {
        let id = service.action(action.name()).unwrap();
        let expected = match action.name() {
            "billing.read" => Right::Always,
            _ => admin.right(id),
        };
        assert_eq!(granted.right(id), expected, "{}", action.name());
    }
    assert_eq!(&admin, service.role("admin").unwrap().rights());
}

#[test]
fn what_is_not_in_the_policy_has_no_rights() {
    let policy = Policy::built_in().unwrap();
    let service = policy.service("ai-cms").unwrap();
    assert!(policy.service("").is_none());
    assert!(policy.service("ai_cms").is_none());
    for name in ["", "*", "articles", "articles.*", "articles.Read", " articles.read"] {
        assert!(service.action(name).is_none(), "{name}");
        assert!(service.role(name).is_none(), "{name}");
        assert!(service.rights(name, &[]).is_none(), "{name}");
        let grants = ["billing.read".to_owned(), name.to_owned()];
        assert_eq!(
            service.rights("admin", &grants),
            service.rights("admin", &grants[..1]),
            "{name}"
        );
    }
    let admin = service.rights("admin", &[]);
    assert_eq!(service.rights("admin", &["billing.*".to_owned()]), admin);
    assert_eq!(service.action_name(ActionId::new(255).unwrap()), "");
}

#[test]
fn a_decision_allocates_nothing() {
    let policy = Policy::built_in().unwrap();
    let attributes = Attributes { owner: "ana", state: "draft" };
    let allocated = allocation_counter::measure(|| {
        let service = policy.service("ai-cms").unwrap();
        let rights = service.role("writer").unwrap().rights();
        for (action, expected) in
            [("articles.create", true), ("articles.update", true), ("articles.publish", false)]
        {
            let right = rights.right(service.action(action).unwrap());
            assert_eq!(right.allows(&attributes, "ana"), expected);
            if let Right::When(conditions) = right {
                let mut needs = conditions.iter().flat_map(|one| one.needs("ana"));
                assert_eq!(needs.next(), Some(("resource.owner", "ana")));
            }
        }
        assert!(service.action("articles.destroy").is_none());
    });
    assert_eq!(allocated.count_total, 0);
}
