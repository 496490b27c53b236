//! The list of keys: search, filters, order, pages, and figures.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Redirect, Response},
};

use super::{KeyView, new::Errors};
use crate::{
    dashboard::{App, Frame, Problem, Section, Visitor, fields::Fields, problem::page},
    keyring::{By, EXPIRING_WITHIN, Figures, Filter, IDLE_FOR, Order, PageRequest},
};

const DAY: u64 = 24 * 60 * 60;
/// Keys on a page.
const PAGE: usize = 50;

/// The columns that it can be ordered by: in the query, and as the keyring has it.
const ORDERS: [(&str, By); 4] = [
    ("name", By::Name),
    ("created", By::Created),
    ("used", By::LastUsed),
    ("expires", By::Expires),
];

#[derive(Template)]
#[template(path = "keys/list.html", config = "src/dashboard/askama.toml")]
struct ListPage {
    frame: Frame,
    figures: Vec<Figure>,
    keys: Vec<KeyView>,
    total: usize,
    /// There is no key at all that the visitor may see.
    none_at_all: bool,
    next: Option<String>,
    previous: Option<String>,
    query: Query,
    /// Names and titles.
    roles: Vec<(String, String)>,
    /// The same, if the visitor sees several.
    services: Vec<(String, String)>,
    /// The visitor sees several teams.
    teams: bool,
    updates: bool,
    revokes: bool,
}

/// A number at a glance, and the list that it counts.
struct Figure {
    label: String,
    count: u64,
    query: String,
    /// It is the list that is shown.
    current: bool,
    /// It asks for a look.
    warns: bool,
}

/// What is asked for, to be shown again.
struct Query {
    fields: Fields,
    search: String,
    /// Something narrows the list.
    narrows: bool,
    /// How many filters do, beside the search.
    filters: usize,
}

impl ListPage {
    const STATUSES: [(&'static str, &'static str); 3] =
        [("active", "Active"), ("inactive", "Inactive"), ("expired", "Expired")];
    const USES: [(&'static str, &'static str); 5] = [
        ("never", "Never"),
        ("30", "Not for 30 days"),
        ("90", "Not for 90 days"),
        ("180", "Not for 180 days"),
        ("365", "Not for a year"),
    ];
    const EXPIRATIONS: [(&'static str, &'static str); 4] = [
        ("7", "Within 7 days"),
        ("30", "Within 30 days"),
        ("90", "Within 90 days"),
        ("lifetime", "Lifetime (no expiry)"),
    ];
    /// Where there is no room for the columns whose heads sort.
    const SORTS: [(&'static str, &'static str); 8] = [
        ("", "By name"),
        ("-name", "By name, from Z"),
        ("-used", "Last used first"),
        ("used", "Longest unused first"),
        ("expires", "First to expire"),
        ("-expires", "Last to expire"),
        ("-created", "Newest first"),
        ("created", "Oldest first"),
    ];
}

impl Query {
    fn new(fields: Fields) -> Self {
        let filters = ["status", "service", "role", "used", "expires", "team"];
        let filters = filters.iter().filter(|name| !fields.get(name).is_empty()).count();
        let search = fields.get("q").to_owned();
        Self { narrows: filters > 0 || !search.is_empty(), search, filters, fields }
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.fields.get(name) == value
    }

    /// For pages that lead back to the list.
    fn back(&self) -> String {
        self.fields.with("page", "")
    }

    fn get(&self, name: &str) -> &str {
        self.fields.get(name)
    }

    /// The link that orders by `column`: turns it around if it is the order already.
    fn sorted(&self, column: &str) -> String {
        let sort = match self.direction(column) {
            "ascending" => format!("-{column}"),
            _ => column.to_owned(),
        };
        format!("/keys?{}", self.fields.without("page").with("sort", &sort))
    }

