//! Filters (RFC 7644, section 3.4.2.2): parsed once, asked of each resource.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::attribute::AttributeName;
use crate::error::ScimError;

/// Longest filter, in bytes: far more than a client of these tests sends.
const FILTER_BYTES_MAX: usize = 4_096;
/// Deepest nesting of parentheses and `not`: the parser recurses.
const FILTER_DEPTH_MAX: u32 = 16;

/// A condition on a resource, or on one element of a multi-valued attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// The attribute has some value.
    Present(AttributeName),
    /// One of its values compares so.
    Compare(AttributeName, Comparison, Value),
    /// One of its elements satisfies the inner filter.
    Element(AttributeName, Box<Filter>),
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// At least one.
    Or(Box<Filter>, Box<Filter>),
    /// Not.
    Not(Box<Filter>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Filter {
    /// Reads a filter; all of the text must be one.
    pub(crate) fn parse(text: &str) -> Result<Self, ScimError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(ScimError::bad("invalidFilter", "the filter is too long"));
        }
        let mut parser = Parser {
            tokens: tokens(text)?,
            next: 0,
            depth: 0,
        };
        let filter = parser.any()?;
        match parser.peek() {
            None => Ok(filter),
            Some(extra) => Err(wrong(&format!("{extra:?} was not expected"))),
        }
    }

    /// Whether the resource or element satisfies it.
    pub(crate) fn matches(&self, object: &Map<String, Value>) -> bool {
        match self {
            Self::Present(name) => name
                .values(object)
                .iter()
                .any(|value| !value.is_null() && value.as_str() != Some("")),
            Self::Compare(name, Comparison::NotEqual, wanted) => {
                !compare_any(name, Comparison::Equal, wanted, object)
            }
            Self::Compare(name, comparison, wanted) => compare_any(name, *comparison, wanted, object),
            Self::Element(name, inner) => name
                .values(object)
                .iter()
                .any(|value| value.as_object().is_some_and(|value| inner.matches(value))),
            Self::And(left, right) => left.matches(object) && right.matches(object),
            Self::Or(left, right) => left.matches(object) || right.matches(object),
            Self::Not(inner) => !inner.matches(object),
        }
    }

    /// The values a new element must have to satisfy it, where it says so plainly (`type eq "work" and …`).
    pub(crate) fn as_element(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Compare(name, Comparison::Equal, value)
                if name.part.is_none() && name.extension.is_none() =>
            {
                Some(Map::from_iter([(name.attribute.clone(), value.clone())]))
            }
            Self::And(left, right) => {
                let mut element = left.as_element()?;
                element.extend(right.as_element()?);
                Some(element)
            }
            Self::Compare(..) | Self::Present(_) | Self::Element(..) | Self::Or(..) | Self::Not(_) => None,
        }
    }
}

fn compare_any(name: &AttributeName, how: Comparison, wanted: &Value, object: &Map<String, Value>) -> bool {
    let values = name.values(object);
    if wanted.is_null() {
        return how == Comparison::Equal && values.is_empty();
    }
    values.iter().any(|value| match value.as_object() {
        // `emails eq "x"` means `emails.value eq "x"`.
        Some(element) => {
            crate::attribute::get(element, "value").is_some_and(|value| compare(value, how, wanted, name))
        }
        None => compare(value, how, wanted, name),
    })
}

fn compare(value: &Value, how: Comparison, wanted: &Value, name: &AttributeName) -> bool {
    let order = match (value, wanted) {
        (Value::String(value), Value::String(wanted)) if name.is_case_exact() => {
            return compare_text(value, how, wanted);
        }
        (Value::String(value), Value::String(wanted)) => {
            return compare_text(&value.to_lowercase(), how, &wanted.to_lowercase());
        }
        (Value::Bool(value), Value::Bool(wanted)) => (value == wanted).then_some(Ordering::Equal),
        (Value::Number(value), Value::Number(wanted)) => value
            .as_f64()
            .zip(wanted.as_f64())
            .and_then(|(value, wanted)| value.partial_cmp(&wanted)),
        _ => None,
    };
    order.is_some_and(|order| is_order(order, how))
}

fn compare_text(value: &str, how: Comparison, wanted: &str) -> bool {
    match how {
        Comparison::Contains => value.contains(wanted),
        Comparison::StartsWith => value.starts_with(wanted),
        Comparison::EndsWith => value.ends_with(wanted),
        Comparison::Equal
        | Comparison::NotEqual
        | Comparison::Greater
        | Comparison::GreaterOrEqual
        | Comparison::Less
        | Comparison::LessOrEqual => is_order(value.cmp(wanted), how),
    }
}

fn is_order(order: Ordering, how: Comparison) -> bool {
    match how {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith => false,
    }
}

fn wrong(detail: &str) -> ScimError {
    ScimError::bad("invalidFilter", detail)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    OpenElement,
    CloseElement,
}

