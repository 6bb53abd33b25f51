//! Stores and memories for [`openclaw_core`].
