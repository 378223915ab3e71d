//! PostgreSQL: options, pools, migrations, what its errors mean, and word from one server to the others.
//!
//! Two kinds of connections: those that read, write and tell other servers, and one that hears what those did.
//! What is told is a nudge: who hears it reads the tables, and looks there now and then without being told.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Connection as _, PgConnection, Pool, Postgres, SqlStr,
    migrate::Migrator,
    pool::PoolConnectionMetadata,
    postgres::{PgArguments, PgConnectOptions, PgListener, PgPoolOptions, PgRow},
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Opened, Result, Store, StoreError,
    sql::{
        Db, SqlStore,
        connections::{Connections, Doubts, reading},
        failed,
        group_commit::{GroupCommit, Lanes},
        project,
        schema::{self, Level},
        seam::{Class, Driver, Opening, Openings, sql},
    },
    wake::{News, Outbox, Wake},
};
use crate::domain::id::ProjectId;

/// The schema's history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// The advisory lock of the directory: changes of a project hold it together, changes of the directory alone. "gatehous".
const DIRECTORY_LOCK: i64 = 0x6761_7465_686f_7573;
/// The channel on which servers tell each other what they did.
const CHANNEL: &str = "gatehouse";
/// How many projects fit into one message, which may have 8,000 bytes.
const TOLD_AT_ONCE: usize = 200;
/// What stands in a message for work of the linker.
const LINK_WORK: &str = "link";
/// How often to look at what somebody waits for without having been told, where word should come.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same, where none can come.
const LOOK_EVERY_UNTOLD: Duration = Duration::from_secs(1);
/// A connection that was idle for longer than this is asked before it is used.
const TRUSTED: Duration = Duration::from_secs(30);
/// How long it may take to answer then.
const ASKED: Duration = Duration::from_secs(2);
/// How long it may take to reach the database at the start.
const REACHED_IN: Duration = Duration::from_secs(10);
/// How much longer than the server's own limit to wait for an answer before a connection counts as broken.
const GRACE: Duration = Duration::from_secs(5);

/// What stands between this program and the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing that would be noticed.
    #[default]
    None,
    /// A pooler that gives each transaction whichever connection is free, such as PgBouncer in transaction mode: nothing
    /// outlives a transaction, neither settings nor prepared statements nor listening.
    Transaction,
}

/// How to reach a store on a PostgreSQL server.
#[derive(Clone)]
pub struct Settings {
    /// The server and the database, with the password.
    pub primary: PgConnectOptions,
    /// A streaming copy that may lag behind.
    pub replica: Option<PgConnectOptions>,
    /// What stands in between.
    pub pooler: Pooler,
    /// The most connections that are open at once, beside the one that hears what other servers did.
    pub connections: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// The longest a statement may take.
    pub statement_timeout: Duration,
    /// The longest a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// A connection that is older is closed when it is free.
    pub max_lifetime: Duration,
    /// A connection that is not used for so long is closed.
    pub idle_timeout: Duration,
}

