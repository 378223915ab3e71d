//! The calls that there are, by their paths; and what is told of one when it has ended.

use std::{
    collections::HashMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

use http::HeaderMap;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tracing::Span;

use crate::{
    metrics::{self, UnderWay},
    pb,
};

/// The header or trailer with a call's status.
const GRPC_STATUS: &str = "grpc-status";

/// A call, as metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rpc {
    /// The service with its package.
    pub service: &'static str,
    /// The method.
    pub method: &'static str,
}

/// Whatever is no call of ours: who asks for it chose the name.
const UNKNOWN: Rpc = Rpc {
    service: "unknown",
    method: "unknown",
};

/// Every call by its path, `/package.Service/Method`.
static RPCS: LazyLock<HashMap<String, Rpc>> = LazyLock::new(|| {
    let files = [
        pb::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let files = files
        .into_iter()
        .filter_map(|bytes| FileDescriptorSet::decode(bytes).ok())
        .flat_map(|set| set.file);
    let mut rpcs = HashMap::new();
    for file in files {
        for service in &file.service {
            // There is one table, and it is never thrown away.
            let name = format!("{}.{}", file.package(), service.name()).leak();
            for method in &service.method {
                let method = method.name().to_owned().leak();
                let rpc = Rpc {
                    service: name,
                    method,
                };
                rpcs.insert(format!("/{name}/{method}"), rpc);
            }
        }
    }
    rpcs
});

/// The call at a path.
pub fn find(path: &str) -> Rpc {
    RPCS.get(path).copied().unwrap_or(UNKNOWN)
}

/// The name of a status code as the protocol writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A call that is being served. When this is dropped the call has ended: it is logged and counted then, once.
#[derive(Debug)]
pub struct Served {
    rpc: Rpc,
    span: Span,
    begun: Instant,
    /// None as long as nothing was answered: if it stays so, the caller went away, or its deadline passed.
    code: Option<Code>,
    _counted: UnderWay,
}

impl Served {
    /// A call that begins now.
    pub fn begin(rpc: Rpc, span: Span) -> Self {
        Self {
            rpc,
            span,
            begun: Instant::now(),
            code: None,
            _counted: metrics::grpc_begun(),
        }
    }

    /// Takes note of the status, if it is among these headers or trailers.
    pub fn note(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(GRPC_STATUS) {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let code = name(self.code.unwrap_or(Code::Cancelled));
        metrics::grpc_ended(self.rpc.service, self.rpc.method, code, took);
        self.span.record("rpc.code", code);
        self.span
            .in_scope(|| tracing::info!(elapsed_us = micros(took), "served"));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_there_are_have_names_and_others_share_one() {
        for (path, service, method) in [
            (
                "/gatehouse.v1.DeploymentService/GetDeployment",
                "gatehouse.v1.DeploymentService",
                "GetDeployment",
            ),
            ("/grpc.health.v1.Health/Check", "grpc.health.v1.Health", "Check"),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                "grpc.reflection.v1.ServerReflection",
                "ServerReflectionInfo",
            ),
            ("/gatehouse.v1.DeploymentService/Get", "unknown", "unknown"),
            (
                "/gatehouse.v1.DeploymentService/GetDeployment/",
                "unknown",
                "unknown",
            ),
            ("", "unknown", "unknown"),
        ] {
            assert_eq!(find(path), Rpc { service, method }, "{path}");
        }
        assert!(RPCS.len() > 40, "only {} calls were found", RPCS.len());
    }
}
