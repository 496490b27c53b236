//! Every mistake a policy file can have: where it is said to be, and in what words.

use std::{error::Error as _, fs, io};

use super::*;

/// A service to make mistakes in: what the tests add starts on line 6.
const BASE: &str = r#"built_in = false
[services.site]
actions.articles = { read = "", publish = "" }
actions.media = { read = "" }
[services.site.roles.writer]
"#;

#[test]
fn the_base_of_these_tests_has_no_mistake() {
    overlay(BASE);
}

#[test]
fn a_mistake_in_a_role_is_said_with_its_line_and_its_remedy() {
    for (lines, expected) in [
        (
            "allow = [\n  \"articles.read\",\n  \"articles.publsh\",\n]",
            "8: unknown action `articles.publsh` in `allow` of role `writer`: did you mean `articles.publish`?",
        ),
        (
            "allow = [\"billing.read\"]",
            "6: unknown action `billing.read` in `allow` of role `writer`",
        ),
        (
            "allow = [\"articles\"]",
            "6: unknown action `articles` in `allow` of role `writer`: did you mean `articles.*`?",
        ),
        ("allow = [\"\"]", "6: unknown action `` in `allow` of role `writer`"),
        (
            "allow = [\"articles.read\\n\"]",
            "6: unknown action `articles.read\\n` in `allow` of role `writer`: did you mean `articles.read`?",
        ),
        (
            "allow = [\"Articles.read\"]",
            "6: unknown action `Articles.read` in `allow` of role `writer`: did you mean `articles.read`?",
        ),
        (
            "allow = [\"artcles.*\"]",
            "6: pattern `artcles.*` in `allow` of role `writer` matches no action: did you mean `articles.*`?",
        ),
        (
            "allow = [\"billing.*\"]",
            "6: pattern `billing.*` in `allow` of role `writer` matches no action",
        ),
        (
            "allow = [\"article.*\"]",
            "6: pattern `article.*` in `allow` of role `writer` matches no action: did you mean `articles.*`?",
        ),
        (
            "allow = [\"articles*\"]",
            "6: invalid pattern `articles*` in `allow` of role `writer`: `*` stands alone or for all of a resource, as in `articles.*`",
        ),
        (
            "allow = [\"*.*\"]",
            "6: invalid pattern `*.*` in `allow` of role `writer`: `*` stands alone or for all of a resource, as in `articles.*`",
        ),
        (
            "allow = [\"*.read\"]",
            "6: invalid pattern `*.read` in `allow` of role `writer`: `*` stands alone or for all of a resource, as in `articles.*`",
        ),
        (
            "allow = [\n\"media.*\",\n\"articles.read\",\n\"media.*\"]",
            "9: `media.*` is twice in `allow` of role `writer`",
        ),
        (
            "grantable = [\"media.read\", \"media.read\"]",
            "6: `media.read` is twice in `grantable` of role `writer`",
        ),
        (
            "grantable = [\"media.raed\"]",
            "6: unknown action `media.raed` in `grantable` of role `writer`: did you mean `media.read`?",
        ),
        (
            "grantable = [\"media.*\"]\nallow = [\"*\"]",
            "6: action `media.read` in `grantable` of role `writer` is already allowed, through `*`: there is nothing to grant",
        ),
        (
            "grantable = [\"media.read\"]\nallow = [\"media.read\"]",
            "6: action `media.read` in `grantable` of role `writer` is already allowed: there is nothing to grant",
        ),
        (
            "allow = [\"articles.*\"]\n[services.site.roles.writer.when]\n\"articles.read\" = [\"own\"]",
            "8: action `articles.read` in `when` of role `writer` is in `allow` too, through `articles.*`: keep one of the two",
        ),
        (
            "allow = [\"articles.read\"]\nwhen = { \"articles.read\" = [\"own\"] }",
            "7: action `articles.read` in `when` of role `writer` is in `allow` too: keep one of the two",
        ),
        (
            "when = { \"article.read\" = [\"own\"] }",
            "6: unknown action `article.read` in `when` of role `writer`: did you mean `articles.read`?",
        ),
        (
            "when = { articles = [\"own\"] }",
            "6: unknown action `articles` in `when` of role `writer`",
        ),
        (
            "when = { \"articles.*\" = [\"own\"] }",
            "6: pattern `articles.*` in `when` of role `writer`: a condition is set for one action at a time, by its name",
        ),
        (
            "when = { \"articles.read\" = [] }",
            "6: action `articles.read` in `when` of role `writer` has no condition: name one, or move the action to `allow`",
        ),
        (
            "[services.site.roles.writer.when]\n\"articles.read\" = [\n  \"own\",\n  \"publisehd\",\n]",
            "9: unknown condition `publisehd` for action `articles.read` in `when` of role `writer`: the conditions are `published`, `own` and `own_draft`",
        ),
        (
            "when = { \"articles.read\" = [\"own\", \"own\"] }",
            "6: condition `own` is twice for action `articles.read` in `when` of role `writer`",
        ),
    ] {
        let text = format!("{BASE}{lines}\n");
        assert_eq!(complaint(&text), format!("policy.toml:{expected}"), "{text}");
    }
}

