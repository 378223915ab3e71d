//! Random gates against a reference that tries every assignment of votes to rules.

use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::domain::{access::AccessLevel, directory::Standing, person::GroupStanding, protection::Subject};

const USERS: usize = 6;
const GROUPS: usize = 2;

fn level() -> impl Strategy<Value = Option<AccessLevel>> {
    prop::sample::select(vec![
        None,
        Some(Guest),
        Some(Reporter),
        Some(Developer),
        Some(Maintainer),
    ])
}

prop_compose! {
    fn people()(of_each in prop::collection::vec(
        (level(), prop::collection::vec((level(), level()), GROUPS), 0..10u8), USERS
    )) -> Vec<Person> {
        of_each.into_iter().zip(1..).map(|((project, groups, luck), id)| {
            let mut person = stranger(id);
            person.standing = Standing { project, ..Standing::default() };
            person.user.admin = luck == 0;
            if luck == 1 {
                person.user.state = UserState::Blocked;
            }
            person.groups = groups.into_iter().zip(11..).map(|((direct, above), group)| {
                (GroupId(group), GroupStanding { direct, above, shared: None })
            }).collect();
            person
        }).collect()
    }
}

fn subject() -> impl Strategy<Value = crate::domain::protection::Audience> {
    let inheritance = prop::sample::select(GroupInheritance::ALL.to_vec());
    (0..10i64, inheritance).prop_map(|(which, inheritance)| {
        let mut audience = match which {
            0..=1 => everyone_as(Role::Developer),
            2 => everyone_as(Role::Reporter),
            3 => everyone_as(Role::Admin),
            4..=6 => the_user(which - 2),
            _ => members_of(11 + which % 2, &format!("Group {}", which % 2), "acme/g"),
        };
        audience.inheritance = inheritance;
        audience
    })
}

prop_compose! {
    fn protections()(of_each in prop::collection::vec(
        (any::<bool>(), 0..4i64, prop::collection::vec((subject(), 1..3i64), 0..3),
         prop::collection::vec(subject(), 1..3)), 0..3
    )) -> Vec<ProtectedEnvironment> {
        let mut ids = 1..;
        of_each.into_iter().map(|(of_project, count, rules, levels)| {
            let container = if of_project { PROJECT } else { Container::Group(GroupId(11)) };
            let rules = rules.into_iter().zip(&mut ids)
                .map(|((audience, required), id)| rule(id, audience, required)).collect();
            let mut protected = protection(container, count, rules);
            protected.deploy_access_levels = levels.into_iter().map(|audience| deploy(1, audience)).collect();
            protected
        }).collect()
    }
}

/// What somebody tries: to approve, perhaps in the name of one of the rules.
type Try = (i64, Option<usize>);

prop_compose! {
    fn tries()(voters in subsequence((1..=6).collect::<Vec<i64>>(), 0..=USERS))
        (names in prop::collection::vec(prop::option::weighted(0.3, 0..4usize), voters.len()),
         voters in Just(voters).prop_shuffle()) -> Vec<Try> {
        voters.into_iter().zip(names).collect()
    }
}

prop_compose! {
    fn gates()(people in people(), protections in protections(), allow_self_approval: bool, public in 0..4u8) -> Gate {
        let mut gate = gate(protections, people);
        gate.project.allow_self_approval = allow_self_approval;
        if public == 0 {
            gate.project.visibility = Visibility::Public;
        }
        gate
    }
}

fn rules(gate: &Gate) -> Vec<(ApprovalRule, Container)> {
    let all = gate.protections.iter();
    let mut rules: Vec<_> = all
        .flat_map(|it| it.approval_rules.iter().map(|rule| (rule.clone(), it.container)))
        .collect();
    rules.sort_by_key(|(rule, _)| rule.id);
    rules
}

fn attempt(gate: &mut Gate, (voter, name): Try) -> Result<usize, Reason> {
    let rules = rules(gate);
    let name = name.and_then(|index| rules.get(index)?.0.audience.names.last());
    approve_as(gate, voter, name.map_or("", String::as_str))
}

/// Whether somebody is meant, by the words of contract 1.6.
fn meant(person: &Person, audience: &crate::domain::protection::Audience, container: Container) -> bool {
    let in_group = |id: GroupId| person.groups.get(&id).copied().unwrap_or_default();
    if person.user.state == UserState::Blocked {
        return false;
    }
    if person.user.admin {
        return true;
    }
    match (audience.subject, audience.inheritance, container) {
        (Subject::User(id), ..) => id == person.user.id,
        (Subject::Group(id), GroupInheritance::Direct, _) => in_group(id).direct.is_some(),
        (Subject::Group(id), GroupInheritance::Inherited, _) => {
            in_group(id).direct.is_some() || in_group(id).above.is_some()
        }
        (Subject::Role(role), _, Container::Project(_)) => {
            let level = person.standing.project.map_or(0, AccessLevel::number);
            level >= role.number()
        }
        (Subject::Role(role), _, Container::Group(id)) => {
            let level = in_group(id).direct.max(in_group(id).above);
            level.map_or(0, AccessLevel::number) >= role.number()
        }
    }
}

