//! Operations, one file each: formula and shapes, the forward, and the backward beside it.

/// Operations that have no gradient and refuse to be recorded.
pub const NOT_DIFFERENTIABLE: &[&str] = &[];
