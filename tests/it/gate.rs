//! The gate, black box: what is held, who lets it go, what everyone is told of it.

use gatehouse::pb::v1::{self as pb, AccessLevel, ApprovalStatus, DeploymentStatus};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    World,
    engine::{Engine, on_both_engines},
    entry::{group, requiring, role, user},
    group_at, in_group, in_project, project_at, reason, violations,
};

on_both_engines! {
    a_deployment_is_held_until_the_last_required_approval
    a_rejection_fails_the_deployment_at_once
    a_refused_start_tells_what_holds_it
    represented_as_pins_a_vote_and_moves_it
    an_inbox_holds_what_waits_for_its_owner
    what_the_rules_no_longer_hold_is_let_go
    entries_that_do_not_qualify_are_refused_by_name
}

/// A project with the documented example: production asks for one approval of the QA group and two of the security
/// group, and Developers may deploy.
struct Gated {
    world: World,
    qa: i64,
    security: i64,
    /// Who is in the QA group, in the security group (three), in both; their tokens.
    quinn: String,
    guards: [String; 3],
    both: String,
}

impl Gated {
    async fn new(engine: Engine) -> Self {
        let world = World::new(engine).await;
        let mut ids = Vec::new();
        for name in ["qa-group", "security-group"] {
            ids.push(world.server.group(name).await.id);
            let request = pb::CreateGroupShareRequest {
                container: Some(in_project("acme/web")),
                group: Some(group_at(name)),
                access_level: AccessLevel::Reporter.into(),
                ..Default::default()
            };
            world
                .server
                .directory(&world.server.root)
                .create_group_share(request)
                .await
                .unwrap();
        }
        let mut secrets = Vec::new();
        for (name, groups) in [
            ("quinn", &["qa-group"][..]),
            ("guard-1", &["security-group"]),
            ("guard-2", &["security-group"]),
            ("guard-3", &["security-group"]),
            ("both", &["qa-group", "security-group"]),
        ] {
            secrets.push(world.server.user(name).await.1);
            for group in groups {
                world
                    .server
                    .member(in_group(group), name, AccessLevel::Developer)
                    .await;
            }
        }
        let [quinn, first, second, third, both] = secrets.try_into().unwrap();
        let gated = Self {
            qa: ids[0],
            security: ids[1],
            world,
            quinn,
            guards: [first, second, third],
            both,
        };
        gated
            .protect(
                "production",
                vec![role(30)],
                vec![requiring(1, group(gated.qa)), requiring(2, group(gated.security))],
            )
            .await
            .unwrap();
        gated
    }

    async fn protect(
        &self,
        name: &str,
        deploy_access_levels: Vec<pb::ProtectionEntry>,
        approval_rules: Vec<pb::ProtectionEntry>,
    ) -> Result<pb::ProtectEnvironmentResponse, Status> {
        let request = pb::ProtectEnvironmentRequest {
            container: Some(in_project("acme/web")),
            name: name.into(),
            deploy_access_levels,
            approval_rules,
            ..Default::default()
        };
        let mut client = self.world.server.protections(&self.world.maintainer);
        client
            .protect_environment(request)
            .await
            .map(Response::into_inner)
    }

    async fn submit(
        &self,
        token: &str,
        id: i64,
        status: ApprovalStatus,
        represented_as: &str,
    ) -> Result<pb::SubmitApprovalResponse, Status> {
        let request = pb::SubmitApprovalRequest {
            project: Some(project_at("acme/web")),
            deployment_id: id,
            status: status.into(),
            represented_as: represented_as.into(),
            ..Default::default()
        };
        self.world
            .server
            .approvals(token)
            .submit_approval(request)
            .await
            .map(Response::into_inner)
    }

    async fn approve(&self, token: &str, id: i64) -> Result<pb::SubmitApprovalResponse, Status> {
        self.submit(token, id, ApprovalStatus::Approved, "").await
    }

    async fn get(&self, token: &str, id: i64) -> pb::GetDeploymentResponse {
        let request = pb::GetDeploymentRequest {
            project: Some(project_at("acme/web")),
            deployment_id: id,
        };
        self.world
            .server
            .deployments(token)
            .get_deployment(request)
            .await
            .unwrap()
            .into_inner()
    }

    async fn status(&self, id: i64) -> DeploymentStatus {
        self.get(&self.world.reporter, id)
            .await
            .deployment
            .unwrap()
            .status()
    }

    async fn set(&self, token: &str, id: i64, status: DeploymentStatus) -> Result<pb::Deployment, Status> {
        let request = pb::UpdateDeploymentStatusRequest {
            project: Some(project_at("acme/web")),
            deployment_id: id,
            status: status.into(),
            ..Default::default()
        };
        let answer = self
            .world
            .server
            .deployments(token)
            .update_deployment_status(request)
            .await?;
        Ok(answer.into_inner().deployment.unwrap())
    }

