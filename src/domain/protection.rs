//! Protected environments: who may deploy there, who has to approve, who may be named in them (contract 1.6, with the
//! corrections of decisions 5, 8 and 21).

use super::{
    Time,
    access::AccessLevel,
    directory::{Container, UserState},
    environment::EnvironmentTier,
    error::{Error, Reason, Violations},
    id::{ApprovalRuleId, DeployAccessLevelId, GroupId, ProtectionId, UserId},
    person::Person,
    text,
};

/// The most approvals that one rule, or the unified setting, may ask for.
pub const APPROVALS_MAX: i64 = 5;
/// The most deploy access levels, and the most approval rules, that a protection may have.
const ENTRIES_MAX: usize = 100;
/// The most entries of a list that a command is heard out on.
const COMMANDS_MAX: usize = 2 * ENTRIES_MAX;

/// The role that an entry is about. The numbers are the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reporters and above.
    Reporter = 20,
    /// Developers and above.
    Developer = 30,
    /// Maintainers and above.
    Maintainer = 40,
    /// Administrators.
    Admin = 60,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Reporter, Self::Developer, Self::Maintainer, Self::Admin];

    /// The API's number for it.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The role for a number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }

    /// How it is described (contract 1.6).
    pub fn description(self) -> Option<&'static str> {
        match self {
            Self::Developer => Some("Developers + Maintainers"),
            Self::Maintainer => Some("Maintainers"),
            Self::Reporter | Self::Admin => None,
        }
    }

    /// The access it takes; none is enough for [`Role::Admin`].
    fn level(self) -> Option<AccessLevel> {
        match self {
            Self::Reporter => Some(AccessLevel::Reporter),
            Self::Developer => Some(AccessLevel::Developer),
            Self::Maintainer => Some(AccessLevel::Maintainer),
            Self::Admin => None,
        }
    }
}

/// Who an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A user.
    User(UserId),
    /// The members of a group.
    Group(GroupId),
    /// Everyone with a role.
    Role(Role),
}

/// Who of a group an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GroupInheritance {
    /// Its direct members, at any level.
    #[default]
    Direct,
    /// Its members and those of the groups above it, from Guest.
    Inherited,
}

impl GroupInheritance {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Inherited];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Inherited => "inherited",
        }
    }

    /// The value for a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == text)
    }
}

/// The people that an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Who.
    pub subject: Subject,
    /// Who of the group.
    pub inheritance: GroupInheritance,
    /// The subject for people: a user's or group's name, or the role's description.
    pub description: Option<String>,
    /// Every name that the subject is known by in full: a user's name and username, a group's name, path and full path,
    /// a role's description.
    pub names: Vec<String>,
}

impl Audience {
    /// Whether somebody belongs to it; roles are held in `container`. Administrators belong to everything, who is
    /// blocked to nothing.
    pub fn includes(&self, person: &Person, container: Container) -> bool {
        if person.user.state != UserState::Active {
            return false;
        }
        if person.user.admin {
            return true;
        }
        match self.subject {
            Subject::User(id) => person.user.id == id,
            Subject::Group(id) => match self.inheritance {
                GroupInheritance::Direct => person.in_group(id).direct.is_some(),
                GroupInheritance::Inherited => person.in_group(id).member() >= Some(AccessLevel::Guest),
            },
            Subject::Role(role) => role
                .level()
                .is_some_and(|level| person.level_in(container) >= Some(level)),
        }
    }

    /// Who that is, for people.
    pub fn describe(&self) -> String {
        match (&self.description, self.subject) {
            (Some(description), _) => description.clone(),
            (None, Subject::User(id)) => format!("user {id}"),
            (None, Subject::Group(id)) => format!("group {id}"),
            (None, Subject::Role(Role::Admin)) => "administrators".to_owned(),
            (None, Subject::Role(_)) => "Reporters + Developers + Maintainers".to_owned(),
        }
    }
}

