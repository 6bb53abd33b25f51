//! Messaging services for [`openclaw_core`].