/// For each vote the requirements that it may count for, and how many each asks for, by the words of the decisions.
fn reference(gate: &Gate) -> (Vec<i64>, Vec<Vec<usize>>) {
    let rules = rules(gate);
    let active = |person: &Person| person.user.state == UserState::Active;
    let role = |person: &Person, level: AccessLevel| {
        person.user.admin || person.standing.project.is_some_and(|own| own >= level)
    };
    let votes = gate.approvals.iter().map(|vote| {
        let person = &gate.people[&vote.user.id];
        if vote.user.id == UserId(1) && !gate.project.allow_self_approval {
            return Vec::new();
        }
        if rules.is_empty() {
            let admitted = gate.protections.iter().all(|protection| {
                let levels = protection.deploy_access_levels.iter();
                levels
                    .map(|level| &level.audience)
                    .any(|it| meant(person, it, protection.container))
            });
            let may = active(person) && admitted && role(person, Developer) && vote.represented_as.is_empty();
            return if may { vec![0] } else { Vec::new() };
        }
        let public = gate.project.visibility == Visibility::Public;
        let takes = |(rule, container): &(ApprovalRule, Container)| {
            meant(person, &rule.audience, *container)
                && (public || role(person, Reporter))
                && (vote.represented_as.is_empty() || rule.audience.names.contains(&vote.represented_as))
        };
        (0..rules.len()).filter(|&index| takes(&rules[index])).collect()
    });
    let votes = votes.collect();
    let required = if rules.is_empty() {
        let counts = gate.protections.iter().map(|it| it.required_approval_count);
        counts.max().into_iter().collect()
    } else {
        rules.iter().map(|(rule, _)| rule.required_approvals).collect()
    };
    (required, votes)
}

/// The least that can be missing, by trying every assignment.
fn least_missing(missing: &mut Vec<i64>, votes: &[Vec<usize>]) -> i64 {
    let Some((first, rest)) = votes.split_first() else {
        return missing.iter().sum();
    };
    let mut least = least_missing(missing, rest);
    for &index in first {
        if missing[index] > 0 {
            missing[index] -= 1;
            least = least.min(least_missing(missing, rest));
            missing[index] += 1;
        }
    }
    least
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_deployment_is_free_exactly_if_some_assignment_of_votes_fills_everything(
        gate in gates(), tries in tries()
    ) {
        let mut gate = gate;
        for it in tries {
            // Refused or not; nothing here may release it, so that all the votes come together.
            let mut trial = gate.clone();
            if attempt(&mut trial, it).is_ok() {
                trial.deployment = gate.deployment.clone();
                gate = trial;
            }
        }
        let (mut required, votes) = reference(&gate);
        let least = least_missing(&mut required, &votes);
        prop_assert_eq!(is_free(&gate), least == 0);
        prop_assert_eq!(pending(&gate), least);
        let state = gate.approval_state();
        prop_assert_eq!(state.pending_approval_count > 0, !gate.holds(&user(1)).iter()
            .all(|hold| hold.kind != HoldKind::ApprovalsMissing));
        for summary in &state.rules {
            let approved = i64::try_from(summary.approvals.len()).unwrap();
            prop_assert!(summary.missing >= summary.rule.required_approvals - approved);
        }
    }

    #[test]
    fn every_order_of_the_same_decisions_ends_alike(
        (gate, tries, other) in (gates(), tries()).prop_flat_map(|(gate, tries)| {
            (Just(gate), Just(tries.clone()), Just(tries).prop_shuffle())
        })
    ) {
        let end = |tries: Vec<Try>| {
            let mut gate = gate.clone();
            if let Ok(changes) = gate.settle(now()) {
                apply(&mut gate, &changes);
            }
            for it in tries {
                let _refused = attempt(&mut gate, it).is_err();
            }
            (gate.deployment.status, pending(&gate))
        };
        prop_assert_eq!(end(tries), end(other));
    }

    #[test]
    fn the_order_in_which_votes_are_read_does_not_matter(
        (gate, votes) in (gates(), prop::sample::subsequence((1..=6).collect::<Vec<i64>>(), 0..=5))
            .prop_flat_map(|(gate, voters)| (Just(gate), Just(voters).prop_shuffle()))
    ) {
        let mut gate = gate;
        gate.approvals = votes.iter().map(|&voter| approval(voter)).collect();
        let (free, missing) = (is_free(&gate), pending(&gate));
        gate.approvals.sort_by_key(|approval| approval.user.id);
        prop_assert_eq!((is_free(&gate), pending(&gate)), (free, missing));
    }

    #[test]
    fn settling_twice_changes_nothing_more(gate in gates(), tries in tries()) {
        let mut gate = gate;
        for it in tries {
            let _refused = attempt(&mut gate, it).is_err();
        }
        let changes = gate.settle(now()).unwrap();
        apply(&mut gate, &changes);
        prop_assert_eq!(gate.settle(now()).unwrap(), vec![]);
        // Neither does taking everything away that let it go.
        gate.people.clear();
        gate.approvals.clear();
        prop_assert_eq!(gate.settle(now()).unwrap(), vec![]);
    }

    #[test]
    fn those_are_asked_who_make_a_difference(gate in gates(), tries in tries()) {
        let mut gate = gate;
        for it in tries {
            let _refused = attempt(&mut gate, it).is_err();
        }
        for person in gate.people.values() {
            let voted = gate.approvals.iter().any(|vote| vote.user.id == person.user.id);
            if voted {
                continue;
            }
            let mut trial = gate.clone();
            let helps = attempt(&mut trial, (person.user.id.0, None)).is_ok() && pending(&trial) < pending(&gate);
            prop_assert_eq!(gate.could_approve(person).is_some(), helps, "user {}", person.user.id);
        }
    }
}
