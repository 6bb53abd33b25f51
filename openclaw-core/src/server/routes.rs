//! The table of HTTP routes. A route exists by standing in it, with who may use it.

use std::{pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::Response,
    routing::{MethodFilter, on},
};
use http::StatusCode;

use super::{
    auth::Refusal, body, caller::Caller, guard, guard::Origin, health, socket, state::Server,
    webhooks,
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

/// Every route. The WebSocket is opened at any other path.
static ROUTES: &[Route] = &[
    Route { method: "GET", path: "/health", access: Access::Public, run: run!(health::live) },
    Route { method: "GET", path: "/healthz", access: Access::Public, run: run!(health::live) },
    Route { method: "GET", path: "/ready", access: Access::Public, run: run!(health::ready) },
    Route { method: "GET", path: "/readyz", access: Access::Public, run: run!(health::ready) },
    Route { method: "GET", path: "/startup", access: Access::Public, run: run!(health::ready) },
    Route { method: "GET", path: "/startupz", access: Access::Public, run: run!(health::ready) },
    Route {
        method: "*",
        path: "/webhooks/{channel}/{account}",
        access: Access::Own,
        run: run!(webhooks::take),
    },
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
    let (parts, stream) = request.into_parts();
    let origin = Origin::of(&parts, &server.config);
    let caller = match route.access {
        Access::Public | Access::Own => Caller::unknown(&origin),
        Access::Scope(scope) => {
            if let Err((status, why)) = guard::check(&parts.headers, &server.config) {
                return body::refuse(status, why);
            }
            match server.authenticate(&parts.headers, &origin) {
                Ok(caller) if caller.may(scope) => caller,
                Ok(_) => {
                    let why = format!("this needs the scope {scope}");
                    return body::refuse(StatusCode::FORBIDDEN, &why);
                }
                Err(refusal) => return refused(&server, refusal),
            }
        }
    };
    (route.run)(server, caller, Request::from_parts(parts, stream)).await
}

fn refused(server: &Arc<Server>, refusal: Refusal) -> Response {
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
            let mut response = body::refuse(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong credentials; try later",
            );
            let seconds = retry_after_ms.div_ceil(1000);
            response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
            response
        }
    }
}
