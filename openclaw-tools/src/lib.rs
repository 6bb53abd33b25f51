//! Tools for [`openclaw_core`].
