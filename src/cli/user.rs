//! The name of whoever calls: as the environment says it, else as the system knows it.

use std::fs;
use std::path::Path;

use rustix::process::geteuid;

/// The users that the system knows.
const PASSWD: &str = "/etc/passwd";

/// The name of whoever calls; a number where nothing knows a name.
pub fn user_name() -> String {
    let named = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let number = geteuid().as_raw();
    named
        .filter(|name| !name.is_empty())
        .or_else(|| known(Path::new(PASSWD), number))
        .unwrap_or_else(|| format!("user {number}"))
}

/// The name of a user by his number.
fn known(passwd: &Path, number: u32) -> Option<String> {
    let text = fs::read_to_string(passwd).ok()?;
    let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = users.find(|fields| fields.get(2).and_then(|id| id.parse().ok()) == Some(number))?;
    own.first().filter(|name| !name.is_empty()).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_variable_is_known_by_his_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        fs::write(&path, "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:\n").unwrap();
        assert_eq!(known(&path, 0).as_deref(), Some("root"));
        assert_eq!(known(&path, 1000).as_deref(), Some("ada"));
        assert_eq!(known(&path, 7), None);
        assert_eq!(known(&dir.path().join("nowhere"), 0), None);
    }
}
