//! Lengths and characters that texts may have.

use super::error::Error;

/// The longest name, URL or ref, in characters.
pub const NAME_MAX: usize = 255;
/// The longest description, in characters.
pub const DESCRIPTION_MAX: usize = 10_000;

/// Refuses a text of more than `max` characters.
pub fn at_most(field: &str, text: &str, max: usize) -> Result<(), Error> {
    if text.chars().count() > max {
        return Err(Error::resource(
            field,
            format!("is too long (maximum is {max} characters)"),
        ));
    }
    Ok(())
}

/// Refuses an empty text.
pub fn not_blank(field: &str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::resource(field, "can't be blank"));
    }
    Ok(())
}

/// Refuses control characters, NUL among them, which no store and no terminal takes well.
pub fn no_control(field: &str, text: &str) -> Result<(), Error> {
    if text.chars().any(char::is_control) {
        return Err(Error::resource(field, "can't contain control characters"));
    }
    Ok(())
}

/// Checks a name to show: not blank, at most 255 characters, no control characters.
pub fn display_name(field: &str, text: &str) -> Result<(), Error> {
    not_blank(field, text)?;
    at_most(field, text, NAME_MAX)?;
    no_control(field, text)
}

/// Checks a description: at most 10,000 characters, control characters only as white space.
pub fn description(field: &str, text: &str) -> Result<(), Error> {
    at_most(field, text, DESCRIPTION_MAX)?;
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err(Error::resource(field, "can't contain control characters"));
    }
    Ok(())
}

/// Checks a URL-like text of at most 255 characters: `scheme:rest`, and not a scheme that runs code when clicked
/// (contract 1.2).
pub fn url(field: &str, text: &str) -> Result<(), Error> {
    at_most(field, text, NAME_MAX)?;
    harmless_url(field, text)
}

/// Checks a URL-like text of any length: see [`url`].
pub fn harmless_url(field: &str, text: &str) -> Result<(), Error> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::resource(field, "URI is invalid"));
    }
    harmless_scheme(field, text)
}

/// Refuses a scheme that runs code when clicked. Blanks before it are no disguise: browsers skip them.
pub fn harmless_scheme(field: &str, text: &str) -> Result<(), Error> {
    let scheme = text
        .split_once(':')
        .map(|(scheme, _)| scheme.trim().to_ascii_lowercase());
    match scheme.as_deref() {
        Some(scheme @ ("data" | "javascript" | "vbscript")) => {
            Err(Error::resource(field, format!("{scheme} scheme is not allowed")))
        }
        _ => Ok(()),
    }
}

/// Checks an email address: at most 255 characters, one `@` with something on both sides, no blanks. Whether anybody
/// reads what is sent there, only sending tells.
pub fn email(field: &str, text: &str) -> Result<(), Error> {
    at_most(field, text, NAME_MAX)?;
    let sides = text.split_once('@');
    let formed =
        sides.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if !formed || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::resource(field, "is not an email address"));
    }
    Ok(())
}

/// Checks one segment of a path, or a username: 1 to 255 letters, digits, `_`, `-`, `.`, beginning with a letter, digit
/// or `_`, and not ending in `.`, `.git` or `.atom`, which URLs give another meaning.
pub fn path_segment(field: &str, text: &str) -> Result<(), Error> {
    not_blank(field, text)?;
    at_most(field, text, NAME_MAX)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let lower = text.to_ascii_lowercase();
    let ends_well = ![".", ".git", ".atom", ".json"]
        .iter()
        .any(|end| lower.ends_with(end));
    let numeric = text.chars().all(|c| c.is_ascii_digit());
    if !text.chars().all(allowed) || !starts_well || !ends_well || numeric {
        return Err(Error::resource(
            field,
            "can contain only letters, digits, '_', '-' and '.', must start with a letter, digit or '_', must not \
             be a number, and must not end in '.', '.git', '.atom' or '.json'",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_are_letters_digits_and_three_signs() {
        for good in ["a", "web", "a.b-c_d", "_x", "9lives", "A"] {
            assert!(path_segment("path", good).is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", " ", "a b", "-a", ".a", "a.", "a.git", "A.GIT", "a.json", "42", "a/b", "é", "a\0b", "../x",
            &long,
        ] {
            assert!(path_segment("path", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_email_address_has_one_at_sign_between_two_texts() {
        for good in ["a@b", "first.last@example.com", "é@example.com"] {
            assert!(email("email", good).is_ok(), "{good}");
        }
        let long = format!("{}@b", "a".repeat(254));
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "a\0@b", &long] {
            assert!(email("email", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn urls_that_run_code_are_refused_whatever_their_case() {
        for (text, wanted) in [
            ("https://example.com/x?y=1", None),
            ("anything goes", Some("URI is invalid")),
            ("mailto:x@example.com", None),
            ("no-scheme", None),
            ("JavaScript:alert(1)", Some("javascript scheme is not allowed")),
            ("data:text/html,x", Some("data scheme is not allowed")),
            ("vbscript:x", Some("vbscript scheme is not allowed")),
        ] {
            let got = url("external_url", text)
                .err()
                .map(|e| e.violations()[0].description.clone());
            assert_eq!(got.as_deref(), wanted, "{text}");
        }
    }
}
