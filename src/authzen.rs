//! The OpenID AuthZEN Authorization API 1.0, the side of the policy decision point: evaluations
//! over HTTP with JSON, for tools and gateways that speak it.
//!
//! INVARIANT: a handler here asks the authorizer and says what came back; it decides nothing
//! itself. What could not be decided is an error or, among several, `"decision": false` with one.
//! <https://openid.net/specs/authorization-api-1_0.html>

mod answer;
mod discovery;
mod json;
mod request;

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use self::{
    answer::{Answer, Answers, Error},
    json::Fault,
    request::{Evaluation, Evaluations},
};
use crate::{
    authorizer::{Authorizer, Question},
    metrics::{Api, Counted},
};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const CONFIGURATION: &str = "/.well-known/authzen-configuration";

/// The endpoints in front of `authorizer`. Requests are expected to be of a bounded size.
pub fn router(authorizer: Arc<Authorizer>) -> Router {
    let only = |method: MethodRouter<Arc<Authorizer>>, name: &'static str| {
        method.fallback(async move || {
            let message = format!("this endpoint takes {name} only: send that");
            Error::new(StatusCode::METHOD_NOT_ALLOWED, message).response()
        })
    };
    let configuration = get(async |headers: HeaderMap| discovery::metadata(&headers));
    Router::new()
        .route(EVALUATION, only(post(evaluation), "POST"))
        .route(EVALUATIONS, only(post(evaluations), "POST"))
        .route(CONFIGURATION, only(configuration, "GET"))
        .fallback(async || {
            let message = format!(
                "there is nothing at this path: \
                 use POST {EVALUATION}, POST {EVALUATIONS} or GET {CONFIGURATION}"
            );
            Error::new(StatusCode::NOT_FOUND, message).response()
        })
        .with_state(authorizer)
}

async fn evaluation(
    State(authorizer): State<Arc<Authorizer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = check_is_json(&headers).and_then(|()| {
        let evaluation = Evaluation::read(&body)?;
        evaluate(&authorizer, evaluation.question(&Evaluation::default()))
    });
    answered(answer)
}

async fn evaluations(
    State(authorizer): State<Arc<Authorizer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = check_is_json(&headers).and_then(|()| Ok(Evaluations::read(&body)?));
    let Evaluations { top, several, semantic } = match asked {
        Ok(asked) => asked,
        Err(error) => return error.response(),
    };
    if several.is_empty() {
        return answered(evaluate(&authorizer, top.question(&Evaluation::default())));
    }
    let mut answers = Vec::with_capacity(several.len());
    for (index, one) in several.into_iter().enumerate() {
        let within = |fault: Fault| fault.within(&format!("evaluations[{index}]"));
        let answer = Evaluation::of_value(one).map_err(within).map_err(Error::from);
        let answer = answer
            .and_then(|one| evaluate(&authorizer, one.question(&top).map_err(within)))
            .unwrap_or_else(|error| Answer::undecided(error, authorizer.revision()));
        let decision = answer.decision;
        answers.push(answer);
        if semantic.ends_with(decision) {
            break;
        }
    }
    answer::json(StatusCode::OK, &Answers { evaluations: answers })
}

fn answered(answer: Result<Answer, Error>) -> Response {
    match answer {
        Ok(answer) => answer::json(StatusCode::OK, &answer),
        Err(error) => error.response(),
    }
}

fn evaluate(
    authorizer: &Authorizer,
    question: Result<Question<'_>, Fault>,
) -> Result<Answer, Error> {
    let _timer = authorizer.timer(Api::Authzen);
    let question = question.inspect_err(|_| authorizer.count_undecided(Counted::RequestInvalid))?;
    match authorizer.authorize(&question) {
        Ok(decision) => Ok(Answer::decided(&decision)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "a key could not be read");
            let message = "the store could not be read; nothing was decided";
            Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, message))
        }
    }
}

/// Refuses what is not said to be JSON. A page in a browser cannot say that to another server
/// unasked.
fn check_is_json(headers: &HeaderMap) -> Result<(), Error> {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let kind = match (given.next(), given.next()) {
        (Some(kind), None) => kind.to_str().unwrap_or_default(),
        _ => "",
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "`content-type` must be `application/json`, once: send JSON, and say so";
    Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

#[cfg(test)]
mod tests;
