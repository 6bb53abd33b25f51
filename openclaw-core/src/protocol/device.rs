//! A device's key, and how it proves that it has it.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    connect::{ConnectDevice, ConnectParams},
    mutual::{SIGNATURE_PREFIX, Transcript},
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::hex,
    time::{Entropy, Timestamp},
};

/// How far a device's clock may differ from the gateway's.
pub const MAX_SKEW: std::time::Duration = std::time::Duration::from_secs(120);

/// A device: SHA-256 of its public key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);

impl DeviceId {
    /// The device that has this key.
    pub fn of(key: &[u8; 32]) -> Self {
        let digest: [u8; 32] = Sha256::digest(key).into();
        Self(hex(&digest, 32))
    }

    /// 64 lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() != 64 || !digits {
            let expected = "a device id is 64 lower-case hexadecimal digits";
            return Err(Error::new(ErrorKind::InvalidInput, expected));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for DeviceId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0)
    }
}

/// An Ed25519 key pair: a device's, or a gateway's. `Debug` shows its public half.
///
/// ```
/// use openclaw_core::{protocol::DeviceKey, time::SystemEntropy};
///
/// let key = DeviceKey::generate(&SystemEntropy)?;
/// assert_eq!(key.id().as_str().len(), 64);
/// assert_eq!(DeviceKey::from_seed(&key.seed()).id(), key.id());
/// # Ok::<(), openclaw_core::Error>(())
/// ```
#[derive(Clone)]
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// A new key.
    ///
    /// # Errors
    /// There are no unpredictable bytes.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self> {
        let mut seed = [0; 32];
        entropy.fill(&mut seed)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of this seed: the 32 bytes that Ed25519 calls the secret key.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed: whoever has it is this device.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The name of the public half.
    pub fn id(&self) -> DeviceId {
        DeviceId::of(&self.public())
    }

    /// A signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The proof that goes into `connect`: a signature of version 3 of the payload for `nonce`.
    pub fn prove(&self, params: &ConnectParams, nonce: &str, now: Timestamp) -> ConnectDevice {
        let mut device = ConnectDevice {
            id: self.id().to_string(),
            public_key: encode(&self.public()),
            signature: String::new(),
            signed_at: now.as_millis(),
            nonce: nonce.to_owned(),
        };
        let payload = device_payload(PayloadVersion::V3, params, &device);
        device.signature = encode(&self.sign(payload.as_bytes()));
        device
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.id())
    }
}

/// Which text a device signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadVersion {
    /// Without what the device runs on.
    V2,
    /// With it.
    V3,
}

/// The text that a device signs: fields joined by `|`, scopes by `,`.
///
/// The joining is not injective, so [`verify_device`] refuses fields that hold a delimiter.
pub fn device_payload(
    version: PayloadVersion,
    params: &ConnectParams,
    device: &ConnectDevice,
) -> String {
    let tag = match version {
        PayloadVersion::V2 => "v2",
        PayloadVersion::V3 => "v3",
    };
    let signed_at = device.signed_at.to_string();
    let scopes = params.asked().join(",");
    let platform = params.client.platform.trim().to_ascii_lowercase();
    let family = params.client.device_family.as_deref().unwrap_or_default();
    let family = family.trim().to_ascii_lowercase();
    let mut fields = vec![
        tag,
        &device.id,
        &params.client.id,
        params.client.mode.as_str(),
        params.role.as_deref().unwrap_or("operator"),
        &scopes,
        &signed_at,
        params.auth.as_ref().map_or("", |auth| auth.signed_token()),
        &device.nonce,
    ];
    if version == PayloadVersion::V3 {
        fields.extend([platform.as_str(), family.as_str()]);
    }
    fields.join("|")
}

/// Why a device's proof is none: the `details.code` of the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceRefusal {
    /// The id is not that of the key.
    IdMismatch,
    /// The key is no Ed25519 public key, or one of those that anybody can sign for.
    PublicKeyInvalid,
    /// It was signed too long ago, or in the future.
    SignatureExpired,
    /// It names no nonce.
    NonceRequired,
    /// It names another nonce than this connection's.
    NonceMismatch,
    /// The signature is not of this.
    SignatureInvalid,
}

impl DeviceRefusal {
    /// Its `details.code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::IdMismatch => "DEVICE_AUTH_DEVICE_ID_MISMATCH",
            Self::PublicKeyInvalid => "DEVICE_AUTH_PUBLIC_KEY_INVALID",
            Self::SignatureExpired => "DEVICE_AUTH_SIGNATURE_EXPIRED",
            Self::NonceRequired => "DEVICE_AUTH_NONCE_REQUIRED",
            Self::NonceMismatch => "DEVICE_AUTH_NONCE_MISMATCH",
            Self::SignatureInvalid => "DEVICE_AUTH_SIGNATURE_INVALID",
        }
    }

    /// In words.
    pub fn message(self) -> &'static str {
        match self {
            Self::IdMismatch => "device identity mismatch",
            Self::PublicKeyInvalid => "device public key invalid",
            Self::SignatureExpired => "device signature expired",
            Self::NonceRequired => "device nonce required",
            Self::NonceMismatch => "device nonce mismatch",
            Self::SignatureInvalid => "device signature invalid",
        }
    }
}

