//! Style, script and icon: part of the program, named by what is in them, kept by browsers for good.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

const STYLE: &str = include_str!("assets/dashboard.css");
const SCRIPT: &str = include_str!("assets/dashboard.js");
const ICON: &str = include_str!("assets/icon.svg");

/// For what is for nobody after its visitor.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for asset in [STYLE, SCRIPT, ICON] {
        hasher.update(asset.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(16).collect()
});
static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path("dashboard.css"));
static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path("dashboard.js"));
static ICON_PATH: LazyLock<String> = LazyLock::new(|| path("icon.svg"));

fn path(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// Where the style is.
pub(super) fn style() -> &'static str {
    &STYLE_PATH
}

/// Where the script is.
pub(super) fn script() -> &'static str {
    &SCRIPT_PATH
}

/// Where the icon is.
pub(super) fn icon() -> &'static str {
    &ICON_PATH
}

/// An asset; needs no session. Of another version it is this one's, and not to be kept.
pub(super) async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let (kind, text) = match name.as_str() {
        "dashboard.css" => ("text/css; charset=utf-8", STYLE),
        "dashboard.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response(),
    };
    let keep = if version == *VERSION { FOR_GOOD } else { NO_STORE };
    let kind = HeaderValue::from_static(kind);
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], text).into_response()
}
