//! A client on a bare socket that sends what it likes, and reads or does not.

use std::{
    io::{BufReader, ErrorKind, Read, Write as _},
    net::{Shutdown, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use octavia_authz::pb::v1::AuthorizeRequest;
use prost::Message as _;

use super::{
    frame::{self, MAX_FRAME_SIZE, PREFACE},
    windows::Windows,
};
use crate::{raw::AUTHORIZE, sidecar::PATIENCE};

/// How long a peer may take nothing until it counts as one that has stopped reading.
const STALLED: Duration = Duration::from_millis(500);
/// How long to look whether there is something to read already.
const AT_ONCE: Duration = Duration::from_millis(1);
/// What is written at once in a flood.
const BURST: usize = 32 << 10;

pub struct Hostile {
    stream: TcpStream,
    reader: Option<JoinHandle<Heard>>,
    state: State,
    windows: Windows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum State {
    /// It takes what is sent.
    #[default]
    Open,
    /// It is still there, and reads no more.
    Stalled,
    /// It was closed or reset by the server.
    Ended,
}

/// What a server has said on a connection.
#[derive(Debug, Default)]
pub struct Heard {
    /// The code of its GOAWAY.
    pub goaway: Option<u32>,
    /// Each RST_STREAM: stream and code.
    pub resets: Vec<(u32, u32)>,
    /// Each HEADERS: stream and block.
    pub headers: Vec<(u32, Vec<u8>)>,
    /// Answers to PING.
    pub pongs: u64,
    /// How the connection was last.
    pub state: State,
}

impl Heard {
    /// How it ended, in a word.
    pub fn end(&self) -> String {
        match (self.goaway, self.state) {
            (Some(code), _) => format!("GOAWAY {code}"),
            (None, State::Ended) => "closed".to_owned(),
            (None, State::Stalled) => "stalled".to_owned(),
            (None, State::Open) => "open".to_owned(),
        }
    }
}

impl Hostile {
    /// One that has said nothing.
    pub fn silent(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(STALLED)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, reader: None, state: State::Open, windows: Windows::default() }
    }

    /// One that has begun to speak HTTP/2.
    pub fn connect(address: &str) -> Self {
        Self::with_settings(address, &[])
    }

    /// The same, with settings of its own.
    pub fn with_settings(address: &str, settings: &[(u16, u32)]) -> Self {
        let mut hostile = Self::silent(address);
        hostile.send(PREFACE);
        hostile.send(&frame::settings(settings));
        // The server's windows hold only once its SETTINGS are acknowledged. It has sent
        // them before it reads.
        hostile.send(&frame::frame(frame::SETTINGS, frame::ACK, 0, &[]));
        hostile
    }

    /// Reads from now on all that is said, beside what it sends.
    pub fn reading(mut self) -> Self {
        let stream = self.stream.try_clone().unwrap();
        self.reader = Some(thread::spawn(move || hear(stream)));
        self
    }

    /// Gives false, from then on, when the connection has ended or the server has
    /// stopped reading.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        if self.state == State::Open
            && let Err(error) = self.stream.write_all(bytes)
        {
            self.state = match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => State::Stalled,
                _ => State::Ended,
            };
        }
        self.state == State::Open
    }

    /// Sends `count` times what `frames` gives for 0, 1, …, for as long as it is taken.
    /// Gives how many were.
    pub fn flood(&mut self, count: u64, frames: impl Fn(u64) -> Vec<u8>) -> u64 {
        let (mut burst, mut sent) = (Vec::new(), 0);
        for n in 0..count {
            burst.extend(frames(n));
            if burst.len() >= BURST || n + 1 == count {
                if !self.send(&burst) {
                    break;
                }
                burst.clear();
                sent = n + 1;
            }
        }
        sent
    }

    /// Waits until the server ends the connection.
    pub fn wait_for_end(mut self) -> Heard {
        match self.reader.take() {
            Some(reader) => reader.join().unwrap(),
            None => hear(self.stream.try_clone().unwrap()),
        }
    }

    /// Ends the connection, and gives what was said until then.
    pub fn leave(self) -> Heard {
        // A read that waits ends, too; what has arrived can still be read.
        let _ = self.stream.shutdown(Shutdown::Both);
        let state = self.state;
        Heard { state, ..self.wait_for_end() }
    }

    /// Reads frames until `done`; fails if that does not come.
    pub fn hear_until(&mut self, done: impl Fn(&Heard) -> bool) -> Heard {
        let mut heard = Heard::default();
        while !done(&heard) {
            let (head, payload) = next(&mut self.stream).expect("a frame");
            heard.note(head, payload);
        }
        heard
    }

    /// Asks one question as its `n`th call, as one that behaves would, and reads the answer.
    pub fn ask(&mut self, n: u64, key: &str) {
        let stream = frame::stream_id(n);
        let question = AuthorizeRequest {
            key: key.into(),
            action: "articles.create".into(),
            ..Default::default()
        };
        let question = frame::message(&question.encode_to_vec());
        self.send(&frame::call(stream, AUTHORIZE, &[]));
        self.send(&frame::data(stream, &question, true));
        // Headers and trailers.
        self.hear_until(|heard| heard.headers.len() == 2);
    }

    /// Reads for at most `time`: to the end, or what is said until then.
    pub fn hear_for(&mut self, time: Duration) -> Heard {
        self.stream.set_read_timeout(Some(time)).unwrap();
        hear(self.stream.try_clone().unwrap())
    }

    /// The server has ended the connection, as far as can be seen now.
    pub fn is_ended(&mut self) -> bool {
        self.hear_for(AT_ONCE).state == State::Ended
    }

    /// Sends `bytes` as DATA, as far as the server gives windows for it. Gives how many
    /// were sent: fewer when there was no window for a while.
    pub fn send_data(&mut self, stream: u32, bytes: &[u8]) -> usize {
        self.stream.set_read_timeout(Some(STALLED)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            let room = self.windows.of(stream).min((bytes.len() - sent).min(MAX_FRAME_SIZE) as i64);
            if let Ok(room @ 1..) = usize::try_from(room) {
                if !self.send(&frame::frame(frame::DATA, 0, stream, &bytes[sent..sent + room])) {
                    break;
                }
                self.windows.used(stream, room as i64);
                sent += room;
            } else if let Ok((head, payload)) = next(&mut self.stream) {
                self.windows.note(head, &payload);
            } else {
                break;
            }
        }
        sent
    }
}

/// Reads to the end.
fn hear(stream: TcpStream) -> Heard {
    let (mut stream, mut heard) = (BufReader::new(stream), Heard::default());
    loop {
        match next(&mut stream) {
            Ok((head, payload)) => heard.note(head, payload),
            Err(error) => {
                heard.state = match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => State::Open,
                    _ => State::Ended,
                };
                return heard;
            }
        }
    }
}

fn next(stream: &mut impl Read) -> std::io::Result<([u8; 9], Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload)?;
    Ok((head, payload))
}

impl Heard {
    fn note(&mut self, head: [u8; 9], payload: Vec<u8>) {
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        match (head[3], head[4]) {
            (frame::GOAWAY, _) => self.goaway = Some(number(4)),
            (frame::RST_STREAM, _) => self.resets.push((stream, number(0))),
            (frame::PING, frame::ACK) => self.pongs += 1,
            (frame::HEADERS, _) => self.headers.push((stream, payload)),
            _ => {}
        }
    }
}
