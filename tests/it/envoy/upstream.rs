//! The CMS behind Envoy: answers everything with 200 and notes what it was given.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::chunks::{position, whole};

/// What every request is answered with.
const ENVELOPE: &str = r#"{"success":true,"statusCode":200,"message":"done","data":{}}"#;

/// A request as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Path and query, byte by byte.
    pub target: Vec<u8>,
    /// Names in lower case, in their order, those that came twice twice.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Whether the body arrived whole.
    pub whole: bool,
}

impl Seen {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<String> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

/// A server on a free port, for as long as the process runs.
#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
}

/// What arrived and was not taken, each with its number.
#[derive(Default)]
struct Notes {
    arrived: usize,
    seen: Vec<(usize, Seen)>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::<Mutex<Notes>>::default();
        let upstream = Self { address, notes: Arc::clone(&notes) };
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let notes = Arc::clone(&notes);
                thread::spawn(move || serve(connection, &notes));
            }
        });
        upstream
    }

    /// What arrived since this was asked last.
    pub fn take(&self) -> Vec<Seen> {
        let taken = std::mem::take(&mut self.notes.lock().unwrap().seen);
        taken.into_iter().map(|(_, seen)| seen).collect()
    }

    /// How many arrived in all.
    pub fn arrived(&self) -> usize {
        self.notes.lock().unwrap().arrived
    }
}

fn serve(mut connection: TcpStream, notes: &Mutex<Notes>) {
    let mut read = Vec::new();
    while let Some(end) =
        more_until(&mut connection, &mut read, |read| position(read, b"\r\n\r\n").map(|at| at + 4))
    {
        let head: Vec<u8> = read.drain(..end).collect();
        let seen = parse(&head);
        // Noted before the body is there: also what never arrives whole was let through.
        let number = {
            let mut notes = notes.lock().unwrap();
            let number = notes.arrived;
            notes.arrived += 1;
            notes.seen.push((number, seen.clone()));
            number
        };
        let length = seen.header("content-length").first().map(|text| text.parse().unwrap());
        let chunked = seen.header("transfer-encoding") == ["chunked"];
        let body = |read: &[u8]| match (chunked, length.unwrap_or(0)) {
            (true, _) => whole(read),
            (false, length) => read.get(..length).map(|body| (body.to_vec(), length)),
        };
        let found = more_until(&mut connection, &mut read, body);
        let is_whole = found.is_some();
        let (body, end) = found.unwrap_or_else(|| (read.clone(), read.len()));
        read.drain(..end);
        let note = |(known, _): &&mut (usize, Seen)| *known == number;
        if let Some((_, seen)) = notes.lock().unwrap().seen.iter_mut().find(note) {
            (seen.body, seen.whole) = (body, is_whole);
        }
        let length = ENVELOPE.len();
        let content = if seen.method == "HEAD" { "" } else { ENVELOPE };
        let kind = "content-type: application/json";
        let answer =
            format!("HTTP/1.1 200 OK\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{content}");
        if !is_whole || connection.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads on until `found` finds something; `None` when the connection ends before.
fn more_until<T>(
    connection: &mut TcpStream,
    read: &mut Vec<u8>,
    found: impl Fn(&[u8]) -> Option<T>,
) -> Option<T> {
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(found) = found(read) {
            return Some(found);
        }
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
}

fn parse(head: &[u8]) -> Seen {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
    let request: Vec<&[u8]> = lines.next().unwrap().split(|byte| *byte == b' ').collect();
    let headers = lines.filter(|line| !line.is_empty()).map(|line| {
        let colon = position(line, b":").unwrap();
        let name = String::from_utf8(line[..colon].to_ascii_lowercase()).unwrap();
        (name, line[colon + 1..].trim_ascii_start().to_vec())
    });
    Seen {
        method: String::from_utf8(request[0].to_vec()).unwrap(),
        target: request[1..request.len() - 1].join(&b' '),
        headers: headers.collect(),
        ..Seen::default()
    }
}
