//! What the command line takes and refuses, and how it prints. No sidecar is
//! called here.

use std::{ffi::OsString, fs, io::Write as _, time::Duration};

use clap::{CommandFactory as _, error::ErrorKind};

use super::{
    BadUsage, Cli, Command, bad_usage, check,
    client::{AdminArgs, server::ServerUrl},
    named::{Named, distinct},
    output::{self, Grid, plain},
    roles,
    secret::{self, KeyArgs, Secret},
};
use crate::pb::v1;

/// What must never be seen anywhere but where it belongs.
const CANARY: &str = "octv_canarycana_ry";

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::from_args(line.split(' ').map(OsString::from))
}

fn admin(line: &str) -> AdminArgs {
    match parse(line).unwrap().command {
        Command::Status(args) => args.admin,
        Command::Keys(args) => args.admin,
        other => panic!("no admin command: {other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_option_states_its_default() {
    fn walk(command: &clap::Command, missing: &mut Vec<String>) {
        for arg in command.get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let stated = help.contains("[default: ") || !arg.get_default_values().is_empty();
            // The other way to write a required argument.
            let required = arg.is_required_set() || arg.get_id() == "action_flag";
            let built_in = ["help", "version"].contains(&arg.get_id().as_str());
            if !stated && !required && !built_in && !arg.is_positional() {
                missing.push(format!("{} --{}", command.get_name(), arg.get_id()));
            }
        }
        for command in command.get_subcommands() {
            walk(command, missing);
        }
    }
    let mut missing = Vec::new();
    walk(&Cli::command(), &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn serve_is_the_default_command() {
    for line in ["octavia-authz", "octavia-authz --data-dir /srv/a", "octavia-authz serve"] {
        let command = parse(line).unwrap().command;
        assert!(matches!(command, Command::Serve(_)), "{line}: {command:?}");
    }
    let Command::Serve(args) = parse("octavia-authz --data-dir /srv/a").unwrap().command else {
        panic!("not serve");
    };
    assert_eq!(args.data_dir.to_str(), Some("/srv/a"));
    assert!(Cli::from_args([]).is_ok(), "not even a name");
    for (line, kind) in [
        ("octavia-authz --help", ErrorKind::DisplayHelp),
        ("octavia-authz -V", ErrorKind::DisplayVersion),
        ("octavia-authz --no-such-flag", ErrorKind::UnknownArgument),
        ("octavia-authz nonsense", ErrorKind::InvalidSubcommand),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
    }
}

#[test]
fn the_action_is_an_argument_or_a_flag_and_not_both() {
    assert!(parse("octavia-authz check articles.read").is_ok());
    assert!(parse("octavia-authz check --action articles.read").is_ok());
    assert!(parse("octavia-authz check").is_err());
    assert!(parse("octavia-authz check articles.read --action articles.read").is_err());
}

#[test]
fn connection_flags_stand_before_or_after_the_command_of_keys() {
    for line in [
        "octavia-authz keys --server unix:/a --timeout 2s list",
        "octavia-authz keys list --server unix:/a --timeout 2s",
    ] {
        let admin = admin(line);
        assert_eq!(admin.server.to_string(), "unix:/a", "{line}");
        assert_eq!(admin.call.timeout, Duration::from_secs(2), "{line}");
    }
}

#[test]
fn files_are_verified_without_a_sidecar() {
    for line in [
        "octavia-authz audit verify --data-dir d --server unix:/a",
        "octavia-authz audit --server unix:/a verify --data-dir d",
        "octavia-authz audit verify --token-file t --data-dir d",
        "octavia-authz audit --token t verify --data-dir d",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line}");
        assert!(error.to_string().contains("asks a sidecar: pass only one"), "{error}");
    }
    parse("octavia-authz audit verify --data-dir d -o json").unwrap();
    parse("octavia-authz audit verify --server unix:/a --token t").unwrap();
}

#[test]
fn a_server_is_a_plain_address_or_a_socket() {
    for (text, expected) in [
        ("http://127.0.0.1:50052", "http://127.0.0.1:50052"),
        ("http://sidecar:1/", "http://sidecar:1"),
        ("http://[::1]:50052", "http://[::1]:50052"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("unix:///run/a.sock", "unix:/run/a.sock"),
    ] {
        let server: ServerUrl = text.parse().unwrap();
        assert_eq!(server.to_string(), expected, "{text}");
    }
    for text in [
        "",
        "localhost:50052",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://user:secret@a",
        "http://a b",
        "ftp://a",
        "unix:",
    ] {
        assert!(text.parse::<ServerUrl>().is_err(), "{text}");
    }
    let tls: ServerUrl = "https://a:1/".parse().unwrap();
    assert_eq!((tls.to_string().as_str(), tls.is_tls()), ("https://a:1", true));
}

#[test]
fn a_name_and_its_value_are_parted_at_the_first_equals_sign() {
    let named = |text: &str| text.parse::<Named>();
    let both = named("a=b=c").unwrap();
    assert_eq!((both.name.as_str(), both.value.as_str()), ("a", "b=c"));
    assert_eq!(named("a=").unwrap().value, "");
    assert!(named("=b").is_err());
    assert!(named("a").is_err());

    let twice = vec![named("a=1").unwrap(), named("a=2").unwrap()];
    let error = distinct("label", twice).unwrap_err();
    assert!(error.is::<BadUsage>());
    assert!(error.to_string().contains("the label `a` is given twice"));
}

#[test]
fn text_of_others_cannot_steer_the_terminal() {
    assert_eq!(plain("Zoë – 編集 🎉"), "Zoë – 編集 🎉");
    assert_eq!(plain("a\u{1b}[31m\r\nb\t\u{7f}"), "a\\u{1b}[31m\\r\\nb\\t\\u{7f}");
    assert_eq!(plain("\u{9b}2J\u{202e}x\u{200b}"), "\\u{9b}2J\\u{202e}x\\u{200b}");

    let mut grid = Grid::new(&["NAME", "TEAM"]);
    grid.row(&["x\u{1b}]0;pwned\u{7}\ny", "web"]);
    assert_eq!(grid.render(), "NAME                     TEAM\nx\\u{1b}]0;pwned\\u{7}\\ny  web");

    let json = output::to_json(&"a\u{1b}\u{9b}\u{202e}\u{7f}é").unwrap();
    assert_eq!(json, r#""a\u001b\u009b\u202e\u007fé""#);
    let back: String = serde_json::from_str(&json).unwrap();
    assert_eq!(back, "a\u{1b}\u{9b}\u{202e}\u{7f}é");
}

#[test]
fn a_token_of_the_arguments_goes_before_one_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("operator.token");
    fs::write(&path, "from-file\r\n").unwrap();
    let read = |line: &str, set: &[(&str, &str)]| {
        let set: Vec<_> = set.iter().map(|(k, v)| (*k, OsString::from(v))).collect();
        let variable = |name: &str| set.iter().find(|(k, _)| *k == name).map(|(_, v)| v.clone());
        let token = admin(line).read_token(&variable);
        token.map(|token| token.reveal().to_owned())
    };
    let (path, folder) = (path.to_str().unwrap(), folder.path().to_str().unwrap());
    let file = format!("octavia-authz status --token-file {path}");
    let (token, plain) = ("OCTAVIA_AUTHZ_TOKEN", "octavia-authz status");
    assert_eq!(read("octavia-authz status --token a", &[(token, "b")]).unwrap(), "a");
    assert_eq!(read(&file, &[(token, "b")]).unwrap(), "from-file");
    assert_eq!(read(plain, &[(token, "b")]).unwrap(), "b");
    assert_eq!(read(plain, &[("OCTAVIA_AUTHZ_TOKEN_FILE", path)]).unwrap(), "from-file");
    assert_eq!(read(plain, &[("OCTAVIA_AUTHZ_DATA_DIR", folder)]).unwrap(), "from-file");

    let none = read(plain, &[("OCTAVIA_AUTHZ_DATA_DIR", "/nonexistent")]).unwrap_err();
    assert!(none.is::<BadUsage>());
    let text = none.to_string();
    assert!(text.contains("pass `--token-file FILE`"), "{text}");
    assert!(text.contains("/nonexistent/operator.token"), "{text}");
}

#[test]
fn a_key_comes_from_a_file_or_the_environment() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"octv_file\n").unwrap();
    let from_file = KeyArgs { key_file: Some(file.path().to_owned()) };
    let neither = KeyArgs { key_file: None };
    let set = |_: &str| Some(OsString::from("octv_env\n"));
    assert_eq!(from_file.read(&set).unwrap().reveal(), "octv_file");
    assert_eq!(neither.read(&set).unwrap().reveal(), "octv_env");
    assert!(neither.read(&|_| None).unwrap_err().is::<BadUsage>());
}

#[test]
fn a_file_that_holds_no_secret_is_refused_without_showing_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let long = CANARY.repeat(1_000);
    let invalid = [CANARY.as_bytes(), b"\xff"].concat();
    for bytes in [b"" as &[u8], b"\n", long.as_bytes(), &invalid] {
        fs::write(&path, bytes).unwrap();
        let error = secret::from_file(&path).unwrap_err();
        assert!(error.is::<BadUsage>(), "{error:?}");
        assert!(!format!("{error:?} {error:#}").contains(CANARY), "{error}");
    }
    let missing = secret::from_file(&folder.path().join("none")).unwrap_err();
    assert!(missing.is::<BadUsage>() && missing.to_string().contains("none`: "), "{missing}");
}