#[test]
fn a_mistake_in_a_service_is_said_with_its_line_and_its_remedy() {
    const NAMED: &str = "a lowercase letter comes first, then up to 62 lowercase letters, digits";
    let no_roles = "has no roles: define one under `[services.NAME.roles.ROLE]`";
    let no_actions = "has no actions: define some under `[services.NAME.actions.RESOURCE]`";
    let long = "x".repeat(64);
    for (text, expected) in [
        (
            "# ours alone\nbuilt_in = false\n".to_owned(),
            "2: `built_in = false` leaves no service: define one under `[services]`".to_owned(),
        ),
        ("\n[services.s]\nactions.a.x = \"\"\n".to_owned(), format!("2: service `s` {no_roles}")),
        (
            "[services.s.roles.r]\nallow = [\"*\", \"a.x\"]\n".to_owned(),
            format!("1: service `s` {no_actions}"),
        ),
        (
            "[services.s.actions.a]\n[services.s.roles.r]\n".to_owned(),
            format!("1: service `s` {no_actions}"),
        ),
        (
            "\n\n[services.ai-cms]\nreplace = true\nactions.a.x = \"\"\n".to_owned(),
            format!("3: service `ai-cms` {no_roles}"),
        ),
        (
            "[services.Shop]\nactions.a.x = \"\"\nroles.r = {}\n".to_owned(),
            format!("1: invalid service name `Shop`: {NAMED}, `-` or `_`"),
        ),
        (
            "[services.\"\"]\nactions.a.x = \"\"\nroles.r = {}\n".to_owned(),
            format!("1: invalid service name ``: {NAMED}, `-` or `_`"),
        ),
        (
            format!("[services.{long}]\nactions.a.x = \"\"\nroles.r = {{}}\n"),
            format!("1: invalid service name `{long}`: {NAMED}, `-` or `_`"),
        ),
        (
            "[services.s]\nactions.a.x = \"\"\n\n[services.s.roles.\"r\\u001b[1m\"]\n".to_owned(),
            format!("4: invalid role name `r\\u{{1b}}[1m`: {NAMED}, `-` or `_`"),
        ),
        (
            "[services.s]\nroles.r = {}\nactions.api-keys.x = \"\"\n".to_owned(),
            format!("3: invalid resource name `api-keys`: {NAMED} or `_`"),
        ),
        (
            "[services.s]\nroles.r = {}\n[services.s.actions.a]\nx = \"\"\n2nd = \"\"\n".to_owned(),
            format!("5: invalid verb name `2nd`: {NAMED} or `_`"),
        ),
    ] {
        assert_eq!(complaint(&text), format!("policy.toml:{expected}"), "{text}");
    }
    let longest = "x".repeat(63);
    overlay(&format!(
        "[services.{longest}]\nactions.{longest}.{longest} = \"\"\nroles.{longest} = {{}}\n"
    ));
}

#[test]
fn the_first_action_past_256_is_shown_with_their_number() {
    let limit = "and this is the first of more than 256, the most that a service can have";
    let verbs: String = (0..257).map(|i| format!("v{i} = \"\"\n")).collect();
    let text = format!(
        "[services.big]\nroles.all = {{ allow = [\"*\", \"it.v256\"] }}\n[services.big.actions.it]\n{verbs}"
    );
    assert_eq!(
        complaint(&text),
        format!("policy.toml:260: service `big` has 257 actions, {limit}")
    );
    // The built-in actions count, and so do all that are too many.
    let text = format!("[services.ai-cms.actions.it]\n{verbs}");
    assert_eq!(
        complaint(&text),
        format!("policy.toml:175: service `ai-cms` has 340 actions, {limit}")
    );
}

