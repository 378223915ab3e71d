//! No secret is in any line that the sidecar or the server logs.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use crate::support::rest::{Ask, Site};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_reaches_the_log_by_whatever_carrier_it_came() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // Of this thread only, and sidecar and server run on it.
    let _guard = tracing::subscriber::set_default(subscriber);
    let site = Site::new().await;
    let token = site.world.developer.clone();
    for target in [
        "projects/1/deployments",
        "projects/9",
        "nowhere",
        "projects/1/deployments?per_page=0",
    ] {
        let joint = if target.contains('?') { '&' } else { '?' };
        for request in [
            Ask::new("GET", target).by(&token),
            Ask::new("GET", target).header("Authorization", &format!("Bearer {token}")),
            Ask::new("GET", target).header("JOB-TOKEN", &token),
            Ask::new("GET", &format!("{target}{joint}private_token={token}")),
            Ask::new("POST", target).form(&format!("private_token={token}&name=qa")),
            Ask::new("POST", target).json(format!(r#"{{"access_token":"{token}""#)),
        ] {
            site.send(&request).await;
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("projects/:id/deployments"),
        "the sidecar's lines are there"
    );
    for secret in [&token, &site.world.server.root] {
        assert!(
            !log.contains(secret.as_str()),
            "{}",
            log.lines().find(|line| line.contains(secret.as_str())).unwrap()
        );
    }
}
