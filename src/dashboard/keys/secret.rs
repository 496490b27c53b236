//! The page that shows a key's text, once.

use askama::Template;
use axum::response::Response;

use super::KeyView;
use crate::{
    dashboard::{Frame, problem::page},
    token::Token,
};

#[derive(Template)]
#[template(path = "keys/secret.html", config = "src/dashboard/askama.toml")]
struct SecretPage<'a> {
    frame: Frame,
    key: KeyView,
    text: &'a str,
    /// `created` or `rotated`.
    done: &'static str,
    /// What else there is to know, in sentences.
    about: String,
}

/// The answer to the form that made `token`: it stands on no other page, and not in an address.
pub(super) fn show(
    frame: Frame,
    key: KeyView,
    token: &Token,
    done: &'static str,
    about: String,
) -> Response {
    page(&SecretPage { frame, key, text: token.reveal(), done, about })
}
