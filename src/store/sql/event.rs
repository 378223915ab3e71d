//! The project's event log: one row for each change, in the transaction that makes it.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Db, failed,
    row::{EventRow, MARK, inconsistent, millis, time},
    seam::{Batch, sql},
};
use crate::{
    domain::{
        Time,
        approval::ApprovalStatus,
        deployment::{Deployment, DeploymentStatus, GateState},
        directory::Container,
        environment::{Environment, EnvironmentState, EnvironmentTier},
        event::{Event, EventKind, EventSubject},
        id::{DeploymentId, EnvironmentId, GroupId, Iid, ProjectId, UserId},
        protection::ProtectedEnvironment,
    },
    store::{LogPage, Mark, Result, StoreError, wake::News},
};

/// What a transaction tells of: who waits for it is woken once it is committed.
#[derive(Debug, Default)]
pub struct Told(News);

impl Told {
    /// Notes a project.
    pub fn note(&mut self, project: ProjectId) {
        self.0.projects.insert(project);
    }

    /// Notes that there is something to link.
    pub fn link_work(&mut self) {
        self.0.link_work = true;
    }

    /// What is told.
    pub fn into_news(self) -> News {
        self.0
    }
}

/// Writes a project's events, numbering them without gaps from the counter on the project's locked row.
pub struct Log<'a> {
    /// Whose log.
    pub project: ProjectId,
    /// Who acts.
    pub actor: UserId,
    /// When.
    pub now: Time,
    /// The number of the last event.
    pub last: i64,
    /// Learns that something was told.
    pub told: &'a mut Told,
}

impl Log<'_> {
    /// Adds an event to what is to be written.
    pub fn append<DB: Db>(&mut self, batch: &mut Batch<DB>, kind: EventKind, subject: &EventSubject) {
        self.last += 1;
        self.told.note(self.project);
        batch.add(|stmt| {
            stmt.push("INSERT INTO events (project_id, seq, kind, actor_id, created_at, payload) VALUES (")
                .value(self.project.0)
                .value(self.last)
                .value(kind.as_str().to_owned())
                .value(self.actor.0)
                .value(millis(self.now))
                .value(payload(subject).to_string())
                .push(")")
        });
    }
}

/// Adds an event to the log of every project below a group, in two statements however many there are.
pub async fn append_below<DB: Db>(
    connection: &mut DB::Connection,
    group: GroupId,
    kind: EventKind,
    subject: &EventSubject,
    actor: UserId,
    now: Time,
    told: &mut Told,
) -> Result<()> {
    const BELOW: &str = " WHERE group_id IN (SELECT group_id FROM group_ancestors WHERE ancestor_id = $1)";
    sql::<DB>(
        "UPDATE projects SET last_event = last_event + 1, \
         latest_at = CASE WHEN latest_at > $2 THEN latest_at ELSE $2 END",
    )
    .push(BELOW)
    .bind(group.0)
    .bind(millis(now))
    .run(&mut *connection)
    .await
    .map_err(failed::<DB>)?;
    let projects = sql::<DB>(
        "INSERT INTO events (project_id, seq, kind, actor_id, created_at, payload) \
         SELECT id, last_event, CAST($2 AS TEXT), CAST($3 AS BIGINT), latest_at, CAST($4 AS TEXT) FROM projects",
    )
    .push(BELOW)
    .bind(group.0)
    .bind(kind.as_str().to_owned())
    .bind(actor.0)
    .bind(payload(subject).to_string())
    .push(" RETURNING project_id")
    .all::<(i64,)>(connection)
    .await
    .map_err(failed::<DB>)?;
    for (project,) in projects {
        told.note(ProjectId(project));
    }
    Ok(())
}

/// Up to `size` events of a project beyond `after`, in order.
pub async fn read<DB: Db>(
    connection: &mut DB::Connection,
    project: ProjectId,
    after: i64,
    size: i64,
) -> Result<LogPage> {
    let stmt = sql::<DB>("SELECT id, project_id, seq, kind, actor_id, created_at, payload")
        .push(MARK)
        .push(" FROM events")
        .push_bind(" WHERE project_id = ", project.0)
        .push_bind(" AND seq > ", after)
        .push_bind(" ORDER BY seq LIMIT ", size);
    let rows = stmt.all::<EventRow>(connection).await.map_err(failed::<DB>)?;
    Ok(LogPage {
        mark: rows.first().map(|row| Mark(row.mark)),
        events: rows.into_iter().map(Event::try_from).collect::<Result<_>>()?,
    })
}

