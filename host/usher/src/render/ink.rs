//! How text looks: colours or none, and the zone times are shown in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What renderers need to know about the reader.
#[derive(Clone, Debug)]
pub(crate) struct Ink {
    /// Colours may be used.
    pub(crate) color: bool,
    /// Times are shown in this zone, with its offset.
    pub(crate) zone: TimeZone,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing special.
    Plain,
    /// A heading.
    Bold,
    /// Less important.
    Dim,
    /// Access is given, or all is well.
    Good,
    /// Something changes, or needs a look.
    Warn,
    /// Access is taken away, or something is wrong.
    Bad,
}

impl Ink {
    /// No colours, times in UTC.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            color: false,
            zone: TimeZone::UTC,
        }
    }

    /// The text in that style.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
        };
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A moment shown beside another: with milliseconds when only fractions of a second tell them apart.
    pub(crate) fn time_beside(&self, at: Timestamp, other: Timestamp) -> String {
        if at == other || at.as_second() != other.as_second() {
            return self.time(at);
        }
        at.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S%.3f %:z")
            .to_string()
    }

    /// A moment in the reader's zone: `2026-03-02 09:14:05 +01:00`.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S %:z")
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_offset() {
        let at: Timestamp = "2026-07-02T08:00:00Z".parse().unwrap();
        let ink = Ink {
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            ..Ink::plain()
        };
        assert_eq!(ink.time(at), "2026-07-02 10:00:00 +02:00");
        assert_eq!(Ink::plain().time(at), "2026-07-02 08:00:00 +00:00");
    }

    #[test]
    fn moments_of_one_second_show_their_fractions() {
        let [early, late, later] = ["08:00:00Z", "08:00:00.25Z", "08:00:01Z"]
            .map(|time| format!("2026-07-02T{time}").parse::<Timestamp>().unwrap());
        let ink = Ink::plain();
        assert_eq!(ink.time_beside(late, early), "2026-07-02 08:00:00.250 +00:00");
        assert_eq!(ink.time_beside(early, late), "2026-07-02 08:00:00.000 +00:00");
        assert_eq!(ink.time_beside(late, later), ink.time(late));
        assert_eq!(ink.time_beside(late, late), ink.time(late));
    }

    #[test]
    fn without_colour_there_is_no_escape_sequence() {
        assert_eq!(Ink::plain().paint(Style::Bad, "x"), "x");
        assert_eq!(
            Ink {
                color: true,
                ..Ink::plain()
            }
            .paint(Style::Bad, "x"),
            "\u{1b}[31mx\u{1b}[0m"
        );
    }
}
