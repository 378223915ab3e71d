//! Moving house: exports, imports, copies.

pub mod stock;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Instant,
};

use gatehouse::{
    clock::{Clock as _, SystemClock},
    store::{
        Location,
        moving::{
            self, Source, Stamp, Told, Trailer,
            manifest::{OLDEST_SCHEMA, TABLES},
        },
    },
};
use serde_json::Value;

use sha2::{Digest as _, Sha256};

use crate::support::{
    World, dial,
    engine::{Engine, Place, connected, on_both_engines},
    hex,
    process::Process,
    rest::{Ask, send},
};

fn nobody() -> Told {
    Arc::new(|_| {})
}

async fn export(location: &Location) -> (Vec<u8>, Trailer) {
    let stamp = Stamp {
        made_at: SystemClock.now(),
        made_by: "test".into(),
    };
    let mut written = Vec::new();
    let trailer = moving::export(location, stamp, &mut written, nobody())
        .await
        .unwrap();
    (written, trailer)
}

async fn import(location: &Location, export: &[u8]) -> Result<Trailer, moving::Error> {
    let stream = Source::Stream(Box::new(std::io::Cursor::new(export.to_vec())));
    moving::import(location, stream, nobody()).await
}

/// The tables of an export, with how many rows they have.
fn tables(export: &[u8]) -> Vec<(String, u64)> {
    let lines = std::str::from_utf8(export).unwrap().lines();
    lines
        .filter(|line| line.starts_with("{\"end\":"))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|end| {
            (
                end["end"].as_str().unwrap().to_owned(),
                end["rows"].as_u64().unwrap(),
            )
        })
        .collect()
}

/// The same export as the schema before would have written it: by the documented form, without what came later.
fn as_of(export: &[u8], schema: i64) -> Vec<u8> {
    let mut older = String::new();
    let (mut content, mut file, mut table) = (Sha256::new(), Sha256::new(), Sha256::new());
    let mut keep = Vec::new();
    let mut total = 0;
    for line in std::str::from_utf8(export).unwrap().lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if value["schema"].is_number() {
            value["schema"] = schema.into();
            write_line(&mut older, &value, &mut [&mut file]);
        } else if let Some(name) = value["table"].as_str() {
            let known = TABLES.iter().find(|table| table.name == name).unwrap();
            assert!(known.since <= schema, "{name} is of a later schema");
            let since = |column: &Value| {
                known
                    .columns
                    .iter()
                    .find(|known| column == known.name)
                    .unwrap()
                    .since
            };
            let columns = value["columns"].as_array_mut().unwrap();
            keep = columns.iter().map(|column| since(column) <= schema).collect();
            leave_out(columns, &keep);
            table = Sha256::new();
            write_line(&mut older, &value, &mut [&mut table]);
        } else if let Some(row) = value.as_array_mut() {
            leave_out(row, &keep);
            total += 1;
            write_line(&mut older, &value, &mut [&mut table]);
        } else if value["end"].is_string() {
            value["sha256"] = hex(table.clone().finalize()).into();
            write_line(&mut older, &value, &mut [&mut content, &mut file]);
        } else {
            assert_eq!(value["total"], total);
            value["sha256"] = hex(content.clone().finalize()).into();
            value["file_sha256"] = hex(file.clone().finalize()).into();
            write_line(&mut older, &value, &mut []);
        }
    }
    older.into_bytes()
}

fn leave_out(values: &mut Vec<Value>, keep: &[bool]) {
    let mut keep = keep.iter();
    values.retain(|_| *keep.next().unwrap());
}

fn write_line(to: &mut String, value: &Value, digests: &mut [&mut Sha256]) {
    let line = format!("{value}\n");
    for digest in digests {
        digest.update(&line);
    }
    to.push_str(&line);
}

async fn an_export_of_an_older_schema_is_taken_with_the_defaults_of_what_came_later(engine: Engine) {
    let world = stock::something_of_everything(engine).await;
    let (exported, _) = export(&world.server.place.location()).await;
    let older = as_of(&exported, OLDEST_SCHEMA);
    assert!(older.len() < exported.len());
    let place = engine.place().await;
    let imported = import(&place.location(), &older).await.unwrap();
    assert!(imported.total > 0);
    let (again, _) = export(&place.location()).await;
    assert_eq!(content(&as_of(&again, OLDEST_SCHEMA)), content(&older));
    // Older than that is told.
    let ancient = as_of_line(&older, OLDEST_SCHEMA - 1);
    let refused = import(&engine.place().await.location(), &ancient)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("schema"), "{refused}");
}

/// With another schema in the first line, and nothing else.
fn as_of_line(export: &[u8], schema: i64) -> Vec<u8> {
    let text = std::str::from_utf8(export).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let mut head: Value = serde_json::from_str(head).unwrap();
    head["schema"] = schema.into();
    format!("{head}\n{rest}").into_bytes()
}

