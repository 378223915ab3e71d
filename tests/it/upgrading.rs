//! Schemas and the versions of the program: what each may serve, what it makes of an older store, and that both engines have
//! the same schema.

mod parity;
mod versions;

use std::path::Path;

use gatehouse::{
    domain::{
        deployment::{DeploymentQuery, GateState},
        directory::{Container, User},
        environment::EnvironmentFilter,
        id::{DeploymentId, ProjectId, ProjectKey, UserKey},
        page::PageRequest,
    },
    pb::v1::{self as pb, DeploymentStatus as S, Visibility},
    store::Location,
    store::{self, Store, sqlite},
};
use sqlx::{Connection as _, SqliteConnection, migrate::Migrator};

use crate::support::{World, engine::Engine, group_at, in_project, project_at, user_named};

/// Something of everything that the first version kept.
async fn history() -> World {
    let world = World::new(Engine::Sqlite).await;
    let root = &world.server.root;
    for (environment, status) in [
        ("production", S::Created),
        ("production", S::Running),
        ("production", S::Success),
        ("production", S::Failed),
        ("review/old", S::Canceled),
    ] {
        world.record(environment, status).await;
    }
    world.server.group("friends").await;
    let share = pb::CreateGroupShareRequest {
        container: Some(in_project("acme/web")),
        group: Some(group_at("friends")),
        access_level: pb::AccessLevel::Developer.into(),
        ..Default::default()
    };
    let mut directory = world.server.directory(root);
    directory.create_group_share(share).await.unwrap();
    world.server.project("acme/api", Visibility::Public).await;
    let archived = pb::UpdateProjectRequest {
        project: Some(project_at("acme/api")),
        archived: Some(true),
        ..Default::default()
    };
    directory.update_project(archived).await.unwrap();
    let (_, _) = world.server.user("gone").await;
    let gone = pb::UpdateUserRequest {
        user: Some(user_named("gone")),
        state: Some(pb::UserState::Blocked.into()),
        ..Default::default()
    };
    directory.update_user(gone).await.unwrap();
    world
}

/// Writes what a store holds into a new one as it was under the first migration.
async fn as_first_made(store: &Path, file: &Path) {
    let options = sqlite::options(file).foreign_keys(false);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    let first = sqlite::MIGRATIONS.iter().take(1).cloned().collect();
    Migrator::with_migrations(first).run(&mut old).await.unwrap();
    sqlx::query("ATTACH $1 AS present")
        .bind(store.to_str().unwrap())
        .execute(&mut old)
        .await
        .unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, group_concat(c.name, ', ') FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         GROUP BY t.name",
    )
    .fetch_all(&mut old)
    .await
    .unwrap();
    assert!(tables.iter().any(|(table, _)| table == "deployments"));
    for (table, columns) in tables {
        let text =
            format!("INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM present.{table}");
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&mut old)
            .await
            .unwrap();
    }
    old.close().await.unwrap();
}

/// All that a store holds, in words.
async fn everything(store: &dyn Store, root: &User) -> Vec<String> {
    let mut told = Vec::new();
    let users = store.user_list(None, &page()).await.unwrap().items;
    told.extend(users.iter().map(|user| format!("{user:?}")));
    let groups = store.group_list(root, None, &page()).await.unwrap().items;
    for group in groups {
        told.push(format!("{group:?}"));
        let members = store.membership_list(Container::Group(group.id), &page()).await;
        told.push(format!("{:?}", members.unwrap().items));
    }
    let projects = store.project_list(root, None, &page()).await.unwrap().items;
    for project in projects {
        let container = Container::Project(project.id);
        told.push(format!("{project:?}"));
        told.push(format!(
            "{:?}",
            store.membership_list(container, &page()).await.unwrap().items
        ));
        told.push(format!(
            "{:?}",
            store.share_list(container, &page()).await.unwrap().items
        ));
        let filter = EnvironmentFilter::default();
        let environments = store.environment_list(project.id, &filter, &page()).await;
        told.push(format!("{:?}", environments.unwrap().items));
        let query = DeploymentQuery::default();
        let deployments = store.deployment_list(project.id, &query, &page(), None).await;
        told.push(format!("{:?}", deployments.unwrap().items));
    }
    told
}

fn page<C>() -> PageRequest<C> {
    PageRequest {
        after: None,
        skip: 0,
        size: 100,
        want_total: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_version_kept_reads_as_before() {
    let world = history().await;
    let present = world.server.place.folder.path().join("gatehouse.db");
    let folder = tempfile::tempdir().unwrap();
    let upgraded = folder.path().join("gatehouse.db");
    as_first_made(&present, &upgraded).await;

    let open = async |file: &Path| {
        store::open(&Location::Sqlite(file.to_owned()))
            .await
            .unwrap()
            .store
    };
    let (before, after) = (open(&present).await, open(&upgraded).await);
    let root = before
        .user_find(&UserKey::Name("root".into()))
        .await
        .unwrap()
        .unwrap();
    let told = everything(&*before, &root).await;
    assert!(told.len() > 10);
    assert_eq!(everything(&*after, &root).await, told);

    // Nothing was held, nothing is protected, and nobody approves what is theirs.
    let key = ProjectKey::Id(ProjectId(world.project.id));
    let view = after.project_find(&key, root.id).await.unwrap().unwrap().of;
    assert!(!view.project.allow_self_approval);
    for id in 1..=5 {
        let gate = after
            .gate_find(&view, DeploymentId(id), &root, None)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(gate.deployment.gate, GateState::Open);
        assert_eq!(
            (gate.deployment.failure_reason, gate.protections.len()),
            (None, 0)
        );
    }
}
