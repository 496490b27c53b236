//! Pictures of the pages, of keys as a workspace has them: for the documentation.

use std::{env, fs, path::PathBuf};

use tempfile::TempDir;

use super::{Browser, scene};
use crate::sidecar::Sidecar;

const SIZE: (u32, u32) = (1120, 690);
const MAX: usize = 150_000;

/// With `OCTAVIA_TEST_SCREENSHOTS` the pictures stay in that folder.
#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn screenshots() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let release_train = scene::make(&data).await;
    let sidecar = Sidecar::start_on(&data, &[]);
    let folder = env::var_os("OCTAVIA_TEST_SCREENSHOTS");
    let folder = folder.map_or_else(|| dir.path().join("screenshots"), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    let browser = Browser::start(&sidecar.dashboard).await;
    browser.hide_scrollbars().await;
    browser.look("light", SIZE.0, SIZE.1).await;
    browser.sign_in(&sidecar.operator_token()).await;
    let take = async |name: &str, scheme: &str, (width, height): (u32, u32)| {
        browser.look(scheme, width, height).await;
        let picture = browser.screenshot().await;
        assert!(picture.len() < MAX, "{name}, {scheme}: {} bytes", picture.len());
        fs::write(folder.join(format!("{name}-{scheme}.png")), picture).unwrap();
    };
    let key = format!("/keys/{release_train}");
    let pages = ["list", "new", "key", "review", "audit", "roles"];
    for page in pages {
        match page {
            "list" => browser.open("/keys").await,
            "new" => {
                browser.open("/keys/new").await;
                browser.fill("Name", "cms-backend-staging").await;
                browser.choose("Editor").await;
                browser.run("document.activeElement.blur()").await;
            }
            "review" => {
                browser.open(&key).await;
                browser.choose("Managing Editor").await;
                browser.press("Save").await;
                browser.heading("Review the changes").await;
            }
            "key" => browser.open(&key).await,
            other => browser.open(&format!("/{other}")).await,
        }
        browser.run("scrollTo(0, 0)").await;
        for scheme in ["light", "dark"] {
            take(page, scheme, SIZE).await;
        }
        if page == "list" {
            take("list-narrow", "light", (360, 800)).await;
        }
    }
    sidecar.finish().await;
}
