//! What a deployment brings: the commits and merge requests between the success before it and itself (contract 1.5).

use super::{App, deployment};
use crate::{
    domain::{
        access::{Caller, ProjectAction},
        commit::Commit,
        deployment::{Deployment, DeploymentStatus},
        error::{Error, Reason},
        id::{DeploymentId, EnvironmentKey, ProjectKey},
        link::{LinkTask, Revision},
        merge_request::{
            self, MergeRequest,
            query::{MergeRequestFilter, MergeRequestOrder, MergeRequestQuery},
        },
        page::{Direction, PageRequest},
    },
    repository::Range,
};

/// The most merge requests that are shown.
const MERGE_REQUESTS_MAX: i64 = 100;

/// Where the commits are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the project's repository.
    Repository,
    /// They were sent with the deployment.
    Sent,
    /// Nowhere.
    Unknown,
}

/// What a deployment brings.
#[derive(Debug)]
pub struct Changes {
    /// The success before it.
    pub base: Option<Deployment>,
    /// Where the commits are known from.
    pub source: Source,
    /// A page of them.
    pub commits: Vec<Commit>,
    /// How many there are.
    pub commit_count: usize,
    /// The last one of the page, if more follow.
    pub next: Option<String>,
    /// How many it takes away.
    pub removed: i64,
    /// The merge requests, the latest first.
    pub merge_requests: Vec<MergeRequest>,
    /// How many there are, if no more than 10,000.
    pub merge_request_count: Option<i64>,
}

/// The commits in question, of which a page is to be shown.
enum Known {
    /// By their ids, in the repository at this path.
    Ids(String, Vec<String>),
    /// As they were sent.
    Sent(Vec<Commit>),
}

impl App {
    /// What a deployment brings, or will bring if it is let go; the commits from behind `after` on, so many at most.
    pub async fn deployment_changes(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        id: DeploymentId,
        size: i64,
        after: Option<&str>,
    ) -> Result<Changes, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        let found = self.store.deployment_find(view.project.id, id).await?;
        let deployment = found.ok_or_else(|| deployment::not_found(id))?;
        let base = self.store.deployment_before(&deployment).await?;
        let sent = self.store.deployment_commits(id).await?;
        let repository = view.project.repository;
        let task = LinkTask::of(&deployment, repository, base.as_ref(), &sent, self.now());
        let range = self.range_of(&task).await?;

