//! Who runs this command: the user's name as the operating system gives it.

use nix::unistd::{Uid, User};
use usher_lifecycle::cause::Actor;

/// Longest user name recorded, in characters: longer ones do not exist on any system we know.
const USER_NAME_CHARS_MAX: usize = 64;

/// The person at this command line. Under sudo both names are recorded, as `root (sudo by ada)`: `root` alone says nothing.
pub(crate) fn person() -> Actor {
    let uid = Uid::effective();
    let user = User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| format!("uid {uid}"), |user| user.name);
    let sudo = if uid.is_root() {
        std::env::var("SUDO_USER").ok()
    } else {
        None
    };
    Actor::Person(name(&user, sudo.as_deref()))
}

fn name(user: &str, sudo: Option<&str>) -> String {
    let short = |text: &str| {
        text.chars()
            .filter(|c| !c.is_control())
            .take(USER_NAME_CHARS_MAX)
            .collect::<String>()
    };
    match sudo {
        Some(by) if !by.is_empty() && by != user => format!("{} (sudo by {})", short(user), short(by)),
        _ => short(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_names_both() {
        assert_eq!(name("ada", None), "ada");
        assert_eq!(name("root", Some("ada")), "root (sudo by ada)");
        assert_eq!(name("root", Some("root")), "root");
        assert_eq!(name("a\nb", None), "ab");
    }

    #[test]
    fn this_process_has_an_actor() {
        assert!(matches!(person(), Actor::Person(name) if !name.is_empty()));
    }
}