// Not derived: the driver's options show the password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |options: &PgConnectOptions| {
            let database = options.get_database().unwrap_or_default();
            format!("{}:{}/{database}", options.get_host(), options.get_port())
        };
        f.debug_struct("Settings")
            .field("primary", &place(&self.primary))
            .field("replica", &self.replica.as_ref().map(place))
            .field("pooler", &self.pooler)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The usual settings for this database.
    pub fn new(primary: PgConnectOptions) -> Self {
        Self {
            primary,
            replica: None,
            pooler: Pooler::None,
            connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            max_lifetime: Duration::from_mins(30),
            idle_timeout: Duration::from_mins(10),
        }
    }

    /// The server's limits for every transaction, by name, in milliseconds; 0: there is none. One whose client fell silent
    /// must not hold its locks for ever.
    fn limits(&self) -> [(&'static str, u128); 3] {
        let silence = match self.statement_timeout {
            Duration::ZERO => Duration::ZERO,
            timeout => timeout + GRACE,
        };
        [
            ("statement_timeout", self.statement_timeout.as_millis()),
            ("lock_timeout", self.lock_timeout.as_millis()),
            ("idle_in_transaction_session_timeout", silence.as_millis()),
        ]
    }

    fn openings(&self) -> Openings {
        let limits = match self.pooler {
            // Set once for each connection.
            Pooler::None => String::new(),
            Pooler::Transaction => self.limits().iter().fold(String::new(), |set, (name, millis)| {
                set + &format!("; SET LOCAL {name} = {millis}")
            }),
        };
        let moment = Opening::new(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{limits}"
        ));
        // Behind the locks, statements have to see what was committed before: no snapshot of the beginning.
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{limits}");
        Openings {
            read: match self.pooler {
                Pooler::None => None,
                Pooler::Transaction => Some(moment.clone()),
            },
            moment,
            write: Opening::new(&begin),
            write_project: Opening::new(&format!(
                "{begin}; SELECT pg_advisory_xact_lock_shared({DIRECTORY_LOCK})"
            )),
            write_directory: Opening::new(&format!(
                "{begin}; SELECT pg_advisory_xact_lock({DIRECTORY_LOCK})"
            )),
        }
    }

    fn options(&self, place: &PgConnectOptions) -> PgConnectOptions {
        // Poolers refuse what they do not know.
        let options = place.clone().extra_float_digits(None);
        match self.pooler {
            Pooler::None => options
                .application_name("gatehouse")
                .options(self.limits().map(|(name, millis)| (name, millis.to_string()))),
            Pooler::Transaction => options.application_name("gatehouse").statement_cache_capacity(0),
        }
    }

    fn pool(&self, doubts: &Doubts) -> PgPoolOptions {
        let (doubts, pooler) = (doubts.clone(), self.pooler);
        PgPoolOptions::new()
            .max_connections(self.connections)
            .acquire_timeout(self.acquire_timeout)
            .max_lifetime(self.max_lifetime)
            .idle_timeout(self.idle_timeout)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    match pooler {
                        // The first one that it keeps.
                        Pooler::None => sqlx::query("SELECT 1").execute(connection).await.map(drop),
                        Pooler::Transaction => Ok(()),
                    }
                })
            })
            .before_acquire(move |connection, idle| {
                let doubts = doubts.clone();
                Box::pin(async move { Ok(trusted(&doubts, connection, &idle).await) })
            })
    }

    /// Connections to a place, made when they are needed.
    fn connections(&self, place: &PgConnectOptions) -> Connections<Postgres> {
        let doubts = Doubts::default();
        let pool = self.pool(&doubts).connect_lazy_with(self.options(place));
        Connections {
            writer: pool.clone(),
            reader: pool,
            openings: self.openings(),
            patience: Some(self.statement_timeout + GRACE),
            doubts,
            group: Arc::new(GroupCommit::by(Lanes::ByProject)),
        }
    }
}

/// Whether a connection can be used: it was used just now, or it answers.
async fn trusted(doubts: &Doubts, connection: &mut PgConnection, idle: &PoolConnectionMetadata) -> bool {
    if idle.idle_for < TRUSTED && !doubts.about(idle.idle_for) {
        return true;
    }
    matches!(timeout(ASKED, connection.ping()).await, Ok(Ok(())))
}

/// Opens a store whose schema this version can serve, and its copy if there is one.
pub async fn open(settings: &Settings) -> Result<Opened> {
    // Not by the pool, which would try again for a while and then not tell what was wrong.
    let mut connection = reach(&settings.options(&settings.primary)).await?;
    {
        let moment = settings.openings().moment.text();
        let mut moment = connection
            .begin_with(moment)
            .await
            .map_err(StoreError::Unreachable)?;
        if let Level::Behind(behind) = schema::level::<Postgres>(&mut moment).await? {
            return Err(StoreError::Schema(behind.into()));
        }
    }
    // What comes of a farewell is of no interest.
    let _ = connection.close().await;
    let connections = settings.connections(&settings.primary);
    let replica = settings
        .replica
        .as_ref()
        .map(|place| open_replica(settings, place));
    let (outbox, closing) = (Outbox::default(), CancellationToken::new());
    let wake = Wake::with_outbox(outbox.clone());
    let word = Word {
        connections: connections.clone(),
        wake: wake.clone(),
        closing: closing.clone(),
        // A word that is no project.
        name: format!(
            "by-{:016x}",
            getrandom::u64().map_err(|error| StoreError::Other(error.into()))?
        ),
    };
    tokio::spawn(word.clone().tell(outbox));
    tokio::spawn(word.look(settings.clone()));
    Ok(Opened {
        store: Arc::new(SqlStore::new(connections, wake, closing)),
        replica,
    })
}

