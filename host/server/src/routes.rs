//! What is answered where.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::health::Status;
use crate::site::Site;

/// What Prometheus reads, as the format's own specification names it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a request may take: the store's answers and the reading of the queue have limits below it.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Whoever looks elsewhere learns what there is.
const NOTHING_HERE: &str = "nothing here; there are /healthz, /livez, /readyz and /metrics\n";

/// All routes.
pub(crate) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, NOTHING_HERE) })
        .layer(middleware::from_fn(bounded))
        .with_state(site)
}

/// How everything is: 200, or 503 when something fails.
async fn healthz(State(site): State<Arc<Site>>) -> Response {
    let health = site.health().await;
    let code = match health.status {
        Status::Ok | Status::Frozen | Status::Stopping => StatusCode::OK,
        Status::Failing => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(health)).into_response()
}

/// Whether the process should be left running.
async fn livez(State(site): State<Arc<Site>>) -> Response {
    if site.is_alive() {
        (StatusCode::OK, "alive\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop hangs; see /healthz\n").into_response()
    }
}

/// Whether it does its work.
async fn readyz(State(site): State<Arc<Site>>) -> Response {
    match site.health().await.status {
        Status::Ok | Status::Frozen => (StatusCode::OK, "ready\n").into_response(),
        Status::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
        Status::Failing => (StatusCode::SERVICE_UNAVAILABLE, "not ready; see /healthz\n").into_response(),
    }
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    match site.metrics().await {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// No answer takes for ever, and none is kept or guessed at by what stands between.
async fn bounded(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(REQUEST_MAX, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
