//! Plugins by name.

use std::{collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    config::Config,
    diagnose::{did_you_mean, explain},
    entry::PluginEntry,
    parts::Parts,
    source::Segment,
};
use crate::{
    error::{Error, Result},
    http_client::HttpClient,
    time::{Cancel, Clock, Entropy, Sources},
};

/// What a plugin is given when it is loaded.
#[derive(Clone)]
pub struct PluginContext {
    plugin: Arc<str>,
    sources: Sources,
    http: Option<Arc<dyn HttpClient>>,
    cancel: Cancel,
}

impl PluginContext {
    /// The context of a plugin that is loaded outside of a gateway, as in its own tests.
    pub fn new(plugin: impl Into<Arc<str>>) -> Self {
        Self {
            plugin: plugin.into(),
            sources: Sources::default(),
            http: None,
            cancel: Cancel::new(),
        }
    }

    pub(crate) fn of_gateway(
        plugin: &str,
        sources: &Sources,
        http: Option<&Arc<dyn HttpClient>>,
        cancel: &Cancel,
    ) -> Self {
        Self {
            plugin: plugin.into(),
            sources: sources.clone(),
            http: http.map(Arc::clone),
            cancel: cancel.child(),
        }
    }

    /// The name under which the plugin is registered.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The gateway's wall-clock time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.sources.clock
    }

    /// The gateway's source of unpredictable bytes.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.sources.entropy
    }

    /// The gateway's HTTP client, if the application gave one.
    pub fn http(&self) -> Option<&Arc<dyn HttpClient>> {
        self.http.as_ref()
    }

    /// Cancelled when the gateway stops, or when a reload has taken the plugin out and no turn needs it
    /// any more. Tasks that a plugin starts end then.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

impl fmt::Debug for PluginContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginContext").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

/// Makes a plugin's parts.
pub(crate) trait Factory: Send + Sync {
    fn load(
        &self,
        config: Map<String, Value>,
        cx: PluginContext,
    ) -> Result<BoxFuture<'static, Result<Parts>>, Misfit>;

    /// The schema of its configuration.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;
}

/// A configuration that does not fit its plugin.
pub(crate) struct Misfit {
    /// Where in the configuration.
    pub(crate) path: Vec<Segment>,
    pub(crate) why: String,
}

struct Typed<C, F> {
    load: F,
    config: PhantomData<fn(C)>,
}

impl<C, F, Fut> Factory for Typed<C, F>
where
    C: DeserializeOwned + JsonSchema,
    F: Fn(C, PluginContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Parts>> + Send + 'static,
{
    fn load(
        &self,
        config: Map<String, Value>,
        cx: PluginContext,
    ) -> Result<BoxFuture<'static, Result<Parts>>, Misfit> {
        let config = serde_path_to_error::deserialize(Value::Object(config)).map_err(misfit)?;
        Ok((self.load)(config, cx).boxed())
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        C::json_schema(generator)
    }
}

fn misfit(error: serde_path_to_error::Error<serde_json::Error>) -> Misfit {
    use serde_path_to_error::Segment as Step;
    let path = error.path().iter().filter_map(|step| match step {
        Step::Map { key } => Some(Segment::Key(key.clone())),
        Step::Enum { variant } => Some(Segment::Key(variant.clone())),
        Step::Seq { index } => Some(Segment::Index(*index)),
        Step::Unknown => None,
    });
    let at = match error.path().to_string() {
        whole if whole == "." => String::new(),
        path => format!("{path}: "),
    };
    Misfit { path: path.collect(), why: format!("{at}{}", explain(error.inner())) }
}

/// Which plugins there are: names, and the functions that make their parts.
///
/// A plain value: the application adds what it was compiled with, as with `register` of each crate
/// that has plugins. Clones are cheap, and are the same plugins.
///
/// ```
/// use openclaw_core::{Result, plugin::{Parts, PluginContext, PluginEntry, Registry}};
/// use openclaw_core::tool::{ToolSpec, tool_fn};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Shop {
///     currency: String,
/// }
///
/// async fn shop(config: Shop, _: PluginContext) -> Result<Parts> {
///     let spec = ToolSpec::read_only("price", format!("Says a price in {}", config.currency));
///     Ok(Parts::new().tool(tool_fn(spec, async |_, _: Shop| Ok("12"))))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let registry = Registry::new().plugin("shop", shop);
/// let entry = PluginEntry::new("shop").with("currency", "EUR");
/// registry.load(&entry, PluginContext::new("shop")).await?;
///
/// let error = registry.load(&PluginEntry::new("shop"), PluginContext::new("shop")).await.unwrap_err();
/// assert!(error.to_string().contains("missing field `currency`"), "{error}");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    plugins: BTreeMap<String, Arc<dyn Factory>>,
    /// Names that were given to two plugins.
    doubled: Vec<String>,
}

