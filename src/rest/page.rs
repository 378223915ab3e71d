//! Pages of a list: from `page`, `per_page` and `cursor` to the server's terms, and back to headers (contract
//! 3.5).

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use super::{
    call::Call,
    caller::SECRET_PARAMETERS,
    input::Input,
    params::{Params, Value},
    reply,
    route::Answer,
};

/// The largest page that is taken from the server, in bytes: as many rows as a page can have, each with texts as long as
/// they can be. (The longest are commit messages and descriptions of merge requests, of up to 1 MiB.)
pub(super) const BYTES_MAX: usize = 256 * 1024 * 1024;

const DEFAULT_PER_PAGE: i32 = 20;
const MAX_PER_PAGE: i32 = 100;
/// What would end the URL or the link for one client or another (client trap 6).
const UNSAFE_IN_LINK: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'<')
    .add(b'>');

const X_PER_PAGE: HeaderName = HeaderName::from_static("x-per-page");
const X_PAGE: HeaderName = HeaderName::from_static("x-page");
const X_NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");
const X_PREV_PAGE: HeaderName = HeaderName::from_static("x-prev-page");
const X_TOTAL: HeaderName = HeaderName::from_static("x-total");
const X_TOTAL_PAGES: HeaderName = HeaderName::from_static("x-total-pages");
const X_NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// How the client walks through the list.
#[derive(Debug, PartialEq, Eq)]
enum Walk {
    /// By number, from 1.
    Page(i64),
    /// From where the previous page ended; empty is the start.
    Cursor(String),
}

/// The page that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paging {
    walk: Walk,
    per_page: i32,
}

/// The page that was got.
pub(super) struct Page<T> {
    /// What is on it.
    pub rows: Vec<T>,
    /// Leads to the next page; empty on the last one.
    pub next_page_token: String,
    /// How many rows all pages have, if that was wanted and they are not too many to count.
    pub total_size: Option<i64>,
}

impl Paging {
    /// Numbered pages only.
    pub(super) fn numbered(input: &mut Input<'_>) -> Self {
        let page = input.integer("page").unwrap_or(1).max(1);
        let per_page = match input.integer("per_page") {
            Some(0) => {
                input.refuse("per_page has a value not allowed");
                DEFAULT_PER_PAGE
            }
            Some(wanted) if wanted > 0 => i32::try_from(wanted).unwrap_or(MAX_PER_PAGE).min(MAX_PER_PAGE),
            _ => DEFAULT_PER_PAGE,
        };
        Self {
            walk: Walk::Page(page),
            per_page,
        }
    }

    /// Numbered pages, or with `pagination=keyset` from `cursor` to `cursor` (product decision 2).
    pub(super) fn numbered_or_keyset(input: &mut Input<'_>) -> Self {
        let numbered = Self::numbered(input);
        if input.text("pagination").given().as_deref() != Some("keyset") {
            return numbered;
        }
        Self {
            walk: Walk::Cursor(input.text("cursor").given().unwrap_or_default()),
            ..numbered
        }
    }

    /// For the request's `page_size`.
    pub(super) fn page_size(&self) -> i32 {
        self.per_page
    }

    /// For the request's `skip`.
    pub(super) fn skip(&self) -> i64 {
        match self.walk {
            Walk::Page(page) => (page - 1).saturating_mul(i64::from(self.per_page)),
            Walk::Cursor(_) => 0,
        }
    }

    /// For the request's `page_token`.
    pub(super) fn page_token(&self) -> String {
        match &self.walk {
            Walk::Page(_) => String::new(),
            Walk::Cursor(cursor) => cursor.clone(),
        }
    }

    /// For the request's `want_total`.
    pub(super) fn want_total(&self) -> bool {
        matches!(self.walk, Walk::Page(_))
    }

    /// Answers with the rows and all headers of the page. `defaults` are the parameters that a link names
    /// even if the request did not.
    pub(super) fn reply<T: Serialize>(
        &self,
        call: &Call,
        defaults: &[(&'static str, &'static str)],
        page: &Page<T>,
    ) -> Answer {
        let mut response = reply::json(StatusCode::OK, &page.rows)?;
        set(&mut response, X_PER_PAGE, &self.per_page.to_string());
        let links = Links::new(call, defaults, self.per_page);
        match &self.walk {
            Walk::Page(number) => numbered_headers(&mut response, &links, *number, self.per_page, page),
            Walk::Cursor(_) => keyset_headers(&mut response, &links, &page.next_page_token),
        }
        Ok(response)
    }
}

fn numbered_headers<T>(response: &mut Response, links: &Links, number: i64, per_page: i32, page: &Page<T>) {
    // Beyond the last page there is no way back, as in the reference.
    let prev = (number > 1 && !page.rows.is_empty()).then(|| number - 1);
    let next = (!page.next_page_token.is_empty()).then(|| number.saturating_add(1));
    let pages = page.total_size.map(|total| total_pages(total, per_page));
    let text = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    set(response, X_PAGE, &number.to_string());
    set(response, X_NEXT_PAGE, &text(next));
    set(response, X_PREV_PAGE, &text(prev));
    if let (Some(total), Some(pages)) = (page.total_size, pages) {
        set(response, X_TOTAL, &total.to_string());
        set(response, X_TOTAL_PAGES, &pages.to_string());
    }
    let link: Vec<String> = [
        ("prev", prev),
        ("next", next),
        ("first", Some(1)),
        ("last", pages),
    ]
    .into_iter()
    .filter_map(|(rel, number)| number.map(|number| links.to("page", &number.to_string(), rel)))
    .collect();
    set(response, header::LINK, &link.join(", "));
}

fn keyset_headers(response: &mut Response, links: &Links, next_page_token: &str) {
    set(response, X_NEXT_CURSOR, next_page_token);
    if !next_page_token.is_empty() {
        set(
            response,
            header::LINK,
            &links.to("cursor", next_page_token, "next"),
        );
    }
}

fn total_pages(total: i64, per_page: i32) -> i64 {
    let per_page = i64::from(per_page.max(1));
    (total / per_page + i64::from(total % per_page > 0)).max(1)
}

/// What is no header value is left out; nothing that is set here can be none.
fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Makes the URLs of other pages: everything as in the request, secrets left out.
struct Links {
    url: String,
    params: Params,
}

impl Links {
    fn new(call: &Call, defaults: &[(&'static str, &'static str)], per_page: i32) -> Self {
        let mut params = call.params.clone();
        for secret in SECRET_PARAMETERS {
            params.remove(secret);
        }
        for (name, value) in defaults
            .iter()
            .filter(|(name, _)| matches!(call.params.get(name), None | Some(Value::Null)))
        {
            params.set(*name, Value::Text((*value).to_owned()));
        }
        params.set("id", Value::Text(call.segments.get("id").to_owned()));
        params.set("per_page", Value::Text(per_page.to_string()));
        let url = format!("{}{}", call.base, utf8_percent_encode(&call.path, UNSAFE_IN_LINK));
        Self { url, params }
    }

    fn to(&self, name: &str, value: &str, rel: &str) -> String {
        let mut params = self.params.clone();
        params.set(name, Value::Text(value.to_owned()));
        format!("<{}?{}>; rel=\"{rel}\"", self.url, params.to_query())
    }
}
