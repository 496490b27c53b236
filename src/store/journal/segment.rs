//! The bytes of a segment: its header and its frames.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{Head, JournalError, io_error, sync_dir};

pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: u64 = 64;
/// What stands before a frame's commit: magic, length, checksum of the frame,
/// head, checksum of these.
pub(in crate::store) const FRAME_LEN: usize = 48;
/// What stands behind it, and is no zero: a frame that ends in zeros is not all
/// on the disk.
pub(super) const FRAME_END: u8 = 0xff;
const FRAME_MAGIC: &[u8; 4] = b"JFR1";
const MAGIC: &[u8; 8] = b"OCTVJRNL";

/// The first 64 bytes of a segment:
/// `"OCTVJRNL" | version u32 | flags u32 | first u64 | previous [32] | 0 u32 | CRC-32C u32`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Sequence number of the first change in it.
    pub(super) first: u64,
    /// Head of the chain before it.
    pub(super) previous: Head,
    /// The state before it is empty: a journal begins here.
    pub(super) genesis: bool,
}

/// Why 64 bytes are no header.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Damaged,
    Version(u32),
}

impl Header {
    /// Makes the segment's file, whole or not at all.
    pub(super) fn create(&self, dir: &Path) -> Result<(File, PathBuf), JournalError> {
        let path = dir.join(format!("{:020}.journal", self.first));
        let new = path.with_extension("new");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(io_error("create", &new))?;
        file.write_all(&self.encode()).map_err(io_error("write", &new))?;
        file.sync_all().map_err(io_error("sync", &new))?;
        fs::rename(&new, &path).map_err(io_error("rename to its final name", &new))?;
        sync_dir(dir)?;
        Ok((file, path))
    }

    pub(super) fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let mut bytes = Vec::with_capacity(HEADER_LEN as usize);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.genesis).to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let mut header = [0; HEADER_LEN as usize];
        header.copy_from_slice(&bytes);
        header
    }

    pub(super) fn decode(bytes: &[u8; HEADER_LEN as usize]) -> Result<Self, BadHeader> {
        let damaged = BadHeader::Damaged;
        let Some((body, crc)) = bytes.split_last_chunk::<4>() else { return Err(damaged) };
        let Some(rest) = body.strip_prefix(MAGIC) else { return Err(damaged) };
        let Some((version, rest)) = rest.split_first_chunk::<4>() else { return Err(damaged) };
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged);
        }
        match u32::from_le_bytes(*version) {
            VERSION => {}
            other => return Err(BadHeader::Version(other)),
        }
        let Some((flags, rest)) = rest.split_first_chunk::<4>() else { return Err(damaged) };
        let Some((first, rest)) = rest.split_first_chunk::<8>() else { return Err(damaged) };
        let Some(previous) = rest.first_chunk::<32>() else { return Err(damaged) };
        Ok(Self {
            first: u64::from_le_bytes(*first),
            previous: *previous,
            genesis: u32::from_le_bytes(*flags) & 1 == 1,
        })
    }
}

/// A frame around `commit` that continues the chain at `previous`, and the new
/// head.
pub(in crate::store) fn encode_frame(previous: &Head, commit: &[u8]) -> (Vec<u8>, Head) {
    let head = next_head(previous, commit);
    // INVARIANT: `append` lets no commit through that is longer than MAX_COMMIT.
    let len = u32::try_from(commit.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut frame = Vec::with_capacity(FRAME_LEN + commit.len() + 1);
    frame.extend_from_slice(FRAME_MAGIC);
    frame.extend_from_slice(&len);
    frame.extend_from_slice(&frame_crc(&len, &head, commit).to_le_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
    frame.extend_from_slice(commit);
    frame.push(FRAME_END);
    (frame, head)
}

/// What stands before a frame's commit.
pub(in crate::store) struct FrameHeader {
    /// The commit's length.
    pub(in crate::store) len: usize,
    len_bytes: [u8; 4],
    crc: u32,
    /// The head of the chain after it.
    pub(in crate::store) head: Head,
}

impl FrameHeader {
    /// The header that `bytes` begin with. It has a checksum of its own: where
    /// its length points behind the end of the file, that end is missing, and
    /// not the length wrong.
    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, crc) = bytes.get(..FRAME_LEN)?.split_last_chunk::<4>()?;
        let rest = fields.strip_prefix(FRAME_MAGIC)?;
        if crc32c::crc32c(fields) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (len_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let head = rest.first_chunk::<32>()?;
        Some(Self {
            len: u32::from_le_bytes(*len_bytes) as usize,
            len_bytes: *len_bytes,
            crc: u32::from_le_bytes(*crc),
            head: *head,
        })
    }

    /// How much stands behind the header.
    pub(in crate::store) fn rest_len(&self) -> usize {
        self.len.saturating_add(1)
    }

    /// The commit in `rest`, if `rest` is what was written behind this header.
    pub(in crate::store) fn commit<'a>(&self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let (commit, end) = rest.split_at_checked(self.len)?;
        let whole =
            end == [FRAME_END] && frame_crc(&self.len_bytes, &self.head, commit) == self.crc;
        whole.then_some(commit)
    }
}

/// The head after `commit`.
pub(in crate::store) fn next_head(previous: &Head, commit: &[u8]) -> Head {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(commit);
    *hasher.finalize().as_bytes()
}

fn frame_crc(len: &[u8; 4], head: &Head, commit: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(len), head), commit)
}
