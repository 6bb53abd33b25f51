//! Calls of the Bot API. The token is in the path of each address, so no error may hold an address.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use openclaw_core::{
    Error, ErrorKind, Result, Retry,
    bytes::Bytes,
    channel::ChannelContext,
    http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header},
    http_client::{Body, HttpClient, NotConnected},
    secret::Secret,
    serde_json,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    error::{Failure, Parameters, Refusal},
    multipart::Form,
};

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a file may take, up or down.
const FILE_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest answer, in bytes; a hundred of the longest messages stay far below it.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// What stands as it is in the path of a file.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-');

/// The Bot API with one token.
#[derive(Clone)]
pub(super) struct Client {
    /// Without a slash at its end.
    pub(super) base: String,
    pub(super) token: Secret,
    /// `None` is the gateway's.
    pub(super) http: Option<Arc<dyn HttpClient>>,
    /// The token may be seen on the way to another machine.
    pub(super) allow_plain_http: bool,
}

/// Each answer's form.
#[derive(Deserialize)]
struct Answer<T> {
    ok: bool,
    result: Option<T>,
    description: Option<String>,
    error_code: Option<u16>,
    #[serde(default)]
    parameters: Parameters,
}

impl Client {
    /// Calls a method.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        cx: &ChannelContext,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call_within(cx, method, arguments, TIMEOUT).await
    }

    /// Calls a method that may take this long.
    pub(super) async fn call_within<T: DeserializeOwned>(
        &self,
        cx: &ChannelContext,
        method: &str,
        arguments: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(arguments).map_err(|error| {
            Failure::NotSent(Error::internal(format!("a call cannot be written: {error}")))
        })?;
        self.ask(cx, method, "application/json", body.into(), timeout).await
    }

    /// Calls a method with files.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        cx: &ChannelContext,
        method: &str,
        form: Form,
    ) -> Result<T, Failure> {
        let (kind, body) = form.finish();
        self.ask(cx, method, &kind, body, FILE_TIMEOUT).await
    }

    /// Fetches a file that `getFile` named.
    pub(super) async fn download(
        &self,
        cx: &ChannelContext,
        path: &str,
        max_bytes: u64,
    ) -> Result<Bytes> {
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the Bot API server keeps its files on its own disk: run it without --local",
            ));
        }
        let path = format!("/file/bot{}/{}", self.token.expose(), utf8_percent_encode(path, PATH));
        let fetch = async {
            let mut response = self.send(cx, &path, Method::GET, None, Bytes::new()).await?;
            if response.status() != StatusCode::OK {
                return Err(status_error(response.status()));
            }
            read(response.body_mut(), usize::try_from(max_bytes).unwrap_or(usize::MAX)).await
        };
        let bytes = tokio::time::timeout(FILE_TIMEOUT, fetch);
        let bytes = bytes.await.unwrap_or_else(|_| Err(late(FILE_TIMEOUT)));
        bytes.map_err(|error| self.scrub(error))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        cx: &ChannelContext,
        method: &str,
        kind: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let path = format!("/bot{}/{method}", self.token.expose());
        let exchange = async {
            let mut response = self.send(cx, &path, Method::POST, Some(kind), body).await?;
            let answer = read(response.body_mut(), MAX_ANSWER_BYTES).await?;
            Ok((response.status(), answer))
        };
        let exchange = tokio::time::timeout(timeout, exchange);
        let exchange = exchange.await.unwrap_or_else(|_| Err(late(timeout)));
        let (status, answer) = exchange.map_err(|error| {
            let not_sent = NotConnected::is(&error) || error.kind() == ErrorKind::InvalidConfig;
            let error = self.scrub(error).with("method", method);
            if not_sent { Failure::NotSent(error) } else { Failure::Lost(error) }
        })?;
        understand(status, &answer).map_err(|failure| match failure {
            Failure::Refused(refusal) => Failure::Refused(Refusal {
                description: self.without_token(&refusal.description),
                ..refusal
            }),
            Failure::NotSent(error) => Failure::NotSent(self.scrub(error).with("method", method)),
            Failure::Lost(error) => Failure::Lost(self.scrub(error).with("method", method)),
        })
    }

    async fn send(
        &self,
        cx: &ChannelContext,
        path: &str,
        method: Method,
        kind: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Body>> {
        let bad = || Error::config("base_url with the token behind it is not a URL");
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|_| bad())?;
        if uri.scheme_str() == Some("http") && !is_loopback(&uri) && !self.allow_plain_http {
            return Err(Error::config(
                "the token would go over plain http to another machine; use https, or say \
                 allow_plain_http if the network is trusted",
            ));
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        if let Some(kind) = kind {
            let kind = HeaderValue::try_from(kind)
                .map_err(|_| Error::internal("a media type that no header can have"))?;
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        match &self.http {
            Some(http) => http.send(request).await,
            None => cx.http()?.send(request).await,
        }
    }

    /// The error without our token, which a client may repeat with the address.
    fn scrub(&self, error: Error) -> Error {
        let text = format!("{error:?}");
        if !text.contains(self.token.expose()) {
            return error;
        }
        Error::new(error.kind(), self.without_token(&error.to_string())).with_retry(error.retry())
    }

    fn without_token(&self, text: &str) -> String {
        text.replace(self.token.expose(), "***")
    }
}

/// What an answer says.
fn understand<T: DeserializeOwned>(status: StatusCode, answer: &[u8]) -> Result<T, Failure> {
    let refused = |code: u16, description: String, parameters| {
        Err(match code {
            // Nobody knows how far it had come.
            500.. => Failure::Lost(Error::new(
                ErrorKind::Unavailable,
                format!("Telegram failed: {code}: {description}"),
            )),
            _ => Failure::Refused(Refusal { code, description, parameters }),
        })
    };
    match serde_json::from_slice::<Answer<T>>(answer) {
        Ok(Answer { ok: true, result: Some(result), .. }) => Ok(result),
        Ok(Answer { ok: false, description, error_code, parameters, .. }) => {
            let code = error_code.unwrap_or(status.as_u16());
            refused(code, description.unwrap_or_default(), parameters)
        }
        _ if !status.is_success() => {
            let what = status.canonical_reason().unwrap_or("an unknown status");
            refused(
                status.as_u16(),
                format!("{what}, and not by the Bot API"),
                Parameters::default(),
            )
        }
        // It said yes; to what, we cannot read.
        Ok(_) | Err(_) => Err(Failure::Lost(
            Error::new(
                ErrorKind::InvalidData,
                "Telegram's answer cannot be understood; is base_url right?",
            )
            .with_retry(Retry::Backoff),
        )),
    }
}

pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn status_error(status: StatusCode) -> Error {
    let kind = match status.as_u16() {
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Denied,
    };
    Error::new(kind, format!("Telegram does not give the file: {status}"))
}

fn late(timeout: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("no answer within {} s", timeout.as_secs()))
}

