//! The daemon: runs what schedules say when they say it, and shows what goes on.
//!
//! | folder | owns |
//! |---|---|
//! | `decide/` | what is done at a moment: pure |
//! | `web/` | the HTTP interface: who may ask, the API, the pages |

pub mod decide;
pub mod web;
