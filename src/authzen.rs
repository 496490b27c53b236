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
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE, request::Parts};

use self::{
    answer::{Answer, Answers, Error},
    json::Fault,
    request::{Evaluation, Evaluations},
};
use crate::{
    authorizer::{Authorizer, Outcome, Question, Reason, log_unread},
    decision_log::{Call, Decided, DecisionLog},
    grpc::peer_in_extensions,
    metrics::{Api, Counted},
};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const CONFIGURATION: &str = "/.well-known/authzen-configuration";

/// Who answers.
#[derive(Clone)]
struct Decider {
    authorizer: Arc<Authorizer>,
    log: DecisionLog,
}

/// The endpoints in front of `authorizer`; what is decided goes into `log`. Requests are expected to
/// be of a bounded size.
pub fn router(authorizer: Arc<Authorizer>, log: DecisionLog) -> Router {
    let only = |method: MethodRouter<Decider>, name: &'static str| {
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
        .with_state(Decider { authorizer, log })
}

async fn evaluation(State(decider): State<Decider>, head: Parts, body: Bytes) -> Response {
    let answer = check_is_json(&head.headers).and_then(|()| {
        let (evaluation, top) = (Evaluation::read(&body)?, Evaluation::default());
        decider.evaluate(&call(&head), evaluation.asked(&top), evaluation.question(&top))
    });
    answered(answer)
}

async fn evaluations(State(decider): State<Decider>, head: Parts, body: Bytes) -> Response {
    let asked = check_is_json(&head.headers).and_then(|()| Ok(Evaluations::read(&body)?));
    let Evaluations { top, several, semantic } = match asked {
        Ok(asked) => asked,
        Err(error) => return error.response(),
    };
    let call = call(&head);
    if several.is_empty() {
        let none = Evaluation::default();
        return answered(decider.evaluate(&call, top.asked(&none), top.question(&none)));
    }
    let mut answers = Vec::with_capacity(several.len());
    for (index, one) in several.into_iter().enumerate() {
        let within = |fault: Fault| fault.within(&format!("evaluations[{index}]"));
        let answer = match Evaluation::of_value(one).map_err(within) {
            Ok(one) => decider.evaluate(&call, one.asked(&top), one.question(&top).map_err(within)),
            Err(fault) => decider.evaluate(&call, Decided::default(), Err(fault)),
        };
        let revision = || decider.authorizer.revision();
        let answer = answer.unwrap_or_else(|error| Answer::undecided(error, revision()));
        let decision = answer.decision;
        answers.push(answer);
        if semantic.ends_with(decision) {
            break;
        }
    }
    answer::json(StatusCode::OK, &Answers { evaluations: answers })
}

/// A call of ours, for the log.
fn call(head: &Parts) -> Call<'_> {
    let (headers, extensions, peer) = (&head.headers, &head.extensions, peer_in_extensions as _);
    Call { api: "authzen", headers, extensions, peer }
}

fn answered(answer: Result<Answer, Error>) -> Response {
    match answer {
        Ok(answer) => answer::json(StatusCode::OK, &answer),
        Err(error) => error.response(),
    }
}

impl Decider {
    /// Decides `question`, and logs it as what was `asked`.
    fn evaluate(
        &self,
        call: &Call<'_>,
        asked: Decided<'_>,
        question: Result<Question<'_>, Fault>,
    ) -> Result<Answer, Error> {
        let timer = self.authorizer.timer(Api::Authzen);
        let undecided = |outcome| {
            let revision = self.authorizer.revision();
            self.log.write(call, &Decided { outcome, revision, ..asked });
        };
        let question = question.inspect_err(|_| {
            self.authorizer.count_undecided(Counted::RequestInvalid);
            undecided(Some(Outcome::Deny(Reason::RequestInvalid)));
        })?;
        let decision = self.authorizer.authorize(&question).map_err(|error| {
            log_unread(&error);
            undecided(None);
            let message = "the store could not be read; nothing was decided";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })?;
        drop(timer);
        let (outcome, key) = (Some(decision.outcome), decision.key.as_deref());
        let revision = decision.revision;
        self.log.write(call, &Decided { outcome, key, revision, ..asked });
        Ok(Answer::decided(&decision))
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
