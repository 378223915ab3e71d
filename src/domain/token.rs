//! Tokens: secrets that stand for their users (contract 3.1).

use chrono::Months;
use sha2::{Digest, Sha256};

use super::{
    Time,
    access::{self, Caller},
    deployment::Deployment,
    directory::{DirectoryChange, User, user_not_found},
    error::{Error, Reason, Violations},
    event::ProjectChange,
    id::{DeploymentId, ProjectId, TokenId, UserId},
    text,
};

/// What every secret begins with, so that scanners and people recognise one.
pub const SECRET_PREFIX: &str = "gth-";
/// How far ahead a token may expire, in months: further is as good as never and likely a mistake.
const EXPIRY_MAX_MONTHS: u32 = 120;

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything its user may do.
    Api,
    /// Everything its user may read.
    ReadApi,
    /// Reporting merge requests and nothing else.
    MergeRequests,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Api, Self::ReadApi, Self::MergeRequests];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ReadApi => "read_api",
            Self::MergeRequests => "merge_requests",
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
    /// The job that it is for; none: it stands for its user whatever they do.
    pub job: Option<TokenOfJob>,
}

/// What a job's token is confined to. It ends with the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOfJob {
    /// The deployment that the job carries out.
    pub deployment: DeploymentId,
    /// The job's project.
    pub project: ProjectId,
    /// Its full path.
    pub project_path: String,
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

    /// Decides what revoking changes: nothing, if it was done before. Of tokens of others, only administrators know.
    pub fn revoke(&self, caller: &User, now: Time) -> Result<Vec<DirectoryChange>, Error> {
        access::tokens_of(caller, self.user_id).map_err(|_| token_not_found())?;
        if self.revoked_at.is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![DirectoryChange::TokenRevoked(Self {
            revoked_at: Some(now),
            ..self.clone()
        })])
    }
}

/// The refusal for a token that is not there, or not for this caller.
pub fn token_not_found() -> Error {
    Error::new(Reason::TokenNotFound, "token not found")
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// The deployment whose job it is for, if it is a job's.
    pub deployment: Option<DeploymentId>,
}

impl NewToken {
    /// The token that a new installation is set up with.
    pub fn initial(user_id: UserId, hash: SecretHash) -> Self {
        Self {
            user_id,
            name: "initial administrator token".to_owned(),
            scopes: vec![Scope::Api],
            hash,
            expires_at: None,
            deployment: None,
        }
    }
}

/// Decides what making a token for the job of `deployment` changes: it acts as the job's user, who alone may have it made,
/// administrators aside.
pub fn create_for_job(
    deployment: &Deployment,
    caller: &Caller,
    hash: &SecretHash,
) -> Result<Vec<ProjectChange>, Error> {
    let Some(job) = &deployment.job else {
        return Err(token_not_found());
    };
    if !caller.user.admin && caller.user.id != job.user_id {
        return Err(Error::denied("create_job_token"));
    }
    let owner = job.user.as_ref().ok_or_else(user_not_found)?;
    job.may_have_token()?;
    Ok(vec![ProjectChange::JobTokenCreated(NewToken {
        user_id: owner.id,
        name: format!("job {}", job.id),
        scopes: vec![Scope::Api],
        hash: hash.clone(),
        expires_at: None,
        deployment: Some(deployment.id),
    })])
}

/// What a caller wants made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateToken {
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it stops working; none: never, or with the token that creates it.
    pub expires_at: Option<Time>,
}

/// Decides what creating a token for `owner` changes. That of somebody who is not an administrator does not outlive the
/// token that creates it, else a stolen one could be prolonged for ever.
pub fn create(
    command: &CreateToken,
    owner: &User,
    caller: &Caller,
    hash: &SecretHash,
    now: Time,
) -> Result<Vec<DirectoryChange>, Error> {
    access::tokens_of(&caller.user, owner.id)?;
    let mut violations = Violations::default();
    violations.check(text::display_name("name", &command.name).map_err(Error::into_argument));
    violations.check(check_scopes(&command.scopes));
    violations.check(check_expiry(command.expires_at, now));
    violations.finish()?;
    let expires_at = match (command.expires_at, caller.token.expires_at) {
        (Some(wanted), Some(creator)) if !owner.admin => Some(wanted.min(creator)),
        (None, creator) if !owner.admin => creator,
        (wanted, _) => wanted,
    };
    Ok(vec![DirectoryChange::TokenCreated(NewToken {
        user_id: owner.id,
        name: command.name.clone(),
        scopes: command.scopes.clone(),
        hash: hash.clone(),
        expires_at,
        deployment: None,
    })])
}