/// A connection of its own, or what is in its way.
async fn reach(options: &PgConnectOptions) -> Result<PgConnection> {
    match timeout(REACHED_IN, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(StoreError::Unreachable),
        Err(_) => Err(StoreError::Unreachable(sqlx::Error::PoolTimedOut)),
    }
}

/// Connections for work that takes as long as it takes, whatever the schema is.
pub async fn connect_without_limits(settings: &Settings) -> Result<Connections<Postgres>> {
    let settings = Settings {
        statement_timeout: Duration::ZERO,
        lock_timeout: Duration::ZERO,
        ..settings.clone()
    };
    // So that it is told what is wrong, if something is.
    let connection = reach(&settings.options(&settings.primary)).await?;
    let _ = connection.close().await;
    Ok(Connections {
        patience: None,
        ..settings.connections(&settings.primary)
    })
}

/// A copy is not needed to serve: it may be away, even at the start.
fn open_replica(settings: &Settings, place: &PgConnectOptions) -> Arc<dyn Store> {
    let connections = settings.connections(place);
    Arc::new(SqlStore::<Postgres>::new(
        connections,
        Wake::default(),
        CancellationToken::new(),
    ))
}

/// Brings the schema up to date. One at a time: others wait. It takes as long as it takes.
pub async fn migrate(settings: &Settings) -> Result<()> {
    let options = settings.primary.clone().application_name("gatehouse migrate");
    let mut connection = reach(&options).await?;
    let level = schema::level::<Postgres>(&mut connection).await?;
    let _ = connection.close().await;
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    if let Level::Behind(_) = level {
        MIGRATIONS.run(&pool).await.map_err(StoreError::Migration)?;
    }
    pool.close().await;
    Ok(())
}

/// Word between servers.
#[derive(Clone)]
struct Word {
    connections: Connections<Postgres>,
    wake: Wake,
    closing: CancellationToken,
    /// What its own messages begin with: what this server did it knows already.
    name: String,
}

impl Word {
    /// Tells the others what this server did.
    async fn tell(self, outbox: Outbox) {
        let telling = async {
            loop {
                let news = outbox.take().await;
                for message in messages(&news) {
                    if let Err(error) = self.send(&format!("{} {message}", self.name)).await {
                        // They look for themselves.
                        tracing::warn!(error = ?error, "cannot tell other servers what happened");
                    }
                }
            }
        };
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = telling => {}
        }
    }

    /// A statement of its own, behind the commit: within a transaction, all that tell something would commit one after the
    /// other.
    async fn send(&self, message: &str) -> Result<()> {
        reading!(self.connections, Once, |connection| notify(connection, message))
    }

    /// Hears what other servers did, and looks for itself now and then.
    #[expect(
        clippy::disallowed_methods,
        reason = "it waits before it tries to listen again"
    )]
    async fn look(self, settings: Settings) {
        let closing = self.closing.clone();
        let looking = async {
            let mut positions = Positions::default();
            match settings.pooler {
                Pooler::Transaction => {
                    let mut due = interval(LOOK_EVERY_UNTOLD);
                    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    loop {
                        due.tick().await;
                        self.compare(&mut positions, Unknown::Changed).await;
                    }
                }
                Pooler::None => loop {
                    if let Err(error) = self.listen(&settings, &mut positions).await {
                        tracing::warn!(error = ?error, "cannot hear from other servers; looking every second");
                    }
                    self.compare(&mut positions, Unknown::Changed).await;
                    tokio::time::sleep(LOOK_EVERY_UNTOLD).await;
                },
            }
        };
        tokio::select! {
            () = closing.cancelled() => {}
            () = looking => {}
        }
    }

    /// Listens until the connection breaks.
    async fn listen(
        &self,
        settings: &Settings,
        positions: &mut Positions,
    ) -> std::result::Result<(), sqlx::Error> {
        let pool: Pool<Postgres> = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(settings.acquire_timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(settings.options(&settings.primary));
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        let mut due = interval(LOOK_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // It keeps what has arrived if it is given up.
                heard = listener.try_recv() => match heard? {
                    Some(message) if message.payload().starts_with(&self.name) => {}
                    Some(message) => self.wake.hear(read(message.payload())),
                    None => return Ok(()),
                },
                // Also at once: something may have been said before this listened.
                _ = due.tick() => self.compare(positions, Unknown::Told).await,
            }
        }
    }

    async fn marks(&self, projects: &BTreeSet<ProjectId>) -> Result<Positions> {
        reading!(self.connections, Once, |connection| project::marks::<Postgres>(
            connection, projects
        ))
    }

    /// Looks whether something happened in the projects on which somebody waits here.
    async fn compare(&self, before: &mut Positions, unknown: Unknown) {
        let awaited = self.wake.awaited();
        let now = if awaited.is_empty() {
            Ok(Positions::default())
        } else {
            self.marks(&awaited).await
        };
        match now {
            Ok(now) => {
                let changed = awaited
                    .into_iter()
                    .filter(|project| match before.get(project) {
                        None => unknown == Unknown::Changed,
                        Some(mark) => now.get(project) != Some(mark),
                    })
                    .collect();
                *before = now;
                self.wake.hear(News {
                    projects: changed,
                    // Looks for itself.
                    link_work: false,
                });
            }
            Err(error) => tracing::debug!(error = ?error, "cannot look what happened"),
        }
    }
}

