//! A sealed file: magic, version, then frames in one hash chain, as the journal's.
//! Snapshots and backups are such files.
//!
//! INVARIANT: no byte of it can be changed, removed or added without being found:
//! every frame has a checksum, each head covers all before it and the header, the
//! one who reads knows its last frame, and behind that there is nothing.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use prost::Message;

use super::journal::{FRAME_LEN, FrameHeader, Head, MAX_COMMIT, encode_frame, next_head};

/// `magic [8] | version u32 | CRC-32C u32`, integers little-endian.
const HEADER_LEN: usize = 16;

/// A kind of sealed file.
#[derive(Debug)]
pub(super) struct Kind {
    /// What such a file is called.
    pub(super) name: &'static str,
    /// What it begins with.
    pub(super) magic: [u8; 8],
    /// The version that this program writes and reads.
    pub(super) version: u32,
}

/// A sealed file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The operating system says no.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came back.
        #[source]
        source: io::Error,
    },
    /// It does not begin as such a file does.
    #[error("`{}` is no {kind} of octavia-authz, or its beginning is damaged", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What it should be.
        kind: &'static str,
    },
    /// A newer program wrote it.
    #[error(
        "`{}` is a {kind} of format {version}, of a newer version of octavia-authz; this program reads format {known}: use the newer one",
        path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// Its format.
        version: u32,
        /// The format that this program reads.
        known: u32,
    },
    /// It is not what was written.
    #[error("the {kind} `{}` is damaged at byte {offset}: {flaw}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// Where the part begins that is wrong.
        offset: u64,
        /// What is wrong.
        flaw: Flaw,
    },
}

/// What is wrong with a sealed file.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The end is missing.
    #[error("it is cut short: the end is missing")]
    Cut,
    /// Length or checksum of a frame is wrong.
    #[error("a length or checksum is wrong")]
    Frame,
    /// The hash chain is broken.
    #[error("the hash chain is broken: a part was changed, removed or reordered")]
    Chain,
    /// A frame's content is not what this program writes.
    #[error("a part cannot be decoded")]
    Content,
    /// There is more behind the end.
    #[error("there is more behind its end")]
    Behind,
    /// The keys are not those that the beginning promises.
    #[error("the keys do not add up to the digest at its beginning")]
    Digest,
    /// It does not end where the beginning says.
    #[error("its journal does not end at the change that its beginning names")]
    End,
    /// Parts are missing or come in another order.
    #[error("a part is missing, or not where it has to be")]
    Order,
}

/// Makes the bytes of a sealed file.
pub(super) struct Sealer {
    head: Head,
}

impl Sealer {
    /// Begins a file of this kind; gives its header.
    pub(super) fn begin(kind: &Kind) -> (Self, Vec<u8>) {
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&kind.magic);
        header.extend_from_slice(&kind.version.to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        (Self { head: next_head(&[0; 32], &header) }, header)
    }

    /// The next frame. A message is shorter than [`MAX_COMMIT`].
    pub(super) fn frame(&mut self, message: &impl Message) -> Vec<u8> {
        let (frame, head) = encode_frame(&self.head, &message.encode_to_vec());
        self.head = head;
        frame
    }
}

/// Reads a sealed file.
pub(super) struct Unsealer<R> {
    input: R,
    kind: &'static Kind,
    path: PathBuf,
    head: Head,
    offset: u64,
    /// Where the frame began that was read last.
    frame: u64,
}

impl<R: Read> Unsealer<R> {
    /// Begins to read `input`, which is called `path` where something is said of it.
    pub(super) fn open(kind: &'static Kind, input: R, path: &Path) -> Result<Self, SealedError> {
        let path = path.to_owned();
        let mut unsealer = Self { input, kind, path, head: [0; 32], offset: 0, frame: 0 };
        let mut header = [0; HEADER_LEN];
        let filled = unsealer.fill(&mut header)?;
        let foreign = |path| SealedError::Foreign { path, kind: kind.name };
        let fields = header.split_first_chunk::<8>().filter(|_| filled == HEADER_LEN);
        let Some((magic, rest)) = fields else { return Err(foreign(unsealer.path)) };
        let Some((version, crc)) = rest.split_first_chunk::<4>() else {
            return Err(foreign(unsealer.path));
        };
        let body = header.get(..HEADER_LEN - 4).unwrap_or_default();
        if *magic != kind.magic || crc != crc32c::crc32c(body).to_le_bytes() {
            return Err(foreign(unsealer.path));
        }
        let version = u32::from_le_bytes(*version);
        if version != kind.version {
            let (path, known) = (unsealer.path, kind.version);
            return Err(SealedError::Version { path, kind: kind.name, version, known });
        }
        unsealer.head = next_head(&[0; 32], &header);
        Ok(unsealer)
    }

    /// The next frame's message.
    pub(super) fn next<M: Message + Default>(&mut self) -> Result<M, SealedError> {
        self.frame = self.offset;
        let mut header = [0; FRAME_LEN];
        if self.fill(&mut header)? < FRAME_LEN {
            return Err(self.damaged(Flaw::Cut));
        }
        let header = FrameHeader::decode(&header).filter(|header| header.len <= MAX_COMMIT);
        let header = header.ok_or_else(|| self.damaged(Flaw::Frame))?;
        let mut bytes = vec![0; header.rest_len()];
        if self.fill(&mut bytes)? < bytes.len() {
            return Err(self.damaged(Flaw::Cut));
        }
        let message = header.commit(&bytes).ok_or_else(|| self.damaged(Flaw::Frame))?;
        if next_head(&self.head, message) != header.head {
            return Err(self.damaged(Flaw::Chain));
        }
        self.head = header.head;
        M::decode(message).map_err(|_| self.damaged(Flaw::Content))
    }

    /// Checks that there is nothing more. Gives the file's length.
    pub(super) fn end(&mut self) -> Result<u64, SealedError> {
        let len = self.offset;
        self.frame = len;
        match self.fill(&mut [0])? {
            0 => Ok(len),
            _ => Err(self.damaged(Flaw::Behind)),
        }
    }

    /// That the frame which was read last is wrong.
    pub(super) fn damaged(&self, flaw: Flaw) -> SealedError {
        let (path, kind, offset) = (self.path.clone(), self.kind.name, self.frame);
        SealedError::Damaged { path, kind, offset, flaw }
    }

    /// Fills `buffer` as far as the input goes; gives how far that is.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SealedError> {
        let mut filled = 0;
        while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.input.read(free) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(sealed_io("read", &self.path)(error)),
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }
}

pub(super) fn sealed_io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SealedError {
    move |source| SealedError::Io { doing, path: path.to_owned(), source }
}
