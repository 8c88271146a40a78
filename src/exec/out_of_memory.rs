//! Whether the system has ended a process for lack of memory, as its counters tell: of our control group, else of the
//! whole machine. Which process it was they do not say.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts from its making on.
pub struct OutOfMemoryKills(AtomicU64);

impl Default for OutOfMemoryKills {
    fn default() -> Self {
        Self(AtomicU64::new(total()))
    }
}

impl OutOfMemoryKills {
    /// Whether there was one since the last call.
    pub fn any_new(&self) -> bool {
        let now = total();
        self.0.swap(now, Ordering::Relaxed) < now
    }
}

/// The sum of all counters that can be read: each only grows.
fn total() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| counter_file(line, Path::new("/sys/fs/cgroup")));
    of_groups.chain(["/proc/vmstat".to_owned()]).map(|file| count(&file)).sum()
}

/// The file with the counter of a group, for a line such as `0::/user.slice` or `4:memory:/a`.
fn counter_file(line: &str, root: &Path) -> Option<String> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?.trim_start_matches('/'));
    let file = match controllers {
        "" => root.join(path).join("memory.events"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            root.join("memory").join(path).join("memory.oom_control")
        }
        _ => return None,
    };
    file.to_str().map(str::to_owned)
}

fn count(file: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_either_kind_of_group_is_found() {
        let root = Path::new("/r");
        let file = |line| counter_file(line, root);
        assert_eq!(file("0::/a/b").as_deref(), Some("/r/a/b/memory.events"));
        assert_eq!(file("0::/").as_deref(), Some("/r/memory.events"));
        assert_eq!(file("4:cpu,memory:/x:y").as_deref(), Some("/r/memory/x:y/memory.oom_control"));
        assert_eq!(file("1:cpu:/"), None);
        assert_eq!(file("nonsense"), None);
    }

    #[test]
    fn a_counter_is_read_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.events");
        for (text, wanted) in
            [("low 1\noom 9\noom_kill 3\noom_group_kill 7\n", 3), ("oom_kill_disable 0\n", 0), ("", 0)]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(count(path.to_str().unwrap()), wanted, "{text}");
        }
    }
}
