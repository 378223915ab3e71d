//! Who calls: finds the token and the wish to act as somebody else, and passes both on (contract 3.1).
//!
//! Nothing is judged here but whether there is a token at all; the server judges tokens.

use http::{HeaderMap, header};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::{error::Failure, params::Params};

/// The parameters that carry secrets: they never come back in a URL (product decision 18).
pub(super) const SECRET_PARAMETERS: [&str; 5] = [
    "private_token",
    "access_token",
    "bearer_token",
    "job_token",
    "token",
];
const USER_TOKEN_PARAMETERS: [&str; 3] = ["private_token", "access_token", "bearer_token"];
const JOB_TOKEN_PARAMETERS: [&str; 2] = ["job_token", "token"];
/// Longer than any token or name; more would only run into the transport's limit on metadata.
const MAX_LENGTH: usize = 1024;

/// The header, and the metadata, that says how new what is read has to be: `strong` or `eventual`.
const CONSISTENCY: &str = "gatehouse-consistency";

/// What a request says about its caller, as metadata for the server.
pub(super) struct Caller {
    key: &'static str,
    token: MetadataValue<Ascii>,
    sudo: Option<MetadataValue<Ascii>>,
    consistency: Option<MetadataValue<Ascii>>,
}

impl Caller {
    /// Finds the caller: a parameter goes before a header, a user's token before a job's.
    pub(super) fn find(params: &Params, headers: &HeaderMap) -> Result<Self, Failure> {
        let user = parameter(params, &USER_TOKEN_PARAMETERS)
            .or_else(|| raw_header(headers, "private-token"))
            .or_else(|| bearer(headers));
        let job = || parameter(params, &JOB_TOKEN_PARAMETERS).or_else(|| raw_header(headers, "job-token"));
        let (key, token) = match user {
            Some(token) => ("private-token", token),
            None => ("job-token", job().ok_or_else(Failure::unauthorized)?),
        };
        let mut token = visible(&token).ok_or_else(Failure::unauthorized)?;
        token.set_sensitive(true);
        Ok(Self {
            key,
            token,
            sudo: sudo(params, headers)?,
            consistency: raw_header(headers, CONSISTENCY).and_then(|word| visible(&word)),
        })
    }

    /// Finds who has the secret of a webhook: a token that may report merge requests.
    pub(super) fn of_webhook(headers: &HeaderMap) -> Result<Self, Failure> {
        let token = raw_header(headers, "x-gitlab-token").ok_or_else(Failure::unauthorized)?;
        let mut token = visible(&token).ok_or_else(Failure::unauthorized)?;
        token.set_sensitive(true);
        Ok(Self {
            key: "private-token",
            token,
            sudo: None,
            consistency: None,
        })
    }

    /// Writes the caller into the metadata of a call.
    pub(super) fn write(&self, metadata: &mut MetadataMap) {
        metadata.insert(self.key, self.token.clone());
        if let Some(sudo) = &self.sudo {
            metadata.insert("sudo", sudo.clone());
        }
        if let Some(consistency) = &self.consistency {
            metadata.insert(CONSISTENCY, consistency.clone());
        }
    }
}

fn parameter(params: &Params, names: &[&str]) -> Option<Vec<u8>> {
    names
        .iter()
        .find_map(|name| params.text(name))
        .map(String::into_bytes)
}

fn raw_header(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    headers
        .get(name)
        .map(|value| value.as_bytes().trim_ascii().to_vec())
        .filter(|value| !value.is_empty())
}

fn bearer(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes().trim_ascii();
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then(|| token.to_vec())
}

fn sudo(params: &Params, headers: &HeaderMap) -> Result<Option<MetadataValue<Ascii>>, Failure> {
    let Some(user) = parameter(params, &["sudo"]).or_else(|| raw_header(headers, "sudo")) else {
        return Ok(None);
    };
    // A name that cannot travel is nobody's name.
    visible(&user)
        .map(Some)
        .ok_or_else(|| Failure::sudo_user_not_found(&String::from_utf8_lossy(&user)))
}

/// Metadata carries visible ASCII only.
fn visible(bytes: &[u8]) -> Option<MetadataValue<Ascii>> {
    let fits = bytes.len() <= MAX_LENGTH && bytes.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(bytes)
        .ok()
        .filter(|_| fits)
        .and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn found(query: &str, sent: &[(&'static str, &'static [u8])]) -> Option<String> {
        let headers = sent
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value).unwrap(),
                )
            })
            .collect();
        let caller = Caller::find(&Params::from_form(query.as_bytes()), &headers).ok()?;
        let mut metadata = MetadataMap::new();
        caller.write(&mut metadata);
        let mut text: Vec<String> = ["private-token", "job-token", "sudo"]
            .iter()
            .filter_map(|key| {
                metadata
                    .get(*key)
                    .map(|value| format!("{key}={}", value.to_str().unwrap()))
            })
            .collect();
        text.sort();
        Some(text.join(" "))
    }

    #[test]
    fn every_carrier_of_a_token_is_known_in_its_order() {
        let header: &[(&str, &[u8])] = &[("private-token", b"h")];
        let bearer: &[(&str, &[u8])] = &[("authorization", b"bEARER  b ")];
        let both: &[(&str, &[u8])] = &[("private-token", b"h"), ("authorization", b"Bearer b")];
        let job: &[(&str, &[u8])] = &[("job-token", b"j")];
        for (query, headers, expected) in [
            ("private_token=p", both, Some("private-token=p")),
            ("access_token=a", both, Some("private-token=a")),
            ("bearer_token=a", &[][..], Some("private-token=a")),
            ("private_token=", both, Some("private-token=h")),
            ("", header, Some("private-token=h")),
            ("", bearer, Some("private-token=b")),
            ("", job, Some("job-token=j")),
            ("job_token=q", &[][..], Some("job-token=q")),
            ("private_token=p&job_token=q", &[][..], Some("private-token=p")),
            (
                "private_token=p&sudo=joe",
                &[][..],
                Some("private-token=p sudo=joe"),
            ),
            (
                "private_token=p",
                &[("sudo", &b"7"[..])][..],
                Some("private-token=p sudo=7"),
            ),
            ("", &[][..], None),
            ("", &[("private-token", &b""[..])][..], None),
            ("", &[("authorization", &b"Basic eDp5"[..])][..], None),
            ("", &[("authorization", &b"Bearer "[..])][..], None),
            ("", &[("private-token", &b"\xff"[..])][..], None),
            ("private_token=%0A", header, None),
            ("private_token[]=p", &[][..], None),
            ("private_token=%00", &[][..], None),
        ] {
            assert_eq!(found(query, headers).as_deref(), expected, "{query} {headers:?}");
        }
    }

    #[test]
    fn a_user_whose_name_cannot_travel_is_not_found() {
        let params = Params::from_form("private_token=p&sudo=j%C3%B6rg".as_bytes());
        let refusal = Caller::find(&params, &HeaderMap::new()).err();
        assert_eq!(refusal, Some(Failure::sudo_user_not_found("jörg")));
    }
}
