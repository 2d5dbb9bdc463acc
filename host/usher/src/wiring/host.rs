//! What this process is called among others.

/// Where Linux tells the name of the machine.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
/// Longest host name shown, in characters: longer ones do not exist.
const NAME_CHARS_MAX: usize = 64;

/// The host's name and the process's number: `db1.example.com 4711`.
pub(crate) fn process_name() -> String {
    format!("{} {}", host_name(), std::process::id())
}

fn host_name() -> String {
    let name = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME_CHARS_MAX)
        .collect();
    if name.is_empty() { "host".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_name_of_its_own() {
        let name = process_name();
        let (host, process) = name.rsplit_once(' ').unwrap();
        assert!(!host.is_empty());
        assert_eq!(process, std::process::id().to_string());
    }
}
