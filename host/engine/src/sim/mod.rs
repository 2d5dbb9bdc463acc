//! A simulated world: time that is set, seeded randomness, targets with a journal and faults, and crashes at named points. On one
//! thread the same seed always gives the same run.

mod clock;
mod faults;
mod target;
mod world;

pub use clock::SimClock;
pub use faults::{Fault, Faults};
pub use target::{SimAccount, SimCall, SimTarget};
pub use world::{Crash, SimConnectors, SimProbes, SimRandomness};
