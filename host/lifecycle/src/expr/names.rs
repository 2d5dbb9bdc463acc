//! Walks a syntax tree: unknown names, functions that are not allowed, too many nodes, too deep loops.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::dates::is_date_pattern;
use super::functions::{NAMESPACES, growth};
use super::{About, DEPTH_MAX, Mistake, MistakeKind, NESTED_LOOPS_MAX, NODES_MAX};
use crate::document::hint::did_you_mean;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Attributes of `identity` (or `account`) that are read.
    pub(super) reads: BTreeSet<String>,
    /// What is wrong, in the order of the source.
    pub(super) mistakes: Vec<Mistake>,
}

/// Walks the tree of an expression.
pub(super) fn walk(root: &IdedExpr, source: &SourceInfo, about: About<'_>) -> Names {
    let mut walk = Walk {
        source,
        about,
        found: Names::default(),
        loop_variables: Vec::new(),
        loops: 0,
        loops_max: 0,
        nodes: 0,
        depth: 0,
        depth_max: 0,
    };
    walk.expression(root);
    for (count, most, what) in [
        (walk.nodes, NODES_MAX, "parts"),
        (walk.depth_max, DEPTH_MAX, "calls or operators inside each other"),
        (walk.loops_max, NESTED_LOOPS_MAX, "loops inside each other"),
    ] {
        if count > most {
            let message = format!("{count} {what}, at most {most} are allowed; split the expression");
            walk.found.mistakes.push(Mistake {
                offset: 0,
                message,
                kind: MistakeKind::Expression,
            });
        }
    }
    walk.found.mistakes.sort_by_key(|mistake| mistake.offset);
    walk.found
}

/// The name a call is known by: `optional.of` when its target is a namespace, else the plain one.
pub(super) fn function_name(call: &CallExpr) -> String {
    match namespace(call) {
        Some(namespace) => format!("{namespace}.{}", call.func_name),
        None => call.func_name.clone(),
    }
}

/// The namespace a call names before its dot.
pub(super) fn namespace(call: &CallExpr) -> Option<&str> {
    match call.target.as_deref().map(|target| &target.expr) {
        Some(Expr::Ident(name)) if NAMESPACES.contains(&name.as_str()) => Some(name),
        _ => None,
    }
}

/// Where the name of a called function is: the library's place of a call is its parenthesis.
pub(super) fn place_of_call(source: &SourceInfo, at: &IdedExpr, call: &CallExpr) -> usize {
    let offset = source.offset_for(at.id).map_or(0, |(start, _)| start as usize);
    let before = source.source.get(..offset).unwrap_or_default();
    before
        .strip_suffix(call.func_name.as_str())
        .map_or(offset, str::len)
}

/// Whether a comprehension is only how a macro binds a value to a name: it runs over an empty list.
pub(super) fn is_binding(comprehension: &ComprehensionExpr) -> bool {
    matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty())
}

/// The attribute a call takes out of `identity` (or `account`) by a text: `identity['x']`, `identity.?x`, `identity[?'x']`.
pub(super) fn indexed_attribute<'e>(call: &'e CallExpr, about: About<'_>) -> Option<Option<&'e str>> {
    if !matches!(call.func_name.as_str(), "_[_]" | "_[?_]" | "_?._") {
        return None;
    }
    match call.args.as_slice() {
        [object, index] if is_subject(object, about) => match &index.expr {
            Expr::Literal(LiteralValue::String(name)) => Some(Some(name.inner())),
            _ => Some(None),
        },
        _ => None,
    }
}

/// Whether it is the plain word `identity` (or `account`).
pub(super) fn is_subject(expression: &IdedExpr, about: About<'_>) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name == about.word())
}

struct Walk<'a> {
    source: &'a SourceInfo,
    about: About<'a>,
    found: Names,
    loop_variables: Vec<&'a str>,
    loops: usize,
    loops_max: usize,
    nodes: usize,
    depth: usize,
    depth_max: usize,
}

impl<'a> Walk<'a> {
    fn offset(&self, at: &IdedExpr) -> usize {
        self.source
            .offset_for(at.id)
            .map_or(0, |(start, _)| start as usize)
    }

    fn mistake(&mut self, at: &IdedExpr, message: String) {
        self.add(Mistake {
            offset: self.offset(at),
            message,
            kind: MistakeKind::Expression,
        });
    }

    /// A mistake at the name of the function.
    fn mistake_of_call(&mut self, at: &IdedExpr, call: &CallExpr, message: String) {
        self.add(Mistake {
            offset: place_of_call(self.source, at, call),
            message,
            kind: MistakeKind::Expression,
        });
    }

    fn add(&mut self, mistake: Mistake) {
        if !self.found.mistakes.contains(&mistake) {
            self.found.mistakes.push(mistake);
        }
    }

