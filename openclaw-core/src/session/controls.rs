//! What people say to the gateway itself.

use std::time::Duration;

use super::{model::Compacting, run::Run};
use crate::{
    access::Principal,
    error::Result,
    gateway::{COMMANDS, Command, Directory, Hub},
    id::{AgentId, ApprovalId, Conversation, OutboundKey},
    message::Content,
    store::InputRow,
    turn::{Answer, Entry},
};

const OWNER_ONLY: &str = "Only my owner can do that.";

impl Run<'_> {
    /// Does what a control says. It is consumed by the commit that holds what it changed; one that must
    /// wait for the open turn to end stays in the inbox.
    pub(super) fn control(
        &mut self,
        row: &InputRow,
        command: Command,
        principal: &Principal,
        from: &Conversation,
    ) -> Result<()> {
        let owner = principal.is_owner();
        let answer = match command {
            Command::Stop => match self.session.turn() {
                Some(turn) if !turn.is_ending() => {
                    self.record(Entry::CancelRequested {
                        by: principal.clone(),
                        superseded: false,
                    })?;
                    self.cancel.cancel();
                    // The end of the turn says that it stopped.
                    None
                }
                Some(_) => None,
                None if self.compacting.is_some() => {
                    self.cancel.cancel();
                    None
                }
                None => Some("There is nothing to stop.".to_owned()),
            },
            Command::Compact => {
                if self.session.turn().is_some() {
                    Some("I am at work; say it again when I am done.".to_owned())
                } else if self.compacting.is_some() {
                    // This one is being done already, or is the next.
                    self.defer();
                    return Ok(());
                } else {
                    let (id, key, from) = (row.id, row.key.clone(), from.clone());
                    let time = Duration::from_secs(self.agent.agent.limits.seconds);
                    let (by, until) = (principal.clone(), self.hub.now().after(time));
                    self.compacting = Some(Compacting { id, key, from, by, until });
                    return Ok(());
                }
            }
            Command::New => {
                if let Some(turn) = self.session.turn() {
                    if !turn.is_ending() {
                        self.record(Entry::CancelRequested {
                            by: principal.clone(),
                            superseded: true,
                        })?;
                        self.cancel.cancel();
                    }
                    self.woken();
                    return Ok(());
                }
                for open in self.session.asks() {
                    self.write(Directory::close_approval(&open.ask.approval));
                }
                self.open_new()?;
                Some("A new conversation begins.".to_owned())
            }
            Command::Status => Some(self.status()),
            Command::Usage => Some(self.usage_text()),
            Command::Help => Some(help()),
            Command::Agent { name: None } => Some(self.agents()),
            Command::Agent { .. } | Command::Approve { .. } | Command::Pair { .. } if !owner => {
                Some(OWNER_ONLY.to_owned())
            }
            Command::Agent { name: Some(name) } => Some(self.choose_agent(&name, from)?),
            Command::Approve { approval, allow } => {
                match self.answer(&approval, allow, principal)? {
                    Some(text) => Some(text),
                    None => {
                        self.defer();
                        return Ok(());
                    }
                }
            }
            Command::Pair { code } => Some(self.pair(&code)?),
        };
        self.answer_control(&row.key, answer.as_deref().unwrap_or("Stopping."));
        if let Some(text) = answer {
            self.say(from, &Hub::control_key(self.key, row.id), vec![Content::text(text)]);
        }
        self.consume(row.id);
        Ok(())
    }

    fn status(&self) -> String {
        let mut lines =
            vec![format!("Agent {}, model {}.", self.key.agent(), self.agent.agent.model)];
        lines.push(match self.session.turn() {
            Some(turn) => format!(
                "Working since the last message; {} tokens so far.",
                turn.usage().total_tokens()
            ),
            None => "Idle.".to_owned(),
        });
        for open in self.session.asks() {
            lines.push(format!(
                "Waiting for approval {} of {} until {}.",
                open.ask.approval, open.ask.call.tool, open.ask.expires
            ));
        }
        lines.join("\n")
    }

    fn usage_text(&self) -> String {
        let usage = self.session.usage();
        let mut text = format!(
            "This conversation: {} turns, {} tokens in ({} of them cached), {} tokens out.",
            self.session.turns(),
            usage.input_tokens,
            usage.cached_input_tokens,
            usage.output_tokens
        );
        if let Some(cost) = usage.cost_micro_usd {
            text.push_str(&format!(" Cost: ${}.{:06}.", cost / 1_000_000, cost % 1_000_000));
        }
        text
    }

    fn agents(&self) -> String {
        let names: Vec<&str> = self.plan.agents.keys().map(AgentId::as_str).collect();
        format!("{} answers here. Agents: {}.", self.key.agent(), names.join(", "))
    }

    fn choose_agent(&mut self, name: &AgentId, place: &Conversation) -> Result<String> {
        if !self.plan.agents.contains_key(name) {
            return Ok(format!("There is no agent {name}. {}", self.agents()));
        }
        let record = Directory::set_route(place, name)?;
        self.write(record);
        Ok(format!("From the next message on, {name} answers here."))
    }

    fn pair(&mut self, code: &str) -> Result<String> {
        let Some((request, writes)) = self.hub.directory.approve_pairing(code, self.hub.now())?
        else {
            return Ok(format!("There is no pairing code {code}, or its time is over."));
        };
        for write in writes {
            self.write(write);
        }
        let key = OutboundKey::digest(&format!("paired\0{}\0{code}", request.account));
        let welcome = "You are let in. Write to me whenever you like.";
        self.say(&request.conversation, &key, vec![Content::text(welcome)]);
        Ok(format!("{} on {} is let in.", request.user, request.account))
    }

    /// Takes the owner's answer to an ask. `None`: it must wait for the open turn to end.
    fn answer(
        &mut self,
        approval: &ApprovalId,
        allow: bool,
        by: &Principal,
    ) -> Result<Option<String>> {
        let asks = self.session.asks();
        let Some(open) = asks.into_iter().find(|open| open.ask.approval == *approval) else {
            return Ok(Some(format!("There is no open approval {approval}.")));
        };
        let (by, tool) = (by.clone(), open.ask.call.tool.clone());
        let answer = if allow { Answer::Allowed { by } } else { Answer::Refused { by } };
        if open.detached {
            if self.session.turn().is_some() {
                return Ok(None);
            }
            self.begin_answered(open.ask, answer)?;
        } else {
            self.record(Entry::Answered { approval: approval.clone(), answer })?;
        }
        self.write(Directory::close_approval(approval));
        let done = if allow { "given" } else { "refused" };
        Ok(Some(format!("Leave {approval} is {done}: {tool}.")))
    }
}

fn help() -> String {
    let lines = COMMANDS.iter().map(|(name, purpose)| format!("/{name}: {purpose}"));
    lines.collect::<Vec<_>>().join("\n")
}
