//! The steps that a history is made of: each is done over the wire and in the model.

use gatehouse::pb::v1::{
    self as pb, ApprovalStatus, GroupInheritance, UserState,
    deployment_service_client::DeploymentServiceClient, environment_ref,
};

use super::{
    ENVIRONMENTS, History, TIERS, container, level,
    model::{self, Entry, GROUPS, PROJECTS, Place, Protection, Subject, USERS},
    status,
};
use crate::support::{SHA, group_at, project_at, user_named};

impl History {
    pub async fn create(&mut self) {
        // Few at a time, for each is looked at after every step.
        if self.model.deployments.len() >= 60 || self.blocked().len() >= 4 {
            return;
        }
        let (mut user, mut project, mut environment) = (self.user(), 0, ENVIRONMENTS[0]);
        // Most often where there is a gate, and somebody who may.
        for _ in 0..6 {
            (user, project) = (self.user(), self.dice.below(PROJECTS.len()));
            environment = self.dice.pick(&ENVIRONMENTS);
            let made = self.model.create(user, project, environment, "running");
            if made.is_ok_and(|made| made.status == "blocked") {
                break;
            }
        }
        let word = self
            .dice
            .pick(&["created", "running", "running", "running", "success", "failed"]);
        self.tell(
            "create",
            format_args!("by {user} in {project} {environment} {word}"),
        );
        let expected = self.model.create(user, project, environment, word);
        let request = pb::CreateDeploymentRequest {
            project: Some(project_at(PROJECTS[project])),
            environment: environment.to_owned(),
            // Each with a sha of its own, else the same success would be recorded once.
            sha: format!("{}{:03}", &SHA[..37], self.model.deployments.len()),
            r#ref: "main".to_owned(),
            status: status(word).into(),
            ..Default::default()
        };
        let mut calls = DeploymentServiceClient::new(self.acting(user));
        let answer = calls.create_deployment(request).await;
        let expected_outcome = expected.as_ref().map(drop).map_err(|&refusal| refusal);
        if let (Some(made), Ok(mut it)) = (self.agree(expected_outcome, answer), expected) {
            it.id = made.into_inner().deployment.unwrap().id;
            self.note(it.status);
            self.model
                .tiers
                .entry((project, environment))
                .or_insert_with(|| model::guess(environment));
            self.model.deployments.push(it);
        }
    }

    /// One of the deployments, most often a blocked one.
    fn deployment(&mut self) -> Option<usize> {
        let (all, blocked) = (self.model.deployments.len(), self.blocked());
        match (blocked.is_empty(), all) {
            (_, 0) => None,
            (false, _) if !self.dice.once_in(8) => Some(self.dice.pick(&blocked)),
            _ => Some(self.dice.below(all)),
        }
    }

    fn name(&mut self) -> String {
        let (user, group) = (self.user(), self.group());
        let own = |name: &str| name.to_owned();
        match self.dice.below(12) {
            0..6 => String::new(),
            6 => self.model.users[user].name.clone(),
            7 => self.model.groups[group].name.clone(),
            8 => own(GROUPS[group]),
            9 => own("Maintainers"),
            10 => own(self.dice.pick(&["q", "s", "Developers", "u", "Team", "secu"])),
            _ => own(GROUPS[group].rsplit('/').next().unwrap()),
        }
    }

