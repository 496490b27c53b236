//! What a policy file does to the built-in policy, and what the digest makes of it.

use super::*;

fn built_in_digest() -> [u8; 32] {
    *Policy::built_in().unwrap().digest()
}

#[test]
fn an_empty_file_changes_nothing() {
    for text in ["", "# nothing\n", "built_in = true", "[services.ai-cms]"] {
        assert_eq!(overlay(text).digest(), &built_in_digest(), "{text}");
    }
}

#[test]
fn a_file_adds_a_service() {
    let policy = overlay(
        r#"
        [services.shop]
        actions.orders = { read = "read an order", refund = "pay it back" }
        roles.clerk = { allow = ["orders.*"] }
        "#,
    );
    let names: Vec<_> = policy.services().map(|service| service.name()).collect();
    assert_eq!(names, ["ai-cms", "shop"]);
    let shop = policy.service("shop").unwrap();
    assert_eq!(shop.title(), "shop");
    assert_eq!(allowed(shop, "clerk"), ["orders.read", "orders.refund"]);
    let clerk = shop.role("clerk").unwrap();
    assert_eq!((clerk.title(), clerk.intended_use(), clerk.summary()), ("clerk", "", ""));
    let ai_cms = policy.service("ai-cms").unwrap();
    assert!(ai_cms.action("orders.read").is_none());
    assert_eq!(ai_cms.actions().len(), 83);
}

#[test]
fn an_added_action_is_covered_by_the_patterns_of_the_built_in_roles() {
    let policy = overlay(
        r#"
        [services.ai-cms.actions]
        articles.pin = "keep an article on top"
        billing.export = "export invoices"
        newsletters.send = "send a newsletter"
        "#,
    );
    let service = policy.service("ai-cms").unwrap();
    let holders = |name: &str| -> Vec<&str> {
        let action = service.action(name).unwrap();
        service
            .roles()
            .iter()
            .filter(|role| role.rights().right(action) == Right::Always)
            .map(Role::name)
            .collect()
    };
    assert_eq!(holders("articles.pin"), ["super_admin", "admin"]);
    assert_eq!(holders("billing.export"), ["super_admin"]);
    assert_eq!(holders("newsletters.send"), ["super_admin"]);
    let grants = ["billing.export".to_owned()];
    assert_ne!(service.rights("admin", &grants), service.rights("admin", &[]));
    let names: Vec<_> = service.actions().iter().map(Action::name).collect();
    assert_eq!(names.len(), 86);
    assert_eq!(names[83..], ["articles.pin", "billing.export", "newsletters.send"]);
}

#[test]
fn an_action_can_be_given_another_meaning_and_keeps_its_place() {
    let policy = overlay("[services.ai-cms.actions.articles]\nread = \"see it\"");
    let service = policy.service("ai-cms").unwrap();
    assert_eq!(service.actions()[0].name(), "articles.read");
    assert_eq!(service.actions()[0].meaning(), "see it");
    assert_eq!(service.actions().len(), 83);
    assert_eq!(service.title(), "AI CMS");
}

#[test]
fn a_role_of_the_same_name_is_replaced_whole_and_keeps_its_place() {
    let policy = overlay(
        r#"
        [services.ai-cms]
        title = "Our CMS"
        [services.ai-cms.roles.writer]
        allow = ["articles.create"]
        [services.ai-cms.roles.auditor]
        allow = ["audit.read"]
        "#,
    );
    let service = policy.service("ai-cms").unwrap();
    assert_eq!(service.title(), "Our CMS");
    assert_eq!(allowed(service, "writer"), ["articles.create"]);
    let writer = service.role("writer").unwrap();
    assert_eq!(writer.rights().conditional().count(), 0);
    assert_eq!((writer.title(), writer.summary()), ("writer", ""));
    assert_eq!(allowed(service, "auditor"), ["audit.read"]);
    let roles: Vec<_> = service.roles().iter().map(Role::name).collect();
    assert_eq!(
        roles,
        [
            "super_admin",
            "admin",
            "managing_editor",
            "publisher",
            "editor",
            "writer",
            "read_only",
            "auditor"
        ]
    );
}

