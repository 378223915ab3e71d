use super::*;
use crate::domain::{
    access::AccessLevel::{Developer, Guest, Maintainer, Minimal, Owner, Planner, Reporter},
    directory::Standing,
    gate::fixture::*,
    person::GroupStanding,
};

/// Somebody who is this to group 1, and nothing to the project.
fn group_member(standing: GroupStanding) -> Person {
    let mut person = stranger(5);
    person.groups.insert(GroupId(1), standing);
    person
}

fn direct(level: AccessLevel) -> Person {
    group_member(GroupStanding {
        direct: Some(level),
        ..GroupStanding::default()
    })
}

fn above(level: AccessLevel) -> Person {
    group_member(GroupStanding {
        above: Some(level),
        ..GroupStanding::default()
    })
}

fn shared(level: AccessLevel) -> Person {
    group_member(GroupStanding {
        shared: Some(level),
        ..GroupStanding::default()
    })
}

#[test]
fn a_user_is_meant_by_id() {
    let me = the_user(5);
    assert!(me.includes(&stranger(5), PROJECT));
    assert!(!me.includes(&member(6, Owner), PROJECT));
}

#[test]
fn a_group_means_its_direct_members_or_those_above_it_too() {
    let directly = members_of(1, "Acme", "acme");
    let inherited = Audience {
        inheritance: GroupInheritance::Inherited,
        ..directly.clone()
    };
    for (what, person, by_direct, by_inherited) in [
        ("nothing", stranger(5), false, false),
        ("direct, minimal", direct(Minimal), true, false),
        ("direct, guest", direct(Guest), true, true),
        ("above, minimal", above(Minimal), false, false),
        ("above, guest", above(Guest), false, true),
        ("above, owner", above(Owner), false, true),
        ("by a share", shared(Owner), false, false),
        ("of the project", member(5, Owner), false, false),
        ("of another group", of_group(stranger(5), 2, Owner), false, false),
    ] {
        for container in [PROJECT, GROUP] {
            assert_eq!(directly.includes(&person, container), by_direct, "{what}");
            assert_eq!(inherited.includes(&person, container), by_inherited, "{what}");
        }
    }
}

#[test]
fn a_role_is_held_in_what_protects_by_whatever_way() {
    for (role, lowest) in [
        (Role::Reporter, Reporter),
        (Role::Developer, Developer),
        (Role::Maintainer, Maintainer),
    ] {
        let audience = everyone_as(role);
        for level in AccessLevel::ALL {
            let ways = [
                Standing {
                    project: Some(level),
                    ..Standing::default()
                },
                Standing {
                    group: Some(level),
                    ..Standing::default()
                },
                Standing {
                    shared: Some(level),
                    ..Standing::default()
                },
            ];
            for standing in ways {
                let person = Person {
                    standing,
                    ..stranger(5)
                };
                assert_eq!(
                    audience.includes(&person, PROJECT),
                    level >= lowest,
                    "{role:?} {level:?}"
                );
                assert!(!audience.includes(&person, GROUP), "it is nothing to the group");
            }
            for person in [direct(level), above(level), shared(level)] {
                assert_eq!(
                    audience.includes(&person, GROUP),
                    level >= lowest,
                    "{role:?} {level:?}"
                );
                assert!(
                    !audience.includes(&person, PROJECT),
                    "it is nothing to the project"
                );
            }
        }
        assert!(!audience.includes(&stranger(5), PROJECT));
    }
}

#[test]
fn administrators_are_meant_by_everything_and_the_blocked_by_nothing() {
    let audiences = [
        the_user(5),
        the_user(6),
        members_of(1, "Acme", "acme"),
        everyone_as(Role::Maintainer),
        everyone_as(Role::Admin),
    ];
    let mut blocked = administrator(5);
    blocked.user.state = UserState::Blocked;
    for audience in audiences {
        assert!(audience.includes(&administrator(5), PROJECT), "{audience:?}");
        assert!(!audience.includes(&blocked, PROJECT), "{audience:?}");
    }
    assert!(!everyone_as(Role::Admin).includes(&member(5, Owner), PROJECT));
}

fn protected(container: Container, levels: Vec<Audience>) -> ProtectedEnvironment {
    ProtectedEnvironment {
        deploy_access_levels: levels.into_iter().map(|audience| deploy(1, audience)).collect(),
        ..protection(container, 0, Vec::new())
    }
}

