//! Rules and mappings: expressions in CEL (Common Expression Language), compiled once, evaluated for many people. The only
//! importer of `cel`, which checks nothing when it compiles and has no limits of its own; this module gives it both.
//!
//! Variables are `identity` (the declared attributes of the person; an absent one must be asked for with `has(identity.x)` or
//! `identity.?x`) and `state` (their lifecycle state as text). Functions are those of CEL with its strings, lists and math
//! libraries, and our own:
//!
//! | function | gives |
//! |---|---|
//! | `ascii(text)` | the text in ASCII letters, from any script |
//! | `fold(text)` | equal for texts that differ in case only |
//! | `text.lower()`, `text.upper()` | the case changed, in every script (`lowerAscii()`, `upperAscii()`: ASCII letters only) |
//! | `list.first()` | the first element, `null` of an empty list |
//! | `date(text)` | the day of a date or an instant, as text: `2026-03-02` |
//! | `day.addDays(n)`, `day.addMonths(n)` | another day |
//! | `day.year()`, `day.month()`, `day.day()` | a whole number |
//! | `day.daysUntil(other)` | a whole number |
//! | `day.formatDate('%d.%m.%Y')` | text; also `%y %e %j %B %b %A %a` |
//!
//! What can be wrong whoever the person is, is found when the document is loaded: unknown names and functions (`names.rs`), and whatever fails
//! for a made-up person (`compile.rs`). In a new document also wrong types and numbers of arguments (`types.rs`); a stored one was in force
//! already with what this finds, and must stay readable by every later version.
//!
//! # What bounds an evaluation
//! - the source: at most [`SOURCE_BYTES_MAX`], counted before anything parses it;
//! - the syntax tree: at most [`NODES_MAX`] nodes, [`DEPTH_MAX`] inside each other, so that evaluation fits any thread's stack, and
//!   [`NESTED_LOOPS_MAX`] loops inside each other;
//! - the functions: only those listed in `functions.rs`;
//! - the attributes: at most [`TEXT_BYTES_MAX`] per text, [`LIST_ITEMS_MAX`] and [`LIST_BYTES_MAX`] per list; a larger one that the
//!   expression reads is an error for that person;
//! - from all of these an upper bound of the steps and of the largest value is worked out when the document is loaded
//!   (`bounds.rs`); beyond [`STEPS_MAX`] or [`VALUE_BYTES_MAX`] the expression is refused. So no attribute value, whoever chose
//!   it, makes an accepted expression run away.
//!
//! Parsing recurses before anything can be counted, so compiling (and the first evaluation) runs on a thread of its own with a
//! large stack: the one place in this crate that starts a thread, because an overflow would end the process.

mod about;
mod account;
mod bounds;
mod compile;
mod dates;
mod explain;
mod functions;
mod names;
mod signatures;
mod tables;
mod types;
mod values;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::{Context, Program, Value as CelValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attributes::Attributes;
use crate::state::IdentityState;

use about::{ACCOUNT, About, PERSON};
pub use account::{AccountRule, AccountScope};
pub use compile::{Mistake, MistakeKind};
use explain::explain;
pub use tables::Tables;
use values::{Variables, oversize, to_json, to_truth};

/// Most bytes of an expression: left-recursive chains overflow a 2 MiB stack from about 2,600.
pub const SOURCE_BYTES_MAX: usize = 2_048;
/// Most nodes of the syntax tree: ten times what the longest sensible mapping has.
pub const NODES_MAX: usize = 300;
/// Most nodes inside each other: evaluation recurses, taking about 2 kB of stack for each, and any thread may evaluate.
pub const DEPTH_MAX: usize = 64;
/// Most loops (`all`, `exists`, `map`, `filter`…) inside each other: a third would make 1,000³ steps of three lists.
pub const NESTED_LOOPS_MAX: usize = 2;
/// Most steps an evaluation may take in the worst case: about two seconds.
pub const STEPS_MAX: u64 = 10_000_000;
/// Most bytes a value may reach in the worst case: far above any attribute, small beside a host's memory.
pub const VALUE_BYTES_MAX: u64 = 16 * 1_048_576;
/// Most bytes of a text attribute that an expression reads: a page of text.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// Most elements of a list attribute that an expression reads.
pub const LIST_ITEMS_MAX: usize = 1_000;
/// Most bytes of a list attribute that an expression reads.
pub const LIST_BYTES_MAX: usize = 65_536;

/// What kind of value a declared attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// Text.
    Text,
    /// An ISO date, as text.
    Date,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    List,
}

/// The attributes expressions may read.
pub type Declared = BTreeMap<String, AttributeKind>;

/// An expression that could not be evaluated for a person (or a date that could not be read).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ExpressionError {
    /// Which item of the policy, as a dotted path: `roles.employee.when`.
    pub path: String,
    /// The expression.
    pub expression: String,
    /// What is wrong. Never holds a person's values.
    pub message: String,
}

/// A boolean expression: who has a role.
#[derive(Clone, Debug)]
pub struct Rule(Arc<Compiled>);

/// An expression that makes an attribute.
#[derive(Clone, Debug)]
pub struct Mapper(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    path: String,
    source: String,
    program: Program,
    /// The attributes it reads.
    reads: BTreeSet<String>,
    /// The attribute it is nothing but: what most mappings are.
    plain: Option<String>,
    /// What it is about: [`PERSON`] or [`ACCOUNT`].
    word: &'static str,
}

/// What the result must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Truth,
    Attribute,
}

/// How much is asked of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// It was in force already: what works for some people must go on.
    Stored,
    /// It is to come into force: also what would fail, or never be true, for some people is a mistake.
    New,
}

