//! `mutual-auth-v1`: gateway and device each prove their key to the other, before any secret is sent.
//!
//! `docs/design/0020-mutual-authentication.md` specifies it, so that others can implement it.

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    connect::{ClientInfo, ConnectParams},
    device::decode,
};
#[cfg(feature = "server")]
use super::{
    device::{DeviceKey, encode},
    frame::parse_params,
};
use crate::error::{Error, ErrorKind, Result};

/// The capability by which a gateway offers it.
pub const MUTUAL_AUTH: &str = "mutual-auth-v1";
/// The method by which a client asks the gateway for its proof, before `connect`.
pub const PROVE: &str = "connect.prove";
/// What a device's signature of this kind begins with in `connect`.
pub const SIGNATURE_PREFIX: &str = "mutual-auth-v1.";

/// What the challenge says of the gateway that can prove its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayIdentity {
    /// The Ed25519 key, 32 bytes in base64url without padding.
    pub public_key: String,
}

/// What a client asks the gateway to sign. No secret is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProveParams {
    /// The version that will be spoken.
    pub protocol: u32,
    /// The device's Ed25519 key, 32 bytes in base64url without padding.
    pub public_key: String,
    /// 32 unpredictable bytes in base64url without padding.
    pub nonce: String,
    /// As in the `connect` that follows.
    pub role: String,
    /// As in the `connect` that follows.
    pub scopes: Vec<String>,
    /// As in the `connect` that follows.
    pub client: ClientInfo,
}

/// The gateway's proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProveResult {
    /// Its key.
    pub public_key: String,
    /// Of the [`Transcript`] for the gateway, in base64url without padding.
    pub signature: String,
}

/// All that both sides sign: what they are, what they want, and each frame so far.
#[derive(Clone)]
pub struct Transcript {
    fields: Vec<u8>,
    scopes: Vec<String>,
    params: ProveParams,
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transcript({} bytes)", self.fields.len())
    }
}

impl Transcript {
    /// From the challenge and the request for a proof, as their frames were sent, byte for byte.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a key or the nonce is none.
    pub fn new(
        gateway: &[u8; 32],
        server_nonce: &str,
        params: ProveParams,
        challenge_frame: &str,
        prove_frame: &str,
    ) -> Result<Self> {
        let device: [u8; 32] = decode(&params.public_key)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| bad("the device's key is no Ed25519 key"))?;
        let nonce: [u8; 32] = decode(&params.nonce)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| bad("the client's nonce is not 32 bytes"))?;
        let mut scopes = params.scopes.clone();
        scopes.sort_unstable();
        scopes.dedup();
        let mut fields = Vec::with_capacity(512);
        let client = &params.client;
        put(&mut fields, &params.protocol.to_be_bytes());
        put(&mut fields, gateway);
        put(&mut fields, &device);
        put(&mut fields, server_nonce.as_bytes());
        put(&mut fields, &nonce);
        put(&mut fields, params.role.as_bytes());
        put(&mut fields, &length(scopes.len()));
        scopes.iter().for_each(|scope| put(&mut fields, scope.as_bytes()));
        for text in [
            client.id.as_str(),
            client.mode.as_str(),
            &client.version,
            &client.platform,
            client.device_family.as_deref().unwrap_or_default(),
        ] {
            put(&mut fields, text.as_bytes());
        }
        put(&mut fields, &Sha256::digest(challenge_frame));
        put(&mut fields, &Sha256::digest(prove_frame));
        Ok(Self { fields, scopes, params })
    }

    /// What the gateway signs.
    pub fn for_gateway(&self) -> Vec<u8> {
        self.with_domain("openclaw mutual-auth-v1 gateway")
    }

    /// What the device signs: the same, the gateway's answer as its frame was sent, and the secret that
    /// it shows, so that neither can be put in another's place.
    pub fn for_device(&self, proof_frame: &str, signed_at: i64, token: &str) -> Vec<u8> {
        let mut message = self.with_domain("openclaw mutual-auth-v1 device");
        put(&mut message, &Sha256::digest(proof_frame));
        put(&mut message, &signed_at.to_be_bytes());
        put(&mut message, &Sha256::digest(token));
        message
    }

    fn with_domain(&self, domain: &str) -> Vec<u8> {
        let mut message = Vec::with_capacity(domain.len() + 4 + self.fields.len());
        put(&mut message, domain.as_bytes());
        message.extend_from_slice(&self.fields);
        message
    }

    /// True if `connect` says the same as the request for a proof did.
    pub fn is_of(&self, params: &ConnectParams) -> bool {
        let mut scopes = params.asked().to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        let (ours, theirs) = (&self.params.client, &params.client);
        scopes == self.scopes
            && params.role.as_deref().unwrap_or("operator") == self.params.role
            && (params.min_protocol..=params.max_protocol).contains(&self.params.protocol)
            && params
                .device
                .as_ref()
                .is_some_and(|device| device.public_key == self.params.public_key)
            && (&ours.id, ours.mode, &ours.version, &ours.platform, &ours.device_family)
                == (
                    &theirs.id,
                    theirs.mode,
                    &theirs.version,
                    &theirs.platform,
                    &theirs.device_family,
                )
    }
}

/// Answers a request for a proof.
///
/// # Errors
/// As [`Transcript::new`].
#[cfg(feature = "server")]
pub(crate) fn answer(
    key: &DeviceKey,
    server_nonce: &str,
    params: ProveParams,
    challenge_frame: &str,
    prove_frame: &str,
) -> Result<(Transcript, ProveResult)> {
    let public = key.public();
    let transcript = Transcript::new(&public, server_nonce, params, challenge_frame, prove_frame)?;
    let signature = encode(&key.sign(&transcript.for_gateway()));
    Ok((transcript, ProveResult { public_key: encode(&public), signature }))
}

/// True if `signature`, in base64url, is of `message` by `key`.
pub fn is_signed(key: &[u8; 32], message: &[u8], signature: &str) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
    let signature = decode(signature).and_then(|bytes| Signature::from_slice(&bytes).ok());
    signature
        .is_some_and(|signature| !key.is_weak() && key.verify_strict(message, &signature).is_ok())
}

/// Reads the parameters of [`PROVE`].
#[cfg(feature = "server")]
pub(crate) fn read(
    params: Option<&serde_json::value::RawValue>,
) -> Result<ProveParams, super::WireError> {
    parse_params(PROVE, params)
}

fn bad(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, why).with_public(why)
}

fn length(length: usize) -> [u8; 4] {
    // What is signed comes in frames that are far smaller.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn put(message: &mut Vec<u8>, field: &[u8]) {
    message.extend_from_slice(&length(field.len()));
    message.extend_from_slice(field);
}
