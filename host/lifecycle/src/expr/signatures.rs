//! What every function takes and gives, for the check of types. [`super::functions`] says which functions there are.

use Kind::{Any, Bool, Bytes, Double, Duration, Int, List, Map, Null, Optional, Text, Texts, Time, Uint};
use Style::{Both, Global, Member};

/// What is known of a value before it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Uint,
    Double,
    Bool,
    Null,
    Bytes,
    Time,
    Duration,
    /// A list of texts.
    Texts,
    /// A list of something.
    List,
    Map,
    Optional,
    /// Not known.
    Any,
}

impl Kind {
    /// For messages.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Text => "text",
            Int | Uint => "whole number",
            Double => "fraction",
            Bool => "true or false",
            Null => "null",
            Bytes => "bytes",
            Time => "time",
            Duration => "duration",
            Texts | List => "list",
            Map => "map",
            Optional => "optional",
            Any => "something",
        }
    }
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `value.function(…)`.
    Member,
    /// `function(value, …)`.
    Global,
    /// Either way.
    Both,
}

/// One form of a function. Of a member the first operand is the value before the dot.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) function: &'static str,
    pub(super) style: Style,
    pub(super) operands: &'static [Kind],
    pub(super) gives: Kind,
}

impl Signature {
    /// Whether it takes so many operands, the value before the dot among them.
    pub(super) fn takes(&self, count: usize) -> bool {
        self.operands.len() == count || (self.is_open() && count > self.operands.len())
    }

    /// The kind of an operand.
    pub(super) fn operand(&self, place: usize) -> Kind {
        self.operands.get(place).copied().unwrap_or(Any)
    }

    /// More arguments of any kind may follow.
    fn is_open(&self) -> bool {
        self.function.starts_with("math.@")
    }
}

/// Whether a value of one kind may stand where another is needed.
pub(super) fn fits(is: Kind, needed: Kind) -> bool {
    is == needed || matches!((is, needed), (Any, _) | (_, Any) | (Texts, List) | (List, Texts))
}

/// All forms of a function.
pub(super) fn signatures(function: &str) -> impl Iterator<Item = &'static Signature> {
    SIGNATURES
        .iter()
        .filter(move |signature| signature.function == function)
}

const fn of(function: &'static str, style: Style, operands: &'static [Kind], gives: Kind) -> Signature {
    Signature {
        function,
        style,
        operands,
        gives,
    }
}

