//! The list of keys: search, filters, order, pages.

use octavia_authz::pb::v1::CreateApiKeyRequest;

use super::{browser::Browser, create, start};
use crate::sidecar::Sidecar;

const NAMES: &str = "td.name bdi";

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn keys_are_found_by_typing_and_the_focus_stays_where_it_is() {
    let (sidecar, browser) = start().await;
    for name in ["cms-backend-prod", "cms-backend-test", "website"] {
        create(&sidecar, name, "read_only").await;
    }
    let (wanted, text) = create(&sidecar, "newsletter", "publisher").await;
    browser.open("/keys").await;
    browser.sees("4 keys").await;
    // The page stays, so what is set on it does.
    browser.run("window.stays = true").await;
    browser.add("Search by name or id", "back").await;
    browser.sees("2 keys match.").await;
    browser.add("Search by name or id", "end-t").await;
    browser.sees("1 key match").await;
    assert_eq!(browser.texts(NAMES).await, ["cms-backend-test"]);
    let focus =
        "const at = document.activeElement; return [at.id, at.selectionStart, window.stays]";
    assert_eq!(browser.run(focus).await, serde_json::json!(["q", 9, true]));
    // The address is that of the list: it can be reloaded, and sent to others.
    assert_eq!(browser.path().await, "/keys?q=backend-t");
    browser.reload().await;
    browser.sees("1 key match").await;
    browser.press("Show all").await;
    browser.sees("4 keys").await;

    // A key's text finds it, and stays in no address.
    browser.fill("Search by name or id", &text).await;
    browser.sees("1 key match").await;
    assert_eq!(browser.path().await, format!("/keys?q={}", wanted.id));
    assert_eq!(browser.texts(NAMES).await, ["newsletter"]);
    browser.press("Filter").await;
    browser.sees("1 key match").await;
    assert_eq!(browser.value("Search by name or id").await, wanted.id);
    browser.fill("Search by name or id", "nothing like it").await;
    browser.sees("0 keys match.").await;
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn what_is_selected_stays_so_while_the_list_is_searched_and_the_figures_follow() {
    let (sidecar, browser) = start().await;
    for name in ["cms-backend", "website"] {
        create(&sidecar, name, "read_only").await;
    }
    browser.open("/keys?status=active").await;
    browser.shows(".figure[aria-current]", &["2 Active"]).await;
    browser.choose("Select cms-backend").await;
    browser.add("Search by name or id", "cms").await;
    browser.sees("1 key match").await;
    browser.sees("1 selected:").await;
    browser.shows(".figure[aria-current]", &[""; 0]).await;
    browser.fill("Search by name or id", "web").await;
    browser.shows(NAMES, &["website"]).await;
    browser.sees("0 selected:").await;
    browser.fill("Search by name or id", "").await;
    browser.shows(NAMES, &["cms-backend", "website"]).await;
    assert!(browser.is_chosen("Select cms-backend").await);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn keys_are_filtered_by_what_they_are_and_by_the_figures() {
    let (sidecar, browser) = start().await;
    let (_, used) = create(&sidecar, "a", "writer").await;
    let (disabled, _) = create(&sidecar, "b", "writer").await;
    create(&sidecar, "c", "super_admin").await;
    sidecar.authorize(&used, "articles.create").await;
    browser.open(&format!("/keys/{}", disabled.id)).await;
    browser.press("Disable").await;
    browser.sees("b is inactive").await;
    for (label, option, names) in [
        ("Status", "Active", vec!["a", "c"]),
        ("Status", "Inactive", vec!["b"]),
        ("Role", "Writer", vec!["a", "b"]),
        ("Last used", "Never", vec!["b", "c"]),
        ("Expiration", "Lifetime (no expiry)", vec!["a", "b", "c"]),
    ] {
        browser.open("/keys").await;
        browser.select(label, option).await;
        let count = match names.len() {
            1 => "1 key match".to_owned(),
            count => format!("{count} keys match"),
        };
        browser.sees(&count).await;
        assert_eq!(browser.texts(NAMES).await, names, "{label}: {option}");
    }
    // What is counted is what the link shows.
    for (figure, names) in [
        ("2 Active", vec!["a", "c"]),
        ("2 Never used", vec!["b", "c"]),
        ("1 Super Admin keys", vec!["c"]),
    ] {
        browser.press(figure).await;
        let current = ".figure[aria-current]";
        browser.shows(current, &[figure]).await;
        assert_eq!(browser.texts(NAMES).await, names, "{figure}");
    }
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn many_keys_have_pages_in_every_order() {
    let (sidecar, browser) = start().await;
    let mut names: Vec<_> = (0..60).map(|number| format!("key-{number:02}")).collect();
    for name in &names {
        create(&sidecar, name, "read_only").await;
    }
    browser.open("/keys").await;
    browser.sees("60 keys").await;
    browser.shows(NAMES, &names[..50]).await;
    browser.press("Next").await;
    browser.shows(NAMES, &names[50..]).await;
    assert!(!browser.offers("Next").await);
    browser.press("Previous").await;
    browser.shows(NAMES, &names[..50]).await;
    assert!(!browser.offers("Previous").await);
    names.reverse();
    for column in ["Name", "Created"] {
        browser.open("/keys").await;
        browser.press(column).await;
        if column == "Created" {
            browser.press(column).await;
        }
        browser.shows(NAMES, &names[..50]).await;
        let sorted = "th[aria-sort=descending]";
        assert_eq!(browser.texts(sorted).await, [column]);
        browser.press("Next").await;
        browser.shows(NAMES, &names[50..]).await;
        assert_eq!(browser.texts(sorted).await, [column]);
    }
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn with_several_services_keys_are_told_apart_by_theirs() {
    // Its Super Admin may not do everything.
    const SHOP: &str = r#"
        [services.shop]
        title = "Shop"
        [services.shop.actions.orders]
        read = "read orders"
        update = "change orders"
        [services.shop.roles.super_admin]
        title = "Super Admin"
        allow = ["orders.read"]
    "#;
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy.toml");
    std::fs::write(&policy, SHOP).unwrap();
    let sidecar = Sidecar::start_with(&["--policy", policy.to_str().unwrap()]);
    create(&sidecar, "cms", "super_admin").await;
    let of_shop = CreateApiKeyRequest {
        name: "till".into(),
        service: "shop".into(),
        role: "super_admin".into(),
        ..Default::default()
    };
    sidecar.keys().await.create_api_key(of_shop).await.unwrap();
    let browser = Browser::start(&sidecar.dashboard).await;
    browser.sign_in(&sidecar.operator_token()).await;
    browser.sees("2 keys").await;
    browser.select("Service", "Shop").await;
    browser.sees("1 key match").await;
    assert_eq!(browser.texts(NAMES).await, ["till"]);
    assert_eq!(browser.texts("tbody td:nth-child(3)").await, ["Shop"]);
    browser.press("1 Super Admin keys").await;
    browser.shows(".figure[aria-current]", &["1 Super Admin keys"]).await;
    assert_eq!(browser.texts(NAMES).await, ["cms"]);
    sidecar.finish().await;
}
