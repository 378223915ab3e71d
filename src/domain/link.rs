//! Linking: which merge requests a successful deployment shipped (contract 1.5, decision 12).

use super::{
    Time,
    commit::Commit,
    deployment::Deployment,
    id::{DeploymentId, EnvironmentId, ProjectId},
};

/// How often linking one deployment is put off for longer and longer: beyond, it is tried again at the longest interval.
const PUT_OFF_DOUBLINGS: u32 = 9;
/// The shortest interval, in seconds.
const PUT_OFF_SECONDS: i64 = 1;

/// A deployment's commit: as it was sent, and its full id where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The commit, as sent.
    pub sha: String,
    /// The full id.
    pub commit: Option<String>,
}

impl Revision {
    /// A deployment's.
    fn of(deployment: &Deployment) -> Self {
        Self {
            sha: deployment.sha.clone(),
            commit: deployment.commit_id.clone(),
        }
    }
}

/// A successful deployment that is to be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTask {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its project.
    pub project: ProjectId,
    /// The repository attached to the project.
    pub repository: Option<String>,
    /// Where it went.
    pub environment: EnvironmentId,
    /// The branch or tag.
    pub git_ref: String,
    /// Its commit.
    pub revision: Revision,
    /// When it succeeded.
    pub finished_at: Time,
    /// The successful deployment before it: the greatest lower id in the environment.
    pub previous: Option<(DeploymentId, Revision)>,
    /// The commits that were sent with it, by their full ids.
    pub sent: Vec<String>,
    /// How often it was tried.
    pub attempts: u32,
}

/// By what merge requests are found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shipped {
    /// By these commits, full ids.
    pub commits: Vec<String>,
    /// By the one commit whose id begins so.
    pub abbreviated: Option<String>,
    /// By having been merged into this branch, by this time.
    pub merged_into: Option<(String, Time)>,
}

impl LinkTask {
    /// The task for a deployment of a project with this repository, `previous` being the success before it and `sent` what
    /// was sent with it. What has not finished would finish now.
    pub fn of(
        deployment: &Deployment,
        repository: Option<String>,
        previous: Option<&Deployment>,
        sent: &[Commit],
        now: Time,
    ) -> Self {
        Self {
            deployment: deployment.id,
            project: deployment.project_id,
            repository,
            environment: deployment.environment.id,
            git_ref: deployment.git_ref.clone(),
            revision: Revision::of(deployment),
            finished_at: deployment.finished_at.unwrap_or(now),
            previous: previous.map(|previous| (previous.id, Revision::of(previous))),
            sent: sent.iter().map(|commit| commit.id.clone()).collect(),
            attempts: 0,
        }
    }

    /// By what to find the merge requests; `range` is what the repository has between the previous deployment and this
    /// one, where there are both.
    ///
    /// Nothing but the branch tells what the first deployment to an environment brought; what was sent with it counts
    /// all the same. Where the repository does not have one of the two commits, only what is known for sure counts.
    pub fn shipped(&self, range: Option<Vec<String>>) -> Shipped {
        let merged_into = match self.previous {
            None => Some((self.git_ref.clone(), self.finished_at)),
            Some(_) => None,
        };
        let (commits, abbreviated) = match range {
            Some(commits) => (commits, None),
            None if self.previous.is_none() && self.repository.is_some() => (Vec::new(), None),
            None => self.known(),
        };
        Shipped {
            commits,
            abbreviated,
            merged_into,
        }
    }

    /// The commits that are known without a repository: those sent, and its own.
    fn known(&self) -> (Vec<String>, Option<String>) {
        let mut commits = self.sent.clone();
        match &self.revision.commit {
            Some(own) => {
                if !commits.contains(own) {
                    commits.push(own.clone());
                }
                (commits, None)
            }
            None => (commits, Some(self.revision.sha.to_lowercase())),
        }
    }

    /// When to try again after a failure.
    pub fn due_again(&self, now: Time) -> Time {
        let doublings = self.attempts.min(PUT_OFF_DOUBLINGS);
        now + chrono::TimeDelta::seconds(PUT_OFF_SECONDS << doublings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        std::iter::repeat_n(digit, 40).collect()
    }

    fn revision(sha: &str) -> Revision {
        Revision {
            sha: sha.to_owned(),
            commit: (sha.len() == 40).then(|| sha.to_owned()),
        }
    }

    fn task(sha: &str, previous: Option<&str>, repository: bool) -> LinkTask {
        LinkTask {
            deployment: DeploymentId(2),
            project: ProjectId(1),
            repository: repository.then(|| "web.git".to_owned()),
            environment: EnvironmentId(1),
            git_ref: "main".to_owned(),
            revision: revision(sha),
            finished_at: Time::UNIX_EPOCH,
            previous: previous.map(|sha| (DeploymentId(1), revision(sha))),
            sent: vec![id('5')],
            attempts: 0,
        }
    }

    #[test]
    fn what_shipped_is_told_by_the_history_the_branch_or_what_was_sent() {
        let branch = Some(("main".to_owned(), Time::UNIX_EPOCH));
        let (own, old, range) = (id('a'), id('b'), vec![id('a'), id('c')]);
        for (task, range, commits, abbreviated, merged_into) in [
            // With a repository: along the history, or, for the first, by the branch alone.
            (
                task(&own, Some(&old), true),
                Some(range.clone()),
                range,
                None,
                None,
            ),
            (
                task(&own, Some(&own), true),
                Some(Vec::new()),
                Vec::new(),
                None,
                None,
            ),
            (task(&own, None, true), None, Vec::new(), None, branch.clone()),
            // A commit is gone from it: what was sent, and its own.
            (
                task(&own, Some(&old), true),
                None,
                vec![id('5'), own.clone()],
                None,
                None,
            ),
            // Without one.
            (
                task(&own, Some(&old), false),
                None,
                vec![id('5'), own.clone()],
                None,
                None,
            ),
            (
                task(&own, None, false),
                None,
                vec![id('5'), own.clone()],
                None,
                branch.clone(),
            ),
            (
                task("ABC1234", None, false),
                None,
                vec![id('5')],
                Some("abc1234".to_owned()),
                branch,
            ),
            (task(&id('5'), Some(&old), false), None, vec![id('5')], None, None),
        ] {
            let wanted = Shipped {
                commits,
                abbreviated,
                merged_into,
            };
            assert_eq!(task.shipped(range), wanted, "{task:?}");
        }
    }

    #[test]
    fn linking_that_fails_is_put_off_for_longer_and_longer_but_never_given_up() {
        let delay = |attempts| {
            let task = LinkTask {
                attempts,
                ..task("abc1234", None, false)
            };
            (task.due_again(Time::UNIX_EPOCH) - Time::UNIX_EPOCH).num_seconds()
        };
        assert_eq!([delay(0), delay(1), delay(2)], [1, 2, 4]);
        assert_eq!(delay(9), 512);
        assert_eq!(delay(u32::MAX), 512);
    }
}
