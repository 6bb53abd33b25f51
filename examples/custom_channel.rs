//! A channel of your own: a folder as a messaging service.
//!
//! Run with: `examples/run custom_channel`, or with `OPENAI_API_KEY` set:
//!
//! ```sh
//! cargo run -p openclaw-examples --example custom_channel
//! echo "How are you?" > .openclaw/mail/inbox/1.txt   # in another terminal
//! cat .openclaw/mail/outbox/*
//! ```
//!
//! It shows the two rules on which "nothing lost, nothing doubled" stands: what arrived is taken away
//! only after it was accepted, and what is sent carries a key by which a second send is known.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, EventKey, Gateway, GatewayBuilder, MessageId,
    Result, async_trait,
    channel::{Accepted, Capabilities, Channel, ChannelContext, Delivery},
    error::ResultExt as _,
    gateway::{IntoProvider, IntoStore},
    message::{Action, Inbound, Receipt, Sender, Sent, plain_text},
};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::openai::OpenAi;
use tokio::fs;

/// The person who owns the folder.
pub(crate) const OWNER: &str = "me";

/// Messages as files: `inbox/NAME.txt` comes in, `outbox/NUMBER-KEY.txt` goes out.
pub(crate) struct Folder {
    account: AccountId,
    capabilities: Capabilities,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        for part in ["inbox", "outbox"] {
            std::fs::create_dir_all(path.join(part)).kind(ErrorKind::InvalidConfig)?;
        }
        // The same key twice is one message, for as long as the file is there.
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let capabilities = Capabilities::text_only(Delivery::Keyed { window: year });
        Ok(Self { account: "folder".parse()?, capabilities, path })
    }

    async fn hear(&self, cx: &ChannelContext, file: &Path) -> Result<()> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(file).await.map_err(broken)?;
        let place = Conversation::direct(self.account.clone(), OWNER);
        let sender = Sender { id: OWNER.into(), name: None };
        let inbound =
            Inbound::message(EventKey::message(OWNER, &name), place, sender, [text.trim()]);
        match cx.accept(inbound).await? {
            Accepted::New | Accepted::Duplicate => {}
            other => eprintln!("{}: {other:?}", file.display()),
        }
        // Only now: killed before this line, the file is found again, and is then a duplicate.
        fs::remove_file(file).await.map_err(broken)
    }

    /// What is in `outbox` or `inbox`, in order.
    async fn files(&self, part: &str) -> Result<Vec<PathBuf>> {
        let mut folder = fs::read_dir(self.path.join(part)).await.map_err(broken)?;
        let mut files = Vec::new();
        while let Some(entry) = folder.next_entry().await.map_err(broken)? {
            // A writer that is at work uses another ending.
            if entry.path().extension().is_some_and(|ending| ending == "txt") {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The folder may be there again soon.
fn broken(error: io::Error) -> Error {
    Error::wrap(ErrorKind::Unavailable, error)
}

#[async_trait]
impl Channel for Folder {
    fn id(&self) -> &AccountId {
        &self.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        while !cx.cancel().is_cancelled() {
            for file in self.files("inbox").await? {
                self.hear(cx, &file).await?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn perform(
        &self,
        _cx: &ChannelContext,
        _to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        // It declares no other action, so none comes.
        let Action::Send { key, content, .. } = action else {
            return Err(Error::new(ErrorKind::Unsupported, "a folder can only be sent to"));
        };
        let sent = self.files("outbox").await?;
        let ending = format!("-{key}.txt");
        if !sent.iter().any(|file| file.to_string_lossy().ends_with(&ending)) {
            let file = self.path.join("outbox").join(format!("{:04}{ending}", sent.len() + 1));
            let unfinished = file.with_extension("part");
            fs::write(&unfinished, plain_text(content)).await.map_err(broken)?;
            fs::rename(&unfinished, &file).await.map_err(broken)?;
        }
        Ok(Sent::Yes(Receipt::message(MessageId::new(key.as_str()))))
    }
}

pub(crate) fn app(
    folder: Folder,
    provider: impl IntoProvider,
    store: impl IntoStore,
) -> GatewayBuilder {
    // That this sender is the owner is the application's word; a channel could not say it.
    Gateway::builder().provider(provider).channel(folder).owner("folder", OWNER).store(store)
}

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let provider = OpenAi::from_env()?;
    let folder = openclaw_examples::folder()?;
    let mail = folder.join("mail");
    eprintln!("I think with {provider} and read {}/inbox. Ctrl-C ends this.", mail.display());
    let store = Sqlite::open(folder.join("custom_channel.db")).await?;
    let gateway = app(Folder::open(mail)?, provider, store).start().await?;
    // Killed, too, it would go on with the next start. It only listens until somebody ends it.
    gateway.idle().await;
    gateway.shutdown().await
}
