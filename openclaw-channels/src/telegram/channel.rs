//! The bot as a channel.

use openclaw_core::{
    AccountId, Conversation, Result, async_trait,
    channel::{Capabilities, Channel, ChannelContext, Counted, Extras, Probe},
    gateway::COMMANDS,
    message::{Action, Sent},
    serde_json::json,
};

use super::{Telegram, error::Failure};

#[async_trait]
impl Channel for Telegram {
    fn id(&self) -> &AccountId {
        &self.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        let hear = async {
            self.bot(cx).await?;
            // First what is needed to hear: in an outage it is one call a try.
            match &self.hook {
                Some(hook) => self.set_webhook(cx, hook).await?,
                None => self.stop_webhook(cx).await?,
            }
            self.register_commands(cx).await?;
            match &self.hook {
                Some(hook) => self.keep_webhook(cx, hook).await,
                None => self.poll(cx).await,
            }
        };
        tokio::select! {
            biased;
            () = cx.cancel().cancelled() => Ok(()),
            heard = hear => heard,
        }
    }

    async fn perform(
        &self,
        cx: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        self.act(cx, to, action).await
    }

    fn extras(&self) -> Extras<'_> {
        let extras = Extras::default()
            .fetch_media(self)
            .probe(self)
            .exclusive(&self.exclusive)
            .counted(self);
        if self.hook.is_some() { extras.webhook(self) } else { extras }
    }
}

#[async_trait]
impl Probe for Telegram {
    async fn probe(&self, cx: &ChannelContext) -> Result<String> {
        let bot = self.ask_who(cx).await?;
        Ok(format!("@{} ({})", bot.username, bot.id))
    }
}

impl Counted for Telegram {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        let all = self.counters();
        vec![
            ("updates", all.updates),
            ("duplicates", all.duplicates),
            ("unknown", all.unknown),
            ("malformed", all.malformed),
            ("refused", all.refused),
            ("not_posted", all.not_posted),
            ("too_long", all.too_long),
            ("undelivered", all.undelivered),
        ]
    }
}

impl Telegram {
    /// Shows people the gateway's commands. A bot without them works.
    async fn register_commands(&self, cx: &ChannelContext) -> Result<()> {
        let commands: Vec<_> = COMMANDS
            .iter()
            .map(|(name, purpose)| json!({ "command": name, "description": purpose }))
            .collect();
        let arguments = json!({ "commands": commands });
        match self.client.call::<bool>(cx, "setMyCommands", &arguments).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(refusal)) if refusal.is_unauthorized() => Err(refusal.into()),
            Err(failure) => {
                tracing::warn!(account = %self.account, ?failure, "the bot's commands are not shown");
                Ok(())
            }
        }
    }
}