impl Registry {
    /// Without any plugin.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plugin: `load` is given the `config` of its entry as a `C`, and makes its parts.
    ///
    /// Let `C` deny unknown fields, so that a slip in the file is found. A name that is taken makes
    /// every start with this registry fail.
    #[must_use]
    pub fn plugin<C, F, Fut>(mut self, name: impl Into<String>, load: F) -> Self
    where
        C: DeserializeOwned + JsonSchema + 'static,
        F: Fn(C, PluginContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Parts>> + Send + 'static,
    {
        let name = name.into();
        let factory = Arc::new(Typed { load, config: PhantomData });
        if self.plugins.insert(name.clone(), factory).is_some() {
            self.doubled.push(name);
        }
        self
    }

    /// The names of all plugins, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plugins.keys().map(String::as_str)
    }

    /// Makes the parts of an entry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if there is no such plugin, it
    /// does not run as confined as the entry asks for, or its configuration does not fit; or the plugin's own
    /// failure.
    pub async fn load(&self, entry: &PluginEntry, cx: PluginContext) -> Result<Parts> {
        let factory = self.factory(entry).map_err(Error::config)?;
        let load = factory.load(entry.config.clone(), cx).map_err(|misfit| {
            Error::config(format!("plugin {:?}: {}", entry.plugin, misfit.why))
        })?;
        let parts = load.await?;
        match entry.unmet_confinement(&parts) {
            Some(why) => Err(Error::config(why)),
            None => Ok(parts),
        }
    }

    /// What makes the parts of an entry, or why nothing does.
    pub(crate) fn factory(&self, entry: &PluginEntry) -> Result<Arc<dyn Factory>, String> {
        let Some(factory) = self.plugins.get(&entry.plugin) else {
            let known: Vec<&str> = self.names().collect();
            let hint = did_you_mean(&entry.plugin, self.names());
            return Err(format!(
                "there is no plugin {:?}, known are: {}{hint}",
                entry.plugin,
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ));
        };
        Ok(Arc::clone(factory))
    }

    /// What is wrong with the registry itself.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        self.doubled.iter().map(|name| format!("two plugins are registered as {name:?}"))
    }

    /// The JSON Schema of a whole configuration with these plugins: what an editor needs to check and
    /// complete it.
    pub fn schema(&self) -> Value {
        let mut generator = SchemaGenerator::default();
        let entries: Vec<Schema> = self
            .plugins
            .iter()
            .map(|(name, factory)| entry_schema(name, factory.schema(&mut generator)))
            .collect();
        let mut schema = generator.into_root_schema_for::<Config>().to_value();
        // Without any plugin it stays in its general form.
        if let Some(entry) =
            schema.pointer_mut("/$defs/PluginEntry").filter(|_| !entries.is_empty())
        {
            let description = entry.get("description").cloned();
            let mut one = json_schema!({"anyOf": entries});
            if let Some(description) = description {
                one.insert("description".into(), description);
            }
            *entry = one.to_value();
        }
        schema
    }
}

/// The schema of an entry of one plugin.
fn entry_schema(name: &str, config: Schema) -> Schema {
    let needed = config.get("required").and_then(Value::as_array).is_some_and(|r| !r.is_empty());
    let mut required = vec!["plugin"];
    if needed {
        required.push("config");
    }
    let mut generator = SchemaGenerator::default();
    let mut entry = PluginEntry::json_schema(&mut generator).to_value();
    if let Some(properties) = entry.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("plugin".into(), serde_json::json!({"const": name}));
        properties.insert("config".into(), config.to_value());
    }
    if let Some(entry) = entry.as_object_mut() {
        entry.remove("description");
        entry.insert("required".into(), required.into());
    }
    entry.try_into().unwrap_or_default()
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