        let removed = range.as_ref().map_or(0, |range| range.removed);
        let ids = range.map(|range| range.ids);
        let known = self.known(&task, ids.clone(), sent).await?;
        let (source, commits, commit_count, next) = self.page_of(known, size, after).await?;
        let (merge_requests, merge_request_count) = self.brought(caller, &deployment, &task, ids).await?;
        Ok(Changes {
            base,
            source,
            commits,
            commit_count,
            next,
            removed,
            merge_requests,
            merge_request_count,
        })
    }

    /// The commits that the deployment brings. Of the first one to an environment everything is new; its own commit
    /// stands for that.
    async fn known(
        &self,
        task: &LinkTask,
        ids: Option<Vec<String>>,
        sent: Vec<Commit>,
    ) -> Result<Option<Known>, Error> {
        if let Some(path) = &task.repository {
            if let Some(ids) = ids {
                return Ok(Some(Known::Ids(path.clone(), ids)));
            }
            if let (None, Some(own)) = (&task.previous, self.commit_of(path, &task.revision).await?) {
                return Ok(Some(Known::Ids(path.clone(), vec![own])));
            }
        }
        Ok((!sent.is_empty()).then_some(Known::Sent(sent)))
    }

    async fn page_of(
        &self,
        known: Option<Known>,
        size: i64,
        after: Option<&str>,
    ) -> Result<(Source, Vec<Commit>, usize, Option<String>), Error> {
        let ids: Vec<String> = match &known {
            None => Vec::new(),
            Some(Known::Ids(_, ids)) => ids.clone(),
            Some(Known::Sent(sent)) => sent.iter().map(|commit| commit.id.clone()).collect(),
        };
        let from = match after {
            None => 0,
            // Another deployment may have come between: then what was walked along is no more.
            Some(last) => ids
                .iter()
                .position(|id| id == last)
                .map(|place| place + 1)
                .ok_or_else(|| {
                    Error::new(
                        Reason::InvalidPageToken,
                        "the commits are others by now: begin anew",
                    )
                })?,
        };
        let count = ids.len();
        let upto = count.min(from.saturating_add(usize::try_from(size).unwrap_or(0)));
        let next = (upto < count && upto > from).then(|| ids[upto - 1].clone());
        let (source, commits) = match known {
            None => (Source::Unknown, Vec::new()),
            Some(Known::Ids(path, _)) => {
                let found = self.repositories.commits(&path, ids[from..upto].to_vec()).await?;
                (Source::Repository, found.into_iter().flatten().collect())
            }
            Some(Known::Sent(sent)) => (Source::Sent, sent[from..upto].to_vec()),
        };
        Ok((source, commits, count, next))
    }

    /// The merge requests: of a success those linked, of anything else those that would be.
    async fn brought(
        &self,
        caller: &Caller,
        deployment: &Deployment,
        task: &LinkTask,
        ids: Option<Vec<String>>,
    ) -> Result<(Vec<MergeRequest>, Option<i64>), Error> {
        let (shipped_by, count, iids) = if deployment.status == DeploymentStatus::Success {
            (Some(deployment.id), None, Vec::new())
        } else {
            let key = EnvironmentKey::Id(task.environment);
            let environment = self.store.environment_find(task.project, &key).await?;
            let is_linked = environment
                .is_some_and(|environment| merge_request::is_linked(&environment.name, environment.tier));
            if !is_linked {
                return Ok((Vec::new(), Some(0)));
            }
            let shipped = task.shipped(ids);
            let found = self
                .store
                .link_preview(task.project, task.environment, &shipped)
                .await?;
            let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
            let shown = usize::try_from(MERGE_REQUESTS_MAX).unwrap_or(usize::MAX);
            (None, Some(count), found.into_iter().take(shown).collect())
        };
        if count == Some(0) {
            return Ok((Vec::new(), Some(0)));
        }
        let query = MergeRequestQuery {
            filter: MergeRequestFilter {
                iids,
                ..MergeRequestFilter::default()
            },
            viewer: caller.id(),
            order: MergeRequestOrder::default(),
            direction: Direction::Descending,
        };
        let page = PageRequest {
            size: MERGE_REQUESTS_MAX,
            after: None,
            skip: 0,
            want_total: true,
        };
        let page = self
            .store
            .merge_request_list(task.project, shipped_by, &query, &page)
            .await?;
        Ok((page.items, count.or(page.total)))
    }

    /// What the repository has between the success before and the deployment, if it has both.
    pub(super) async fn range_of(&self, task: &LinkTask) -> Result<Option<Range>, Error> {
        let (Some(path), Some((_, previous))) = (&task.repository, &task.previous) else {
            return Ok(None);
        };
        let base = self.commit_of(path, previous).await?;
        let head = self.commit_of(path, &task.revision).await?;
        match (base, head) {
            (Some(base), Some(head)) => self.repositories.range(path, &base, &head).await,
            _ => Ok(None),
        }
    }

    /// The full id of a deployment's commit. One that was recorded before the repository was attached is looked up.
    async fn commit_of(&self, path: &str, revision: &Revision) -> Result<Option<String>, Error> {
        if let Some(commit) = &revision.commit {
            return Ok(Some(commit.clone()));
        }
        let found = self
            .repositories
            .resolve(path, vec![revision.sha.clone()])
            .await?;
        Ok(found.into_iter().flatten().next().map(|commit| commit.id))
    }
}
