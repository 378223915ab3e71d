//! Environments: names, slugs, tiers, states (contract 1.2).

use sha2::{Digest, Sha256};

use super::{
    Time,
    error::{Error, Reason, Violations},
    event::ProjectChange,
    id::{EnvironmentId, ProjectId},
    text,
};

/// Whether anything can be deployed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnvironmentState {
    /// In use.
    Available,
    /// Its stop action is under way.
    Stopping,
    /// Taken down.
    Stopped,
}

impl EnvironmentState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Available, Self::Stopping, Self::Stopped];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The state for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// How near to the users an environment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnvironmentTier {
    /// What users see.
    Production,
    /// The rehearsal.
    Staging,
    /// Where it is tested.
    Testing,
    /// Where it is made.
    Development,
    /// None of these.
    Other,
}

impl EnvironmentTier {
    /// Every tier.
    pub const ALL: [Self; 5] = [
        Self::Production,
        Self::Staging,
        Self::Testing,
        Self::Development,
        Self::Other,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Testing => "testing",
            Self::Development => "development",
            Self::Other => "other",
        }
    }

    /// The tier for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }

    /// The tier that a name suggests: the first list with a part of the name in it (contract 1.2).
    pub fn guess(name: &str) -> Self {
        const SIGNS: [(EnvironmentTier, &[&str]); 4] = [
            (EnvironmentTier::Development, &["dev", "review", "trunk"]),
            (
                EnvironmentTier::Testing,
                &[
                    "test", "tst", "int", "accept", "acpt", "qa", "qc", "control", "quality",
                ],
            ),
            (
                EnvironmentTier::Staging,
                &["stag", "stg", "model", "modl", "pre", "demo", "non"],
            ),
            (EnvironmentTier::Production, &["prod", "prd", "live"]),
        ];
        let name = name.to_lowercase();
        SIGNS
            .into_iter()
            .find(|(_, signs)| signs.iter().any(|sign| name.contains(sign)))
            .map_or(Self::Other, |(tier, _)| tier)
    }
}

/// When a stop request stops an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AutoStopSetting {
    /// On every stop request.
    #[default]
    Always,
    /// Only through a stop action, or by force.
    WithAction,
}

impl AutoStopSetting {
    /// Every setting.
    pub const ALL: [Self; 2] = [Self::Always, Self::WithAction];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::WithAction => "with_action",
        }
    }

    /// The setting for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.as_str() == text)
    }
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Assigned once.
    pub id: EnvironmentId,
    /// The project.
    pub project_id: ProjectId,
    /// Unique in the project.
    pub name: String,
    /// Made from the name; unique in the project.
    pub slug: String,
    /// Where it can be looked at.
    pub external_url: Option<String>,
    /// Whether it is in use.
    pub state: EnvironmentState,
    /// How near to the users it is.
    pub tier: EnvironmentTier,
    /// What it is for.
    pub description: Option<String>,
    /// When a stop request stops it.
    pub auto_stop_setting: AutoStopSetting,
    /// When it was created.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// Counts the changes; the etag shows it.
    pub version: i64,
}

/// What a deployment tells of its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentSummary {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Where it can be looked at.
    pub external_url: Option<String>,
    /// When it was created.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// An environment about to be made; always `available`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEnvironment {
    /// The name.
    pub name: String,
    /// Made from the name.
    pub slug: String,
    /// Where it can be looked at.
    pub external_url: Option<String>,
    /// How near to the users it is.
    pub tier: EnvironmentTier,
    /// What it is for.
    pub description: Option<String>,
    /// When a stop request stops it.
    pub auto_stop_setting: AutoStopSetting,
}

/// What a caller wants made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateEnvironment {
    /// The name.
    pub name: String,
    /// Where it can be looked at; empty: nowhere.
    pub external_url: String,
    /// How near to the users it is; none: guessed.
    pub tier: Option<EnvironmentTier>,
    /// What it is for; empty: not said.
    pub description: String,
    /// When a stop request stops it.
    pub auto_stop_setting: AutoStopSetting,
}

/// What a caller wants changed; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateEnvironment {
    /// The new URL; empty removes it.
    pub external_url: Option<String>,
    /// The new tier; an inner none guesses it anew.
    pub tier: Option<Option<EnvironmentTier>>,
    /// The new description; empty removes it.
    pub description: Option<String>,
    /// The new setting.
    pub auto_stop_setting: Option<AutoStopSetting>,
}

/// Which environments a list holds; what is absent does not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvironmentFilter {
    /// With exactly this name.
    pub name: Option<String>,
    /// Whose name, or name after the folder, begins so, in any case.
    pub search: Option<String>,
    /// In this state.
    pub state: Option<EnvironmentState>,
}

