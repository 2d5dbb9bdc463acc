//! An upper bound of what an expression can cost, worked out before it is ever evaluated.
//!
//! Every value has a size: how many elements, the bytes of the largest one, the bytes of all. The size of a result follows from the
//! sizes of the operands. A loop runs its body once for each element; what its body costs and makes is bounded by
//! a straight line between the smallest and the largest element: all growth is a polynomial with positive coefficients, hence
//! convex, hence below that line. Numbers are `f64`: what overflows is infinite and refused.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};

use super::functions::{Growth, PATTERN_GROWTH, growth};
use super::names::{function_name, indexed_attribute, is_binding, is_subject, namespace};
use super::{About, AttributeKind, LIST_BYTES_MAX, LIST_ITEMS_MAX, TEXT_BYTES_MAX};

/// The worst case of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// Steps of the evaluation: one per node, more where a function's work grows with its operands.
    pub(super) steps: f64,
    /// Bytes of the largest value made on the way.
    pub(super) bytes: f64,
}

/// The worst case of an expression over attributes of the declared kinds.
pub(super) fn bounds(root: &IdedExpr, about: About<'_>) -> Bounds {
    let mut bounder = Bounder {
        about,
        variables: Vec::new(),
        bytes: 0.0,
    };
    let (_, steps) = bounder.expression(root);
    Bounds {
        steps,
        bytes: bounder.bytes,
    }
}

/// Bytes of a number, a truth, a time, or the text of one.
const SMALL: f64 = 64.0;
/// Bytes one argument of `format` takes at most beyond its own: a number with all its digits.
const FORMATTED: f64 = 512.0;
/// Steps of compiling a pattern.
const PATTERN_STEPS: f64 = 500.0;
/// Bytes that are copied or compared in one step.
const BYTES_PER_STEP: f64 = 64.0;

#[derive(Clone, Copy, Debug)]
struct Size {
    count: f64,
    largest: f64,
    total: f64,
}

impl Size {
    const EMPTY: Self = Self {
        count: 0.0,
        largest: 0.0,
        total: 0.0,
    };

    fn text(bytes: f64) -> Self {
        // It might be a list all the same (an element of a list of lists): then each element takes a byte at least.
        Self {
            count: bytes,
            largest: bytes,
            total: bytes,
        }
    }

    fn of_kind(kind: AttributeKind) -> Self {
        match kind {
            AttributeKind::Text => Self::text(TEXT_BYTES_MAX as f64),
            AttributeKind::Date | AttributeKind::Integer | AttributeKind::Boolean => Self::text(SMALL),
            AttributeKind::List => Self {
                count: LIST_ITEMS_MAX as f64,
                largest: LIST_BYTES_MAX as f64,
                total: LIST_BYTES_MAX as f64,
            },
        }
    }

    fn larger(self, other: Self) -> Self {
        Self {
            count: self.count.max(other.count),
            largest: self.largest.max(other.largest),
            total: self.total.max(other.total),
        }
    }

    fn plus(self, other: Self) -> Self {
        // Two texts one after the other are one larger element; two lists keep their elements.
        let total = self.total + other.total;
        Self {
            count: self.count + other.count,
            largest: total,
            total,
        }
    }
}

struct Bounder<'a> {
    about: About<'a>,
    variables: Vec<(&'a str, Size)>,
    bytes: f64,
}