/// One way to be admitted to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployAccessLevel {
    /// Assigned once.
    pub id: DeployAccessLevelId,
    /// Who is admitted.
    pub audience: Audience,
}

/// So many approvals of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    /// Assigned once.
    pub id: ApprovalRuleId,
    /// Who may give them.
    pub audience: Audience,
    /// How many: 1 to 5.
    pub required_approvals: i64,
}

/// A protected environment of a project, or a protected tier of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedEnvironment {
    /// Assigned once.
    pub id: ProtectionId,
    /// Whose.
    pub container: Container,
    /// The environment's name, or the tier's word.
    pub name: String,
    /// Who may deploy, in the order as sent; any one is enough.
    pub deploy_access_levels: Vec<DeployAccessLevel>,
    /// How many approvals are needed, where no rule applies: 0 to 5.
    pub required_approval_count: i64,
    /// Who has to approve, in the order as sent.
    pub approval_rules: Vec<ApprovalRule>,
    /// When it was protected.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// Counts the changes; the etag shows it.
    pub version: i64,
}

impl ProtectedEnvironment {
    /// The etag: changes with every change.
    pub fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.version)
    }

    /// Whether it holds for an environment: a project's by the name, a group's by the tier. (That the group is above the
    /// project is for the caller to see to.)
    pub fn applies_to(&self, name: &str, tier: EnvironmentTier) -> bool {
        match self.container {
            Container::Project(_) => self.name == name,
            Container::Group(_) => self.name == tier.as_str(),
        }
    }

    /// Whether somebody may deploy, as far as this protection goes.
    pub fn admits(&self, person: &Person) -> bool {
        let active = person.user.state == UserState::Active;
        let by_level = |level: &DeployAccessLevel| level.audience.includes(person, self.container);
        active && (person.user.admin || self.deploy_access_levels.iter().any(by_level))
    }
}

/// Refuses `action` to whom a protection of the environment does not admit.
pub fn admitted(
    protections: &[ProtectedEnvironment],
    person: &Person,
    action: &'static str,
    environment: &str,
) -> Result<(), Error> {
    if protections.iter().all(|protection| protection.admits(person)) {
        return Ok(());
    }
    Err(Error::new(
        Reason::EnvironmentProtected,
        format!(
            "you may not {} in the protected environment {environment}",
            action.replace('_', " ")
        ),
    )
    .with("action", action)
    .with("environment", environment))
}

/// The refusal for a protected environment that is not there.
pub fn protection_not_found() -> Error {
    Error::new(
        Reason::ProtectedEnvironmentNotFound,
        "protected environment not found",
    )
}

/// An entry as a caller sends it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryCommand {
    /// The entry to change; none: a new one.
    pub id: Option<i64>,
    /// Remove it.
    pub destroy: bool,
    /// A user.
    pub user_id: Option<i64>,
    /// A group.
    pub group_id: Option<i64>,
    /// A role.
    pub access_level: Option<i64>,
    /// Who of the group.
    pub inheritance: Option<GroupInheritance>,
    /// For rules: how many approvals.
    pub required_approvals: Option<i64>,
}

/// What a caller wants protected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProtectEnvironment {
    /// The environment's name, or a tier.
    pub name: String,
    /// Who may deploy.
    pub deploy_access_levels: Vec<EntryCommand>,
    /// How many approvals are needed, where no rule applies.
    pub required_approval_count: i64,
    /// Who has to approve.
    pub approval_rules: Vec<EntryCommand>,
}

/// What a caller wants changed; entries that are not mentioned stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateProtection {
    /// Deploy access levels to add, change or remove.
    pub deploy_access_levels: Vec<EntryCommand>,
    /// How many approvals are needed, where no rule applies.
    pub required_approval_count: Option<i64>,
    /// Rules to add, change or remove.
    pub approval_rules: Vec<EntryCommand>,
}

