//! Parameter validation: all failing parameters together, in declaration order (contract 3.2).
//!
//! Per parameter presence is told first, then type, then blank, then choice. A value that failed is a
//! placeholder which nobody sees, because [`Input::finish`] refuses the request.

use chrono::NaiveDate;
use prost_types::Timestamp;

use super::{
    coerce::{self, Coerced},
    error::Failure,
    params::{Params, Value},
    words::{self, Words},
};

/// An optional parameter for which leaving out and saying null are different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field<T> {
    /// Not mentioned.
    Absent,
    /// Mentioned as null.
    Null,
    /// Mentioned with a value.
    Given(T),
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// What is to be changed: nothing if absent, to `cleared` if null.
    pub(super) fn or_cleared(self, cleared: T) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Null => Some(cleared),
            Self::Given(value) => Some(value),
        }
    }
}

/// The parameters of one request under validation.
pub(super) struct Input<'a> {
    params: &'a Params,
    /// What the names stand in, for an element of a list: `levels[0]`.
    place: String,
    today: NaiveDate,
    errors: Vec<String>,
}

impl<'a> Input<'a> {
    /// Starts to validate; `today` completes times of day.
    pub(super) fn new(params: &'a Params, today: NaiveDate) -> Self {
        Self {
            params,
            place: String::new(),
            today,
            errors: Vec::new(),
        }
    }

    /// What a parameter is called in errors: `name`, or `levels[0][name]`.
    pub(super) fn label(&self, name: &str) -> String {
        if self.place.is_empty() {
            name.to_owned()
        } else {
            format!("{}[{name}]", self.place)
        }
    }

