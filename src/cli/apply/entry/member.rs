//! A direct membership.

use super::{Answer, Container, Difference, Entry, differing, differs};
use crate::{
    cli::{
        client::{Server, user},
        word::Word,
    },
    pb::v1::{self as pb, AccessLevel},
};

#[derive(Debug)]
pub struct Member {
    pub place: String,
    pub container: Container,
    pub user: String,
    pub access: AccessLevel,
}

impl Entry for Member {
    type Found = pb::Membership;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("member {} of {}", self.user, self.container.path())
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Membership>> {
        let request = pb::GetMembershipRequest {
            container: self.container.to_ref(),
            user: Some(user(&self.user)),
        };
        Ok(server
            .directory()
            .get_membership(request)
            .await?
            .into_inner()
            .membership)
    }

    fn etag(found: &pb::Membership) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Membership) -> Vec<Difference> {
        differing([differs(
            "access",
            &found.access_level().word(),
            Some(self.access.word()),
        )])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Membership>> {
        let request = pb::CreateMembershipRequest {
            container: self.container.to_ref(),
            user: Some(user(&self.user)),
            access_level: self.access.into(),
            request_id,
            validate_only: false,
        };
        Ok(server
            .directory()
            .create_membership(request)
            .await?
            .into_inner()
            .membership)
    }

    async fn update(
        &self,
        server: &Server,
        etag: String,
        request_id: String,
    ) -> Answer<Option<pb::Membership>> {
        let request = pb::UpdateMembershipRequest {
            container: self.container.to_ref(),
            user: Some(user(&self.user)),
            access_level: self.access.into(),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        Ok(server
            .directory()
            .update_membership(request)
            .await?
            .into_inner()
            .membership)
    }
}
