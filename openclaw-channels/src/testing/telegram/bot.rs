//! A bot as its owner sees it at BotFather.

use std::{collections::HashMap, fmt, sync::Arc};

use openclaw_core::{secret::Secret, serde_json::Value, testing::fake_service::Feed};

use super::{
    updates::{Kinds, Update},
    world::{Account, Poll, Shared, World},
};

/// The first bot's id.
const FIRST: i64 = 7_000_000_000;

/// The first update's number.
const FIRST_UPDATE: u64 = 500_000_000;

/// A registered bot. Clones are the same bot.
#[derive(Clone)]
pub struct Bot {
    pub(super) shared: Arc<Shared>,
    pub(super) id: i64,
    username: String,
    feed: Feed<Arc<Update>>,
}

impl Bot {
    pub(super) fn register(shared: &Arc<Shared>, username: &str) -> Self {
        let feed = Feed::starting_at(FIRST_UPDATE);
        let id = shared.update(|world| {
            let id = FIRST + world.next();
            let account = Account {
                id,
                is_bot: true,
                first_name: username.to_owned(),
                last_name: None,
                username: Some(username.to_owned()),
                language: None,
                deactivated: false,
            };
            let bot = super::world::Bot {
                token: token(id, 0),
                privacy: true,
                feed: feed.clone(),
                kinds: Kinds::default(),
                poll: Poll::default(),
                webhook: None,
                webhook_error: None,
                commands: HashMap::new(),
                sent: Default::default(),
            };
            world.accounts.insert(id, account);
            world.bots.insert(id, bot);
            id
        });
        Self { shared: shared.clone(), id, username: username.to_owned(), feed }
    }

    /// Its id.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Its username, without an `@`.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The token that works now.
    pub fn token(&self) -> Secret {
        let token = self.state(|bot| bot.token.clone());
        token.unwrap_or_else(|| Secret::from(""))
    }

    /// Makes the token useless, also for a poll that waits, and returns the new one.
    pub fn revoke_token(&self) -> Secret {
        let id = self.id;
        self.state(|bot| {
            bot.poll.tokens += 1;
            bot.token = token(id, bot.poll.tokens);
        });
        self.token()
    }

    /// Whether the bot sees in groups only what is meant for it: commands, mentions and answers.
    pub fn set_privacy(&self, on: bool) {
        self.state(|bot| bot.privacy = on);
    }

    /// How many updates it did not confirm yet.
    pub fn pending(&self) -> usize {
        self.feed.len()
    }

    /// Waits until it confirmed every update. Cancel safe.
    pub async fn confirmed(&self) {
        self.feed.drained().await;
    }

    /// Delivers the next `count` updates that it confirms once more.
    pub fn repeat_next(&self, count: usize) {
        self.feed.repeat_next(count);
    }

    /// Holds the next `count` updates until all are there, and delivers them in the opposite order.
    pub fn reorder_next(&self, count: usize) {
        self.feed.reorder_next(count);
    }

    /// The commands that people see who have none of a narrower scope: `(command, description)`.
    pub fn commands(&self) -> Vec<(String, String)> {
        let key = (r#"{"type":"default"}"#.to_owned(), String::new());
        let list = self.state(|bot| bot.commands.get(&key).cloned()).flatten();
        let text = |command: &Value, name: &str| {
            command.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let list = list.as_ref().and_then(Value::as_array);
        let list = list.into_iter().flatten();
        list.map(|command| (text(command, "command"), text(command, "description"))).collect()
    }

    /// Waits until it set commands of the default scope. Cancel safe.
    pub async fn commands_set(&self) -> Vec<(String, String)> {
        self.shared
            .wait(|world| {
                let bot = world.bots.get(&self.id)?;
                bot.commands
                    .contains_key(&(r#"{"type":"default"}"#.to_owned(), String::new()))
                    .then_some(())
            })
            .await;
        self.commands()
    }

    /// Where its webhook is, if it has one.
    pub fn webhook(&self) -> Option<String> {
        self.state(|bot| bot.webhook.as_ref().map(|webhook| webhook.url.clone())).flatten()
    }

    /// Waits until it has a webhook, and returns where. Cancel safe.
    pub async fn webhook_set(&self) -> String {
        self.shared
            .wait(|world| Some(world.bots.get(&self.id)?.webhook.as_ref()?.url.clone()))
            .await
    }

    /// Waits until a delivery to its webhook failed, and returns why. Cancel safe.
    pub async fn webhook_failed(&self) -> String {
        self.shared
            .wait(|world| Some(world.bots.get(&self.id)?.webhook_error.as_ref()?.1.clone()))
            .await
    }

    fn state<T>(&self, look: impl FnOnce(&mut super::world::Bot) -> T) -> Option<T> {
        self.shared.update(|world: &mut World| world.bots.get_mut(&self.id).map(look))
    }
}

/// Of the form that real tokens have: the id, and 35 characters.
fn token(id: i64, revoked: u32) -> Secret {
    Secret::from(format!("{id}:AAEmulatedTokenOfAnEmulatedBot-{revoked:04}"))
}

impl fmt::Debug for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bot").field("username", &self.username).finish_non_exhaustive()
    }
}
