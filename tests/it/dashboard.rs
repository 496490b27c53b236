//! The dashboard in a real browser, and what it does as the APIs see it.

mod browser;
mod guide;

use self::browser::Browser;
use crate::sidecar::Sidecar;

/// A sidecar, and its operator signed in.
async fn start() -> (Sidecar, Browser) {
    let sidecar = Sidecar::start();
    let browser = Browser::start(&sidecar.dashboard).await;
    browser.sign_in(&sidecar.operator_token()).await;
    (sidecar, browser)
}
