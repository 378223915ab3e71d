//! Both engines have the same schema, as far as their catalogs tell.

use std::collections::BTreeSet;

use gatehouse::store::{
    self,
    moving::manifest::{Column, Kind, TABLES, Table},
    postgres, sqlite,
};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::support::engine::{Engine, Place};

/// What a schema has, in words, so that a difference can be read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Schema {
    columns: BTreeSet<String>,
    /// Primary keys and unique constraints.
    keys: BTreeSet<String>,
    indexes: BTreeSet<String>,
    references: BTreeSet<String>,
    /// How many other rules a table has.
    checks: BTreeSet<String>,
}

/// What a column holds, whatever an engine calls it.
fn class(engine: Engine, name: &str, truth: bool) -> &'static str {
    match (engine, name) {
        (Engine::Sqlite, "INTEGER") if truth => "truth",
        (Engine::Postgres, "boolean") => "truth",
        (Engine::Sqlite, "INTEGER") | (Engine::Postgres, "bigint") => "number",
        (Engine::Sqlite, "REAL") | (Engine::Postgres, "double precision") => "fraction",
        (Engine::Sqlite, "TEXT") | (Engine::Postgres, "text") => "text",
        (Engine::Sqlite, "BLOB") | (Engine::Postgres, "bytea") => "bytes",
        _ => panic!("{engine:?} has a column of type {name}"),
    }
}

fn column(table: &str, name: &str, class: &str, nullable: bool, default: bool) -> String {
    let null = if nullable { "null" } else { "not null" };
    let default = if default { ", default" } else { "" };
    format!("{table}.{name}: {class}, {null}{default}")
}

fn index(table: &str, name: &str, columns: &str, unique: bool, condition: &str) -> String {
    let unique = if unique { "unique " } else { "" };
    // PostgreSQL shows a condition in its own way.
    let condition: String = condition
        .replace("::text", "")
        .chars()
        .filter(|c| !"()".contains(*c))
        .collect();
    format!("{unique}{name} on {table} ({columns}) {condition}")
        .trim_end()
        .to_owned()
}

/// The tables that a program's own statements are about.
const SQLITE_TABLES: &str = "t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

async fn of_sqlite(place: &Place) -> Schema {
    let mut connection = SqliteConnection::connect_with(&sqlite::options(&place.file()))
        .await
        .unwrap();
    let mut schema = Schema::default();
    let mut rows = async |select: &str| -> Vec<Vec<String>> {
        let text = format!("{select} ORDER BY 1, 2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        rows.iter().map(texts).collect()
    };

    for row in rows(&format!(
        "SELECT t.name, c.name, c.type, CAST(c.\"notnull\" OR c.pk > 0 AS TEXT), CAST(c.dflt_value IS NOT NULL AS TEXT), \
         CAST(t.sql LIKE '%(' || c.name || ' IN (0, 1))%' AS TEXT) \
         FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE {SQLITE_TABLES}"
    ))
    .await
    {
        let class = class(Engine::Sqlite, &row[2], row[5] == "1");
        let column = column(&row[0], &row[1], class, row[3] == "0", row[4] == "1");
        schema.columns.insert(column);
    }
    for row in rows(&format!(
        "SELECT t.name, (SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_table_info(t.name) WHERE pk > 0 \
         ORDER BY pk)) FROM sqlite_schema t WHERE {SQLITE_TABLES}"
    ))
    .await
    {
        schema.keys.insert(format!("{} primary key ({})", row[0], row[1]));
    }
    for row in rows(&format!(
        "SELECT t.name, i.name, i.origin, CAST(i.\"unique\" AS TEXT), \
         (SELECT group_concat(name || CASE WHEN \"desc\" THEN ' DESC' ELSE '' END, ', ') \
          FROM (SELECT name, \"desc\" FROM pragma_index_xinfo(i.name) WHERE key ORDER BY seqno)), \
         coalesce((SELECT CASE WHEN instr(s.sql, 'WHERE') > 0 THEN substr(s.sql, instr(s.sql, 'WHERE')) END \
          FROM sqlite_schema s WHERE s.name = i.name), '') \
         FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE i.origin <> 'pk' AND {SQLITE_TABLES}"
    ))
    .await
    {
        if row[2] == "u" {
            schema.keys.insert(format!("{} unique ({})", row[0], row[4]));
        } else {
            let index = index(&row[0], &row[1], &row[4], row[3] == "1", &row[5]);
            schema.indexes.insert(index);
        }
    }
    for row in rows(&format!(
        "SELECT t.name, r.\"from\", r.\"table\", r.\"to\", r.on_delete \
         FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) r WHERE {SQLITE_TABLES}"
    ))
    .await
    {
        let reference = format!("{}.{} to {}.{}, {}", row[0], row[1], row[2], row[3], row[4]);
        schema.references.insert(reference);
    }
    for row in rows(&format!(
        "SELECT t.name, t.sql FROM sqlite_schema t WHERE {SQLITE_TABLES}"
    ))
    .await
    {
        // PostgreSQL has a type for truth.
        let count = row[1].matches("CHECK (").count() - row[1].matches(" IN (0, 1))").count();
        schema.checks.insert(format!("{}: {count}", row[0]));
    }
    connection.close().await.unwrap();
    schema
}

async fn of_postgres(place: &Place) -> Schema {
    let mut connection = PgConnection::connect(&place.url()).await.unwrap();
    let mut schema = Schema::default();
    let mut rows = async |select: &'static str| -> Vec<Vec<String>> {
        let rows = sqlx::query(select).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(texts).collect()
    };

    for row in rows(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text, \
         (column_default IS NOT NULL)::text, coalesce(collation_name::text, ''), \
         coalesce(identity_generation::text, '') \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'",
    )
    .await
    {
        let class = class(Engine::Postgres, &row[2], false);
        let name = format!("{}.{}", row[0], row[1]);
        // Sorted by bytes, as SQLite does it.
        let collation = if class == "text" { "C" } else { "" };
        assert_eq!(row[5], collation, "the collation of {name}");
        // An import brings its own ids.
        assert_ne!(row[6], "ALWAYS", "{name}");
        let column = column(&row[0], &row[1], class, row[3] == "YES", row[4] == "true");
        schema.columns.insert(column);
    }
    for row in rows(
        "SELECT t.relname::text, i.relname::text, coalesce(c.contype::text, ''), x.indisunique::text, \
         (SELECT string_agg(replace(pg_get_indexdef(i.oid, n, true), '\"', '') \
             || CASE WHEN x.indoption[n - 1] & 1 = 1 THEN ' DESC' ELSE '' END, ', ' ORDER BY n) \
          FROM generate_series(1, x.indnkeyatts) n), \
         coalesce('WHERE ' || pg_get_expr(x.indpred, x.indrelid), '') \
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid \
         LEFT JOIN pg_constraint c ON c.conindid = i.oid AND c.contype IN ('p', 'u') \
         WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> '_sqlx_migrations'",
    )
    .await
    {
        match row[2].as_str() {
            "p" => schema.keys.insert(format!("{} primary key ({})", row[0], row[4])),
            "u" => schema.keys.insert(format!("{} unique ({})", row[0], row[4])),
            _ => schema
                .indexes
                .insert(index(&row[0], &row[1], &row[4], row[3] == "true", &row[5])),
        };
    }
    for row in rows(
        "SELECT t.relname::text, a.attname::text, r.relname::text, b.attname::text, \
         CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'a' THEN 'NO ACTION' \
             ELSE c.confdeltype::text END \
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1] \
         JOIN pg_attribute b ON b.attrelid = r.oid AND b.attnum = c.confkey[1] \
         WHERE c.contype = 'f' AND t.relnamespace = 'public'::regnamespace",
    )
    .await
    {
        let reference = format!("{}.{} to {}.{}, {}", row[0], row[1], row[2], row[3], row[4]);
        schema.references.insert(reference);
    }
    for row in rows(
        "SELECT t.relname::text, (SELECT count(*) FROM pg_constraint c WHERE c.conrelid = t.oid AND c.contype = 'c')::text \
         FROM pg_class t \
         WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace AND t.relname <> '_sqlx_migrations'",
    )
    .await
    {
        schema.checks.insert(format!("{}: {}", row[0], row[1]));
    }
    connection.close().await.unwrap();
    schema
}

