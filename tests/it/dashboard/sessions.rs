//! A session in a real browser: how it is come by and kept.

use super::{Browser, start};
use crate::sidecar::Sidecar;

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_link_of_another_site_leads_to_the_page_and_not_to_the_sign_in() {
    let (sidecar, browser) = start().await;
    let port = sidecar.dashboard.rsplit(':').next().unwrap();
    // Another site, as browsers see it.
    browser.run(&format!("location.assign('http://localhost:{port}/sign-in')")).await;
    browser.heading("Sign in").await;
    browser.run(&format!("location.assign('{}/roles')", sidecar.dashboard)).await;
    browser.heading("Roles").await;
    assert_eq!(browser.path().await, "/roles");
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn who_does_nothing_is_told_before_the_session_ends_and_can_stay() {
    let sidecar = Sidecar::start_with(&["--dashboard-idle-timeout", "8s"]);
    let browser = Browser::start(&sidecar.dashboard).await;
    browser.sign_in(&sidecar.operator_token()).await;
    browser.open("/keys/new").await;
    browser.fill("Name", "half typed").await;
    for _ in 0..2 {
        browser.sees("Your session ends soon").await;
        browser.press("Stay signed in").await;
        browser.shows("#ending[hidden] button", &["Stay signed in"]).await;
    }
    assert_eq!(browser.value("Name").await, "half typed");
    sidecar.finish().await;
}
