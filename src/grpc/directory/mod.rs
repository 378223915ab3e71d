//! DirectoryService: each call is told by the file of what it is about.

mod group;
mod membership;
mod project;
mod share;
mod user;

use tonic::{Request, Response, Status};

use super::Services;
use crate::{
    app::directory::Missing,
    pb::v1::{self as pb, directory_service_server::DirectoryService},
};

/// What `allow_missing` says.
fn missing(allow_missing: bool) -> Missing {
    if allow_missing {
        Missing::Create
    } else {
        Missing::Refuse
    }
}

#[tonic::async_trait]
impl DirectoryService for Services {
    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        user::create(&self.app, request).await
    }

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        user::get(&self.app, request).await
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        user::list(&self.app, request).await
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        user::update(&self.app, request).await
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        user::delete(&self.app, request).await
    }

    async fn create_group(
        &self,
        request: Request<pb::CreateGroupRequest>,
    ) -> Result<Response<pb::CreateGroupResponse>, Status> {
        group::create(&self.app, request).await
    }

    async fn get_group(
        &self,
        request: Request<pb::GetGroupRequest>,
    ) -> Result<Response<pb::GetGroupResponse>, Status> {
        group::get(&self.app, request).await
    }

    async fn list_groups(
        &self,
        request: Request<pb::ListGroupsRequest>,
    ) -> Result<Response<pb::ListGroupsResponse>, Status> {
        group::list(&self.app, request).await
    }

    async fn update_group(
        &self,
        request: Request<pb::UpdateGroupRequest>,
    ) -> Result<Response<pb::UpdateGroupResponse>, Status> {
        group::update(&self.app, request).await
    }

    async fn delete_group(
        &self,
        request: Request<pb::DeleteGroupRequest>,
    ) -> Result<Response<pb::DeleteGroupResponse>, Status> {
        group::delete(&self.app, request).await
    }

    async fn create_project(
        &self,
        request: Request<pb::CreateProjectRequest>,
    ) -> Result<Response<pb::CreateProjectResponse>, Status> {
        project::create(&self.app, request).await
    }

    async fn get_project(
        &self,
        request: Request<pb::GetProjectRequest>,
    ) -> Result<Response<pb::GetProjectResponse>, Status> {
        project::get(&self.app, request).await
    }

    async fn list_projects(
        &self,
        request: Request<pb::ListProjectsRequest>,
    ) -> Result<Response<pb::ListProjectsResponse>, Status> {
        project::list(&self.app, request).await
    }

    async fn update_project(
        &self,
        request: Request<pb::UpdateProjectRequest>,
    ) -> Result<Response<pb::UpdateProjectResponse>, Status> {
        project::update(&self.app, request).await
    }

    async fn delete_project(
        &self,
        request: Request<pb::DeleteProjectRequest>,
    ) -> Result<Response<pb::DeleteProjectResponse>, Status> {
        project::delete(&self.app, request).await
    }

    async fn create_membership(
        &self,
        request: Request<pb::CreateMembershipRequest>,
    ) -> Result<Response<pb::CreateMembershipResponse>, Status> {
        membership::create(&self.app, request).await
    }

    async fn get_membership(
        &self,
        request: Request<pb::GetMembershipRequest>,
    ) -> Result<Response<pb::GetMembershipResponse>, Status> {
        membership::get(&self.app, request).await
    }

    async fn list_memberships(
        &self,
        request: Request<pb::ListMembershipsRequest>,
    ) -> Result<Response<pb::ListMembershipsResponse>, Status> {
        membership::list(&self.app, request).await
    }

    async fn update_membership(
        &self,
        request: Request<pb::UpdateMembershipRequest>,
    ) -> Result<Response<pb::UpdateMembershipResponse>, Status> {
        membership::update(&self.app, request).await
    }

    async fn delete_membership(
        &self,
        request: Request<pb::DeleteMembershipRequest>,
    ) -> Result<Response<pb::DeleteMembershipResponse>, Status> {
        membership::delete(&self.app, request).await
    }

    async fn create_group_share(
        &self,
        request: Request<pb::CreateGroupShareRequest>,
    ) -> Result<Response<pb::CreateGroupShareResponse>, Status> {
        share::create(&self.app, request).await
    }

    async fn get_group_share(
        &self,
        request: Request<pb::GetGroupShareRequest>,
    ) -> Result<Response<pb::GetGroupShareResponse>, Status> {
        share::get(&self.app, request).await
    }

    async fn list_group_shares(
        &self,
        request: Request<pb::ListGroupSharesRequest>,
    ) -> Result<Response<pb::ListGroupSharesResponse>, Status> {
        share::list(&self.app, request).await
    }

    async fn update_group_share(
        &self,
        request: Request<pb::UpdateGroupShareRequest>,
    ) -> Result<Response<pb::UpdateGroupShareResponse>, Status> {
        share::update(&self.app, request).await
    }

    async fn delete_group_share(
        &self,
        request: Request<pb::DeleteGroupShareRequest>,
    ) -> Result<Response<pb::DeleteGroupShareResponse>, Status> {
        share::delete(&self.app, request).await
    }
}