#[test]
fn a_secret_does_not_show_itself() {
    let secret = Secret::from(CANARY.to_owned());
    assert!(!format!("{secret:?} {secret:#?}").contains(CANARY));
    let cli = parse(&format!("octavia-authz status --token {CANARY}")).unwrap();
    assert!(!format!("{cli:?}").contains(CANARY));
}

#[test]
fn bad_usage_is_found_beneath_other_errors() {
    let error = bad_usage!("no port `{}`", "x").context("cannot serve");
    assert_eq!(format!("{error:#}"), "cannot serve: no port `x`");
    assert!(error.chain().any(|cause| cause.is::<BadUsage>()));
}

#[test]
fn a_denial_names_each_way_to_meet_its_conditions() {
    let condition = |attribute: &str, value: &str, alternative| v1::Condition {
        attribute: attribute.into(),
        value: value.into(),
        alternative,
    };
    let response = v1::AuthorizeResponse {
        reason: v1::DecisionReason::ConditionUnmet.into(),
        conditions: vec![
            condition("resource.state", "published", 0),
            condition("resource.owner", "me", 1),
            condition("resource.state", "draft\u{1b}", 1),
        ],
        ..Default::default()
    };
    let text = check::denial(&response);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("denied: CONDITION_UNMET — "), "{text}");
    assert_eq!(
        lines[1..],
        [
            "  needs resource.state = `published`",
            "  or    resource.owner = `me` and resource.state = `draft\\u{1b}`",
        ]
    );
}

