//! The environment of every expression: the functions there are, those we add, and how large their results can get.

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelInt, CelNull, CelString, LIST_TYPE};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::dates::{add_days, add_months, date, day, days_until, format_date, month, year};

/// How large the result of a function can be; read by [`super::bounds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// A number, a truth, a time: a few bytes.
    Small,
    /// No more than its first operand.
    Same,
    /// One element of its first operand.
    Element,
    /// One of its operands.
    Largest,
    /// All operands together.
    Sum,
    /// Text with parts exchanged.
    Replace,
    /// The parts of a list with text between them.
    Join,
    /// A list of parts.
    Split,
    /// A format with its arguments filled in.
    Format,
    /// The elements of the elements.
    Flatten,
    /// A pattern (its second operand) with a date filled in.
    Pattern,
    /// At most so many times its first operand, and a few bytes.
    Times(u32),
}

/// Bytes of ASCII that one byte of UTF-8 becomes at most (measured over all of Unicode: 11).
pub(super) const ASCII_GROWTH: u32 = 12;

/// Bytes that one byte of a date's pattern becomes at most: `%A` is `Wednesday`.
pub(super) const PATTERN_GROWTH: u32 = 5;

/// Every function and operator an expression may use. What is not here is refused when the document is loaded, so a new version of
/// the library cannot bring in one that makes much from little (`lists.range`) unseen.
pub(super) const FUNCTIONS: &[(&str, Growth)] = &[
    // Operators
    ("_?_:_", Growth::Largest),
    ("_&&_", Growth::Small),
    ("_||_", Growth::Small),
    ("!_", Growth::Small),
    ("_-_", Growth::Small),
    ("_+_", Growth::Sum),
    ("_*_", Growth::Small),
    ("_/_", Growth::Small),
    ("_%_", Growth::Small),
    ("_==_", Growth::Small),
    ("_!=_", Growth::Small),
    ("_>=_", Growth::Small),
    ("_<=_", Growth::Small),
    ("_>_", Growth::Small),
    ("_<_", Growth::Small),
    ("-_", Growth::Small),
    ("_[_]", Growth::Element),
    ("_[?_]", Growth::Element),
    ("_?._", Growth::Element),
    ("@in", Growth::Small),
    ("@not_strictly_false", Growth::Small),
    // Ours
    ("ascii", Growth::Times(ASCII_GROWTH)),
    ("fold", Growth::Times(4)),
    ("lower", Growth::Times(4)),
    ("upper", Growth::Times(4)),
    ("addDays", Growth::Small),
    ("addMonths", Growth::Small),
    ("date", Growth::Small),
    ("day", Growth::Small),
    ("daysUntil", Growth::Small),
    ("first", Growth::Element),
    ("formatDate", Growth::Pattern),
    ("month", Growth::Small),
    ("year", Growth::Small),
    // Text
    ("charAt", Growth::Small),
    ("contains", Growth::Small),
    ("endsWith", Growth::Small),
    ("format", Growth::Format),
    ("indexOf", Growth::Small),
    ("join", Growth::Join),
    ("lastIndexOf", Growth::Small),
    ("lowerAscii", Growth::Same),
    ("matches", Growth::Small),
    ("replace", Growth::Replace),
    ("reverse", Growth::Same),
    ("size", Growth::Small),
    ("split", Growth::Split),
    ("startsWith", Growth::Small),
    ("strings.quote", Growth::Times(2)),
    ("substring", Growth::Same),
    ("trim", Growth::Same),
    ("upperAscii", Growth::Same),
    // Lists
    ("@sortByAssociatedKeys", Growth::Same),
    ("distinct", Growth::Same),
    ("flatten", Growth::Flatten),
    ("slice", Growth::Same),
    ("sort", Growth::Same),
    // Optional values
    ("hasValue", Growth::Small),
    ("optional.none", Growth::Small),
    ("optional.of", Growth::Largest),
    ("optional.ofNonZeroValue", Growth::Largest),
    ("or", Growth::Largest),
    ("orValue", Growth::Largest),
    ("value", Growth::Largest),
    // Conversions
    ("bool", Growth::Small),
    ("double", Growth::Small),
    ("duration", Growth::Small),
    ("int", Growth::Small),
    ("string", Growth::Times(8)),
    ("timestamp", Growth::Small),
    ("uint", Growth::Small),
    // Times
    ("getDate", Growth::Small),
    ("getDayOfMonth", Growth::Small),
    ("getDayOfWeek", Growth::Small),
    ("getDayOfYear", Growth::Small),
    ("getFullYear", Growth::Small),
    ("getHours", Growth::Small),
    ("getMilliseconds", Growth::Small),
    ("getMinutes", Growth::Small),
    ("getMonth", Growth::Small),
    ("getSeconds", Growth::Small),
    // Numbers
    ("math.@max", Growth::Largest),
    ("math.@min", Growth::Largest),
    ("math.abs", Growth::Small),
    ("math.ceil", Growth::Small),
    ("math.floor", Growth::Small),
    ("math.round", Growth::Small),
    ("math.sign", Growth::Small),
    ("math.trunc", Growth::Small),
];