fn tokens(text: &str) -> Result<Vec<Token>, ScimError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenElement, 1),
            ']' => (Token::CloseElement, 1),
            '"' => quoted(rest)?,
            _ => {
                let length = rest
                    .find([' ', '\t', '(', ')', '[', ']', '"'])
                    .unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A JSON string at the start of `rest`, and how long it is.
fn quoted(rest: &str) -> Result<(Token, usize), ScimError> {
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    match stream.next() {
        Some(Ok(text)) => Ok((Token::Text(text), stream.byte_offset())),
        _ => Err(wrong("a quoted value does not end or is not JSON")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Result<Token, ScimError> {
        let token = self
            .peek()
            .cloned()
            .ok_or_else(|| wrong("the filter ends too early"))?;
        self.next += 1;
        Ok(token)
    }

    /// Takes the token if it is this word.
    fn takes_word(&mut self, wanted: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), ScimError> {
        let token = self.take()?;
        if token == *wanted {
            Ok(())
        } else {
            Err(wrong(&format!("{token:?} stands where {wanted:?} should")))
        }
    }

    fn any(&mut self) -> Result<Filter, ScimError> {
        self.depth += 1;
        if self.depth > FILTER_DEPTH_MAX {
            return Err(wrong("the filter is nested too deep"));
        }
        let mut filter = self.all()?;
        while self.takes_word("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.all()?));
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn all(&mut self) -> Result<Filter, ScimError> {
        let mut filter = self.one()?;
        while self.takes_word("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.one()?));
        }
        Ok(filter)
    }

    fn one(&mut self) -> Result<Filter, ScimError> {
        let negated = self.takes_word("not");
        if negated || self.peek() == Some(&Token::Open) {
            self.expect(&Token::Open)?;
            let inner = self.any()?;
            self.expect(&Token::Close)?;
            return Ok(if negated {
                Filter::Not(Box::new(inner))
            } else {
                inner
            });
        }
        let Token::Word(name) = self.take()? else {
            return Err(wrong("the name of an attribute is missing"));
        };
        let name = AttributeName::parse(&name).map_err(|error| wrong(&error.detail))?;
        if self.peek() == Some(&Token::OpenElement) {
            self.expect(&Token::OpenElement)?;
            let inner = self.any()?;
            self.expect(&Token::CloseElement)?;
            return Ok(Filter::Element(name, Box::new(inner)));
        }
        if self.takes_word("pr") {
            return Ok(Filter::Present(name));
        }
        let comparison = self.comparison()?;
        let value = match self.take()? {
            Token::Text(text) => Value::String(text),
            Token::Word(word) => serde_json::from_str(&word)
                .map_err(|_| wrong(&format!("`{word}` is not a value; texts stand in quotes")))?,
            other => return Err(wrong(&format!("{other:?} stands where a value should"))),
        };
        Ok(Filter::Compare(name, comparison, value))
    }

    fn comparison(&mut self) -> Result<Comparison, ScimError> {
        let Token::Word(word) = self.take()? else {
            return Err(wrong("an operator is missing"));
        };
        match word.to_ascii_lowercase().as_str() {
            "eq" => Ok(Comparison::Equal),
            "ne" => Ok(Comparison::NotEqual),
            "co" => Ok(Comparison::Contains),
            "sw" => Ok(Comparison::StartsWith),
            "ew" => Ok(Comparison::EndsWith),
            "gt" => Ok(Comparison::Greater),
            "ge" => Ok(Comparison::GreaterOrEqual),
            "lt" => Ok(Comparison::Less),
            "le" => Ok(Comparison::LessOrEqual),
            other => Err(wrong(&format!("`{other}` is not an operator"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user() -> Map<String, Value> {
        let user = json!({
            "id": "usr-1",
            "externalId": "E-17",
            "userName": "Zoë.O'Neill",
            "active": true,
            "emails": [{"type": "work", "value": "zoe@corp.example"}, {"type": "home", "value": "z@home.example"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Sales"},
        });
        user.as_object().cloned().unwrap()
    }

    #[test]
    fn filters_select_as_the_rfc_says() {
        for (filter, expected) in [
            (r#"userName eq "zoë.o'neill""#, true),
            (r#"USERNAME Eq "zoë.o'neill""#, true),
            (r#"externalId eq "e-17""#, false),
            (r#"externalId eq "E-17""#, true),
            (r#"emails.value eq "zoe@corp.example""#, true),
            (r#"emails eq "zoe@corp.example""#, true),
            (r#"emails[type eq "work" and value co "corp"]"#, true),
            (r#"emails[type eq "home" and value co "corp"]"#, false),
            (r#"active eq true and not (userName sw "x")"#, true),
            (r#"active eq false or (userName ew "neill" and id pr)"#, true),
            (r#"displayName pr"#, false),
            (r#"displayName ne "x""#, true),
            (
                r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "sales""#,
                true,
            ),
        ] {
            assert_eq!(
                Filter::parse(filter).unwrap().matches(&user()),
                expected,
                "{filter}"
            );
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for filter in [
            "",
            "userName",
            "userName eq",
            "userName eq x",
            r#"userName is "x""#,
            r#"userName eq "x"#,
            r#"userName eq "x" "y""#,
            r#"(userName eq "x""#,
            r#"not userName eq "x""#,
            r#"emails[type eq "work""#,
            r#"a b eq "x""#,
            "\u{a0}",
        ] {
            assert_eq!(
                Filter::parse(filter).unwrap_err().scim_type,
                Some("invalidFilter"),
                "{filter}"
            );
        }
        let deep = format!("{}a pr{}", "(".repeat(50), ")".repeat(50));
        assert!(Filter::parse(&deep).is_err());
        assert!(Filter::parse(&"x".repeat(FILTER_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_quote_in_a_value_is_not_the_end_of_it() {
        let filter = Filter::parse(r#"userName eq "a\" or userName pr or userName eq \"""#).unwrap();
        assert!(!filter.matches(&user()));
    }
}
