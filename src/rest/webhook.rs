//! `/webhooks/gitlab/:id`: what an existing GitLab tells of merge requests (product decision 24).
//!
//! The webhook's secret token is a token of Gatehouse, best one of the scope `merge_requests`. GitLab names people by ids of
//! its own; they are known here by their usernames, as far as the event tells those and Gatehouse knows them. Only what the
//! event tells is changed.

use std::collections::BTreeMap;

use http::StatusCode;
use prost_types::{FieldMask, Timestamp};
use tonic::Code;

use super::{
    call::Call,
    error::Failure,
    input::{Field, Input},
    reply,
    route::Answer,
    words,
};
use crate::pb::v1::{
    Label, MergeRequestReport, MergeRequestState, TimeStats, UpsertMergeRequestRequest, UserRef,
    merge_request_service_client::MergeRequestServiceClient as Client, project_ref, user_ref,
};

/// The header that says what happened.
const EVENT: &str = "x-gitlab-event";
/// What it says of merge requests, from a project's or group's hook and from the whole server's.
const EVENTS: [&str; 2] = ["Merge Request Hook", "System Hook"];
/// What the body says of them.
const KIND: &str = "merge_request";

/// Records what the event tells.
pub(super) async fn receive(call: Call) -> Answer {
    let read = match &call.unread {
        Some(failure) => Err(failure.clone()),
        None => read(&call),
    };
    let (iid, report, told) = match read {
        Ok(event) => event,
        Err(failure) => return Err(authenticated(&call, failure).await),
    };
    let request = UpsertMergeRequestRequest {
        project: Some(call.project()),
        iid,
        merge_request: Some(report),
        update_mask: Some(told),
        skip_unknown_users: true,
        ..Default::default()
    };
    Client::new(call.channel())
        .upsert_merge_request(call.request(request))
        .await?;
    reply::message(StatusCode::OK, "200 OK")
}

/// The refusal of an event that makes no sense, for who has the secret; nobody else learns what is wrong with it. The
/// server is asked for nothing: it judges the token before it says that.
async fn authenticated(call: &Call, failure: Failure) -> Failure {
    let nothing = UpsertMergeRequestRequest {
        validate_only: true,
        ..Default::default()
    };
    match Client::new(call.channel())
        .upsert_merge_request(call.request(nothing))
        .await
    {
        Err(status) if status.code() != Code::InvalidArgument => status.into(),
        _ => failure,
    }
}

/// The number of the merge request, what is told of it, and which fields that are.
fn read(call: &Call) -> Result<(i64, MergeRequestReport, FieldMask), Failure> {
    let mut input = call.input();
    let event = call.headers.get(EVENT).map(http::HeaderValue::as_bytes);
    if event.is_some_and(|event| !EVENTS.iter().any(|known| known.as_bytes() == event)) {
        input.refuse("X-Gitlab-Event does not have a valid value");
    }
    let kind = input.required_text("object_kind");
    if kind != KIND {
        input.refuse("object_kind does not have a valid value");
    }
    let mut people = People::default();
    let actor = people.read_one(&mut input, "user");
    let assignees = people.read_all(&mut input, "assignees");
    let reviewers = people.read_all(&mut input, "reviewers");
    let labels = labels(&mut input);
    let attributes = input.members("object_attributes", Attributes::read);
    if attributes.is_none() {
        input.refuse("object_attributes is missing");
    }
    input.finish()?;
    let Some(attributes) = attributes else {
        return Err(Failure::internal("an event without attributes was not refused"));
    };
    let iid = attributes.iid;
    let mut told = Told::default();
    let project = match call.project().by {
        Some(project_ref::By::Id(id)) => Some(id),
        _ => None,
    };
    attributes.tell(&mut told, project, &people, actor);
    told.set_if(assignees, "assignees", |report, people| report.assignees = people);
    told.set_if(reviewers, "reviewers", |report, people| report.reviewers = people);
    told.set_if(labels, "labels", |report, labels| report.labels = labels);
    let mask = FieldMask { paths: told.paths };
    Ok((iid, told.report, mask))
}

/// A report in the making, and what of it is told.
#[derive(Default)]
struct Told {
    report: MergeRequestReport,
    paths: Vec<String>,
}