/// The entries of a list that are looked at one by one. Replacing every entry takes two commands each; a list of more is
/// refused whatever they say.
fn looked_at(entries: &[EntryCommand]) -> &[EntryCommand] {
    &entries[..entries.len().min(COMMANDS_MAX)]
}

/// The users that the entries of these lists name.
pub fn named_users(lists: [&[EntryCommand]; 2]) -> Vec<UserId> {
    let named = lists.into_iter().flat_map(looked_at);
    named.filter_map(|entry| entry.user_id.map(UserId)).collect()
}

/// The groups that the entries of these lists name.
pub fn named_groups(lists: [&[EntryCommand]; 2]) -> Vec<GroupId> {
    let named = lists.into_iter().flat_map(looked_at);
    named.filter_map(|entry| entry.group_id.map(GroupId)).collect()
}

/// Who may be named in the entries of a container's protections, of those that a command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameable {
    /// The project or group that protects.
    pub container: Container,
    /// The named users that exist.
    pub people: Vec<Person>,
    /// The named groups that may be named: in a project those that it is shared with; in a group the group itself, those
    /// below it, and those that it is shared with.
    pub groups: Vec<GroupId>,
}

impl Nameable {
    /// Refuses an entry about who has no business in it (contract 1.6; decision 21: by name, not silently).
    fn check(&self, subject: Subject) -> Result<(), String> {
        match subject {
            Subject::Role(_) => Ok(()),
            Subject::User(id) => {
                let person = self.people.iter().find(|person| person.user.id == id);
                let level = person.and_then(|person| match self.container {
                    Container::Project(_) => person.standing.level(),
                    // Who comes by a share is not one of the group's own.
                    Container::Group(group) => person.in_group(group).member(),
                });
                match self.container {
                    Container::Project(_) if level < Some(AccessLevel::Developer) => {
                        Err(format!("user {id} has no Developer access to this project"))
                    }
                    Container::Group(_) if level < Some(AccessLevel::Maintainer) => {
                        Err(format!("user {id} has no Maintainer access to this group"))
                    }
                    _ => Ok(()),
                }
            }
            Subject::Group(id) if self.groups.contains(&id) => Ok(()),
            Subject::Group(id) => Err(match self.container {
                Container::Project(_) => format!("group {id} is not invited to this project"),
                Container::Group(_) => {
                    format!("group {id} is neither this group nor below it nor invited to it")
                }
            }),
        }
    }
}

/// An entry as it will be kept: a new one has no id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryDraft {
    /// The entry that it changes.
    pub id: Option<i64>,
    /// Who.
    pub subject: Subject,
    /// Who of the group.
    pub inheritance: GroupInheritance,
    /// How many approvals; nothing to deploy access levels.
    pub required_approvals: i64,
}

/// A protection as it will be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionDraft {
    /// The environment's name, or the tier's word.
    pub name: String,
    /// Who may deploy: all of them, in order.
    pub deploy_access_levels: Vec<EntryDraft>,
    /// How many approvals are needed, where no rule applies.
    pub required_approval_count: i64,
    /// Who has to approve: all of them, in order.
    pub approval_rules: Vec<EntryDraft>,
}

/// A fact about a protection, to be made true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtectionChange {
    /// It is made.
    Created(Container, ProtectionDraft),
    /// It changes.
    Updated(Box<ProtectedEnvironment>, ProtectionDraft),
    /// It goes, with its entries.
    Deleted(Box<ProtectedEnvironment>),
}

/// Which of the two lists of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    DeployAccessLevels,
    ApprovalRules,
}

