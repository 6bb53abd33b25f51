//! Sandboxes, a feature each: where tools run what is not the application's own code.

#[cfg(feature = "docker")]
pub mod docker;