    pub async fn decide(&mut self) {
        if self.blocked().is_empty() && !self.dice.once_in(4) {
            return self.create().await;
        }
        let Some(index) = self.deployment() else { return };
        let (user, approves, name) = (self.user(), !self.dice.once_in(14), self.name());
        let it = self.model.deployments[index].clone();
        self.tell(
            "decide",
            format_args!("by {user} about {} approves {approves} as {name:?}", it.id),
        );
        let expected = self.model.decide(user, index, approves, &name);
        let decision = if approves {
            ApprovalStatus::Approved
        } else {
            ApprovalStatus::Rejected
        };
        let request = pb::SubmitApprovalRequest {
            project: Some(project_at(PROJECTS[it.project])),
            deployment_id: it.id,
            status: decision.into(),
            represented_as: name,
            ..Default::default()
        };
        let answer = self.approvals(user).submit_approval(request).await;
        if let Some(answer) = self.agree(expected, answer) {
            let answer = answer.into_inner();
            let after = self.model.deployments[index].clone();
            self.note(if it.status == "blocked" && after.status == "created" {
                "quorum"
            } else {
                "vote"
            });
            let pending = answer.approval_state.unwrap().pending_approval_count;
            assert_eq!(i64::from(pending), self.model.pending(&after), "{}", self.told);
            assert_eq!(
                answer.deployment.unwrap().status(),
                status(after.status),
                "{}",
                self.told
            );
            assert_eq!(answer.approval.unwrap().user.unwrap().id, self.user_ids[user]);
        }
    }

    pub async fn advance(&mut self) {
        let Some(index) = self.deployment() else { return };
        let (user, word) = (
            self.user(),
            self.dice
                .pick(&["running", "running", "success", "success", "failed", "canceled"]),
        );
        // Most of what is blocked is left to be decided about.
        if matches!(word, "failed" | "canceled") && !self.dice.once_in(4) {
            return;
        }
        let it = self.model.deployments[index].clone();
        self.tell("advance", format_args!("by {user} {} to {word}", it.id));
        let expected = self.model.advance(user, index, word);
        let request = pb::UpdateDeploymentStatusRequest {
            project: Some(project_at(PROJECTS[it.project])),
            deployment_id: it.id,
            status: status(word).into(),
            ..Default::default()
        };
        let mut calls = DeploymentServiceClient::new(self.acting(user));
        let answer = calls.update_deployment_status(request).await;
        self.agree(expected, answer);
    }

    fn subject(&mut self) -> Subject {
        match self.dice.below(6) {
            0..2 => Subject::User(self.user()),
            2..4 => Subject::Group(self.group()),
            _ => Subject::Role(self.dice.pick(&[20, 30, 30, 40, 60])),
        }
    }

    /// An entry, and whether it may stand in the protections of a place.
    fn entry(&mut self, place: Place) -> (Entry, bool) {
        let mut subject = self.subject();
        if !self.model.qualifies(place, subject) && !self.dice.once_in(10) {
            subject = Subject::Role(self.dice.pick(&[20, 30, 40]));
        }
        let entry = Entry {
            id: 0,
            subject,
            inherited: self.dice.once_in(2),
            required: i64::try_from(1 + self.dice.below(2)).unwrap(),
        };
        (entry, self.model.qualifies(place, subject))
    }

    fn sent(&self, entry: &Entry) -> pb::ProtectionEntry {
        let mut sent = pb::ProtectionEntry {
            id: entry.id,
            group_inheritance: Some(
                if entry.inherited {
                    GroupInheritance::Inherited
                } else {
                    GroupInheritance::Direct
                }
                .into(),
            ),
            required_approvals: Some(i32::try_from(entry.required).unwrap()),
            ..Default::default()
        };
        match entry.subject {
            Subject::User(user) => sent.user_id = Some(self.user_ids[user]),
            Subject::Group(group) => sent.group_id = Some(self.group_ids[group]),
            Subject::Role(level) => sent.access_level = Some(level),
        }
        sent
    }

    fn protectable(&mut self) -> (Place, &'static str) {
        if self.dice.once_in(3) {
            let group = self.dice.pick(&[0, 0, 1, 2]);
            (Place::Group(group), self.dice.pick(&TIERS).0)
        } else {
            (
                Place::Project(self.dice.below(PROJECTS.len())),
                self.dice.pick(&ENVIRONMENTS),
            )
        }
    }