#[test]
fn a_mistake_in_toml_is_said_with_its_line() {
    for (text, expected) in [
        ("[services.s\n", "1: unclosed table, expected `]`"),
        ("[services.s]\ntitle = \"s\n", "2: invalid basic string, expected `\"`"),
        ("built_in = yes\n", "1: string values must be quoted, expected literal string"),
        (
            "[services.s]\ntitle = \"a\"\ntitle = \"b\"\n",
            "3: duplicate key `title`: the file has it further up already",
        ),
        (
            "[services.s]\n[services.s]\n",
            "2: duplicate key `s`: the file has it further up already",
        ),
        (
            "[services.s.actions.a]\nx = \"\"\n\"x\" = \"\"\n",
            "3: duplicate key `\\\"x\\\"`: the file has it further up already",
        ),
        ("\nbuiltin = false\n", "2: unknown field `builtin`, expected `built_in` or `services`"),
        (
            "[services.s]\ntilte = \"s\"\n",
            "2: unknown field `tilte`, expected one of `title`, `replace`, `actions`, `roles`, `http`, `routes` in `services.s`",
        ),
        (
            "[services.s.roles.r]\nallow = []\nallows = []\n",
            "3: unknown field `allows`, expected one of `title`, `intended_use`, `summary`, `allow`, `when`, `grantable` in `services.s.roles.r`",
        ),
        ("services = 1\n", "1: invalid type: integer `1`, expected a map in `services`"),
        (
            "[services.s]\nreplace = \"yes\"\n",
            "2: invalid type: string \"yes\", expected a boolean in `services.s.replace`",
        ),
        (
            "[services.s.actions]\narticles = \"read\"\n",
            "2: invalid type: string \"read\", expected a map in `services.s.actions.articles`",
        ),
        (
            "[services.s.roles.r]\nallow = \"*\"\n",
            "2: invalid type: string \"*\", expected a sequence in `services.s.roles.r.allow`",
        ),
        (
            "[services.s.roles.r]\nallow = [\n  \"a.x\",\n  1,\n]\n",
            "4: invalid type: integer `1`, expected a string in `services.s.roles.r.allow`",
        ),
        (
            "[services.s.roles.r.when]\narticles.read = [\"own\"]\n",
            "2: invalid type: map, expected a list of conditions after the action's quoted name, like `\"articles.read\" = [\"published\"]`, in `services.s.roles.r.when.articles`",
        ),
    ] {
        assert_eq!(complaint(text), format!("policy.toml:{expected}"), "{text}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_said_in_the_order_of_their_lines() {
    let text = r#"
[services.ai-cms.roles.writer]
grantable = ["billing.rea"]
allow = ["articles.craete", "tags.read", "tags.read"]

[services.Shop]
title = "Shop"

[services.ai-cms.actions.articles]
Pin = ""
"#;
    let expected = "\
policy.toml:3: unknown action `billing.rea` in `grantable` of role `writer`: did you mean `billing.read`?
policy.toml:4: unknown action `articles.craete` in `allow` of role `writer`: did you mean `articles.create`?
policy.toml:4: `tags.read` is twice in `allow` of role `writer`
policy.toml:6: invalid service name `Shop`: a lowercase letter comes first, then up to 62 lowercase letters, digits, `-` or `_`
policy.toml:6: service `Shop` has no roles: define one under `[services.NAME.roles.ROLE]`
policy.toml:6: service `Shop` has no actions: define some under `[services.NAME.actions.RESOURCE]`
policy.toml:10: invalid verb name `Pin`: a lowercase letter comes first, then up to 62 lowercase letters, digits or `_`";
    assert_eq!(complaint(text), expected);
    let PolicyError::Invalid(problems) = Policy::overlay("policy.toml", text).unwrap_err() else {
        panic!("not invalid");
    };
    assert_eq!((problems[0].file(), problems[0].line()), ("policy.toml", 3));
}

#[test]
fn a_file_is_loaded_as_it_is_overlaid() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.toml");
    let name = path.display().to_string();

    let error = Policy::load(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read policy file `{name}`"));
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
    assert!(matches!(Policy::load(directory.path()), Err(PolicyError::Read { .. })));

    fs::write(&path, BASE).unwrap();
    let loaded = Policy::load(&path).unwrap();
    assert_eq!(loaded.digest(), overlay(BASE).digest());

    fs::write(&path, "\u{feff}".to_owned() + BASE).unwrap();
    assert_eq!(Policy::load(&path).unwrap().digest(), loaded.digest());

    fs::write(&path, BASE.replace('\n', "\r\n")).unwrap();
    assert_eq!(Policy::load(&path).unwrap().digest(), loaded.digest());

    fs::write(&path, b"# a\n# b\n# \xff\n").unwrap();
    let error = Policy::load(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("{name}:3: the text is not UTF-8"));

    let mut text = BASE.to_owned() + "#";
    text += &"x".repeat((1 << 20) - text.len());
    fs::write(&path, &text).unwrap();
    assert_eq!(Policy::load(&path).unwrap().digest(), loaded.digest());
    text.push('x');
    fs::write(&path, &text).unwrap();
    assert_eq!(
        Policy::load(&path).unwrap_err().to_string(),
        format!("policy file `{name}` is larger than 1048576 bytes, the most that is read")
    );
}

#[test]
fn a_mistake_in_a_route_is_said_with_its_line_and_its_remedy() {
    const BASE: &str = "[services.shop]\nactions.orders = { read = \"\", pay = \"\" }\nroles.clerk.allow = [\"orders.*\"]\n";
    for (lines, expected) in [
        (
            "routes.\"get /x\" = \"orders.read\"",
            "4: invalid route `get /x`: write a method in uppercase letters, a space and a path, as in `GET /articles/{id}`",
        ),
        (
            "routes.\"GET x\" = \"orders.read\"",
            "4: invalid route `GET x`: write a method in uppercase letters, a space and a path, as in `GET /articles/{id}`",
        ),
        (
            "routes.\"/x\" = \"orders.read\"",
            "4: invalid route `/x`: write a method in uppercase letters, a space and a path, as in `GET /articles/{id}`",
        ),
        (
            "routes.\"GET /x//y\" = \"orders.read\"",
            "4: invalid segment `` in route `GET /x//y`: write a placeholder, as in `{id}`, or letters, digits and any of `-._~!$&'()*+,=:@`",
        ),
        (
            "routes.\"GET /a%20b\" = \"orders.read\"",
            "4: invalid segment `a%20b` in route `GET /a%20b`: write a placeholder, as in `{id}`, or letters, digits and any of `-._~!$&'()*+,=:@`",
        ),
        (
            "routes.\"GET /v{n}\" = \"orders.read\"",
            "4: invalid segment `v{n}` in route `GET /v{n}`: write a placeholder, as in `{id}`, or letters, digits and any of `-._~!$&'()*+,=:@`",
        ),
        (
            "routes.\"GET /{a}/{a}\" = \"orders.read\"",
            "4: placeholder `{a}` is twice in route `GET /{a}/{a}`",
        ),
        (
            "routes.\"GET /x\" = \"orders.reed\"",
            "4: unknown action `orders.reed` in route `GET /x`: did you mean `orders.read`?",
        ),
        (
            "[services.shop.routes.\"GET /x\"]\naction = \"orders.read\"\nbody.a = { true = \"orders.play\" }",
            "6: unknown action `orders.play` in route `GET /x`: did you mean `orders.pay`?",
        ),
        (
            "routes.\"GET /x\" = { action = \"orders.read\", body = { \"*\" = { true = \"orders.pay\" } } }",
            "4: `*` in `body` of route `GET /x` takes the name of one action",
        ),
        (
            "routes.\"GET /{a}\" = \"orders.read\"\nroutes.\"GET /{b}\" = \"orders.pay\"",
            "5: route `GET /{b}` is route `GET /{a}` of service `shop` already: the same paths match both; drop one, or give the services different `hosts` or `base_paths`",
        ),
        (
            "http.base_paths = [\"/cms\"]\nroutes.\"GET /tags/getAll\" = \"orders.read\"",
            "5: route `GET /tags/getAll` is route `GET /tags/getAll` of service `ai-cms` already: the same paths match both; drop one, or give the services different `hosts` or `base_paths`",
        ),
        (
            "http.base_paths = [\"cms\"]",
            "4: invalid base path `cms`: it begins with `/`, as in `/cms` or `/v1/{tenant}`",
        ),
        (
            "http.hosts = [\"Shop.example.com:80\"]",
            "4: invalid host `Shop.example.com:80`: write a name in lowercase letters without a port, as in `api.example.com`, or `*.example.com` for every host below one",
        ),
        (
            "routes.\"GET /x\" = { action = \"orders.read\", when_conditional = \"pass\" }",
            "4: unknown variant `pass`, expected `deny` or `forward`",
        ),
        ("routes.\"GET /x\" = 1", "4: invalid type: integer `1`, expected an action, like"),
        ("routes.\"GET /x\" = {}", "4: missing field `action`"),
    ] {
        let said = complaint(&format!("{BASE}{lines}\n"));
        let expected = format!("policy.toml:{expected}");
        assert!(said.starts_with(&expected), "{lines}\nsaid {said}\nnot  {expected}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_route_or_base_path_without_end_is_refused() {
    let deep = "/a".repeat(60_000);
    let base = "[services.shop]\nactions.orders.read = \"\"\nroles.clerk.allow = [\"orders.*\"]\n";
    let said = complaint(&format!("{base}routes.\"GET {deep}\" = \"orders.read\"\n"));
    assert_eq!(said, "policy.toml:4: a route has at most 32 segments");
    let said = complaint(&format!("{base}http.base_paths = [\"{deep}\"]\n"));
    assert!(said.starts_with("policy.toml:4: invalid base path"), "{said:.200}");
}