    /// For `aria-sort`.
    fn direction(&self, column: &str) -> &'static str {
        let sort = match self.fields.get("sort") {
            "" => "name",
            sort => sort,
        };
        match sort.strip_prefix('-') {
            Some(descending) if descending == column => "descending",
            None if sort == column => "ascending",
            _ => "none",
        }
    }

    fn order(&self) -> Order {
        let sort = self.fields.get("sort");
        let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
        let by = ORDERS.iter().find(|(known, _)| *known == name).map_or(By::Name, |(_, by)| *by);
        Order { by, descending }
    }

    /// What does not make sense does not narrow.
    fn filter(&self) -> Filter {
        let days = |name| {
            let days = self.fields.get(name).parse::<u64>().ok().filter(|days| *days < 100_000);
            days.map(|days| Duration::from_secs(days * DAY))
        };
        let (active, expired) = match self.fields.get("status") {
            "active" => (Some(true), Some(false)),
            "inactive" => (Some(false), Some(false)),
            "expired" => (None, Some(true)),
            _ => (None, None),
        };
        Filter {
            search: self.fields.some("q"),
            team: self.fields.some("team"),
            service: self.fields.some("service"),
            roles: self.fields.some("role").into_iter().collect(),
            active,
            expired,
            never_used: self.is("used", "never").then_some(true),
            unused_for: days("used"),
            expires_within: days("expires"),
            lifetime: self.is("expires", "lifetime").then_some(true),
            ..Filter::default()
        }
    }
}

impl Figure {
    /// All of them; `unrestricted` are the titles of the roles that may do everything, and the lists of
    /// their keys.
    fn all(figures: &Figures, unrestricted: &[(String, String)], query: &Query) -> Vec<Self> {
        let days = |length: Duration| length.as_secs() / DAY;
        let figure = |label: String, count, asked: &str, warns| {
            let current = !asked.is_empty() && query.fields.with("page", "") == asked;
            Self { label, count, query: asked.to_owned(), current, warns: warns && count > 0 }
        };
        let soon = days(EXPIRING_WITHIN);
        let idle = days(IDLE_FOR);
        let mut all = vec![
            figure("Active".to_owned(), figures.active, "status=active", false),
            figure(
                format!("Expire within {soon} days"),
                figures.expiring,
                &format!("expires={soon}"),
                true,
            ),
            figure("Never used".to_owned(), figures.never_used, "used=never", false),
            figure(format!("Idle {idle} days"), figures.idle, &format!("used={idle}"), true),
            figure("Lifetime".to_owned(), figures.lifetime, "expires=lifetime", false),
        ];
        if let [(title, list)] = unrestricted {
            all.push(figure(format!("{title} keys"), figures.unrestricted, list, false));
        } else if !unrestricted.is_empty() {
            all.push(figure("Unrestricted keys".to_owned(), figures.unrestricted, "", false));
        }
        all
    }
}

pub(in crate::dashboard) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let query = Query::new(fields);
    let request = PageRequest {
        size: PAGE,
        token: query.get("page").to_owned(),
        order: query.order(),
        filter: query.filter(),
    };
    let (page_of_keys, figures) = match app.keyring.overview(visitor.caller.clone(), request).await
    {
        Ok(overview) => overview,
        // A page that was kept for long.
        Err(error) if Errors::of(&error).is_some() && query.fields.has("page") => {
            return Redirect::to(&format!("/keys?{}", query.fields.with("page", "")))
                .into_response();
        }
        Err(error) => return Problem::from(error).page(&visitor),
    };
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let is_seen = |name| visitor.powers.service().is_none_or(|own| own == name);
    let services = policy.services().filter(|service| is_seen(service.name())).collect::<Vec<_>>();
    let several = services.len() > 1;
    let (mut known, mut unrestricted) = (Vec::new(), Vec::new());
    for service in &services {
        for role in service.roles().iter().rev() {
            let named = (role.name().to_owned(), role.title().to_owned());
            if service.gives_all(role.name()) {
                let mut list = form_urlencoded::Serializer::new(String::new());
                if several {
                    list.append_pair("service", service.name());
                }
                list.append_pair("role", role.name());
                unrestricted.push((role.title().to_owned(), list.finish()));
            }
            if !known.contains(&named) {
                known.push(named);
            }
        }
    }
    let titles = services.iter().filter(|_| several);
    let titles = titles.map(|service| (service.name().to_owned(), service.title().to_owned()));
    let link = |token: &str| {
        (!token.is_empty()).then(|| format!("/keys?{}", query.fields.with("page", token)))
    };
    let keys = page_of_keys.keys.iter();
    page(&ListPage {
        frame: visitor.frame(Section::Keys),
        figures: Figure::all(&figures, &unrestricted, &query),
        keys: keys.map(|key| KeyView::new(key, &app.keyring, &policy, now)).collect(),
        total: page_of_keys.total,
        none_at_all: figures.total == 0,
        next: link(&page_of_keys.next),
        previous: link(&page_of_keys.previous),
        roles: known,
        services: titles.collect(),
        teams: visitor.is_operator(),
        updates: visitor.may("api_keys.update"),
        revokes: visitor.may("api_keys.revoke"),
        query,
    })
}
