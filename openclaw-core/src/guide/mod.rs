//! The guide, a chapter a module. Its programs are tests.

#[doc = include_str!("getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("tools_and_policy.md")]
pub mod tools_and_policy {}

#[doc = include_str!("channels.md")]
pub mod channels {}

#[doc = include_str!("providers.md")]
pub mod providers {}

#[doc = include_str!("stores.md")]
pub mod stores {}

#[doc = include_str!("memory.md")]
pub mod memory {}

#[doc = include_str!("agents_and_routing.md")]
pub mod agents_and_routing {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[doc = include_str!("durability.md")]
pub mod durability {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("embedding.md")]
pub mod embedding {}

#[cfg(all(feature = "server", feature = "client"))]
#[doc = include_str!("doors.md")]
pub mod doors {}
