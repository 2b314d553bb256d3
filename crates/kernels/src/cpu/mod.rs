//! CPU kernels, one file per operation, forward and backward together.