async fn notify(connection: &mut PgConnection, message: &str) -> Result<()> {
    sql::<Postgres>("SELECT pg_notify($1, $2)")
        .bind(CHANNEL.to_owned())
        .bind(message.to_owned())
        .run(connection)
        .await
        .map(drop)
        .map_err(failed::<Postgres>)
}

/// What to take of a project that is looked at for the first time since somebody waits on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// It may have changed meanwhile.
    Changed,
    /// Had it changed, that would have been told.
    Told,
}

/// What tells whether a project has changed, by project.
type Positions = std::collections::BTreeMap<ProjectId, i64>;

/// News as messages.
fn messages(news: &News) -> Vec<String> {
    let mut words: Vec<String> = news.projects.iter().map(ToString::to_string).collect();
    if news.link_work {
        words.insert(0, LINK_WORK.to_owned());
    }
    words.chunks(TOLD_AT_ONCE).map(|words| words.join(" ")).collect()
}

/// A message as news; what a newer version might say besides is passed over.
fn read(message: &str) -> News {
    let words: Vec<&str> = message.split(' ').collect();
    News {
        link_work: words.contains(&LINK_WORK),
        projects: words
            .iter()
            .filter_map(|word| word.parse().ok())
            .map(ProjectId)
            .collect::<BTreeSet<_>>(),
    }
}

impl Driver for Postgres {
    const NAME: &'static str = "postgres";
    const SHARED: bool = true;
    const MIGRATIONS_TABLES: &'static str =
        "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('_sqlx_migrations')";
    const LAST_ID: &'static str =
        "SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence($1, 'id')::regclass), 0)";
    const SET_LAST_ID: &'static str =
        "SELECT setval(pg_get_serial_sequence($1, 'id')::regclass, GREATEST($2, 1), $2 > 0)";
    const NEXT_DEPLOYMENT_ID: &'static str = "nextval('deployments_id_seq')";
    const ANALYZE: Option<&'static str> = Some("ANALYZE");

    fn migrations() -> &'static Migrator {
        &MIGRATIONS
    }

    /// All at once, by one round trip: the last one with the others as its common table expressions.
    fn together(texts: &[String]) -> String {
        let Some((last, others)) = texts.split_last() else {
            return String::new();
        };
        let mut text = String::new();
        for (number, other) in others.iter().enumerate() {
            let before = if number == 0 { "WITH" } else { "," };
            // Into a text nothing can fail to be written.
            let _ = write!(text, "{before} done_{number} AS ({other}) ");
        }
        text + last
    }

    async fn command(
        connection: &mut PgConnection,
        text: &'static str,
    ) -> std::result::Result<(), sqlx::Error> {
        // Not prepared, for only so can it be several.
        sqlx::raw_sql(text).execute(connection).await.map(drop)
    }

    async fn rows(
        connection: &mut PgConnection,
        sql: SqlStr,
        arguments: PgArguments,
    ) -> std::result::Result<Vec<PgRow>, sqlx::Error> {
        sqlx::query_with(sql, arguments)
            .persistent(keeps_statements(connection))
            .fetch_all(connection)
            .await
    }

    async fn run(
        connection: &mut PgConnection,
        sql: SqlStr,
        arguments: PgArguments,
    ) -> std::result::Result<u64, sqlx::Error> {
        sqlx::query_with(sql, arguments)
            .persistent(keeps_statements(connection))
            .execute(connection)
            .await
            .map(|done| done.rows_affected())
    }

    fn classify(error: &sqlx::Error) -> Class {
        match error {
            sqlx::Error::Database(database) => database.code().map_or(Class::Other, |code| class(&code)),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Class::Busy,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::BeginFailed => Class::Gone,
            _ => Class::Other,
        }
    }
}