    /// Whether the parameter is there at all, be it null.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.params.get(name).is_some()
    }

    /// Adds an error of the endpoint's own.
    pub(super) fn refuse(&mut self, error: impl Into<String>) {
        self.errors.push(error.into());
    }

    /// An integer of the path.
    pub(super) fn path_integer(&mut self, name: &str, segment: &str) -> i64 {
        coerce::integer_text(segment).unwrap_or_else(|| {
            self.refuse(format!("{} is invalid", self.label(name)));
            0
        })
    }

    /// Text that has to be there and may be blank.
    pub(super) fn required_text(&mut self, name: &str) -> String {
        self.presence(name);
        self.text(name).given().unwrap_or_default()
    }

    /// Text that has to be there and must not be blank.
    pub(super) fn filled_text(&mut self, name: &str) -> String {
        let text = self.required_text(name);
        let blank = match self.params.get(name) {
            None | Some(Value::Null) => true,
            Some(Value::List(values)) => values.is_empty(),
            Some(Value::Map(members)) => members.is_empty(),
            Some(Value::Garbled) => false,
            Some(Value::Bool(_) | Value::Number(_) | Value::Text(_)) => text.trim().is_empty(),
        };
        if blank {
            self.refuse(format!("{} is empty", self.label(name)));
        }
        text
    }

    /// Text that may be there.
    pub(super) fn text(&mut self, name: &str) -> Field<String> {
        self.coerced(name, coerce::text)
    }

    /// One of some words; has to be there.
    pub(super) fn required_choice<E: Copy + Default>(&mut self, name: &str, words: Words<E>) -> E {
        self.presence(name);
        match self.choice(name, words) {
            Field::Given(value) => value,
            Field::Absent | Field::Null => {
                self.refuse_choice(name);
                E::default()
            }
        }
    }

    /// One of some words, or null. What is no such word has been refused when this returns.
    pub(super) fn choice<E: Copy + Default>(&mut self, name: &str, words: Words<E>) -> Field<E> {
        match self.params.get(name).map(coerce::text) {
            None => Field::Absent,
            Some(Ok(None)) => Field::Null,
            Some(Ok(Some(word))) => Field::Given(words::value(words, &word).unwrap_or_else(|| {
                self.refuse_choice(name);
                E::default()
            })),
            Some(Err(_)) => {
                self.refuse(format!("{} is invalid", self.label(name)));
                self.refuse_choice(name);
                Field::Given(E::default())
            }
        }
    }

    /// True or false; has to be there, and not as null.
    pub(super) fn required_boolean(&mut self, name: &str) -> bool {
        self.presence(name);
        match self.coerced(name, coerce::boolean) {
            Field::Given(flag) => flag,
            Field::Absent => false,
            Field::Null => {
                self.refuse(format!("{} is invalid", self.label(name)));
                false
            }
        }
    }

    /// True or false, if there.
    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.coerced(name, coerce::boolean).given()
    }

    /// An integer, if there; what has been refused counts as absent, lest its range is refused as well.
    pub(super) fn integer(&mut self, name: &str) -> Option<i64> {
        coerce::integer(self.params.get(name)?).unwrap_or_else(|_| {
            self.refuse(format!("{} is invalid", self.label(name)));
            None
        })
    }

    /// One of some integers, if there.
    pub(super) fn integer_of(&mut self, name: &str, allowed: &[i64]) -> Option<i64> {
        match coerce::integer(self.params.get(name)?) {
            Ok(None) => None,
            Ok(Some(number)) if allowed.contains(&number) => Some(number),
            Ok(Some(_)) => {
                self.refuse_choice(name);
                None
            }
            Err(_) => {
                self.refuse(format!("{} is invalid", self.label(name)));
                self.refuse_choice(name);
                None
            }
        }
    }

    /// The elements of a list of objects, each read under its own place in the list; null and nothing are an empty list.
    pub(super) fn elements<T>(&mut self, name: &str, read: impl Fn(&mut Input<'_>) -> T) -> Vec<T> {
        let elements = match self.params.get(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Text(text)) if text.is_empty() => return Vec::new(),
            Some(Value::List(elements)) => elements,
            Some(_) => {
                self.refuse(format!("{} is invalid", self.label(name)));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let Value::Map(params) = element else {
                self.refuse(format!("{} is invalid", self.label(name)));
                return Vec::new();
            };
            let mut input = Input {
                params,
                place: format!("{}[{index}]", self.label(name)),
                today: self.today,
                errors: std::mem::take(&mut self.errors),
            };
            found.push(read(&mut input));
            self.errors = input.errors;
        }
        found
    }

    /// The elements of a list, sent as such or as text with commas, each read; none where the parameter is not there.
    pub(super) fn list<T>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let elements = match self.params.get(name)? {
            Value::Null => return None,
            Value::List(values) => values.iter().map(coerce::text).collect::<Result<Vec<_>, _>>(),
            other => coerce::text(other).map(|text| vec![text]),
        };
        let read: Option<Vec<T>> = elements.ok().and_then(|texts| {
            let texts = texts.into_iter().flatten();
            let parts: Vec<String> = texts
                .flat_map(|text| {
                    text.split(',')
                        .map(|part| part.trim().to_owned())
                        .collect::<Vec<_>>()
                })
                .filter(|part| !part.is_empty())
                .collect();
            parts.iter().map(|part| read(part)).collect()
        });
        if read.is_none() {
            self.refuse(format!("{} is invalid", self.label(name)));
        }
        read
    }

    /// The members of an object, read under its name; none where the parameter is not there.
    pub(super) fn members<T>(&mut self, name: &str, read: impl Fn(&mut Input<'_>) -> T) -> Option<T> {
        let params = match self.params.get(name)? {
            Value::Null => return None,
            Value::Text(text) if text.is_empty() => return None,
            Value::Map(params) => params,
            _ => {
                self.refuse(format!("{} is invalid", self.label(name)));
                return None;
            }
        };
        let mut input = Input {
            params,
            place: self.label(name),
            today: self.today,
            errors: std::mem::take(&mut self.errors),
        };
        let found = read(&mut input);
        self.errors = input.errors;
        Some(found)
    }

    /// A time, if there is one; anything else counts as none.
    pub(super) fn lenient_time(&mut self, name: &str) -> Option<Timestamp> {
        coerce::time(self.params.get(name)?, self.today).ok()?
    }

    /// A time, if there.
    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let today = self.today;
        self.coerced(name, |value| coerce::time(value, today)).given()
    }

    /// A time that has to be there; null passes as `None`.
    pub(super) fn required_time(&mut self, name: &str) -> Option<Timestamp> {
        self.presence(name);
        self.time(name)
    }

    /// Refuses the request if anything was wrong.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Failure::invalid_parameters(&self.errors))
        }
    }

    fn presence(&mut self, name: &str) {
        if !self.mentions(name) {
            self.refuse(format!("{} is missing", self.label(name)));
        }
    }

    fn refuse_choice(&mut self, name: &str) {
        self.refuse(format!("{} does not have a valid value", self.label(name)));
    }

    fn coerced<T: Default>(&mut self, name: &str, coerce: impl Fn(&Value) -> Coerced<T>) -> Field<T> {
        match self.params.get(name).map(coerce) {
            None => Field::Absent,
            Some(Ok(None)) => Field::Null,
            Some(Ok(Some(value))) => Field::Given(value),
            Some(Err(_)) => {
                self.refuse(format!("{} is invalid", self.label(name)));
                Field::Given(T::default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusals(json: serde_json::Value, validate: impl Fn(&mut Input<'_>)) -> Vec<String> {
        let serde_json::Value::Object(members) = json else {
            return Vec::new();
        };
        let params = Params::from(members);
        let mut input = Input::new(&params, NaiveDate::default());
        validate(&mut input);
        input.errors
    }

    #[test]
    fn text_tells_presence_then_type_then_blank() {
        for (sent, expected) in [
            (json!({}), &["a is missing", "a is empty"][..]),
            (json!({"a": null}), &["a is empty"]),
            (json!({"a": ""}), &["a is empty"]),
            (json!({"a": " \t"}), &["a is empty"]),
            (json!({"a": {}}), &["a is invalid", "a is empty"]),
            (json!({"a": [1]}), &["a is invalid"]),
            (json!({"a": "x\u{0}"}), &["a is invalid"]),
            (json!({"a": 0}), &[]),
            (json!({"a": false}), &[]),
        ] {
            let errors = refusals(sent.clone(), |input| {
                input.filled_text("a");
            });
            assert_eq!(errors, expected, "{sent}");
        }
    }

    #[test]
    fn a_missing_required_enum_reports_both_texts() {
        for (sent, expected) in [
            (json!({}), &["a is missing", "a does not have a valid value"][..]),
            (json!({"a": null}), &["a does not have a valid value"]),
            (json!({"a": ""}), &["a does not have a valid value"]),
            (json!({"a": "created"}), &["a does not have a valid value"]),
            (
                json!({"a": ["success"]}),
                &["a is invalid", "a does not have a valid value"],
            ),
            (json!({"a": "success"}), &[]),
        ] {
            let errors = refusals(sent.clone(), |input| {
                input.required_choice("a", words::REQUESTED_STATUSES);
            });
            assert_eq!(errors, expected, "{sent}");
        }
    }

    #[test]
    fn a_required_boolean_is_not_null() {
        for (sent, expected) in [
            (json!({}), &["a is missing"][..]),
            (json!({"a": null}), &["a is invalid"]),
            (json!({"a": ""}), &["a is invalid"]),
            (json!({"a": "maybe"}), &["a is invalid"]),
            (json!({"a": "false"}), &[]),
        ] {
            let errors = refusals(sent.clone(), |input| {
                input.required_boolean("a");
            });
            assert_eq!(errors, expected, "{sent}");
        }
    }

    #[test]
    fn an_absent_field_is_not_a_null_one() {
        let params = Params::from_form(b"given=x&null");
        let mut input = Input::new(&params, NaiveDate::default());
        assert_eq!(input.text("absent").or_cleared(String::new()), None);
        assert_eq!(input.text("null").or_cleared(String::new()), Some(String::new()));
        assert_eq!(
            input.text("given").or_cleared(String::new()),
            Some("x".to_owned())
        );
        assert_eq!(input.choice("absent", words::TIERS), Field::Absent);
        assert_eq!(input.choice("null", words::TIERS), Field::Null);
        assert_eq!(input.finish(), Ok(()));
    }
}
