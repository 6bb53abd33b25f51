//! Questions to the person.

use openclaw_core::{
    Error, ErrorKind, Result,
    label::{Confidentiality, Integrity},
    schemars,
    tool::{Effect, ToolContext, ToolOutput, ToolSpec, TypedTool},
};

/// The tool `ask_user`: asks the person in this conversation, whose next message is the answer.
///
/// The turn waits without holding anything, for days if need be and over restarts. The question goes
/// where the reply would go, so it tells nobody anything that the reply could not, and needs no leave.
#[derive(Clone, Copy, Debug, Default)]
pub struct AskUser;

/// The input.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The question, in the person's language.
    question: String,
}

impl TypedTool for AskUser {
    type Input = Question;

    fn spec(&self) -> ToolSpec {
        ToolSpec::read_only(
            "ask_user",
            "Asks the user a question and waits for the answer. Use it only if you cannot go on \
             without it; otherwise just reply.",
        )
        // The question is committed with the call's result, under a key of its own: called again
        // after a crash, it is asked once.
        .effect(Effect::Idempotent)
        .accepts(Confidentiality::Secret)
        .output(Integrity::System, Confidentiality::Public)
    }

    async fn run(&self, _cx: ToolContext, input: Question) -> Result<ToolOutput> {
        if input.question.trim().is_empty() {
            let text = "The question is empty: say what you want to know.";
            return Err(Error::new(ErrorKind::InvalidInput, text).with_public(text));
        }
        Ok(ToolOutput::ask(input.question))
    }
}

#[cfg(test)]
mod tests {
    use openclaw_core::{
        Gateway,
        access::Principal,
        store::InMemory,
        testing::{
            Scripted, Step,
            tool::{ToolFixture, suite},
        },
    };
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_the_contract_of_tools() {
        let fixture = ToolFixture::new(|| AskUser)
            .good(json!({ "question": "Which colour?" }))
            .bad(json!({}))
            .bad(json!({ "question": " " }));
        suite("ask_user", fixture).assert().await;
    }

    #[tokio::test]
    async fn the_turn_waits_for_the_answer_also_over_a_restart() {
        let store = InMemory::new();
        let asking =
            Scripted::steps([Step::new().call("ask_user", json!({ "question": "Which colour?" }))]);
        let gateway = Gateway::builder()
            .provider(asking)
            .tool(AskUser)
            .store(store.clone())
            .ephemeral()
            .start()
            .await
            .unwrap();
        let handle = gateway.handle();
        let first = handle.ask("ada", "Paint it.").principal(Principal::Owner).key("1");
        let first = tokio::spawn(first.reply());
        while !handle.sessions(None, 1).await.unwrap().iter().any(|(_, head)| head.open) {
            tokio::task::yield_now().await;
        }
        // It waits for the person alone: at rest, nothing runs.
        gateway.idle().await;
        drop(gateway);
        assert!(first.await.unwrap().is_err());

        let going_on = Scripted::replies(["Blue it is."]);
        let gateway = Gateway::builder()
            .provider(going_on.clone())
            .tool(AskUser)
            .store(store)
            .ephemeral()
            .start()
            .await
            .unwrap();
        let answer = gateway.handle().ask("ada", "Blue.").principal(Principal::Owner);
        assert_eq!(answer.reply().await.unwrap().text, "Blue it is.");
        let said = serde_json::to_string(&going_on.requests()[0].messages).unwrap();
        assert!(said.contains("Blue."), "{said}");
        gateway.shutdown().await.unwrap();
    }
}
