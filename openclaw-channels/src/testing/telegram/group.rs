//! A group, a supergroup, or a forum.

use std::{fmt, sync::Arc};

use openclaw_core::serde_json::json;

use super::{
    bot::Bot,
    chat::Chat,
    user::User,
    world::{self, ChatKind, Place, Shared, Status},
};

/// What the ids of supergroups begin with.
const SUPERGROUPS: i64 = -1_000_000_000_000;

/// A group of people and bots. Clones are the same group; after [`migrate`](Self::migrate) they are
/// the supergroup.
#[derive(Clone)]
pub struct Group {
    shared: Arc<Shared>,
    place: Place,
    owner: i64,
}

impl Group {
    pub(super) fn create(
        shared: &Arc<Shared>,
        title: &str,
        owner: &User,
        supergroup: bool,
        forum: bool,
    ) -> Self {
        let place = shared.update(|world| {
            let number = 5_000_000 + world.next();
            let id = if supergroup { SUPERGROUPS - number } else { -number };
            let kind = if supergroup { ChatKind::Supergroup } else { ChatKind::Group };
            let mut chat = world::Chat::new(kind, title);
            chat.forum = forum;
            chat.members.insert(owner.id, Status::Creator);
            let place = Place::Group(id);
            world.chats.insert(place, chat);
            let created = if supergroup { "supergroup_chat_created" } else { "group_chat_created" };
            world.announce(place, owner.id, json!({ created: true }));
            place
        });
        Self { shared: shared.clone(), place, owner: owner.id }
    }

    fn now(&self) -> Place {
        self.shared.read(|world| world.present(self.place))
    }

    /// The id that bots see.
    pub fn id(&self) -> i64 {
        self.now().chat_id()
    }

    /// The group as `user` sees it, who joins it unless already in.
    pub fn chat(&self, user: &User) -> Chat {
        self.shared.update(|world| {
            let place = world.present(self.place);
            let Some(chat) = world.chats.get_mut(&place) else { return };
            if !chat.status(user.id).is_some_and(Status::is_in) {
                chat.members.insert(user.id, Status::Member);
                let user = world.user_json(user.id);
                let id = user.get("id").and_then(|id| id.as_i64()).unwrap_or_default();
                world.announce(place, id, json!({ "new_chat_members": [user] }));
            }
        });
        Chat::new(self.shared.clone(), self.place, user.id)
    }

    /// The owner adds a bot.
    pub fn add(&self, bot: &Bot) {
        self.shared.update(|world| {
            let place = world.present(self.place);
            world.set_status(place, bot.id, self.owner, Status::Member);
            let joined = world.user_json(bot.id);
            world.announce(place, self.owner, json!({ "new_chat_members": [joined] }));
        });
    }

    /// The owner makes a bot an administrator, with all rights.
    pub fn promote(&self, bot: &Bot) {
        self.set(bot, Status::Administrator);
    }

    /// The owner takes that back.
    pub fn demote(&self, bot: &Bot) {
        self.set(bot, Status::Member);
    }

    /// The owner throws a bot out.
    pub fn kick(&self, bot: &Bot) {
        self.set(bot, Status::Kicked);
    }

    fn set(&self, bot: &Bot, status: Status) {
        self.shared.update(|world| {
            let place = world.present(self.place);
            world.set_status(place, bot.id, self.owner, status);
        });
    }

    /// The owner gives it a public name, by which bots reach it as `@name`.
    pub fn publish(&self, name: &str) {
        self.shared.update(|world| {
            let place = world.present(self.place);
            if let Some(chat) = world.chats.get_mut(&place) {
                chat.username = Some(name.to_owned());
            }
        });
    }

    /// The owner creates a topic. Returns its thread.
    pub fn topic(&self, name: &str) -> i64 {
        self.shared.update(|world| {
            let place = world.present(self.place);
            world.create_topic(place, self.owner, name, 0)
        })
    }

    /// The group becomes a supergroup with another id, which this returns. Bots that go on with the
    /// old one get 400 with `migrate_to_chat_id`.
    pub fn migrate(&self) -> i64 {
        self.shared.update(|world| {
            let old = world.present(self.place);
            let (Some(chat), Place::Group(old_id)) = (world.chats.get(&old), old) else {
                return old.chat_id();
            };
            if chat.kind != ChatKind::Group {
                return old_id;
            }
            let mut new = world::Chat::new(ChatKind::Supergroup, &chat.title);
            new.members = chat.members.clone();
            new.last_bot = chat.last_bot;
            let new_id = SUPERGROUPS + old_id;
            let place = Place::Group(new_id);
            world.chats.insert(place, new);
            world.announce(old, self.owner, json!({ "migrate_to_chat_id": new_id }));
            if let Some(chat) = world.chats.get_mut(&old) {
                chat.migrated_to = Some(new_id);
            }
            world.announce(place, self.owner, json!({ "migrate_from_chat_id": old_id }));
            new_id
        })
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("id", &self.place.chat_id()).finish_non_exhaustive()
    }
}