    pub async fn protect(&mut self) {
        let (place, name) = self.protectable();
        let mut good = true;
        let mut list = |history: &mut Self, count: usize| -> Vec<Entry> {
            let entries = (0..count).map(|_| history.entry(place));
            let entries: Vec<_> = entries.collect();
            good &= entries.iter().all(|(_, qualifies)| *qualifies);
            entries.into_iter().map(|(entry, _)| entry).collect()
        };
        let (levels, rules) = (1 + self.dice.below(2), self.dice.below(3));
        let levels = list(self, levels);
        let rules = list(self, rules);
        let count = i64::try_from(self.dice.below(3)).unwrap();
        self.tell(
            "protect",
            format_args!("{place:?} {name} {levels:?} {count} {rules:?}"),
        );
        let expected = if self.model.protections.contains_key(&(place, name)) {
            Err("ALREADY_EXISTS")
        } else if good {
            Ok(())
        } else {
            Err("INVALID_PROTECTION")
        };
        let request = pb::ProtectEnvironmentRequest {
            container: Some(container(place)),
            name: name.to_owned(),
            deploy_access_levels: levels.iter().map(|entry| self.sent(entry)).collect(),
            required_approval_count: i32::try_from(count).unwrap(),
            approval_rules: rules.iter().map(|entry| self.sent(entry)).collect(),
            ..Default::default()
        };
        let answer = self.protections().protect_environment(request).await;
        if let Some(answer) = self.agree(expected, answer) {
            let kept = Protection { levels, rules, count };
            self.keep(
                place,
                name,
                kept,
                answer.into_inner().protected_environment.unwrap(),
            );
        }
    }

    /// Takes a protection as the answer has it: with ids for what is new.
    fn keep(
        &mut self,
        place: Place,
        name: &'static str,
        mut kept: Protection,
        answer: pb::ProtectedEnvironment,
    ) {
        assert_eq!(
            kept.levels.len(),
            answer.deploy_access_levels.len(),
            "{}",
            self.told
        );
        assert_eq!(kept.rules.len(), answer.approval_rules.len(), "{}", self.told);
        for (entry, level) in kept.levels.iter_mut().zip(answer.deploy_access_levels) {
            entry.id = level.id;
        }
        for (entry, rule) in kept.rules.iter_mut().zip(answer.approval_rules) {
            assert_eq!(
                entry.required,
                i64::from(rule.required_approvals),
                "{}",
                self.told
            );
            entry.id = rule.id;
        }
        self.model.protections.insert((place, name), kept);
        self.model.settle();
    }

    pub async fn update(&mut self) {
        let all: Vec<_> = self.model.protections.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let (place, name) = self.dice.pick(&all);
        let mut kept = self.model.protections[&(place, name)].clone();
        let mut request = pb::UpdateProtectedEnvironmentRequest {
            container: Some(container(place)),
            name: name.to_owned(),
            ..Default::default()
        };
        let mut good = true;
        let rule = (!kept.rules.is_empty()).then(|| self.dice.below(kept.rules.len()));
        match (self.dice.below(8), rule) {
            (0..2, Some(index)) => {
                let rule = &mut kept.rules[index];
                rule.required = 3 - rule.required;
                request.approval_rules.push(pb::ProtectionEntry {
                    id: rule.id,
                    required_approvals: Some(i32::try_from(rule.required).unwrap()),
                    ..Default::default()
                });
            }
            (2..4, Some(index)) => {
                let rule = kept.rules.remove(index);
                request.approval_rules.push(pb::ProtectionEntry {
                    id: rule.id,
                    destroy: true,
                    ..Default::default()
                });
            }
            (4, Some(index)) => {
                let (mut entry, qualifies) = self.entry(place);
                good = qualifies || entry.subject == kept.rules[index].subject;
                entry.id = kept.rules[index].id;
                request.approval_rules.push(self.sent(&entry));
                kept.rules[index] = entry;
            }
            (5, _) => {
                let level = kept.levels.pop();
                good = !kept.levels.is_empty() || level.is_none();
                request
                    .deploy_access_levels
                    .extend(level.map(|level| pb::ProtectionEntry {
                        id: level.id,
                        destroy: true,
                        ..Default::default()
                    }));
            }
            (6, _) => {
                kept.count = i64::try_from(self.dice.below(3)).unwrap();
                request.required_approval_count = Some(i32::try_from(kept.count).unwrap());
            }
            _ if kept.rules.len() < 2 => {
                let (entry, qualifies) = self.entry(place);
                good = qualifies;
                request.approval_rules.push(self.sent(&entry));
                kept.rules.push(entry);
            }
            _ => {}
        }
        // Whose last level went with a user or group has to be given another first.
        good &= !kept.levels.is_empty();
        self.tell("update", format_args!("{place:?} {name} {request:?}"));
        let expected = if good { Ok(()) } else { Err("INVALID_PROTECTION") };
        let answer = self.protections().update_protected_environment(request).await;
        if let Some(answer) = self.agree(expected, answer) {
            let answer = answer.into_inner().protected_environment;
            let answer = answer.unwrap_or_else(|| panic!("no answer: {}", self.told));
            self.keep(place, name, kept, answer);
        }
    }

