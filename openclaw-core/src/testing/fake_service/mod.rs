//! A kit for fakes of services: an HTTP/1.1 server on loopback that answers as the service would,
//! and fails as a test asks.
//!
//! | | |
//! |---|---|
//! | [`Service`] | what a fake is: an answer to a request. A closure is one |
//! | [`FakeService`] | the running server; keeps what it received |
//! | [`Faults`] | what goes wrong, and when: a list, or drawn from a seed |
//! | [`Feed`] | events on their way to the client, which repeat and change their order on demand |
//! | [`LoopbackClient`] | how a fake calls a webhook; it reaches this machine alone |
//!
//! A fake of a service of your own is a [`Service`] with what it remembers:
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! use openclaw_core::{
//!     http::Request, bytes::Bytes, http_client::HttpClient as _, serde_json::json,
//!     testing::fake_service::{Fault, FakeService, LoopbackClient, json_answer},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> openclaw_core::Result<()> {
//! let orders = Arc::new(AtomicU64::new(0));
//! let count = orders.clone();
//! let shop = FakeService::start(move |_: Request<Bytes>| {
//!     let number = count.fetch_add(1, Ordering::SeqCst) + 1;
//!     async move { json_answer(200, &json!({ "order": number })) }
//! })
//! .await?;
//!
//! // The second order is taken, but the shop does not live to say so.
//! shop.faults().script("/orders", [Fault::Pass, Fault::ThenDrop]);
//! let order = || Request::post(format!("{}/orders", shop.url())).body(Bytes::new()).unwrap();
//! let client = LoopbackClient::new();
//! assert_eq!(client.send(order()).await?.status(), 200);
//! assert!(client.send(order()).await.is_err());
//! assert_eq!(orders.load(Ordering::SeqCst), 2);
//! assert_eq!(shop.received().len(), 2);
//! # Ok(()) }
//! ```

mod client;
mod faults;
mod feed;
mod server;

pub use client::LoopbackClient;
pub use faults::{ANY, Fault, Faults, Played};
pub use feed::Feed;
pub use server::{
    Answer, FakeService, MAX_BODY_BYTES, RECORDED, Received, Service, answer, json_answer,
};
