//! Request parameters, whatever encoding brought them, under the nested names that Rack knows (contract 3.2).
//!
//! Nothing here fails: what makes no sense becomes [`Value::Garbled`], which is refused where a parameter of
//! that name is wanted, and does no harm where it is not.

use indexmap::IndexMap;
use percent_encoding::percent_decode;
use serde_json::Number;

/// Deeper names than any parameter has are not worth the stack they take.
const MAX_DEPTH: usize = 32;

/// A parameter's value before coercion.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// JSON's null.
    Null,
    /// JSON's true or false.
    Bool(bool),
    /// A JSON number.
    Number(Number),
    /// A JSON string, or a value of a form or query.
    Text(String),
    /// Not valid as text (bytes that are not UTF-8, a NUL) or a name used for two kinds of value.
    Garbled,
    /// A JSON array, or what `a[]=` collects.
    List(Vec<Value>),
    /// A JSON object, or what `a[b]=` collects.
    Map(Params),
}

impl Value {
    /// Text as it came, if it is text.
    pub(super) fn text(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Self::Text(text),
            _ => Self::Garbled,
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(flag),
            serde_json::Value::Number(number) => Self::Number(number),
            serde_json::Value::String(text) => Self::text(text.into_bytes()),
            serde_json::Value::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => Self::Map(members.into()),
        }
    }
}

/// Parameters by name, in the order of their first appearance; of equal names the last one counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Params(IndexMap<String, Value>);

impl From<serde_json::Map<String, serde_json::Value>> for Params {
    fn from(members: serde_json::Map<String, serde_json::Value>) -> Self {
        Self(
            members
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect(),
        )
    }
}

