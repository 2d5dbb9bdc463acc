//! From source to a compiled expression, or every mistake in it.

use std::sync::Arc;
use std::thread;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};
use cel::{Context, ExecutionError};
use serde_json::{Value, json};

use super::bounds::bounds;
use super::names::{is_subject, literal_pattern, walk};
use super::signatures::Kind;
use super::values::{Variables, to_json, to_truth};
use super::{
    About, AttributeKind, Compiled, SOURCE_BYTES_MAX, STEPS_MAX, Strictness, VALUE_BYTES_MAX, Wanted,
    explain, functions, types,
};
use crate::attributes::Attributes;
use crate::state::IdentityState;

/// One mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, in bytes from the start of the expression.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What the mistake is about.
    pub kind: MistakeKind,
}

/// What a mistake is about: decides whether it can be trusted while not all attributes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MistakeKind {
    /// An attribute that is not declared.
    Attribute,
    /// Types or sizes, which follow from those of the attributes.
    Type,
    /// The expression itself.
    Expression,
}

impl Mistake {
    fn at_start(message: impl Into<String>) -> Vec<Self> {
        vec![Self {
            offset: 0,
            message: message.into(),
            kind: MistakeKind::Expression,
        }]
    }

    fn of_type(message: impl Into<String>) -> Vec<Self> {
        vec![Self {
            offset: 0,
            message: message.into(),
            kind: MistakeKind::Type,
        }]
    }
}

/// Stack of the compiling thread, in bytes: an expression of [`SOURCE_BYTES_MAX`] needs under 4 MiB even unoptimised. Address space
/// only; a page is used when it is touched.
const STACK_BYTES: usize = 16 * 1_048_576;

/// Compiles and checks an expression.
pub(super) fn compile(
    path: &str,
    source: &str,
    about: About<'_>,
    wanted: Wanted,
    strictness: Strictness,
) -> Result<Compiled, Vec<Mistake>> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(Mistake::at_start(format!(
            "the expression is too long: {} bytes, at most {SOURCE_BYTES_MAX}; split it",
            source.len()
        )));
    }
    if source.trim().is_empty() {
        return Err(Mistake::at_start("the expression is empty"));
    }
    on_a_large_stack(|| checked(path, source, about, wanted, strictness))
}

/// Runs `task` on a thread with a large stack, and turns a panic into a mistake.
fn on_a_large_stack<T: Send>(
    task: impl FnOnce() -> Result<T, Vec<Mistake>> + Send,
) -> Result<T, Vec<Mistake>> {
    thread::scope(|scope| {
        let name = "usher-compile-expression".to_owned();
        let started = thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, task);
        match started {
            Ok(handle) => handle.join().unwrap_or_else(|_| {
                Err(Mistake::at_start(
                    "the expression library fails on this expression",
                ))
            }),
            Err(error) => Err(Mistake::at_start(format!(
                "no thread to compile the expression on: {error}"
            ))),
        }
    })
}

fn checked(
    path: &str,
    source: &str,
    about: About<'_>,
    wanted: Wanted,
    strictness: Strictness,
) -> Result<Compiled, Vec<Mistake>> {
    let environment = functions::ENVIRONMENT
        .as_ref()
        .map_err(|error| Mistake::at_start(error.to_string()))?;
    let program = environment
        .compile(source)
        .map_err(|errors| syntax_mistakes(source, &errors))?;
    let names = walk(program.expression(), program.source_info(), about);
    if !names.mistakes.is_empty() {
        return Err(names.mistakes);
    }
    match strictness {
        Strictness::Stored => {}
        Strictness::New => {
            let (kind, mistakes) = types::check(program.expression(), program.source_info(), about);
            if !mistakes.is_empty() {
                return Err(mistakes);
            }
            check_result(kind, wanted)?;
        }
    }
    check_bounds(program.expression(), about)?;
    check_patterns(program.expression())?;
    let compiled = Compiled {
        path: path.to_owned(),
        source: source.to_owned(),
        plain: plain_attribute(program.expression(), about),
        program,
        reads: names.reads,
        word: about.word(),
    };
    check_types(&compiled, about, wanted)?;
    Ok(compiled)
}

/// The attribute that is all of an expression: `identity.x`.
fn plain_attribute(root: &IdedExpr, about: About<'_>) -> Option<String> {
    match &root.expr {
        Expr::Select(select) if is_subject(&select.operand, about) && !select.test => {
            Some(select.field.clone())
        }
        _ => None,
    }
}

/// What an expression gives must be what is wanted.
fn check_result(kind: Kind, wanted: Wanted) -> Result<(), Vec<Mistake>> {
    match (wanted, kind) {
        (Wanted::Truth, Kind::Bool | Kind::Any) => Ok(()),
        (Wanted::Truth, other) => Err(Mistake::of_type(format!(
            "a rule must be true or false; this one gives {}",
            other.words()
        ))),
        (Wanted::Attribute, Kind::Time | Kind::Duration | Kind::Bytes) => Err(Mistake::of_type(format!(
            "a value of type {} cannot be an attribute; make it text with string()",
            kind.words()
        ))),
        (Wanted::Attribute, _) => Ok(()),
    }
}

