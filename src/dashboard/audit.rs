//! The audit log: filter, follow, verify.

mod event;
mod reading;
mod verification;

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;

pub use self::reading::Reading;
pub(super) use self::{event::EventView, verification::verify};
use self::{event::KINDS, verification::CheckView};
use super::{App, Frame, Problem, Section, Visitor, fields::Fields, problem::page};
use crate::{
    audit::{AuditError, Auditor, PageRequest},
    change::Actor,
    clock::Timestamp,
    event::Filter,
    expiration::Expiration,
    store::Order,
};

/// Events on a page.
const PAGE: usize = 50;
/// So long an answer waits for news.
const NEWS: Duration = Duration::from_secs(5);
const DAY: i64 = 24 * 60 * 60 * 1_000;

/// A page of events.
pub(super) struct EventPage {
    pub(super) events: Vec<EventView>,
    /// Where it goes on; empty: it does not.
    pub(super) next: String,
}

#[derive(Template)]
#[template(path = "audit.html", config = "src/dashboard/askama.toml")]
struct AuditPage {
    frame: Frame,
    events: Vec<EventView>,
    /// The link to older ones.
    older: Option<String>,
    /// Nothing was found so far: the page goes on by itself.
    goes_on: Option<String>,
    /// It is not the first page.
    is_later: bool,
    /// Where the page asks for itself: see `Visitor`.
    again: String,
    query: Fields,
    errors: Vec<String>,
    kinds: &'static [(&'static str, &'static str)],
    narrows: bool,
    several: bool,
    /// Where news is asked for; `None`: the page shows what was.
    news: Option<String>,
    /// The link that follows, or does so no more.
    follow: String,
    /// The query of the first page.
    newest_query: String,
    /// `None`: not for this visitor.
    check: Option<CheckView>,
}

#[derive(Template)]
#[template(path = "audit_rows.html", config = "src/dashboard/askama.toml")]
struct Rows {
    events: Vec<EventView>,
}

/// The page.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    // A link is followed by the visitor, whoever asked for its page.
    let query = Fields::parse(query.unwrap_or_default().as_bytes()).without("again");
    let (filter, errors) = filter(&query);
    // Before the page is read: what comes meanwhile is news.
    let newest = app.auditor.newest();
    let token = query.get("page").to_owned();
    let request =
        PageRequest { size: PAGE, token: token.clone(), filter, order: Order::NewestFirst };
    let read = match read(&app, &visitor, request, None).await {
        Ok(read) => read,
        Err(problem) => return problem.page(&visitor),
    };
    let narrows = ["key", "actor", "kind", "team", "from", "until", "outcome", "request"];
    let live = query.is_on("live") && token.is_empty() && errors.is_empty();
    let events = if errors.is_empty() { read.events } else { Vec::new() };
    let older = (!read.next.is_empty())
        .then(|| format!("/audit?{}", query.without("live").with("page", &read.next)));
    page(&AuditPage {
        frame: visitor.frame(Section::Audit),
        goes_on: older
            .as_ref()
            .filter(|_| !live && events.is_empty() && errors.is_empty())
            .map(|link| format!("{link}&again=1")),
        events,
        older,
        is_later: !token.is_empty(),
        kinds: &KINDS,
        narrows: narrows.iter().any(|name| !query.get(name).is_empty()),
        several: visitor.is_operator(),
        news: live.then(|| format!("/audit/news?{}", query.with("after", &newest.to_string()))),
        follow: format!(
            "/audit?{}",
            query.without("page").with("live", if live { "" } else { "on" })
        ),
        again: format!("/audit?{}", query.with("again", "1")),
        newest_query: query.with("page", ""),
        check: visitor.is_operator().then(|| app.reading.verifications.view(app.clock.now())),
        query,
        errors,
    })
}

