//! Whether a receipt still stands, as far as that can be seen without the store.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::config::config_for;
use super::{Receipt, ReceiptKey, Surroundings};
use crate::engine::scope::values::Listing;
use crate::python::question::PythonQuestion;
use crate::storage::history::is_known;
use crate::storage::receipts::{self, KeptReceipt};
use crate::storage::store::Evidence;
use crate::storage::upload_queue;

/// A receipt that stands, but for blobs and changes since it was read.
pub struct StandingReceipt {
    pub kept: KeptReceipt,
    pub receipt: Receipt,
    pub evidence: Evidence,
}

/// The receipt of a request, if all that it rests on outside of the store is as it was.
pub fn standing(key: &ReceiptKey, workflow: &Path, db: &Connection) -> Option<StandingReceipt> {
    let kept = receipts::find(db, &key.request).ok()??;
    if !receipts::stands(db, &key.request, &kept).ok()? {
        return None;
    }
    let receipt: Receipt = serde_json::from_str(&kept.text).ok()?;
    let now = Timestamp::now();
    if now < receipt.written || now >= receipt.until || !is_known(db, receipt.started.run) {
        return None;
    }
    let workflow =
        std::fs::canonicalize(workflow).ok().filter(|path| path.to_str() == Some(&receipt.path))?;
    let config = config_for(&workflow).ok().filter(|config| config.warnings.is_empty())?;
    if Surroundings::now(receipt.surroundings.patterns.clone(), &config) != receipt.surroundings {
        return None;
    }
    if receipt.remote && !upload_queue::counts(db).ok()?.is_empty() {
        return None;
    }
    let evidence = Evidence::decode(&kept.evidence)?;
    let holds = evidence.holds()
        && receipt.listings.iter().all(Listing::holds)
        && receipt.python.iter().all(PythonQuestion::holds);
    holds.then_some(StandingReceipt { kept, receipt, evidence })
}
