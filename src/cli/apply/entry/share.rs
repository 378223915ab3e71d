//! A share of a group or project with a group.

use super::{Answer, Container, Difference, Entry, differing, differs};
use crate::{
    cli::{
        client::{Server, group},
        word::Word,
    },
    pb::v1::{self as pb, AccessLevel},
};

#[derive(Debug)]
pub struct Share {
    pub place: String,
    pub container: Container,
    pub group: String,
    pub access: AccessLevel,
}

impl Entry for Share {
    type Found = pb::GroupShare;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("share of {} with {}", self.container.path(), self.group)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::GroupShare>> {
        let request = pb::GetGroupShareRequest {
            container: self.container.to_ref(),
            group: Some(group(&self.group)),
        };
        Ok(server
            .directory()
            .get_group_share(request)
            .await?
            .into_inner()
            .group_share)
    }

    fn etag(found: &pb::GroupShare) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::GroupShare) -> Vec<Difference> {
        differing([differs(
            "access",
            &found.access_level().word(),
            Some(self.access.word()),
        )])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::GroupShare>> {
        let request = pb::CreateGroupShareRequest {
            container: self.container.to_ref(),
            group: Some(group(&self.group)),
            access_level: self.access.into(),
            request_id,
            validate_only: false,
        };
        Ok(server
            .directory()
            .create_group_share(request)
            .await?
            .into_inner()
            .group_share)
    }

    async fn update(
        &self,
        server: &Server,
        etag: String,
        request_id: String,
    ) -> Answer<Option<pb::GroupShare>> {
        let request = pb::UpdateGroupShareRequest {
            container: self.container.to_ref(),
            group: Some(group(&self.group)),
            access_level: self.access.into(),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        Ok(server
            .directory()
            .update_group_share(request)
            .await?
            .into_inner()
            .group_share)
    }
}