#[test]
fn any_level_of_a_protection_admits_and_every_protection_has_to() {
    let of_project = protected(PROJECT, vec![the_user(5), everyone_as(Role::Maintainer)]);
    let of_group = protected(GROUP, vec![members_of(2, "Ops", "ops")]);
    for (what, person, by_project, by_group) in [
        ("named", stranger(5), true, false),
        ("by role", member(6, Maintainer), true, false),
        ("by group", of_group_ops(stranger(6)), false, true),
        ("both", of_group_ops(stranger(5)), true, true),
        ("neither", member(6, Developer), false, false),
        ("administrator", administrator(9), true, true),
    ] {
        assert_eq!(of_project.admits(&person), by_project, "{what}");
        assert_eq!(of_group.admits(&person), by_group, "{what}");
        let both = [of_project.clone(), of_group.clone()];
        let refused = admitted(&both, &person, "update_deployment", "production").err();
        assert_eq!(refused.is_none(), by_project && by_group, "{what}");
        if let Some(error) = refused {
            assert_eq!(error.reason(), Reason::EnvironmentProtected);
            assert_eq!(
                error.to_string(),
                "you may not update deployment in the protected environment production"
            );
            let metadata = [
                ("action", "update_deployment".to_owned()),
                ("environment", "production".to_owned()),
            ];
            assert_eq!(error.metadata(), metadata);
        }
        assert!(admitted(&[], &person, "update_deployment", "production").is_ok());
    }
    let nobody = protected(PROJECT, Vec::new());
    assert!(!nobody.admits(&member(5, Owner)));
    assert!(nobody.admits(&administrator(5)));
    let mut blocked = administrator(5);
    blocked.user.state = UserState::Blocked;
    assert!(!nobody.admits(&blocked));
}

fn of_group_ops(person: Person) -> Person {
    of_group(person, 2, Guest)
}

#[test]
fn a_projects_protection_is_found_by_name_and_a_groups_by_tier() {
    let of = |container, name: &str| ProtectedEnvironment {
        name: name.to_owned(),
        ..protection(container, 0, Vec::new())
    };
    let production = EnvironmentTier::Production;
    for (container, name, environment, applies) in [
        (PROJECT, "eu", "eu", true),
        (PROJECT, "production", "eu", false),
        (PROJECT, "EU", "eu", false),
        (GROUP, "production", "eu", true),
        (GROUP, "staging", "staging", false),
    ] {
        assert_eq!(
            of(container, name).applies_to(environment, production),
            applies,
            "{container:?} {name} {environment}"
        );
    }
}

fn user_entry(id: i64) -> EntryCommand {
    EntryCommand {
        user_id: Some(id),
        ..EntryCommand::default()
    }
}

fn group_entry(id: i64) -> EntryCommand {
    EntryCommand {
        group_id: Some(id),
        ..EntryCommand::default()
    }
}

fn role_entry(level: i64) -> EntryCommand {
    EntryCommand {
        access_level: Some(level),
        ..EntryCommand::default()
    }
}

fn requiring(count: i64, entry: &EntryCommand) -> EntryCommand {
    EntryCommand {
        required_approvals: Some(count),
        ..entry.clone()
    }
}

/// User 5 is a Developer of the project and a Maintainer of the group, user 6 a Reporter of both; user 8 comes to the
/// group by a share; group 2 is invited.
fn nameable(container: Container) -> Nameable {
    let person = |id, in_project, in_group| of_group(member(id, in_project), 1, in_group);
    let by_share = Person {
        user: stranger(8).user,
        ..shared(Owner)
    };
    Nameable {
        container,
        people: vec![
            person(5, Developer, Maintainer),
            person(6, Reporter, Reporter),
            by_share,
        ],
        groups: vec![GroupId(2)],
    }
}

fn command(levels: Vec<EntryCommand>, rules: Vec<EntryCommand>) -> ProtectEnvironment {
    ProtectEnvironment {
        name: "production".to_owned(),
        deploy_access_levels: levels,
        required_approval_count: 0,
        approval_rules: rules,
    }
}

/// What a refusal says, field by field.
fn said(error: &Error) -> Vec<(String, String)> {
    let violations = error.violations().iter();
    violations
        .map(|violation| (violation.field.clone(), violation.description.clone()))
        .collect()
}

