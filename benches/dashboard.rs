//! How long a page of the dashboard takes with 100,000 keys: a real sidecar on loopback, and one
//! visitor who asks for one page after the other. `cargo bench --bench dashboard`; other numbers of
//! keys by OCTAVIA_BENCH_KEYS.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that fails shall stop where it fails, and prints; it shares files with others"
)]

#[path = "load/import.rs"]
mod import;
#[path = "load/process.rs"]
mod process;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use octavia_authz::{
    pb::v1::ImportedKey,
    token::{KeyId, Token},
};

use self::process::Process;

/// So often each page is asked for.
const ROUNDS: usize = 200;
const ROLES: [&str; 7] =
    ["super_admin", "admin", "managing_editor", "publisher", "editor", "writer", "read_only"];

fn main() {
    let count = std::env::var("OCTAVIA_BENCH_KEYS").map_or(100_000, |n| n.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let texts: Vec<Token> =
        (0..count).map(|_| Token::generate(KeyId::generate().unwrap()).unwrap()).collect();
    let keys: Vec<_> = texts.iter().enumerate().map(|(number, text)| key(number, text)).collect();
    let sidecar = Process::sidecar();
    assert_eq!(runtime.block_on(import::import(&sidecar, import::messages(&keys))), count as u64);

    let mut visitor = Visitor::sign_in(&sidecar);
    let id = &keys[count / 2].id;
    let second = visitor.link("/keys", "rel=\"next\" href=\"");
    let backward = visitor.link(&second, "rel=\"prev\" href=\"");
    let pages = [
        ("list", "/keys".to_owned()),
        ("list, the second page", second),
        ("list, back from it", backward),
        ("list, by last use", "/keys?sort=-used".to_owned()),
        ("list, by expiration", "/keys?sort=expires".to_owned()),
        ("list, search that finds many", "/keys?q=key+1".to_owned()),
        ("list, search that finds none", "/keys?q=nothing+like+this".to_owned()),
        (
            "list, all filters",
            "/keys?q=key&status=active&role=editor&used=never&expires=30".to_owned(),
        ),
        ("key", format!("/keys/{id}")),
        ("new key", "/keys/new".to_owned()),
        ("rotate", format!("/keys/{id}/rotate")),
        ("revoke", format!("/keys/{id}/revoke")),
        ("roles", "/roles".to_owned()),
        ("audit", "/audit".to_owned()),
        ("audit of a key", format!("/audit?key={id}")),
        ("audit, refused ones", "/audit?outcome=refused".to_owned()),
        ("simulate", format!("/simulate?key={id}&action=articles.update&state=draft")),
        ("style", visitor.link("/keys", "rel=\"stylesheet\" href=\"")),
    ];
    println!("{count} keys, {ROUNDS} of each      p50       p99     worst     bytes");
    for (name, path) in &pages {
        let mut bytes = 0;
        let took = measure(|| bytes = visitor.get(path).len());
        show(name, took, bytes);
    }
    let ids: String = keys.iter().take(50).map(|key| format!("&key={}", key.id)).collect();
    let preview = format!("action=revoke{ids}");
    let took = measure(|| assert!(visitor.post("/keys/bulk", &preview).contains("Revoke 50 keys")));
    show("bulk, preview of 50", took, 0);
    let took = measure(|| {
        let form = visitor.link("/keys/new", "name=\"form\" value=\"");
        let new = format!("form={form}&name=new&service=ai-cms&role=writer&expires=90d");
        assert!(visitor.post("/keys/new", &new).contains("Copy the key now"));
    });
    show("new key: form, and creation", took, 0);
}

/// Every key another: roles, expirations, last uses, some lifetime, some never used.
fn key(number: usize, text: &Token) -> ImportedKey {
    let days = |days: usize| Duration::from_secs(u64::try_from(days).unwrap() * 86_400);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = |time: Duration| prost_types::Timestamp {
        seconds: i64::try_from(time.as_secs()).unwrap(),
        nanos: 0,
    };
    ImportedKey {
        name: format!("service key {number}"),
        role: ROLES[number % ROLES.len()].to_owned(),
        create_time: Some(at(now - days(400))),
        expire_time: (!number.is_multiple_of(3)).then(|| at(now + days(number % 700 + 1))),
        last_used_time: (!number.is_multiple_of(5)).then(|| at(now - days(number % 390))),
        ..import::key(number, text)
    }
}

fn measure(mut page: impl FnMut()) -> Vec<Duration> {
    let mut took: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            page();
            started.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

fn show(name: &str, took: Vec<Duration>, bytes: usize) {
    let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("{name:<30} {:>6.2} ms {:>6.2} ms {:>6.2} ms {bytes:>8}", at(50), at(99), at(100));
}

/// A browser's connection, as far as it matters.
struct Visitor {
    stream: BufReader<TcpStream>,
    host: String,
    cookie: String,
    form_token: String,
}

impl Visitor {
    fn sign_in(sidecar: &Process) -> Self {
        let host = sidecar.dashboard.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = BufReader::new(stream);
        let mut visitor = Self { stream, host, cookie: String::new(), form_token: String::new() };
        let credential = format!("credential={}", sidecar.operator_token());
        let (head, _) = visitor.ask("POST", "/sign-in", &credential);
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        visitor.cookie = cookie.split(';').next().unwrap().to_owned();
        visitor.form_token = visitor.link("/keys", "name=\"form_token\" value=\"");
        visitor
    }

    fn get(&mut self, path: &str) -> String {
        let (head, body) = self.ask("GET", path, "");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        body
    }

    fn post(&mut self, path: &str, form: &str) -> String {
        let form = format!("form_token={}&{form}", self.form_token);
        self.ask("POST", path, &form).1
    }

    /// What stands behind `before` on the page, up to the quotation mark.
    fn link(&mut self, path: &str, before: &str) -> String {
        let page = self.get(path);
        let (_, behind) = page.split_once(before).unwrap();
        let link = behind.split('"').next().unwrap();
        link.replace("&#38;", "&").replace("&amp;", "&")
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> (String, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
            self.host,
            self.cookie,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut head).unwrap() > 0, "the connection ended: {head}");
        }
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; len.parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }
}
