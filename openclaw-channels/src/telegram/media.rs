//! Fetches files that people sent.

use openclaw_core::{
    Error, ErrorKind, Result, async_trait,
    bytes::Bytes,
    channel::{ChannelContext, FetchMedia},
    serde_json::json,
};

use super::{Telegram, types::File};

#[async_trait]
impl FetchMedia for Telegram {
    async fn fetch_media(
        &self,
        cx: &ChannelContext,
        handle: &str,
        max_bytes: u64,
    ) -> Result<Bytes> {
        let max = max_bytes.min(self.limits.download_bytes);
        let too_large = |bytes: u64| {
            Error::new(
                ErrorKind::Exhausted,
                format!("a file of {bytes} bytes, at most {max} are fetched"),
            )
        };
        let file: File = self.client.call(cx, "getFile", &json!({ "file_id": handle })).await?;
        if let Some(bytes) = file.file_size.filter(|bytes| *bytes > max) {
            return Err(too_large(bytes));
        }
        let path = file.file_path.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "Telegram does not say where the file is")
        })?;
        self.client.download(cx, &path, max).await
    }
}
