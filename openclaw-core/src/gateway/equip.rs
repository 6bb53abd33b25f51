//! Tools with what they act with, or why they cannot have it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    GatewayBuilder,
    compose::{Composing, listed},
    plan::ToolPlan,
};
use crate::{
    label::Integrity,
    layer::{Layer, wrap},
    sandbox::{Limits, Network, Sandbox, SandboxKind},
    secret::Secret,
    tool::{Capability, Confinement, Tool, ToolSpec},
};

/// A tool, and how its plugin's entry wants it confined.
#[derive(Clone)]
pub(super) struct AddedTool {
    pub(super) tool: Arc<dyn Tool>,
    pub(super) confined: Option<Confined>,
}

/// What a plugin's entry says of the box that its tools run in.
#[derive(Clone)]
pub(super) struct Confined {
    pub(super) place: Arc<str>,
    pub(super) kind: Option<SandboxKind>,
    pub(super) limits: Limits,
}

impl AddedTool {
    pub(super) fn in_code(tool: Arc<dyn Tool>) -> Self {
        Self { tool, confined: None }
    }
}

impl Composing<'_> {
    pub(super) fn layered_tools(
        &mut self,
        builder: &mut GatewayBuilder,
        sandbox: Option<&Arc<dyn Sandbox>>,
    ) -> BTreeMap<String, Arc<ToolPlan>> {
        let mut layers: Vec<Arc<dyn Layer<dyn Tool>>> = std::mem::take(&mut builder.tool_layers);
        layers.extend(self.loading.tool_layers.iter().map(crate::plugin::ToolLayer::layer));
        let mut tools = BTreeMap::new();
        for AddedTool { tool, confined } in std::mem::take(&mut builder.tools) {
            // A layer may declare less time than the tool does, so the outermost is asked.
            let tool = wrap(tool, &layers);
            let mut spec = tool.spec();
            // Whatever code prints may have been put into its mouth.
            if spec.capability == Capability::Execute {
                spec.output.integrity = Integrity::Untrusted;
            }
            let name = spec.name.clone();
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                self.fault(format!(
                    "tool {name:?}: a name has 1 to 64 letters, digits, `_` and `-`"
                ));
            }
            if !spec.input_schema.is_object() {
                self.fault(format!("tool {name:?}: its input schema must be a JSON object"));
            }
            match (spec.confinement, &confined) {
                // A layer may have changed what was looked at when the plugin was loaded.
                (Confinement::InProcess, Some(asked)) => self.fault(format!(
                    "{}tool {name:?} is to be confined, and runs in this process",
                    asked.place
                )),
                (Confinement::InProcess, None) => {}
                _ => self.confine(&mut spec, confined.as_ref(), sandbox),
            }
            let secrets = self.known_secrets(&spec, &builder.secrets);
            let plan = ToolPlan { tool, spec, secrets };
            if tools.insert(name.clone(), Arc::new(plan)).is_some() {
                self.fault(format!("two tools are named {name:?}"));
            }
        }
        tools
    }

    /// Settles in which box a tool runs, or says why it cannot.
    fn confine(
        &mut self,
        spec: &mut ToolSpec,
        confined: Option<&Confined>,
        sandbox: Option<&Arc<dyn Sandbox>>,
    ) {
        let name = spec.name.clone();
        let Some(sandbox) = sandbox else {
            self.missing(format!(
                "tool {name:?} is to run in a sandbox ({:?}), and this gateway has none: add one with `.sandbox(..)` or a plugin that has one; nothing of it is ever run on the host instead",
                spec.confinement
            ));
            return;
        };
        let has = sandbox.capabilities();
        let place = confined.map_or("", |confined| &confined.place);
        if let Some(kind) = confined.and_then(|confined| confined.kind)
            && kind != has.kind
        {
            self.fault(format!("{place}tool {name:?} is to run in the sandbox {kind:?}, and this gateway has another: {:?}", has.kind));
        }
        if let Some(confined) = confined {
            spec.sandbox.limits = confined.limits.or(&spec.sandbox.limits);
        }
        if spec.confinement == Confinement::Sealed && spec.sandbox.network != Network::None {
            self.fault(format!("tool {name:?} is declared to be sealed, and its box is to reach a network: declare it `Connected`"));
        }
        if let Err(error) = has.check(&spec.sandbox) {
            self.fault(format!("{place}tool {name:?}: {error}"));
        }
    }

    /// The secrets that a tool asks for.
    fn known_secrets(
        &mut self,
        spec: &ToolSpec,
        known: &BTreeMap<String, Secret>,
    ) -> Arc<BTreeMap<String, Secret>> {
        if spec.confinement == Confinement::Sealed && !spec.secrets.is_empty() {
            self.fault(format!("tool {:?} is declared to be sealed, and asks for secrets: declare it `Connected`, or take them out", spec.name));
        }
        let mut secrets = BTreeMap::new();
        for name in &spec.secrets {
            match known.get(name) {
                Some(secret) => {
                    secrets.insert(name.clone(), secret.clone());
                }
                None => self.missing(format!(
                    "tool {:?} needs the secret {name:?}: add it with `.secret({name:?}, ..)` or \"secrets\", known are: {}",
                    spec.name,
                    listed(known.keys().map(String::as_str))
                )),
            }
        }
        Arc::new(secrets)
    }
}