/// Without what is different in each.
fn content(export: &[u8]) -> Vec<&str> {
    let lines: Vec<&str> = std::str::from_utf8(export).unwrap().lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

on_both_engines! {
    an_export_of_an_older_schema_is_taken_with_the_defaults_of_what_came_later
    an_export_that_is_not_whole_fills_nothing_that_is_served
    an_import_is_made_once_and_into_an_empty_store_only
    what_is_exported_and_imported_again_and_again_stays_the_same
}

async fn what_is_exported_and_imported_again_and_again_stays_the_same(engine: Engine) {
    let world = stock::something_of_everything(engine).await;
    let (first, digest) = export(&world.server.place.location()).await;
    for (table, rows) in tables(&first) {
        assert_ne!(rows, 0, "{table}");
    }
    let mut last = first.clone();
    for engine in [
        Engine::Sqlite,
        Engine::Postgres,
        Engine::Postgres,
        Engine::Sqlite,
        Engine::Sqlite,
    ] {
        if !engine.is_here() {
            continue;
        }
        let place = engine.place().await;
        let imported = import(&place.location(), &last).await.unwrap();
        let (next, exported) = export(&place.location()).await;
        assert_eq!(content(&next), content(&first));
        assert_eq!(
            (&imported.sha256, &exported.sha256),
            (&digest.sha256, &digest.sha256)
        );
        last = next;
    }
}

async fn an_export_that_is_not_whole_fills_nothing_that_is_served(engine: Engine) {
    let world = stock::something_of_everything(Engine::Sqlite).await;
    let (whole, _) = export(&world.server.place.location()).await;
    let place = engine.place().await;
    let file = place.folder.path().join("export.jsonl");
    // A file is read to its end before anything is written.
    let refused = async |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let source = Source::File(fs::File::open(&file).unwrap());
        let answer = moving::import(&place.location(), source, nobody()).await;
        match answer {
            Err(moving::Error::Export(error)) => error.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    };
    for part in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 2] {
        refused(&whole[..part]).await;
    }
    // One byte is another, wherever that is.
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut altered = whole.clone();
        altered[at] = if altered[at] == b'7' { b'8' } else { b'7' };
        refused(&altered).await;
    }
    let mut lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    lines.swap(3, 4);
    refused(&lines.concat()).await;
    lines.swap(3, 4);
    lines.insert(4, lines[4]);
    refused(&lines.concat()).await;
    // Of later times.
    let text = String::from_utf8(whole.clone()).unwrap();
    let newer = text.replacen("\"gatehouse_export\":1", "\"gatehouse_export\":2", 1);
    assert!(refused(newer.as_bytes()).await.contains('2'));
    let newer = text.replacen("\"schema\":4", "\"schema\":9000", 1);
    assert!(refused(newer.as_bytes()).await.contains("9000"));
    // None of them left anything: the whole one is taken.
    import(&place.location(), &whole).await.unwrap();
}

async fn an_import_is_made_once_and_into_an_empty_store_only(engine: Engine) {
    let world = stock::something_of_everything(engine).await;
    let (whole, _) = export(&world.server.place.location()).await;
    let place = engine.place().await;
    import(&place.location(), &whole).await.unwrap();
    let again = import(&place.location(), &whole).await;
    assert!(matches!(again, Err(moving::Error::Imported(_))), "{again:?}");
    let (another, _) = export(&place.location()).await;
    let another = import(&place.location(), &another).await;
    assert!(matches!(another, Err(moving::Error::NotEmpty(_))), "{another:?}");
}

/// Runs a command of the program on the store in a place.
fn gatehouse(place: &Place, words: &[&str]) -> Output {
    command(place, words).output().unwrap()
}

fn command(place: &Place, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    command
        .args(words)
        .env("GATEHOUSE_DATABASE_URL", place.url())
        .env("GATEHOUSE_DATA_DIR", place.folder.path());
    command
}

#[track_caller]
fn done(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_where_it_was_and_is_not_served_before() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let world = stock::something_of_everything(Engine::Sqlite).await;
    let from = &world.server.place;
    stock::multiply(&from.file(), 15_000).await;
    let file = from.folder.path().join("export.jsonl");
    let file = file.to_str().unwrap();
    done(&gatehouse(from, &["export", file]));
    let place = Engine::Postgres.place().await;
    let mut kills = 0;
    loop {
        let mut import = command(&place, &["import", file])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = rows(&place).await;
        // Killed as soon as it has got on a little.
        let ended = loop {
            if let Some(status) = import.try_wait().unwrap() {
                break Some(status);
            }
            if kills < 4 && rows(&place).await > before {
                break None;
            }
            tokio::task::yield_now().await;
        };
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        import.kill().unwrap();
        import.wait().unwrap();
        kills += 1;
        let refused = gatehouse(&place, &["grpc", "--grpc-listen", "127.0.0.1:0"]);
        assert_eq!(refused.status.code(), Some(1));
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(told.contains("not complete"), "{told}");
    }
    assert!(kills > 1, "it was too quick");
    let (there, _) = export(&place.location()).await;
    assert_eq!(content(&there), content(&fs::read(file).unwrap()));
}

