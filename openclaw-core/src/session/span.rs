//! The span of a turn, named as OpenTelemetry's conventions for generative AI have it.

use tracing::{Span, field::Empty};

use super::run::Run;
use crate::{id::TurnId, provider::Usage, turn::Outcome};

/// The span of the turn that is worked on, if there is one.
#[derive(Default)]
pub(super) struct TurnSpan(Option<(TurnId, Span)>);

impl Run<'_> {
    /// The span of the open turn: of this much of it, if work on it was taken up again. It holds names and numbers, never
    /// what was said.
    ///
    /// At level `DEBUG`, so that the lines of an ordinary log stay as they are.
    pub(super) fn span(&mut self) -> Span {
        let Some(turn) = self.session.turn().map(|turn| turn.id()) else { return Span::none() };
        if let Some((of, span)) = &self.span.0
            && *of == turn
        {
            return span.clone();
        }
        let agent = self.key.agent().as_str();
        let span = tracing::debug_span!(
            target: "openclaw::gen_ai",
            parent: None,
            "invoke_agent",
            otel.name = %format_args!("invoke_agent {agent}"),
            otel.kind = "internal",
            gen_ai.operation.name = "invoke_agent",
            gen_ai.agent.name = agent,
            gen_ai.provider.name = self.agent.provider.id().as_str(),
            gen_ai.request.model = self.agent.agent.model.as_str(),
            gen_ai.conversation.id = self.session.id().map(|id| id.as_str()),
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            error.type = Empty,
        );
        self.span = TurnSpan(Some((turn, span.clone())));
        span
    }

    /// Ends the span of the open turn.
    pub(super) fn end_span(&mut self, outcome: &Outcome, usage: &Usage) {
        let Some((_, span)) = self.span.0.take() else { return };
        span.record("gen_ai.usage.input_tokens", usage.input_tokens);
        span.record("gen_ai.usage.cache_read.input_tokens", usage.cached_input_tokens);
        span.record("gen_ai.usage.output_tokens", usage.output_tokens);
        if *outcome != Outcome::Replied {
            span.record("error.type", outcome.word());
        }
    }
}