/// The columns of a row of texts.
fn texts<R>(row: &R) -> Vec<String>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    String: for<'r> sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    (0..row.len()).map(|index| row.get(index)).collect()
}

#[track_caller]
fn same(what: &str, sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) {
    let only = |here: &BTreeSet<String>, there| here.difference(there).cloned().collect::<Vec<_>>();
    assert_eq!(
        (only(sqlite, postgres), only(postgres, sqlite)),
        (Vec::new(), Vec::new()),
        "{what} that only one of the two has"
    );
    assert!(!sqlite.is_empty(), "{what}");
}

#[tokio::test]
async fn both_engines_have_the_same_schema() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let (file, database) = (
        Engine::Sqlite.bare_place().await,
        Engine::Postgres.bare_place().await,
    );
    for place in [&file, &database] {
        store::migrate(&place.location()).await.unwrap();
    }
    let (sqlite, postgres) = (of_sqlite(&file).await, of_postgres(&database).await);
    same("columns", &sqlite.columns, &postgres.columns);
    same("keys", &sqlite.keys, &postgres.keys);
    same("indexes", &sqlite.indexes, &postgres.indexes);
    same("references", &sqlite.references, &postgres.references);
    same("checks", &sqlite.checks, &postgres.checks);
}

#[tokio::test]
async fn what_is_moved_is_all_that_is_kept() {
    let place = Engine::Sqlite.bare_place().await;
    store::migrate(&place.location()).await.unwrap();
    let described = |table: &Table, column: &Column| {
        let class = match column.kind {
            Kind::Integer => "number",
            Kind::Real => "fraction",
            Kind::Boolean => "truth",
            Kind::Text => "text",
            Kind::Bytes => "bytes",
        };
        self::column(table.name, column.name, class, column.nullable, false)
    };
    let moved: BTreeSet<String> = TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| described(table, column)))
        .collect();
    let kept: BTreeSet<String> = of_sqlite(&place)
        .await
        .columns
        .iter()
        // These are about the database, and not about what is recorded.
        .filter(|column| !column.starts_with("installation.") && !column.starts_with("leases."))
        .map(|column| column.trim_end_matches(", default").to_owned())
        .collect();
    same("moved, kept", &moved, &kept);
}

#[test]
fn migrations_have_the_same_numbers_and_names_on_both_engines() {
    let named = |migrations: &sqlx::migrate::Migrator| -> Vec<(i64, String)> {
        let named = migrations
            .iter()
            .map(|migration| (migration.version, migration.description.to_string()));
        named.collect()
    };
    let sqlite = named(&sqlite::MIGRATIONS);
    assert_eq!(sqlite, named(&postgres::MIGRATIONS));
    let numbers = sqlite.iter().map(|(version, _)| *version);
    assert!(numbers.eq((1..).take(sqlite.len())), "{sqlite:?}");
}
