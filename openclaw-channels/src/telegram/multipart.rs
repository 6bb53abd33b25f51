//! Forms with files (RFC 7578), which is how Telegram takes uploads.

use openclaw_core::{
    Result,
    bytes::Bytes,
    time::{Entropy as _, SystemEntropy},
};

/// A form as it is built: `multipart/form-data`.
pub(super) struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// Without a field. The boundary is unpredictable, so that no file can hold it.
    pub(super) fn new() -> Result<Self> {
        let mut bytes = [0; 16];
        SystemEntropy.fill(&mut bytes)?;
        Ok(Self { boundary: format!("{:032x}", u128::from_be_bytes(bytes)), body: Vec::new() })
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.part(&format!("name=\"{}\"", quoted(name)), value.as_bytes());
    }

    pub(super) fn file(&mut self, name: &str, file_name: &str, bytes: &[u8]) {
        self.part(&format!("name=\"{}\"; filename=\"{}\"", quoted(name), quoted(file_name)), bytes);
    }

    fn part(&mut self, disposition: &str, bytes: &[u8]) {
        let head =
            format!("--{}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n", self.boundary);
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(bytes);
        self.body.extend_from_slice(b"\r\n");
    }

    /// Its media type and its bytes.
    pub(super) fn finish(mut self) -> (String, Bytes) {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        (format!("multipart/form-data; boundary={}", self.boundary), self.body.into())
    }
}

/// A name between quotation marks, as browsers write it.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_head() {
        let mut form = Form::new().unwrap();
        form.field("chat_id", "7");
        form.file("photo", "a\"\r\nX: y", b"\0\r\n--");
        let boundary = form.boundary.clone();
        let (kind, bytes) = form.finish();
        assert_eq!(kind, format!("multipart/form-data; boundary={boundary}"));
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n7\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"photo\"; \
             filename=\"a%22%0D%0AX: y\"\r\n\r\n\0\r\n--\r\n--{boundary}--\r\n"
        );
        assert_eq!(bytes, expected);
    }
}
