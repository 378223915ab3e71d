//! The address that the client dialled, which every URL in an answer starts with (contract 3.5, client trap
//! 6).

use http::{HeaderMap, Uri, header, uri::Authority};

/// The configured part of the question where this server is.
#[derive(Debug, Clone)]
pub(super) struct Siting {
    /// Overrides everything; without a trailing slash.
    external_url: Option<String>,
    /// Whether `X-Forwarded-Proto` and `X-Forwarded-Host` come from a proxy that may be believed.
    trust_proxy: bool,
}

impl Siting {
    /// Gives the external URL back if nothing can start with it.
    pub(super) fn new(external_url: Option<String>, trust_proxy: bool) -> Result<Self, String> {
        let external_url = match external_url {
            Some(url) if !is_base(&url) => return Err(url),
            other => other.map(|url| url.trim_end_matches('/').to_owned()),
        };
        Ok(Self {
            external_url,
            trust_proxy,
        })
    }

    /// Scheme and host, and what else the external URL has, without a trailing slash.
    pub(super) fn base(&self, headers: &HeaderMap, uri: &Uri) -> String {
        if let Some(url) = &self.external_url {
            return url.clone();
        }
        let forwarded = |name: &str| self.trust_proxy.then(|| first(headers, name)).flatten();
        let scheme = match forwarded("x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
            _ => "http",
        };
        let host = forwarded("x-forwarded-host")
            .or_else(|| first(headers, header::HOST.as_str()))
            .or_else(|| uri.authority().map(Authority::as_str))
            .filter(|host| is_host(host))
            .unwrap_or("localhost");
        format!("{scheme}://{host}")
    }
}

/// The first of a header's values; every proxy on the way may have added one.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    value
        .split(',')
        .next()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn is_base(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(is_host)
            && uri.query().is_none()
    })
}

/// Nothing that could break out of a `Link` header or a URL.
fn is_host(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn base(siting: &Siting, sent: &[(&'static str, &'static str)]) -> String {
        let headers = sent
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        siting.base(&headers, &Uri::from_static("/api/v4/version"))
    }

    #[test]
    fn the_base_is_what_the_client_dialled() {
        let direct = Siting::new(None, false).unwrap();
        let proxied = Siting::new(None, true).unwrap();
        let fixed = Siting::new(Some("https://gate.example/x/".to_owned()), true).unwrap();
        let host = ("host", "gate:8080");
        let forwarded = [
            host,
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "a.example, b.example"),
        ];
        for (siting, sent, expected) in [
            (&direct, &[host][..], "http://gate:8080"),
            (&direct, &forwarded[..], "http://gate:8080"),
            (&proxied, &forwarded[..], "https://a.example"),
            (&proxied, &[host][..], "http://gate:8080"),
            (&fixed, &forwarded[..], "https://gate.example/x"),
            (&direct, &[("host", "[::1]:8080")][..], "http://[::1]:8080"),
            (&direct, &[("host", "a\",<b>")][..], "http://localhost"),
            (&direct, &[][..], "http://localhost"),
        ] {
            assert_eq!(base(siting, sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn an_external_url_is_one_that_urls_can_start_with() {
        for (url, expected) in [
            ("https://gate.example", true),
            ("http://gate.example:8080/x", true),
            ("gate.example", false),
            ("ftp://gate.example", false),
            ("https://", false),
            ("https://gate.example?x", false),
            ("", false),
        ] {
            assert_eq!(
                Siting::new(Some(url.to_owned()), false).is_ok(),
                expected,
                "{url:?}"
            );
        }
    }
}
