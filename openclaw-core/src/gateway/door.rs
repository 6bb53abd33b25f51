//! What stands behind the door: access control and routing, then one durable commit.

use std::sync::{Arc, Weak};

use async_trait::async_trait;

use super::{
    commands::{Command, parse, parse_token},
    hub::{Hub, LIMITS},
    ingress::Accept,
    plan::Plan,
};
use crate::{
    access::{Judgement, Principal},
    channel::{Accepted, MAX_INBOUND_BYTES, Refusal},
    error::{Error, ErrorKind, Result, Retry},
    fault::Act,
    hook::{HookContext, Verdict},
    id::{EventKey, OutboundKey, SessionKey},
    label::Label,
    message::{Content, Inbound, InboundKind, plain_text},
    provider::ResponseFormat,
    session::Input,
    store::{AcceptOutcome, NewInput, NewOutbound},
};

/// The gateway as its channels see it. Weak: the gateway owns its channels.
pub(crate) struct Door(pub(crate) Weak<Hub>);

/// What becomes of an event before anything is stored.
enum Judged {
    Input(Box<NewInput>),
    Refused(Refusal),
}

/// What became of an event.
pub(super) enum Admitted {
    Added,
    /// It was accepted before, for this session.
    Known(SessionKey),
    Refused(Refusal),
}

#[async_trait]
impl Accept for Door {
    async fn accept(&self, batch: Vec<Inbound>) -> Result<Vec<Accepted>> {
        let hub = self.0.upgrade().ok_or_else(closed)?;
        if hub.draining.is_cancelled() {
            return Err(closed());
        }
        hub.refresh().await?;
        let plan = hub.plan();
        let mut judged = Vec::with_capacity(batch.len());
        let taken = async {
            for inbound in batch {
                judged.push(judge(&hub, &plan, inbound).await?);
            }
            admit(&hub, judged).await
        };
        let admitted = taken.await.map_err(come_again)?;
        let told = admitted.into_iter().map(|one| match one {
            Admitted::Added => Accepted::New,
            Admitted::Known(_) => Accepted::Duplicate,
            Admitted::Refused(refusal) => Accepted::Refused(refusal),
        });
        Ok(told.collect())
    }
}

