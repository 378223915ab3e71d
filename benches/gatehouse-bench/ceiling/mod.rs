//! Ceilings: what the same machine does with nothing around it.

pub mod bare;
pub mod raw;
