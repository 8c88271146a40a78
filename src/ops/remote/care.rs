//! What of a shared cache goes, and what is wrong with it.

use jiff::Timestamp;

use crate::core::digest::Digest;
use crate::ops::Error;
use crate::storage::remote::{self, RemoteCache};

pub use crate::storage::remote::{RemoteFindings, RemoteLimits, RemoteSwept};

/// Removes what is older than it may be, what does not fit, and what no entry names.
///
/// # Errors
/// The shared cache does not do what it should (kind: failed).
pub fn sweep(cache: &RemoteCache, limits: RemoteLimits, dry_run: bool) -> Result<RemoteSwept, Error> {
    remote::sweep(cache, limits, dry_run, Timestamp::now()).map_err(|fault| failed(cache, &fault))
}

/// Reads entries and blobs, all or about `percent` of the entries, and says what is wrong.
///
/// # Errors
/// The shared cache does not do what it should (kind: failed).
pub fn verify(cache: &RemoteCache, percent: Option<f64>) -> Result<RemoteFindings, Error> {
    // Keys are spread evenly: those below a bound are a fair sample, another one each time by the time of day.
    let shift = Timestamp::now().as_second().unsigned_abs() as u32;
    let picks = |digest: &Digest| {
        let number = u32::from_le_bytes([digest.0[0], digest.0[1], digest.0[2], digest.0[3]]);
        let part = f64::from(number.wrapping_add(shift.wrapping_mul(2_654_435_761))) / f64::from(u32::MAX);
        percent.is_none_or(|percent| part * 100.0 < percent)
    };
    remote::verify(cache, &picks).map_err(|fault| failed(cache, &fault))
}

pub(super) fn failed(cache: &RemoteCache, fault: &dyn std::fmt::Display) -> Error {
    Error::failed(format!("the shared cache {} does not work: {fault}", cache.url))
}