/// The number of a project's last event, 0 where nothing has happened; none: there is no such project.
pub async fn last<DB: Db>(connection: &mut DB::Connection, project: ProjectId) -> Result<Option<i64>> {
    let stmt = sql::<DB>("SELECT last_event FROM projects WHERE id = $1").bind(project.0);
    let row = stmt.optional::<(i64,)>(connection).await.map_err(failed::<DB>)?;
    Ok(row.map(|(last,)| last))
}

/// What an event tells of a deployment; `before` is none for what did not exist, `after` for what does no longer.
pub fn deployment(
    deployment: &Deployment,
    before: Option<DeploymentStatus>,
    after: Option<DeploymentStatus>,
) -> EventSubject {
    EventSubject::Deployment {
        id: deployment.id,
        iid: deployment.iid,
        environment_id: deployment.environment.id,
        environment: deployment.environment.name.clone(),
        git_ref: deployment.git_ref.clone(),
        tag: deployment.tag,
        sha: deployment.sha.clone(),
        before,
        after,
        gate_bypassed: deployment.gate == GateState::Bypassed,
    }
}

/// What an event tells of an environment.
pub fn environment(
    environment: &Environment,
    before: Option<EnvironmentState>,
    after: Option<EnvironmentState>,
) -> EventSubject {
    EventSubject::Environment {
        id: environment.id,
        name: environment.name.clone(),
        tier: environment.tier,
        before,
        after,
    }
}

/// What an event tells of a protection.
pub fn protection(protection: &ProtectedEnvironment) -> EventSubject {
    let count = |entries: usize| i64::try_from(entries).unwrap_or(i64::MAX);
    EventSubject::Protection {
        name: protection.name.clone(),
        group_id: match protection.container {
            Container::Project(_) => None,
            Container::Group(id) => Some(id),
        },
        required_approval_count: protection.required_approval_count,
        deploy_access_levels: count(protection.deploy_access_levels.len()),
        approval_rules: count(protection.approval_rules.len()),
    }
}

/// A subject as the store keeps it.
pub fn payload(subject: &EventSubject) -> Value {
    match subject {
        EventSubject::Deployment {
            id,
            iid,
            environment_id,
            environment,
            git_ref,
            tag,
            sha,
            before,
            after,
            gate_bypassed,
        } => json!({
            "deployment_id": id.0,
            "iid": iid.0,
            "environment_id": environment_id.0,
            "environment": environment,
            "ref": git_ref,
            "tag": tag,
            "sha": sha,
            "before": before.map(DeploymentStatus::as_str),
            "after": after.map(DeploymentStatus::as_str),
            "gate_bypassed": gate_bypassed,
        }),
        EventSubject::Environment {
            id,
            name,
            tier,
            before,
            after,
        } => json!({
            "environment_id": id.0,
            "environment": name,
            "tier": tier.as_str(),
            "before": before.map(EnvironmentState::as_str),
            "after": after.map(EnvironmentState::as_str),
        }),
        EventSubject::Approval {
            deployment_id,
            iid,
            environment_id,
            environment,
            user_id,
            before,
            after,
            comment,
            represented_as,
            pending_approval_count,
        } => json!({
            "deployment_id": deployment_id.0,
            "iid": iid.0,
            "environment_id": environment_id.0,
            "environment": environment,
            "user_id": user_id.0,
            "before": before.map(ApprovalStatus::as_str),
            "after": after.as_str(),
            "comment": comment,
            "represented_as": represented_as,
            "pending_approval_count": pending_approval_count,
        }),
        EventSubject::Protection {
            name,
            group_id,
            required_approval_count,
            deploy_access_levels,
            approval_rules,
        } => json!({
            "name": name,
            "group_id": group_id.map(|id| id.0),
            "required_approval_count": required_approval_count,
            "deploy_access_levels": deploy_access_levels,
            "approval_rules": approval_rules,
        }),
    }
}

/// What `payload` writes about a deployment.
#[derive(Deserialize)]
struct DeploymentPayload {
    deployment_id: i64,
    iid: i64,
    environment_id: i64,
    environment: String,
    #[serde(rename = "ref")]
    git_ref: String,
    tag: bool,
    sha: String,
    before: Option<String>,
    after: Option<String>,
    /// Missing in what was written before there were gates.
    #[serde(default)]
    gate_bypassed: bool,
}

