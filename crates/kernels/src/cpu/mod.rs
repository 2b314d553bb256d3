//! CPU kernels, one file per operation, forward and backward together.

mod chunks;
pub(crate) mod dispatch;
mod lanes;
mod math;

pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod experts;
pub mod geglu;
pub mod gelu;
pub mod layer_norm;
pub mod muon;
pub mod random;
pub mod reduce;
pub mod rms_norm;
pub mod rope;
pub mod soft_cap;
pub mod softmax;
pub mod swiglu;

pub mod bandwidth;
pub mod gemm;
pub mod peak;
pub mod quantised;

#[cfg(test)]
mod tests;
