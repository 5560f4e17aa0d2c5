//! Reads and verifies JSON Web Tokens (RFC 7519) the way the providers do.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, de::DeserializeOwned};

/// Longest token that is looked at, in bytes.
const JWT_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
}

/// A token taken apart; nothing is verified yet.
#[derive(Debug)]
pub(super) struct Jwt<'a, C> {
    pub(super) head: Head,
    pub(super) claims: C,
    signed: &'a str,
    signature: &'a str,
}

impl<'a, C: DeserializeOwned> Jwt<'a, C> {
    /// Padding is tolerated, as Google does: `gcp_auth` writes it.
    pub(super) fn read(token: &'a str) -> Option<Self> {
        if token.len() > JWT_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        Some(Self {
            head: part(head)?,
            claims: part(claims)?,
            signed,
            signature: signature.trim_end_matches('='),
        })
    }
}

impl<C> Jwt<'_, C> {
    pub(super) fn is_signed_by(&self, key: &DecodingKey, algorithm: Algorithm) -> bool {
        self.head.alg == format!("{algorithm:?}")
            && jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm).unwrap_or(false)
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}
