//! Time zones: that of this machine, and others by their name.
//!
//! A zone is one file in the system's folder of zones, and is read from there. What a name can say beyond a file's (other cases,
//! rules written out, a machine without that folder) is the library's to read; it walks through the whole folder first, which takes
//! longer than all else that a small run does.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::closest::closest;
use super::inert::quote;

/// Now, in the zone of this machine.
pub fn local_now() -> Zoned {
    Timestamp::now().to_zoned(local_zone())
}

/// The zone of this machine, or that of the variable `TZ`.
pub fn local_zone() -> TimeZone {
    let named = match env::var_os("TZ") {
        Some(name) => name.to_str().and_then(|name| read(&folder(), name)),
        None => fs::read_link("/etc/localtime").ok().and_then(|target| {
            let (_, name) = target.to_str()?.split_once("zoneinfo/")?;
            read(&folder(), name)
        }),
    };
    named.unwrap_or_else(TimeZone::system)
}

/// The time zone of that IANA name.
///
/// # Errors
/// A sentence, with the nearest name that there is, or that the system knows none at all.
pub fn named_zone(name: &str) -> Result<TimeZone, String> {
    let found = read(&folder(), name).map_or_else(|| TimeZone::get(name), Ok);
    if let Ok(zone) = found {
        return Ok(zone);
    }
    let known = jiff::tz::db();
    if known.is_definitively_empty() {
        return Err("this system has no time zones: install its package of zones, tzdata".to_owned());
    }
    let names: Vec<String> = known.available().map(|name| name.to_string()).collect();
    let near = closest(name, names.iter().map(String::as_str));
    let hint = near.map(|near| format!("; did you mean `{near}`?"));
    Err(format!(
        "{} is no time zone: expected a name such as Europe/Berlin{}",
        quote(name),
        hint.unwrap_or_default()
    ))
}

/// Where the files of zones lie.
fn folder() -> PathBuf {
    env::var_os("TZDIR").map_or_else(|| "/usr/share/zoneinfo".into(), PathBuf::from)
}

/// Reads the file of a zone, if there is one of just that name.
fn read(folder: &Path, name: &str) -> Option<TimeZone> {
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"_+-".contains(&c))
    };
    if !name.split('/').all(is_plain) {
        return None;
    }
    let path = folder.join(name);
    // `TZ=UTC0` and its kin name no file; a folder or a device is none either.
    let bytes = fs::metadata(&path).ok().filter(fs::Metadata::is_file).and_then(|_| fs::read(&path).ok())?;
    TimeZone::tzif(name, &bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_read_is_the_same_as_the_librarys() {
        let folder = folder();
        if !folder.is_dir() {
            eprintln!("SKIPPED: no folder of zones here");
            return;
        }
        for name in
            ["Europe/Berlin", "UTC", "Etc/GMT+5", "Australia/Lord_Howe", "America/Argentina/Buenos_Aires"]
        {
            let (ours, library) = (read(&folder, name).unwrap(), TimeZone::get(name).unwrap());
            assert_eq!(ours.iana_name(), Some(name));
            for second in (-2_000_000_000..4_000_000_000_i64).step_by(9_999_991) {
                let instant = Timestamp::from_second(second).unwrap();
                assert_eq!(ours.to_datetime(instant), library.to_datetime(instant), "{name} {instant}");
            }
        }
    }

    #[test]
    fn what_is_no_name_of_a_file_is_left_to_the_library() {
        let folder = folder();
        for name in
            ["", "../zoneinfo/UTC", "/UTC", "Europe", "CET-1CEST,M3.5.0,M10.5.0/3", "No/Where", "tzdata.zi"]
        {
            assert!(read(&folder, name).is_none(), "{name}");
        }
        assert!(named_zone("europe/berlin").is_ok(), "the case does not matter");
        assert!(named_zone("No/Where").is_err());
    }

    #[test]
    fn an_unknown_zone_is_refused_with_the_nearest_name() {
        let problem = named_zone("Europe/Berlim").unwrap_err();
        assert!(problem.contains("did you mean `Europe/Berlin`?"), "{problem}");
    }
}