impl Told {
    fn set(&mut self, path: &str, set: impl FnOnce(&mut MergeRequestReport)) {
        set(&mut self.report);
        self.paths.push(path.to_owned());
    }

    fn set_if<T>(&mut self, value: Option<T>, path: &str, set: impl FnOnce(&mut MergeRequestReport, T)) {
        if let Some(value) = value {
            self.set(path, |report| set(report, value));
        }
    }
}

fn named(username: &str) -> UserRef {
    UserRef {
        by: Some(user_ref::By::Username(username.to_owned())),
    }
}

/// The usernames of those whom the event names, by their ids in GitLab.
#[derive(Default)]
struct People(BTreeMap<i64, String>);

impl People {
    fn note(&mut self, (id, username): (Option<i64>, Option<String>)) -> Option<String> {
        let username = username.filter(|name| !name.is_empty())?;
        if let Some(id) = id {
            self.0.insert(id, username.clone());
        }
        Some(username)
    }

    fn read_one(&mut self, input: &mut Input<'_>, name: &str) -> Option<String> {
        let person = input.members(name, person)?;
        self.note(person)
    }

    /// Those of a list; none where the event has no such list.
    fn read_all(&mut self, input: &mut Input<'_>, name: &str) -> Option<Vec<UserRef>> {
        if !input.mentions(name) {
            return None;
        }
        let people = input.elements(name, person);
        let names = people.into_iter().filter_map(|person| self.note(person));
        Some(names.map(|username| named(&username)).collect())
    }
}

fn person(input: &mut Input<'_>) -> (Option<i64>, Option<String>) {
    (input.integer("id"), input.text("username").given())
}

fn labels(input: &mut Input<'_>) -> Option<Vec<Label>> {
    if !input.mentions("labels") {
        return None;
    }
    Some(input.elements("labels", |input| Label {
        name: one_line(&input.filled_text("title")),
        color: input.text("color").given().unwrap_or_default(),
        description: input.text("description").given().unwrap_or_default(),
        ..Label::default()
    }))
}

/// Text without line breaks and other characters that control something: GitLab lets them pass, titles here are one line.
fn one_line(text: &str) -> String {
    let line = text.replace(|c: char| c.is_control(), " ");
    line.trim().to_owned()
}

/// What the event tells of the merge request itself.
struct Attributes {
    iid: i64,
    title: String,
    description: Field<String>,
    state: MergeRequestState,
    action: String,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    source_branch: String,
    target_branch: String,
    /// Whether it comes from the project that it goes into.
    own_branch: bool,
    head: Option<String>,
    merge_commit_sha: Field<String>,
    squash_commit_sha: Field<String>,
    author_id: Option<i64>,
    merge_user_id: Option<i64>,
    merge_status: Option<String>,
    detailed_merge_status: Option<String>,
    merge_when_pipeline_succeeds: Option<bool>,
    blocking_discussions_resolved: Option<bool>,
    discussion_locked: Option<bool>,
    force_remove_source_branch: Option<bool>,
    time_estimate: Option<i64>,
    total_time_spent: Option<i64>,
    url: Option<String>,
}

impl Attributes {
    fn read(input: &mut Input<'_>) -> Self {
        let iid = input.integer("iid").unwrap_or_default();
        if iid < 1 {
            let label = input.label("iid");
            input.refuse(format!("{label} does not have a valid value"));
        }
        let source = input.integer("source_project_id");
        let head = input.members("last_commit", |input| input.text("id").given());
        let force = input.members("merge_params", |input| {
            input.boolean("force_remove_source_branch")
        });
        Self {
            iid,
            title: one_line(&input.filled_text("title")),
            description: input.text("description"),
            state: input.required_choice("state", words::MERGE_REQUEST_STATES),
            action: input.text("action").given().unwrap_or_default(),
            created_at: input.time("created_at"),
            updated_at: input.time("updated_at"),
            source_branch: input.filled_text("source_branch"),
            target_branch: input.filled_text("target_branch"),
            own_branch: source.is_some() && source == input.integer("target_project_id"),
            head: head.flatten(),
            merge_commit_sha: input.text("merge_commit_sha"),
            squash_commit_sha: input.text("squash_commit_sha"),
            author_id: input.integer("author_id"),
            merge_user_id: input.integer("merge_user_id"),
            merge_status: input.text("merge_status").given(),
            detailed_merge_status: input.text("detailed_merge_status").given(),
            merge_when_pipeline_succeeds: input.boolean("merge_when_pipeline_succeeds"),
            blocking_discussions_resolved: input.boolean("blocking_discussions_resolved"),
            discussion_locked: input.boolean("discussion_locked"),
            force_remove_source_branch: force.flatten(),
            time_estimate: input.integer("time_estimate"),
            total_time_spent: input.integer("total_time_spent"),
            url: input.text("url").given(),
        }
    }

