//! Requests written byte by byte, as HTTP/1.1.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
};

use serde_json::Value;

use super::chunks::{position, whole};
use crate::sidecar::{PATIENCE, wait_until};

/// A request, and which bytes it is.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub target: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// As it stands on the wire: with chunks, if there are any.
    pub body: Vec<u8>,
}

pub fn request(method: &'static str, target: impl AsRef<[u8]>) -> Request {
    let host = ("host".to_owned(), b"api.octaviatech.app".to_vec());
    Request { method, target: target.as_ref().to_vec(), headers: vec![host], body: Vec::new() }
}

impl Request {
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    /// A body of which nothing but the length is said.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut request = self.header("content-length", body.len().to_string());
        request.body = body.to_vec();
        request
    }

    pub fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// A JSON body in chunks.
    pub fn chunked(self, chunks: &[&str]) -> Self {
        let mut request =
            self.header("content-type", "application/json").header("transfer-encoding", "chunked");
        for chunk in chunks {
            request.body.extend_from_slice(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes());
        }
        request.body.extend_from_slice(b"0\r\n\r\n");
        request
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} ", self.method).into_bytes();
        bytes.extend_from_slice(&self.target);
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it, and reads the answer.
    pub fn send(&self, to: SocketAddr) -> Option<Answer> {
        let mut connection = Connection::open(to);
        connection.write(&self.bytes());
        connection.read(self.method == "HEAD")
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A connection to Envoy.
pub struct Connection(TcpStream);

impl Connection {
    pub fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Writes what the other side takes: it may have answered and stopped reading.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Says that nothing more will be written.
    pub fn end(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads an answer, unless something else happens before.
    pub fn read_unless(&mut self, happened: impl Fn() -> bool) -> Option<Answer> {
        let (mut other, mut peeked) = (false, [0]);
        self.0.set_nonblocking(true).unwrap();
        wait_until("an answer, or something else", || {
            other = happened();
            other || self.0.peek(&mut peeked).is_ok()
        });
        self.0.set_nonblocking(false).unwrap();
        if other { None } else { self.read(false) }
    }

    /// Reads an answer; `None` when the connection ends without one.
    pub fn read(&mut self, without_body: bool) -> Option<Answer> {
        let (mut read, mut buffer) = (Vec::new(), [0; 16 << 10]);
        loop {
            if let Some(answer) = parse(&read, without_body) {
                return Some(answer);
            }
            match self.0.read(&mut buffer) {
                Ok(0) => {
                    assert!(read.is_empty(), "half an answer: {}", String::from_utf8_lossy(&read));
                    return None;
                }
                Ok(count) => read.extend_from_slice(&buffer[..count]),
                Err(error) if read.is_empty() && is_reset(&error) => return None,
                Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&read)),
            }
        }
    }
}

fn is_reset(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ConnectionReset
}

fn parse(read: &[u8], without_body: bool) -> Option<Answer> {
    let end = position(read, b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&read[..end]).unwrap(), &read[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    let mut answer = Answer { status, headers, body: String::new() };
    if without_body {
        return Some(answer);
    }
    let body = match answer.header("content-length") {
        Some(length) => body.get(..length.parse().unwrap())?.to_vec(),
        None if answer.header("transfer-encoding") == Some("chunked") => whole(body)?.0,
        None => Vec::new(),
    };
    answer.body = String::from_utf8(body).unwrap();
    Some(answer)
}
