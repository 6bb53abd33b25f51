//! The gateway protocol: JSON frames over a WebSocket, version 4.
//!
//! It is the protocol that OpenClaw's own clients speak. This module has what both ends share and
//! does no I/O: frames, the parameters of `connect`, scopes, error codes, and the signatures by which
//! a device proves its key. The gateway's end is `server`, ours of the other `client`.

mod connect;
mod device;
mod error;
mod frame;
mod mutual;
mod scope;

pub use connect::{
    CLIENT_IDS, Challenge, ClientInfo, ClientMode, ConnectAuth, ConnectDevice, ConnectParams,
    Features, HelloAuth, HelloOk, Policy, ServerInfo, Snapshot,
};
#[cfg(feature = "client")]
pub(crate) use device::decode;
#[cfg(any(feature = "client", feature = "server"))]
pub(crate) use device::encode;
pub use device::{
    DeviceId, DeviceKey, DeviceRefusal, MAX_SKEW, PayloadVersion, ProvenDevice, device_payload,
    verify_device, verify_mutual,
};
pub use error::{Code, WireError};
pub use frame::{EventFrame, RequestFrame, ResponseFrame, StateVersion, parse_params};
pub use mutual::{
    GatewayIdentity, MUTUAL_AUTH, PROVE, ProveParams, ProveResult, SIGNATURE_PREFIX, Transcript,
    is_signed,
};
#[cfg(feature = "server")]
pub(crate) use mutual::{answer as answer_proof, read as read_proof};
pub use scope::{Role, Scope, Scopes};

/// The version that this end speaks.
pub const PROTOCOL_VERSION: u32 = 4;
/// The lowest version that a probe may offer.
pub const MIN_PROBE_VERSION: u32 = 3;
/// The most that a client may send before it is authenticated, in bytes of a frame.
pub const MAX_UNAUTHENTICATED_BYTES: usize = 64 * 1024;
/// The largest frame of an authenticated client, in bytes.
pub const MAX_FRAME_BYTES: usize = 25 * 1024 * 1024;
/// How much may wait to be sent to a client before it counts as too slow, in bytes.
pub const MAX_BUFFERED_BYTES: usize = 50 * 1024 * 1024;
/// How often a client hears a `tick` event.
pub const TICK_INTERVAL: std::time::Duration = std::time::Duration::from_secs(30);
/// The longest key by which a request is the same when it comes again, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 512;

/// Codes by which this protocol closes a connection.
pub mod close {
    /// The client offers no version that is spoken here, or broke the rules of WebSockets.
    pub const PROTOCOL: u16 = 1002;
    /// The client sent what this protocol does not have: a binary frame.
    pub const UNSUPPORTED: u16 = 1003;
    /// Not authenticated, not allowed, or too slow.
    pub const POLICY: u16 = 1008;
    /// A frame is too large.
    pub const TOO_BIG: u16 = 1009;
    /// A fault in the gateway.
    pub const INTERNAL: u16 = 1011;
    /// The gateway stops.
    pub const RESTART: u16 = 1012;
    /// The gateway cannot take more at present.
    pub const TRY_LATER: u16 = 1013;
    /// What authenticated the connection is no longer valid.
    pub const REVOKED: u16 = 4001;
}
