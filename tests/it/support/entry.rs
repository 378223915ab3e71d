//! Entries of protections as requests carry them.

use gatehouse::pb::v1::ProtectionEntry;

pub fn user(id: i64) -> ProtectionEntry {
    ProtectionEntry {
        user_id: Some(id),
        ..Default::default()
    }
}

pub fn group(id: i64) -> ProtectionEntry {
    ProtectionEntry {
        group_id: Some(id),
        ..Default::default()
    }
}

pub fn role(access_level: i32) -> ProtectionEntry {
    ProtectionEntry {
        access_level: Some(access_level),
        ..Default::default()
    }
}

/// The same as a rule that takes so many approvals.
pub fn requiring(required: i32, entry: ProtectionEntry) -> ProtectionEntry {
    ProtectionEntry {
        required_approvals: Some(required),
        ..entry
    }
}
