//! What the demo prints: who there is, and how to call it.

use std::net::SocketAddr;

use super::{
    CALLER, DEPLOYER,
    gate::{Held, QUINN, SARA, SVEN},
    history::WEB,
};
use crate::{cli::console, config::Secret};

/// A merge request that is out: of a change whose way to production was smooth.
const SHIPPED: i64 = 5;

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

/// Where the demo is served, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Guide<'a> {
    /// Where REST is served.
    pub rest: SocketAddr,
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Everybody.
    pub accounts: &'a [Account],
    /// The commit to record in the documented calls: one that the project's repository has.
    pub sha: &'a str,
}

impl Guide<'_> {
    /// Calls to paste: the documented ones with host and token put in, and some over gRPC.
    pub fn calls(&self) -> String {
        let header = self.header(CALLER);
        let deployments = self.deployments();
        let (grpc, sha) = (self.grpc, self.sha);
        let grpcurl = self.grpcurl(CALLER);
        format!(
            "\
# list, get, create, update and delete deployments
curl {header} \"{deployments}\"
curl {header} \"{deployments}/1\"
curl --data \"environment=production&sha={sha}&ref=main&tag=false&status=success\" {header} \"{deployments}\"
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

    /// Calls that lift what is held.
    pub fn gate(&self, held: Held) -> String {
        let Held { by_rules, by_count } = held;
        let deployments = self.deployments();
        let [caller, deployer, quinn, sven] = [CALLER, DEPLOYER, QUINN, SVEN].map(|user| self.header(user));
        let grpc = self.grpc;
        let [as_caller, as_deployer, as_quinn, as_sven] =
            [CALLER, DEPLOYER, QUINN, SVEN].map(|user| self.grpcurl(user));
        let deployment = format!("\"project\": {{\"path\": \"{WEB}\"}}, \"deployment_id\": {by_rules}");
        format!(
            "\
# the gate: deployment {by_rules} to production is blocked; it takes one approval of qa-group and two of security-group,
# of which one is there: {SARA}'s
curl {caller} \"{deployments}/{by_rules}\"

# in another terminal: wait until it may go, or for five minutes
curl {deployer} \"{deployments}/{by_rules}?wait_for=approved&timeout=300\"

# refused, as {CALLER} is in neither group; then {SVEN}, who is in both, for security-group, and {QUINN}: now it may go
curl --data \"status=approved\" {caller} \"{deployments}/{by_rules}/approval\"
curl --data \"status=approved&comment=Looks good to me&represented_as=security\" {sven} \"{deployments}/{by_rules}/approval\"
curl --data \"status=approved\" {quinn} \"{deployments}/{by_rules}/approval\"
curl --request PUT --data \"status=running\" {deployer} \"{deployments}/{by_rules}\"

# deployment {by_count} to canary takes one approval, of whoever may deploy there, but not {DEPLOYER}'s own
curl --data \"status=approved\" {deployer} \"{deployments}/{by_count}/approval\"
curl --data \"status=approved\" {caller} \"{deployments}/{by_count}/approval\"

# the gate over gRPC: what holds it and who can lift it, wait (and fail unless it may go), approve
{as_caller} -d '{{{deployment}}}' \\
    {grpc} gatehouse.v1.ApprovalService/ExplainDeployment
{as_deployer} -d '{{{deployment}, \"condition\": \"WAIT_CONDITION_APPROVED\", \"timeout\": \"300s\", \"fail_unless\": true}}' \\
    {grpc} gatehouse.v1.EventService/WaitDeployment
{as_sven} -d '{{{deployment}, \"status\": \"APPROVAL_STATUS_APPROVED\", \"comment\": \"Looks good to me\", \"represented_as\": \"security\"}}' \\
    {grpc} gatehouse.v1.ApprovalService/SubmitApproval
{as_quinn} -d '{{{deployment}, \"status\": \"APPROVAL_STATUS_APPROVED\"}}' \\
    {grpc} gatehouse.v1.ApprovalService/SubmitApproval"
        )
    }

    /// Calls that tell what shipped, and where.
    pub fn shipped(&self, held: Held) -> String {
        let by_rules = held.by_rules;
        let grpc = self.grpc;
        let grpcurl = self.grpcurl(CALLER);
        format!(
            "\
# what deployment {by_rules} brings to production once it may go: its commits, from the project's git repository, and the
# merge requests in them; in which environments merge request {SHIPPED} is
{grpcurl} -d '{{\"project\": {{\"path\": \"{WEB}\"}}, \"deployment_id\": {by_rules}}}' \\
    {grpc} gatehouse.v1.DeploymentService/GetDeploymentChanges
{grpcurl} -d '{{\"project\": {{\"path\": \"{WEB}\"}}, \"iid\": {SHIPPED}}}' \\
    {grpc} gatehouse.v1.MergeRequestService/ListDeploymentsOfMergeRequest"
        )
    }

    fn deployments(&self) -> String {
        format!("http://{}/api/v4/projects/1/deployments", self.rest)
    }

    fn header(&self, user: &str) -> String {
        format!("--header \"PRIVATE-TOKEN: {}\"", self.token(user))
    }

    fn grpcurl(&self, user: &str) -> String {
        format!("grpcurl -plaintext -H \"private-token: {}\"", self.token(user))
    }

    fn token(&self, user: &str) -> &str {
        let account = self.accounts.iter().find(|account| account.username == user);
        account.map_or("", |account| account.token.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commit of the documented calls.
    const SHA: &str = "a91957a858320c0e17f3a0eca7cfacbff50ea29a";

    /// What the guide prints.
    fn guided() -> String {
        let accounts = [
            (CALLER, "gh-t"),
            (DEPLOYER, "gh-d"),
            (QUINN, "gh-q"),
            (SVEN, "gh-s"),
        ];
        let accounts = accounts.map(|(username, token)| Account {
            username,
            role: "",
            token: Secret::new(token),
        });
        let guide = Guide {
            rest: "127.0.0.1:8080".parse().unwrap(),
            grpc: "127.0.0.1:50051".parse().unwrap(),
            accounts: &accounts,
            sha: SHA,
        };
        let held = Held {
            by_rules: 60,
            by_count: 61,
        };
        [guide.calls(), guide.gate(held), guide.shipped(held)].join("\n")
    }

    #[test]
    fn the_calls_are_the_documented_ones_with_host_and_token_put_in() {
        let calls = guided();
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

    #[test]
    fn the_call_that_lifts_the_gate_is_the_documented_one_as_somebody_of_the_group() {
        let documented = "curl --data \"status=approved&comment=Looks good to me&represented_as=security\" --header \"PRIVATE-TOKEN: <your_access_token>\" \"https://gitlab.example.com/api/v4/projects/1/deployments/1/approval\"";
        let pasted = documented
            .replace("https://gitlab.example.com", "http://127.0.0.1:8080")
            .replace("<your_access_token>", "gh-s")
            .replace("/deployments/1/", "/deployments/60/");
        let guided = guided();
        assert!(
            guided.lines().any(|line| line == pasted),
            "{pasted}\nis not in\n{guided}"
        );
    }

    #[test]
    fn what_is_sent_over_grpc_is_json() {
        let guided = guided();
        let bodies: Vec<_> = guided
            .split("-d '")
            .skip(1)
            .map(|rest| rest.split('\'').next().unwrap())
            .collect();
        assert_eq!(bodies.len(), 7);
        for body in bodies {
            assert!(
                serde_json::from_str::<serde_json::Value>(body)
                    .unwrap()
                    .is_object(),
                "{body}"
            );
        }
    }
}
