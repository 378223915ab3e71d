//! No secret is in any line that the sidecar or the server logs.

use std::fs::File;

use crate::support::{
    engine::{Engine, on_both_engines},
    process::Process,
    rest::{Ask, send},
};

on_both_engines! {
    no_token_reaches_the_log_by_whatever_carrier_it_came
}

/// In a process of its own, by the program's own logging at its most talkative.
async fn no_token_reaches_the_log_by_whatever_carrier_it_came(engine: Engine) {
    let place = engine.place().await;
    let log = place.folder.path().join("log");
    let server = Process::both(&place, "trace", File::create(&log).unwrap().into());
    let address = server.rest.parse().unwrap();
    let token = server.root.clone();
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
            send(address, &request).await;
        }
    }
    server.kill();
    let log = std::fs::read_to_string(&log).unwrap();
    for seen in ["projects/:id/deployments", "DeploymentService/ListDeployments"] {
        assert!(log.contains(seen), "{seen} is not in the log");
    }
    let told: Vec<_> = log.lines().filter(|line| line.contains(&token)).collect();
    assert!(told.is_empty(), "{told:?}");
}
