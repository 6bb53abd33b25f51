//! What the drivers share: a model server, the parts alone, and figures.

pub mod figures;
pub mod http;
pub mod model;
pub mod recall;
pub mod store;

/// Whatever stops a driver.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