/// All forms of all functions but `?:`, `==` and `!=`, which have rules of their own.
#[rustfmt::skip]
pub(super) const SIGNATURES: &[Signature] = &[
    // Operators
    of("_&&_", Global, &[Bool, Bool], Bool),
    of("_||_", Global, &[Bool, Bool], Bool),
    of("!_", Global, &[Bool], Bool),
    of("@not_strictly_false", Global, &[Any], Bool),
    of("-_", Global, &[Int], Int),
    of("-_", Global, &[Double], Double),
    of("_+_", Global, &[Text, Text], Text),
    of("_+_", Global, &[Texts, Texts], Texts),
    of("_+_", Global, &[List, List], List),
    of("_+_", Global, &[Bytes, Bytes], Bytes),
    of("_+_", Global, &[Int, Int], Int),
    of("_+_", Global, &[Uint, Uint], Uint),
    of("_+_", Global, &[Double, Double], Double),
    of("_+_", Global, &[Time, Duration], Time),
    of("_+_", Global, &[Duration, Time], Time),
    of("_+_", Global, &[Duration, Duration], Duration),
    of("_-_", Global, &[Int, Int], Int),
    of("_-_", Global, &[Uint, Uint], Uint),
    of("_-_", Global, &[Double, Double], Double),
    of("_-_", Global, &[Time, Duration], Time),
    of("_-_", Global, &[Time, Time], Duration),
    of("_-_", Global, &[Duration, Duration], Duration),
    of("_*_", Global, &[Int, Int], Int),
    of("_*_", Global, &[Uint, Uint], Uint),
    of("_*_", Global, &[Double, Double], Double),
    of("_/_", Global, &[Int, Int], Int),
    of("_/_", Global, &[Uint, Uint], Uint),
    of("_/_", Global, &[Double, Double], Double),
    of("_%_", Global, &[Int, Int], Int),
    of("_%_", Global, &[Uint, Uint], Uint),
    of("@in", Global, &[Any, List], Bool),
    of("@in", Global, &[Any, Map], Bool),
    of("_[_]", Global, &[Texts, Int], Text),
    of("_[_]", Global, &[List, Int], Any),
    of("_[_]", Global, &[List, Uint], Any),
    of("_[_]", Global, &[List, Double], Any),
    of("_[_]", Global, &[Map, Any], Any),
    of("_[_]", Global, &[Optional, Any], Optional),
    of("_[?_]", Global, &[Any, Any], Optional),
    of("_?._", Global, &[Any, Text], Optional),
    // Ours
    of("ascii", Global, &[Text], Text),
    of("date", Global, &[Text], Text),
    of("fold", Global, &[Text], Text),
    of("addDays", Member, &[Text, Int], Text),
    of("addMonths", Member, &[Text, Int], Text),
    of("day", Member, &[Text], Int),
    of("daysUntil", Member, &[Text, Text], Int),
    of("first", Member, &[List], Any),
    of("formatDate", Member, &[Text, Text], Text),
    of("lower", Member, &[Text], Text),
    of("month", Member, &[Text], Int),
    of("upper", Member, &[Text], Text),
    of("year", Member, &[Text], Int),
    // Text
    of("charAt", Member, &[Text, Int], Text),
    of("contains", Member, &[Text, Text], Bool),
    of("endsWith", Member, &[Text, Text], Bool),
    of("format", Member, &[Text, List], Text),
    of("indexOf", Member, &[Text, Text], Int),
    of("indexOf", Member, &[Text, Text, Int], Int),
    of("join", Member, &[List], Text),
    of("join", Member, &[List, Text], Text),
    of("lastIndexOf", Member, &[Text, Text], Int),
    of("lastIndexOf", Member, &[Text, Text, Int], Int),
    of("lowerAscii", Member, &[Text], Text),
    of("matches", Both, &[Text, Text], Bool),
    of("replace", Member, &[Text, Text, Text], Text),
    of("replace", Member, &[Text, Text, Text, Int], Text),
    of("reverse", Member, &[Text], Text),
    of("reverse", Member, &[Texts], Texts),
    of("reverse", Member, &[List], List),
    of("size", Both, &[Text], Int),
    of("size", Both, &[Bytes], Int),
    of("size", Both, &[List], Int),
    of("size", Both, &[Map], Int),
    of("split", Member, &[Text, Text], Texts),
    of("split", Member, &[Text, Text, Int], Texts),
    of("startsWith", Member, &[Text, Text], Bool),
    of("strings.quote", Global, &[Text], Text),
    of("substring", Member, &[Text, Int], Text),
    of("substring", Member, &[Text, Int, Int], Text),
    of("trim", Member, &[Text], Text),
    of("upperAscii", Member, &[Text], Text),
    // Lists
    of("@sortByAssociatedKeys", Member, &[Texts, List], Texts),
    of("@sortByAssociatedKeys", Member, &[List, List], List),
    of("distinct", Member, &[Texts], Texts),
    of("distinct", Member, &[List], List),
    of("flatten", Member, &[List], List),
    of("flatten", Member, &[List, Int], List),
    of("slice", Member, &[Texts, Int, Int], Texts),
    of("slice", Member, &[List, Int, Int], List),
    of("sort", Member, &[Texts], Texts),
    of("sort", Member, &[List], List),
    // Optional values
    of("hasValue", Member, &[Optional], Bool),
    of("optional.none", Global, &[], Optional),
    of("optional.of", Global, &[Any], Optional),
    of("optional.ofNonZeroValue", Global, &[Any], Optional),
    of("or", Member, &[Optional, Any], Any),
    of("orValue", Member, &[Optional, Any], Any),
    of("value", Member, &[Optional], Any),
    // Conversions
    of("bool", Global, &[Bool], Bool),
    of("bool", Global, &[Text], Bool),
    of("double", Global, &[Double], Double),
    of("double", Global, &[Int], Double),
    of("double", Global, &[Uint], Double),
    of("double", Global, &[Text], Double),
    of("duration", Global, &[Text], Duration),
    of("duration", Global, &[Duration], Duration),
    of("int", Global, &[Int], Int),
    of("int", Global, &[Uint], Int),
    of("int", Global, &[Double], Int),
    of("int", Global, &[Text], Int),
    of("int", Global, &[Time], Int),
    of("string", Global, &[Text], Text),
    of("string", Global, &[Bool], Text),
    of("string", Global, &[Int], Text),
    of("string", Global, &[Uint], Text),
    of("string", Global, &[Double], Text),
    of("string", Global, &[Bytes], Text),
    of("string", Global, &[Time], Text),
    of("string", Global, &[Duration], Text),
    of("timestamp", Global, &[Text], Time),
    of("timestamp", Global, &[Time], Time),
    of("timestamp", Global, &[Int], Time),
    of("uint", Global, &[Uint], Uint),
    of("uint", Global, &[Int], Uint),
    of("uint", Global, &[Double], Uint),
    of("uint", Global, &[Text], Uint),
    // Times
    of("getDate", Member, &[Time], Int),
    of("getDate", Member, &[Time, Text], Int),
    of("getDayOfMonth", Member, &[Time], Int),
    of("getDayOfMonth", Member, &[Time, Text], Int),
    of("getDayOfWeek", Member, &[Time], Int),
    of("getDayOfWeek", Member, &[Time, Text], Int),
    of("getDayOfYear", Member, &[Time], Int),
    of("getDayOfYear", Member, &[Time, Text], Int),
    of("getFullYear", Member, &[Time], Int),
    of("getFullYear", Member, &[Time, Text], Int),
    of("getHours", Member, &[Time], Int),
    of("getHours", Member, &[Time, Text], Int),
    of("getHours", Member, &[Duration], Int),
    of("getMilliseconds", Member, &[Time], Int),
    of("getMilliseconds", Member, &[Time, Text], Int),
    of("getMilliseconds", Member, &[Duration], Int),
    of("getMinutes", Member, &[Time], Int),
    of("getMinutes", Member, &[Time, Text], Int),
    of("getMinutes", Member, &[Duration], Int),
    of("getMonth", Member, &[Time], Int),
    of("getMonth", Member, &[Time, Text], Int),
    of("getSeconds", Member, &[Time], Int),
    of("getSeconds", Member, &[Time, Text], Int),
    of("getSeconds", Member, &[Duration], Int),
    // Numbers
    of("math.@max", Global, &[Any], Any),
    of("math.@min", Global, &[Any], Any),
    of("math.abs", Global, &[Int], Int),
    of("math.abs", Global, &[Uint], Uint),
    of("math.abs", Global, &[Double], Double),
    of("math.ceil", Global, &[Double], Double),
    of("math.floor", Global, &[Double], Double),
    of("math.round", Global, &[Double], Double),
    of("math.sign", Global, &[Int], Int),
    of("math.sign", Global, &[Uint], Uint),
    of("math.sign", Global, &[Double], Double),
    of("math.trunc", Global, &[Double], Double),
];