/// What a name may be, in the API's words.
const NAME_RULE: &str = "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', and spaces, but it \
                         cannot start or end with '/'";

/// Checks a name; `field` is what the refusal calls it.
fn check_name(field: &str, name: &str) -> Result<(), Error> {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '$' | '{' | '}' | '.' | ' ');
    text::not_blank(field, name)?;
    text::at_most(field, name, text::NAME_MAX)?;
    if !name.chars().all(allowed) || name.starts_with('/') || name.ends_with('/') {
        return Err(Error::resource(field, NAME_RULE));
    }
    Ok(())
}

/// The slug of a name: at most 24 lower-case letters, digits and `-`, beginning with a letter, with six signs of the
/// name's hash at the end wherever anything of the name was lost (contract 1.2).
pub fn slug(name: &str) -> String {
    const MAX: usize = 24;
    const KEPT_BEFORE_HASH: usize = 17;
    let mut slug = String::with_capacity(name.len() + 4);
    let dashed = name.to_lowercase();
    let dashed = dashed.chars().map(|c| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        }
    });
    let prefix = if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        ""
    } else {
        "env-"
    };
    for c in prefix.chars().chain(dashed) {
        if !(c == '-' && slug.ends_with('-')) {
            slug.push(c);
        }
    }
    if slug.len() <= MAX && slug == name {
        if slug.ends_with('-') {
            slug.pop();
        }
        return slug;
    }
    slug.truncate(KEPT_BEFORE_HASH);
    if !slug.ends_with('-') {
        slug.push('-');
    }
    slug + &hash_suffix(name)
}

/// The last six base-36 digits of the name's SHA-256, read as one great number.
fn hash_suffix(name: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    const MODULUS: u64 = 36u64.pow(6);
    let mut rest = Sha256::digest(name.as_bytes())
        .iter()
        .fold(0u64, |rest, &byte| (rest * 256 + u64::from(byte)) % MODULUS);
    let mut suffix = [b'0'; 6];
    for place in suffix.iter_mut().rev() {
        *place = DIGITS[usize::try_from(rest % 36).unwrap_or_default()];
        rest /= 36;
    }
    suffix.iter().map(|&byte| char::from(byte)).collect()
}

impl NewEnvironment {
    /// The environment that a deployment to an unknown name makes: only the name is told, the rest follows from it.
    ///
    /// `slug_taken` tells that another name of the project has the same slug; `path` precedes the fields in refusals.
    pub fn named(name: &str, slug_taken: bool, path: &str) -> Result<Self, Error> {
        check_name(&format!("{path}name"), name)?;
        if slug_taken {
            return Err(Error::taken("environment", format!("{path}slug")));
        }
        Ok(Self {
            name: name.to_owned(),
            slug: slug(name),
            external_url: None,
            tier: EnvironmentTier::guess(name),
            description: None,
            auto_stop_setting: AutoStopSetting::default(),
        })
    }
}

/// Decides what creating an environment changes. `existing` has the same name, `slug_taken` tells of another with the
/// same slug.
pub fn create(
    command: &CreateEnvironment,
    existing: Option<&Environment>,
    slug_taken: bool,
) -> Result<Vec<ProjectChange>, Error> {
    let mut violations = Violations::default();
    violations.check(check_name("name", &command.name));
    violations.check(text::url("external_url", &command.external_url));
    violations.check(text::description("description", &command.description));
    violations.finish()?;
    if existing.is_some() {
        return Err(Error::taken("environment", "name"));
    }
    let named = NewEnvironment::named(&command.name, slug_taken, "")?;
    Ok(vec![ProjectChange::EnvironmentCreated(NewEnvironment {
        external_url: not_empty(&command.external_url),
        tier: command.tier.unwrap_or(named.tier),
        description: not_empty(&command.description),
        auto_stop_setting: command.auto_stop_setting,
        ..named
    })])
}