    fn tell(self, told: &mut Told, project: Option<i64>, people: &People, actor: Option<String>) {
        let actor = actor.map(|username| named(&username));
        let by_id = |id: Option<i64>| {
            id.and_then(|id| people.0.get(&id))
                .map(|username| named(username))
        };
        told.set("title", |report| report.title = self.title);
        told.set("state", |report| report.state = self.state.into());
        told.set("source_branch", |report| {
            report.source_branch = self.source_branch;
        });
        told.set("target_branch", |report| {
            report.target_branch = self.target_branch;
        });
        let description = self.description.or_cleared(String::new());
        told.set_if(description, "description", |report, text| {
            report.description = text;
        });
        told.set_if(self.created_at, "created_at", |report, at| {
            report.created_at = Some(at);
        });
        told.set_if(self.updated_at, "updated_at", |report, at| {
            report.updated_at = Some(at);
        });
        told.set_if(self.head, "sha", |report, id| report.sha = id);
        let merge = self.merge_commit_sha.or_cleared(String::new());
        told.set_if(merge, "merge_commit_sha", |report, id| {
            report.merge_commit_sha = id;
        });
        let squash = self.squash_commit_sha.or_cleared(String::new());
        told.set_if(squash, "squash_commit_sha", |report, id| {
            report.squash_commit_sha = id;
        });
        let author = by_id(self.author_id);
        told.set_if(author, "author", |report, user| report.author = Some(user));
        match (self.state, self.action.as_str()) {
            (MergeRequestState::Merged, "merge") => {
                let merged_by = by_id(self.merge_user_id).or(actor);
                told.set_if(merged_by, "merged_by", |report, user| {
                    report.merged_by = Some(user);
                });
                told.set_if(self.updated_at, "merged_at", |report, at| {
                    report.merged_at = Some(at);
                });
            }
            (MergeRequestState::Closed, "close") => {
                told.set_if(actor, "closed_by", |report, user| report.closed_by = Some(user));
                told.set_if(self.updated_at, "closed_at", |report, at| {
                    report.closed_at = Some(at);
                });
            }
            _ => {}
        }
        told.set_if(self.merge_status, "merge_status", |report, word| {
            report.merge_status = word;
        });
        told.set_if(
            self.detailed_merge_status,
            "detailed_merge_status",
            |report, word| {
                report.detailed_merge_status = word;
            },
        );
        told.set_if(
            self.merge_when_pipeline_succeeds,
            "merge_when_pipeline_succeeds",
            |report, flag| report.merge_when_pipeline_succeeds = flag,
        );
        told.set_if(
            self.blocking_discussions_resolved,
            "blocking_discussions_resolved",
            |report, flag| report.blocking_discussions_resolved = Some(flag),
        );
        told.set_if(self.discussion_locked, "discussion_locked", |report, flag| {
            report.discussion_locked = Some(flag);
        });
        told.set_if(
            self.force_remove_source_branch,
            "force_remove_source_branch",
            |report, flag| report.force_remove_source_branch = Some(flag),
        );
        // They are told together or not at all: half of them would take the other half away.
        if let (Some(time_estimate), Some(total_time_spent)) = (self.time_estimate, self.total_time_spent) {
            let stats = TimeStats {
                time_estimate,
                total_time_spent,
            };
            told.set("time_stats", |report| report.time_stats = Some(stats));
        }
        told.set_if(self.url, "web_url", |report, url| report.web_url = url);
        // A fork is a project that is not known here; and of the project itself the event tells GitLab's id.
        let source = if self.own_branch {
            project.map(Some)
        } else {
            Some(None)
        };
        told.set_if(source, "source_project_id", |report, id| {
            report.source_project_id = id;
        });
    }
}
