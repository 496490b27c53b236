//! Room for connections: as many open files as the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Left for the store, the log and the listeners.
const OTHERS: u64 = 512;

/// Raises the limit of open files as far as it goes, and gives how many connections each of `apis`
/// may have of the `wanted`: all of them together leave the others' files alone.
pub(super) fn make_room(wanted: usize, apis: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    // None is no limit.
    let room = files.map_or(u64::MAX, |files| room(files, u64::try_from(apis).unwrap_or(u64::MAX)));
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            open_files = files,
            max_connections = room,
            apis,
            "the limit of open files leaves each API room for fewer connections than \
             --max-connections says: raise it (`ulimit -Hn`, LimitNOFILE=)"
        );
    }
    wanted.min(room)
}

/// How many connections each of `apis` may have, of so many open `files`.
fn room(files: u64, apis: u64) -> u64 {
    // For a while an API may have a tenth more, and one.
    let each = files.saturating_sub(OTHERS) / apis.max(1);
    each.saturating_sub(each / 11 + 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_apis_together_leave_files_for_the_others() {
        for files in [513, 600, 1024, 1300, 4096, 65_536, u64::MAX] {
            for apis in 1..=5 {
                let each = room(files, apis);
                let most = each.saturating_add(each / 10 + 1).saturating_mul(apis);
                assert!(each == 1 || most <= files - OTHERS, "{files} files, {apis} APIs: {each}");
            }
        }
        assert_eq!((room(600, 4), room(1024, 4), room(0, 5)), (19, 116, 1));
    }
}
