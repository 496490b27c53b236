//! Room for connections: as many open files as the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Address, Config};

/// Left for the store, the log and the listeners.
const OTHERS: u64 = 512;

/// Raises the limit of open files as far as it goes, and lowers how many connections the APIs of
/// `config` may have where all of them together would not leave the others' files alone.
pub(super) fn make_room(config: &mut Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let Config { listen, authzen_listen, admin_listen, ops_listen, dashboard_listen, .. } = &config;
    let listening =
        |apis: &[&Vec<Address>]| apis.iter().filter(|api| !api.is_empty()).count() as u64;
    let deciding = listening(&[listen, authzen_listen]);
    let aside = listening(&[admin_listen, ops_listen, dashboard_listen]);
    let limits = &mut config.limits;
    let wanted = [limits.max_connections, limits.aside().max_connections].map(|most| most as u64);
    // None is no limit.
    let room = files.map_or(wanted, |files| room(files, [deciding, aside], wanted));
    let [connections, side] = room.map(|room| usize::try_from(room).unwrap_or(usize::MAX));
    if room != wanted {
        tracing::warn!(
            open_files = files,
            max_connections = connections,
            max_side_connections = side,
            "the limit of open files leaves each API room for fewer connections than \
             --max-connections says: raise it (`ulimit -Hn`, LimitNOFILE=)"
        );
    }
    (limits.max_connections, limits.max_side_connections) = (connections, side);
}

/// How many connections each API may have of those `wanted`, of so many open `files`: those that
/// decide, and those aside. They have the same as long as these leave something over.
fn room(files: u64, [deciding, aside]: [u64; 2], [wanted, wanted_aside]: [u64; 2]) -> [u64; 2] {
    let files = files.saturating_sub(OTHERS);
    let side = connections(files / (deciding + aside).max(1)).min(wanted_aside);
    let left = files.saturating_sub(most_files(side).saturating_mul(aside));
    [connections(left / deciding.max(1)).min(wanted), side]
}

/// How many files an API has open with so many connections: for a while a tenth more, and one.
fn most_files(connections: u64) -> u64 {
    connections.saturating_add(connections / 10 + 1)
}

/// For how many connections of an API there are so many files.
fn connections(files: u64) -> u64 {
    files.saturating_sub(files / 11 + 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: [u64; 2] = [10_000, 1000];

    #[test]
    fn all_apis_together_leave_files_for_the_others() {
        for files in [513, 600, 1024, 1300, 4096, 20_000, 65_536, u64::MAX] {
            for (deciding, aside) in [(1, 2), (1, 3), (2, 3)] {
                let of_each @ [each, side] = room(files, [deciding, aside], WANTED);
                let most = most_files(each) * deciding + most_files(side) * aside;
                assert!(of_each == [1, 1] || most <= files - OTHERS, "{files}: {of_each:?}");
                assert!(side <= each, "{files}: {of_each:?}");
            }
        }
        assert_eq!(room(0, [1, 3], WANTED), [1, 1]);
        assert_eq!(room(600, [1, 3], WANTED), [22, 19]);
        assert_eq!(room(1024, [1, 3], WANTED), [116, 116]);
        assert_eq!(room(8192, [1, 3], WANTED), [3979, 1000]);
        assert_eq!(room(20_000, [1, 3], WANTED), WANTED);
        assert_eq!(room(20_000, [2, 3], WANTED), [7356, 1000]);
        assert_eq!(room(20_000, [1, 3], [500, 500]), [500, 500]);
    }
}