/// The growth of an allowed function; `None` when it is not allowed (or not there).
pub(super) fn growth(function: &str) -> Option<Growth> {
    FUNCTIONS
        .iter()
        .find(|(name, _)| *name == function)
        .map(|(_, growth)| *growth)
}

/// Words before a dot that belong to a function's name.
pub(super) const NAMESPACES: [&str; 4] = ["lists", "math", "optional", "strings"];

/// The environment, built once: it costs 50 µs and 700 allocations, far more than an evaluation.
pub(super) static ENVIRONMENT: LazyLock<Result<Arc<Env>, DeclarationError>> =
    LazyLock::new(|| environment().map(Arc::new));

fn environment() -> Result<Env, DeclarationError> {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)?;
    env.add_extension(extensions::lists)?;
    env.add_extension(extensions::math)?;
    cel::add_overload!(env, fn ascii: (CelString) -> CelString, id = "ascii_string")?;
    cel::add_overload!(env, fn fold: (CelString) -> CelString, id = "fold_string")?;
    cel::add_member_overload!(env, fn lower: (CelString) -> CelString, id = "lower_string")?;
    cel::add_member_overload!(env, fn upper: (CelString) -> CelString, id = "upper_string")?;
    cel::add_overload!(env, fn date: (CelString) -> Result<CelString>, id = "date_string")?;
    cel::add_member_overload!(env, fn add_days: (CelString, CelInt) -> Result<CelString>, id = "add_days")?;
    cel::add_member_overload!(env, fn add_months: (CelString, CelInt) -> Result<CelString>, id = "add_months")?;
    cel::add_member_overload!(env, fn days_until: (CelString, CelString) -> Result<CelInt>, id = "days_until")?;
    cel::add_member_overload!(env, fn year: (CelString) -> Result<CelInt>, id = "year_of_date")?;
    cel::add_member_overload!(env, fn month: (CelString) -> Result<CelInt>, id = "month_of_date")?;
    cel::add_member_overload!(env, fn day: (CelString) -> Result<CelInt>, id = "day_of_date")?;
    cel::add_member_overload!(env, fn format_date: (CelString, CelString) -> Result<CelString>, id = "format_date")?;
    env.add_member_overload("first", "first_of_list", LIST_TYPE, vec![], first)?;
    Ok(env)
}

/// `ascii(text)`: the text in ASCII letters, whatever script it is in. What has no likeness in ASCII is left out.
fn ascii(text: &CelString<'_>) -> CelString<'static> {
    deunicode::deunicode_with_tofu(text.inner(), "")
        .trim_end()
        .to_owned()
        .into()
}

/// `fold(text)`: equal for texts that differ only in case, in every script (`Straße`, `STRASSE`).
fn fold(text: &CelString<'_>) -> CelString<'static> {
    let upper = text.inner().chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect::<String>().into()
}

/// `text.lower()`, in every script.
fn lower(text: &CelString<'_>) -> CelString<'static> {
    text.inner().to_lowercase().into()
}

/// `text.upper()`, in every script.
fn upper(text: &CelString<'_>) -> CelString<'static> {
    text.inner().to_uppercase().into()
}

/// `list.first()`: its first element, `null` of an empty list.
fn first<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let not_a_list = || ExecutionError::function_error("first", "not a list");
    let list = arguments.pop().ok_or_else(not_a_list)?;
    let mut elements = list.as_ref().as_iterable().ok_or_else(not_a_list)?.iter();
    let first = elements.next().map(|element| element.clone_as_boxed());
    Ok(CowVal::Owned(first.unwrap_or_else(|| Box::new(CelNull))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_many_scripts_become_ascii() {
        let cases = [
            ("Müller", "Muller"),
            ("Łukasz Żak", "Lukasz Zak"),
            ("Иван Петров", "Ivan Petrov"),
            ("王小明", "Wang Xiao Ming"),
            ("한국어", "hangugeo"),
            ("Nguyễn Văn A", "Nguyen Van A"),
            ("Ångström", "Angstrom"),
            ("Weiß", "Weiss"),
            ("محمد", "mHmd"),
            ("x\u{10ffff}y", "xy"),
            ("", ""),
        ];
        for (from, to) in cases {
            assert_eq!(ascii(&CelString::from(from)).inner(), to, "{from}");
        }
    }

    #[test]
    fn no_character_grows_beyond_the_bound() {
        for c in '\u{0}'..=char::MAX {
            let text = c.to_string();
            let most = text.len() * ASCII_GROWTH as usize;
            assert!(deunicode::deunicode_with_tofu(&text, "").len() <= most, "{c:?}");
            for change in [fold, lower, upper] {
                assert!(
                    change(&CelString::from(text.as_str())).inner().len() <= text.len() * 4,
                    "{c:?}"
                );
            }
        }
    }

    #[test]
    fn case_is_folded_in_every_script() {
        for (left, right) in [("Straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ИВАН", "иван")]
        {
            assert_eq!(fold(&CelString::from(left)), fold(&CelString::from(right)));
        }
    }

    #[test]
    fn the_environment_stands() {
        assert!(ENVIRONMENT.is_ok());
    }
}
