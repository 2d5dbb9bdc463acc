//! The types of functions as lines of text: what is compared when a component is checked, and shown to its author when it differs.

use std::borrow::Cow;

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

/// Deepest nesting and most lines of one function. The contract's largest function has 40 lines; a type that doubles at each level would have a million.
const DEPTH_MAX: usize = 32;
const LINES_MAX: usize = 500;
/// Longest name and most cases taken in: the contract's have 20 bytes and 13 cases. What is cut is another type for that reason alone, and lines stay
/// small whatever a component calls its types: this runs in the host.
const NAME_BYTES_MAX: usize = 100;
const CASES_MAX: usize = 50;

/// One line for each place where a value can stand: `call.settings: string`, `result error.kind.other: string`.
pub(crate) fn lines(function: &ComponentFunc) -> Vec<String> {
    let mut lines = Lines(Vec::new());
    if function.async_() {
        lines.add("async".to_owned());
    }
    for (name, ty) in function.params() {
        lines.walk(&cut(name), &ty, 0);
    }
    for ty in function.results() {
        lines.walk("result", &ty, 0);
    }
    lines.0
}

struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, line: String) {
        if self.0.len() < LINES_MAX {
            self.0.push(line);
        }
    }

    fn leaf(&mut self, path: &str, kind: &str) {
        self.add(format!("{path}: {kind}"));
    }

    fn cases<'n>(&mut self, path: &str, kind: &str, names: impl Iterator<Item = &'n str>) {
        let mut names = names;
        let mut line = kind.to_owned();
        for name in names.by_ref().take(CASES_MAX) {
            line.push(' ');
            line.push_str(&cut(name));
        }
        if names.next().is_some() {
            line.push_str(" …");
        }
        self.leaf(path, &line);
    }

    fn optional(&mut self, path: &str, ty: Option<&Type>, depth: usize) {
        match ty {
            Some(ty) => self.walk(path, ty, depth),
            None => self.leaf(path, "_"),
        }
    }

    fn walk(&mut self, path: &str, ty: &Type, depth: usize) {
        if depth == DEPTH_MAX || self.0.len() >= LINES_MAX {
            return self.leaf(path, "nested deeper than anything in the contract");
        }
        let depth = depth + 1;
        match ty {
            Type::Bool => self.leaf(path, "bool"),
            Type::S8 => self.leaf(path, "s8"),
            Type::U8 => self.leaf(path, "u8"),
            Type::S16 => self.leaf(path, "s16"),
            Type::U16 => self.leaf(path, "u16"),
            Type::S32 => self.leaf(path, "s32"),
            Type::U32 => self.leaf(path, "u32"),
            Type::S64 => self.leaf(path, "s64"),
            Type::U64 => self.leaf(path, "u64"),
            Type::Float32 => self.leaf(path, "f32"),
            Type::Float64 => self.leaf(path, "f64"),
            Type::Char => self.leaf(path, "char"),
            Type::String => self.leaf(path, "string"),
            Type::ErrorContext => self.leaf(path, "error-context"),
            Type::List(list) => self.walk(&format!("{path}[]"), &list.ty(), depth),
            Type::FixedLengthList(list) => self.walk(&format!("{path}[{}]", list.len()), &list.ty(), depth),
            Type::Option(option) => self.walk(&format!("{path}?"), &option.ty(), depth),
            Type::Map(map) => {
                self.walk(&format!("{path} key"), &map.key(), depth);
                self.walk(&format!("{path} value"), &map.value(), depth);
            }
            Type::Record(record) => {
                for field in record.fields().take(LINES_MAX) {
                    self.walk(&format!("{path}.{}", cut(field.name)), &field.ty, depth);
                }
            }
            Type::Tuple(tuple) => {
                for (index, ty) in tuple.types().enumerate().take(LINES_MAX) {
                    self.walk(&format!("{path}.{index}"), &ty, depth);
                }
            }
            Type::Variant(variant) => {
                self.cases(path, "variant", variant.cases().map(|case| case.name));
                for case in variant.cases().take(CASES_MAX) {
                    if let Some(ty) = &case.ty {
                        self.walk(&format!("{path}.{}", cut(case.name)), ty, depth);
                    }
                }
            }
            Type::Enum(cases) => self.cases(path, "enum", cases.names()),
            Type::Flags(flags) => self.cases(path, "flags", flags.names()),
            Type::Result(result) => {
                self.optional(&format!("{path} ok"), result.ok().as_ref(), depth);
                self.optional(&format!("{path} error"), result.err().as_ref(), depth);
            }
            Type::Own(_) => self.leaf(path, "own resource"),
            Type::Borrow(_) => self.leaf(path, "borrowed resource"),
            Type::Future(_) => self.leaf(path, "future"),
            Type::Stream(_) => self.leaf(path, "stream"),
        }
    }
}

/// A name that is longer than any of the contract, cut.
fn cut(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    Cow::Owned(crate::guest_text::line_of(name, NAME_BYTES_MAX))
}

/// The first place where two functions differ, as a sentence; nothing when they are the same.
pub(crate) fn difference(expected: &[&str], found: &[String]) -> Option<String> {
    let at = (0..expected.len().max(found.len()))
        .find(|at| expected.get(*at).copied() != found.get(*at).map(String::as_str))?;
    let show = |line: Option<&str>| match line {
        Some(line) => format!("`{}`", crate::guest_text::line_of(line, 300)),
        None => "nothing more".to_owned(),
    };
    Some(format!(
        "expected {}, found {}",
        show(expected.get(at).copied()),
        show(found.get(at).map(String::as_str))
    ))
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;
    use wasmtime::component::types::ComponentItem;

    use super::*;

    /// A record whose many fields are one enum with long names: written out it would have gigabytes.
    #[test]
    fn a_type_that_explodes_when_written_out_stays_small() {
        let cases: String = (0..1_000)
            .map(|case| format!(" \"{}{case}\"", "c".repeat(1_000)))
            .collect();
        let fields: String = (0..400)
            .map(|field| format!(" (field \"{}{field}\" $e)", "f".repeat(1_000)))
            .collect();
        let text = format!(
            "(component (type $enum (enum{cases})) (import \"e\" (type $e (eq $enum)))
               (type $record (record{fields})) (import \"r\" (type $r (eq $record)))
               (import \"f\" (func (param \"x\" $r) (result $r))))"
        );
        let engine = &crate::engine::runtime().unwrap().engine;
        let component = Component::from_binary(engine, &wat::parse_str(text).unwrap()).unwrap();
        let ty = component.component_type();
        let item = ty.get_import(engine, "f").unwrap().ty;
        let ComponentItem::ComponentFunc(function) = item else {
            unreachable!()
        };
        let lines = lines(&function);
        assert_eq!(lines.len(), LINES_MAX);
        let longest = lines.iter().map(String::len).max().unwrap();
        assert!(longest < 10_000, "{longest}");
    }
}