    pub async fn unprotect(&mut self) {
        let (place, name) = self.protectable();
        self.tell("unprotect", format_args!("{place:?} {name}"));
        let there = self.model.protections.remove(&(place, name)).is_some();
        self.model.settle();
        let request = pb::UnprotectEnvironmentRequest {
            container: Some(container(place)),
            name: name.to_owned(),
            ..Default::default()
        };
        let expected = if there {
            Ok(())
        } else {
            Err("PROTECTED_ENVIRONMENT_NOT_FOUND")
        };
        let answer = self.protections().unprotect_environment(request).await;
        self.agree(expected, answer);
    }

    /// Gives, changes or takes away (level 0) a membership.
    pub async fn set_member(&mut self, place: Place, user: usize, number: i32) {
        let key = (place, user);
        let present = self.model.members.get(&key).copied();
        if present.unwrap_or(0) == number || (number == 5 && matches!(place, Place::Project(_))) {
            return;
        }
        self.tell("member", format_args!("{user} of {place:?} at {number}"));
        let (container, user) = (Some(container(place)), Some(user_named(USERS[user])));
        let mut calls = self.server.directory(&self.server.root);
        if number == 0 {
            self.model.members.remove(&key);
            let request = pb::DeleteMembershipRequest {
                container,
                user,
                ..Default::default()
            };
            calls.delete_membership(request).await.unwrap();
        } else {
            self.model.members.insert(key, number);
            let request = pb::UpdateMembershipRequest {
                container,
                user,
                access_level: level(number).into(),
                allow_missing: true,
                ..Default::default()
            };
            calls.update_membership(request).await.unwrap();
        }
        self.model.settle();
    }

    /// Makes, changes or takes away (level 0) a share.
    pub async fn set_share(&mut self, place: Place, with: usize, number: i32) {
        let key = (place, with);
        let present = self.model.shares.get(&key).copied();
        if present.unwrap_or(0) == number || !self.model.groups[with].there {
            return;
        }
        self.tell("share", format_args!("{place:?} with {with} at {number}"));
        let (container, group) = (Some(container(place)), Some(group_at(GROUPS[with])));
        let mut calls = self.server.directory(&self.server.root);
        if number == 0 {
            self.model.shares.remove(&key);
            let request = pb::DeleteGroupShareRequest {
                container,
                group,
                ..Default::default()
            };
            calls.delete_group_share(request).await.unwrap();
        } else {
            self.model.shares.insert(key, number);
            let request = pb::UpdateGroupShareRequest {
                container,
                group,
                access_level: level(number).into(),
                allow_missing: true,
                ..Default::default()
            };
            calls.update_group_share(request).await.unwrap();
        }
        self.model.settle();
    }

    pub async fn set_tier(&mut self) {
        let all: Vec<_> = self.model.tiers.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let (project, environment) = self.dice.pick(&all);
        let (word, tier) = self.dice.pick(&TIERS);
        self.tell("tier", format_args!("of {project} {environment} is {word}"));
        self.model.tiers.insert((project, environment), word);
        self.model.settle();
        let request = pb::UpdateEnvironmentRequest {
            project: Some(project_at(PROJECTS[project])),
            environment: Some(pb::EnvironmentRef {
                by: Some(environment_ref::By::Name(environment.to_owned())),
            }),
            tier: Some(tier.into()),
            ..Default::default()
        };
        let mut calls = self.server.environments(&self.server.root);
        calls.update_environment(request).await.unwrap();
    }