fn says(field: &str, description: &str) -> (String, String) {
    (field.to_owned(), description.to_owned())
}

const ONE: &str = "exactly one of access_level, group_id, user_id must be present";
const RANGE: &str = "required_approvals must be between 1 and 5";

#[test]
fn entries_that_do_not_qualify_are_refused_by_name() {
    for (container, entry, text) in [
        (PROJECT, user_entry(5), None),
        (
            PROJECT,
            user_entry(6),
            Some("user 6 has no Developer access to this project"),
        ),
        (
            PROJECT,
            user_entry(7),
            Some("user 7 has no Developer access to this project"),
        ),
        (
            PROJECT,
            user_entry(-1),
            Some("user -1 has no Developer access to this project"),
        ),
        (PROJECT, group_entry(2), None),
        (
            PROJECT,
            group_entry(1),
            Some("group 1 is not invited to this project"),
        ),
        (
            PROJECT,
            group_entry(99),
            Some("group 99 is not invited to this project"),
        ),
        (GROUP, user_entry(5), None),
        (
            GROUP,
            user_entry(6),
            Some("user 6 has no Maintainer access to this group"),
        ),
        (
            GROUP,
            user_entry(7),
            Some("user 7 has no Maintainer access to this group"),
        ),
        (
            GROUP,
            user_entry(8),
            Some("user 8 has no Maintainer access to this group"),
        ),
        (GROUP, group_entry(2), None),
        (
            GROUP,
            group_entry(3),
            Some("group 3 is neither this group nor below it nor invited to it"),
        ),
        (PROJECT, role_entry(20), None),
        (PROJECT, role_entry(60), None),
        (
            PROJECT,
            role_entry(50),
            Some("access_level 50 is not one of 20, 30, 40, 60"),
        ),
        (
            PROJECT,
            role_entry(0),
            Some("access_level 0 is not one of 20, 30, 40, 60"),
        ),
        (PROJECT, EntryCommand::default(), Some(ONE)),
        (
            PROJECT,
            EntryCommand {
                group_id: Some(2),
                ..user_entry(5)
            },
            Some(ONE),
        ),
        (
            PROJECT,
            EntryCommand {
                user_id: Some(5),
                ..role_entry(40)
            },
            Some(ONE),
        ),
        (
            PROJECT,
            EntryCommand {
                group_id: Some(2),
                access_level: Some(40),
                ..user_entry(5)
            },
            Some(ONE),
        ),
    ] {
        let good = || role_entry(40);
        let nameable = nameable(container);
        let levels = command(vec![good(), entry.clone()], Vec::new());
        let rules = command(vec![good()], vec![good(), good(), entry.clone()]);
        for (command, field) in [(levels, "deploy_access_levels[1]"), (rules, "approval_rules[2]")] {
            let got = protect(&command, &nameable, None);
            match text {
                None => assert!(got.is_ok(), "{entry:?}: {got:?}"),
                Some(text) => {
                    let error = got.unwrap_err();
                    assert_eq!(error.reason(), Reason::InvalidProtection);
                    assert_eq!(said(&error), [says(field, text)]);
                }
            }
        }
    }
}

