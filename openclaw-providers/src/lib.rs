//! Language-model services for [`openclaw_core`].
