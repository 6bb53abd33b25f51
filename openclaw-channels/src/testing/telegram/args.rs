//! A method's parameters, however they were sent.

use std::collections::HashMap;

use futures_util::stream;
use multer::Multipart;
use openclaw_core::{
    bytes::Bytes,
    http::{Request, header},
    serde_json::{self, Map, Value},
};

use super::error::{ApiError, Result, bad};

/// A file in a request.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) name: Option<String>,
    pub(super) mime: Option<String>,
    pub(super) bytes: Bytes,
}

/// Parameters by name. Whatever way they come, the server sees text, in which objects are JSON.
#[derive(Default)]
pub(super) struct Args {
    texts: HashMap<String, String>,
    files: HashMap<String, Upload>,
}

impl Args {
    /// From the query, and from a body that is JSON, a form, or multipart.
    pub(super) async fn read(request: &Request<Bytes>) -> Result<Self> {
        let mut args = Self::default();
        args.form(request.uri().query().unwrap_or_default().as_bytes());
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default();
        let body = request.body();
        if kind.starts_with("application/json") {
            if !body.is_empty() {
                args.json(body)?;
            }
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            args.form(body);
        } else if kind.starts_with("multipart/form-data") {
            args.multipart(kind, body.clone()).await?;
        }
        Ok(args)
    }

    /// From the answer of a webhook.
    pub(super) fn of_json(object: Map<String, Value>) -> Self {
        let mut args = Self::default();
        args.object(object);
        args
    }

    fn form(&mut self, form: &[u8]) {
        let fields = url::form_urlencoded::parse(form);
        self.texts.extend(fields.map(|(name, value)| (name.into_owned(), value.into_owned())));
    }

    fn json(&mut self, body: &[u8]) -> Result<()> {
        let bad_json =
            || ApiError::new(400, "Bad Request: can't parse JSON: the body is no JSON object");
        let Value::Object(object) = serde_json::from_slice(body).map_err(|_| bad_json())? else {
            return Err(bad_json());
        };
        self.object(object);
        Ok(())
    }

    fn object(&mut self, object: Map<String, Value>) {
        for (name, value) in object {
            match value {
                Value::Null => {}
                Value::String(text) => {
                    self.texts.insert(name, text);
                }
                other => {
                    self.texts.insert(name, other.to_string());
                }
            }
        }
    }

    async fn multipart(&mut self, kind: &str, body: Bytes) -> Result<()> {
        let broken =
            |error: multer::Error| bad(format!("can't parse multipart/form-data: {error}"));
        let boundary = multer::parse_boundary(kind).map_err(broken)?;
        let body = stream::iter([Ok::<_, std::io::Error>(body)]);
        let mut parts = Multipart::new(body, boundary);
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let field = part.name().unwrap_or_default().to_owned();
            let name = part.file_name().map(str::to_owned);
            let mime = part.content_type().map(ToString::to_string);
            let bytes = part.bytes().await.map_err(broken)?;
            // A part is a file if it has a file's name.
            if name.is_some() {
                self.files.insert(field, Upload { name, mime, bytes });
            } else {
                self.texts.insert(field, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(())
    }

    /// As it was sent; empty if it was not.
    pub(super) fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    /// Anything that is no number is 0, as at the server.
    pub(super) fn int(&self, name: &str) -> i64 {
        self.text(name).trim().parse().unwrap_or(0)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.text(name).to_lowercase().as_str(), "true" | "yes" | "1")
    }

    /// Parsed, if it was sent.
    pub(super) fn json_of(&self, name: &str, what: &str) -> Result<Option<Value>> {
        match self.text(name) {
            "" => Ok(None),
            text => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| bad(format!("can't parse {what} JSON object"))),
        }
    }

    pub(super) fn file(&self, name: &str) -> Option<&Upload> {
        self.files.get(name)
    }

    /// How many bytes its files have together.
    pub(super) fn file_bytes(&self) -> usize {
        self.files.values().map(|file| file.bytes.len()).sum()
    }
}