#[test]
fn counts_have_their_range() {
    let nameable = nameable(PROJECT);
    for (count, good) in [
        (-1, false),
        (0, false),
        (1, true),
        (5, true),
        (6, false),
        (i64::MAX, false),
    ] {
        let rules = command(vec![role_entry(40)], vec![requiring(count, &role_entry(40))]);
        let got = protect(&rules, &nameable, None);
        assert_eq!(got.is_ok(), good, "{count}");
        if let Err(error) = got {
            assert_eq!(said(&error), [says("approval_rules[0]", RANGE)]);
        }
        // To deploy access levels the count is nothing.
        let levels = command(vec![requiring(count, &role_entry(40))], Vec::new());
        assert!(protect(&levels, &nameable, None).is_ok());
        let unified = ProtectEnvironment {
            required_approval_count: count,
            ..command(vec![role_entry(40)], Vec::new())
        };
        let got = protect(&unified, &nameable, None);
        assert_eq!(got.is_ok(), good || count == 0, "{count}");
        if let Err(error) = got {
            assert_eq!(
                said(&error),
                [says("required_approval_count", "must be between 0 and 5")]
            );
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let bad = ProtectEnvironment {
        name: "live".to_owned(),
        required_approval_count: 6,
        ..command(
            vec![user_entry(6), role_entry(40), group_entry(9)],
            vec![requiring(0, &role_entry(40))],
        )
    };
    let error = protect(&bad, &nameable(GROUP), None).unwrap_err();
    let tiers = "must be one of environment tiers: production, staging, testing, development, other.";
    assert_eq!(
        said(&error),
        [
            says("name", tiers),
            says(
                "deploy_access_levels[0]",
                "user 6 has no Maintainer access to this group"
            ),
            says(
                "deploy_access_levels[2]",
                "group 9 is neither this group nor below it nor invited to it"
            ),
            says("approval_rules[0]", RANGE),
            says("required_approval_count", "must be between 0 and 5"),
        ]
    );
}

#[test]
fn somebody_has_to_be_let_in() {
    let error = protect(&command(Vec::new(), Vec::new()), &nameable(PROJECT), None).unwrap_err();
    let short = [says(
        "deploy_access_levels",
        "is too short (minimum is 1 character)",
    )];
    assert_eq!(said(&error), short);
    let destroyed = EntryCommand {
        destroy: true,
        ..user_entry(99)
    };
    let error = protect(&command(vec![destroyed], Vec::new()), &nameable(PROJECT), None).unwrap_err();
    assert_eq!(said(&error), short, "what is removed is not looked at");
}

#[test]
fn there_are_at_most_a_hundred_of_each() {
    let nameable = nameable(PROJECT);
    let many = |count| vec![role_entry(40); count];
    assert!(protect(&command(many(100), many(100)), &nameable, None).is_ok());
    for count in [101, 500, 5000] {
        let error = protect(&command(many(1), many(count)), &nameable, None).unwrap_err();
        let long = "is too long (maximum is 100 entries)";
        assert_eq!(said(&error), [says("approval_rules", long)], "{count}");
        let error = protect(&command(many(count), many(1)), &nameable, None).unwrap_err();
        assert_eq!(said(&error), [says("deploy_access_levels", long)], "{count}");
    }
    // What is sent in thousands is not answered in thousands.
    let error = protect(&command(vec![user_entry(99); 50_000], many(1)), &nameable, None).unwrap_err();
    assert_eq!(error.violations().len(), 1);
}

#[test]
fn names_are_checked_as_their_container_has_them() {
    let long = "a".repeat(256);
    for (container, name, good) in [
        (PROJECT, "production", true),
        (PROJECT, "review/main", true),
        (PROJECT, &long[..255], true),
        (PROJECT, &long[..], false),
        (PROJECT, "", false),
        (PROJECT, "  ", false),
        (PROJECT, "a\0b", false),
        (GROUP, "production", true),
        (GROUP, "other", true),
        (GROUP, "Production", false),
        (GROUP, "prod", false),
        (GROUP, "", false),
    ] {
        let command = ProtectEnvironment {
            name: name.to_owned(),
            ..command(vec![role_entry(40)], Vec::new())
        };
        let got = protect(&command, &nameable(container), None);
        assert_eq!(got.is_ok(), good, "{container:?} {name:?}");
        if let Err(error) = got {
            assert_eq!(error.reason(), Reason::InvalidProtection);
            assert_eq!(error.violations()[0].field, "name");
        }
    }
}

#[test]
fn a_protected_name_is_taken() {
    let existing = protection(PROJECT, 0, Vec::new());
    let bad_too = command(vec![user_entry(99)], Vec::new());
    let error = protect(&bad_too, &nameable(PROJECT), Some(&existing)).unwrap_err();
    assert_eq!(error.reason(), Reason::AlreadyExists);
    let metadata = [
        ("resource", "protected_environment".to_owned()),
        ("name", "production".to_owned()),
    ];
    assert_eq!(error.metadata(), metadata);
}

#[test]
fn what_is_protected_is_kept_in_order_as_sent() {
    let sent = command(
        vec![role_entry(40), user_entry(5), group_entry(2)],
        vec![
            EntryCommand {
                inheritance: Some(GroupInheritance::Inherited),
                ..requiring(3, &group_entry(2))
            },
            EntryCommand {
                id: Some(77),
                ..user_entry(5)
            },
        ],
    );
    let changes = protect(&sent, &nameable(PROJECT), None).unwrap();
    let [ProtectionChange::Created(PROJECT, draft)] = &changes[..] else {
        panic!("{changes:?}")
    };
    let subjects: Vec<_> = draft.deploy_access_levels.iter().map(|it| it.subject).collect();
    assert_eq!(
        subjects,
        [
            Subject::Role(Role::Maintainer),
            Subject::User(UserId(5)),
            Subject::Group(GroupId(2))
        ]
    );
    assert!(
        draft
            .deploy_access_levels
            .iter()
            .all(|it| it.required_approvals == 0)
    );
    let rules: Vec<_> = draft
        .approval_rules
        .iter()
        .map(|it| (it.id, it.subject, it.inheritance, it.required_approvals))
        .collect();
    let inherited = GroupInheritance::Inherited;
    assert_eq!(
        rules,
        [
            (None, Subject::Group(GroupId(2)), inherited, 3),
            (None, Subject::User(UserId(5)), GroupInheritance::Direct, 1),
        ],
        "an id is nothing to what is new"
    );
}

/// Levels 1 (Developers) and 2 (group 2); rules 1 (group 2, inherited, three approvals) and 2 (user 6, who has no
/// Developer access any more).
fn existing() -> ProtectedEnvironment {
    let mut protected = protection(PROJECT, 2, Vec::new());
    protected
        .deploy_access_levels
        .push(deploy(2, members_of(2, "Ops", "ops")));
    let mut of_group = rule(1, members_of(2, "Ops", "ops"), 3);
    of_group.audience.inheritance = GroupInheritance::Inherited;
    protected.approval_rules = vec![of_group, rule(2, the_user(6), 1)];
    protected
}

fn update(levels: Vec<EntryCommand>, rules: Vec<EntryCommand>) -> Result<Vec<ProtectionChange>, Error> {
    let command = UpdateProtection {
        deploy_access_levels: levels,
        required_approval_count: None,
        approval_rules: rules,
    };
    existing().update(&command, &nameable(PROJECT))
}

fn updated(levels: Vec<EntryCommand>, rules: Vec<EntryCommand>) -> ProtectionDraft {
    let changes = update(levels, rules).unwrap();
    match &changes[..] {
        [ProtectionChange::Updated(before, after)] => {
            assert_eq!(**before, existing());
            after.clone()
        }
        other => panic!("{other:?}"),
    }
}

fn change(id: i64, entry: &EntryCommand) -> EntryCommand {
    EntryCommand {
        id: Some(id),
        ..entry.clone()
    }
}

fn destroy(id: i64) -> EntryCommand {
    EntryCommand {
        id: Some(id),
        destroy: true,
        ..EntryCommand::default()
    }
}

fn rules_of(draft: &ProtectionDraft) -> Vec<(Option<i64>, Subject, GroupInheritance, i64)> {
    let rules = draft.approval_rules.iter();
    rules
        .map(|it| (it.id, it.subject, it.inheritance, it.required_approvals))
        .collect()
}

#[test]
fn what_an_update_does_not_mention_stays() {
    use GroupInheritance::{Direct, Inherited};
    let (ops, user6) = (Subject::Group(GroupId(2)), Subject::User(UserId(6)));
    let kept = [(Some(1), ops, Inherited, 3), (Some(2), user6, Direct, 1)];
    for (rules, expected) in [
        (
            vec![change(1, &requiring(5, &EntryCommand::default()))],
            vec![(Some(1), ops, Inherited, 5), kept[1]],
        ),
        (
            vec![change(
                1,
                &EntryCommand {
                    inheritance: Some(Direct),
                    ..EntryCommand::default()
                },
            )],
            vec![(Some(1), ops, Direct, 3), kept[1]],
        ),
        (
            vec![change(1, &user_entry(5))],
            vec![(Some(1), Subject::User(UserId(5)), Inherited, 3), kept[1]],
        ),
        // Who stands there already is not asked for credentials again.
        (
            vec![change(2, &requiring(2, &user_entry(6)))],
            vec![kept[0], (Some(2), user6, Direct, 2)],
        ),
        (vec![destroy(1)], vec![kept[1]]),
        (vec![destroy(1), destroy(2)], vec![]),
        (
            vec![user_entry(5), destroy(1)],
            vec![kept[1], (None, Subject::User(UserId(5)), Direct, 1)],
        ),
    ] {
        let draft = updated(Vec::new(), rules.clone());
        assert_eq!(rules_of(&draft), expected, "{rules:?}");
        assert_eq!(draft.deploy_access_levels.len(), 2);
        assert_eq!(draft.required_approval_count, 2);
    }
}

#[test]
fn an_update_that_changes_nothing_is_none() {
    assert_eq!(update(Vec::new(), Vec::new()).unwrap(), []);
    let same = vec![change(2, &requiring(1, &user_entry(6)))];
    assert_eq!(update(vec![change(1, &role_entry(30))], same).unwrap(), []);
}

#[test]
fn an_entry_that_is_not_there_cannot_be_changed() {
    for entry in [
        change(9, &role_entry(40)),
        destroy(9),
        change(0, &role_entry(40)),
        change(-1, &role_entry(40)),
    ] {
        let id = entry.id.unwrap().to_string();
        for (levels, rules) in [(vec![entry.clone()], vec![]), (vec![], vec![entry.clone()])] {
            let error = update(levels, rules).unwrap_err();
            assert_eq!(error.reason(), Reason::ProtectedEnvironmentNotFound);
            assert_eq!(error.metadata(), [("entry", id.clone())]);
        }
    }
    let twice = update(vec![destroy(2), change(2, &role_entry(40))], Vec::new());
    assert_eq!(twice.unwrap_err().reason(), Reason::ProtectedEnvironmentNotFound);
}

#[test]
fn the_last_level_stays_unless_another_comes() {
    let all = || vec![destroy(1), destroy(2)];
    let error = update(all(), Vec::new()).unwrap_err();
    assert_eq!(
        said(&error),
        [says(
            "deploy_access_levels",
            "is too short (minimum is 1 character)"
        )]
    );
    let mut replaced = all();
    replaced.push(role_entry(40));
    assert_eq!(updated(replaced, Vec::new()).deploy_access_levels.len(), 1);
    let mut badly = all();
    badly.push(user_entry(6));
    let error = update(badly, Vec::new()).unwrap_err();
    assert_eq!(
        said(&error),
        [says(
            "deploy_access_levels[2]",
            "user 6 has no Developer access to this project"
        )]
    );
}

#[test]
fn an_update_is_checked_as_a_protection_is() {
    for (entry, text) in [
        (
            change(1, &user_entry(6)),
            "user 6 has no Developer access to this project",
        ),
        (
            change(1, &group_entry(9)),
            "group 9 is not invited to this project",
        ),
        (change(1, &requiring(6, &EntryCommand::default())), RANGE),
        (
            change(
                1,
                &EntryCommand {
                    group_id: Some(2),
                    ..user_entry(5)
                },
            ),
            ONE,
        ),
        (EntryCommand::default(), ONE),
    ] {
        let error = update(Vec::new(), vec![entry]).unwrap_err();
        assert_eq!(said(&error), [says("approval_rules[0]", text)]);
    }
    let error = update(Vec::new(), vec![role_entry(40); 99]).unwrap_err();
    assert_eq!(
        said(&error),
        [says("approval_rules", "is too long (maximum is 100 entries)")]
    );
    let count = UpdateProtection {
        required_approval_count: Some(6),
        ..UpdateProtection::default()
    };
    let error = existing().update(&count, &nameable(PROJECT)).unwrap_err();
    assert_eq!(error.violations()[0].field, "required_approval_count");
}

#[test]
fn roles_are_described_as_the_api_has_them() {
    for (role, number, description) in [
        (Role::Reporter, 20, None),
        (Role::Developer, 30, Some("Developers + Maintainers")),
        (Role::Maintainer, 40, Some("Maintainers")),
        (Role::Admin, 60, None),
    ] {
        assert_eq!(Role::from_number(number), Some(role));
        assert_eq!(role.number(), number);
        assert_eq!(role.description(), description);
        assert!(!everyone_as(role).describe().is_empty());
    }
    for number in [0, 5, 10, 15, 50, 61, -30] {
        assert_eq!(Role::from_number(number), None);
    }
    let planner = everyone_as(Role::Reporter).includes(&member(5, Planner), PROJECT);
    assert!(!planner);
}