impl List {
    fn field(self) -> &'static str {
        match self {
            Self::DeployAccessLevels => "deploy_access_levels",
            Self::ApprovalRules => "approval_rules",
        }
    }

    /// Applies what a caller sends to what there is, in order; new entries go behind.
    fn merge(
        self,
        mut kept: Vec<EntryDraft>,
        commands: &[EntryCommand],
        nameable: &Nameable,
        violations: &mut Violations,
    ) -> Result<Vec<EntryDraft>, Error> {
        if commands.len() > COMMANDS_MAX {
            violations.check::<()>(Err(self.too_long()));
            return Ok(kept);
        }
        for (index, command) in commands.iter().enumerate() {
            let place =
                match command.id {
                    None => None,
                    Some(id) => Some(kept.iter().position(|entry| entry.id == Some(id)).ok_or_else(
                        || {
                            Error::new(
                                Reason::ProtectedEnvironmentNotFound,
                                format!("{}[{index}]: there is no entry {id}", self.field()),
                            )
                            .with("entry", id.to_string())
                        },
                    )?),
                };
            match place {
                Some(place) if command.destroy => {
                    kept.remove(place);
                }
                None if command.destroy => {}
                place => {
                    let draft = self
                        .draft(command, place.map(|place| &kept[place]), nameable)
                        .map_err(|text| Error::protection(format!("{}[{index}]", self.field()), text));
                    match (violations.check(draft), place) {
                        (Some(draft), Some(place)) => kept[place] = draft,
                        (Some(draft), None) => kept.push(draft),
                        (None, _) => {}
                    }
                }
            }
        }
        if kept.len() > ENTRIES_MAX {
            violations.check::<()>(Err(self.too_long()));
        }
        Ok(kept)
    }

    fn too_long(self) -> Error {
        Error::protection(
            self.field(),
            format!("is too long (maximum is {ENTRIES_MAX} entries)"),
        )
    }

    /// The entry that a command makes of what there is.
    fn draft(
        self,
        command: &EntryCommand,
        before: Option<&EntryDraft>,
        nameable: &Nameable,
    ) -> Result<EntryDraft, String> {
        const ONE: &str = "exactly one of access_level, group_id, user_id must be present";
        let subject = match (command.user_id, command.group_id, command.access_level) {
            (Some(id), None, None) => Some(Subject::User(UserId(id))),
            (None, Some(id), None) => Some(Subject::Group(GroupId(id))),
            (None, None, Some(number)) => {
                Some(Subject::Role(Role::from_number(number).ok_or_else(|| {
                    format!("access_level {number} is not one of 20, 30, 40, 60")
                })?))
            }
            (None, None, None) => None,
            _ => return Err(ONE.to_owned()),
        };
        // Who stands there already is not asked for credentials again.
        let before_subject = before.map(|before| before.subject);
        if let Some(subject) = subject.filter(|subject| Some(*subject) != before_subject) {
            nameable.check(subject)?;
        }
        let required_approvals = command
            .required_approvals
            .or(before.map(|before| before.required_approvals))
            .unwrap_or(1);
        if self == Self::ApprovalRules && !(1..=APPROVALS_MAX).contains(&required_approvals) {
            return Err(format!(
                "required_approvals must be between 1 and {APPROVALS_MAX}"
            ));
        }
        Ok(EntryDraft {
            id: command.id,
            subject: subject.or(before_subject).ok_or(ONE)?,
            inheritance: command
                .inheritance
                .or(before.map(|before| before.inheritance))
                .unwrap_or_default(),
            required_approvals: if self == Self::ApprovalRules {
                required_approvals
            } else {
                0
            },
        })
    }
}

fn finish(
    name: String,
    required_approval_count: i64,
    deploy_access_levels: Vec<EntryDraft>,
    approval_rules: Vec<EntryDraft>,
    mut violations: Violations,
) -> Result<ProtectionDraft, Error> {
    // An entry that was refused is told as such, not as missing too.
    if deploy_access_levels.is_empty() && violations.is_empty() {
        violations.check::<()>(Err(Error::protection(
            List::DeployAccessLevels.field(),
            "is too short (minimum is 1 character)",
        )));
    }
    if !(0..=APPROVALS_MAX).contains(&required_approval_count) {
        violations.check::<()>(Err(Error::protection(
            "required_approval_count",
            format!("must be between 0 and {APPROVALS_MAX}"),
        )));
    }
    violations.finish()?;
    Ok(ProtectionDraft {
        name,
        deploy_access_levels,
        required_approval_count,
        approval_rules,
    })
}

