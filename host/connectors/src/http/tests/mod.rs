//! The egress against real servers on loopback: HTTP/1.1 and HTTP/2, TLS with certificates made for the test, proxies.

mod http2;
mod own_calls;
mod proxies;
mod rules;
mod server;
mod tls;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use usher_lifecycle::connector::Effect;
use usher_lifecycle::targets::{self, Target};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::HttpEgress;
use super::resolve::Resolver;
use super::transport::{Times, Wire};
use crate::journal::Journal;
use crate::placeholders::Placeholders;
use crate::secrets::{FixedSecrets, Secrets};

const PASSWORD: &str = "pr0xy-s3cr3t";

/// A target called `app` that grants `scheme://host:port`, with more lines after that.
fn target(scheme: &str, host: &str, port: u16, lines: &str) -> Target {
    let text = format!(
        "[targets.app]\nconnector = \"c\"\n[[targets.app.grants.http]]\nscheme = \"{scheme}\"\nhost = \"{host}\"\nport = {port}\n{lines}"
    );
    let targets = targets::parse("targets.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    targets.targets.into_values().next().unwrap()
}

/// The same on loopback.
fn local(scheme: &str, host: &str, port: u16, lines: &str) -> Target {
    target(scheme, host, port, &format!("private-addresses = true\n{lines}"))
}

/// One answer of the resolver after the other; the last one stays.
fn names(answers: &[&[&str]]) -> Resolver {
    let answers: VecDeque<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect())
        .collect();
    Resolver::Scripted(Arc::new(Mutex::new(answers)))
}

fn loopback() -> Resolver {
    names(&[&["127.0.0.1"]])
}

fn secrets() -> FixedSecrets {
    FixedSecrets::none().with("PASSWORD", PASSWORD)
}

/// The egress of a target, patient for tests.
async fn egress(target: &Target, resolver: Resolver) -> Arc<HttpEgress> {
    egress_with(target, resolver, secrets(), Times::default()).await
}

async fn egress_with(
    target: &Target,
    resolver: Resolver,
    secrets: FixedSecrets,
    times: Times,
) -> Arc<HttpEgress> {
    let secrets: Arc<dyn Secrets> = Arc::new(secrets);
    let mut wire = Wire::new(&target.tls, target.proxy.clone(), Arc::clone(&secrets))
        .await
        .unwrap();
    wire.resolver = resolver;
    wire.times = times;
    Arc::new(HttpEgress::over(wire, target, &secrets).unwrap())
}

/// What became of one request.
#[derive(Debug)]
struct Outcome {
    result: Result<(StatusCode, HeaderMap, Bytes), Error>,
    journal: Arc<Journal>,
}

impl Outcome {
    fn status(&self) -> u16 {
        match &self.result {
            Ok((status, ..)) => status.as_u16(),
            Err(error) => panic!("{error:?}: {:?}", self.journal),
        }
    }

    fn body(&self) -> &[u8] {
        match &self.result {
            Ok((_, _, body)) => body,
            Err(error) => panic!("{error:?}: {:?}", self.journal),
        }
    }

    fn code(&self) -> String {
        match &self.result {
            Ok((status, ..)) => panic!("answered {status}"),
            Err(error) => format!("{error:?}"),
        }
    }

    /// What the operator is told.
    fn trouble(&self) -> String {
        self.journal.last_trouble().unwrap_or_default()
    }

    fn refusal(&self) -> String {
        self.journal
            .refusal()
            .map(|refusal| refusal.explain())
            .unwrap_or_default()
    }

    fn effect(&self) -> Effect {
        self.journal.effect()
    }
}

fn journal() -> Arc<Journal> {
    Arc::new(Journal::new(
        Instant::now() + Duration::from_secs(20),
        100,
        10_000,
    ))
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Request<WasiBody> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    request
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .unwrap()
}

async fn ask(egress: &Arc<HttpEgress>, method: &str, uri: &str) -> Outcome {
    send(
        egress,
        request(method, uri, &[], ""),
        RequestOptions::default(),
        journal(),
    )
    .await
}

async fn send(
    egress: &Arc<HttpEgress>,
    request: Request<WasiBody>,
    options: RequestOptions,
    journal: Arc<Journal>,
) -> Outcome {
    let answered = Arc::clone(egress)
        .send(request, options, Arc::clone(&journal), Placeholders::default())
        .await;
    let result = match answered {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let body = body.collect().await;
            body.map(|body| (parts.status, parts.headers, body.to_bytes()))
        }
        Err(error) => Err(error),
    };
    Outcome { result, journal }
}
