//! What holds a deployment, who can lift it, and what somebody may do about it.

use super::*;

#[test]
fn a_refused_start_lists_what_holds_it() {
    let mut gate = two_rules();
    gate.protections[0].deploy_access_levels = vec![deploy(1, the_user(3))];
    for status in [S::Running, S::Success] {
        let available = environment(EnvironmentState::Available);
        let error = gate.move_to(status, &available, &user(1), now()).unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidTransition);
        let obstacles: Vec<_> = error
            .obstacles()
            .iter()
            .map(|it| (it.kind, it.subject.as_str(), it.description.as_str()))
            .collect();
        assert_eq!(
            obstacles,
            [
                (
                    "APPROVALS_MISSING",
                    "approval_rules/1",
                    "1 more approval of Security required"
                ),
                (
                    "APPROVALS_MISSING",
                    "approval_rules/2",
                    "1 more approval of Quality required"
                ),
                (
                    "NOT_ADMITTED",
                    "protected_environments/production",
                    "the protection of production does not admit you"
                ),
            ]
        );
    }
}

fn holds(gate: &Gate, viewer: i64) -> Vec<(HoldKind, i64, Vec<String>)> {
    let holds = gate.holds(&user(viewer)).into_iter();
    holds
        .map(|hold| (hold.kind, hold.missing, hold.lifted_by))
        .collect()
}

#[test]
fn everything_that_keeps_somebody_from_starting_is_told() {
    use HoldKind::{ApprovalsMissing, NotAdmitted, NotStartable, ProjectArchived, RoleMissing};
    let who = |name: &str| vec![name.to_owned()];
    let mut gate = unified(2);
    let approvals = (ApprovalsMissing, 2, who("those who may deploy"));
    assert_eq!(holds(&gate, 1), vec![approvals.clone()]);
    assert_eq!(
        holds(&gate, 4),
        [
            approvals.clone(),
            (RoleMissing, 0, who("Developers + Maintainers")),
            (NotAdmitted, 0, who("Developers + Maintainers")),
        ]
    );
    assert_eq!(
        holds(&gate, 9),
        vec![approvals.clone()],
        "who is not known is told the rest"
    );
    gate.project.archived = true;
    assert_eq!(holds(&gate, 1), [approvals, (ProjectArchived, 0, who("Owners"))]);
    gate.project.archived = false;
    for status in S::ALL {
        gate.deployment.status = status;
        let expected = match status {
            S::Created => vec![],
            S::Blocked => vec![ApprovalsMissing],
            _ => vec![NotStartable],
        };
        let kinds: Vec<_> = holds(&gate, 1).into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, expected, "{status:?}");
    }
}

#[test]
fn nothing_holds_what_can_be_started_and_the_other_way_round() {
    for status in S::ALL {
        for archived in [false, true] {
            for viewer in [1, 4] {
                let mut gate = unified(1);
                gate.deployment.status = status;
                gate.project.archived = archived;
                let start = gate.viewer(&user(viewer)).start;
                let held = !gate.holds(&user(viewer)).is_empty();
                assert_eq!(start.is_err(), held, "{status:?} {archived} {viewer}");
            }
        }
    }
}

fn explained(gate: &Gate, people: &[Person]) -> Vec<(HoldKind, Option<i64>)> {
    let holds = gate.explain(&user(1), people).into_iter();
    holds
        .map(|hold| (hold.kind, hold.rule.map(|rule| rule.id.0)))
        .collect()
}

#[test]
fn a_quorum_that_nobody_can_reach_is_told_as_such() {
    use HoldKind::{ApprovalsMissing, QuorumUnreachable};
    let mut gate = two_rules();
    let all = [in_security(2), in_quality(3), in_both(4)];
    let missing = |id| (ApprovalsMissing, Some(id));
    let unreachable = |id| (QuorumUnreachable, Some(id));
    assert_eq!(explained(&gate, &all), [missing(1), missing(2)]);
    gate.people.clear();
    assert_eq!(explained(&gate, &all[..1]), [missing(1), unreachable(2)]);
    assert_eq!(explained(&gate, &[]), [unreachable(1), unreachable(2)]);
    // One person fills one rule, not both.
    assert_eq!(explained(&gate, &all[2..]), [missing(1), unreachable(2)]);
    // The creator's approval is none that could be given.
    gate.deployment.user = Some(user(3).summary());
    assert_eq!(explained(&gate, &all[..2]), [missing(1), unreachable(2)]);
    let hold = &gate.explain(&user(1), &all[..2])[1];
    assert_eq!(hold.lifted_by, ["Maintainers"]);
    assert_eq!(
        hold.message,
        "1 more approval of Quality required, and nobody can give 1 of them"
    );
    gate.protections[0].container = GROUP;
    assert_eq!(
        gate.explain(&user(1), &all[..2])[1].lifted_by,
        ["Owners of the group"]
    );
}