impl Rule {
    /// Compiles a rule. `path` names it in errors.
    ///
    /// # Errors
    /// Every mistake found: syntax, unknown names, limits, a result that is not a truth.
    pub fn compile(path: &str, source: &str, declared: &Declared) -> Result<Self, Vec<Mistake>> {
        Self::compile_as(path, source, declared, Strictness::New)
    }

    /// The same, as strictly as told.
    pub(crate) fn compile_as(
        path: &str,
        source: &str,
        declared: &Declared,
        strictness: Strictness,
    ) -> Result<Self, Vec<Mistake>> {
        compile::compile(path, source, About::Person(declared), Wanted::Truth, strictness)
            .map(|compiled| Self(Arc::new(compiled)))
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The attributes of the person it reads, in order.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.0.reads.iter().map(String::as_str)
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// It cannot be evaluated, or is not a truth.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, ExpressionError> {
        self.0.evaluate(scope, to_truth)
    }
}

impl Mapper {
    /// Compiles a mapping. `path` names it in errors.
    ///
    /// # Errors
    /// Every mistake found: syntax, unknown names, limits, a result that is no attribute value.
    pub fn compile(path: &str, source: &str, declared: &Declared) -> Result<Self, Vec<Mistake>> {
        Self::compile_as(path, source, declared, Strictness::New)
    }

    /// The same, as strictly as told.
    pub(crate) fn compile_as(
        path: &str,
        source: &str,
        declared: &Declared,
        strictness: Strictness,
    ) -> Result<Self, Vec<Mistake>> {
        compile::compile(
            path,
            source,
            About::Person(declared),
            Wanted::Attribute,
            strictness,
        )
        .map(|compiled| Self(Arc::new(compiled)))
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The attributes of the person it reads, in order.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.0.reads.iter().map(String::as_str)
    }

    /// Its value; `null` means the attribute is absent.
    ///
    /// # Errors
    /// It cannot be evaluated.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        let plain = self.0.plain.as_ref().and_then(|name| scope.attributes.get(name));
        match plain {
            Some(value) if !value.is_null() && oversize(value).is_none() => Ok(value.clone()),
            Some(_) | None => match scope.tables {
                Some(tables) => tables.borrow_mut().value(self, scope),
                None => self.evaluate(scope),
            },
        }
    }

    fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        self.0.evaluate(scope, to_json)
    }

    /// An error that says why its value is of no use for a person.
    pub(crate) fn unusable(&self, message: &str) -> ExpressionError {
        self.0.error(message.to_owned())
    }
}

/// The variables of one person. Made once, used for all their rules and mappings.
#[derive(Debug)]
pub struct Scope<'a> {
    attributes: &'a Attributes,
    state: IdentityState,
    /// Made for the first expression that is evaluated: where tables know everything there is none.
    variables: OnceCell<Variables<'a>>,
    tables: Option<&'a RefCell<Tables>>,
}

impl<'a> Scope<'a> {
    /// The variables of a person.
    pub fn new(attributes: &'a Attributes, state: IdentityState) -> Self {
        Self {
            attributes,
            state,
            variables: OnceCell::new(),
            tables: None,
        }
    }

    /// The same; what was worked out for others who have the same values is taken from the tables of these very expressions.
    pub(crate) fn with_tables(
        attributes: &'a Attributes,
        state: IdentityState,
        tables: Option<&'a RefCell<Tables>>,
    ) -> Self {
        Self {
            tables,
            ..Self::new(attributes, state)
        }
    }

    /// For each rule the tables were made for whether it holds; `None` without tables.
    pub(crate) fn hold(&self) -> Option<Result<Vec<bool>, ExpressionError>> {
        self.tables.map(|tables| tables.borrow_mut().hold(self))
    }
}

impl Compiled {
    fn reads(&self) -> Vec<String> {
        self.reads.iter().cloned().collect()
    }

    fn evaluate<T>(
        &self,
        scope: &Scope<'_>,
        read: fn(&CelValue) -> Result<T, String>,
    ) -> Result<T, ExpressionError> {
        let too_large = self.reads.iter().find_map(|name| {
            scope
                .attributes
                .get(name)
                .and_then(oversize)
                .map(|why| format!("`{}.{name}` {why}", self.word))
        });
        let result = match too_large {
            Some(message) => Err(message),
            None => {
                let variables = scope
                    .variables
                    .get_or_init(|| Variables::new(scope.attributes, scope.state));
                self.run(variables, read)
            }
        };
        result.map_err(|message| self.error(message))
    }

    /// What it is about, for people.
    fn who(&self) -> &'static str {
        if self.word == ACCOUNT { "account" } else { "person" }
    }

    fn error(&self, message: String) -> ExpressionError {
        ExpressionError {
            path: self.path.clone(),
            expression: self.source.clone(),
            message,
        }
    }

    /// Evaluates the program. The message holds no value of the person.
    fn run<T>(
        &self,
        variables: &Variables<'_>,
        read: fn(&CelValue) -> Result<T, String>,
    ) -> Result<T, String> {
        let environment = functions::ENVIRONMENT.as_ref().map_err(ToString::to_string)?;
        let mut context = Context::with_env(Arc::clone(environment));
        context.set_variable_resolver(variables);
        // A defect of the library must not end the host: this person gets a problem, everybody else goes on.
        catch_unwind(AssertUnwindSafe(|| {
            // Not `Value::resolve_val`: that is always inlined, so it would recurse in code of this crate, which in an unoptimised
            // build takes 20 kB of stack for each level instead of 2.
            let value = self
                .program
                .execute(&context)
                .map_err(|error| explain(&error, self))?;
            read(&value)
        }))
        .unwrap_or_else(|_| Err("the expression library failed; please report the expression".to_owned()))
    }
}

#[cfg(test)]
mod tests;
