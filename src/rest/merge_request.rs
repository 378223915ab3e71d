//! `/projects/:id/deployments/:deployment_id/merge_requests` (contract 2.7; product decision 11).

use super::{
    call::Call,
    coerce,
    error::Failure,
    input::Input,
    page::{self, Page, Paging},
    route::Answer,
    view::merge_request::{Form, MergeRequest},
    words,
};
use crate::pb::v1::{
    Anything, LabelMatch, LabelNames, ListDeploymentMergeRequestsRequest, MergeRequestExclusion,
    MergeRequestFilter, MergeRequestOrderBy, MergeRequestScope, MergeRequestSearchField, NameMatch,
    SortDirection, UserMatch, UserRef, label_match, merge_request_service_client::MergeRequestServiceClient,
    name_match, user_match, user_ref,
};

/// What a link names even if the request did not.
const DEFAULTS: &[(&str, &str)] = &[
    ("order_by", "created_at"),
    ("scope", "all"),
    ("sort", "desc"),
    ("state", "all"),
];

/// Lists the merge requests that a deployment shipped.
pub(super) async fn list(call: Call) -> Answer {
    let mut input = call.input();
    let deployment_id = input.path_integer("deployment_id", call.segments.get("deployment_id"));
    let order_by = input.choice("order_by", words::MERGE_REQUEST_ORDERS).given();
    let direction = input.choice("sort", words::DIRECTIONS).given();
    let filter = filter(&mut input);
    let form = Form {
        simple: input.choice("view", words::MERGE_REQUEST_VIEWS).given().is_some(),
        labels_with_details: input.boolean("with_labels_details").unwrap_or_default(),
    };
    // Nothing is kept that could be looked at again.
    input.boolean("with_merge_status_recheck");
    let paging = Paging::numbered(&mut input);
    input.finish()?;

    let request = ListDeploymentMergeRequestsRequest {
        project: Some(call.project()),
        deployment_id,
        filter: Some(filter),
        order_by: order_by.unwrap_or(MergeRequestOrderBy::CreatedAt).into(),
        direction: direction.unwrap_or(SortDirection::Desc).into(),
        page_size: paging.page_size(),
        page_token: paging.page_token(),
        skip: paging.skip(),
        want_total: paging.want_total(),
    };
    let found = MergeRequestServiceClient::new(call.channel())
        .max_decoding_message_size(page::BYTES_MAX)
        .list_deployment_merge_requests(call.request(request))
        .await;
    let page = match found {
        Ok(found) => {
            let found = found.into_inner();
            let rows = found.merge_requests.into_iter();
            Page {
                rows: rows.map(|row| MergeRequest::new(row, form, &call.base)).collect(),
                next_page_token: found.next_page_token,
                total_size: found.total_size,
            }
        }
        // The reference does not look the deployment up.
        Err(status) if Failure::is_missing_deployment(&status) => Page {
            rows: Vec::new(),
            next_page_token: String::new(),
            total_size: Some(0),
        },
        Err(status) => return Err(status.into()),
    };
    paging.reply(&call, DEFAULTS, &page)
}

/// Which merge requests are wanted, in the order in which the reference declares its parameters.
fn filter(input: &mut Input<'_>) -> MergeRequestFilter {
    let author = user(input, "author_id", "author_username");
    let assignee = match_user(input, "assignee_id", "assignee_username");
    let reviewer = match_user(input, "reviewer_id", "reviewer_username");
    let merged_by = user(input, "merge_user_id", "merge_user_username");
    let exclude = input.members("not", |input| MergeRequestExclusion {
        author: user(input, "author_id", "author_username"),
        assignee: user(input, "assignee_id", "assignee_username"),
        reviewer: user(input, "reviewer_id", "reviewer_username"),
        labels: labels(input).map(|names| LabelNames { names }),
        milestone: filled(input, "milestone"),
        my_reaction_emoji: filled(input, "my_reaction_emoji"),
    });
    MergeRequestFilter {
        state: input
            .choice("state", words::MERGE_REQUEST_STATE_FILTERS)
            .given()
            .flatten()
            .map(i32::from),
        iids: input.list("iids", coerce::integer_text).unwrap_or_default(),
        author,
        assignee,
        reviewer,
        merged_by,
        labels: labels(input).map(|names| LabelMatch {
            of: Some(match &names[..] {
                [only] if is(only, "none") => label_match::Of::None(Anything {}),
                [only] if is(only, "any") => label_match::Of::Any(Anything {}),
                _ => label_match::Of::All(LabelNames { names }),
            }),
        }),
        milestone: match_name(input, "milestone"),
        my_reaction_emoji: match_name(input, "my_reaction_emoji"),
        scope: input
            .choice("scope", words::MERGE_REQUEST_SCOPES)
            .given()
            .unwrap_or(MergeRequestScope::Unspecified)
            .into(),
        source_branch: filled(input, "source_branch"),
        target_branch: filled(input, "target_branch"),
        source_project_id: input.integer("source_project_id"),
        search: filled(input, "search"),
        search_in: search_in(input),
        draft: draft(input),
        created_after: input.time("created_after"),
        created_before: input.time("created_before"),
        updated_after: input.time("updated_after"),
        updated_before: input.time("updated_before"),
        merged_after: input.time("merged_after"),
        merged_before: input.time("merged_before"),
        environment: filled(input, "environment"),
        // Free text in the reference: what is no time does not filter.
        deployed_after: input.lenient_time("deployed_after"),
        deployed_before: input.lenient_time("deployed_before"),
        exclude,
    }
}

