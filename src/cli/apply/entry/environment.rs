//! An environment.

use super::{Answer, Difference, Entry, differing, differs, number};
use crate::{
    cli::{
        client::{Server, project},
        word::Word,
    },
    pb::v1::{self as pb, AutoStopSetting, EnvironmentRef, EnvironmentTier, environment_ref},
};

#[derive(Debug)]
pub struct Environment {
    pub place: String,
    pub project: String,
    pub name: String,
    pub tier: Option<EnvironmentTier>,
    pub external_url: Option<String>,
    pub description: Option<String>,
    pub auto_stop_setting: Option<AutoStopSetting>,
}

impl Environment {
    fn to_ref(&self) -> EnvironmentRef {
        EnvironmentRef {
            by: Some(environment_ref::By::Name(self.name.clone())),
        }
    }
}

impl Entry for Environment {
    type Found = pb::Environment;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("environment {} of {}", self.name, self.project)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Environment>> {
        let request = pb::GetEnvironmentRequest {
            project: Some(project(&self.project)),
            environment: Some(self.to_ref()),
        };
        Ok(server
            .environments()
            .get_environment(request)
            .await?
            .into_inner()
            .environment)
    }

    fn etag(found: &pb::Environment) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Environment) -> Vec<Difference> {
        let auto_stop_setting = self.auto_stop_setting.map(Word::word);
        differing([
            differs("tier", &found.tier().word(), self.tier.map(Word::word)),
            differs("external_url", found.external_url(), self.external_url.as_ref()),
            differs("description", found.description(), self.description.as_ref()),
            differs(
                "auto_stop_setting",
                &found.auto_stop_setting().word(),
                auto_stop_setting,
            ),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Environment>> {
        let request = pb::CreateEnvironmentRequest {
            project: Some(project(&self.project)),
            name: self.name.clone(),
            external_url: self.external_url.clone().unwrap_or_default(),
            tier: number(self.tier),
            description: self.description.clone().unwrap_or_default(),
            auto_stop_setting: number(self.auto_stop_setting),
            request_id,
            validate_only: false,
        };
        Ok(server
            .environments()
            .create_environment(request)
            .await?
            .into_inner()
            .environment)
    }

    async fn update(
        &self,
        server: &Server,
        etag: String,
        request_id: String,
    ) -> Answer<Option<pb::Environment>> {
        let request = pb::UpdateEnvironmentRequest {
            project: Some(project(&self.project)),
            environment: Some(self.to_ref()),
            external_url: self.external_url.clone(),
            tier: self.tier.map(Into::into),
            description: self.description.clone(),
            auto_stop_setting: self.auto_stop_setting.map(Into::into),
            etag,
            request_id,
            validate_only: false,
        };
        Ok(server
            .environments()
            .update_environment(request)
            .await?
            .into_inner()
            .environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_compared_by_words() {
        let wanted = Environment {
            place: "environments[0]".to_owned(),
            project: "acme/web".to_owned(),
            name: "production".to_owned(),
            tier: Some(EnvironmentTier::Production),
            external_url: None,
            description: None,
            auto_stop_setting: Some(AutoStopSetting::WithAction),
        };
        let found = pb::Environment {
            tier: EnvironmentTier::Other.into(),
            auto_stop_setting: AutoStopSetting::WithAction.into(),
            ..Default::default()
        };
        let difference = Difference {
            field: "tier",
            found: "other".to_owned(),
            wanted: "production".to_owned(),
        };
        assert_eq!(wanted.differences(&found), [difference]);
    }
}
