//! What the demo prints: who there is, and how to call it.

use std::net::SocketAddr;

use crate::{cli::console, config::Secret};

/// The commit of the documented calls.
const SHA: &str = "a91957a858320c0e17f3a0eca7cfacbff50ea29a";

/// Someone to call as.
#[derive(Debug)]
pub struct Account {
    /// The username.
    pub username: &'static str,
    /// What they are, for people.
    pub role: &'static str,
    /// Their token.
    pub token: Secret,
}

/// Prints the accounts as a table. Their tokens are for the eyes of whoever started the demo.
pub fn show_accounts(accounts: &[Account]) {
    let mut rows = vec![["USER", "ROLE", "TOKEN"].map(str::to_owned)];
    rows.extend(accounts.iter().map(|account| {
        [
            account.username.to_owned(),
            account.role.to_owned(),
            account.token.expose().to_owned(),
        ]
    }));
    console::table(&rows);
}

/// Calls to paste: the documented ones with host and token put in, and some over gRPC.
pub fn calls(rest: SocketAddr, grpc: SocketAddr, token: &Secret) -> String {
    let token = token.expose();
    let header = format!("--header \"PRIVATE-TOKEN: {token}\"");
    let deployments = format!("http://{rest}/api/v4/projects/1/deployments");
    let grpcurl = format!("grpcurl -plaintext -H \"private-token: {token}\"");
    format!(
        "\
# list, get, create, update and delete deployments
curl {header} \"{deployments}\"
curl {header} \"{deployments}/1\"
curl --data \"environment=production&sha={SHA}&ref=main&tag=false&status=success\" {header} \"{deployments}\"
curl --request PUT --data \"status=success\" {header} \"{deployments}/42\"
curl --request \"DELETE\" {header} \"{deployments}/1\"

# the same server over gRPC
grpcurl -plaintext {grpc} list
grpcurl -plaintext {grpc} grpc.health.v1.Health/Check
{grpcurl} {grpc} gatehouse.v1.TokenService/WhoAmI
{grpcurl} -d '{{\"project\": {{\"path\": \"acme/shop/web\"}}, \"filter\": {{\"environment\": \"production\"}}}}' \\
    {grpc} gatehouse.v1.DeploymentService/ListDeployments"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_are_the_documented_ones_with_host_and_token_put_in() {
        let calls = calls(
            "127.0.0.1:8080".parse().unwrap(),
            "127.0.0.1:50051".parse().unwrap(),
            &Secret::new("gh-t"),
        );
        for documented in [
            "curl --header \"PRIVATE-TOKEN: <your_access_token>\" \"https://gitlab.example.com/api/v4/projects/1/deployments\"",
            "curl --header \"PRIVATE-TOKEN: <your_access_token>\" \"https://gitlab.example.com/api/v4/projects/1/deployments/1\"",
            "curl --data \"environment=production&sha=a91957a858320c0e17f3a0eca7cfacbff50ea29a&ref=main&tag=false&status=success\" --header \"PRIVATE-TOKEN: <your_access_token>\" \"https://gitlab.example.com/api/v4/projects/1/deployments\"",
            "curl --request PUT --data \"status=success\" --header \"PRIVATE-TOKEN: <your_access_token>\" \"https://gitlab.example.com/api/v4/projects/1/deployments/42\"",
            "curl --request \"DELETE\" --header \"PRIVATE-TOKEN: <your_access_token>\" \"https://gitlab.example.com/api/v4/projects/1/deployments/1\"",
        ] {
            let pasted = documented
                .replace("https://gitlab.example.com", "http://127.0.0.1:8080")
                .replace("<your_access_token>", "gh-t");
            assert!(
                calls.lines().any(|line| line == pasted),
                "{pasted}\nis not in\n{calls}"
            );
        }
    }
}
