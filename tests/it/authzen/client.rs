//! HTTP/1.1 by hand.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};

use serde_json::Value;

use crate::sidecar::{PATIENCE, Sidecar};

trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A connection that is kept.
pub struct Client(BufReader<Box<dyn Stream>>);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Client {
    pub fn of(sidecar: &Sidecar) -> Self {
        Self::at(&sidecar.authzen_listen)
    }

    /// To an address as the log gives it.
    pub fn at(address: &str) -> Self {
        let stream: Box<dyn Stream> = match address.strip_prefix("unix:") {
            Some(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
            None => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
        };
        Self(BufReader::new(stream))
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next answer.
    pub fn receive(&mut self) -> Answer {
        let mut answer = self.receive_head();
        if answer.status >= 200 {
            let len = answer.header("content-length").unwrap().parse().unwrap();
            answer.body.resize(len, 0);
            self.0.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    /// The next answer, which has no body whatever its head says.
    pub fn receive_head(&mut self) -> Answer {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            match line.strip_suffix("\r\n") {
                Some("") => break,
                Some(line) => lines.push(line.to_owned()),
                None => panic!("the connection ended: {lines:?} {line:?}"),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &String| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let headers = lines[1..].iter().map(header).collect();
        Answer { status, headers, body: Vec::new() }
    }

    /// Sends a request and gives the answer.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: pdp.example\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.as_ref().len()));
        self.send(head);
        self.send(body);
        self.receive()
    }

    /// The status of a POST, whose answer may be all that still comes.
    pub fn try_ask(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        let mut head = format!("POST {path} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
        let rest = self.rest();
        let said = String::from_utf8_lossy(&rest);
        said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// Posts JSON.
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body.to_string())
    }

    /// What a request that succeeds answers.
    pub fn evaluate(&mut self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json()
    }

    /// All that is sent until the connection ends.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => rest,
        }
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What an error says, which has this status.
    #[track_caller]
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let error = self.json();
        assert_eq!(error["error"]["status"], status, "{error}");
        error["error"]["message"].as_str().unwrap().to_owned()
    }
}