/// What `payload` writes about an environment.
#[derive(Deserialize)]
struct EnvironmentPayload {
    environment_id: i64,
    environment: String,
    tier: String,
    before: Option<String>,
    after: Option<String>,
}

/// What `payload` writes about a decision.
#[derive(Deserialize)]
struct ApprovalPayload {
    deployment_id: i64,
    iid: i64,
    environment_id: i64,
    environment: String,
    user_id: i64,
    before: Option<String>,
    after: String,
    comment: Option<String>,
    represented_as: String,
    pending_approval_count: i64,
}

/// What `payload` writes about a protection.
#[derive(Deserialize)]
struct ProtectionPayload {
    name: String,
    group_id: Option<i64>,
    required_approval_count: i64,
    deploy_access_levels: i64,
    approval_rules: i64,
}

/// A payload that is not what its kind says it is.
struct Unreadable;

fn read_json<T: DeserializeOwned>(payload: &str) -> std::result::Result<T, Unreadable> {
    serde_json::from_str(payload).map_err(|_| Unreadable)
}

/// A word of those that `parse` knows, where there is one.
fn word<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> std::result::Result<Option<T>, Unreadable> {
    text.map(|text| parse(text).ok_or(Unreadable)).transpose()
}

/// A subject out of what the store keeps: the way back from [`payload`].
fn subject(kind: EventKind, payload: &str) -> std::result::Result<EventSubject, Unreadable> {
    Ok(match kind {
        EventKind::DeploymentCreated | EventKind::DeploymentStatusChanged | EventKind::DeploymentDeleted => {
            let payload: DeploymentPayload = read_json(payload)?;
            EventSubject::Deployment {
                id: DeploymentId(payload.deployment_id),
                iid: Iid(payload.iid),
                environment_id: EnvironmentId(payload.environment_id),
                environment: payload.environment,
                git_ref: payload.git_ref,
                tag: payload.tag,
                sha: payload.sha,
                before: word(payload.before.as_deref(), DeploymentStatus::parse)?,
                after: word(payload.after.as_deref(), DeploymentStatus::parse)?,
                gate_bypassed: payload.gate_bypassed,
            }
        }
        EventKind::EnvironmentCreated | EventKind::EnvironmentUpdated | EventKind::EnvironmentDeleted => {
            let payload: EnvironmentPayload = read_json(payload)?;
            EventSubject::Environment {
                id: EnvironmentId(payload.environment_id),
                name: payload.environment,
                tier: EnvironmentTier::parse(&payload.tier).ok_or(Unreadable)?,
                before: word(payload.before.as_deref(), EnvironmentState::parse)?,
                after: word(payload.after.as_deref(), EnvironmentState::parse)?,
            }
        }
        EventKind::ApprovalSubmitted => {
            let payload: ApprovalPayload = read_json(payload)?;
            EventSubject::Approval {
                deployment_id: DeploymentId(payload.deployment_id),
                iid: Iid(payload.iid),
                environment_id: EnvironmentId(payload.environment_id),
                environment: payload.environment,
                user_id: UserId(payload.user_id),
                before: word(payload.before.as_deref(), ApprovalStatus::parse)?,
                after: ApprovalStatus::parse(&payload.after).ok_or(Unreadable)?,
                comment: payload.comment,
                represented_as: payload.represented_as,
                pending_approval_count: payload.pending_approval_count,
            }
        }
        EventKind::ProtectedEnvironmentCreated
        | EventKind::ProtectedEnvironmentUpdated
        | EventKind::ProtectedEnvironmentDeleted => {
            let payload: ProtectionPayload = read_json(payload)?;
            EventSubject::Protection {
                name: payload.name,
                group_id: payload.group_id.map(GroupId),
                required_approval_count: payload.required_approval_count,
                deploy_access_levels: payload.deploy_access_levels,
                approval_rules: payload.approval_rules,
            }
        }
    })
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self> {
        let bad = |column| inconsistent("events", column, row.id);
        let kind = EventKind::parse(&row.kind).ok_or_else(|| bad("kind"))?;
        Ok(Self {
            project_id: ProjectId(row.project_id),
            seq: row.seq,
            kind,
            actor_id: UserId(row.actor_id),
            created_at: time("events", "created_at", row.id, row.created_at)?,
            subject: subject(kind, &row.payload).map_err(|Unreadable| bad("payload"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: EventKind, payload: &str) -> EventRow {
        EventRow {
            id: 7,
            project_id: 1,
            seq: 2,
            kind: kind.as_str().to_owned(),
            actor_id: 3,
            created_at: 1_700_000_000_000,
            payload: payload.to_owned(),
            mark: 4,
        }
    }

    /// A subject with nothing left out, and one with everything left out that can be.
    fn subjects(kind: EventKind) -> [EventSubject; 2] {
        let (id, iid, environment_id) = (DeploymentId(41), Iid(4), EnvironmentId(5));
        [true, false].map(|full| match kind {
            EventKind::DeploymentCreated
            | EventKind::DeploymentStatusChanged
            | EventKind::DeploymentDeleted => EventSubject::Deployment {
                id,
                iid,
                environment_id,
                environment: "production".to_owned(),
                git_ref: "v\"1\"".to_owned(),
                tag: full,
                sha: "a91957a".to_owned(),
                before: full.then_some(DeploymentStatus::Blocked),
                after: full.then_some(DeploymentStatus::Success),
                gate_bypassed: full,
            },
            EventKind::EnvironmentCreated | EventKind::EnvironmentUpdated | EventKind::EnvironmentDeleted => {
                EventSubject::Environment {
                    id: environment_id,
                    name: "überall".to_owned(),
                    tier: EnvironmentTier::Staging,
                    before: full.then_some(EnvironmentState::Available),
                    after: full.then_some(EnvironmentState::Stopping),
                }
            }
            EventKind::ApprovalSubmitted => EventSubject::Approval {
                deployment_id: id,
                iid,
                environment_id,
                environment: "production".to_owned(),
                user_id: UserId(9),
                before: full.then_some(ApprovalStatus::Approved),
                after: ApprovalStatus::Rejected,
                comment: full.then(|| "no".to_owned()),
                represented_as: "security".to_owned(),
                pending_approval_count: 2,
            },
            EventKind::ProtectedEnvironmentCreated
            | EventKind::ProtectedEnvironmentUpdated
            | EventKind::ProtectedEnvironmentDeleted => EventSubject::Protection {
                name: "production".to_owned(),
                group_id: full.then_some(GroupId(6)),
                required_approval_count: 1,
                deploy_access_levels: 2,
                approval_rules: 3,
            },
        })
    }

    #[test]
    fn every_kind_of_event_is_read_as_it_was_written() {
        for kind in EventKind::ALL {
            for subject in subjects(kind) {
                let event = Event::try_from(row(kind, &payload(&subject).to_string())).unwrap();
                assert_eq!((event.kind, &event.subject), (kind, &subject));
                assert_eq!(
                    (
                        event.project_id,
                        event.seq,
                        event.actor_id,
                        event.created_at.timestamp()
                    ),
                    (ProjectId(1), 2, UserId(3), 1_700_000_000)
                );
            }
        }
    }

    #[test]
    fn what_was_written_before_there_were_gates_bypassed_none() {
        let old = r#"{"deployment_id":1,"iid":1,"environment_id":1,"environment":"x","ref":"main","tag":false,
            "sha":"a91957a","before":null,"after":"success"}"#;
        let event = Event::try_from(row(EventKind::DeploymentCreated, old)).unwrap();
        let EventSubject::Deployment { gate_bypassed, .. } = event.subject else {
            panic!("{event:?}")
        };
        assert!(!gate_bypassed);
    }

    #[test]
    fn an_impossible_row_is_a_defect_that_names_itself() {
        let kind = EventKind::EnvironmentCreated;
        let good = payload(&subjects(kind)[0]).to_string();
        let bad_kind = EventRow {
            kind: "party".to_owned(),
            ..row(kind, &good)
        };
        let bad_time = EventRow {
            created_at: i64::MAX,
            ..row(kind, &good)
        };
        for (row, wanted) in [
            (bad_kind, "kind"),
            (bad_time, "created_at"),
            (row(kind, "{"), "payload"),
            (row(kind, "{}"), "payload"),
            (row(kind, &good.replace("stopping", "gone")), "payload"),
            (row(kind, &good.replace("staging", "gone")), "payload"),
            (row(EventKind::ApprovalSubmitted, &good), "payload"),
        ] {
            match Event::try_from(row).unwrap_err() {
                StoreError::Inconsistent {
                    table: "events",
                    column,
                    id: 7,
                } => assert_eq!(column, wanted),
                other => panic!("{other:?}"),
            }
        }
    }
}