    async fn explain(&self, token: &str, id: i64) -> Vec<pb::Hold> {
        let request = pb::ExplainDeploymentRequest {
            project: Some(project_at("acme/web")),
            deployment_id: id,
        };
        self.world
            .server
            .approvals(token)
            .explain_deployment(request)
            .await
            .unwrap()
            .into_inner()
            .holds
    }

    async fn inbox(&self, token: &str) -> Vec<i64> {
        let request = pb::ListPendingDecisionsRequest::default();
        let answer = self
            .world
            .server
            .approvals(token)
            .list_pending_decisions(request)
            .await;
        let decisions = answer.unwrap().into_inner().pending_decisions;
        decisions
            .into_iter()
            .map(|decision| decision.deployment.unwrap().id)
            .collect()
    }
}

async fn a_deployment_is_held_until_the_last_required_approval(engine: Engine) {
    let gated = Gated::new(engine).await;
    for asked in [DeploymentStatus::Running, DeploymentStatus::Created] {
        let held = gated.world.record("production", asked).await;
        assert_eq!(held.status(), DeploymentStatus::Blocked);
        let told = gated.get(&gated.world.developer, held.id).await;
        let viewer = told.viewer.unwrap();
        assert_eq!(told.approval_state.unwrap().pending_approval_count, 3);
        assert_eq!(viewer.approve.unwrap().reason, "SELF_APPROVAL");
        assert_eq!(viewer.start.unwrap().reason, "INVALID_TRANSITION");

        // The one in both groups comes first; whoever votes afterwards, nothing is wasted.
        for (token, pending) in [(&gated.both, 2), (&gated.guards[0], 1), (&gated.guards[1], 0)] {
            assert_eq!(gated.status(held.id).await, DeploymentStatus::Blocked);
            let answer = gated.approve(token, held.id).await.unwrap();
            assert_eq!(answer.approval_state.unwrap().pending_approval_count, pending);
        }
        assert_eq!(gated.status(held.id).await, DeploymentStatus::Created);
        assert_eq!(
            reason(gated.approve(&gated.guards[2], held.id).await),
            "NOT_WAITING_FOR_APPROVALS"
        );
        let again = gated.approve(&gated.both, held.id).await.unwrap();
        assert_eq!(again.approval.unwrap().status(), ApprovalStatus::Approved);
        let developer = &gated.world.developer;
        gated
            .set(developer, held.id, DeploymentStatus::Running)
            .await
            .unwrap();
        let done = gated
            .set(developer, held.id, DeploymentStatus::Success)
            .await
            .unwrap();
        assert!(!done.gate_bypassed);
        let rules = gated.get(developer, held.id).await.approval_state.unwrap().rules;
        let counts: Vec<_> = rules.iter().map(|rule| rule.deployment_approvals.len()).collect();
        assert_eq!(
            counts,
            [1, 2],
            "each approval stays under the rule that it counted for"
        );
    }
}

async fn a_rejection_fails_the_deployment_at_once(engine: Engine) {
    let gated = Gated::new(engine).await;
    let held = gated.world.record("production", DeploymentStatus::Running).await;
    gated.approve(&gated.quinn, held.id).await.unwrap();
    let answer = gated
        .submit(&gated.guards[0], held.id, ApprovalStatus::Rejected, "")
        .await
        .unwrap();
    let failed = answer.deployment.unwrap();
    assert_eq!(failed.status(), DeploymentStatus::Failed);
    assert_eq!(
        failed.failure_reason(),
        pb::DeploymentFailureReason::DeploymentRejected
    );
    assert_eq!(answer.approval_state.unwrap().pending_approval_count, 0);
    // It can still be told to have happened all the same; then it shows.
    let forced = gated
        .set(&gated.world.developer, held.id, DeploymentStatus::Success)
        .await
        .unwrap();
    assert!(forced.gate_bypassed);
}

async fn a_refused_start_tells_what_holds_it(engine: Engine) {
    let gated = Gated::new(engine).await;
    let held = gated.world.record("production", DeploymentStatus::Running).await;
    gated.approve(&gated.guards[0], held.id).await.unwrap();
    let refused = gated
        .set(&gated.world.developer, held.id, DeploymentStatus::Running)
        .await
        .unwrap_err();
    let holds = refused.get_details_precondition_failure().unwrap().violations;
    let told: Vec<_> = holds
        .iter()
        .map(|hold| (hold.r#type.as_str(), hold.description.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("APPROVALS_MISSING", "1 more approval of qa-group required"),
            ("APPROVALS_MISSING", "1 more approval of security-group required"),
        ]
    );
    let explained = gated.explain(&gated.world.developer, held.id).await;
    let approvers: Vec<Vec<_>> = explained
        .iter()
        .map(|hold| hold.approvers.iter().map(|user| user.username.as_str()).collect())
        .collect();
    let root = "root";
    assert_eq!(
        approvers,
        [
            vec![root, "quinn", "both"],
            vec![root, "guard-2", "guard-3", "both"]
        ]
    );
}