async fn read(body: &mut Body, max: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if bytes.len() + chunk.len() > max {
            return Err(Error::new(ErrorKind::Exhausted, format!("it is longer than {max} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use openclaw_core::serde_json::Value;

    use super::*;

    fn read(status: u16, answer: &str) -> Result<Value, Failure> {
        understand(StatusCode::from_u16(status).unwrap(), answer.as_bytes())
    }

    #[test]
    fn an_answer_says_what_happened() {
        assert!(matches!(read(200, r#"{"ok":true,"result":1}"#), Ok(value) if value == 1));
        let refused = read(
            429,
            r#"{"ok":false,"error_code":429,"description":"x","parameters":{"retry_after":3}}"#,
        );
        let Err(Failure::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!((refusal.code, refusal.parameters.retry_after), (429, Some(3)));
        // By something that stands before the Bot API.
        assert!(matches!(read(413, "<html>"), Err(Failure::Refused(Refusal { code: 413, .. }))));
        for (status, answer) in [
            (502, "<html>"),
            (500, r#"{"ok":false,"error_code":500,"description":"x"}"#),
            (200, "<html>"),
            (200, r#"{"ok":true}"#),
            (200, ""),
        ] {
            let lost = read(status, answer);
            assert!(matches!(&lost, Err(Failure::Lost(error)) if error.is_transient()), "{lost:?}");
        }
    }
}
