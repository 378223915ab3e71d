use super::{fixture::*, *};
use crate::domain::{
    access::AccessLevel::{Developer, Guest, Maintainer, Reporter},
    deployment::{
        DeploymentStatus as S, FailureReason, GateState,
        fixture::{at, environment},
    },
    directory::{
        UserState, Visibility,
        fixture::{now, user},
    },
    environment::EnvironmentState,
    id::GroupId,
    protection::{GroupInheritance, Role},
};

mod holds;
mod random;

/// Makes true what was decided, as the store does.
fn apply(gate: &mut Gate, changes: &[ProjectChange]) {
    for change in changes {
        match change {
            ProjectChange::DeploymentMoved { before, after } => {
                assert_eq!(*before, gate.deployment.status);
                gate.deployment = Deployment::clone(after);
            }
            ProjectChange::ApprovalSubmitted { after, .. } => {
                let kept = Approval {
                    status: after.status,
                    comment: after.comment.clone(),
                    represented_as: after.represented_as.clone(),
                    pinned: after.pinned.clone(),
                    ..approval(after.user_id.0)
                };
                gate.approvals.retain(|earlier| earlier.user.id != after.user_id);
                gate.approvals.push(kept);
            }
            ProjectChange::ApprovalsCounted { rules, .. } => {
                for (voter, rule) in rules {
                    let mut of_voter = gate.approvals.iter_mut();
                    of_voter
                        .find(|approval| approval.user.id == *voter)
                        .unwrap()
                        .rule_id = *rule;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn decision(status: ApprovalStatus, represented_as: &str) -> SubmitApproval {
    SubmitApproval {
        status,
        comment: None,
        represented_as: represented_as.to_owned(),
    }
}

/// Decides, and makes it true. Answers how many changes that took.
fn decide(gate: &mut Gate, user_id: i64, command: &SubmitApproval) -> Result<usize, Reason> {
    let decided = gate.submit(&user(user_id), command, now());
    let changes = decided.map_err(|error| error.reason())?;
    apply(gate, &changes);
    Ok(changes.len())
}

fn approve(gate: &mut Gate, user_id: i64) -> Result<usize, Reason> {
    decide(gate, user_id, &decision(ApprovalStatus::Approved, ""))
}

fn approve_as(gate: &mut Gate, user_id: i64, name: &str) -> Result<usize, Reason> {
    decide(gate, user_id, &decision(ApprovalStatus::Approved, name))
}

fn reject(gate: &mut Gate, user_id: i64) -> Result<usize, Reason> {
    decide(gate, user_id, &decision(ApprovalStatus::Rejected, ""))
}

fn pending(gate: &Gate) -> i64 {
    gate.approval_state().pending_approval_count
}

/// The rule that each voter's decision is shown under.
fn shown(gate: &Gate) -> Vec<(i64, Option<i64>)> {
    let approvals = gate.approval_state().approvals.into_iter();
    approvals
        .map(|approval| (approval.user.id.0, approval.rule_id.map(|id| id.0)))
        .collect()
}

fn is_free(gate: &Gate) -> bool {
    !gate.settle(now()).unwrap().is_empty()
}

fn security(required: i64) -> ApprovalRule {
    rule(1, members_of(11, "Security", "acme/security-group"), required)
}

fn quality(required: i64) -> ApprovalRule {
    rule(2, members_of(12, "Quality", "acme/qa"), required)
}

fn in_security(id: i64) -> Person {
    of_group(member(id, Reporter), 11, Guest)
}

fn in_quality(id: i64) -> Person {
    of_group(member(id, Reporter), 12, Guest)
}

fn in_both(id: i64) -> Person {
    of_group(in_security(id), 12, Guest)
}

/// Two rules of one project's protection: one approval of Security (users 2 and 4), one of Quality (users 3 and 4).
fn two_rules() -> Gate {
    let protections = vec![protection(PROJECT, 0, vec![security(1), quality(1)])];
    gate(protections, [in_security(2), in_quality(3), in_both(4)])
}

/// Two approvals of whoever may deploy: users 1 to 3.
fn unified(count: i64) -> Gate {
    gate(
        vec![protection(PROJECT, count, Vec::new())],
        [member(2, Developer), member(3, Maintainer), member(4, Reporter)],
    )
}

/// Every check with all earlier ones passing and all later ones failing, so that only this order gives these answers.
#[test]
fn decisions_are_refused_by_the_first_check_that_fails() {
    let bad = |status| SubmitApproval {
        comment: Some("a".repeat(256)),
        ..decision(status, "nobody")
    };
    let approving = bad(ApprovalStatus::Approved);
    let unprotected = gate(Vec::new(), []);
    let mut asking_nothing = unified(0);
    asking_nothing.deployment.status = S::Created;
    let mut not_waiting = two_rules();
    not_waiting.deployment.status = S::Created;
    let waiting = two_rules();
    for (step, gate, voter, command, refused) in [
        (
            1,
            &unprotected,
            1,
            &approving,
            Some(Reason::EnvironmentNotProtected),
        ),
        (2, &asking_nothing, 1, &approving, Some(Reason::SelfApproval)),
        (
            3,
            &asking_nothing,
            2,
            &approving,
            Some(Reason::ApprovalsNotConfigured),
        ),
        (
            3,
            &asking_nothing,
            1,
            &bad(ApprovalStatus::Rejected),
            Some(Reason::ApprovalsNotConfigured),
        ),
        (
            4,
            &not_waiting,
            9,
            &approving,
            Some(Reason::NotWaitingForApprovals),
        ),
        (5, &waiting, 9, &approving, Some(Reason::ApprovalNotPermitted)),
        (
            5,
            &waiting,
            1,
            &bad(ApprovalStatus::Rejected),
            Some(Reason::ApprovalNotPermitted),
        ),
        (6, &waiting, 2, &approving, Some(Reason::NoRuleRepresented)),
        (
            7,
            &waiting,
            2,
            &SubmitApproval {
                represented_as: String::new(),
                ..approving.clone()
            },
            Some(Reason::InvalidApproval),
        ),
        (
            8,
            &waiting,
            2,
            &SubmitApproval {
                comment: Some("é".repeat(255)),
                ..decision(ApprovalStatus::Approved, "Security")
            },
            None,
        ),
    ] {
        let got = gate.submit(&user(voter), command, now());
        assert_eq!(got.err().map(|error| error.reason()), refused, "check {step}");
    }
}

#[test]
fn nothing_but_blocked_waits_for_approvals() {
    for status in S::ALL {
        let mut gate = two_rules();
        gate.deployment.status = status;
        let expected = if status == S::Blocked {
            Ok(1)
        } else {
            Err(Reason::NotWaitingForApprovals)
        };
        assert_eq!(approve(&mut gate, 2), expected, "{status:?}");
        assert_eq!(pending(&gate) > 0, status == S::Blocked, "{status:?}");
    }
}

#[test]
fn the_creator_rejects_but_does_not_approve_unless_the_project_allows_it() {
    let mut gate = unified(1);
    assert_eq!(approve(&mut gate.clone(), 1), Err(Reason::SelfApproval));
    assert_eq!(reject(&mut gate.clone(), 1), Ok(3));
    gate.project.allow_self_approval = true;
    assert_eq!(approve(&mut gate.clone(), 1), Ok(3));
    // Administrators are not exempt.
    gate.project.allow_self_approval = false;
    gate.people.insert(UserId(1), administrator(1));
    assert_eq!(approve(&mut gate.clone(), 1), Err(Reason::SelfApproval));
    // Once its creator is deleted it is nobody's own.
    gate.deployment.user = None;
    assert_eq!(approve(&mut gate, 1), Ok(3));
}

#[test]
fn the_creators_vote_counts_as_long_as_the_project_allows_it() {
    let mut gate = unified(2);
    gate.project.allow_self_approval = true;
    approve(&mut gate, 1).unwrap();
    assert_eq!(pending(&gate), 1);
    gate.project.allow_self_approval = false;
    assert_eq!(pending(&gate), 2);
    assert_eq!(approve(&mut gate, 1), Ok(0), "a retry is safe");
    approve(&mut gate, 2).unwrap();
    assert_eq!(pending(&gate), 1);
    assert!(!is_free(&gate));
    gate.project.allow_self_approval = true;
    assert!(is_free(&gate));
}

#[test]
fn a_vote_that_does_not_count_stands_under_no_rule() {
    let mut gate = two_rules();
    gate.people.insert(UserId(1), in_security(1));
    gate.project.allow_self_approval = true;
    approve(&mut gate, 1).unwrap();
    assert_eq!(shown(&gate), [(1, Some(1))]);
    gate.project.allow_self_approval = false;
    assert_eq!(shown(&gate), [(1, None)]);
    assert!(gate.approval_state().rules[0].approvals.is_empty());
}

#[test]
fn repeating_a_decision_changes_nothing_whatever_has_happened_since() {
    let mut gate = two_rules();
    approve(&mut gate, 2).unwrap();
    let wordy = SubmitApproval {
        comment: Some("a".repeat(256)),
        ..decision(ApprovalStatus::Approved, "")
    };
    let repeat = |gate: &Gate, what: &str| {
        let again = gate.submit(&user(2), &wordy, now());
        assert_eq!(again.unwrap(), [], "{what}");
    };
    repeat(&gate, "blocked");
    gate.people.get_mut(&UserId(2)).unwrap().user.state = UserState::Blocked;
    repeat(&gate, "the voter is blocked");
    gate.people.remove(&UserId(2));
    repeat(&gate, "the voter has left");
    gate.deployment.user = Some(user(2).summary());
    repeat(&gate, "it is their own");
    gate.deployment.status = S::Success;
    repeat(&gate, "over");
    gate.protections.clear();
    repeat(&gate, "unprotected");
}

#[test]
fn a_rejection_is_repeated_and_not_taken_back() {
    let mut gate = two_rules();
    reject(&mut gate, 2).unwrap();
    assert_eq!(gate.deployment.status, S::Failed);
    assert_eq!(reject(&mut gate, 2), Ok(0));
    assert_eq!(approve(&mut gate, 2), Err(Reason::NotWaitingForApprovals));
    assert_eq!(reject(&mut gate, 3), Err(Reason::NotWaitingForApprovals));
}

#[test]
fn a_rejection_fails_the_deployment_at_once_and_says_why() {
    let mut gate = two_rules();
    approve(&mut gate, 3).unwrap();
    let comment = Some("no".to_owned());
    let command = SubmitApproval {
        comment: comment.clone(),
        ..decision(ApprovalStatus::Rejected, "")
    };
    let changes = gate.submit(&user(2), &command, at(5)).unwrap();
    let [
        ProjectChange::ApprovalSubmitted {
            before: None,
            after: draft,
            pending_approval_count: 0,
        },
        ProjectChange::DeploymentMoved {
            before: S::Blocked,
            after,
        },
        ProjectChange::ApprovalsCounted { rules, .. },
    ] = &changes[..]
    else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (draft.status, &draft.comment),
        (ApprovalStatus::Rejected, &comment)
    );
    assert_eq!(after.status, S::Failed);
    assert_eq!(after.failure_reason, Some(FailureReason::DeploymentRejected));
    assert_eq!(after.gate, GateState::Held);
    assert_eq!(after.finished_at, Some(at(5)));
    let of_rule = |id| Some(ApprovalRuleId(id));
    assert_eq!(rules, &[(UserId(3), of_rule(2)), (UserId(2), of_rule(1))]);
}

#[test]
fn the_opposite_decision_takes_the_place_of_the_first() {
    let mut gate = two_rules();
    let command = SubmitApproval {
        comment: Some("fine".to_owned()),
        ..decision(ApprovalStatus::Approved, "")
    };
    decide(&mut gate, 2, &command).unwrap();
    let changes = gate
        .submit(&user(2), &decision(ApprovalStatus::Rejected, ""), now())
        .unwrap();
    let ProjectChange::ApprovalSubmitted { before, after, .. } = &changes[0] else {
        panic!("{changes:?}")
    };
    assert_eq!(*before, Some(ApprovalStatus::Approved));
    assert_eq!(
        after.comment, None,
        "what was said for the opposite does not stay"
    );
    apply(&mut gate, &changes);
    assert_eq!((gate.approvals.len(), gate.deployment.status), (1, S::Failed));
}

#[test]
fn another_name_moves_a_vote_as_long_as_it_is_waited_for() {
    let mut gate = two_rules();
    let command = SubmitApproval {
        comment: Some("fine".to_owned()),
        ..decision(ApprovalStatus::Approved, "Security")
    };
    decide(&mut gate, 4, &command).unwrap();
    assert_eq!(shown(&gate), [(4, Some(1))]);
    assert_eq!(approve_as(&mut gate, 4, "Security"), Ok(0));
    assert_eq!(approve(&mut gate, 4), Ok(0), "no name is no other name");
    assert_eq!(approve_as(&mut gate, 4, "Nobody"), Err(Reason::NoRuleRepresented));
    assert_eq!(approve_as(&mut gate, 4, "Quality"), Ok(1));
    assert_eq!(shown(&gate), [(4, Some(2))]);
    assert_eq!(
        gate.approvals[0].comment.as_deref(),
        Some("fine"),
        "it is the same decision"
    );
    assert_eq!(approve_as(&mut gate, 2, "Security"), Ok(3));
    assert_eq!(gate.deployment.status, S::Created);
    assert_eq!(approve_as(&mut gate, 4, "Quality"), Ok(0));
    assert_eq!(
        approve_as(&mut gate, 4, "Security"),
        Err(Reason::NotWaitingForApprovals)
    );
}

#[test]
fn a_vote_whose_rule_is_gone_can_be_given_anew() {
    let mut gate = two_rules();
    approve_as(&mut gate, 4, "Security").unwrap();
    // By the unified setting there is no rule that the vote would be for.
    gate.protections[0].approval_rules.clear();
    gate.protections[0].required_approval_count = 1;
    gate.people.insert(UserId(4), member(4, Developer));
    assert_eq!(shown(&gate), [(4, None)]);
    assert_eq!(pending(&gate), 1);
    assert!(gate.could_approve(&member(4, Developer)).is_some());
    assert_eq!(approve(&mut gate, 4), Ok(3));
    assert_eq!(gate.deployment.status, S::Created);
}

/// Rules, in order: 1 the group Security (acme/security-group), 2 a group of that name elsewhere, 3 user 2, 4 Maintainers,
/// 5 Developers + Maintainers, 6 Reporters, 7 administrators. The voter is user 2, an administrator, hence in all.
#[test]
fn names_are_taken_in_full_before_in_part() {
    let rules = vec![
        security(1),
        rule(2, members_of(13, "Audit", "ops/Security"), 1),
        rule(3, the_user(2), 1),
        rule(4, everyone_as(Role::Maintainer), 1),
        rule(5, everyone_as(Role::Developer), 1),
        rule(6, everyone_as(Role::Reporter), 1),
        rule(7, everyone_as(Role::Admin), 1),
    ];
    let gate = gate(vec![protection(PROJECT, 0, rules)], [administrator(2)]);
    for (name, rules) in [
        ("Security", &[1, 2][..]),
        ("security-group", &[1]),
        ("acme/security-group", &[1]),
        ("ops/Security", &[2]),
        ("Secur", &[1]),
        ("secur", &[]),
        ("Audit", &[2]),
        ("User 2", &[3]),
        ("user2", &[3]),
        ("User", &[3]),
        ("Maintainers", &[4]),
        ("Developers + Maintainers", &[5]),
        ("Maintain", &[4, 5]),
        ("Developers", &[5]),
        ("Reporters", &[]),
        ("Admin", &[]),
        ("20", &[]),
        (" ", &[3, 5]),
    ] {
        let decided = gate.submit(&user(2), &decision(ApprovalStatus::Approved, name), now());
        let pinned = match &decided.as_deref() {
            Ok([ProjectChange::ApprovalSubmitted { after, .. }, ..]) => after.pinned.clone(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.reason(), Reason::NoRuleRepresented, "{name:?}");
                Vec::new()
            }
        };
        let rules: Vec<_> = rules.iter().copied().map(ApprovalRuleId).collect();
        assert_eq!(pinned, rules, "{name:?}");
    }
}

#[test]
fn nobody_decides_in_the_name_of_others() {
    let mut gate = two_rules();
    assert_eq!(
        approve_as(&mut gate, 2, "Quality"),
        Err(Reason::NoRuleRepresented)
    );
    assert_eq!(
        decide(&mut gate, 2, &decision(ApprovalStatus::Rejected, "Quality")),
        Err(Reason::NoRuleRepresented)
    );
}

#[test]
fn a_rule_keeps_its_vote_when_it_is_renamed() {
    let mut gate = two_rules();
    approve_as(&mut gate, 4, "Security").unwrap();
    gate.protections[0].approval_rules[0].audience = members_of(11, "Safety", "acme/safety");
    gate.protections[0].approval_rules[1].audience = members_of(12, "Security", "acme/qa");
    assert_eq!(shown(&gate), [(4, Some(1))]);
}

#[test]
fn a_vote_for_a_rule_that_is_made_again_counts_by_its_name() {
    let mut gate = two_rules();
    approve_as(&mut gate, 4, "security").unwrap_err();
    approve_as(&mut gate, 4, "security-group").unwrap();
    gate.protections[0].approval_rules[0].id = ApprovalRuleId(8);
    assert_eq!(shown(&gate), [(4, Some(8))]);
}

#[test]
fn the_unified_setting_takes_whoever_may_deploy() {
    let mut gate = unified(2);
    assert_eq!(pending(&gate), 2);
    assert_eq!(gate.approval_state().required_approval_count, 2);
    assert_eq!(
        approve(&mut gate, 4),
        Err(Reason::ApprovalNotPermitted),
        "a Reporter"
    );
    assert_eq!(approve_as(&mut gate, 2, "User 2"), Err(Reason::NoRuleRepresented));
    assert_eq!(approve(&mut gate, 2), Ok(1));
    assert_eq!(shown(&gate), [(2, None)]);
    assert_eq!(approve(&mut gate, 3), Ok(3));
    assert_eq!(gate.deployment.status, S::Created);
    assert_eq!(gate.approval_state().required_approval_count, 2);
}

#[test]
fn who_is_admitted_by_name_but_has_no_developer_access_does_not_count_under_the_unified_setting() {
    let mut protected = protection(PROJECT, 1, Vec::new());
    protected.deploy_access_levels = vec![deploy(1, the_user(2)), deploy(2, members_of(11, "s", "s"))];
    let people = [member(2, Developer), in_security(3), member(4, Maintainer)];
    let gate = gate(vec![protected], people);
    for (voter, expected) in [
        (2, Ok(3)),
        (3, Err(Reason::ApprovalNotPermitted)),
        (4, Err(Reason::ApprovalNotPermitted)),
    ] {
        assert_eq!(approve(&mut gate.clone(), voter), expected, "user {voter}");
    }
}

#[test]
fn what_is_required_is_the_rules_of_all_protections_or_the_greatest_count() {
    let of_group = |count, rules| protection(GROUP, count, rules);
    let of_project = |count, rules| protection(PROJECT, count, rules);
    for (protections, required, pending_count) in [
        (vec![], false, 0),
        (vec![of_project(0, vec![])], false, 0),
        (vec![of_project(2, vec![])], true, 2),
        (vec![of_project(2, vec![]), of_group(3, vec![])], true, 3),
        (vec![of_project(0, vec![]), of_group(1, vec![])], true, 1),
        (vec![of_project(5, vec![security(1)])], true, 1),
        (
            vec![of_project(5, vec![]), of_group(5, vec![quality(2)])],
            true,
            2,
        ),
        (
            vec![of_project(0, vec![quality(2)]), of_group(0, vec![security(3)])],
            true,
            5,
        ),
    ] {
        assert_eq!(requires_approval(&protections), required, "{protections:?}");
        let gate = gate(protections, []);
        assert_eq!(pending(&gate), pending_count);
        assert_eq!(is_free(&gate), !required);
        let rules = gate.approval_state().rules;
        assert!(rules.is_sorted_by_key(|summary| summary.rule.id));
    }
}

#[test]
fn a_rule_takes_only_who_may_read_the_projects_deployments() {
    for (visibility, external, taken) in [
        (Visibility::Private, false, false),
        (Visibility::Internal, false, true),
        (Visibility::Internal, true, false),
        (Visibility::Public, true, true),
    ] {
        let mut outsider = of_group(stranger(5), 11, Guest);
        outsider.user.external = external;
        let mut gate = two_rules();
        gate.people.insert(UserId(5), outsider);
        gate.project.visibility = visibility;
        let expected = if taken {
            Ok(1)
        } else {
            Err(Reason::ApprovalNotPermitted)
        };
        assert_eq!(approve(&mut gate, 5), expected, "{visibility:?} {external}");
    }
    let mut gate = two_rules();
    gate.people
        .insert(UserId(5), of_group(member(5, Guest), 11, Guest));
    assert_eq!(
        approve(&mut gate, 5),
        Err(Reason::ApprovalNotPermitted),
        "a Guest"
    );
}

/// Something that takes a vote's weight away.
type Take = fn(&mut Gate);

/// What takes a vote's weight away, one thing at a time, and what gives it back.
#[test]
fn votes_stop_counting_with_their_voter_and_count_again() {
    let counting = || {
        let mut gate = two_rules();
        approve(&mut gate, 2).unwrap();
        assert_eq!(pending(&gate), 1);
        gate
    };
    let takes: [(&str, Take); 7] = [
        ("left the group", |gate| {
            gate.people.get_mut(&UserId(2)).unwrap().groups.clear();
        }),
        ("left the project", |gate| {
            gate.people.get_mut(&UserId(2)).unwrap().standing.project = None;
        }),
        ("is a Guest now", |gate| {
            gate.people.get_mut(&UserId(2)).unwrap().standing.project = Some(Guest);
        }),
        ("blocked", |gate| {
            gate.people.get_mut(&UserId(2)).unwrap().user.state = UserState::Blocked;
        }),
        ("gone", |gate| drop(gate.people.remove(&UserId(2)))),
        ("the rule is about others", |gate| {
            gate.protections[0].approval_rules[0].audience = members_of(13, "Audit", "audit");
        }),
        ("the deployment is theirs", |gate| {
            gate.deployment.user = Some(user(2).summary());
        }),
    ];
    for (what, take) in takes {
        let whole = counting();
        let mut gate = whole.clone();
        take(&mut gate);
        assert_eq!(pending(&gate), 2, "{what}");
        assert_eq!(shown(&gate), [(2, None)], "{what}");
        approve(&mut gate, 3).unwrap();
        assert!(!is_free(&gate), "{what}");
        let given_back = Gate {
            approvals: gate.approvals,
            ..whole
        };
        assert!(is_free(&given_back), "{what}");
    }
}

#[test]
fn a_release_writes_down_the_rule_that_each_vote_counted_for() {
    // Whoever comes first: user 4 makes room for who fits one rule only.
    for order in [[4, 2], [2, 4], [4, 3], [3, 4]] {
        let mut gate = two_rules();
        for voter in order {
            approve(&mut gate, voter).unwrap();
        }
        assert_eq!(gate.deployment.status, S::Created, "{order:?}");
        assert_eq!(gate.deployment.gate, GateState::Released);
        assert_eq!(pending(&gate), 0);
        let other = order.into_iter().find(|voter| *voter != 4).unwrap();
        let rule_of = |voter| {
            if voter == 2 || (voter == 4 && other == 3) {
                1
            } else {
                2
            }
        };
        for (voter, rule) in shown(&gate) {
            assert_eq!(rule, Some(rule_of(voter)), "{order:?}");
        }
        // What happens to rules and people later does not change what was written down.
        let before = shown(&gate);
        gate.people.clear();
        assert_eq!(shown(&gate), before);
        gate.protections[0].approval_rules.pop();
        assert!(shown(&gate).iter().all(|(_, rule)| *rule != Some(2)));
    }
}

#[test]
fn what_is_given_up_at_the_gate_keeps_the_rules_that_its_votes_counted_for() {
    for status in [S::Failed, S::Canceled] {
        let mut gate = two_rules();
        approve(&mut gate, 2).unwrap();
        let available = environment(EnvironmentState::Available);
        let changes = gate.move_to(status, &available, &user(1), now()).unwrap();
        apply(&mut gate, &changes);
        assert_eq!(gate.deployment.status, status);
        assert_eq!(gate.deployment.failure_reason, None);
        assert_eq!(shown(&gate), [(2, Some(1))]);
        let later = gate.move_to(S::Success, &available, &user(1), now()).unwrap();
        apply(&mut gate, &later);
        assert_eq!(gate.deployment.gate, GateState::Bypassed);
        assert_eq!(shown(&gate), [(2, Some(1))]);
    }
}

#[test]
fn a_deployer_needs_the_role_and_every_protection() {
    let mut gate = two_rules();
    let permitted = |gate: &Gate, id| gate.permitted(&user(id)).err().map(|error| error.reason());
    assert_eq!(permitted(&gate, 1), None);
    assert_eq!(permitted(&gate, 2), Some(Reason::PermissionDenied), "a Reporter");
    let mut group = protection(GROUP, 0, Vec::new());
    group.deploy_access_levels = vec![deploy(1, the_user(2)), deploy(2, everyone_as(Role::Admin))];
    gate.protections.push(group);
    assert_eq!(permitted(&gate, 1), Some(Reason::EnvironmentProtected));
    assert_eq!(
        permitted(&gate, 2),
        Some(Reason::PermissionDenied),
        "listed, but a Reporter"
    );
    gate.people.insert(UserId(5), administrator(5));
    let mut administrator = user(5);
    administrator.admin = true;
    assert!(gate.permitted(&administrator).is_ok());
}

#[test]
fn inherited_members_vote_where_the_rule_says_so() {
    let mut above = member(5, Reporter);
    above.groups.insert(
        GroupId(11),
        crate::domain::person::GroupStanding {
            above: Some(Guest),
            ..Default::default()
        },
    );
    let mut gate = two_rules();
    gate.people.insert(UserId(5), above);
    assert_eq!(approve(&mut gate, 5), Err(Reason::ApprovalNotPermitted));
    gate.protections[0].approval_rules[0].audience.inheritance = GroupInheritance::Inherited;
    assert_eq!(approve(&mut gate, 5), Ok(1));
}