fn not_empty(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// The part of a name before its first `/`.
pub fn folder(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}

impl Environment {
    /// The etag: changes with every change.
    pub fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.version)
    }

    /// What deployments tell of it.
    pub fn summary(&self) -> EnvironmentSummary {
        EnvironmentSummary {
            id: self.id,
            name: self.name.clone(),
            slug: self.slug.clone(),
            external_url: self.external_url.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn changed(&self, now: Time) -> Self {
        Self {
            updated_at: now,
            version: self.version + 1,
            ..self.clone()
        }
    }

    /// Decides what an update changes: nothing, where nothing would differ.
    pub fn update(&self, command: &UpdateEnvironment, now: Time) -> Result<Vec<ProjectChange>, Error> {
        let mut violations = Violations::default();
        let mut after = self.changed(now);
        if let Some(url) = &command.external_url {
            violations.check(text::url("external_url", url));
            after.external_url = not_empty(url);
        }
        if let Some(description) = &command.description {
            violations.check(text::description("description", description));
            after.description = not_empty(description);
        }
        violations.finish()?;
        if let Some(tier) = command.tier {
            after.tier = tier.unwrap_or_else(|| EnvironmentTier::guess(&self.name));
        }
        if let Some(setting) = command.auto_stop_setting {
            after.auto_stop_setting = setting;
        }
        let same = Self {
            updated_at: self.updated_at,
            version: self.version,
            ..after.clone()
        } == *self;
        Ok(if same {
            Vec::new()
        } else {
            vec![ProjectChange::EnvironmentUpdated {
                before: self.state,
                after,
            }]
        })
    }

    /// The change that makes a stopped environment available again; none if it is.
    pub fn start(&self, now: Time) -> Option<ProjectChange> {
        (self.state != EnvironmentState::Available).then(|| ProjectChange::EnvironmentUpdated {
            before: self.state,
            after: Self {
                state: EnvironmentState::Available,
                ..self.changed(now)
            },
        })
    }

    /// Decides what a stop request changes: nothing for what is stopped already. No environment has a stop action, so
    /// one that stops only with an action refuses, unless by `force` (contract 2.9).
    pub fn stop(&self, force: bool, now: Time) -> Result<Vec<ProjectChange>, Error> {
        if self.state != EnvironmentState::Available {
            return Ok(Vec::new());
        }
        if self.auto_stop_setting == AutoStopSetting::WithAction && !force {
            return Err(Error::new(
                Reason::EnvironmentStopRefused,
                format!("environment {} stops only with an action and has none", self.id),
            ));
        }
        let after = Self {
            state: EnvironmentState::Stopped,
            ..self.changed(now)
        };
        Ok(vec![ProjectChange::EnvironmentUpdated {
            before: self.state,
            after,
        }])
    }

    /// Decides whether the environment can be deleted.
    pub fn delete(&self) -> Result<Vec<ProjectChange>, Error> {
        if self.state != EnvironmentState::Stopped {
            return Err(Error::new(
                Reason::EnvironmentNotStopped,
                format!(
                    "environment {} is {} and must be stopped first",
                    self.id,
                    self.state.as_str()
                ),
            )
            .with("state", self.state.as_str()));
        }
        Ok(vec![ProjectChange::EnvironmentDeleted(self.clone())])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(seconds, 0).unwrap()
    }

    fn environment(state: EnvironmentState, setting: AutoStopSetting) -> Environment {
        Environment {
            id: EnvironmentId(9),
            project_id: ProjectId(1),
            name: "production".into(),
            slug: "production".into(),
            external_url: None,
            state,
            tier: EnvironmentTier::Production,
            description: None,
            auto_stop_setting: setting,
            created_at: at(1),
            updated_at: at(1),
            version: 1,
        }
    }

    #[test]
    fn slugs_are_those_of_the_reference() {
        let long = "a".repeat(300);
        for (name, wanted) in [
            ("production", "production"),
            ("Production", "production-iis43c"),
            ("review/feature-1", "review-feature-1-1q251u"),
            ("9", "env-9-bntrxz"),
            ("prod env", "prod-env-4cfett"),
            ("foo-", "foo"),
            ("staging-1234567890123456", "staging-1234567890123456"),
            (&long, "aaaaaaaaaaaaaaaaa-9612ts"),
            ("somewhere/1", "somewhere-1-78avk6"),
        ] {
            assert_eq!(slug(name), wanted, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_slug_is_short_begins_with_a_letter_and_has_no_double_dash(name in "[-a-zA-Z0-9_/${}. ]{1,60}") {
            let slug = slug(&name);
            prop_assert!((1..=24).contains(&slug.len()), "{slug}");
            prop_assert!(slug.starts_with(|c: char| c.is_ascii_lowercase()), "{slug}");
            prop_assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{slug}");
            prop_assert!(!slug.contains("--"), "{slug}");
        }

        #[test]
        fn a_slug_that_is_not_the_name_itself_tells_names_apart(a in "[a-zA-Z0-9/]{1,40}", b in "[a-zA-Z0-9/]{1,40}") {
            prop_assume!(a != b);
            prop_assert_ne!(slug(&a), slug(&b));
        }

        #[test]
        fn no_text_makes_the_name_rules_panic(name in "\\PC{0,300}") {
            let _ = NewEnvironment::named(&name, false, "");
            let _ = slug(&name);
            let _ = EnvironmentTier::guess(&name);
        }
    }

    #[test]
    fn the_tier_is_guessed_from_the_first_list_that_has_a_part_of_the_name() {
        use EnvironmentTier as T;
        for (name, wanted) in [
            ("production", T::Production),
            ("PROD", T::Production),
            ("prd-eu", T::Production),
            ("live", T::Production),
            ("gprd", T::Production),
            ("production-test", T::Testing),
            ("maintenance", T::Testing),
            ("qa", T::Testing),
            ("acceptance", T::Testing),
            ("acpt", T::Testing),
            ("pre-prod", T::Staging),
            ("non-live", T::Staging),
            ("stg", T::Staging),
            ("staging", T::Staging),
            ("modl", T::Staging),
            ("review/product", T::Development),
            ("trunk", T::Development),
            ("dev", T::Development),
            ("canary", T::Other),
            ("", T::Other),
        ] {
            assert_eq!(T::guess(name), wanted, "{name}");
        }
    }

    #[test]
    fn names_take_the_listed_characters_and_no_slash_at_either_end() {
        let longest = "a".repeat(255);
        for good in ["a", " a ", "$x{y}.z", "a/b/c", "A_b-c", &longest] {
            assert!(NewEnvironment::named(good, false, "").is_ok(), "{good:?}");
        }
        let too_long = "a".repeat(256);
        for (bad, wanted) in [
            ("", "can't be blank"),
            ("/a", NAME_RULE),
            ("a/", NAME_RULE),
            ("a\nb", NAME_RULE),
            ("a\0b", NAME_RULE),
            ("é", NAME_RULE),
            ("🚀", NAME_RULE),
            ("a;b", NAME_RULE),
            (&too_long, "is too long (maximum is 255 characters)"),
        ] {
            let error = NewEnvironment::named(bad, false, "environment.").unwrap_err();
            assert_eq!(error.reason(), Reason::InvalidResource);
            assert_eq!(error.violations()[0].field, "environment.name");
            assert_eq!(error.violations()[0].description, wanted, "{bad:?}");
        }
    }

    #[test]
    fn stopping_follows_the_setting_unless_forced() {
        use EnvironmentState::{Available, Stopped, Stopping};
        for (state, setting, force, wanted) in [
            (Available, AutoStopSetting::Always, false, Ok(true)),
            (
                Available,
                AutoStopSetting::WithAction,
                false,
                Err(Reason::EnvironmentStopRefused),
            ),
            (Available, AutoStopSetting::WithAction, true, Ok(true)),
            (Stopped, AutoStopSetting::WithAction, false, Ok(false)),
            (Stopping, AutoStopSetting::Always, true, Ok(false)),
        ] {
            let changes = environment(state, setting).stop(force, at(2));
            match wanted {
                Err(reason) => assert_eq!(changes.unwrap_err().reason(), reason),
                Ok(changed) => {
                    let changes = changes.unwrap();
                    assert_eq!(!changes.is_empty(), changed);
                    if let Some(ProjectChange::EnvironmentUpdated { after, .. }) = changes.first() {
                        assert_eq!(
                            (after.state, after.version, after.updated_at),
                            (Stopped, 2, at(2))
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn only_a_stopped_environment_can_be_deleted() {
        for state in EnvironmentState::ALL {
            let deleted = environment(state, AutoStopSetting::Always).delete();
            assert_eq!(deleted.is_ok(), state == EnvironmentState::Stopped, "{state:?}");
        }
    }

    #[test]
    fn an_update_that_changes_nothing_is_no_change() {
        let environment = environment(EnvironmentState::Available, AutoStopSetting::Always);
        let same = UpdateEnvironment {
            external_url: Some(String::new()),
            tier: Some(None),
            ..UpdateEnvironment::default()
        };
        assert!(environment.update(&same, at(5)).unwrap().is_empty());
        let other = UpdateEnvironment {
            description: Some("where users are".into()),
            ..same
        };
        let changes = environment.update(&other, at(5)).unwrap();
        let [ProjectChange::EnvironmentUpdated { after, .. }] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!((after.version, after.updated_at), (2, at(5)));
        assert_eq!(after.description.as_deref(), Some("where users are"));
    }

    #[test]
    fn creating_reports_every_bad_field_at_once() {
        let command = CreateEnvironment {
            name: "a;b".into(),
            external_url: "javascript:alert(1)".into(),
            description: "x".repeat(10_001),
            ..CreateEnvironment::default()
        };
        let error = create(&command, None, false).unwrap_err();
        let fields: Vec<&str> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["name", "external_url", "description"]);
        let taken = create(
            &CreateEnvironment {
                name: "production".into(),
                ..CreateEnvironment::default()
            },
            Some(&environment(EnvironmentState::Available, AutoStopSetting::Always)),
            false,
        );
        assert_eq!(taken.unwrap_err().reason(), Reason::AlreadyExists);
        let slug = CreateEnvironment {
            name: "foo-".into(),
            ..CreateEnvironment::default()
        };
        assert_eq!(
            create(&slug, None, true).unwrap_err().violations()[0].field,
            "slug"
        );
    }
}