/// What has come after an event, as rows of the table; says in `x-octavia-through` up to where. Waits a
/// while for something to come.
pub(super) async fn news(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    let (filter, errors) = filter(&query);
    let Some(after) = query.get("after").parse::<u64>().ok().filter(|_| errors.is_empty()) else {
        let text = "The page asks for something that there is not; reload it.";
        return Problem::new(StatusCode::BAD_REQUEST, "No such news", text).page(&visitor);
    };
    // Nobody waits for what is not told to them.
    if let Err(error) = app.auditor.require_reader(&visitor.caller) {
        return Problem::from(error).page(&visitor);
    }
    let (mut newest, mut stopping) = (app.auditor.watch(), app.stopping.clone());
    let something = async {
        tokio::select! {
            _ = newest.wait_for(|newest| *newest > after) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    };
    // Nothing may come: that is an answer, too.
    let _ = timeout(NEWS, something).await;
    let caller = visitor.caller.clone();
    let batch =
        in_turn(&app, &visitor, None, move |auditor| auditor.follow(&caller, after, &filter)).await;
    let batch = match batch {
        Ok(batch) => batch,
        Err(problem) => return problem.page(&visitor),
    };
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let events = batch.events.iter().rev().map(|event| EventView::new(event, &policy, now));
    let through = HeaderValue::from(batch.through);
    ([("x-octavia-through", through)], page(&Rows { events: events.collect() })).into_response()
}

/// A page of events, as `visitor` may see them. It waits for its turn, for as long as its `patience`
/// lasts; `None`: as long as it takes.
pub(super) async fn read(
    app: &App,
    visitor: &Visitor,
    request: PageRequest,
    patience: Option<Duration>,
) -> Result<EventPage, Problem> {
    let caller = visitor.caller.clone();
    let read =
        in_turn(app, visitor, patience, move |auditor| auditor.list(&caller, &request)).await?;
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let events = read.events.iter().map(|event| EventView::new(event, &policy, now)).collect();
    Ok(EventPage { events, next: read.next })
}

/// Runs `read` on a thread that may wait for a disk, when it is its turn.
async fn in_turn<T: Send + 'static>(
    app: &App,
    visitor: &Visitor,
    patience: Option<Duration>,
    read: impl FnOnce(&Auditor) -> Result<T, AuditError> + Send + 'static,
) -> Result<T, Problem> {
    let failed = |error: &(dyn std::error::Error + 'static)| Problem::unavailable(error);
    // Waiting here and not there: a page that is given up leaves the queue. The token of its forms
    // tells a session from others as well as its name.
    let turn = app.reading.turns.take(visitor.form_token.clone());
    let turn = match patience {
        Some(patience) => timeout(patience, turn).await.unwrap_or_default(),
        None => turn.await,
    };
    let Some(turn) = turn else { return Err(Problem::too_many()) };
    let auditor = app.auditor.clone();
    let read = tokio::task::spawn_blocking(move || {
        let read = read(&auditor);
        drop(turn);
        read
    });
    Ok(read.await.map_err(|error| failed(&error))??)
}

/// Which events the query asks for, and what of it makes no sense.
fn filter(query: &Fields) -> (Filter, Vec<String>) {
    let mut errors = Vec::new();
    let mut wrong = |text: &str| errors.push(text.to_owned());
    let key_id = query.some("key").and_then(|id| {
        let id = id.parse().inspect_err(|_| wrong("A key's id has 10 letters and digits."));
        id.ok()
    });
    let actor = query.some("actor").and_then(|actor| match actor.as_str() {
        "operator" => Some(Actor::Operator),
        "system" => Some(Actor::System),
        id => {
            let id = id.strip_prefix("key:").unwrap_or(id).parse();
            let id = id.inspect_err(|_| wrong("Who did it is operator, or a key's id."));
            id.ok().map(Actor::Key)
        }
    });
    let mut day = |name: &str| {
        let date = query.some(name)?;
        match date.parse() {
            // The first instant after that day.
            Ok(Expiration::At(end)) => Some(end),
            _ => {
                wrong("Give days as 2027-01-31.");
                None
            }
        }
    };
    let (from, until) = (day("from"), day("until"));
    let filter = Filter {
        key_id,
        actor,
        kinds: event::kinds(query.get("kind")),
        team: query.some("team"),
        from: from.map(|end| Timestamp(end.0.saturating_sub(DAY))),
        until,
        refused: match query.get("outcome") {
            "done" => Some(false),
            "refused" => Some(true),
            _ => None,
        },
        request_id: query.some("request"),
        within: None,
    };
    (filter, errors)
}
