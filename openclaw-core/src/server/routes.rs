//! The table of HTTP routes. A route exists by standing in it, with who may use it.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    response::Response,
    routing::{MethodFilter, on},
};
use http::{StatusCode, header};
use tokio::time::Instant;

use super::{
    auth::Refusal, body, caller::Caller, guard, guard::Origin, health, hooks, invoke, metrics,
    openai, rates::Use, socket, state::Server, webhooks,
};
use crate::protocol::Scope;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everybody. It tells nothing that is not for everybody.
    Public,
    /// Those who hold the scope.
    Scope(Scope),
    /// Its handler asks for a credential of its own, as webhooks do.
    Own,
}

/// A route, as the table has it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The method; `*` for all.
    pub method: &'static str,
    /// The path, below where the router is nested.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
}

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

pub(super) struct Route {
    method: &'static str,
    path: &'static str,
    access: Access,
    run: fn(Arc<Server>, Caller, Request) -> Answering,
}

macro_rules! run {
    ($handler:path) => {
        |server, caller, request| Box::pin($handler(server, caller, request))
    };
}

const READ: Access = Access::Scope(Scope::Read);
const WRITE: Access = Access::Scope(Scope::Write);

const fn route(
    method: &'static str,
    path: &'static str,
    access: Access,
    run: fn(Arc<Server>, Caller, Request) -> Answering,
) -> Route {
    Route { method, path, access, run }
}

/// Every route. The WebSocket is opened at any other path.
static ROUTES: &[Route] = &[
    route("GET", "/health", Access::Public, run!(health::live)),
    route("GET", "/healthz", Access::Public, run!(health::live)),
    route("GET", "/ready", Access::Public, run!(health::ready)),
    route("GET", "/readyz", Access::Public, run!(health::ready)),
    route("GET", "/startup", Access::Public, run!(health::ready)),
    route("GET", "/startupz", Access::Public, run!(health::ready)),
    route("GET", "/metrics", READ, run!(metrics::shown)),
    route("GET", "/v1/models", READ, run!(openai::list)),
    route("GET", "/v1/models/{*model}", READ, run!(openai::one)),
    route("POST", "/v1/chat/completions", WRITE, run!(openai::complete)),
    route("POST", "/v1/responses", WRITE, run!(openai::respond)),
    route("POST", "/v1/embeddings", WRITE, run!(openai::embed)),
    route("POST", "/tools/invoke", WRITE, run!(invoke::invoke)),
    route("POST", "/hooks/agent", Access::Own, run!(hooks::agent)),
    route("POST", "/hooks/wake", Access::Own, run!(hooks::wake)),
    route("*", "/webhooks/{channel}/{account}", Access::Own, run!(webhooks::take)),
];

/// Every HTTP route that there is.
pub fn http_routes() -> Vec<RouteInfo> {
    let info =
        |route: &Route| RouteInfo { method: route.method, path: route.path, access: route.access };
    ROUTES.iter().map(info).collect()
}

pub(super) fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            "GET" => MethodFilter::GET,
            "POST" => MethodFilter::POST,
            _ => MethodFilter::GET.or(MethodFilter::POST).or(MethodFilter::PUT),
        };
        let server = Arc::clone(&server);
        let enter = move |request| enter(Arc::clone(&server), route, request);
        router = router.route(route.path, on(filter, enter));
    }
    router.fallback(move |request| socket::open(Arc::clone(&server), request))
}

/// What every request goes through.
async fn enter(server: Arc<Server>, route: &'static Route, request: Request) -> Response {
    let (began, method) = (Instant::now(), request.method().clone());
    let response = match admit(&server, route, request).await {
        Ok((caller, request)) => (route.run)(Arc::clone(&server), caller, request).await,
        Err(refusal) => *refusal,
    };
    server.metrics.answered(&method, route.path, response.status(), began.elapsed());
    response
}

/// Checks whether whoever sent the request may use the route.
async fn admit(
    server: &Arc<Server>,
    route: &Route,
    request: Request,
) -> Result<(Caller, Request), Box<Response>> {
    let (parts, stream) = request.into_parts();
    let mut origin = Origin::of(&parts, &server.config);
    let caller = match route.access {
        Access::Public | Access::Own => Caller::unknown(&origin),
        Access::Scope(scope) => {
            guard::check(&parts.headers, &server.config)
                .map_err(|(status, why)| Box::new(body::refuse(status, why)))?;
            server.identify(&mut origin).await;
            let caller = server
                .authenticate(&parts.headers, &origin)
                .map_err(|refusal| Box::new(refused(server, refusal)))?;
            if !caller.may(scope) {
                let why = format!("this needs the scope {scope}");
                return Err(Box::new(body::refuse(StatusCode::FORBIDDEN, &why)));
            }
            not_too_often(server, &origin)?;
            caller
        }
    };
    Ok((caller, Request::from_parts(parts, stream)))
}

/// Counts a request of who was let in.
pub(super) fn not_too_often(server: &Server, origin: &Origin) -> Result<(), Box<Response>> {
    let most = server.config.limits.requests_per_minute;
    let taken = server.rates.take(Use::Http(origin.address), most);
    taken.map_err(|pause| Box::new(too_many("too many requests; try later", pause)))
}

fn too_many(why: &str, pause: Duration) -> Response {
    let mut response = body::refuse(StatusCode::TOO_MANY_REQUESTS, why);
    let seconds = pause.as_millis().div_ceil(1000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

pub(super) fn refused(server: &Arc<Server>, refusal: Refusal) -> Response {
    match refusal {
        Refusal::Missing => body::refuse(StatusCode::UNAUTHORIZED, "this needs a credential"),
        Refusal::Mismatch => {
            server.keep_lockouts();
            body::refuse(StatusCode::UNAUTHORIZED, "the credential is not valid")
        }
        Refusal::NotFromHere => {
            body::refuse(StatusCode::FORBIDDEN, "nobody is let in from where this comes from")
        }
        Refusal::Locked { retry_after_ms } => {
            too_many("too many wrong credentials; try later", Duration::from_millis(retry_after_ms))
        }
    }
}
