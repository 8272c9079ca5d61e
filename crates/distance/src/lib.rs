//! Distance kernels over f32 and quantised codes
