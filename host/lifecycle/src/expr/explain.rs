//! Errors of the library in our words.

use cel::ExecutionError;

use super::Compiled;

/// An error of the library in our words, without the values it quotes.
pub(super) fn explain(error: &ExecutionError, of: &Compiled) -> String {
    let (word, who) = (of.word, of.who());
    match error {
        ExecutionError::NoSuchKey(name) if of.reads.contains(name.as_str()) => {
            format!("`{name}` is absent for this {who}; ask with has({word}.{name}) or {word}.?{name}")
        }
        // The key of another map may be a person's value.
        ExecutionError::NoSuchKey(_) => "a map has no such key".to_owned(),
        ExecutionError::NoSuchOverload(overload) => {
            does_not_work(overload.function(), &overload.argument_types().join(" and "))
        }
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not known"),
        ExecutionError::UnexpectedType { got, want } => {
            format!("a value of type {got} is used where {want} is needed")
        }
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function is called with {actual} arguments, it takes {expected}")
        }
        ExecutionError::FunctionError { function, .. } => format!("{function}() cannot take this value"),
        ExecutionError::IndexOutOfBounds(_) => "an index is beyond the end of its list".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} cannot be compared with {}", left.type_of(), right.type_of())
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            does_not_work(operator, &format!("{} and {}", left.type_of(), right.type_of()))
        }
        ExecutionError::DuplicateKey(_) => "a map names a key twice".to_owned(),
        ExecutionError::UnsupportedKeyType(key) => format!("{} cannot be a key of a map", key.type_of()),
        // The rest cannot come from the functions allowed, or says nothing more to a person.
        _ => format!("the expression cannot be evaluated for this {who}"),
    }
}

pub(super) fn does_not_work(function: &str, types: &str) -> String {
    let sign = match function {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "@in" => "in",
        "_[_]" | "_[?_]" => "[]",
        // Operators are called `_>_`.
        _ => function.trim_matches('_'),
    };
    let call = if sign.starts_with(char::is_alphabetic) && sign != "in" {
        "()"
    } else {
        ""
    };
    format!("{sign}{call} does not work on {types}")
}
