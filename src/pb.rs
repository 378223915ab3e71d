//! The protobuf contract as Rust types: the server's traits, the clients, the messages.
//!
//! Generated from `proto/` when the crate is built; documented there.

/// Everything of `gatehouse.v1`.
#[expect(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::clone_on_ref_ptr,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("gatehouse.v1");
}

/// The encoded `FileDescriptorSet` of the contract with comments and imports, as reflection serves it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