#[test]
fn what_nobody_can_give_is_told_of_the_rule_that_lacks_it_now() {
    let mut gate = two_rules();
    let both = in_both(4);
    gate.people = [(UserId(4), both.clone())].into();
    approve_as(&mut gate, 4, "Quality").unwrap();
    // Quality has the only vote there is, so it is Security that nobody is left for.
    let people = [both];
    assert_eq!(
        explained(&gate, &people),
        [(HoldKind::QuorumUnreachable, Some(1))]
    );
}

#[test]
fn protecting_warns_of_what_nobody_can_give() {
    let rules = |protections: &[ProtectedEnvironment], people: &[Person]| -> Vec<_> {
        unreachable(protections, None, people)
            .into_iter()
            .map(|lost| (lost.rule.map(|rule| rule.id.0), lost.missing))
            .collect()
    };
    let two = [protection(PROJECT, 0, vec![security(2), quality(1)])];
    assert_eq!(rules(&two, &[]), [(Some(1), 2), (Some(2), 1)]);
    assert_eq!(rules(&two, &[in_both(2), in_both(3)]), [(Some(2), 1)]);
    assert_eq!(rules(&two, &[in_both(2), in_both(3), in_both(4)]), []);
    let count = [protection(PROJECT, 2, Vec::new())];
    assert_eq!(rules(&count, &[member(2, Developer)]), [(None, 1)]);
    assert_eq!(rules(&count, &[member(2, Developer), member(3, Developer)]), []);
}

#[test]
fn those_are_asked_whose_approval_brings_it_nearer_to_its_release() {
    let mut gate = two_rules();
    let [in_security, in_quality, in_both] = [in_security(2), in_quality(3), in_both(4)];
    let rules = |gate: &Gate, person: &Person| {
        gate.could_approve(person)
            .map(|rules| rules.iter().map(|id| id.0).collect::<Vec<_>>())
    };
    assert_eq!(rules(&gate, &in_security), Some(vec![1]));
    assert_eq!(rules(&gate, &in_both), Some(vec![1, 2]));
    assert_eq!(rules(&gate, &member(1, Developer)), None, "the creator");
    assert_eq!(rules(&gate, &stranger(9)), None);
    approve(&mut gate, 4).unwrap();
    assert_eq!(rules(&gate, &in_both), None, "has approved");
    // The vote of user 4 counts for Security, and can make room there.
    assert_eq!(rules(&gate, &in_security), Some(vec![1]));
    assert_eq!(rules(&gate, &in_quality), Some(vec![2]));
    approve_as(&mut gate, 4, "Security").unwrap();
    assert_eq!(
        rules(&gate, &in_security),
        None,
        "there is nothing left to give there"
    );
    assert_eq!(rules(&gate, &in_quality), Some(vec![2]));
    gate.deployment.status = S::Created;
    assert_eq!(rules(&gate, &in_quality), None);
    let unified = unified(1);
    assert_eq!(rules(&unified, &member(2, Developer)), Some(vec![]));
}

#[test]
fn a_viewer_is_told_what_trying_would_answer() {
    let told = |gate: &Gate, viewer: i64| {
        let told = gate.viewer(&user(viewer));
        [told.approve, told.reject, told.start].map(|it| it.err().map(|error| error.reason()))
    };
    let gate = two_rules();
    let not_permitted = Some(Reason::ApprovalNotPermitted);
    let held = Some(Reason::InvalidTransition);
    assert_eq!(told(&gate, 1), [Some(Reason::SelfApproval), not_permitted, held]);
    assert_eq!(told(&gate, 2), [None, None, Some(Reason::PermissionDenied)]);
    assert_eq!(told(&gate, 9), [Some(Reason::ProjectNotFound); 3]);
    let mut released = gate.clone();
    released.deployment.status = S::Created;
    let over = Some(Reason::NotWaitingForApprovals);
    assert_eq!(told(&released, 1), [Some(Reason::SelfApproval), over, None]);
    released.protections[0].deploy_access_levels = vec![deploy(1, the_user(3))];
    assert_eq!(told(&released, 1)[2], Some(Reason::EnvironmentProtected));
    let mut archived = gate.clone();
    archived.project.archived = true;
    assert_eq!(told(&archived, 1), [Some(Reason::ProjectArchived); 3]);
    let mut guest = gate;
    guest
        .people
        .insert(UserId(5), of_group(member(5, Guest), 11, Guest));
    assert_eq!(told(&guest, 5), [Some(Reason::PermissionDenied); 3]);
}
