//! A Telegram bot. It goes on where it was when you start it again.
//!
//! Ask @BotFather for a bot and its token, and write to @userinfobot to learn your number. Run with:
//!
//! ```sh
//! TELEGRAM_BOT_TOKEN=… TELEGRAM_OWNER=… examples/run telegram_bot
//! ```
//!
//! (a small model on this machine, unless `OPENAI_API_KEY` or `OPENAI_BASE_URL` is set.)
//!
//! Write to it, send it a picture or a text file, add it to a group and name it there. Strangers get a
//! code that you can let in with `/pair`. What it wants to do on the word of somebody else, such as a
//! message that a file asks for, shows you buttons first.

use openclaw_channels::telegram::Telegram;
use openclaw_core::{Error, Gateway, Result, access::Access};
use openclaw_memory::sqlite::Sqlite;
use openclaw_providers::{http::Reqwest, openai::OpenAi};
use openclaw_tools::{AskUser, Now, SendMessage};

#[tokio::main]
async fn main() -> Result<()> {
    openclaw_examples::log();
    let owner = std::env::var("TELEGRAM_OWNER").map_err(|_| {
        Error::config("TELEGRAM_OWNER is not set; set it to your number at Telegram")
    })?;
    let store = Sqlite::open(openclaw_examples::folder()?.join("telegram.db")).await?;
    let gateway = Gateway::builder()
        .http(Reqwest::new())
        .provider(OpenAi::from_env()?)
        .channel(Telegram::from_env()?)
        .access("telegram:default".parse()?, Access::pairing().any_group())
        .owner("telegram", owner)
        .store(store.clone())
        .tool(Now::new())
        .tool(AskUser)
        .tool(SendMessage)
        .start()
        .await?;
    eprintln!("The bot hears. Ctrl-C ends this.");
    // If nobody can press it here, the bot goes on until it is killed.
    let _ = tokio::signal::ctrl_c().await;
    gateway.shutdown().await?;
    store.close().await
}