const REPLACEMENT: &str = r#"
    actions.pages = { read = "read a page" }
    roles.visitor = { when = { "pages.read" = ["published"] } }
"#;

#[test]
fn a_service_that_says_replace_starts_from_nothing() {
    let policy = overlay(&format!("[services.ai-cms]\nreplace = true\n{REPLACEMENT}"));
    let service = policy.service("ai-cms").unwrap();
    assert_eq!(service.title(), "ai-cms");
    assert_eq!(service.actions().len(), 1);
    assert_eq!(service.roles().len(), 1);
    let read = service.action("pages.read").unwrap();
    let mut published = ConditionSet::default();
    published.insert(Condition::Published);
    assert_eq!(service.role("visitor").unwrap().rights().right(read), Right::When(published));
}

#[test]
fn a_file_can_stand_instead_of_the_built_in_policy() {
    let policy = overlay(&format!("built_in = false\n[services.site]\n{REPLACEMENT}"));
    let names: Vec<_> = policy.services().map(|service| service.name()).collect();
    assert_eq!(names, ["site"]);
    assert!(policy.service("ai-cms").is_none());
}

#[test]
fn a_service_can_have_256_actions() {
    let verbs: String = (0..256).map(|i| format!("v{i} = \"\"\n")).collect();
    let policy = overlay(&format!(
        "[services.big]\nroles.all = {{ allow = [\"*\"] }}\n[services.big.actions.it]\n{verbs}"
    ));
    let big = policy.service("big").unwrap();
    let last = big.action("it.v255").unwrap();
    assert_eq!(last.index(), 255);
    assert_eq!(big.action_name(last), "it.v255");
    let all = big.role("all").unwrap().rights();
    assert_eq!(all.always().len(), 256);
    assert_eq!(all.right(last), Right::Always);
}

#[test]
fn the_digest_sees_meaning_and_not_layout() {
    let plain = r#"
        [services.s]
        actions.a = { x = "one", y = "two" }
        roles.r = { allow = ["a.x", "a.y"] }
    "#;
    let digest = |text: &str| *overlay(text).digest();
    let base = digest(plain);
    assert_ne!(base, built_in_digest());
    for same in [
        "# a comment\n[services.s.actions.a]\nx = 'one'\ny = \"two\"\n[services.s.roles.r]\ntitle = \"r\"\nallow = [\"*\"]\n",
        "[services.s]\ntitle = \"s\"\nactions.a = { x = \"one\", y = \"two\" }\nroles.r = { allow = [\"a.y\", \"a.*\"] }",
    ] {
        assert_eq!(digest(same), base, "{same}");
    }
    for (from, to) in [
        ("services.s", "services.t"),
        ("[services.s]", "[services.s]\ntitle = \"S\""),
        ("\"one\"", "\"One\""),
        ("x =", "z = \"\", x ="),
        ("x = \"one\", y = \"two\"", "y = \"two\", x = \"one\""),
        ("roles.r", "roles.q"),
        ("\"a.x\", \"a.y\"", "\"a.x\""),
        ("\"a.x\", \"a.y\"]", "\"a.x\"], when = { \"a.y\" = [\"own\"] }"),
        ("\"a.x\", \"a.y\"]", "\"a.x\"], when = { \"a.y\" = [\"own_draft\"] }"),
        ("\"a.x\", \"a.y\"]", "\"a.x\"], grantable = [\"a.y\"]"),
        ("{ allow", "{ title = \"R\", allow"),
        ("{ allow", "{ intended_use = \"R\", allow"),
        ("{ allow", "{ summary = \"R\", allow"),
    ] {
        let changed = plain.replace(from, to);
        assert_ne!(changed, plain);
        assert_ne!(digest(&changed), base, "{changed}");
    }
}
