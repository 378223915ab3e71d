//! The words that people write for the contract's enums: `developer` for `ACCESS_LEVEL_DEVELOPER`.

use crate::pb::v1::{
    AccessLevel, AutoStopSetting, EnvironmentTier, GroupInheritance, MergeRequestState, ProtectionRole,
    TokenScope, UserState, Visibility,
};

/// An enum whose values people write as words.
pub trait Word: Copy + 'static {
    /// What a value is called in an error: `"boss" is not an access level`.
    const NAME: &'static str;
    /// What the names of all values begin with.
    const PREFIX: &'static str;
    /// The values that may be written.
    const ALL: &'static [Self];

    /// The value's name in the contract.
    fn name(self) -> &'static str;

    /// The word for the value.
    fn word(self) -> String {
        let name = self.name();
        name.strip_prefix(Self::PREFIX).unwrap_or(name).to_lowercase()
    }

    /// Reads a word; the error lists those there are.
    fn read(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|value| value.word() == text)
            .ok_or_else(|| {
                let words: Vec<_> = Self::ALL.iter().map(|value| value.word()).collect();
                format!("{text:?} is not {} ({})", Self::NAME, words.join(", "))
            })
    }
}

macro_rules! words {
    ($type:ident, $name:literal, $prefix:literal, $($value:ident)*) => {
        impl Word for $type {
            const NAME: &'static str = $name;
            const PREFIX: &'static str = $prefix;
            const ALL: &'static [Self] = &[$($type::$value),*];

            fn name(self) -> &'static str {
                self.as_str_name()
            }
        }
    };
}

words!(AccessLevel, "an access level", "ACCESS_LEVEL_", Minimal Guest Planner Reporter Developer Maintainer Owner);
words!(Visibility, "a visibility", "VISIBILITY_", Private Internal Public);
words!(UserState, "a state", "USER_STATE_", Active Blocked);
words!(TokenScope, "a scope", "TOKEN_SCOPE_", Api ReadApi MergeRequests);
words!(EnvironmentTier, "a tier", "ENVIRONMENT_TIER_", Production Staging Testing Development Other);
words!(AutoStopSetting, "an auto-stop setting", "AUTO_STOP_SETTING_", Always WithAction);
words!(MergeRequestState, "a state", "MERGE_REQUEST_STATE_", Opened Closed Locked Merged);
words!(ProtectionRole, "a role", "PROTECTION_ROLE_", Reporter Developer Maintainer Admin);
words!(GroupInheritance, "a group inheritance", "GROUP_INHERITANCE_", Direct Inherited);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_what_it_was_written_for() {
        fn check<W: Word + PartialEq + std::fmt::Debug>() {
            for value in W::ALL {
                assert_eq!(W::read(&value.word()), Ok(*value));
            }
        }
        check::<AccessLevel>();
        check::<Visibility>();
        check::<UserState>();
        check::<TokenScope>();
        check::<EnvironmentTier>();
        check::<AutoStopSetting>();
        check::<MergeRequestState>();
        check::<ProtectionRole>();
        check::<GroupInheritance>();
        assert_eq!(TokenScope::ReadApi.word(), "read_api");
    }

    #[test]
    fn an_unknown_word_is_refused_with_those_there_are() {
        let error = AccessLevel::read("boss").unwrap_err();
        let words = "minimal, guest, planner, reporter, developer, maintainer, owner";
        assert_eq!(error, format!("\"boss\" is not an access level ({words})"));
        assert!(Visibility::read("unspecified").is_err());
    }
}
