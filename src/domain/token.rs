//! Tokens: secrets that stand for their users (contract 3.1).

use sha2::{Digest, Sha256};

use super::{
    Time,
    error::{Error, Reason},
    id::{TokenId, UserId},
};

/// What every secret begins with, so that scanners and people recognise one.
pub const SECRET_PREFIX: &str = "gth-";

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything its user may do.
    Api,
    /// Everything its user may read.
    ReadApi,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Api, Self::ReadApi];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ReadApi => "read_api",
        }
    }

    /// The scope for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Assigned once.
    pub id: TokenId,
    /// Whose.
    pub user_id: UserId,
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was created.
    pub created_at: Time,
    /// When it stops working.
    pub expires_at: Option<Time>,
    /// When it was revoked.
    pub revoked_at: Option<Time>,
    /// When it was last used, roughly.
    pub last_used_at: Option<Time>,
}

impl Token {
    /// Refuses a token whose time is over or that was revoked; expiry first (contract 3.1).
    pub fn usable(&self, now: Time) -> Result<(), Error> {
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::new(Reason::TokenExpired, "the token has expired"));
        }
        if self.revoked_at.is_some() {
            return Err(Error::new(Reason::TokenRevoked, "the token was revoked"));
        }
        Ok(())
    }
}

/// A secret as it was presented or made. Never printed, never stored.
#[derive(Clone)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret out of 24 random bytes: the prefix and 48 hexadecimal digits.
    pub fn from_random(bytes: [u8; 24]) -> Self {
        Self(format!("{SECRET_PREFIX}{}", hex(&bytes)))
    }

    /// What a caller presented.
    pub fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, to be shown to its owner this once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the store keeps: SHA-256, in hexadecimal. Plain, because 192 random bits cannot be guessed; and looking a
    /// hash up tells nobody how near a guess came.
    pub fn hash(&self) -> SecretHash {
        SecretHash(hex(&Sha256::digest(self.0.as_bytes())))
    }
}

/// The hash of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHash(pub String);

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A token about to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Whose.
    pub user_id: UserId,
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The hash of its secret.
    pub hash: SecretHash,
    /// When it stops working.
    pub expires_at: Option<Time>,
}