/// Whether a connection keeps prepared statements. Those that are to keep one from the beginning ([`Settings::pool`]); on
/// the others statements must have no name, for the next one may go to another server process.
fn keeps_statements(connection: &PgConnection) -> bool {
    connection.cached_statements_size() > 0
}

/// What an SQLSTATE means.
fn class(code: &str) -> Class {
    match code {
        // serialization_failure, deadlock_detected, unique_violation, foreign_key_violation
        "40001" | "40P01" | "23505" | "23503" => Class::Conflict,
        // admin_shutdown, crash_shutdown, database_dropped, idle_session_timeout, a transaction that idled too long; and
        // feature_not_supported, to write on a standby or with what was prepared before a migration: another connection may
        // lead to the primary, and has prepared nothing
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "0A000" => Class::Gone,
        // query_canceled (the statement's time was up), cannot_connect_now, lock_not_available,
        // object_not_in_prerequisite_state (the database takes no connections), read_only_sql_transaction,
        // insufficient_privilege (a table was granted to nobody yet)
        "57014" | "57P03" | "55P03" | "55000" | "25006" | "42501" => Class::Busy,
        // connection exceptions; insufficient resources; who may connect, and to what; system errors
        code if code.starts_with("08") => Class::Gone,
        code if ["53", "28", "3D", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Class::Busy
        }
        _ => Class::Other,
    }
}

impl Db for Postgres {}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn news_come_out_of_their_messages_as_they_went_in() {
        let many: BTreeSet<ProjectId> = (1..=1_000).map(|id| ProjectId(i64::MAX - id)).collect();
        for news in [
            News::default(),
            News {
                projects: [ProjectId(7)].into(),
                link_work: false,
            },
            News {
                projects: BTreeSet::new(),
                link_work: true,
            },
            News {
                projects: many,
                link_work: true,
            },
        ] {
            let mut heard = News::default();
            for message in messages(&news) {
                assert!(message.len() < 7_900, "{} bytes", message.len());
                let part = read(&message);
                heard.projects.extend(part.projects);
                heard.link_work |= part.link_work;
            }
            assert_eq!(heard, news);
        }
        assert_eq!(
            read("later words, 12"),
            News {
                projects: [ProjectId(12)].into(),
                link_work: false
            }
        );
    }

    #[test]
    fn the_settings_show_no_password() {
        let options: PgConnectOptions = "postgres://me:very-secret@db.example/gatehouse".parse().unwrap();
        let shown = format!("{:?}", Settings::new(options));
        assert!(shown.contains("db.example:5432/gatehouse"), "{shown}");
        assert!(!shown.contains("very-secret"), "{shown}");
    }

    #[test]
    fn every_state_means_what_it_says() {
        for (code, class) in [
            ("40001", Class::Conflict),
            ("40P01", Class::Conflict),
            ("23505", Class::Conflict),
            ("57P01", Class::Gone),
            ("57P02", Class::Gone),
            ("0A000", Class::Gone),
            ("08006", Class::Gone),
            ("57014", Class::Busy),
            ("55P03", Class::Busy),
            ("55000", Class::Busy),
            ("25006", Class::Busy),
            ("53100", Class::Busy),
            ("53300", Class::Busy),
            ("28P01", Class::Busy),
            ("3D000", Class::Busy),
            ("42501", Class::Busy),
            ("42P01", Class::Other),
            ("22021", Class::Other),
            ("23514", Class::Other),
        ] {
            assert_eq!(super::class(code), class, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_idle_when_a_connection_was_lost_is_doubted_until_it_is_used() {
        let doubts = Doubts::default();
        assert!(!doubts.about(Duration::from_secs(9)));
        doubts.raise();
        let before = Instant::now();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(before.elapsed(), Duration::from_secs(5));
        assert!(doubts.about(Duration::from_secs(6)));
        assert!(!doubts.about(Duration::from_secs(4)));
    }
}
