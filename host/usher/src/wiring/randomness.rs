//! Random bytes from the operating system.

use usher_store::Randomness;

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OsRandomness;

impl Randomness for OsRandomness {
    fn fill(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            // Ids from anything else could meet; there is no safe way on. Never seen on a running Linux.
            panic!("the operating system gives no random bytes: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ_from_call_to_call() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        OsRandomness.fill(&mut first);
        OsRandomness.fill(&mut second);
        assert_ne!(first, second);
    }
}
