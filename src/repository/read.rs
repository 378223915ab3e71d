//! What a repository says of names and commits.

use std::collections::HashSet;

use gix::{ObjectId, Repository, bstr::BStr, hash::Prefix, objs::Kind, refs::PartialName};

use super::{Inspection, Problem};
use crate::domain::{
    Time,
    commit::{Commit, LocalTime},
};

/// The longest offset from UTC, in minutes, that a time can have.
const OFFSET_MAX: i32 = 24 * 60 - 1;
/// The years that a time may be in; what lies outside is nobody's clock.
const YEARS_SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

/// What the repository is.
pub fn inspect(repository: &Repository) -> Result<Inspection, Problem> {
    Ok(Inspection {
        object_format: repository.object_hash().to_string(),
        shallow: repository.is_shallow().map_err(Problem::reading)?,
    })
}

/// The commit that a name stands for, if there is one.
pub fn resolve(repository: &Repository, name: &str) -> Result<Option<Commit>, Problem> {
    let id = match full_id(repository, name) {
        Some(id) => peeled(repository, id)?,
        None => match named(repository, name)? {
            Some(id) => Some(id),
            None => abbreviated(repository, name)?,
        },
    };
    id.map(|id| describe(repository, id)).transpose()
}

/// The commit with a full id, if there is one.
pub fn commit(repository: &Repository, id: &str) -> Result<Option<Commit>, Problem> {
    let Some(id) = full_id(repository, id) else {
        return Ok(None);
    };
    let id = peeled(repository, id)?.filter(|found| *found == id);
    id.map(|id| describe(repository, id)).transpose()
}

/// A full id, of the kind of this repository.
pub fn full_id(repository: &Repository, text: &str) -> Option<ObjectId> {
    let id = ObjectId::from_hex(text.as_bytes()).ok()?;
    (id.kind() == repository.object_hash()).then_some(id)
}

/// The commit that an object is, or that a tag leads to.
pub fn peeled(repository: &Repository, id: ObjectId) -> Result<Option<ObjectId>, Problem> {
    let Some(object) = repository.try_find_object(id).map_err(Problem::reading)? else {
        return Ok(None);
    };
    // What a tag leads to may be gone.
    let end = match object.peel_tags_to_end() {
        Ok(end) => end,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(Problem::reading(error)),
    };
    Ok((end.kind == Kind::Commit).then_some(end.id))
}

/// The commit of a branch, a tag, or whatever else git finds by the name.
fn named(repository: &Repository, name: &str) -> Result<Option<ObjectId>, Problem> {
    let Ok(name) = PartialName::try_from(name) else {
        return Ok(None);
    };
    let found = repository.try_find_reference(&name).map_err(Problem::reading)?;
    let Some(mut reference) = found else {
        return Ok(None);
    };
    match reference.follow_to_object() {
        Ok(id) => peeled(repository, id.detach()),
        // The branch of HEAD may not have been born.
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(Problem::reading(error)),
    }
}

/// The one commit whose id begins so.
fn abbreviated(repository: &Repository, digits: &str) -> Result<Option<ObjectId>, Problem> {
    // Filled up to a whole id of this repository's kind: by itself a beginning does not tell which it is.
    let length = repository.object_hash().len_in_hex();
    if !(Prefix::MIN_HEX_LEN..length).contains(&digits.len()) {
        return Ok(None);
    }
    let Some(first) = full_id(repository, &format!("{digits:0<length$}")) else {
        return Ok(None);
    };
    let prefix = Prefix::new(&first, digits.len()).map_err(Problem::reading)?;
    let mut candidates = HashSet::new();
    repository
        .objects
        .lookup_prefix(prefix, Some(&mut candidates))
        .map_err(Problem::reading)?;
    let mut found = None;
    for id in candidates {
        let header = repository.find_header(id).map_err(Problem::reading)?;
        if header.kind() == Kind::Commit && found.replace(id).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}

fn text(bytes: &BStr) -> String {
    // A database may refuse what no text has.
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

fn local(time: Option<gix::date::Time>) -> LocalTime {
    let time = time.filter(|time| YEARS_SECONDS.contains(&time.seconds));
    LocalTime {
        time: time
            .and_then(|time| Time::from_timestamp(time.seconds, 0))
            .unwrap_or_default(),
        offset_minutes: time.map_or(0, |time| (time.offset / 60).clamp(-OFFSET_MAX, OFFSET_MAX)),
    }
}

/// What a commit says. What it says that cannot be, such as a time that is none, is left at nothing.
fn describe(repository: &Repository, id: ObjectId) -> Result<Commit, Problem> {
    let found = repository.find_commit(id).map_err(Problem::reading)?;
    let decoded = found.decode().map_err(Problem::reading)?;
    let author = decoded.author().map_err(Problem::reading)?;
    let committer = decoded.committer().map_err(Problem::reading)?;
    Ok(Commit {
        id: id.to_string(),
        parent_ids: decoded.parents().map(|parent| parent.to_string()).collect(),
        message: text(decoded.message),
        author_name: text(author.name),
        author_email: text(author.email),
        authored_at: local(author.time().ok()),
        committer_name: text(committer.name),
        committer_email: text(committer.email),
        committed_at: local(committer.time().ok()),
        web_url: None,
    })
}
