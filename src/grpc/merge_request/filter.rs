//! The list of merge requests that a request asks for.

use crate::{
    domain::{
        error::Error,
        id::{MergeRequestIid, ProjectId, UserId, UserKey},
        merge_request::query::{
            LabelMatch, MergeRequestExclusion, MergeRequestFilter, MergeRequestOrder, MergeRequestQuery,
            MergeRequestScope, NameMatch, Search, UserMatch,
        },
        page::Direction,
    },
    grpc::convert::{self, bad_value, missing},
    pb::v1 as pb,
};

/// The user that `field` names.
pub fn user_key(field: &str, reference: pb::UserRef) -> Result<UserKey, Error> {
    match reference.by.ok_or_else(|| missing(field))? {
        pb::user_ref::By::Id(id) => Ok(UserKey::Id(UserId(id))),
        pb::user_ref::By::Username(name) => {
            Ok(UserKey::Name(convert::text(&format!("{field}.username"), name)?))
        }
    }
}

fn optional_user(field: &str, reference: Option<pb::UserRef>) -> Result<Option<UserKey>, Error> {
    reference.map(|reference| user_key(field, reference)).transpose()
}

fn optional_text(field: &str, value: Option<String>) -> Result<Option<String>, Error> {
    value.map(|value| convert::text(field, value)).transpose()
}

fn user_match(field: &str, wanted: Option<pb::UserMatch>) -> Result<Option<UserMatch>, Error> {
    let Some(wanted) = wanted else { return Ok(None) };
    Ok(Some(match wanted.of.ok_or_else(|| missing(field))? {
        pb::user_match::Of::User(user) => UserMatch::User(user_key(&format!("{field}.user"), user)?),
        pb::user_match::Of::Any(_) => UserMatch::Any,
        pb::user_match::Of::None(_) => UserMatch::None,
    }))
}

fn name_match(field: &str, wanted: Option<pb::NameMatch>) -> Result<Option<NameMatch>, Error> {
    let Some(wanted) = wanted else { return Ok(None) };
    Ok(Some(match wanted.of.ok_or_else(|| missing(field))? {
        pb::name_match::Of::Name(name) => NameMatch::Name(convert::text(&format!("{field}.name"), name)?),
        pb::name_match::Of::Any(_) => NameMatch::Any,
        pb::name_match::Of::None(_) => NameMatch::None,
    }))
}

fn names(field: &str, names: Vec<String>) -> Result<Vec<String>, Error> {
    let numbered = names.into_iter().enumerate();
    numbered
        .map(|(index, name)| convert::text(&format!("{field}.names[{index}]"), name))
        .collect()
}

fn label_match(field: &str, wanted: Option<pb::LabelMatch>) -> Result<Option<LabelMatch>, Error> {
    let Some(wanted) = wanted else { return Ok(None) };
    Ok(Some(match wanted.of.ok_or_else(|| missing(field))? {
        pb::label_match::Of::All(all) => LabelMatch::All(names(&format!("{field}.all"), all.names)?),
        pb::label_match::Of::Any(_) => LabelMatch::Any,
        pb::label_match::Of::None(_) => LabelMatch::None,
    }))
}

fn exclusion(exclude: Option<pb::MergeRequestExclusion>) -> Result<MergeRequestExclusion, Error> {
    let exclude = exclude.unwrap_or_default();
    Ok(MergeRequestExclusion {
        author: optional_user("filter.exclude.author", exclude.author)?,
        assignee: optional_user("filter.exclude.assignee", exclude.assignee)?,
        reviewer: optional_user("filter.exclude.reviewer", exclude.reviewer)?,
        labels: names("filter.exclude.labels", exclude.labels.unwrap_or_default().names)?,
        milestone: optional_text("filter.exclude.milestone", exclude.milestone)?,
        my_reaction_emoji: optional_text("filter.exclude.my_reaction_emoji", exclude.my_reaction_emoji)?,
    })
}

