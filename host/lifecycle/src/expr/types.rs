//! Finds what cannot work whatever the values are: wrong types, wrong numbers of arguments. The library finds them only when the part of the
//! expression is evaluated, which may be for one person in a thousand.
//!
//! A kind that is not known for certain fits everywhere, so nothing right is refused.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::names::{function_name, indexed_attribute, is_binding, is_subject, namespace, place_of_call};
use super::signatures::{Kind, Signature, Style, fits, signatures};
use super::{About, AttributeKind, Mistake, MistakeKind};

/// What is wrong with the types of an expression, and the kind of its value.
pub(super) fn check(root: &IdedExpr, source: &SourceInfo, about: About<'_>) -> (Kind, Vec<Mistake>) {
    let mut types = Types {
        source,
        about,
        variables: Vec::new(),
        mistakes: Vec::new(),
    };
    let kind = types.expression(root);
    types.mistakes.sort_by_key(|mistake| mistake.offset);
    (kind, types.mistakes)
}

fn of_attribute(kind: AttributeKind) -> Kind {
    match kind {
        AttributeKind::Text | AttributeKind::Date => Kind::Text,
        AttributeKind::Integer => Kind::Int,
        AttributeKind::Boolean => Kind::Bool,
        AttributeKind::List => Kind::Texts,
    }
}

struct Types<'a> {
    source: &'a SourceInfo,
    about: About<'a>,
    variables: Vec<(&'a str, Kind)>,
    mistakes: Vec<Mistake>,
}

impl<'a> Types<'a> {
    fn mistake(&mut self, offset: usize, message: String) {
        // A macro puts one part of the source at several places of the tree.
        if !self.mistakes.iter().any(|known| known.offset == offset) {
            self.mistakes.push(Mistake {
                offset,
                message,
                kind: MistakeKind::Type,
            });
        }
    }

    fn offset(&self, at: &IdedExpr) -> usize {
        self.source
            .offset_for(at.id)
            .map_or(0, |(start, _)| start as usize)
    }

    fn expression(&mut self, expression: &'a IdedExpr) -> Kind {
        match &expression.expr {
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) if is_subject(&select.operand, self.about) => {
                match self.attribute(&select.field) {
                    _ if select.test => Kind::Bool,
                    kind => kind,
                }
            }
            Expr::Select(select) => {
                let operand = self.expression(&select.operand);
                if !matches!(operand, Kind::Map | Kind::Optional | Kind::Any) {
                    let message = format!("{} has no part `{}`", operand.words(), select.field);
                    self.mistake(self.offset(expression), message);
                }
                if select.test { Kind::Bool } else { Kind::Any }
            }
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => {
                let kinds: Vec<Kind> = list
                    .elements
                    .iter()
                    .map(|element| self.expression(element))
                    .collect();
                let texts = !kinds.is_empty() && kinds.iter().all(|kind| *kind == Kind::Text);
                if texts { Kind::Texts } else { Kind::List }
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.expression(&entry.key);
                            self.expression(&entry.value);
                        }
                        EntryExpr::StructField(field) => {
                            self.expression(&field.value);
                        }
                    }
                }
                Kind::Map
            }
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension),
            // Refused by the walk over the names.
            Expr::Struct(_) | Expr::Unspecified => Kind::Any,
        }
    }

    fn variable(&self, name: &str) -> Kind {
        if let (About::Person(_), "state") = (self.about, name) {
            return Kind::Text;
        }
        let bound = self.variables.iter().rev().find(|(known, _)| *known == name);
        bound.map_or(Kind::Any, |(_, kind)| *kind)
    }

    fn attribute(&self, name: &str) -> Kind {
        self.about.kind(name).map_or(Kind::Any, of_attribute)
    }

    fn call(&mut self, at: &'a IdedExpr, call: &'a CallExpr) -> Kind {
        if let Some(name) = indexed_attribute(call, self.about) {
            let plain = call.func_name == "_[_]";
            return name
                .filter(|_| plain)
                .map_or(Kind::Optional, |name| self.attribute(name));
        }
        let target = call.target.as_deref().filter(|_| namespace(call).is_none());
        let operands: Vec<Kind> = target
            .into_iter()
            .chain(&call.args)
            .map(|operand| self.expression(operand))
            .collect();
        match (call.func_name.as_str(), operands.as_slice()) {
            ("_?_:_", [asked, yes, no]) => {
                if !fits(*asked, Kind::Bool) {
                    self.mistake(
                        place_of_call(self.source, at, call),
                        format!("true or false is needed here, not {}", asked.words()),
                    );
                }
                either(*yes, *no)
            }
            ("_==_" | "_!=_", [left, right]) => {
                if never_equal(*left, *right) {
                    let message = format!("{} and {} are never equal", left.words(), right.words());
                    self.mistake(place_of_call(self.source, at, call), message);
                }
                Kind::Bool
            }
            ("_<_" | "_<=_" | "_>_" | "_>=_", [left, right]) => {
                if never_equal(*left, *right) || !has_order(*left) || !has_order(*right) {
                    let kinds = format!("{} and {}", left.words(), right.words());
                    self.mistake(
                        place_of_call(self.source, at, call),
                        super::explain::does_not_work(&call.func_name, &kinds),
                    );
                }
                Kind::Bool
            }
            (_, operands) => self.function(at, call, target.is_some(), operands),
        }
    }

    fn function(&mut self, at: &IdedExpr, call: &CallExpr, member: bool, operands: &[Kind]) -> Kind {
        let function = function_name(call);
        let all: Vec<&Signature> = signatures(&function).collect();
        let called = |signature: &&&Signature| match signature.style {
            Style::Member => member,
            Style::Global => !member,
            Style::Both => true,
        };
        let counted: Vec<&&Signature> = all
            .iter()
            .filter(called)
            .filter(|signature| signature.takes(operands.len()))
            .collect();
        let fitting: Vec<Kind> = counted
            .iter()
            .filter(|signature| {
                operands
                    .iter()
                    .enumerate()
                    .all(|(place, kind)| fits(*kind, signature.operand(place)))
            })
            .map(|signature| signature.gives)
            .collect();
        match fitting.as_slice() {
            // What has no signature was refused by the walk over the names.
            [] if all.is_empty() => Kind::Any,
            [] => {
                let message = if counted.is_empty() {
                    wrong_call(&function, &all, member, operands.len())
                } else {
                    let kinds: Vec<&str> = operands.iter().map(|kind| kind.words()).collect();
                    super::explain::does_not_work(&function, &kinds.join(" and "))
                };
                self.mistake(place_of_call(self.source, at, call), message);
                Kind::Any
            }
            [first, rest @ ..] => rest.iter().fold(*first, |kind, other| either(kind, *other)),
        }
    }

    fn comprehension(&mut self, at: &'a IdedExpr, comprehension: &'a ComprehensionExpr) -> Kind {
        let outer = self.variables.len();
        let range = self.expression(&comprehension.iter_range);
        let start = self.expression(&comprehension.accu_init);
        let mut accumulated = start;
        if !is_binding(comprehension) {
            if !matches!(range, Kind::List | Kind::Texts | Kind::Map | Kind::Any) {
                self.mistake(
                    self.offset(at),
                    format!("a loop needs a list, not {}", range.words()),
                );
            }
            let element = if range == Kind::Texts && comprehension.iter_var2.is_none() {
                Kind::Text
            } else {
                Kind::Any
            };
            self.variables.push((&comprehension.iter_var, element));
            if let Some(second) = &comprehension.iter_var2 {
                self.variables.push((second, Kind::Any));
            }
            self.variables.push((&comprehension.accu_var, start));
            self.expression(&comprehension.loop_cond);
            let step = self.expression(&comprehension.loop_step);
            accumulated = either(start, step);
            self.variables.truncate(outer);
        }
        self.variables.push((&comprehension.accu_var, accumulated));
        let kind = self.expression(&comprehension.result);
        self.variables.truncate(outer);
        kind
    }
}

