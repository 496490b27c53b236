//! Routes: the built-in ones against the table of operations, the router against a slow reading of
//! its rules, paths that are refused.

use proptest::prelude::*;

use super::*;

const OPERATIONS: &str = include_str!("../../../tests/data/operations.tsv");
const HOST: &str = "api.octaviatech.app";

fn operations() -> Vec<Vec<&'static str>> {
    OPERATIONS.lines().skip(1).map(|row| row.split('\t').collect()).collect()
}

/// `path` with each placeholder filled in.
fn filled(path: &str) -> String {
    let segments = path.split('/').map(|part| if part.starts_with('{') { "64f0c1" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

fn found(policy: &Policy, host: &str, method: &str, target: &str) -> Option<String> {
    policy.route(host, method, target).unwrap().map(ToString::to_string)
}

#[test]
fn the_built_in_routes_are_the_table_of_operations() {
    let policy = Policy::built_in().unwrap();
    for row in operations() {
        let [method, path, action, when_conditional, body] = row[..] else { panic!("{row:?}") };
        let target = format!("/cms{}?page=1", filled(path));
        let route = policy.route(HOST, method, &target).unwrap().unwrap();
        assert_eq!((route.method(), route.path()), (method, path));
        assert_eq!((route.service(), route.action()), ("ai-cms", action));
        let forwards = route.when_conditional() == WhenConditional::Forward;
        assert_eq!(if forwards { "forward" } else { "deny" }, when_conditional, "{row:?}");
        assert_eq!(route.reads_body(), !body.is_empty(), "{row:?}");
    }
    let document = BUILT_IN.parse().unwrap();
    let routes: usize = document.services.values().map(|service| service.routes.len()).sum();
    assert_eq!(routes, 131);
}

#[test]
fn an_operation_is_found_by_its_own_method_only() {
    let (policy, rows) = (Policy::built_in().unwrap(), operations());
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "Post", ""];
    for row in &rows {
        let target = format!("/cms{}", filled(row[1]));
        for method in methods {
            assert_eq!(found(&policy, HOST, method, &target), slow(&rows, method, &target));
        }
    }
}

#[test]
fn the_fields_of_a_body_need_what_the_table_says() {
    use FieldValue::{False, Other, True};
    const CREATE: &str = "articles.create";
    const PUBLISH: &str = "articles.publish";
    const UNPUBLISH: &str = "articles.unpublish";
    const VISIBILITY: &str = "articles.set_visibility";
    const SCHEDULE: &str = "articles.schedule";
    const UPDATE: &str = "articles.update";
    let policy = Policy::built_in().unwrap();
    let needs = |method, path: &str, fields: Option<&[(&str, FieldValue)]>| -> Vec<String> {
        let route = policy.route(HOST, method, &format!("/cms{path}")).unwrap().unwrap();
        let fields: Option<Vec<_>> = fields.map(|fields| {
            fields.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        });
        let body = fields.as_deref().map_or(Body::Unknown, Body::Object);
        let mut needs: Vec<String> = route.needs(body).into_iter().map(str::to_owned).collect();
        needs.sort();
        needs
    };
    for (fields, expected) in [
        (vec![], vec![CREATE]),
        (vec![("title", Other)], vec![CREATE]),
        (vec![("isPublished", False), ("isPrivate", False)], vec![CREATE]),
        (vec![("isPublished", True)], vec![CREATE, PUBLISH]),
        (vec![("isPublished", Other)], vec![CREATE, PUBLISH]),
        (vec![("isPrivate", True)], vec![CREATE, VISIBILITY]),
        (vec![("isPrivate", Other)], vec![CREATE, VISIBILITY]),
        (vec![("publishDate", Other)], vec![CREATE, SCHEDULE]),
        (vec![("publishDate", False)], vec![CREATE, SCHEDULE]),
        (vec![("IsPublished", False)], vec![CREATE, PUBLISH]),
    ] {
        assert_eq!(needs("POST", "/articles/create", Some(&fields)), expected, "{fields:?}");
    }
    for (fields, expected) in [
        (vec![], vec![UPDATE]),
        (vec![("id", Other)], vec![UPDATE]),
        (vec![("id", Other), ("isPublished", True)], vec![PUBLISH]),
        (vec![("id", Other), ("isPublished", False)], vec![UNPUBLISH]),
        (vec![("id", Other), ("isPublished", Other)], vec![PUBLISH, UNPUBLISH]),
        (vec![("isPublished", True), ("title", Other)], vec![PUBLISH, UPDATE]),
        (vec![("isPrivate", False)], vec![VISIBILITY]),
        (vec![("publishDate", Other)], vec![SCHEDULE]),
        // Some readers take these for `isPublished`.
        (vec![("ispublished", True)], vec![PUBLISH, UNPUBLISH, UPDATE]),
        (vec![("i\u{17f}Publi\u{17f}hed", True)], vec![PUBLISH, UNPUBLISH, UPDATE]),
        (vec![("is_published", True)], vec![PUBLISH, UNPUBLISH, UPDATE]),
        (vec![("ID", True)], vec![UPDATE]),
        (vec![("*", True)], vec![UPDATE]),
    ] {
        assert_eq!(needs("PUT", "/articles/update", Some(&fields)), expected, "{fields:?}");
    }
    let all = [CREATE, PUBLISH, SCHEDULE, VISIBILITY];
    assert_eq!(needs("POST", "/articles/create", None), all);
    let all = [PUBLISH, SCHEDULE, VISIBILITY, UNPUBLISH, UPDATE];
    assert_eq!(needs("PUT", "/articles/update", None), all);
    assert_eq!(needs("POST", "/tags/create", None), ["tags.create"]);
}

#[test]
fn a_path_that_could_be_read_in_two_ways_is_refused() {
    use PathFault::*;
    let policy = Policy::built_in().unwrap();
    let long = format!("/cms/articles/getById/{}", "a".repeat(MAX_PATH));
    for (target, expected) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("http://api/cms/articles/getAll", NotAbsolute),
        ("cms/articles/getAll", NotAbsolute),
        ("//cms/articles/getAll", EmptySegment),
        ("/cms//articles/getAll", EmptySegment),
        ("/cms/articles/getAll//", EmptySegment),
        ("/cms/./articles/getAll", DotSegment),
        ("/cms/articles/../tags/getAll", DotSegment),
        ("/cms/articles/getById/%2e%2E", DotSegment),
        ("/cms/articles/getById/.%2e", DotSegment),
        ("/cms/articles/getById/..", DotSegment),
        ("/cms/articles/getById/a%2fb", HiddenSlash),
        ("/cms/articles/getById/a%2Fb", HiddenSlash),
        ("/cms/articles/getById/a%5cb", HiddenSlash),
        ("/cms/articles\\getAll", HiddenSlash),
        ("/cms/articles/getAll;jsessionid=1", Semicolon),
        ("/cms/articles/getById/a%3bb", Semicolon),
        ("/cms/articles/getById/a\u{1}", Control),
        ("/cms/articles/getById/a\u{7f}", Control),
        ("/cms/articles/getById/a%00", Control),
        ("/cms/articles/getById/a%0d%0a", Control),
        ("/cms/articles/getAll#", Control),
        ("/cms/articles/comments/getAll%3Fx/reactionSummary", Control),
        ("/cms/articles/getById/a%", Escape),
        ("/cms/articles/getById/a%2", Escape),
        ("/cms/articles/getById/a%zz", Escape),
        ("/cms/articles/getById/a%252e", Escape),
        ("/cms/articles/getById/%25%32%66", Escape),
        ("/cms/articles/getById/%c0%af", NotUtf8),
        ("/cms/articles/getById/%ff", NotUtf8),
        (&*long, TooLong),
    ] {
        assert_eq!(policy.route(HOST, "GET", target).unwrap_err(), expected, "{target}");
    }
    // The query is nobody's path.
    let target = "/cms/articles/getAll?a=//../%2f;%";
    assert_eq!(found(&policy, HOST, "GET", target).as_deref(), Some("GET /articles/getAll"));
}

#[test]
fn what_only_looks_like_a_literal_is_no_operation() {
    let policy = Policy::built_in().unwrap();
    for (method, target) in [
        ("GET", "/cms/articles/getAll/"),
        ("GET", "/articles/getAll"),
        ("GET", "/CMS/articles/getAll"),
        ("GET", "/cms/Articles/getAll"),
        ("GET", "/cms/articles/getall"),
        ("GET", "/%63ms/articles/getAll"),
        ("GET", "/cms/%61rticles/getAll"),
        // Else these would be `DELETE /articles/{id}/reaction`.
        ("DELETE", "/cms/articles/Comments/reaction"),
        ("DELETE", "/cms/articles/%63omments/reaction"),
        ("DELETE", "/cms/articles/%43omments/reaction"),
        ("GET", "/cms/articles/getById/"),
        ("GET", "/"),
        ("GET", "/cms"),
    ] {
        assert_eq!(found(&policy, HOST, method, target), None, "{method} {target}");
    }
}

#[test]
fn a_literal_wins_over_a_placeholder() {
    let policy = overlay(
        r#"
        [services.shop]
        actions.orders = { read = "", refund = "" }
        roles.clerk = { allow = ["orders.*"] }
        http.base_paths = ["/shop"]
        [services.shop.routes]
        "GET /orders/{id}" = "orders.read"
        "GET /orders/mine" = "orders.refund"
        "GET /orders/{id}/lines" = "orders.read"
        "#,
    );
    let find = |target| found(&policy, HOST, "GET", target);
    assert_eq!(find("/shop/orders/mine").as_deref(), Some("GET /orders/mine"));
    assert_eq!(find("/shop/orders/m%C3%A4ine").as_deref(), Some("GET /orders/{id}"));
    assert_eq!(find("/shop/orders/MINE"), None);
    // `mine` has nothing below it: it is an id.
    assert_eq!(find("/shop/orders/mine/lines").as_deref(), Some("GET /orders/{id}/lines"));
    assert_eq!(find("/cms/orders/1"), None);
    assert_eq!(find("/cms/tags/getAll").as_deref(), Some("GET /tags/getAll"));
}

#[test]
fn a_service_that_names_hosts_is_asked_there_and_nowhere_else() {
    let policy = overlay(
        r#"
        [services.shop]
        actions.orders.read = ""
        roles.clerk = { allow = ["orders.*"] }
        http.hosts = ["shop.example.com", "*.shops.example.com"]
        routes."GET /" = "orders.read"
        "#,
    );
    for (host, target, expected) in [
        ("shop.example.com", "/", Some("GET /")),
        ("SHOP.example.com:8443", "/", Some("GET /")),
        ("shop.example.com.", "/?page=1", Some("GET /")),
        ("a.shops.example.com", "/", Some("GET /")),
        ("a.b.shops.example.com", "/", Some("GET /")),
        ("shops.example.com", "/", None),
        ("ashops.example.com", "/", None),
        ("example.com", "/", None),
        ("[::1]:80", "/", None),
        ("", "/", None),
        // The other services are not at these hosts.
        ("shop.example.com", "/cms/tags/getAll", None),
        ("example.com", "/cms/tags/getAll", Some("GET /tags/getAll")),
    ] {
        assert_eq!(found(&policy, host, "GET", target).as_deref(), expected, "{host} {target}");
    }
}

#[test]
fn a_host_that_is_no_name_costs_nothing_and_is_nowhere() {
    let policy = overlay("[services.ai-cms]\nhttp.hosts = [\"api.example.com\"]\n");
    let dots = ".".repeat(900_000);
    assert_eq!(policy.route(&dots, "GET", "/cms/tags/getAll"), Err(PathFault::Host));
    let longest = format!("{}api.example.com", "a.".repeat(122));
    assert_eq!(found(&policy, &longest, "GET", "/cms/tags/getAll"), None);
}

#[test]
fn letters_that_fold_into_ascii_are_taken_for_them() {
    let policy = overlay(
        r#"
        [services.shop]
        actions.orders = { read = "", refund = "" }
        roles.clerk = { allow = ["orders.*"] }
        [services.shop.routes]
        "GET /{id}" = "orders.read"
        "GET /sink" = "orders.refund"
        "#,
    );
    for path in ["/SINK", "/%C5%BFink", "/sin%E2%84%AA", "/\u{17f}ink"] {
        assert_eq!(found(&policy, HOST, "GET", path), None, "{path}");
    }
    assert_eq!(found(&policy, HOST, "GET", "/sinks").as_deref(), Some("GET /{id}"));
}

#[test]
fn a_file_adds_and_replaces_routes_and_base_paths() {
    let policy = overlay(
        r#"
        [services.ai-cms]
        http.base_paths = ["/cms/", "/v2/{tenant}"]
        [services.ai-cms.routes]
        "GET /tags/getAll" = "tags.update"
        "GET /tags/{id}" = { action = "tags.read", when_conditional = "forward" }
        "#,
    );
    let action = |target: &str| {
        policy.route(HOST, "GET", target).unwrap().map(|route| route.action().to_owned())
    };
    for base in ["/cms", "/v2/acme"] {
        assert_eq!(action(&format!("{base}/tags/getAll")).as_deref(), Some("tags.update"));
        assert_eq!(action(&format!("{base}/tags/1")).as_deref(), Some("tags.read"));
        assert_eq!(action(&format!("{base}/articles/getAll")).as_deref(), Some("articles.read"));
    }
    assert_eq!(action("/v2/tags/getAll"), None);
    let replaced = overlay(
        r#"
        [services.ai-cms]
        replace = true
        actions.tags.read = ""
        roles.reader.allow = ["tags.read"]
        "#,
    );
    assert_eq!(found(&replaced, HOST, "GET", "/cms/tags/getAll"), None);
}

#[test]
fn every_part_of_a_route_changes_the_digest() {
    let variants = [
        r#"routes."GET /x" = "tags.read""#,
        r#"routes."PUT /x" = "tags.read""#,
        r#"routes."GET /y" = "tags.read""#,
        r#"routes."GET /{x}" = "tags.read""#,
        r#"routes."GET /x" = "tags.update""#,
        r#"routes."GET /x" = { action = "tags.read", when_conditional = "forward" }"#,
        r#"routes."GET /x" = { action = "tags.read", body = { a = "tags.update" } }"#,
        r#"routes."GET /x" = { action = "tags.read", body = { b = "tags.update" } }"#,
        r#"routes."GET /x" = { action = "tags.read", body = { a = { true = "tags.update" } } }"#,
        r#"routes."GET /x" = { action = "tags.read", body = { a = { false = "tags.update" } } }"#,
        r#"routes."GET /x" = { action = "tags.read", body = { "*" = "tags.update" } }"#,
        r#"http.base_paths = ["/x"]"#,
        r#"http.hosts = ["x"]"#,
        "",
    ];
    let digests: Vec<_> = variants
        .iter()
        .map(|variant| *overlay(&format!("[services.ai-cms]\n{variant}\n")).digest())
        .collect();
    for (index, digest) in digests.iter().enumerate() {
        assert_eq!(digests.iter().position(|other| other == digest), Some(index));
    }
}

/// The route that the rules give, read one after the other: of those that match, the one that has a
/// literal at the first place where they differ.
fn slow(rows: &[Vec<&'static str>], method: &str, path: &str) -> Option<String> {
    let segments: Vec<&str> = path.strip_prefix("/cms/")?.split('/').collect();
    let matching = rows.iter().filter(|row| {
        let route: Vec<&str> = row[1].split('/').skip(1).collect();
        row[0] == method
            && route.len() == segments.len()
            && route.iter().zip(&segments).all(|(known, segment)| {
                known == segment || (known.starts_with('{') && !segment.is_empty())
            })
    });
    // `{` sorts after every letter.
    matching.map(|row| format!("{} {}", row[0], row[1])).min()
}

proptest! {
    #[test]
    fn the_router_finds_what_a_slow_reading_of_its_rules_finds(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE"]),
        picks in prop::collection::vec((0..1000_usize, prop::bool::weighted(0.2)), 1..6),
        row in 0..131_usize,
        like_a_row in any::<bool>(),
    ) {
        let rows = operations();
        let policy = Policy::built_in().unwrap();
        let mut words: Vec<&str> =
            rows.iter().flat_map(|row| row[1].split('/').skip(1)).collect();
        words.sort_unstable();
        words.dedup();
        let shape: Vec<&str> = rows[row][1].split('/').skip(1).collect();
        let segments: Vec<&str> = picks
            .iter()
            .enumerate()
            .map(|(place, (pick, id))| match shape.get(place) {
                _ if *id => "64f0c1",
                Some(word) if like_a_row => word,
                _ => words[pick % words.len()],
            })
            .map(|word| if word.starts_with('{') { "7" } else { word })
            .collect();
        let path = format!("/cms/{}", segments.join("/"));
        prop_assert_eq!(found(&policy, HOST, method, &path), slow(&rows, method, &path), "{}", path);
    }

    #[test]
    fn no_text_is_too_odd_for_the_router(target in "[ -~\u{0}-\u{1f}é/%;\\\\]{0,40}", host in ".{0,20}") {
        let policy = Policy::built_in().unwrap();
        let _ = policy.route(&host, "GET", &target);
    }
}