#[test]
fn every_reason_has_a_name_and_advice() {
    for number in 0..=11 {
        let reason = v1::DecisionReason::try_from(number).unwrap();
        let response = v1::AuthorizeResponse { reason: number, ..Default::default() };
        let text = check::denial(&response);
        let (_, name) = reason.as_str_name().split_once("REASON_").unwrap();
        assert!(text.starts_with(&format!("denied: {name} — ")), "{text}");
    }
}

#[test]
fn a_role_can_be_seen_in_three_ways() {
    let action =
        |action: &str| v1::ActionInfo { action: action.into(), meaning: format!("do {action}") };
    let service = v1::ServiceRoles {
        service: "ai-cms".into(),
        title: "AI CMS".into(),
        actions: ["a.read", "a.write", "b.read", "b.write"].map(action).into(),
        roles: vec![v1::Role {
            role: "admin".into(),
            title: "Admin".into(),
            intended_use: "Leads".into(),
            summary: "Much".into(),
            allowed_actions: vec!["a.read".into()],
            conditional_actions: vec![v1::RoleCondition {
                action: "a.write".into(),
                conditions: vec!["published".into(), "own".into()],
            }],
            grantable_actions: vec!["b.read".into()],
        }],
    };
    assert_eq!(
        roles::overview(&service),
        "AI CMS (ai-cms), 4 actions\n\n\
         ROLE   TITLE  INTENDED USE  ALLOWED  CONDITIONAL\n\
         admin  Admin  Leads         1        1"
    );
    let detail = roles::detail(&service);
    let (_, rights) = detail.split_once("\n\n").unwrap();
    assert_eq!(
        rights,
        "ACTION   RIGHT                MEANING\n\
         a.read   allowed              do a.read\n\
         a.write  if published or own  do a.write\n\
         b.read   if granted           do b.read"
    );
    assert_eq!(
        roles::matrix(&service),
        "AI CMS (ai-cms)\n\n\
         ACTION   admin\n\
         a.read   allow\n\
         a.write  published|own\n\
         b.read   grant\n\
         b.write  -"
    );
}
