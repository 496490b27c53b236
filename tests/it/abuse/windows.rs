//! What a server lets a client send: its flow-control windows.

use std::collections::HashMap;

use super::frame::{INITIAL_WINDOW_SIZE, SETTINGS, WINDOW_UPDATE};

pub struct Windows {
    initial: i64,
    connection: i64,
    /// By how much the window of a stream differs from the initial one.
    streams: HashMap<u32, i64>,
}

impl Default for Windows {
    fn default() -> Self {
        Self { initial: 65_535, connection: 65_535, streams: HashMap::new() }
    }
}

impl Windows {
    /// How much may be sent on `stream`.
    pub fn of(&self, stream: u32) -> i64 {
        let differs = self.streams.get(&stream).copied().unwrap_or_default();
        self.connection.min(self.initial + differs)
    }

    /// So much was sent.
    pub fn used(&mut self, stream: u32, len: i64) {
        self.connection -= len;
        *self.streams.entry(stream).or_default() -= len;
    }

    /// Takes note of a frame of the server.
    pub fn note(&mut self, head: [u8; 9], payload: &[u8]) {
        let number = |bytes: &[u8]| i64::from(u32::from_be_bytes(bytes.try_into().unwrap()));
        match u32::from_be_bytes(head[5..].try_into().unwrap()) {
            _ if head[3] == SETTINGS => {
                let initial = payload
                    .chunks(6)
                    .find(|setting| setting[..2] == INITIAL_WINDOW_SIZE.to_be_bytes());
                self.initial = initial.map_or(self.initial, |setting| number(&setting[2..]));
            }
            0 if head[3] == WINDOW_UPDATE => self.connection += number(payload),
            stream if head[3] == WINDOW_UPDATE => {
                *self.streams.entry(stream).or_default() += number(payload);
            }
            _ => {}
        }
    }
}
