//! Room for connections: as many open files as the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Left for the store, the log and the other listeners.
const OTHERS: u64 = 512;

/// Raises the limit of open files as far as it goes, and gives how many connections an API may have
/// of the `wanted`.
pub(super) fn make_room(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    // None is no limit.
    // For a while there may be a tenth more.
    let room = files.map_or(u64::MAX, |files| (files.saturating_sub(OTHERS) / 11 * 10).max(1));
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            open_files = files,
            max_connections = room,
            "the limit of open files leaves room for fewer connections than --max-connections says: \
             raise it (`ulimit -Hn`, LimitNOFILE=)"
        );
    }
    wanted.min(room)
}