fn check_name(container: Container, name: &str) -> Result<(), Error> {
    if let Container::Group(_) = container
        && EnvironmentTier::parse(name).is_none()
    {
        return Err(Error::protection(
            "name",
            "must be one of environment tiers: production, staging, testing, development, other.",
        ));
    }
    text::display_name("name", name).map_err(|error| error.with_reason(Reason::InvalidProtection))
}

/// Decides what protecting changes; `existing` is the protection of that name, if there is one.
pub fn protect(
    command: &ProtectEnvironment,
    nameable: &Nameable,
    existing: Option<&ProtectedEnvironment>,
) -> Result<Vec<ProtectionChange>, Error> {
    let mut violations = Violations::default();
    violations.check(check_name(nameable.container, &command.name));
    if existing.is_some() {
        violations.finish()?;
        return Err(Error::taken("protected_environment", "name").with("name", command.name.clone()));
    }
    let mut merge = |list: List, commands: &[EntryCommand]| {
        let new: Vec<_> = commands
            .iter()
            .map(|entry| EntryCommand {
                id: None,
                ..entry.clone()
            })
            .collect();
        list.merge(Vec::new(), &new, nameable, &mut violations)
    };
    let levels = merge(List::DeployAccessLevels, &command.deploy_access_levels)?;
    let rules = merge(List::ApprovalRules, &command.approval_rules)?;
    let count = command.required_approval_count;
    let draft = finish(command.name.clone(), count, levels, rules, violations)?;
    Ok(vec![ProtectionChange::Created(nameable.container, draft)])
}

impl ProtectedEnvironment {
    /// The protection as it would be written down again.
    fn draft(&self) -> ProtectionDraft {
        let entry = |id: i64, audience: &Audience, required_approvals| EntryDraft {
            id: Some(id),
            subject: audience.subject,
            inheritance: audience.inheritance,
            required_approvals,
        };
        let levels = self.deploy_access_levels.iter();
        let rules = self.approval_rules.iter();
        ProtectionDraft {
            name: self.name.clone(),
            deploy_access_levels: levels
                .map(|level| entry(level.id.0, &level.audience, 0))
                .collect(),
            required_approval_count: self.required_approval_count,
            approval_rules: rules
                .map(|rule| entry(rule.id.0, &rule.audience, rule.required_approvals))
                .collect(),
        }
    }

    /// Decides what an update changes: nothing, where nothing would differ.
    pub fn update(
        &self,
        command: &UpdateProtection,
        nameable: &Nameable,
    ) -> Result<Vec<ProtectionChange>, Error> {
        let before = self.draft();
        let mut violations = Violations::default();
        let mut merge = |list: List, kept: &Vec<EntryDraft>, commands: &[EntryCommand]| {
            list.merge(kept.clone(), commands, nameable, &mut violations)
        };
        let levels = merge(
            List::DeployAccessLevels,
            &before.deploy_access_levels,
            &command.deploy_access_levels,
        )?;
        let rules = merge(
            List::ApprovalRules,
            &before.approval_rules,
            &command.approval_rules,
        )?;
        let count = command
            .required_approval_count
            .unwrap_or(self.required_approval_count);
        let after = finish(self.name.clone(), count, levels, rules, violations)?;
        if after == before {
            return Ok(Vec::new());
        }
        Ok(vec![ProtectionChange::Updated(Box::new(self.clone()), after)])
    }

    /// The change that takes the protection away.
    pub fn unprotect(&self) -> Vec<ProtectionChange> {
        vec![ProtectionChange::Deleted(Box::new(self.clone()))]
    }
}

#[cfg(test)]
mod tests;