fn of_literal(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Double(_) => Kind::Double,
        LiteralValue::Int(_) => Kind::Int,
        LiteralValue::Null => Kind::Null,
        LiteralValue::String(_) => Kind::Text,
        LiteralValue::UInt(_) => Kind::Uint,
    }
}

/// One or the other, whichever it turns out to be.
fn either(one: Kind, other: Kind) -> Kind {
    match (one, other) {
        (one, other) if one == other => one,
        (Kind::List | Kind::Texts, Kind::List | Kind::Texts) => Kind::List,
        _ => Kind::Any,
    }
}

/// `null` may be compared with everything, numbers with each other.
fn never_equal(left: Kind, right: Kind) -> bool {
    let free = |kind: Kind| matches!(kind, Kind::Null | Kind::Any | Kind::Optional);
    let number = |kind: Kind| matches!(kind, Kind::Int | Kind::Uint | Kind::Double);
    let list = |kind: Kind| matches!(kind, Kind::List | Kind::Texts);
    !(left == right
        || free(left)
        || free(right)
        || (number(left) && number(right))
        || (list(left) && list(right)))
}

/// Whether one value of the kind can be less than another.
fn has_order(kind: Kind) -> bool {
    match kind {
        Kind::Text
        | Kind::Int
        | Kind::Uint
        | Kind::Double
        | Kind::Bool
        | Kind::Bytes
        | Kind::Time
        | Kind::Duration
        | Kind::Any => true,
        Kind::Null | Kind::Texts | Kind::List | Kind::Map | Kind::Optional => false,
    }
}

/// No form of the function is called like this.
fn wrong_call(function: &str, all: &[&Signature], member: bool, operands: usize) -> String {
    let as_called = |style: Style| match style {
        Style::Member => member,
        Style::Global => !member,
        Style::Both => true,
    };
    if !all.iter().any(|signature| as_called(signature.style)) {
        return if member {
            format!("{function}() takes its value in parentheses: {function}(value)")
        } else {
            format!("{function}() stands behind its value: value.{function}()")
        };
    }
    let own = usize::from(member);
    let mut counts: Vec<usize> = all
        .iter()
        .filter(|s| as_called(s.style))
        .map(|s| s.operands.len() - own.min(s.operands.len()))
        .collect();
    counts.sort_unstable();
    counts.dedup();
    let arguments = if counts == [1] { "argument" } else { "arguments" };
    let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
    format!(
        "{function}() takes {} {arguments}, not {}",
        counts.join(" or "),
        operands - own.min(operands)
    )
}

#[cfg(test)]
mod tests;
