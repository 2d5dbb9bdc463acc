//! What this process uses, as Linux counts it.

/// Where Linux tells.
const STATUS: &str = "/proc/self/status";

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident_bytes: u64,
    /// The most it ever was.
    pub(crate) peak_bytes: u64,
}

/// Asks the system; `None` where it does not tell.
pub(crate) fn memory() -> Option<Memory> {
    parse(&std::fs::read_to_string(STATUS).ok()?)
}

fn parse(status: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let number = line.trim().strip_suffix("kB")?.trim();
        number.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory {
        resident_bytes: kib("VmRSS:")?,
        peak_bytes: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let status = "Name:\tusher\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        let expected = Memory {
            resident_bytes: 10_485_760,
            peak_bytes: 20_971_520,
        };
        assert_eq!(parse(status), Some(expected));
        assert_eq!(parse("Name:\tusher\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = memory().unwrap();
        assert!(memory.resident_bytes > 1 << 20 && memory.peak_bytes >= memory.resident_bytes);
    }
}
