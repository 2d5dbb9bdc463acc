//! Takes what a computer has: time, memory, tables of the host, stack, the log. And looks around.

use crate::bindings::usher::host::log::{self, Level};
use crate::{Outcome, account};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

pub(crate) fn run(behaviour: &str) -> Outcome {
    let found = match behaviour {
        "endless-loop" => endless_loop(),
        "endless-log" => loop {
            log::write(Level::Debug, "again");
        },
        "endless-clock" => loop {
            std::hint::black_box(wasip2::clocks::monotonic_clock::now());
        },
        "endless-poll" => loop {
            wasip2::clocks::monotonic_clock::subscribe_duration(1).block();
        },
        "endless-output" => loop {
            println!("{}", "x".repeat(4_096));
        },
        "endless-random" => loop {
            std::hint::black_box(wasip2::random::random::get_random_bytes(4_096));
        },
        "memory-bomb" => memory_bomb(),
        "memory-growth" => loop {
            // Page by page, without touching what it gets.
            std::hint::black_box(grow_by_a_page());
        },
        "trap" => panic!("as told"),
        "unreachable" => unreachable_instruction(),
        "wild-pointer" => wild_pointer(),
        "exit" => std::process::exit(1),
        "stack-overflow" => recurse(1).to_string(),
        "stack-overflow-of-calls" => descend(std::hint::black_box(1)).to_string(),
        "sleep" => sleep(),
        "log-flood" => {
            for _ in 0..10_000 {
                log::write(Level::Info, &format!("\u{1b}[31mflood\n{}", "z".repeat(10_000)));
            }
            "flooded".to_owned()
        }
        "random-flood" => wasip2::random::random::get_random_bytes(1 << 30)
            .len()
            .to_string(),
        "handles" => {
            let pollables: Vec<_> = (0..1_000_000)
                .map(|_| wasip2::clocks::monotonic_clock::subscribe_duration(1))
                .collect();
            pollables.len().to_string()
        }
        "surroundings" => format!(
            "arguments {} variables {} folders {}",
            std::env::args().count(),
            std::env::vars().count(),
            wasip2::filesystem::preopens::get_directories().len()
        ),
        "read-file" => format!("{:?}", std::fs::read("/etc/passwd").map(|bytes| bytes.len())),
        "write-file" => format!("{:?}", std::fs::write("/tmp/hostile", "x")),
        "socket" => format!("{:?}", std::net::TcpStream::connect("127.0.0.1:80").map(|_| ())),
        _ => return None,
    };
    Some(Ok(account(found)))
}

pub(crate) fn endless_loop() -> ! {
    let mut counter = 0_u64;
    loop {
        counter = std::hint::black_box(counter.wrapping_add(1));
    }
}

pub(crate) fn sleep() -> String {
    std::thread::sleep(HOUR);
    "woke up".to_owned()
}

fn memory_bomb() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1; 1024 * 1024]));
    }
}

/// Reads and writes far outside its memory.
fn wild_pointer() -> String {
    let address = std::hint::black_box(0xffff_fff0_usize) as *mut u64;
    // SAFETY: none; that is the point. The sandbox must stop it.
    unsafe {
        address.write_volatile(7);
        address.read_volatile().to_string()
    }
}

/// Fills the guest's own stack, which is in its memory.
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if frame[0] == u64::MAX {
        0
    } else {
        recurse(depth + 1) + std::hint::black_box(frame[1])
    }
}

/// Fills the host's stack of guest code: nothing here is in the guest's memory.
#[inline(never)]
fn descend(depth: u64) -> u64 {
    if depth == 0 {
        return 1;
    }
    // The product after the call keeps it from becoming a loop.
    descend(depth.wrapping_add(2) | 1).rotate_left(depth as u32) ^ depth
}

#[cfg(target_arch = "wasm32")]
fn grow_by_a_page() -> usize {
    core::arch::wasm32::memory_grow(0, 1)
}

#[cfg(target_arch = "wasm32")]
fn unreachable_instruction() -> ! {
    core::arch::wasm32::unreachable()
}

// Lints and test builds compile guests for the machine they run on, too; nothing of them runs there.
#[cfg(not(target_arch = "wasm32"))]
fn grow_by_a_page() -> usize {
    std::process::abort()
}

#[cfg(not(target_arch = "wasm32"))]
fn unreachable_instruction() -> ! {
    std::process::abort()
}