    fn attribute(&mut self, at: &IdedExpr, name: &str) {
        let unknown = match self.about {
            About::Person(declared) if !declared.contains_key(name) => Some(declared),
            // The account's target alone knows what it has.
            About::Person(_) | About::Account => None,
        };
        let Some(declared) = unknown else {
            self.found.reads.insert(name.to_owned());
            return;
        };
        let message = format!(
            "unknown attribute `{name}`{}",
            did_you_mean(name, declared.keys())
        );
        self.add(Mistake {
            offset: self.offset(at),
            message,
            kind: MistakeKind::Attribute,
        });
    }

    fn expression(&mut self, expression: &'a IdedExpr) {
        self.nodes += 1;
        self.depth += 1;
        self.depth_max = self.depth_max.max(self.depth);
        self.parts(expression);
        self.depth -= 1;
    }

    fn parts(&mut self, expression: &'a IdedExpr) {
        match &expression.expr {
            Expr::Literal(_) => {}
            Expr::Ident(name) => self.variable(expression, name),
            Expr::Select(select) if is_subject(&select.operand, self.about) => {
                self.nodes += 1;
                self.attribute(&select.operand, &select.field);
            }
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.expression(&entry.key);
                            self.expression(&entry.value);
                        }
                        EntryExpr::StructField(field) => self.expression(&field.value),
                    }
                }
            }
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension),
            Expr::Struct(made) => self.mistake(expression, format!("unknown type `{}`", made.type_name)),
            Expr::Unspecified => self.mistake(expression, "an empty expression".to_owned()),
        }
    }

    fn variable(&mut self, at: &IdedExpr, name: &str) {
        if self.loop_variables.contains(&name) {
            return;
        }
        let message = match self.about {
            About::Person(_) if name == "state" => return,
            About::Person(_) if name == "identity" => {
                "`identity` alone cannot be used; name one of its attributes, as in identity.givenName"
                    .to_owned()
            }
            About::Person(declared) if declared.contains_key(name) => {
                format!("unknown variable `{name}`; did you mean `identity.{name}`?")
            }
            About::Person(_) => format!("unknown variable `{name}`; there are `identity` and `state`"),
            About::Account if name == "account" => {
                "`account` alone cannot be used; name its id or one of its attributes, as in account.username"
                    .to_owned()
            }
            About::Account => format!("unknown variable `{name}`; there is `account`"),
        };
        self.mistake(at, message);
    }

    fn call(&mut self, at: &'a IdedExpr, call: &'a CallExpr) {
        let function = function_name(call);
        if growth(&function).is_none() {
            self.mistake_of_call(at, call, format!("unknown function `{function}`"));
        }
        if matches!(function.as_str(), "matches") && !has_literal_pattern(call) {
            self.mistake_of_call(
                at,
                call,
                "the pattern of matches() must be a text in quotes".to_owned(),
            );
        }
        if function == "formatDate" && !literal_pattern(call).is_none_or(is_date_pattern) {
            self.mistake_of_call(
                at,
                call,
                "the pattern of formatDate() may have %Y %y %m %d %e %j %B %b %A %a".to_owned(),
            );
        }
        if let Some(attribute) = indexed_attribute(call, self.about) {
            self.nodes += 2;
            match attribute {
                Some(name) => self.attribute(at, name),
                None => self.mistake(at, "an attribute must be named by a text in quotes".to_owned()),
            }
            return;
        }
        if namespace(call).is_none() {
            call.target.iter().for_each(|target| self.expression(target));
        }
        call.args.iter().for_each(|argument| self.expression(argument));
    }

    fn comprehension(&mut self, at: &'a IdedExpr, comprehension: &'a ComprehensionExpr) {
        for name in [
            Some(&comprehension.iter_var),
            comprehension.iter_var2.as_ref(),
            Some(&comprehension.accu_var),
        ] {
            let (taken, message) = match self.about {
                About::Person(_) => (
                    ["identity", "state"].as_slice(),
                    "`identity` and `state` cannot be the variable of a loop",
                ),
                About::Account => (
                    ["account"].as_slice(),
                    "`account` cannot be the variable of a loop",
                ),
            };
            if name.is_some_and(|name| taken.contains(&name.as_str())) {
                self.mistake(at, message.to_owned());
            }
        }
        self.expression(&comprehension.iter_range);
        self.expression(&comprehension.accu_init);
        let outer = self.loop_variables.len();
        self.loop_variables.push(&comprehension.accu_var);
        self.expression(&comprehension.result);
        self.loop_variables.push(&comprehension.iter_var);
        self.loop_variables.extend(comprehension.iter_var2.as_deref());
        let deeper = usize::from(!is_binding(comprehension));
        self.loops += deeper;
        self.loops_max = self.loops_max.max(self.loops);
        self.expression(&comprehension.loop_cond);
        self.expression(&comprehension.loop_step);
        self.loops -= deeper;
        self.loop_variables.truncate(outer);
    }
}

/// A pattern known when the document is loaded is checked then, and never a person's own text.
fn has_literal_pattern(call: &CallExpr) -> bool {
    literal_pattern(call).is_some()
}

/// The pattern of a call of `matches`.
pub(super) fn literal_pattern(call: &CallExpr) -> Option<&str> {
    match call.args.last().map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(pattern))) => Some(pattern.inner()),
        _ => None,
    }
}
