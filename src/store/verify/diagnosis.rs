//! Says of damage in words what was done: changed, removed, reordered or cut.
//!
//! Guessed from what can still be read behind it; where it is and that it is
//! wrong is certain, the words are the best that fit. Called by `verify`.

use std::{ops::ControlFlow, path::Path};

use super::{Broken, were};
use crate::store::journal::{Damage, JournalError, first_of, frames_behind};

/// What can be read at and behind the damage.
#[derive(Default)]
struct Around {
    /// The events of the record that stands where the right one should.
    here: Option<(u64, u64)>,
    /// Those of the next one that can be read.
    next: Option<(u64, u64)>,
    /// Those of the right one, which stands somewhere behind.
    displaced: Option<(u64, u64)>,
}

/// What `problem`, at `offset` of `path`, does to the event behind `after`.
///
/// # Errors
/// [`JournalError::Io`]
pub(super) fn of(
    journal_dir: &Path,
    path: &Path,
    offset: u64,
    after: u64,
    problem: Damage,
) -> Result<Broken, JournalError> {
    let first = after + 1;
    let around = Around::of(journal_dir, path, offset, first)?;
    let (last, problem) = match problem {
        Damage::Frame => around.unreadable(first),
        Damage::Chain => around.out_of_chain(first),
        Damage::Header => (None, "the file's header was changed or cut".to_owned()),
        Damage::Beginning | Damage::Gap => match first_of(path) {
            Some(begins) if begins > first => {
                let missing = if around.displaced.is_some() { "reordered" } else { "removed" };
                let were = were(first, begins - 1);
                (Some(begins - 1), format!("{were} {missing}: the file begins with record {begins}"))
            }
            Some(begins) if begins < first => {
                (None, format!("the file begins with record {begins}, which stands before it too"))
            }
            _ => (
                None,
                "the file does not continue the one before it: records in that one, or the whole file, were \
                 replaced"
                    .to_owned(),
            ),
        },
        Damage::Content => {
            let last = around.here.map(|(_, last)| last);
            (last, format!("record {first} was changed: its content is none that this program writes"))
        }
        Damage::Sequence => {
            (None, format!("record {first} was changed: its sequence numbers are not the next ones"))
        }
        Damage::Snapshot => (None, Damage::Snapshot.to_string()),
    };
    Ok(Broken { first, last, file: path.to_owned(), offset, problem })
}

impl Around {
    fn of(journal_dir: &Path, path: &Path, offset: u64, first: u64) -> Result<Self, JournalError> {
        let mut around = Self::default();
        frames_behind(journal_dir, path, offset, |segment, at, range| {
            if segment == path && at == offset {
                around.here = Some(range);
            } else {
                around.next = around.next.or(Some(range));
                if range.0 == first {
                    around.displaced = Some(range);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(around)
    }

    /// A record whose checksums are wrong.
    fn unreadable(&self, first: u64) -> (Option<u64>, String) {
        match self.next {
            Some((next, _)) if next > first => {
                let last = next - 1;
                (Some(last), format!("{} changed: the checksum is wrong", were(first, last)))
            }
            Some(_) => {
                let last = self.displaced.map(|(_, last)| last);
                (last, format!("something that is no record stands before record {first}"))
            }
            None => (
                None,
                format!(
                    "record {first} was changed or cut: its length or checksum is wrong, and none follows that can \
                     be read"
                ),
            ),
        }
    }

    /// A record that is whole and does not continue the chain.
    fn out_of_chain(&self, first: u64) -> (Option<u64>, String) {
        let Some((here, here_last)) = self.here else {
            return (None, Damage::Chain.to_string());
        };
        if here == first {
            let were = were(first, here_last);
            let problem = format!("{were} changed: the hash chain does not lead there any more");
            return (Some(here_last), problem);
        }
        if let Some((_, last)) = self.displaced {
            let problem =
                format!("records were reordered: record {here} stands where record {first} has to");
            return (Some(last), problem);
        }
        if here > first {
            let were = were(first, here - 1);
            return (
                Some(here - 1),
                format!("{were} removed: record {here} follows {}", first - 1),
            );
        }
        (None, format!("records were reordered: record {here} stands again behind {}", first - 1))
    }
}