/// The first few syntax errors; the parser likes to report what follows from the first one, too.
fn syntax_mistakes(source: &str, errors: &cel::ParseErrors) -> Vec<Mistake> {
    let mistakes: Vec<Mistake> = errors
        .errors
        .iter()
        .take(1)
        .map(|error| {
            let text = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
            // The parser lists every token it would have taken; the place says more.
            let text = text.split(" expecting ").next().unwrap_or(text);
            let text = text.replace("mismatched input '<EOF>'", "it ends too early");
            let text = text
                .replace("mismatched input", "unexpected")
                .replace("extraneous input", "unexpected");
            let text: String = text.chars().take(160).collect();
            Mistake {
                offset: offset_of(source, error.pos),
                message: format!("not an expression: {text}"),
                kind: MistakeKind::Expression,
            }
        })
        .collect();
    if mistakes.is_empty() {
        Mistake::at_start("not an expression")
    } else {
        mistakes
    }
}

/// Bytes from the start for a line and column in characters, both from 1.
fn offset_of(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let column = usize::try_from(column - 1).unwrap_or(0);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &source[start..];
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

fn check_bounds(root: &IdedExpr, about: About<'_>) -> Result<(), Vec<Mistake>> {
    let worst = bounds(root, about);
    // Infinity times nothing is not a number: something on the way had no bound.
    if worst.steps.is_nan() || worst.steps > STEPS_MAX as f64 {
        return Err(Mistake::of_type(format!(
            "the expression could take more than {STEPS_MAX} steps with large attributes; use fewer or smaller loops"
        )));
    }
    if worst.bytes.is_nan() || worst.bytes > VALUE_BYTES_MAX as f64 {
        return Err(Mistake::of_type(format!(
            "the expression could make a value of more than {VALUE_BYTES_MAX} bytes from large attributes"
        )));
    }
    Ok(())
}

/// A pattern that is none would fail for everybody, but only when the first person is planned.
fn check_patterns(root: &IdedExpr) -> Result<(), Vec<Mistake>> {
    let environment = functions::ENVIRONMENT
        .as_ref()
        .map_err(|error| Mistake::at_start(error.to_string()))?;
    let probe = environment
        .compile("''.matches(pattern)")
        .map_err(|_| Mistake::at_start("patterns cannot be checked"))?;
    for pattern in patterns(root) {
        let mut context = Context::with_env(Arc::clone(environment));
        context.add_variable_from_value("pattern", pattern);
        if probe.execute(&context).is_err() {
            let shown: String = pattern.chars().take(80).collect();
            return Err(Mistake::at_start(format!(
                "`{shown}` is not a pattern that matches() takes"
            )));
        }
    }
    Ok(())
}

fn patterns(expression: &IdedExpr) -> Vec<&str> {
    let own = match &expression.expr {
        Expr::Call(call) if call.func_name == "matches" => literal_pattern(call),
        _ => None,
    };
    own.into_iter()
        .chain(children(expression).into_iter().flat_map(patterns))
        .collect()
}

fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(CallExpr { target, args, .. }) => {
            target.iter().map(|target| &**target).chain(args).collect()
        }
        Expr::Comprehension(c) => {
            vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| entry_children(&entry.expr))
            .collect(),
        Expr::Select(select) => vec![&*select.operand],
        Expr::Struct(made) => made
            .entries
            .iter()
            .flat_map(|entry| entry_children(&entry.expr))
            .collect(),
    }
}

fn entry_children(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

/// Evaluates once for a made-up person who has every attribute, of its declared kind. What depends on the values says nothing (a
/// text that is not a number…); what depends only on the types would fail for everybody.
fn check_types(compiled: &Compiled, about: About<'_>, wanted: Wanted) -> Result<(), Vec<Mistake>> {
    let environment = functions::ENVIRONMENT
        .as_ref()
        .map_err(|error| Mistake::at_start(error.to_string()))?;
    let person = sample(about);
    let variables = match about {
        About::Person(_) => Variables::new(&person, IdentityState::Active),
        About::Account => Variables::of_account("text", &person),
    };
    let mut context = Context::with_env(Arc::clone(environment));
    context.set_variable_resolver(&variables);
    let message = match compiled.program.execute(&context) {
        Err(error) if is_of_types(&error) => Some(explain(&error, compiled)),
        Err(_) => None,
        Ok(value) => match wanted {
            Wanted::Truth => to_truth(&value).err(),
            Wanted::Attribute => to_json(&value).err(),
        },
    };
    message.map_or(Ok(()), |message| Err(Mistake::of_type(message)))
}

/// Rules are the same that say the same at the same place.
impl PartialEq for super::Rule {
    fn eq(&self, other: &Self) -> bool {
        (&self.0.path, &self.0.source) == (&other.0.path, &other.0.source)
    }
}

fn sample(about: About<'_>) -> Attributes {
    let About::Person(declared) = about else {
        return Attributes::new();
    };
    let value = |kind: AttributeKind| -> Value {
        match kind {
            AttributeKind::Text => json!("text"),
            AttributeKind::Date => json!("2026-03-02"),
            AttributeKind::Integer => json!(1),
            AttributeKind::Boolean => json!(true),
            AttributeKind::List => json!(["text"]),
        }
    };
    declared
        .iter()
        .map(|(name, kind)| (name.clone(), value(*kind)))
        .collect()
}

/// Whether an error comes from the types alone.
fn is_of_types(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::NoSuchOverload(_)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::UndeclaredReference(_)
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::InvalidArgumentCount { .. }
    )
}
