//! A backup that was made, and one that was restored.

use std::path::Path;

use usher_store::Marked;
use usher_store::sqlite::{Backup, Restored};

use super::escape::safe;
use super::ink::{Ink, Style};
use super::table::{count, grouped};

/// What was written, and what is not in it.
pub(crate) fn backup(made: &Backup, folder: &Path, ink: &Ink) -> String {
    let until = made.moment.map_or_else(
        || "nothing yet".to_owned(),
        |moment| format!("everything until {}", ink.time(moment)),
    );
    let file = safe(&made.file.display().to_string());
    format!(
        "{} {file}\n  of       {}\n  holds    {until}\n  size     {} bytes\n  schema   version {}\n  SHA-256  {}\n\n\
         Not in it: the key that opens its secrets. Keep a copy of the key too, apart from the backups.\n\
         `usher restore FILE --data NEW_FOLDER` makes a data folder of it, which begins frozen.\n",
        ink.paint(Style::Bold, "Backup"),
        safe(&folder.display().to_string()),
        grouped(made.size_bytes),
        made.schema_version,
        made.sha256,
    )
}

/// What was restored, and what to do next.
pub(crate) fn restored(restored: &Restored, folder: &Path, ink: &Ink) -> String {
    format!(
        "{} {} to the state of {}\n{}\
         It is frozen: nothing is done in any target.\n\n\
         Next:\n  \
         usher import FILE --source NAME   take in a fresh file of every source\n  \
         usher plan                        look at what it would do\n  \
         usher thaw --reason TEXT          let it go on\n",
        ink.paint(Style::Bold, "Restored"),
        safe(&folder.display().to_string()),
        ink.time(restored.moment),
        marked(&restored.marked),
    )
}

/// What must be read again.
pub(crate) fn marked(marked: &Marked) -> String {
    format!(
        "  {} to be read before anything is written\n  {} to be looked for before anything is created\n  {} to be planned anew\n",
        count(marked.accounts, "account", "accounts"),
        count(marked.creations, "creation", "creations"),
        count(marked.superseded, "operation", "operations"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_says_what_is_not_in_it() {
        let made = Backup {
            file: "/backup/monday".into(),
            size_bytes: 1_234_567,
            schema_version: 4,
            moment: Some("2026-03-02T08:00:00Z".parse().unwrap()),
            sha256: "ab".repeat(32),
        };
        insta::assert_snapshot!(backup(&made, Path::new("/var/lib/usher"), &Ink::plain()));
    }

    #[test]
    fn a_restored_folder_says_what_comes_next() {
        let done = Restored {
            moment: "2026-03-02T08:00:00Z".parse().unwrap(),
            schema_version: 4,
            sha256: "ab".repeat(32),
            marked: Marked {
                accounts: 1_200,
                creations: 1,
                superseded: 0,
            },
        };
        insta::assert_snapshot!(restored(&done, Path::new("/new"), &Ink::plain()));
    }
}
