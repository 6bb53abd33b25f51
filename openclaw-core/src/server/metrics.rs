//! Figures of one gateway, in the form of OpenMetrics.
//!
//! Names are those of OpenTelemetry's conventions where these have one, spelled as OpenMetrics wants it. No
//! value is what somebody said: labels are routes, agents, models, and tools that there are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, Method, StatusCode, header};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use super::{body, caller::Caller, state::Server};
use crate::{
    event::{Event, EventKind},
    gateway::Plan,
    id::{CallId, SessionKey},
    turn::Outcome,
};

const FORM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How many turns and calls are timed at once.
const MAX_TIMED: usize = 10_000;

/// The conventions' boundaries for durations of model calls and tools, in seconds.
const DURATIONS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Those for tokens.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Those for requests by HTTP, in seconds.
const REQUESTS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

type Labels = Vec<(&'static str, String)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

pub(super) struct Metrics {
    registry: Registry,
    requests: Histograms,
    methods: Family<Labels, Counter>,
    operations: Histograms,
    tokens: Histograms,
    turns: Family<Labels, Counter>,
    connections: Gauge,
    waiting: Gauge,
    began: Mutex<Began>,
}

/// What is being timed.
#[derive(Default)]
struct Began {
    turns: HashMap<SessionKey, Instant>,
    calls: HashMap<(SessionKey, CallId), Instant>,
}

fn histograms(make: fn() -> Histogram) -> Histograms {
    Family::new_with_constructor(make)
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        let new = Self {
            requests: histograms(|| Histogram::new(REQUESTS)),
            methods: Family::default(),
            operations: histograms(|| Histogram::new(DURATIONS)),
            tokens: histograms(|| Histogram::new(TOKENS)),
            turns: Family::default(),
            connections: Gauge::default(),
            waiting: Gauge::default(),
            began: Mutex::default(),
            registry: Registry::default(),
        };
        let seconds = || Unit::Seconds;
        registry.register_with_unit(
            "http_server_request_duration",
            "Requests by HTTP, until their answer began",
            seconds(),
            new.requests.clone(),
        );
        registry.register_with_unit(
            "gen_ai_client_operation_duration",
            "Turns of agents and calls of tools",
            seconds(),
            new.operations.clone(),
        );
        registry.register(
            "gen_ai_client_token_usage",
            "Tokens that turns used, by what the providers said",
            new.tokens.clone(),
        );
        registry.register("openclaw_turns", "Turns, by how they ended", new.turns.clone());
        registry.register(
            "openclaw_requests",
            "Requests of the gateway protocol",
            new.methods.clone(),
        );
        registry.register(
            "openclaw_connections",
            "Sockets that said who they are",
            new.connections.clone(),
        );
        registry.register("openclaw_waiting_sockets", "Sockets that did not", new.waiting.clone());
        Self { registry, ..new }
    }

    /// A request by HTTP was answered.
    pub(super) fn answered(
        &self,
        method: &Method,
        route: &'static str,
        status: StatusCode,
        took: Duration,
    ) {
        // Anything can stand in place of a method.
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT => method.as_str(),
            _ => "_OTHER",
        };
        let labels = vec![
            ("http_request_method", method.to_owned()),
            ("http_route", route.to_owned()),
            ("http_response_status_code", status.as_str().to_owned()),
        ];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A method of the protocol was asked for.
    pub(super) fn asked(&self, method: &'static str) {
        self.methods.get_or_create(&vec![("method", method.to_owned())]).inc();
    }

    /// Something happened in a session.
    pub(super) fn happened(&self, plan: &Plan, event: &Event) {
        let session = &event.session;
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.kind {
            EventKind::TurnStarted { .. } if began.turns.len() < MAX_TIMED => {
                began.turns.insert(session.clone(), Instant::now());
            }
            EventKind::ToolStarted { call, .. } if began.calls.len() < MAX_TIMED => {
                began.calls.insert((session.clone(), *call), Instant::now());
            }
            EventKind::ToolFinished { call, tool, ok } => {
                let Some(since) = began.calls.remove(&(session.clone(), *call)) else { return };
                drop(began);
                let known = plan.agents.get(session.agent());
                let known = known.is_some_and(|agent| agent.tools.contains_key(tool));
                // A model may name any tool.
                let tool = if known { tool.as_str() } else { "_OTHER" };
                let mut labels = vec![
                    ("gen_ai_operation_name", "execute_tool".to_owned()),
                    ("gen_ai_tool_name", tool.to_owned()),
                ];
                if !ok {
                    labels.push(("error_type", "_OTHER".to_owned()));
                }
                self.operations.get_or_create(&labels).observe(since.elapsed().as_secs_f64());
            }
            EventKind::TurnEnded { outcome, usage, .. } => {
                let since = began.turns.remove(session);
                began.calls.retain(|(of, _), _| of != session);
                drop(began);
                let mut labels = vec![
                    ("gen_ai_operation_name", "invoke_agent".to_owned()),
                    ("gen_ai_agent_name", session.agent().to_string()),
                ];
                labels.extend(model(plan, session));
                for (kind, count) in
                    [("input", usage.input_tokens), ("output", usage.output_tokens)]
                {
                    let mut of = labels.clone();
                    of.push(("gen_ai_token_type", kind.to_owned()));
                    #[expect(clippy::cast_precision_loss, reason = "no turn has 2^52 tokens")]
                    self.tokens.get_or_create(&of).observe(count as f64);
                }
                let word = outcome.word();
                self.turns
                    .get_or_create(&vec![
                        ("gen_ai_agent_name", session.agent().to_string()),
                        ("outcome", word.to_owned()),
                    ])
                    .inc();
                if *outcome != Outcome::Replied {
                    labels.push(("error_type", word.to_owned()));
                }
                if let Some(since) = since {
                    self.operations.get_or_create(&labels).observe(since.elapsed().as_secs_f64());
                }
            }
            _ => {}
        }
    }
}

/// Who the agent thinks with.
fn model(plan: &Plan, session: &SessionKey) -> Labels {
    let Some(agent) = plan.agents.get(session.agent()) else { return Vec::new() };
    vec![
        ("gen_ai_provider_name", agent.provider.id().to_string()),
        ("gen_ai_request_model", agent.agent.model.to_string()),
    ]
}

/// `GET /metrics`.
pub(super) async fn shown(server: Arc<Server>, _: Caller, _: Request) -> Response {
    let metrics = &server.metrics;
    metrics.connections.set(i64::try_from(server.count()).unwrap_or(i64::MAX));
    metrics.waiting.set(i64::try_from(server.waiting()).unwrap_or(i64::MAX));
    let mut text = String::new();
    if encode(&mut text, &metrics.registry).is_err() {
        return body::refuse(StatusCode::INTERNAL_SERVER_ERROR, "the figures cannot be written");
    }
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
    response
}
