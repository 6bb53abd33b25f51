//! A person.

use std::{fmt, sync::Arc};

use super::{
    bot::Bot,
    chat::Chat,
    world::{self, Account, ChatKind, Place, Shared},
};

/// The first person's id.
const FIRST: i64 = 100_000_000;

/// Somebody with a Telegram account. Clones are the same person.
#[derive(Clone)]
pub struct User {
    pub(super) shared: Arc<Shared>,
    pub(super) id: i64,
}

impl User {
    pub(super) fn register(shared: &Arc<Shared>, first_name: &str) -> Self {
        let id = shared.update(|world| {
            let id = FIRST + world.next();
            let letters = first_name.chars().filter(char::is_ascii_alphanumeric);
            let username: String = letters.collect::<String>().to_lowercase();
            let account = Account {
                id,
                is_bot: false,
                first_name: first_name.to_owned(),
                last_name: None,
                username: (!username.is_empty()).then(|| format!("{username}_{}", id - FIRST)),
                language: Some("en".to_owned()),
                deactivated: false,
            };
            world.accounts.insert(id, account);
            id
        });
        Self { shared: shared.clone(), id }
    }

    /// The id, which is that of the private chat too.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The username, if the first name had letters to make one of.
    pub fn username(&self) -> Option<String> {
        self.shared.read(|world| world.accounts.get(&self.id)?.username.clone())
    }

    /// The private chat with a bot. The bot may write there once the person did.
    pub fn chat(&self, bot: &Bot) -> Chat {
        let place = Place::Private { bot: bot.id, user: self.id };
        self.shared.update(|world| {
            let chat = || world::Chat::new(ChatKind::Private, "");
            world.chats.entry(place).or_insert_with(chat);
        });
        Chat::new(self.shared.clone(), place, self.id)
    }

    /// Deletes the account: bots that write get 403.
    pub fn deactivate(&self) {
        self.shared.update(|world| {
            if let Some(account) = world.accounts.get_mut(&self.id) {
                account.deactivated = true;
                account.first_name = String::new();
                account.last_name = None;
                account.username = None;
            }
        });
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}