/// Whatever keeps the gateway from taking events now, it is no reason to stop listening for good.
fn come_again(error: Error) -> Error {
    match error.retry() {
        Retry::Never => error.with_retry(Retry::Backoff),
        _ => error,
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway is shutting down and accepts nothing")
}

/// Accepts what was judged, in one commit, and wakes the sessions.
async fn admit(hub: &Arc<Hub>, judged: Vec<Judged>) -> Result<Vec<Admitted>> {
    let mut inputs = Vec::new();
    let mut answers = Vec::with_capacity(judged.len());
    for one in judged {
        match one {
            Judged::Refused(refusal) => answers.push(Some(Admitted::Refused(refusal))),
            Judged::Input(input) => {
                inputs.push(*input);
                answers.push(None);
            }
        }
    }
    if inputs.is_empty() {
        return Ok(answers.into_iter().flatten().collect());
    }
    let sessions: Vec<SessionKey> = inputs.iter().map(|input| input.session.clone()).collect();
    let control = inputs.iter().any(|input| input.control);
    let act = if control { Act::AcceptControl } else { Act::AcceptMessage };
    let outcomes = hub.faults.around(act, hub.store.accept(inputs, LIMITS)).await;
    if outcomes.is_err() {
        // It may have happened all the same, and not all of it may come again.
        sessions.iter().for_each(|session| hub.wake(session));
    }
    let outcomes = outcomes?;
    let mut full = false;
    let mut accepted = outcomes.into_iter().zip(&sessions).map(|(outcome, session)| match outcome {
        AcceptOutcome::Added { id, dropped } => {
            hub.wake(session);
            if dropped > 0 {
                tracing::warn!(%session, dropped, ?id, "session is overrun; its oldest inputs are dead letters");
            }
            (Admitted::Added, (dropped > 0).then(|| (session.clone(), dropped)))
        }
        AcceptOutcome::Duplicate { session } => {
            // It may have been added by a call that was dropped after that, and woke nobody.
            hub.wake(&session);
            (Admitted::Known(session), None)
        }
        AcceptOutcome::Full => {
            full = true;
            (Admitted::Added, None)
        }
    });
    let mut overrun = Vec::new();
    let mut all = Vec::with_capacity(answers.len());
    for answer in answers {
        let one = match answer {
            Some(refused) => refused,
            None => {
                let (one, session) = accepted
                    .next()
                    .ok_or_else(|| Error::internal("the store answered too few inputs"))?;
                overrun.extend(session);
                one
            }
        };
        all.push(one);
    }
    drop(accepted);
    for (session, dropped) in overrun {
        doubt(hub, &session, dropped).await;
        tell_overrun(hub, &session).await;
    }
    if full {
        // What was added is durable under its key; when it comes again it is a duplicate.
        return Err(Error::new(
            ErrorKind::Exhausted,
            "too many inputs are pending; none may be told as taken",
        )
        .with_retry(Retry::Backoff));
    }
    Ok(all)
}

/// Has those who wait for an answer to what was dropped look for it.
async fn doubt(hub: &Hub, session: &SessionKey, dropped: u64) {
    if !hub.waiters.any(session) {
        return;
    }
    // Others may be dropped at the same time.
    let most = usize::try_from(dropped).unwrap_or(usize::MAX).saturating_mul(4).saturating_add(256);
    match hub.store.dead_letters(most).await {
        Ok(dead) => {
            let keys = dead.iter().filter(|one| one.session == *session).map(|one| &one.input.key);
            hub.waiters.look_again_for(session, keys);
        }
        Err(_) => hub.waiters.look_again(session),
    }
}

/// One notice an hour and session, however many are dropped.
async fn tell_overrun(hub: &Hub, session: &SessionKey) {
    let hour = hub.now().as_millis() / 3_600_000;
    let key = OutboundKey::digest(&format!("overrun\0{session}\0{hour}"));
    let text = "More messages came than I can work on. The oldest were set aside unanswered.";
    let row = hub.outbound(session.conversation(), key, None, Content::text(text));
    if let Err(error) = hub.write(Vec::new(), vec![row]).await {
        tracing::error!(%session, error = ?error, "nobody could be told of dropped inputs");
    }
}

async fn judge(hub: &Hub, plan: &Plan, inbound: Inbound) -> Result<Judged> {
    let place = &inbound.conversation;
    let owner = plan.is_owner(place, &inbound.sender.id);
    let access = plan.access(&place.account);
    let mentioned = inbound.mentioned || matches!(inbound.kind, InboundKind::Button { .. });
    let judgement = if owner && plan.capabilities(&place.account).is_some_and(|c| c.local) {
        Judgement::Admit
    } else {
        access.judge(place.kind, &place.peer, &inbound.sender.id, owner, mentioned)
    };
    match judgement {
        Judgement::Admit => {}
        Judgement::Pair if hub.directory.is_paired(&place.account, &inbound.sender.id) => {}
        Judgement::Pair => return pair(hub, &inbound).await,
        Judgement::NotAllowed => return Ok(Judged::Refused(Refusal::NotAllowed)),
        Judgement::NotMentioned => return Ok(Judged::Refused(Refusal::NotMentioned)),
        Judgement::Disabled => return Ok(Judged::Refused(Refusal::Disabled)),
    }
    let principal = if owner {
        Principal::Owner
    } else {
        Principal::Peer { account: place.account.clone(), user: inbound.sender.id.clone() }
    };
    let agent = plan.agent_at(place, &inbound.attributes, hub.directory.route(place));
    let confidentiality = match (owner, plan.agents.get(&agent)) {
        (true, Some(agent)) => agent.agent.owner_confidentiality,
        _ => access.peer_confidentiality,
    };
    let label = principal.label(confidentiality, &format!("{principal} at {place}"));
    let session = SessionKey::new(agent, place.clone());
    input(hub, plan, session, principal, label, inbound, None).await
}

/// Makes the input of an event that was let in.
async fn input(
    hub: &Hub,
    plan: &Plan,
    session: SessionKey,
    principal: Principal,
    label: Label,
    inbound: Inbound,
    format: Option<ResponseFormat>,
) -> Result<Judged> {
    for hook in &plan.hooks {
        let cx = HookContext::new(&session, &principal, &label);
        if let Verdict::Refuse(reason) = hook.on_inbound(cx, &inbound).await? {
            tracing::info!(%session, reason, "a hook refused an event");
            return Ok(Judged::Refused(Refusal::NotAllowed));
        }
    }
    let command = match &inbound.kind {
        InboundKind::Button { token } => parse_token(token),
        InboundKind::Message => parse(&plain_text(&inbound.content)),
        _ => None,
    };
    let (heard, key) = (inbound.conversation.clone(), inbound.key.clone());
    // An answer belongs to the session that asked, wherever it was given.
    let mut session = session;
    if let (Some(Command::Approve { approval, .. }), true) = (&command, principal.is_owner())
        && let Some(asking) = hub.directory.session_of(hub.store.as_ref(), approval).await?
    {
        session = asking;
    }
    let control = command.is_some();
    let input = match command {
        Some(command) => Input::Control { command, principal, from: heard.clone() },
        None => Input::Message { inbound, principal, label, format },
    };
    let payload = input.encode()?;
    if payload.len() > MAX_INBOUND_BYTES {
        return too_large(hub, &session, &key).await;
    }
    let at = hub.now();
    Ok(Judged::Input(Box::new(NewInput { session, heard, key, control, at, payload })))
}

/// The sender of what is too large is told, once.
async fn too_large(hub: &Hub, session: &SessionKey, key: &EventKey) -> Result<Judged> {
    let reply = OutboundKey::digest(&format!("too large\0{session}\0{}", key.as_str()));
    let text =
        format!("That message is too large for me: at most {} KB.", MAX_INBOUND_BYTES / 1024);
    let row = hub.outbound(session.conversation(), reply, None, Content::text(text));
    hub.write(Vec::new(), vec![row]).await?;
    Ok(Judged::Refused(Refusal::TooLarge))
}

/// Gives a stranger a code that the owner can let in; of a stranger nothing else is kept.
async fn pair(hub: &Hub, inbound: &Inbound) -> Result<Judged> {
    let place = &inbound.conversation;
    let request = hub.directory.request_pairing(
        place,
        &inbound.sender.id,
        inbound.sender.name.as_deref(),
        hub.now(),
        hub.sources.entropy.as_ref(),
    )?;
    let Some((request, records)) = request else {
        return Ok(Judged::Refused(Refusal::Pairing));
    };
    let key = OutboundKey::digest(&format!("pairing\0{}\0{}", place.account, request.code));
    let text = format!(
        "I do not know you yet. Ask my owner to let you in with this code: {}. It can be used for one hour.",
        request.code
    );
    let mut outbox = vec![hub.outbound(place, key.clone(), None, Content::text(text))];
    outbox.extend(tell_pairing(hub, &request, key));
    hub.write(records, outbox).await?;
    Ok(Judged::Refused(Refusal::Pairing))
}

fn tell_pairing(
    hub: &Hub,
    request: &super::directory::PairingRequest,
    key: OutboundKey,
) -> Option<NewOutbound> {
    let owner = hub.plan().owner_conversation()?;
    let who = request.name.as_deref().unwrap_or("somebody");
    let text = format!(
        "{who} (id {} on {}) wants to write to me. To let them in: /pair CODE, with the code that they were given.",
        request.user, request.account
    );
    let key = OutboundKey::digest(&format!("{key}\0owner"));
    Some(hub.outbound(&owner, key, None, Content::text(text)))
}

/// Accepts a request of the application itself, in whose name it says.
pub(crate) async fn accept_request(
    hub: &Arc<Hub>,
    session: SessionKey,
    principal: Principal,
    inbound: Inbound,
    format: Option<ResponseFormat>,
) -> Result<Admitted> {
    if hub.draining.is_cancelled() {
        return Err(closed());
    }
    hub.refresh().await?;
    let plan = hub.plan();
    let confidentiality = match (&principal, plan.agents.get(session.agent())) {
        (Principal::Owner, Some(agent)) => agent.agent.owner_confidentiality,
        _ => plan.access(&inbound.conversation.account).peer_confidentiality,
    };
    let source = format!("{principal} at {}", inbound.conversation);
    let label = principal.label(confidentiality, &source);
    let judged = input(hub, &plan, session, principal, label, inbound, format).await?;
    let answers = admit(hub, vec![judged]).await?;
    answers.into_iter().next().ok_or_else(|| Error::internal("a request got no answer"))
}

/// Accepts a text of the owner, as a command, in this session; false if a hook refuses it.
#[cfg(feature = "server")]
pub(crate) async fn accept_text(
    hub: &Arc<Hub>,
    session: SessionKey,
    key: crate::id::EventKey,
    text: &str,
) -> Result<bool> {
    let sender = crate::message::Sender { id: "owner".into(), name: None };
    let inbound = Inbound::message(key, session.conversation().clone(), sender, [text.to_owned()]);
    let admitted = accept_request(hub, session, Principal::Owner, inbound, None).await?;
    Ok(matches!(admitted, Admitted::Added))
}

/// Accepts a word that the model should know of in the session's next turn; false if it was accepted before.
#[cfg(feature = "server")]
pub(crate) async fn accept_note(
    hub: &Arc<Hub>,
    session: SessionKey,
    key: crate::id::EventKey,
    text: String,
) -> Result<bool> {
    if hub.draining.is_cancelled() {
        return Err(closed());
    }
    let payload = Input::Note { text }.encode()?;
    if payload.len() > MAX_INBOUND_BYTES {
        let why = "the note is too long";
        return Err(Error::new(ErrorKind::InvalidInput, why).with_public(why));
    }
    let (heard, at) = (session.conversation().clone(), hub.now());
    let note = NewInput { session, heard, key, control: false, at, payload };
    let admitted = admit(hub, vec![Judged::Input(Box::new(note))]).await?;
    Ok(matches!(admitted.first(), Some(Admitted::Added)))
}