fn check_scopes(scopes: &[Scope]) -> Result<(), Error> {
    if scopes.is_empty() {
        return Err(Error::argument("scopes", "can't be empty"));
    }
    if scopes
        .iter()
        .enumerate()
        .any(|(index, scope)| scopes[..index].contains(scope))
    {
        return Err(Error::argument("scopes", "can't name a scope twice"));
    }
    Ok(())
}

fn check_expiry(expires_at: Option<Time>, now: Time) -> Result<(), Error> {
    let latest = now
        .checked_add_months(Months::new(EXPIRY_MAX_MONTHS))
        .unwrap_or(Time::MAX_UTC);
    match expires_at {
        Some(at) if at <= now => Err(Error::argument("expires_at", "must be in the future")),
        Some(at) if at > latest => Err(Error::argument("expires_at", "must be at most 10 years ahead")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::directory::fixture::{now, user};

    fn token(user_id: i64, expires_at: Option<Time>) -> Token {
        Token {
            id: TokenId(1),
            user_id: UserId(user_id),
            name: "ci".to_owned(),
            scopes: vec![Scope::Api],
            created_at: now(),
            expires_at,
            revoked_at: None,
            last_used_at: None,
            job: None,
        }
    }

    fn command(expires_at: Option<Time>) -> CreateToken {
        CreateToken {
            name: "ci".to_owned(),
            scopes: vec![Scope::ReadApi],
            expires_at,
        }
    }

    fn try_create(
        command: &CreateToken,
        owner: &User,
        caller: &User,
        until: Option<Time>,
    ) -> Result<NewToken, Error> {
        let caller = Caller {
            user: caller.clone(),
            token: token(caller.id.0, until),
            consistency: crate::domain::access::Consistency::Strong,
        };
        let hash = Secret::from_random([7; 24]).hash();
        let changes = create(command, owner, &caller, &hash, now())?;
        match &changes[..] {
            [DirectoryChange::TokenCreated(new)] => Ok(new.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_does_not_outlive_the_one_that_created_it_unless_for_administrators() {
        let admin = User {
            admin: true,
            ..user(1)
        };
        let soon = now() + TimeDelta::days(1);
        let later = now() + TimeDelta::days(9);
        for (owner, wanted, creator, got) in [
            (&user(1), None, None, None),
            (&user(1), None, Some(soon), Some(soon)),
            (&user(1), Some(later), Some(soon), Some(soon)),
            (&user(1), Some(soon), Some(later), Some(soon)),
            (&user(1), Some(later), None, Some(later)),
            (&admin, None, Some(soon), None),
            (&admin, Some(later), Some(soon), Some(later)),
        ] {
            let new = try_create(&command(wanted), owner, owner, creator).unwrap();
            assert_eq!(new.expires_at, got, "{wanted:?} by one until {creator:?}");
        }
    }

    #[test]
    fn a_bad_token_is_a_bad_argument_with_every_field() {
        let bad = CreateToken {
            name: " ".to_owned(),
            scopes: vec![],
            expires_at: Some(now()),
        };
        let error = try_create(&bad, &user(1), &user(1), None).unwrap_err();
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(error.reason(), Reason::InvalidArgument);
        assert_eq!(fields, ["name", "scopes", "expires_at"]);
        let twice = CreateToken {
            scopes: vec![Scope::Api, Scope::Api],
            ..command(Some(now() + TimeDelta::days(3660)))
        };
        let error = try_create(&twice, &user(1), &user(1), None).unwrap_err();
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["scopes", "expires_at"]);
    }

    #[test]
    fn tokens_of_others_are_for_administrators() {
        let admin = User {
            admin: true,
            ..user(9)
        };
        let error = try_create(&command(None), &user(2), &user(1), None).unwrap_err();
        assert_eq!(error.reason(), Reason::PermissionDenied);
        assert!(try_create(&command(None), &user(2), &admin, None).is_ok());
        let theirs = token(2, None);
        let error = theirs.revoke(&user(1), now()).unwrap_err();
        assert_eq!(error.reason(), Reason::TokenNotFound);
        assert!(theirs.revoke(&admin, now()).is_ok());
    }

    #[test]
    fn revoking_twice_keeps_the_first_time() {
        let changes = token(1, None).revoke(&user(1), now()).unwrap();
        let [DirectoryChange::TokenRevoked(revoked)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(revoked.revoked_at, Some(now()));
        assert_eq!(revoked.revoke(&user(1), now() + TimeDelta::days(1)).unwrap(), []);
    }
}