/// How many rows an import has written, as it notes itself.
async fn rows(place: &Place) -> i64 {
    let text = "SELECT imported_rows FROM installation";
    let (rows,): (i64,) = connected!(place, |store| sqlx::query_as(text)
        .fetch_one(&mut store)
        .await
        .unwrap());
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_of_a_running_store_has_everything_that_was_acknowledged_before() {
    let world = World::new(Engine::Sqlite).await;
    let place = &world.server.place;
    for round in 0..3 {
        for _ in 0..10 {
            world
                .record("production", gatehouse::pb::v1::DeploymentStatus::Created)
                .await;
        }
        let copy = place.folder.path().join(format!("copy-{round}.db"));
        let copying = command(place, &["backup", copy.to_str().unwrap()])
            .spawn()
            .unwrap();
        // It goes on while it is copied.
        for _ in 0..10 {
            world
                .record("staging", gatehouse::pb::v1::DeploymentStatus::Created)
                .await;
        }
        done(&copying.wait_with_output().unwrap());
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&copy);
        let mut store = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options)
            .await
            .unwrap();
        let (count, verdict): (i64, String) = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM deployments), integrity_check FROM pragma_integrity_check",
        )
        .fetch_one(&mut store)
        .await
        .unwrap();
        assert!(count >= 20 * round + 10, "{count} in round {round}");
        assert_eq!(verdict, "ok");
        let again = gatehouse(place, &["backup", copy.to_str().unwrap()]);
        assert!(!again.status.success(), "nothing is overwritten");
    }
}

/// What REST answers about everything that is listed: pages of these lists as they are, and of the whole list of a project,
/// page after page, the digests.
async fn listed(place: &Place, token: &str) -> Vec<(String, String)> {
    let server = Process::both(place, "error", Stdio::inherit());
    let address = server.rest.parse().unwrap();
    let mut told = Vec::new();
    for project in stock::PROJECTS {
        let list = format!("projects/{project}/deployments");
        let mut next = Some(format!("{list}?pagination=keyset&per_page=100"));
        while let Some(target) = next {
            let ask = Ask::new("GET", &target).by(token);
            let reply = send(address, &ask.header("host", "gatehouse.example")).await;
            assert_eq!(reply.status, 200, "{target}: {reply:?}");
            next = reply.link("next").map(|link| {
                let (_, query) = link.split_once('?').unwrap();
                format!("{list}?{query}")
            });
            told.push((target, hex(Sha256::digest(&reply.body))));
        }
        for query in [
            "order_by=id&sort=asc&page=1",
            "order_by=id&sort=desc&page=77",
            "order_by=updated_at&sort=desc&page=3",
            "order_by=ref&sort=asc&page=5",
            "status=success&environment=review/2&page=2",
            "status=failed&order_by=finished_at&sort=desc&page=9",
        ] {
            let target = format!("projects/{project}/deployments?{query}&per_page=100");
            let reply = send(
                address,
                &Ask::new("GET", &target)
                    .by(token)
                    .header("host", "gatehouse.example"),
            )
            .await;
            let body = reply.told();
            assert_eq!(body.0, 200, "{target}: {body:?}");
            told.push((target, body.1.to_owned()));
        }
        for target in [
            format!("projects/{project}/environments?per_page=100"),
            format!("projects/{project}"),
        ] {
            let reply = send(
                address,
                &Ask::new("GET", &target)
                    .by(token)
                    .header("host", "gatehouse.example"),
            )
            .await;
            told.push((target, reply.told().1.to_owned()));
        }
    }
    drop(dial(&server.grpc, token));
    told
}

/// Moves so many deployments from SQLite to PostgreSQL, and compares what REST answers.
async fn moved(deployments: i64) {
    let world = stock::something_of_everything(Engine::Sqlite).await;
    let from = &world.server.place;
    stock::multiply(&from.file(), deployments).await;
    let token = world.server.root.clone();
    let file = from.folder.path().join("export.jsonl");
    let file = file.to_str().unwrap();
    let timed =
        |what: &str, begun: Instant| println!("{what} of {deployments} deployments: {:?}", begun.elapsed());
    let begun = Instant::now();
    done(&gatehouse(from, &["export", file]));
    timed("export", begun);
    let to = Engine::Postgres.place().await;
    // The administrator is there already.
    fs::copy(
        from.folder.path().join(gatehouse::first_start::ROOT_TOKEN_FILE),
        Path::new(to.folder.path()).join(gatehouse::first_start::ROOT_TOKEN_FILE),
    )
    .unwrap();
    let begun = Instant::now();
    done(&gatehouse(&to, &["import", file]));
    timed("import", begun);
    let (before, after) = (listed(from, &token).await, listed(&to, &token).await);
    assert!(before.iter().any(|(_, body)| body.len() > 10_000));
    let pages = usize::try_from(deployments).unwrap() / 100;
    assert!(before.len() > pages, "{} of {pages} pages", before.len());
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    println!("{} answers are equal", before.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_moved_to_postgresql_lists_the_same_byte_for_byte() {
    if Engine::Postgres.is_here() {
        moved(20_000).await;
    }
}

/// `cargo test --release --test it -- --ignored --nocapture a_million_deployments_move`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "it takes minutes"]
async fn a_million_deployments_move_to_postgresql_and_list_the_same() {
    moved(1_000_000).await;
}