fn search(text: Option<String>, fields: &[i32]) -> Result<Option<Search>, Error> {
    use pb::MergeRequestSearchField as Place;
    let text = optional_text("filter.search", text)?;
    let places = fields.iter().map(|&field| match Place::try_from(field) {
        Ok(Place::Unspecified) | Err(_) => Err(bad_value("filter.search_in")),
        Ok(place) => Ok(place),
    });
    let places = places.collect::<Result<Vec<Place>, _>>()?;
    let is_in = |place| places.is_empty() || places.contains(&place);
    Ok(text.map(|text| Search {
        title: is_in(Place::Title),
        description: is_in(Place::Description),
        ..Search::of(&text)
    }))
}

fn filter(filter: pb::MergeRequestFilter) -> Result<MergeRequestFilter, Error> {
    use pb::MergeRequestScope as Scope;
    let state = filter
        .state
        .map(|state| convert::read_merge_request_state("filter.state", state));
    let scope = match Scope::try_from(filter.scope) {
        Ok(Scope::Unspecified) => MergeRequestScope::All,
        Ok(Scope::CreatedByMe) => MergeRequestScope::CreatedByMe,
        Ok(Scope::AssignedToMe) => MergeRequestScope::AssignedToMe,
        Ok(Scope::ReviewsForMe) => MergeRequestScope::ReviewsForMe,
        Err(_) => return Err(bad_value("filter.scope")),
    };
    let time = convert::optional_time;
    let filter = MergeRequestFilter {
        state: state.transpose()?,
        iids: filter.iids.into_iter().map(MergeRequestIid).collect(),
        author: optional_user("filter.author", filter.author)?,
        assignee: user_match("filter.assignee", filter.assignee)?,
        reviewer: user_match("filter.reviewer", filter.reviewer)?,
        merged_by: optional_user("filter.merged_by", filter.merged_by)?,
        labels: label_match("filter.labels", filter.labels)?,
        milestone: name_match("filter.milestone", filter.milestone)?,
        my_reaction_emoji: name_match("filter.my_reaction_emoji", filter.my_reaction_emoji)?,
        scope,
        source_branch: optional_text("filter.source_branch", filter.source_branch)?,
        target_branch: optional_text("filter.target_branch", filter.target_branch)?,
        source_project_id: filter.source_project_id.map(ProjectId),
        search: search(filter.search, &filter.search_in)?,
        draft: filter.draft,
        created_after: time("filter.created_after", filter.created_after)?,
        created_before: time("filter.created_before", filter.created_before)?,
        updated_after: time("filter.updated_after", filter.updated_after)?,
        updated_before: time("filter.updated_before", filter.updated_before)?,
        merged_after: time("filter.merged_after", filter.merged_after)?,
        merged_before: time("filter.merged_before", filter.merged_before)?,
        environment: optional_text("filter.environment", filter.environment)?,
        deployed_after: time("filter.deployed_after", filter.deployed_after)?,
        deployed_before: time("filter.deployed_before", filter.deployed_before)?,
        exclude: exclusion(filter.exclude)?,
    };
    filter.check()?;
    Ok(filter)
}

/// The list that a request of `viewer` asks for.
pub fn query(
    viewer: UserId,
    asked: Option<pb::MergeRequestFilter>,
    order_by: i32,
    direction: i32,
) -> Result<MergeRequestQuery, Error> {
    use pb::MergeRequestOrderBy as By;
    let order = match By::try_from(order_by) {
        Ok(By::Unspecified | By::CreatedAt) => MergeRequestOrder::CreatedAt,
        Ok(By::UpdatedAt) => MergeRequestOrder::UpdatedAt,
        Ok(By::MergedAt) => MergeRequestOrder::MergedAt,
        Ok(By::Title) => MergeRequestOrder::Title,
        Ok(By::MilestoneDue) => MergeRequestOrder::MilestoneDue,
        Ok(By::Popularity) => MergeRequestOrder::Popularity,
        Ok(By::LabelPriority) => MergeRequestOrder::LabelPriority,
        Ok(By::Priority) => MergeRequestOrder::Priority,
        Err(_) => return Err(bad_value("order_by")),
    };
    let direction = match pb::SortDirection::try_from(direction) {
        Ok(pb::SortDirection::Unspecified | pb::SortDirection::Asc) => Direction::Ascending,
        Ok(pb::SortDirection::Desc) => Direction::Descending,
        Err(_) => return Err(bad_value("direction")),
    };
    Ok(MergeRequestQuery {
        viewer,
        filter: filter(asked.unwrap_or_default())?,
        order,
        direction,
    })
}