/// A device that proved its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenDevice {
    /// Its name.
    pub id: DeviceId,
    /// Its public key.
    pub key: [u8; 32],
}

/// Checks the proof in `params` against the nonce of this connection.
///
/// # Errors
/// The first check that failed, in this order: id, clock, nonce, signature of version 3, then of 2.
pub fn verify_device(
    params: &ConnectParams,
    device: &ConnectDevice,
    nonce: &str,
    now: Timestamp,
) -> Result<ProvenDevice, DeviceRefusal> {
    let (proven, key, signature) = check(device, nonce, now, &device.signature)?;
    if is_ambiguous(params) {
        return Err(DeviceRefusal::SignatureInvalid);
    }
    for version in [PayloadVersion::V3, PayloadVersion::V2] {
        let payload = device_payload(version, params, device);
        if key.verify_strict(payload.as_bytes(), &signature).is_ok() {
            return Ok(proven);
        }
    }
    Err(DeviceRefusal::SignatureInvalid)
}

/// Checks the device's signature of a [`Transcript`], which has to be of the same request.
///
/// # Errors
/// As [`verify_device`].
pub fn verify_mutual(
    params: &ConnectParams,
    device: &ConnectDevice,
    transcript: &Transcript,
    proof_frame: &str,
    nonce: &str,
    now: Timestamp,
) -> Result<ProvenDevice, DeviceRefusal> {
    let text = device.signature.strip_prefix(SIGNATURE_PREFIX);
    let text = text.ok_or(DeviceRefusal::SignatureInvalid)?;
    let (proven, key, signature) = check(device, nonce, now, text)?;
    let token = params.auth.as_ref().map_or("", |auth| auth.signed_token());
    let message = transcript.for_device(proof_frame, device.signed_at, token);
    if transcript.is_of(params) && key.verify_strict(&message, &signature).is_ok() {
        return Ok(proven);
    }
    Err(DeviceRefusal::SignatureInvalid)
}

/// All but the signature itself.
fn check(
    device: &ConnectDevice,
    nonce: &str,
    now: Timestamp,
    signature: &str,
) -> Result<(ProvenDevice, VerifyingKey, Signature), DeviceRefusal> {
    let bytes = decode_key(&device.public_key).ok_or(DeviceRefusal::PublicKeyInvalid)?;
    let id = DeviceId::of(&bytes);
    if id.as_str() != device.id {
        return Err(DeviceRefusal::IdMismatch);
    }
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| DeviceRefusal::PublicKeyInvalid)?;
    if key.is_weak() {
        return Err(DeviceRefusal::PublicKeyInvalid);
    }
    let skew = now.as_millis().abs_diff(device.signed_at);
    if u128::from(skew) > MAX_SKEW.as_millis() {
        return Err(DeviceRefusal::SignatureExpired);
    }
    if device.nonce.is_empty() {
        return Err(DeviceRefusal::NonceRequired);
    }
    if device.nonce != nonce {
        return Err(DeviceRefusal::NonceMismatch);
    }
    let signature = decode(signature).and_then(|bytes| Signature::from_slice(&bytes).ok());
    let signature = signature.ok_or(DeviceRefusal::SignatureInvalid)?;
    Ok((ProvenDevice { id, key: bytes }, key, signature))
}

/// True if a delimiter inside a field makes one payload the text of two requests.
fn is_ambiguous(params: &ConnectParams) -> bool {
    let client = &params.client;
    let token = params.auth.as_ref().map_or("", |auth| auth.signed_token());
    let fields = [client.id.as_str(), client.platform.as_str(), token];
    let optional = [client.device_family.as_deref(), params.role.as_deref()];
    fields.into_iter().chain(optional.into_iter().flatten()).any(|field| field.contains('|'))
        || params.asked().iter().any(|scope| scope.contains(['|', ',']))
}

/// In base64url without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url; other clients may write base64 with padding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(plain).ok()
}

/// Reads a public key: raw in base64, or the PEM form of it.
fn decode_key(text: &str) -> Option<[u8; 32]> {
    /// What stands before the key in SubjectPublicKeyInfo.
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
    if let Some(body) = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----") {
        let body: String =
            body.strip_suffix("-----END PUBLIC KEY-----")?.split_whitespace().collect();
        return decode(&body)?.strip_prefix(&PREFIX)?.try_into().ok();
    }
    decode(text)?.try_into().ok()
}
