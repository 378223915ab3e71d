//! A token never reaches a log line. In a process of its own, because a test that looks at the whole log shares it with
//! nobody.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use axum::body::Body;
use gatehouse::rest::{Options, router};
use tower::ServiceExt;
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().map_err(|_| io::Error::other("poisoned"))?;
        log.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_of_a_rest_request_reaches_the_log() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .init();

    // Nobody listens there: a call that fails is the one that is told at length.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let sidecar = router(Options {
        grpc_urls: vec![grpc_url],
        ..Options::default()
    })
    .unwrap();
    let request = http::Request::builder()
        .method("PUT")
        .uri(
            "/api/v4/projects/1/deployments/2?private_token=glpat-secret&access_token=glpat-secret\
             &bearer_token=glpat-secret&job_token=glpat-secret&token=glpat-secret",
        )
        .header("private-token", "glpat-secret")
        .header("authorization", "Bearer glpat-secret")
        .header("job-token", "glpat-secret")
        .header("content-type", "application/json")
        .body(Body::from(
            r#"{"status":"success","private_token":"glpat-secret"}"#,
        ))
        .unwrap();
    assert_eq!(sidecar.oneshot(request).await.unwrap().status(), 503);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("projects/:id/deployments/:deployment_id") && log.contains("cannot answer"),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
}
