//! `gatehouse token`: the secrets that callers identify themselves with.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::{
    Error,
    client::{Attempt as _, Server, request_id, user},
    console,
    word::Word as _,
};
use crate::{
    clock::{Clock as _, SystemClock},
    config::ClientOptions,
    pb::v1::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Token, TokenScope},
};

/// The commands about tokens.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  gatehouse token create --user deploy-bot --name ci --scope api --expires-in-days 90 > deploy-bot.token
  gatehouse token list --user deploy-bot
  gatehouse token revoke 7")]
pub enum Command {
    /// Create a token and print its secret, which cannot be shown again
    Create(Create),
    /// List tokens, without their secrets
    List(List),
    /// Revoke a token, at once and for good
    Revoke(Revoke),
}

/// The arguments of `token create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Whose token it is [default: the caller's]
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
    /// What it is for
    #[arg(long)]
    name: String,
    /// What it may be used for: api (everything its user may do) or read_api (everything its user may read)
    #[arg(long, required = true, value_delimiter = ',', value_parser = TokenScope::read)]
    scope: Vec<TokenScope>,
    /// After how many days it stops working [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    expires_in_days: Option<u32>,
    #[command(flatten)]
    client: ClientOptions,
}

/// The arguments of `token list`.
#[derive(Debug, Args)]
pub struct List {
    /// Whose tokens [default: the caller's]
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
    #[command(flatten)]
    client: ClientOptions,
}

/// The arguments of `token revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The token's id, as `token list` shows it
    #[arg(value_name = "ID")]
    id: i64,
    #[command(flatten)]
    client: ClientOptions,
}

/// Runs one of the commands.
pub async fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Create(options) => create(options).await,
        Command::List(options) => list(options).await,
        Command::Revoke(options) => revoke(options).await,
    }
}

/// Prints the secret alone to standard output, so that it can be sent to a file.
async fn create(options: Create) -> Result<(), Error> {
    let server = Server::connect(&options.client).await?;
    let expires_at = options.expires_in_days.map(|days| {
        let lifetime = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
        (SystemTime::from(SystemClock.now()) + lifetime).into()
    });
    let request = CreateTokenRequest {
        user: options.user.as_deref().map(user),
        name: options.name.clone(),
        scopes: options.scope.iter().map(|scope| (*scope).into()).collect(),
        expires_at,
        request_id: request_id()?,
        validate_only: false,
    };
    let answer = server.tokens().create_token(request).await;
    let answer = answer
        .attempt(|| format!("create the token {:?}", options.name))?
        .into_inner();
    console::note(format_args!(
        "token {} was created",
        answer.token.unwrap_or_default().id
    ));
    console::say(answer.secret);
    Ok(())
}

async fn list(options: List) -> Result<(), Error> {
    let server = Server::connect(&options.client).await?;
    let mut rows = vec![
        [
            "ID",
            "NAME",
            "SCOPES",
            "CREATED",
            "EXPIRES",
            "LAST USED",
            "REVOKED",
        ]
        .map(str::to_owned),
    ];
    let mut request = ListTokensRequest {
        user: options.user.as_deref().map(user),
        page_size: 100,
        ..Default::default()
    };
    loop {
        let page = server.tokens().list_tokens(request.clone()).await;
        let page = page.attempt(|| "list tokens".to_owned())?.into_inner();
        rows.extend(page.tokens.iter().map(row));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    console::table(&rows);
    Ok(())
}

fn row(token: &Token) -> [String; 7] {
    let scopes: Vec<_> = token.scopes().map(super::word::Word::word).collect();
    let time =
        |time: &Option<prost_types::Timestamp>| time.as_ref().map_or("-".to_owned(), ToString::to_string);
    [
        token.id.to_string(),
        token.name.clone(),
        scopes.join(","),
        time(&token.created_at),
        time(&token.expires_at),
        time(&token.last_used_at),
        time(&token.revoked_at),
    ]
}

async fn revoke(options: Revoke) -> Result<(), Error> {
    let server = Server::connect(&options.client).await?;
    let request = RevokeTokenRequest {
        token_id: options.id,
        request_id: request_id()?,
        validate_only: false,
    };
    server
        .tokens()
        .revoke_token(request)
        .await
        .attempt(|| format!("revoke token {}", options.id))?;
    console::say(format_args!("token {} is revoked", options.id));
    Ok(())
}
