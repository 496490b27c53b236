//! A browser without a screen, which also does what no browser does.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use super::html;
use crate::sidecar::{PATIENCE, Sidecar};

/// What the dashboard is called, whatever its port.
pub const HOST: &str = "dashboard.test:8480";
pub const COOKIE: &str = "octavia-session8480";

/// On every answer, and as here.
pub const ALWAYS: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-robots-tag", "noindex"),
];

/// Keeps cookies, and the token that forms carry. Follows nothing.
#[derive(Clone)]
pub struct Browser {
    address: String,
    pub cookies: BTreeMap<String, String>,
    pub form_token: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Browser {
    /// Of somebody who is not signed in.
    pub fn new(sidecar: &Sidecar) -> Self {
        let address = sidecar.dashboard.strip_prefix("http://").unwrap().to_owned();
        Self { address, cookies: BTreeMap::new(), form_token: String::new() }
    }

    /// Of somebody who has signed in.
    #[track_caller]
    pub fn signed_in(sidecar: &Sidecar, credential: &str) -> Self {
        let mut browser = Self::new(sidecar);
        let answer = browser.sign_in(credential);
        assert_eq!((answer.status, answer.location()), (303, "/keys"), "{answer:?}");
        browser
    }

    /// Signs in, and takes the token of its forms from a page.
    pub fn sign_in(&mut self, credential: &str) -> Answer {
        let answer = self.post("/sign-in", &[("credential", credential)]);
        if answer.status == 303 {
            let page = self.get("/roles");
            self.form_token = html::field(&page.body, "form_token").unwrap();
        }
        answer
    }

    /// The session's name.
    pub fn session(&self) -> String {
        self.cookies.get(COOKIE).cloned().unwrap_or_default()
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Gives the page, which has to be one.
    #[track_caller]
    pub fn page(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// Sends a form with its token.
    pub fn post(&mut self, path: &str, form: &[(&str, impl AsRef<str>)]) -> Answer {
        let mut fields = vec![("form_token".to_owned(), self.form_token.clone())];
        fields.extend(form.iter().map(|(name, value)| ((*name).into(), value.as_ref().into())));
        self.send("POST", path, &[], encoded(&fields).as_bytes())
    }

    /// Sends anything.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = self.try_send(method, path, headers, body);
        answer.is_guarded();
        for (name, value) in &answer.headers {
            if name == "set-cookie" {
                let (cookie, _) = value.split_once(';').unwrap();
                let (name, value) = cookie.split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
                self.cookies.retain(|_, value| !value.is_empty());
            }
        }
        answer
    }

    /// The same, with whatever headers the answer has.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let head = self.head(method, path, headers, body.len());
        self.send_raw(&[head.as_bytes(), body].concat())
    }

    /// A request's head.
    pub fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], len: usize) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {HOST}\r\n"));
        }
        if !self.cookies.is_empty() && !headers.iter().any(|(name, _)| *name == "cookie") {
            let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            head.push_str(&format!("cookie: {}\r\n", cookies.collect::<Vec<_>>().join("; ")));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" || len > 0 {
            head.push_str("content-type: application/x-www-form-urlencoded\r\n");
            head.push_str(&format!("content-length: {len}\r\n"));
        }
        head + "connection: close\r\n\r\n"
    }

    /// Sends bytes as they are, on a connection of their own.
    pub fn send_raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may have answered, and gone, before it was told everything.
        let _ = stream.write_all(bytes);
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => Answer::read(&said),
        }
    }
}

impl Answer {
    /// Of all that was said on a connection.
    pub fn read(said: &[u8]) -> Self {
        let said = String::from_utf8_lossy(said);
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.unwrap_or_else(|| panic!("no answer: {said}")),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        first
    }

    /// Where it sends to.
    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_default()
    }

    /// Whether it sends to the sign-in.
    pub fn asks_to_sign_in(&self) -> bool {
        let path = self.location().split('?').next().unwrap();
        (self.status, path) == (303, "/sign-in")
    }

    /// Fails unless it has the headers that every answer has, and is a sound page if it is one.
    #[track_caller]
    pub fn is_guarded(&self) {
        for (name, value) in ALWAYS {
            assert_eq!(self.header(name), Some(value), "{name}: {self:?}");
        }
        let kept = self.header("cache-control");
        let for_good = "public, max-age=31536000, immutable";
        assert!(kept == Some("no-store") || kept == Some(for_good), "{self:?}");
        for name in ["server", "x-powered-by", "access-control-allow-origin"] {
            assert_eq!(self.header(name), None, "{self:?}");
        }
        if self.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert_eq!(self.header("content-type"), Some("text/html; charset=utf-8"));
            html::is_sound(&self.body);
        }
    }
}

/// A form's body.
pub fn encoded<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    body.finish()
}

/// A text in a query.
pub fn quoted(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
