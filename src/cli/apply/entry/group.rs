//! A group.

use super::{Answer, Difference, Entry, differing, differs, number, split};
use crate::{
    cli::{
        client::{Server, group},
        word::Word,
    },
    pb::v1::{self as pb, Visibility},
};

#[derive(Debug)]
pub struct Group {
    pub place: String,
    pub path: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<Visibility>,
}

impl Entry for Group {
    type Found = pb::Group;

    fn place(&self) -> &str {
        &self.place
    }

    fn title(&self) -> String {
        format!("group {}", self.path)
    }

    async fn find(&self, server: &Server) -> Answer<Option<pb::Group>> {
        let request = pb::GetGroupRequest {
            group: Some(group(&self.path)),
        };
        Ok(server.directory().get_group(request).await?.into_inner().group)
    }

    fn etag(found: &pb::Group) -> &str {
        &found.etag
    }

    fn differences(&self, found: &pb::Group) -> Vec<Difference> {
        differing([
            differs("name", &found.name, self.name.as_ref()),
            differs("description", &found.description, self.description.as_ref()),
            differs(
                "visibility",
                &found.visibility().word(),
                self.visibility.map(Word::word),
            ),
        ])
    }

    async fn create(&self, server: &Server, request_id: String) -> Answer<Option<pb::Group>> {
        let (parent, path) = split(&self.path);
        let request = pb::CreateGroupRequest {
            parent,
            path,
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            visibility: number(self.visibility),
            request_id,
            validate_only: false,
        };
        Ok(server.directory().create_group(request).await?.into_inner().group)
    }

    async fn update(&self, server: &Server, etag: String, request_id: String) -> Answer<Option<pb::Group>> {
        let request = pb::UpdateGroupRequest {
            group: Some(group(&self.path)),
            name: self.name.clone(),
            description: self.description.clone(),
            visibility: self.visibility.map(Into::into),
            allow_missing: false,
            etag,
            request_id,
            validate_only: false,
        };
        Ok(server.directory().update_group(request).await?.into_inner().group)
    }
}
