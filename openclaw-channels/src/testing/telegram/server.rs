//! The HTTP side: tokens, methods, files.

use std::sync::Arc;

use openclaw_core::{
    async_trait,
    bytes::Bytes,
    http::{Request, StatusCode},
    serde_json::json,
    testing::fake_service::{Answer, Service, answer, json_answer},
};

use super::{
    args::Args,
    error::{ApiError, Result},
    files::MAX_DOWNLOAD,
    json::put,
    methods,
    world::Shared,
};

/// What downloads of files are called by faults.
pub const FILE: &str = "file";

pub(super) struct Api(pub(super) Arc<Shared>);

/// Token and method, or token and path.
enum Asked<'a> {
    Method(&'a str, &'a str),
    File(&'a str, &'a str),
    Nothing,
}

fn asked(path: &str) -> Asked<'_> {
    if let Some((token, path)) = path.strip_prefix("/file/bot").and_then(|r| r.split_once('/')) {
        return Asked::File(token, path);
    }
    match path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) {
        Some((token, method)) => Asked::Method(token, method.trim_end_matches('/')),
        None => Asked::Nothing,
    }
}

#[async_trait]
impl Service for Api {
    async fn call(&self, request: Request<Bytes>) -> Answer {
        self.respond(&request).await.unwrap_or_else(|error| error.answer())
    }

    fn name(&self, request: &Request<Bytes>) -> String {
        match asked(request.uri().path()) {
            // The token is in the path, so an unknown method is not named by it.
            Asked::Method(_, method) => methods::canonical(method).unwrap_or("unknown").to_owned(),
            Asked::File(..) => FILE.to_owned(),
            Asked::Nothing => "unknown".to_owned(),
        }
    }

    fn refuse(&self, _: &Request<Bytes>, status: StatusCode, retry_after: Option<u64>) -> Answer {
        ApiError::of_status(status, retry_after).answer()
    }
}

impl Api {
    async fn respond(&self, request: &Request<Bytes>) -> Result<Answer> {
        match asked(request.uri().path()) {
            Asked::Method(token, method) => {
                let bot = self.bot(token)?;
                let args = Args::read(request).await?;
                let method = if method.is_empty() { args.text("method") } else { method };
                let done = methods::call(&self.0, bot, method, &args).await?;
                let mut body = json!({ "ok": true, "result": done.result });
                if let Some(note) = done.note {
                    put(&mut body, "description", note);
                }
                Ok(json_answer(200, &body))
            }
            Asked::File(token, path) => {
                self.bot(token)?;
                let stored = self.0.read(|world| world.files.by_path(path).cloned());
                let stored = stored.filter(|stored| stored.bytes.len() <= MAX_DOWNLOAD);
                let stored = stored.ok_or_else(not_found)?;
                Ok(answer(200, "application/octet-stream", stored.bytes))
            }
            Asked::Nothing => Err(not_found()),
        }
    }

    /// The bot whose token this is.
    fn bot(&self, token: &str) -> Result<i64> {
        let token = token.replace("%3A", ":").replace("%3a", ":");
        let id = token.split_once(':').and_then(|(id, _)| id.parse().ok());
        let id: i64 = id
            .filter(|id| *id > 0)
            .ok_or_else(|| ApiError::new(401, "Unauthorized: invalid token specified"))?;
        let known = self.0.read(|world| {
            world.bots.get(&id).is_some_and(|bot| bot.token.expose() == token.as_str())
        });
        if known { Ok(id) } else { Err(ApiError::new(401, "Unauthorized")) }
    }
}

fn not_found() -> ApiError {
    ApiError::new(404, "Not Found")
}