/// Whether this is a word, in any case.
fn is(text: &str, word: &str) -> bool {
    text.eq_ignore_ascii_case(word)
}

/// Text that filters only if there is some.
fn filled(input: &mut Input<'_>, name: &str) -> Option<String> {
    input.text(name).given().filter(|text| !text.is_empty())
}

fn by_id(id: i64) -> UserRef {
    UserRef {
        by: Some(user_ref::By::Id(id)),
    }
}

fn by_name(username: String) -> UserRef {
    UserRef {
        by: Some(user_ref::By::Username(username)),
    }
}

/// A user by id or by name, not both.
fn user(input: &mut Input<'_>, id: &str, username: &str) -> Option<UserRef> {
    input.exclusive(id, username);
    let by_id = input.integer(id).map(by_id);
    let by_name = one_name(input, username).map(by_name);
    by_id.or(by_name)
}

/// A user by id or by name, anybody, or nobody.
fn match_user(input: &mut Input<'_>, id: &str, username: &str) -> Option<UserMatch> {
    input.exclusive(id, username);
    let of = match filled(input, id) {
        None => None,
        Some(text) if is(&text, "none") => Some(user_match::Of::None(Anything {})),
        Some(text) if is(&text, "any") => Some(user_match::Of::Any(Anything {})),
        Some(text) => {
            let number = coerce::integer_text(&text);
            if number.is_none() {
                let label = input.label(id);
                input.refuse(format!(
                    "{label} should be an integer, none, or any, however got {text}"
                ));
            }
            number.map(|number| user_match::Of::User(by_id(number)))
        }
    };
    let by_name = one_name(input, username).map(|name| user_match::Of::User(by_name(name)));
    of.or(by_name).map(|of| UserMatch { of: Some(of) })
}

/// A username, sent as text or as a list of one.
fn one_name(input: &mut Input<'_>, name: &str) -> Option<String> {
    let mut names = input.list(name, |text| Some(text.to_owned()))?;
    if names.len() > 1 {
        let label = input.label(name);
        let (count, all) = (names.len(), names.join(", "));
        input.refuse(format!("{label} allows one value, but found {count}: {all}"));
    }
    names.pop()
}

/// Labels, if any are named.
fn labels(input: &mut Input<'_>) -> Option<Vec<String>> {
    input
        .list("labels", |text| Some(text.to_owned()))
        .filter(|names| !names.is_empty())
}

fn match_name(input: &mut Input<'_>, name: &str) -> Option<NameMatch> {
    let of = match filled(input, name)? {
        text if is(&text, "none") => name_match::Of::None(Anything {}),
        text if is(&text, "any") => name_match::Of::Any(Anything {}),
        text => name_match::Of::Name(text),
    };
    Some(NameMatch { of: Some(of) })
}

/// Where to search; words that are not known are passed over.
fn search_in(input: &mut Input<'_>) -> Vec<i32> {
    let words = input.list("in", |text| Some(text.to_owned())).unwrap_or_default();
    words
        .iter()
        .filter_map(|word| words::value(words::MERGE_REQUEST_SEARCH_FIELDS, word))
        .map(MergeRequestSearchField::into)
        .collect()
}

/// Whether drafts are wanted, by the old name or the new one.
fn draft(input: &mut Input<'_>) -> Option<bool> {
    input.exclusive("draft", "wip");
    let wip = input.choice("wip", words::YES_NO).given();
    input.boolean("draft").or(wip)
}

impl Input<'_> {
    /// Refuses two parameters that say the same.
    fn exclusive(&mut self, one: &str, other: &str) {
        if self.mentions(one) && self.mentions(other) {
            let (one, other) = (self.label(one), self.label(other));
            self.refuse(format!("{one}, {other} are mutually exclusive"));
        }
    }
}
