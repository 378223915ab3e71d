//! Finds the row of the route table for a path.
//!
//! Matching is on the raw path: `group%2Fproject` is one segment, and is decoded only after it has been found
//! to be the value of a placeholder. Neither `//` nor `..` is tidied up.

use std::pin::Pin;

use axum::response::Response;
use http::Method;
use percent_encoding::percent_decode_str;

use super::{call::Call, error::Failure, params::Value};

/// What a handler gives back: the answer, or the refusal.
pub(super) type Answer = Result<Response, Failure>;

/// What all paths begin with.
pub(super) const BASE: &str = "/api/v4/";

/// The placeholder whose value is never an id, even if it looks like one: it keeps whatever it ends in (product decision
/// 22).
const NAME: &str = "name";

/// A handler, as the route table holds it.
pub(super) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// One documented endpoint.
pub(super) struct Route {
    /// The method; GET answers HEAD as well.
    pub method: Method,
    /// The path below [`BASE`], or, of a webhook, from the root; `:name` stands for any one segment.
    pub pattern: &'static str,
    /// What answers.
    pub handler: Handler,
}

impl Route {
    /// Whether it is no part of the API: its caller is who has the secret of a webhook.
    pub(super) fn is_webhook(&self) -> bool {
        self.pattern.starts_with('/')
    }
}

/// The decoded values of a pattern's placeholders; `None` where they decode to no text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Segments(Vec<(&'static str, Option<String>)>);

impl Segments {
    /// The placeholders whose values are no text.
    pub(super) fn garbled(&self) -> impl Iterator<Item = &'static str> {
        self.0
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| *name)
    }

    /// The value of a placeholder; empty if the pattern has none of that name.
    pub(super) fn get(&self, name: &str) -> &str {
        let value = self
            .0
            .iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| value.as_deref());
        value.unwrap_or_default()
    }
}

/// The first row that fits method and path.
pub(super) fn find<'r>(routes: &'r [Route], method: &Method, path: &str) -> Option<(&'r Route, Segments)> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    routes
        .iter()
        .filter(|route| route.method == *method)
        .find_map(|route| segments(route.pattern, path).map(|found| (route, found)))
}

/// The methods that a path knows, as an `Allow` header has them; `None` if nothing is at that path.
pub(super) fn allowed(routes: &[Route], path: &str) -> Option<String> {
    let mut methods = vec!["OPTIONS"];
    for route in routes
        .iter()
        .filter(|route| segments(route.pattern, path).is_some())
    {
        if !methods.contains(&route.method.as_str()) {
            methods.push(route.method.as_str());
        }
    }
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    (methods.len() > 1).then(|| methods.join(", "))
}

fn segments(pattern: &'static str, path: &str) -> Option<Segments> {
    let (pattern, path) = match pattern.strip_prefix('/') {
        Some(pattern) => (pattern, path.strip_prefix('/')?),
        None => (pattern, path.strip_prefix(BASE)?),
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut wanted = pattern.split('/').peekable();
    let mut sent = path.split('/');
    let mut found = Vec::new();
    while let Some(part) = wanted.next() {
        let segment = sent.next()?;
        let last = wanted.peek().is_none();
        match part.strip_prefix(':') {
            Some(name) => {
                let suffixed = last && name != NAME;
                found.push((name, text(placeholder(segment, suffixed)?)));
            }
            None if segment == part || (last && segment.strip_suffix(".json") == Some(part)) => {}
            None => return None,
        }
    }
    sent.next().is_none().then_some(Segments(found))
}

/// The raw value of a placeholder, unless the segment is empty: that is no value. An id may be `suffixed`.
fn placeholder(segment: &str, suffixed: bool) -> Option<&str> {
    let number = segment
        .strip_suffix(".json")
        .filter(|stem| suffixed && is_id(stem));
    Some(number.unwrap_or(segment)).filter(|raw| !raw.is_empty())
}

fn text(raw: &str) -> Option<String> {
    match Value::text(percent_decode_str(raw).collect()) {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Whether the text is an id rather than a path or a name. (Names may end in `.json`, ids may not.)
pub(super) fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "projects/:id/deployments";
    const ONE: &str = "projects/:id/deployments/:deployment_id";
    const PROJECT: &str = "projects/:id";
    const PROTECTED: &str = "projects/:id/protected_environments/:name";

    fn found(pattern: &'static str, path: &str) -> Option<Vec<String>> {
        segments(pattern, path).map(|found| found.0.into_iter().filter_map(|(_, value)| value).collect())
    }

    #[test]
    fn paths_match_raw_and_decode_after() {
        for (pattern, path, expected) in [
            (LIST, "/api/v4/projects/7/deployments", Some(vec!["7"])),
            (
                LIST,
                "/api/v4/projects/group%2Fproj/deployments",
                Some(vec!["group/proj"]),
            ),
            (
                LIST,
                "/api/v4/projects/a%2fb%2Fc%2Ed%2De%5Ff/deployments",
                Some(vec!["a/b/c.d-e_f"]),
            ),
            (LIST, "/api/v4/projects/a%252Fb/deployments", Some(vec!["a%2Fb"])),
            (LIST, "/api/v4/projects/7/deployments/", Some(vec!["7"])),
            (LIST, "/api/v4/projects/7/deployments.json", Some(vec!["7"])),
            (
                LIST,
                "/api/v4/projects/a%2Fb.json/deployments",
                Some(vec!["a/b.json"]),
            ),
            (LIST, "/api/v4/projects/a/b/deployments", None),
            (LIST, "/api/v4/projects//deployments", None),
            (LIST, "//api/v4/projects/7/deployments", None),
            (LIST, "/api/v4/projects/7/deployments//", None),
            (LIST, "/api/v4/projects/7/deployments.xml", None),
            (LIST, "/api/v4/projects/7/Deployments", None),
            (LIST, "/api/v4/projects/7", None),
            (LIST, "*", None),
            (LIST, "", None),
            (
                ONE,
                "/api/v4/projects/7/deployments/42.json",
                Some(vec!["7", "42"]),
            ),
            (
                ONE,
                "/api/v4/projects/7/deployments/%34%32",
                Some(vec!["7", "42"]),
            ),
            (ONE, "/api/v4/projects/7/deployments/..", Some(vec!["7", ".."])),
            (PROJECT, "/api/v4/projects/7.json", Some(vec!["7"])),
            (PROJECT, "/api/v4/projects/a%2Fb.json", Some(vec!["a/b.json"])),
            (PROJECT, "/api/v4/projects/%zz", Some(vec!["%zz"])),
            (
                PROTECTED,
                "/api/v4/projects/7/protected_environments/review%2Fx%20y%2Ez",
                Some(vec!["7", "review/x y.z"]),
            ),
            (
                PROTECTED,
                "/api/v4/projects/7/protected_environments/5.json",
                Some(vec!["7", "5.json"]),
            ),
        ] {
            let expected = expected.map(|values| values.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found(pattern, path), expected, "{path}");
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_garbled() {
        for path in ["/api/v4/projects/%ff", "/api/v4/projects/a%00b"] {
            let found = segments(PROJECT, path).unwrap();
            assert_eq!(found.garbled().collect::<Vec<_>>(), ["id"], "{path}");
            assert_eq!(found.get("id"), "");
        }
    }

    #[test]
    fn an_id_is_digits_with_an_optional_minus() {
        for (text, expected) in [
            ("7", true),
            ("-7", true),
            ("007", true),
            ("+7", false),
            ("", false),
            ("-", false),
            ("7a", false),
        ] {
            assert_eq!(is_id(text), expected, "{text:?}");
        }
    }
}
