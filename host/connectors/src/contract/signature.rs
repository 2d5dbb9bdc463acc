//! The types of functions as lines of text: what is compared when a component is checked, and shown to its author when it differs.

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

/// Deepest nesting and most lines of one function. The contract's largest function has 40 lines; a type that doubles at each level would have a million.
const DEPTH_MAX: usize = 32;
const LINES_MAX: usize = 500;

/// One line for each place where a value can stand: `call.settings: string`, `result error.kind.other: string`.
pub(crate) fn lines(function: &ComponentFunc) -> Vec<String> {
    let mut lines = Lines(Vec::new());
    if function.async_() {
        lines.add("async".to_owned());
    }
    for (name, ty) in function.params() {
        lines.walk(name, &ty, 0);
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
                for field in record.fields() {
                    self.walk(&format!("{path}.{}", field.name), &field.ty, depth);
                }
            }
            Type::Tuple(tuple) => {
                for (index, ty) in tuple.types().enumerate() {
                    self.walk(&format!("{path}.{index}"), &ty, depth);
                }
            }
            Type::Variant(variant) => {
                let names: Vec<_> = variant.cases().map(|case| case.name.to_owned()).collect();
                self.leaf(path, &format!("variant {}", names.join(" ")));
                for case in variant.cases() {
                    if let Some(ty) = &case.ty {
                        self.walk(&format!("{path}.{}", case.name), ty, depth);
                    }
                }
            }
            Type::Enum(cases) => self.leaf(
                path,
                &format!("enum {}", cases.names().collect::<Vec<_>>().join(" ")),
            ),
            Type::Flags(flags) => self.leaf(
                path,
                &format!("flags {}", flags.names().collect::<Vec<_>>().join(" ")),
            ),
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
