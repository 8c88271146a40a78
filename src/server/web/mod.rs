//! The HTTP interface of the daemon: one guard in front of all routes, the API, the pages.
//!
//! Handlers are a few lines over `ops`. Nothing here knows schedules or workflows by itself: what is alive in the daemon is asked
//! from the [`DaemonHandle`](super::DaemonHandle) that was given.
//!
//! | file | owns |
//! |---|---|
//! | `options.rs` | what can be set, and what of it is refused |
//! | `listen.rs` | sockets, limits of a connection |
//! | `answer.rs` | the way of a request: base path, guard, body, route, headers |
//! | `guard.rs`, `hosts.rs` | who may ask, in the order of the checks |
//! | `access.rs` | token, login codes, sessions, the limit on wrong ones |
//! | `feed.rs` | what happens in the home, for those who listen |
//! | `headers.rs` | headers of every answer |
//! | `routes.rs` | the table of all routes and the router made from it |
//! | `problem.rs`, `query.rs` | mistakes as JSON, parameters |
//! | `api/`, `pages/`, `assets.rs` | what the routes answer |

mod access;
mod answer;
mod api;
mod app;
mod assets;
mod feed;
mod guard;
mod headers;
mod hosts;
mod listen;
mod options;
mod pages;
mod problem;
mod query;
mod routes;
#[cfg(test)]
mod tests;

pub use listen::{Web, listen};
pub use options::WebOptions;
