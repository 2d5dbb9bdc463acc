//! Exit codes: what a script learns without reading text.

/// How a command ended. The numbers are a promise: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, nothing is left over.
    Ok = 0,
    /// Something nobody expected.
    Unexpected = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// A file, document, key or name is wrong. Nothing was changed.
    BadInput = 3,
    /// What the command was given is out of date. Nothing was changed.
    Stale = 4,
    /// Done, but something is held, failed, or still to do.
    LeftOver = 5,
    /// The data folder or database is missing, in use, out of reach, or of another version.
    Folder = 6,
    /// A target or its connector cannot be used.
    Target = 7,
    /// What the store holds does not verify.
    Damaged = 8,
    /// The store is frozen. Nothing was done.
    Frozen = 9,
    /// Ended at once by a second Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Ok,
        Self::Unexpected,
        Self::Usage,
        Self::BadInput,
        Self::Stale,
        Self::LeftOver,
        Self::Folder,
        Self::Target,
        Self::Damaged,
        Self::Frozen,
        Self::Interrupted,
    ];

    /// The number the process ends with.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// One word, as in the JSON of an error.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::BadInput => "bad-input",
            Self::Stale => "stale",
            Self::LeftOver => "left-over",
            Self::Folder => "folder",
            Self::Target => "target",
            Self::Damaged => "damaged",
            Self::Frozen => "frozen",
            Self::Interrupted => "interrupted",
        }
    }

    /// One line for the help.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done; nothing is left over",
            Self::Unexpected => "an unexpected error",
            Self::Usage => "the command line is wrong",
            Self::BadInput => "a file, document, key or name is wrong; nothing was changed",
            Self::Stale => "the saved plan (or the file behind it) is out of date; nothing was changed",
            Self::LeftOver => "done, but something is held, failed or still to do",
            Self::Folder => {
                "the data folder or database is missing, in use, out of reach, or of another version"
            }
            Self::Target => "a target cannot be used: its connector, its settings, or the system itself",
            Self::Damaged => "what the store holds does not verify: restore, or ask for help",
            Self::Frozen => "the store is frozen: look why, then thaw it; nothing was done",
            Self::Interrupted => {
                "ended at once by a second Ctrl-C; `apply` again takes up what was under way"
            }
        }
    }

    /// The table of `usher --help`, one line each.
    pub(crate) fn table() -> String {
        let mut text = String::from("Exit codes:\n");
        for exit in Self::ALL {
            text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_help() {
        insta::assert_snapshot!(Exit::table(), @r"
        Exit codes:
            0  done; nothing is left over
            1  an unexpected error
            2  the command line is wrong
            3  a file, document, key or name is wrong; nothing was changed
            4  the saved plan (or the file behind it) is out of date; nothing was changed
            5  done, but something is held, failed or still to do
            6  the data folder or database is missing, in use, out of reach, or of another version
            7  a target cannot be used: its connector, its settings, or the system itself
            8  what the store holds does not verify: restore, or ask for help
            9  the store is frozen: look why, then thaw it; nothing was done
          130  ended at once by a second Ctrl-C; `apply` again takes up what was under way
        ");
    }

    #[test]
    fn numbers_and_words_are_unique() {
        for (place, exit) in Exit::ALL.iter().enumerate() {
            for other in &Exit::ALL[place + 1..] {
                assert!(exit.code() < other.code());
                assert_ne!(exit.name(), other.name());
            }
        }
    }
}