impl Params {
    /// Decodes a query string or a form.
    pub(super) fn from_form(encoded: &[u8]) -> Self {
        let mut params = Self::default();
        for pair in encoded
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = match equals {
                Some(at) => (&pair[..at], Value::text(form_decode(&pair[at + 1..]))),
                None => (pair, Value::Null),
            };
            params.add(&String::from_utf8_lossy(&form_decode(name)), value);
        }
        params
    }

    /// Adds one value under a name such as `a`, `a[]`, `a[b]` or `a[][b]`.
    pub(super) fn add(&mut self, name: &str, value: Value) {
        let (key, steps) = parse_name(name);
        if steps.len() > MAX_DEPTH {
            self.set(key, Value::Garbled);
        } else {
            self.put(key, &steps, value);
        }
    }

    /// The value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of that name, if it is non-empty text or can be read as such.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a parameter, whatever was there.
    pub(super) fn set(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }

    /// Takes a parameter out.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.shift_remove(name);
    }

    /// Lays other parameters over these.
    pub(super) fn merge(&mut self, over: Self) {
        self.0.extend(over.0);
    }

    /// The query string that says the same, sorted by name (contract 3.5).
    pub(super) fn to_query(&self) -> String {
        let mut pairs = Vec::new();
        for (name, value) in &self.0 {
            flatten(name, value, &mut pairs);
        }
        // Stable: the elements of a list keep their order.
        pairs.sort_by(|left, right| left.0.cmp(&right.0));
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish()
    }

    fn put(&mut self, key: &str, steps: &[Step<'_>], value: Value) {
        match steps {
            [] => self.set(key, value),
            [Step::Push] => {
                if let Some(list) = self.list(key) {
                    list.push(value);
                }
            }
            [Step::Push, Step::Key(inner), rest @ ..] => {
                let Some(list) = self.list(key) else { return };
                match list.last_mut() {
                    // A repeated inner key starts the next element.
                    Some(Value::Map(last)) if !last.has(inner, rest) => last.put(inner, rest, value),
                    _ => {
                        let mut element = Self::default();
                        element.put(inner, rest, value);
                        list.push(Value::Map(element));
                    }
                }
            }
            [Step::Push, Step::Push, ..] => self.set(key, Value::Garbled),
            [Step::Key(inner), rest @ ..] => {
                let slot = self
                    .0
                    .entry(key.to_owned())
                    .or_insert_with(|| Value::Map(Self::default()));
                match slot {
                    Value::Map(map) => map.put(inner, rest, value),
                    other => *other = Value::Garbled,
                }
            }
        }
    }

    fn list(&mut self, key: &str) -> Option<&mut Vec<Value>> {
        let slot = self
            .0
            .entry(key.to_owned())
            .or_insert_with(|| Value::List(Vec::new()));
        if !matches!(slot, Value::List(_)) {
            *slot = Value::Garbled;
        }
        match slot {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    fn has(&self, key: &str, steps: &[Step<'_>]) -> bool {
        match (self.get(key), steps) {
            (None, _) | (_, [Step::Push, ..]) => false,
            (Some(Value::Map(map)), [Step::Key(inner), rest @ ..]) => map.has(inner, rest),
            (Some(_), [] | [Step::Key(_), ..]) => true,
        }
    }
}

enum Step<'a> {
    Push,
    Key(&'a str),
}

/// Splits `a[b][]` into `a` and its steps; a name whose brackets do not pair is taken as it is.
fn parse_name(name: &str) -> (&str, Vec<Step<'_>>) {
    let Some(open) = name.find('[').filter(|at| *at > 0) else {
        return (name, Vec::new());
    };
    let (key, mut rest) = name.split_at(open);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let Some((inner, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once(']')) else {
            return (name, Vec::new());
        };
        steps.push(if inner.is_empty() {
            Step::Push
        } else {
            Step::Key(inner)
        });
        rest = after;
    }
    (key, steps)
}

fn form_decode(encoded: &[u8]) -> Vec<u8> {
    let blanks: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&blanks).collect()
}

fn flatten(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Bool(flag) => pairs.push((name.to_owned(), flag.to_string())),
        Value::Number(number) => pairs.push((name.to_owned(), number.to_string())),
        Value::Text(text) => pairs.push((name.to_owned(), text.clone())),
        // A query cannot say null: `a` alone is read as such, but `a=` is written.
        Value::Null | Value::Garbled => {}
        Value::List(values) => {
            for value in values {
                flatten(&format!("{name}[]"), value, pairs);
            }
        }
        Value::Map(members) => {
            for (key, value) in &members.0 {
                flatten(&format!("{name}[{key}]"), value, pairs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn from_json(json: serde_json::Value) -> Params {
        match json {
            serde_json::Value::Object(members) => members.into(),
            _ => Params::default(),
        }
    }

    #[test]
    fn nested_names_follow_racks_rules() {
        for (form, expected) in [
            ("", json!({})),
            ("a=1&b=2", json!({"a": "1", "b": "2"})),
            ("a=1&a=2", json!({"a": "2"})),
            ("&a=1&&", json!({"a": "1"})),
            ("a", json!({"a": null})),
            ("a=", json!({"a": ""})),
            ("=1", json!({"": "1"})),
            ("a=b=c", json!({"a": "b=c"})),
            ("a=x+y%2Bz", json!({"a": "x y+z"})),
            ("a=%zz%", json!({"a": "%zz%"})),
            ("a[]=1&a[]=2", json!({"a": ["1", "2"]})),
            ("a%5B%5D=1&a%5b%5d=2", json!({"a": ["1", "2"]})),
            ("a[b]=1&a[c]=2", json!({"a": {"b": "1", "c": "2"}})),
            ("a[b][]=1&a[b][]=2", json!({"a": {"b": ["1", "2"]}})),
            (
                "a[][b]=1&a[][c]=2&a[][b]=3",
                json!({"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
            ),
            (
                "a[][b][c]=1&a[][b][d]=2&a[][b][c]=3",
                json!({"a": [{"b": {"c": "1", "d": "2"}}, {"b": {"c": "3"}}]}),
            ),
            ("a[][b][]=1&a[][b][]=2", json!({"a": [{"b": ["1", "2"]}]})),
            ("a[b=1", json!({"a[b": "1"})),
            ("[a]=1", json!({"[a]": "1"})),
            ("a[b]c=1", json!({"a[b]c": "1"})),
        ] {
            assert_eq!(Params::from_form(form.as_bytes()), from_json(expected), "{form}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_garbled_and_harms_nobody_else() {
        let deep = format!("a{}=1&b=2", "[x]".repeat(MAX_DEPTH + 1));
        for form in [
            "a=%ff&b=2",
            "a=x%00&b=2",
            "a=1&a[b]=2&b=2",
            "a=1&a[]=2&b=2",
            "a[]=1&a[b]=2&b=2",
            "a[][]=1&b=2",
            &deep,
        ] {
            let params = Params::from_form(form.as_bytes());
            assert_eq!(params.get("a"), Some(&Value::Garbled), "{form}");
            assert_eq!(params.text("b").as_deref(), Some("2"), "{form}");
        }
    }

    #[test]
    fn a_query_is_sorted_and_encoded() {
        for (form, expected) in [
            ("b=2&a=1", "a=1&b=2"),
            ("a=x%20y%2C%3B%3C", "a=x+y%2C%3B%3C"),
            ("a[]=2&a[]=1", "a%5B%5D=2&a%5B%5D=1"),
            ("a[b]=1", "a%5Bb%5D=1"),
            ("a=%ff&b=1", "b=1"),
            ("a&b=", "b="),
        ] {
            assert_eq!(Params::from_form(form.as_bytes()).to_query(), expected, "{form}");
        }
    }

    #[test]
    fn the_later_parameters_win() {
        let mut params = Params::from_form(b"a=1&b=2");
        params.merge(from_json(json!({"b": 3, "c": null})));
        assert_eq!(params, from_json(json!({"a": "1", "b": 3, "c": null})));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(form in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Params::from_form(&form).to_query();
        }

        #[test]
        fn no_brackets_make_the_decoder_panic(form in "[ab\\[\\]=&%5BD]{0,60}") {
            let _ = Params::from_form(form.as_bytes()).to_query();
        }
    }
}