    async fn change_user(&mut self, user: usize, request: pb::UpdateUserRequest) {
        let request = pb::UpdateUserRequest {
            user: Some(user_named(USERS[user])),
            ..request
        };
        let mut calls = self.server.directory(&self.server.root);
        calls.update_user(request).await.unwrap();
        self.model.settle();
    }

    /// Blocks somebody or lets them in again; seldom makes or unmakes an administrator.
    pub async fn set_user(&mut self) {
        let blocked =
            (1..USERS.len()).find(|&user| self.model.users[user].blocked && self.model.users[user].there);
        // Nobody stays out for long, else nobody were left to decide.
        let user = match blocked {
            Some(user) => user,
            None => self.ordinary(),
        };
        let it = &mut self.model.users[user];
        let mut request = pb::UpdateUserRequest::default();
        if self.dice.once_in(6) {
            it.admin = !it.admin;
            request.admin = Some(it.admin);
        } else {
            it.blocked = !it.blocked;
            let state = if it.blocked {
                UserState::Blocked
            } else {
                UserState::Active
            };
            request.state = Some(state.into());
        }
        let (blocked, admin) = (it.blocked, it.admin);
        self.tell("user", format_args!("{user} blocked {blocked} admin {admin}"));
        self.change_user(user, request).await;
    }

    pub async fn rename(&mut self) {
        let name = self
            .dice
            .pick(&["Security", "Quality", "team", "u1", "Maintainers"])
            .to_owned();
        if self.dice.once_in(2) {
            let user = self.ordinary();
            self.tell("rename", format_args!("user {user} to {name}"));
            self.model.users[user].name.clone_from(&name);
            let request = pb::UpdateUserRequest {
                name: Some(name),
                ..Default::default()
            };
            self.change_user(user, request).await;
        } else {
            let group = self.group();
            self.tell("rename", format_args!("group {group} to {name}"));
            self.model.groups[group].name.clone_from(&name);
            self.model.settle();
            let request = pb::UpdateGroupRequest {
                group: Some(group_at(GROUPS[group])),
                name: Some(name),
                ..Default::default()
            };
            let mut calls = self.server.directory(&self.server.root);
            calls.update_group(request).await.unwrap();
        }
    }

    pub async fn set_self_approval(&mut self) {
        let project = self.dice.below(PROJECTS.len());
        let allow = !self.model.self_approval[project];
        self.tell("self-approval", format_args!("in {project} {allow}"));
        self.model.self_approval[project] = allow;
        self.model.settle();
        let request = pb::UpdateProjectRequest {
            project: Some(project_at(PROJECTS[project])),
            allow_self_approval: Some(allow),
            ..Default::default()
        };
        let mut calls = self.server.directory(&self.server.root);
        calls.update_project(request).await.unwrap();
    }

    /// Deletes somebody, or a group that holds nothing.
    pub async fn delete(&mut self) {
        let mut calls = self.server.directory(&self.server.root);
        if self.dice.once_in(3) && self.model.groups[4].there {
            self.tell("delete", format_args!("group 4"));
            let group = Some(group_at(GROUPS[4]));
            let request = pb::DeleteGroupRequest {
                group,
                ..Default::default()
            };
            calls.delete_group(request).await.unwrap();
            self.model.delete_group(4);
        } else if self.model.users.iter().filter(|user| user.there).count() > 4 {
            let user = self.ordinary();
            self.tell("delete", format_args!("user {user}"));
            let request = pb::DeleteUserRequest {
                user: Some(user_named(USERS[user])),
                ..Default::default()
            };
            calls.delete_user(request).await.unwrap();
            self.model.delete_user(user);
        }
    }
}
