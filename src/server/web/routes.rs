//! The table of all routes, and the router made from it. A route is added here and nowhere else, so that the tests of the guard
//! and of the API's description, which walk the table, cover it by themselves.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
#[cfg(test)]
use axum::http::Method;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing;

use super::app::App;
use super::problem::HttpProblem;
use super::{api, assets, pages};

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// GET and HEAD: gives something.
    Get,
    /// POST that changes nothing but who is logged in, or is a question too long for an address.
    Ask,
    /// POST that changes something: refused where the server is read-only.
    Change,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub kind: RouteKind,
    /// Below the base path, with parameters in braces.
    pub path: &'static str,
}

#[cfg(test)]
impl Route {
    pub fn method(&self) -> Method {
        match self.kind {
            RouteKind::Get => Method::GET,
            RouteKind::Ask | RouteKind::Change => Method::POST,
        }
    }
}

/// Routes that were added so far.
pub struct Routes {
    app: Arc<App>,
    router: Router<Arc<App>>,
    pub table: Vec<Route>,
}

impl Routes {
    fn new(app: Arc<App>) -> Self {
        Self { app, router: Router::new(), table: Vec::new() }
    }

    fn get<T: 'static>(self, path: &'static str, handler: impl Handler<T, Arc<App>>) -> Self {
        self.add(RouteKind::Get, path, routing::get(handler))
    }

    fn ask<T: 'static>(self, path: &'static str, handler: impl Handler<T, Arc<App>>) -> Self {
        self.add(RouteKind::Ask, path, routing::post(handler))
    }

    fn change<T: 'static>(self, path: &'static str, handler: impl Handler<T, Arc<App>>) -> Self {
        let guarded = routing::post(handler).layer(from_fn_with_state(self.app.clone(), refuse_if_read_only));
        self.add(RouteKind::Change, path, guarded)
    }

    fn add(mut self, kind: RouteKind, path: &'static str, handler: routing::MethodRouter<Arc<App>>) -> Self {
        self.table.push(Route { kind, path });
        self.router = self.router.route(path, handler);
        self
    }

    /// The router of these routes.
    pub fn router(self) -> Router {
        let unknown = || async { HttpProblem::not_found("there is nothing at this address") };
        let other_method = || async {
            let detail = "this address takes other methods, which the header `Allow` names";
            HttpProblem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        };
        self.router.fallback(unknown).method_not_allowed_fallback(other_method).with_state(self.app)
    }
}

async fn refuse_if_read_only(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if app.is_read_only {
        let detail = "the server was started with --read-only: it shows, and changes nothing";
        return HttpProblem::new(StatusCode::FORBIDDEN, "read_only", detail).into_response();
    }
    next.run(request).await
}

/// All routes.
pub fn routes(app: &Arc<App>) -> Routes {
    Routes::new(app.clone())
        .get("/", pages::home)
        .get("/runs", pages::runs::show)
        .get("/runs/{run}", pages::run::show)
        .get("/runs/{run}/nodes/{*node}", pages::node::show)
        .get("/runs/{run}/compare/{with}", pages::compare::show)
        .get("/runs/{run}/report", pages::run_forms::report)
        .change("/runs/{run}/retry", pages::run_forms::again)
        .change("/runs/{run}/cancel", pages::run_forms::cancel)
        .get("/workflows", pages::workflows::list)
        .get("/workflows/{name}", pages::workflows::one)
        .ask("/workflows/{name}/plan", pages::workflows::plan)
        .change("/workflows/{name}/run", pages::workflows::run)
        .get("/schedules", pages::schedules::list)
        .get("/schedules/{workflow}/{name}", pages::schedules::one)
        .change("/schedules/{workflow}/{name}/pause", pages::schedules::hold)
        .change("/schedules/{workflow}/{name}/resume", pages::schedules::go_on)
        .change("/schedules/{workflow}/{name}/run", pages::schedules::run)
        .change("/schedules/{workflow}/{name}/backfill", pages::schedules::fill_in)
        .get("/cache", pages::cache::show)
        .get("/cache/{key}", pages::cache::entry)
        .change("/cache/{key}/forget", pages::cache::forget)
        .change("/cache/gc", pages::cache::gc)
        .change("/cache/verify", pages::verify::show)
        .get("/healthz", api::server::health)
        .get("/metrics", api::metrics::show)
        .get("/api/server", api::server::server)
        .ask("/api/login-codes", api::server::login_code)
        .get("/api/openapi.json", api::server::description)
        .change("/api/runs", api::start::begin)
        .change("/api/runs/{run}/retry", api::start::again)
        .change("/api/runs/{run}/cancel", api::start::cancel)
        .get("/api/workflows", api::workflows::list)
        .get("/api/workflows/{name}", api::workflows::one)
        .ask("/api/workflows/{name}/plan", api::start::plan)
        .get("/api/schedules", api::schedules::all)
        .get("/api/schedules/{workflow}/{name}", api::schedules::one)
        .get("/api/schedules/{workflow}/{name}/next", api::schedules::next)
        .change("/api/schedules/{workflow}/{name}/pause", api::schedules::hold)
        .change("/api/schedules/{workflow}/{name}/resume", api::schedules::go_on)
        .change("/api/schedules/{workflow}/{name}/trigger", api::schedules::trigger)
        .change("/api/schedules/{workflow}/{name}/backfill", api::schedules::backfill)
        .get("/api/events", api::home_events::of_home)
        .get("/api/runs", api::runs::list)
        .get("/api/runs/{run}", api::runs::run)
        .get("/api/runs/{run}/nodes", api::runs::run_nodes)
        .get("/api/runs/{run}/node", api::runs::node)
        .get("/api/runs/{run}/log", api::logs::log)
        .get("/api/runs/{run}/file", api::files::file)
        .get("/api/runs/{run}/graph", api::files::run_graph)
        .get("/api/runs/{run}/diff", api::runs::compare)
        .get("/api/runs/{run}/events", api::events::of_run)
        .get("/api/cache", api::cache::stats)
        .get("/api/cache/entries", api::cache::entries)
        .get("/api/cache/entries/{key}", api::cache::entry)
        .change("/api/cache/evict", api::cache::evict)
        .change("/api/cache/gc", api::cache::gc)
        .get("/login", pages::login::show)
        .ask("/login", pages::login::enter)
        .ask("/logout", pages::login::leave)
        .get("/assets/{name}", assets::asset)
}