impl<'a> Bounder<'a> {
    /// The size of a value and the steps to it.
    fn expression(&mut self, expression: &'a IdedExpr) -> (Size, f64) {
        let (size, steps) = match &expression.expr {
            Expr::Literal(LiteralValue::String(text)) => (Size::text(text.inner().len() as f64), 1.0),
            Expr::Literal(LiteralValue::Bytes(bytes)) => (Size::text(bytes.inner().len() as f64), 1.0),
            Expr::Literal(_) => (Size::text(SMALL), 1.0),
            Expr::Ident(name) => (self.variable(name), 1.0),
            Expr::Select(select) if is_subject(&select.operand, self.about) => {
                (self.attribute(&select.field), 2.0)
            }
            Expr::Select(select) => {
                let (operand, steps) = self.expression(&select.operand);
                (Size::text(operand.largest.max(SMALL)), steps + 1.0)
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.all(list.elements.iter()),
            Expr::Map(map) => self.all(map.entries.iter().flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            // Refused by the walk over the names.
            Expr::Struct(_) | Expr::Unspecified => (Size::text(f64::INFINITY), f64::INFINITY),
        };
        self.bytes = self.bytes.max(size.total);
        // Copying what was made is work, too.
        (size, steps + size.total / BYTES_PER_STEP / 16.0)
    }

    fn variable(&self, name: &str) -> Size {
        let bound = self.variables.iter().rev().find(|(known, _)| *known == name);
        bound.map_or(Size::text(SMALL), |(_, size)| *size)
    }

    fn attribute(&self, name: &str) -> Size {
        match self.about {
            About::Person(_) => self
                .about
                .kind(name)
                .map_or(Size::text(f64::INFINITY), Size::of_kind),
            // Whatever it is, what is read is measured before the evaluation.
            About::Account => Size::of_kind(AttributeKind::List),
        }
    }

    /// A list (or map) of all these.
    fn all(&mut self, elements: impl Iterator<Item = &'a IdedExpr>) -> (Size, f64) {
        let mut list = Size::EMPTY;
        let mut steps = 1.0;
        for element in elements {
            let (size, more) = self.expression(element);
            list.count += 1.0;
            list.largest = list.largest.max(size.total);
            list.total += size.total + 1.0;
            steps += more;
        }
        (list, steps)
    }

    fn call(&mut self, call: &'a CallExpr) -> (Size, f64) {
        if let Some(Some(name)) = indexed_attribute(call, self.about) {
            return (self.attribute(name), 3.0);
        }
        let mut operands = Vec::new();
        let mut steps = 1.0;
        let target = call.target.as_deref().filter(|_| namespace(call).is_none());
        for operand in target.into_iter().chain(&call.args) {
            let (size, more) = self.expression(operand);
            operands.push(size);
            steps += more;
        }
        let function = function_name(call);
        let first = operands.first().copied().unwrap_or(Size::EMPTY);
        let second = operands.get(1).copied().unwrap_or(Size::EMPTY);
        let size = match growth(&function) {
            None => Size::text(f64::INFINITY),
            Some(Growth::Small) => Size::text(SMALL),
            Some(Growth::Same) => first,
            Some(Growth::Element) => Size::text(first.largest),
            // The first operand of a conditional is only asked; counting it, too, is merely generous.
            Some(Growth::Largest) => operands.iter().copied().fold(Size::text(SMALL), Size::larger),
            Some(Growth::Sum) => operands.iter().copied().fold(Size::EMPTY, Size::plus),
            Some(Growth::Replace) => replaced(call, first, operands.get(2).copied().unwrap_or(second)),
            Some(Growth::Join) => Size::text(first.total + first.count * second.total),
            Some(Growth::Split) => Size {
                count: first.total + 1.0,
                largest: first.total,
                total: first.total * 2.0 + 1.0,
            },
            Some(Growth::Format) => Size::text(first.total + second.total * 8.0 + second.count * FORMATTED),
            Some(Growth::Flatten) => Size {
                count: first.total,
                ..first
            },
            Some(Growth::Pattern) => Size::text(second.total * f64::from(PATTERN_GROWTH) + SMALL),
            Some(Growth::Times(times)) => Size::text(first.total * f64::from(times) + SMALL),
        };
        (size, steps + work(&function, first, second))
    }

    fn comprehension(&mut self, comprehension: &'a ComprehensionExpr) -> (Size, f64) {
        let outer = self.variables.len();
        let (range, range_steps) = self.expression(&comprehension.iter_range);
        let (start, start_steps) = self.expression(&comprehension.accu_init);
        let makes_list =
            matches!(&comprehension.accu_init.expr, Expr::List(list) if list.elements.is_empty());
        let mut size = start;
        let mut loop_steps = 0.0;
        if !is_binding(comprehension) {
            let accumulated = if makes_list {
                Size::EMPTY
            } else {
                Size::text(SMALL)
            };
            let (none, none_steps) = self.turn(comprehension, Size::EMPTY, accumulated);
            let (most, most_steps) = self.turn(comprehension, Size::text(range.largest), accumulated);
            loop_steps = over_all(range, none_steps, most_steps);
            size = if makes_list {
                let total = over_all(range, none.total + 1.0, most.total + 1.0);
                Size {
                    count: range.count * most.count.max(1.0),
                    largest: most.largest,
                    total,
                }
            } else {
                Size::text(SMALL)
            };
        }
        self.bytes = self.bytes.max(size.total);
        self.variables.push((&comprehension.accu_var, size));
        let (result, result_steps) = self.expression(&comprehension.result);
        self.variables.truncate(outer);
        (
            result,
            1.0 + range_steps + start_steps + loop_steps + result_steps,
        )
    }

    /// One turn of a loop, for an element of that size.
    fn turn(
        &mut self,
        comprehension: &'a ComprehensionExpr,
        element: Size,
        accumulated: Size,
    ) -> (Size, f64) {
        let outer = self.variables.len();
        self.variables.push((&comprehension.accu_var, accumulated));
        self.variables.push((&comprehension.iter_var, element));
        if let Some(second) = &comprehension.iter_var2 {
            self.variables.push((second, element));
        }
        let (_, asked) = self.expression(&comprehension.loop_cond);
        let (size, steps) = self.expression(&comprehension.loop_step);
        self.variables.truncate(outer);
        (size, asked + steps)
    }
}

/// The sum over all elements of something that grows from `none` (for an empty element) to `most` (for the largest), at most along
/// a straight line.
fn over_all(range: Size, none: f64, most: f64) -> f64 {
    let slope = if range.largest > 0.0 {
        (most - none).max(0.0) / range.largest
    } else {
        0.0
    };
    range.count * none + range.total * slope
}

/// Text with parts exchanged: grows by how much longer the new part is than the old one.
fn replaced(call: &CallExpr, text: Size, to: Size) -> Size {
    let from = match call.args.first().map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(from))) => from.inner().len() as f64,
        _ => 0.0,
    };
    if from > 0.0 {
        Size::text(text.total * (to.total / from).max(1.0))
    } else {
        Size::text(text.total + (text.total + 1.0) * to.total)
    }
}

/// Steps of a function beyond one: what grows with its operands.
fn work(function: &str, first: Size, second: Size) -> f64 {
    match function {
        // Compare each with each, or place by place.
        "distinct" => first.count * first.count,
        "indexOf" | "lastIndexOf" => first.total * second.total.max(1.0) / 1_024.0,
        "sort" | "@sortByAssociatedKeys" => first.count * 20.0,
        "@in" => second.count + second.total / BYTES_PER_STEP,
        "matches" => PATTERN_STEPS + first.total,
        "ascii" | "fold" | "format" | "lower" | "upper" => first.total / 8.0,
        "flatten" | "join" | "split" => first.total,
        _ => (first.total + second.total) / BYTES_PER_STEP / 16.0,
    }
}
