//! From a parameter as sent to the type that is wanted (contract 3.2).

use chrono::NaiveDate;
use prost_types::Timestamp;

use super::{params::Value, time};

const TRUE: &[&str] = &[
    "1", "t", "T", "true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON",
];
const FALSE: &[&str] = &[
    "0", "f", "F", "false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF",
];

/// The value cannot be read as the type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// A coerced value; `None` is null.
pub(super) type Coerced<T> = Result<Option<T>, Invalid>;

/// Text as it is; numbers and booleans as they are written.
pub(super) fn text(value: &Value) -> Coerced<String> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Text(text) => Ok(Some(text.clone())),
        Value::Garbled | Value::List(_) | Value::Map(_) => Err(Invalid),
    }
}

/// A decimal integer; beyond 64 bits it becomes the nearest one, which no page and no id reaches either.
pub(super) fn integer(value: &Value) -> Coerced<i64> {
    match value {
        Value::Bool(_) => Err(Invalid),
        other => scalar(other, integer_text),
    }
}

/// True or false in any of the usual words.
pub(super) fn boolean(value: &Value) -> Coerced<bool> {
    scalar(value, |text| {
        if TRUE.contains(&text) {
            Some(true)
        } else if FALSE.contains(&text) {
            Some(false)
        } else {
            None
        }
    })
}

/// A time in any form that [`time::parse`] reads.
pub(super) fn time(value: &Value, today: NaiveDate) -> Coerced<Timestamp> {
    match value {
        Value::Number(_) | Value::Bool(_) => Err(Invalid),
        other => scalar(other, |text| time::parse(text, today)),
    }
}

/// An optional sign and digits, possibly between blanks.
pub(super) fn integer_text(text: &str) -> Option<i64> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(limit))
}

/// Empty text is null, whatever type is wanted.
fn scalar<T>(value: &Value, read: impl Fn(&str) -> Option<T>) -> Coerced<T> {
    match text(value)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => read(&text).map(Some).ok_or(Invalid),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(json: serde_json::Value) -> Value {
        json.into()
    }

    #[test]
    fn numbers_and_booleans_are_text_too() {
        for (sent, expected) in [
            (json!("prod"), Ok(Some("prod"))),
            (json!(" prod "), Ok(Some(" prod "))),
            (json!(""), Ok(Some(""))),
            (json!(123), Ok(Some("123"))),
            (json!(1.5), Ok(Some("1.5"))),
            (json!(true), Ok(Some("true"))),
            (json!(null), Ok(None)),
            (json!([1]), Err(Invalid)),
            (json!({"a": 1}), Err(Invalid)),
            (json!("a\u{0}b"), Err(Invalid)),
        ] {
            assert_eq!(
                text(&value(sent.clone())),
                expected.map(|e| e.map(str::to_owned)),
                "{sent}"
            );
        }
    }

    #[test]
    fn integers_are_decimal() {
        for (sent, expected) in [
            (json!("2"), Ok(Some(2))),
            (json!(" 2 "), Ok(Some(2))),
            (json!("010"), Ok(Some(10))),
            (json!("+7"), Ok(Some(7))),
            (json!("-7"), Ok(Some(-7))),
            (json!(7), Ok(Some(7))),
            (json!("99999999999999999999"), Ok(Some(i64::MAX))),
            (json!("-99999999999999999999"), Ok(Some(i64::MIN))),
            (json!(""), Ok(None)),
            (json!(null), Ok(None)),
            (json!("1.5"), Err(Invalid)),
            (json!(1.5), Err(Invalid)),
            (json!("abc"), Err(Invalid)),
            (json!("0x10"), Err(Invalid)),
            (json!("+-1"), Err(Invalid)),
            (json!("-"), Err(Invalid)),
            (json!(" "), Err(Invalid)),
            (json!("٣"), Err(Invalid)),
            (json!(true), Err(Invalid)),
            (json!([]), Err(Invalid)),
        ] {
            assert_eq!(integer(&value(sent.clone())), expected, "{sent}");
        }
    }

    #[test]
    fn booleans_know_the_usual_words() {
        for word in [
            "1", "t", "T", "true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON",
        ] {
            assert_eq!(boolean(&value(json!(word))), Ok(Some(true)), "{word}");
        }
        for word in [
            "0", "f", "F", "false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF",
        ] {
            assert_eq!(boolean(&value(json!(word))), Ok(Some(false)), "{word}");
        }
        for (sent, expected) in [
            (json!(true), Ok(Some(true))),
            (json!(1), Ok(Some(true))),
            (json!(false), Ok(Some(false))),
            (json!(0), Ok(Some(false))),
            (json!(""), Ok(None)),
            (json!(null), Ok(None)),
            (json!("maybe"), Err(Invalid)),
            (json!("2"), Err(Invalid)),
            (json!(2), Err(Invalid)),
            (json!("yEs"), Err(Invalid)),
            (json!([true]), Err(Invalid)),
        ] {
            assert_eq!(boolean(&value(sent.clone())), expected, "{sent}");
        }
    }

    #[test]
    fn times_are_text() {
        let today = NaiveDate::from_ymd_opt(2026, 5, 4).unwrap();
        assert!(matches!(time(&value(json!("2019-03-15")), today), Ok(Some(_))));
        assert_eq!(time(&value(json!("")), today), Ok(None));
        assert_eq!(time(&value(json!(1_552_636_800)), today), Err(Invalid));
        assert_eq!(time(&value(json!(20_190_315)), today), Err(Invalid));
        assert_eq!(time(&value(json!("yesterday")), today), Err(Invalid));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_coercion_panic(sent in "\\PC{0,30}") {
            let sent = Value::Text(sent);
            let today = NaiveDate::from_ymd_opt(2026, 5, 4).unwrap();
            let _ = (text(&sent), integer(&sent), boolean(&sent), time(&sent, today));
        }

        #[test]
        fn every_integer_reads_back(number in any::<i64>()) {
            prop_assert_eq!(integer(&Value::Text(number.to_string())), Ok(Some(number)));
        }
    }
}