async fn represented_as_pins_a_vote_and_moves_it(engine: Engine) {
    let gated = Gated::new(engine).await;
    let held = gated.world.record("production", DeploymentStatus::Running).await;
    for (named, missing) in [("security", [1, 1]), ("qa-group", [0, 2])] {
        let answer = gated
            .submit(&gated.both, held.id, ApprovalStatus::Approved, named)
            .await
            .unwrap();
        let rules = answer.approval_state.unwrap().rules;
        assert_eq!(
            rules.iter().map(|rule| rule.missing).collect::<Vec<_>>(),
            missing,
            "{named}"
        );
    }
    let answer = gated
        .submit(&gated.quinn, held.id, ApprovalStatus::Approved, "security")
        .await;
    assert_eq!(reason(answer), "NO_RULE_REPRESENTED");
    let answer = gated
        .submit(&gated.world.developer, held.id, ApprovalStatus::Rejected, "")
        .await;
    assert_eq!(reason(answer), "APPROVAL_NOT_PERMITTED");
}

async fn an_inbox_holds_what_waits_for_its_owner(engine: Engine) {
    let gated = Gated::new(engine).await;
    let first = gated.world.record("production", DeploymentStatus::Running).await;
    let second = gated.world.record("production", DeploymentStatus::Running).await;
    assert_eq!(gated.inbox(&gated.quinn).await, [first.id, second.id]);
    gated.approve(&gated.quinn, first.id).await.unwrap();
    assert_eq!(gated.inbox(&gated.quinn).await, [second.id]);
    assert_eq!(gated.inbox(&gated.world.developer).await, [] as [i64; 0]);
}

async fn what_the_rules_no_longer_hold_is_let_go(engine: Engine) {
    let gated = Gated::new(engine).await;
    let held = gated.world.record("production", DeploymentStatus::Running).await;
    gated.approve(&gated.quinn, held.id).await.unwrap();
    let request = pb::DeleteMembershipRequest {
        container: Some(in_group("qa-group")),
        user: Some(crate::support::user_named("quinn")),
        ..Default::default()
    };
    let root = gated.world.server.root.clone();
    gated
        .world
        .server
        .directory(&root)
        .delete_membership(request)
        .await
        .unwrap();
    for guard in &gated.guards[..2] {
        gated.approve(guard, held.id).await.unwrap();
    }
    assert_eq!(
        gated.status(held.id).await,
        DeploymentStatus::Blocked,
        "the vote left with quinn"
    );
    gated
        .world
        .server
        .member(in_group("qa-group"), "quinn", AccessLevel::Reporter)
        .await;
    assert_eq!(
        gated.status(held.id).await,
        DeploymentStatus::Created,
        "and came back"
    );

    let other = gated.world.record("production", DeploymentStatus::Running).await;
    let request = pb::UnprotectEnvironmentRequest {
        container: Some(in_project("acme/web")),
        name: "production".into(),
        ..Default::default()
    };
    let maintainer = &gated.world.maintainer;
    gated
        .world
        .server
        .protections(maintainer)
        .unprotect_environment(request)
        .await
        .unwrap();
    assert_eq!(gated.status(other.id).await, DeploymentStatus::Created);
}

async fn entries_that_do_not_qualify_are_refused_by_name(engine: Engine) {
    let gated = Gated::new(engine).await;
    let stranger = gated.world.server.user("stranger").await.0;
    let answer = gated
        .protect(
            "staging",
            vec![role(40), user(stranger)],
            vec![
                requiring(6, group(gated.qa)),
                pb::ProtectionEntry {
                    user_id: Some(1),
                    ..role(40)
                },
                group(999),
            ],
        )
        .await;
    let told: Vec<_> = violations(answer)
        .into_iter()
        .map(|(entry, text)| format!("{entry}: {text}"))
        .collect();
    assert_eq!(
        told,
        [
            format!("deploy_access_levels[1]: user {stranger} has no Developer access to this project")
                .as_str(),
            "approval_rules[0]: required_approvals must be between 1 and 5",
            "approval_rules[1]: exactly one of access_level, group_id, user_id must be present",
            "approval_rules[2]: group 999 is not invited to this project",
        ]
    );
}
