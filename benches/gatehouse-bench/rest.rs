//! Calls over HTTP/1.1: one connection for each caller, kept alive.

use std::sync::Arc;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    Failure,
    data::Stock,
    grpc::{creation, scatter},
    load::{Caller, Ending},
};

/// What is called for.
#[derive(Debug, Clone)]
pub enum Job {
    /// Any deployment.
    Get(Arc<Stock>),
    /// The page of 20 that is newest, of projects that are large enough, with this query.
    List(Arc<Stock>, &'static str),
    /// A new deployment in one of so many projects.
    Create(i64),
}

impl Job {
    /// The request with this number: method, path and body.
    fn request(&self, number: u64) -> (Method, String, Bytes) {
        match self {
            Self::Get(stock) => {
                let (deployment, project) = stock.any(scatter(number));
                let path = format!("/api/v4/projects/{project}/deployments/{deployment}");
                (Method::GET, path, Bytes::new())
            }
            Self::List(stock, query) => {
                let project = stock.large(scatter(number));
                let path = format!("/api/v4/projects/{project}/deployments?{query}");
                (Method::GET, path, Bytes::new())
            }
            Self::Create(projects) => {
                let project = 1 + (scatter(number) % *projects as u64) as i64;
                let new = creation(project, number);
                let body = json!({
                    "environment": new.environment,
                    "ref": new.r#ref,
                    "sha": new.sha,
                    "tag": new.tag,
                    "status": "running",
                });
                let path = format!("/api/v4/projects/{project}/deployments");
                (Method::POST, path, Bytes::from(body.to_string()))
            }
        }
    }

    /// Refuses an answer that does not hold what was asked for. Some answer quickly and with nothing.
    fn check(&self, number: u64, body: &[u8]) -> Result<(), Failure> {
        let body: Value = serde_json::from_slice(body)?;
        // gRPC's JSON has ids as texts.
        let id = |value: &Value| match value {
            Value::Number(id) => id.as_i64(),
            Value::String(id) => id.parse().ok(),
            _ => None,
        };
        let whole = match self {
            Self::Get(stock) => {
                let deployment = body.get("deployment").unwrap_or(&body);
                id(&deployment["id"]) == Some(stock.any(scatter(number)).0) && deployment["sha"].is_string()
            }
            Self::List(..) => {
                let rows = body.get("deployments").unwrap_or(&body).as_array();
                rows.is_some_and(|rows| rows.len() == 20 && rows.iter().all(|row| row["sha"].is_string()))
            }
            Self::Create(_) => id(&body["id"]).is_some() && body["status"] == "running",
        };
        if whole {
            Ok(())
        } else {
            Err(format!("not what was asked for: {body}").into())
        }
    }
}

/// Somebody who calls by HTTP.
#[derive(Debug)]
pub struct HttpCaller {
    address: String,
    token: String,
    job: Job,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpCaller {
    /// So many connections to `ADDRESS:PORT`; the first call is made and its answer looked at.
    pub async fn many(
        address: &str,
        token: &str,
        connections: usize,
        job: &Job,
    ) -> Result<Vec<Self>, Failure> {
        body(address, token, job).await?;
        Ok(Self::unchecked(address, token, connections, job))
    }

    /// The same without a look at what is answered.
    pub fn unchecked(address: &str, token: &str, connections: usize, job: &Job) -> Vec<Self> {
        (0..connections)
            .map(|_| Self {
                address: address.to_owned(),
                token: token.to_owned(),
                job: job.clone(),
                connection: None,
            })
            .collect()
    }

    async fn send(&mut self, number: u64) -> Result<(StatusCode, Bytes), Failure> {
        let mut connection = match self.connection.take().filter(|open| !open.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await?;
        let (method, path, body) = self.job.request(number);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header("private-token", &self.token);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let answer = connection.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        self.connection = Some(connection);
        Ok((status, body))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

impl Caller for HttpCaller {
    async fn call(&mut self, number: u64) -> Result<Ending, Failure> {
        let (status, body) = self.send(number).await?;
        if status.is_success() && !body.is_empty() {
            Ok(Ending::Answered)
        } else if status == StatusCode::TOO_MANY_REQUESTS {
            Ok(Ending::Refused)
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
        }
    }
}

/// An answer, looked at.
pub async fn body(address: &str, token: &str, job: &Job) -> Result<Bytes, Failure> {
    // A number that no round comes to.
    let number = u64::MAX / 2;
    let mut callers = HttpCaller::unchecked(address, token, 1, job);
    let first = callers.first_mut().ok_or("no caller")?;
    let (status, body) = first.send(number).await?;
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    job.check(number, &body)?;
    Ok(body)
}
