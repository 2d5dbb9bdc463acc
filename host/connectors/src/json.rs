//! JSON documents of guests, read strictly: what could be understood in two ways, or costs the host far more than the guest, is
//! refused.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use usher_lifecycle::attributes::Attributes;

use crate::guest_text::line_of;

/// Largest JSON document of a guest, in bytes; the contract says so.
pub(crate) const JSON_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of a document. People's attributes have three or four levels; recursion over this is safe everywhere.
pub(crate) const DEPTH_MAX: usize = 32;
/// Most values in one document. A value may take two bytes of text and then takes 32 in the host, so bytes alone do not bound it;
/// an account with thousands of group names still fits.
const DOCUMENT_VALUES_MAX: usize = 20_000;
/// Most values in one answer, which may hold a thousand documents: 16 MiB of the host's memory, besides the texts.
const ANSWER_VALUES_MAX: usize = 500_000;
/// Longest name quoted in a message, in bytes.
const QUOTED_BYTES_MAX: usize = 100;

/// Reads the documents of one answer.
#[derive(Debug)]
pub(crate) struct Reader {
    values_left: usize,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            values_left: ANSWER_VALUES_MAX,
        }
    }

    /// Reads one document.
    pub(crate) fn document(&mut self, text: &str) -> Result<Value, String> {
        let mut left = DOCUMENT_VALUES_MAX.min(self.values_left);
        let before = left;
        let value = read(text, JSON_BYTES_MAX, &mut left)?;
        self.values_left -= before - left;
        Ok(value)
    }

    /// Reads attributes: one object; members that are `null` are absent.
    pub(crate) fn attributes(&mut self, text: &str) -> Result<Attributes, String> {
        match self.document(text)? {
            Value::Object(attributes) => Ok(usher_lifecycle::attributes::without_nulls(attributes)),
            _ => Err("attributes that are not a JSON object".to_owned()),
        }
    }
}

/// Reads one document of at most `bytes_max` bytes, and takes what it holds from `values_left`.
pub(crate) fn read(text: &str, bytes_max: usize, values_left: &mut usize) -> Result<Value, String> {
    if text.len() > bytes_max {
        return Err(format!(
            "JSON of {} bytes; at most {bytes_max} are accepted",
            text.len()
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let strict = Strict {
        levels_left: DEPTH_MAX,
        values_left,
    };
    let read = strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| {
        if error.is_data() {
            format!("JSON that is not accepted: {error}")
        } else {
            format!("not JSON: {error}")
        }
    })
}

/// One value, with what is left of the limits.
struct Strict<'l> {
    levels_left: usize,
    values_left: &'l mut usize,
}

impl Strict<'_> {
    fn inside<E: Error>(&mut self) -> Result<Strict<'_>, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Strict {
                levels_left,
                values_left: self.values_left,
            }),
            None => Err(E::custom(format_args!("nested deeper than {DEPTH_MAX} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        *self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom("more values than one document or answer may hold"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(self.inside()?)? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let member = members.next_value_seed(self.inside()?)?;
            if read.contains_key(&name) {
                // Two readers may take two different ones.
                return Err(A::Error::custom(format_args!(
                    "the name `{}` twice in one object",
                    line_of(&name, QUOTED_BYTES_MAX)
                )));
            }
            read.insert(name, member);
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Result<Value, String> {
        Reader::new().document(text)
    }

    #[test]
    fn ordinary_documents_are_read_as_they_are() {
        let text = r#"{"a":[1,-2,3.5,true,null,"\u00e4\ud83d\ude00"],"b":{},"c":18446744073709551615}"#;
        assert_eq!(
            document(text).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        let cases = [
            (r#"{"a":1,"a":2}"#, "the name `a` twice"),
            (r#"{"a":1,"\u0061":2}"#, "the name `a` twice"),
            (r#"[{"b":{"\u001b":1,"\u001b":1}}]"#, "the name `\\u{1b}` twice"),
            ("NaN", "not JSON"),
            ("-Infinity", "not JSON"),
            ("1e400", "not JSON"),
            (r#""\ud800""#, "not JSON"),
            (r#""\udc00\ud800""#, "not JSON"),
            ("01", "not JSON"),
            ("[1,]", "not JSON"),
            ("{} {}", "not JSON"),
            ("\u{feff}{}", "not JSON"),
            ("\"\t\"", "not JSON"),
            ("", "not JSON"),
        ];
        for (text, expected) in cases {
            let why = document(text).expect_err(text);
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    #[test]
    fn size_depth_and_number_of_values_are_capped() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(document(&nested(DEPTH_MAX)).is_ok());
        assert!(
            document(&nested(DEPTH_MAX + 2))
                .unwrap_err()
                .contains("nested deeper")
        );
        // Never closed: the reader must not need the end to know.
        assert!(
            document(&"[".repeat(100_000))
                .unwrap_err()
                .contains("nested deeper")
        );
        assert!(
            document(&" ".repeat(JSON_BYTES_MAX + 1))
                .unwrap_err()
                .contains("bytes")
        );
        let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(document(&zeros(DOCUMENT_VALUES_MAX - 1)).is_ok());
        assert!(
            document(&zeros(DOCUMENT_VALUES_MAX))
                .unwrap_err()
                .contains("more values")
        );
    }

    #[test]
    fn the_documents_of_one_answer_share_a_limit() {
        let mut reader = Reader::new();
        let text = format!("[{}0]", "0,".repeat(9_998));
        for _ in 0..50 {
            reader.document(&text).unwrap();
        }
        assert!(reader.document(&text).unwrap_err().contains("more values"));
    }

    #[test]
    fn attributes_are_an_object_without_nulls() {
        assert!(Reader::new().attributes("[]").is_err());
        let read = Reader::new().attributes(r#"{"a":null,"b":1}"#).unwrap();
        assert_eq!(Value::Object(read), serde_json::json!({"b": 1}));
    }
}
