//! Commits: what a repository or a caller tells of them.

use chrono::{DateTime, FixedOffset};

use super::{
    Time,
    error::{Error, Violations},
    text,
};

/// How many digits of its id a commit is called by in short.
const SHORT: usize = 8;
/// The most characters that a message may have.
const MESSAGE_MAX: usize = 1_048_576;
/// The most characters of a URL.
const URL_MAX: usize = 2_048;
/// The most minutes that a clock can be away from UTC.
const OFFSET_MAX: i32 = 24 * 60 - 1;

/// A time as the clock of whoever wrote it showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// When.
    pub time: Time,
    /// How far that clock was ahead of UTC, in minutes.
    pub offset_minutes: i32,
}

impl LocalTime {
    /// The time with its offset; none where there can be no such offset.
    pub fn with_offset(self) -> Option<DateTime<FixedOffset>> {
        let offset = FixedOffset::east_opt(self.offset_minutes.checked_mul(60)?)?;
        Some(self.time.with_timezone(&offset))
    }
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The full id, in lower case.
    pub id: String,
    /// The full ids of its parents.
    pub parent_ids: Vec<String>,
    /// The whole message, as written.
    pub message: String,
    /// Who wrote the change.
    pub author_name: String,
    /// Their address.
    pub author_email: String,
    /// When they wrote it.
    pub authored_at: LocalTime,
    /// Who made the commit.
    pub committer_name: String,
    /// Their address.
    pub committer_email: String,
    /// When they made it.
    pub committed_at: LocalTime,
    /// Where it can be looked at.
    pub web_url: Option<String>,
}

/// Whether this is the full id of an object: 40 or 64 lower-case hexadecimal digits.
pub fn is_full_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Commit {
    /// The first line of the message.
    pub fn title(&self) -> &str {
        self.message.split('\n').next().unwrap_or_default()
    }

    /// The first digits of the id.
    pub fn short_id(&self) -> &str {
        self.id.get(..SHORT).unwrap_or(&self.id)
    }

    /// Checks a commit that a caller tells of; `field` is where it stands in the request.
    pub fn check(&self, field: &str) -> Result<(), Error> {
        let refuse = |part: &str, text: &str| Err(Error::argument(format!("{field}.{part}"), text));
        let mut violations = Violations::default();
        if !is_full_id(&self.id) {
            violations.check::<()>(refuse("id", "is not a full commit id in lower case"));
        }
        if !self.parent_ids.iter().all(|id| is_full_id(id)) {
            violations.check::<()>(refuse("parent_ids", "are not full commit ids in lower case"));
        }
        if self.message.chars().count() > MESSAGE_MAX {
            violations.check::<()>(refuse("message", "is too long (maximum is 1048576 characters)"));
        }
        if self.message.contains('\0') {
            violations.check::<()>(refuse("message", "can't contain NUL"));
        }
        if let Some(url) = &self.web_url
            && (url.chars().count() > URL_MAX || text::harmless_url("web_url", url).is_err())
        {
            violations.check::<()>(refuse("web_url", "is not a URL of at most 2048 characters"));
        }
        for (part, value) in [
            ("author_name", &self.author_name),
            ("author_email", &self.author_email),
            ("committer_name", &self.committer_name),
            ("committer_email", &self.committer_email),
        ] {
            if value.chars().count() > text::NAME_MAX || value.chars().any(char::is_control) {
                violations.check::<()>(refuse(part, "is invalid"));
            }
        }
        for (part, at) in [
            ("authored_at", self.authored_at),
            ("committed_at", self.committed_at),
        ] {
            if at.offset_minutes.abs() > OFFSET_MAX {
                violations.check::<()>(refuse(part, "has no such offset from UTC"));
            }
        }
        violations.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let at = LocalTime {
            time: Time::UNIX_EPOCH,
            offset_minutes: 120,
        };
        Commit {
            id: "99d03678b90d914dbb1b109132516d71a4a03ea8".to_owned(),
            parent_ids: Vec::new(),
            message: "Merge branch 'x'\r\n\r\nSee !1".to_owned(),
            author_name: "A".to_owned(),
            author_email: "a@example.com".to_owned(),
            authored_at: at,
            committer_name: "C".to_owned(),
            committer_email: "c@example.com".to_owned(),
            committed_at: at,
            web_url: None,
        }
    }

    #[test]
    fn a_title_is_the_first_line_with_its_carriage_return() {
        assert_eq!(commit().title(), "Merge branch 'x'\r");
        assert_eq!(commit().short_id(), "99d03678");
        let text = commit().committed_at.with_offset().map(|at| at.to_rfc3339());
        assert_eq!(text.as_deref(), Some("1970-01-01T02:00:00+02:00"));
    }

    #[test]
    fn what_cannot_be_a_commit_is_refused_by_field() {
        type Break = fn(&mut Commit);
        let cases: [(Break, &str); 10] = [
            (
                |c| c.id = "99D03678b90d914dbb1b109132516d71a4a03ea8".to_owned(),
                "commits[2].id",
            ),
            (|c| c.id = "99d03678".to_owned(), "commits[2].id"),
            (|c| c.parent_ids = vec!["x".to_owned()], "commits[2].parent_ids"),
            (|c| c.author_name = "a\nb".to_owned(), "commits[2].author_name"),
            (
                |c| c.committer_email = "x".repeat(256),
                "commits[2].committer_email",
            ),
            (|c| c.authored_at.offset_minutes = 1440, "commits[2].authored_at"),
            (|c| c.message = "x".repeat(MESSAGE_MAX + 1), "commits[2].message"),
            (|c| c.message = "a\0b".to_owned(), "commits[2].message"),
            (
                |c| c.web_url = Some("javascript:alert(1)".to_owned()),
                "commits[2].web_url",
            ),
            (
                |c| c.web_url = Some(format!("https://{}", "x".repeat(URL_MAX))),
                "commits[2].web_url",
            ),
        ];
        for (damage, field) in cases {
            let mut commit = commit();
            assert!(commit.check("commits[2]").is_ok());
            damage(&mut commit);
            let refused = commit.check("commits[2]").unwrap_err();
            assert_eq!(refused.violations()[0].field, field);
        }
    }
}
