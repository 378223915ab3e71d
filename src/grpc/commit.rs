//! Commits as messages, both ways.

use super::convert;
use crate::{
    domain::{
        commit::{Commit, LocalTime},
        error::Error,
    },
    pb::v1 as pb,
};

fn local_time(at: LocalTime) -> pb::LocalTime {
    pb::LocalTime {
        time: Some(convert::timestamp(at.time)),
        utc_offset_minutes: at.offset_minutes,
    }
}

fn read_local_time(field: &str, at: Option<pb::LocalTime>) -> Result<LocalTime, Error> {
    let missing = || Error::argument(field, "is missing");
    let at = at.ok_or_else(missing)?;
    Ok(LocalTime {
        time: convert::time(field, at.time.ok_or_else(missing)?)?,
        offset_minutes: at.utc_offset_minutes,
    })
}

/// A commit.
pub fn commit(commit: &Commit) -> pb::Commit {
    pb::Commit {
        id: commit.id.clone(),
        parent_ids: commit.parent_ids.clone(),
        message: commit.message.clone(),
        author_name: commit.author_name.clone(),
        author_email: commit.author_email.clone(),
        authored_at: Some(local_time(commit.authored_at)),
        committer_name: commit.committer_name.clone(),
        committer_email: commit.committer_email.clone(),
        committed_at: Some(local_time(commit.committed_at)),
        web_url: commit.web_url.clone(),
    }
}

/// The commits that are sent with a deployment.
pub fn read_sent(commits: Vec<pb::Commit>) -> Result<Vec<Commit>, Error> {
    let read = |(index, sent): (usize, pb::Commit)| {
        let field = format!("commits[{index}]");
        Ok(Commit {
            id: sent.id,
            parent_ids: sent.parent_ids,
            message: sent.message,
            author_name: sent.author_name,
            author_email: sent.author_email,
            authored_at: read_local_time(&format!("{field}.authored_at"), sent.authored_at)?,
            committer_name: sent.committer_name,
            committer_email: sent.committer_email,
            committed_at: read_local_time(&format!("{field}.committed_at"), sent.committed_at)?,
            web_url: sent.web_url,
        })
    };
    commits.into_iter().enumerate().map(read).collect()
}
